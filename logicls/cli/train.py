"""The commands that train: train, base."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logicls.plugins.settings import ExpertSettings, KnowledgeSettings, ProductRecipe
    from logicls.train.recipe import Recipe

console = Console()
OUT = Annotated[Path, typer.Option("--out", help="Folder to write to.")]


class Stage(StrEnum):
    """Of training."""

    sft = "sft"
    """From the true answers."""
    grpo = "grpo"
    """From rewards for answers that are drawn by chance."""


def train(
    synth_dir: Annotated[Path, typer.Argument(help="What `logicls synth` wrote.")],
    out: OUT,
    recipe: Annotated[
        Path | None,
        typer.Option(help="Recipe, a YAML file; the shipped train/nano.yaml or train/hub.yaml if left out."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="nano, or a model of the Hugging Face hub by its name or folder; the recipe's.")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch the model where it is not on this machine.")
    ] = False,
    start: Annotated[Path | None, typer.Option("--from", help="Bundle whose weights to begin with.")] = None,
    stage: Annotated[
        Stage, typer.Option(help="sft learns true answers; grpo goes on with a bundle (--from), by rewards.")
    ] = Stage.sft,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    fresh: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of each batch that is made while training; the recipe's.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Train for so long, in as many steps as fit; the recipe's.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes that train together, on shares of each batch; the recipe's.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that make fresh examples.")] = 1,
) -> None:
    """Train a model, and write one bundle."""
    from logicls.io.resources import share
    from logicls.plugins.settings import read_product_recipe
    from logicls.train.distributed import launched

    rank = launched()
    console.quiet = rank is not None and not rank.is_first
    plan = read_product_recipe(recipe or share(f"train/{'nano' if model in (None, 'nano') else 'hub'}.yaml"))
    given = {"model": model, "fresh": fresh, "minutes": minutes, "processes": processes}
    plan = plan.model_copy(update={key: value for key, value in given.items() if value is not None})
    if rank is None or rank.is_first:
        carriable(synth_dir, plan)
    if stage is Stage.grpo:
        rewarded(synth_dir, out, plan, start=start, unused={**given, "resume": resume, "download": download})
    else:
        trained(synth_dir, out, plan, resume=resume, start=start, workers=workers, download=download)
    if rank is None or rank.is_first:
        with_plugins(synth_dir, out, plan)
    console.print(f"{out}: bundle")


def carriable(synth_dir: Path, plan: ProductRecipe) -> None:
    """Say what cannot be plugged in before hours of work. Raises `SpecError`, `DataError`."""
    from logicls.plugins.bundled_knowledge import check_knowledge, check_reasoner

    if plan.reasoner is not None:
        check_reasoner(plan.reasoner, plan.model)
    if plan.knowledge is not None:
        check_knowledge(plan.knowledge, synth_dir)


def with_plugins(synth_dir: Path, out: Path, plan: ProductRecipe) -> None:
    """Have the bundle carry what the recipe plugs in, progress on the screen. Raises `DataError`."""
    if plan.expert is not None:
        with_expert(synth_dir, out, plan.expert)
    if plan.reasoner is not None:
        from logicls.plugins.selection import stand

        stand(out, reasoner=plan.reasoner.model_dump(exclude_none=True))
        console.print(Text(f"reasoner {plan.reasoner.name}"))
    if plan.knowledge is not None:
        with_knowledge(synth_dir, out, plan.knowledge)


def with_knowledge(synth_dir: Path, out: Path, settings: KnowledgeSettings) -> None:
    """Draft what is known of the product into the bundle, or copy it, progress on the screen. Raises `DataError`."""
    from logicls.plugins.bundled_knowledge import FOLDER, carry_knowledge
    from logicls.report.progress import counting

    if settings.folder:
        pages = carry_knowledge(synth_dir, out, settings)
    else:
        with counting("knowledge", settings.count, console) as counter:
            pages = carry_knowledge(synth_dir, out, settings, done=counter.add)
    console.print(Text(f"knowledge: {pages} pages in {out / FOLDER}"), soft_wrap=True)


def with_expert(synth_dir: Path, out: Path, settings: ExpertSettings) -> None:
    """Fit an expert to the photos that the set was made of, progress on the screen. Raises `DataError` (LC406)."""
    from logicls.models.bundle import read_bundle
    from logicls.plugins.anomaly.fit import fit_expert, photos_of
    from logicls.report.progress import stages

    data = photos_of(synth_dir)
    with stages(console) as begin:
        bar = fit_expert(read_bundle(out), data, settings, begin=lambda total: begin("expert", total).add)
    console.print(Text(f"expert {settings.kind}: {bar.promise}"))


def rewarded(synth_dir: Path, out: Path, recipe: Recipe, *, start: Path | None, unused: Mapping[str, object]) -> None:
    """Go on with a bundle by rewards, progress on the screen; `unused` options must not have been given."""
    from logicls.report.progress import Counter, stages
    from logicls.train.grpo.stage import reward
    from logicls.train.metrics_log import SILENT
    from logicls.train.recipe import refuse_other_options

    refuse_other_options(unused)
    quiet_libraries()
    with stages(console) as begin:
        training = list[Counter]()
        heard = replace(
            SILENT,
            say=lambda line: console.print(Text(line)),
            planned=lambda steps: training.append(begin("reward", steps)),
            told=lambda step, mean: training[0].to(step, f"reward {mean:.3f}"),
        )
        reward(synth_dir, out, recipe, start=start, heard=heard)


def trained(
    synth_dir: Path,
    out: Path,
    recipe: Recipe,
    *,
    resume: bool,
    start: Path | None = None,
    workers: int = 1,
    download: bool = False,
) -> None:
    """Train by that recipe, progress on the screen."""
    from logicls.report.progress import Counter, stages
    from logicls.train.fit import fit, looked_at

    quiet_libraries()
    with stages(console) as begin:
        preparing = begin("preflight", looked_at(synth_dir, recipe))
        looking, training = list[Counter](), list[Counter]()

        def looked(done: int, steps: int) -> None:
            if not looking:
                looking.append(begin("close looks", steps))
            looking[0].to(done)

        def planned(steps: int) -> None:
            training.append(begin("train", steps))

        def told(step: int, loss: float) -> None:
            training[0].to(step, f"loss {loss:.3f}")

        fit(
            synth_dir, out, recipe, resume=resume, start=start, workers=workers, download=download,
            say=lambda line: console.print(Text(line)), prepared=preparing.add, looked=looked,
            planned=planned, told=told,
        )  # fmt: skip


def base(
    out: OUT,
    recipe: Annotated[
        Path | None, typer.Option(help="Recipe, a YAML file; the shipped train/base.yaml if left out.")
    ] = None,
    start: Annotated[Path | None, typer.Option("--from", help="Base weights to begin with.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes that make photos.")] = 2,
) -> None:
    """Make the base weights that products' models begin with, out of made photos of many things."""
    from logicls.io.resources import share
    from logicls.pretraining.base_training import make_base, read_base_recipe
    from logicls.pretraining.photo_store import EACH, MARKS_EACH
    from logicls.report.progress import Counter, stages

    plan = read_base_recipe(recipe or share("train/base.yaml"))
    quiet_libraries()
    with stages(console) as begin:
        marks = plan.mark_shards * MARKS_EACH if plan.marks else 0
        making, training = begin("photos", plan.shards * EACH + marks), list[Counter]()

        def told(step: int, loss: float) -> None:
            if not training:
                training.append(begin("train", plan.steps + plan.marks))
            training[0].to(step, f"loss {loss:.3f}")

        make_base(out, plan, start=start, workers=workers, resume=resume, made=making.add, told=told)
    console.print(f"{out}: base weights")


def quiet_libraries() -> None:
    """Libraries' own bars would stand in the way of ours."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
