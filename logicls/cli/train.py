"""The commands that train: train, base."""

from __future__ import annotations

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


class TrainingStage(StrEnum):
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
        TrainingStage, typer.Option(help="sft learns true answers; grpo goes on with a bundle (--from), by rewards.")
    ] = TrainingStage.sft,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    online: Annotated[
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
    from logicls.io.resources import resource_path
    from logicls.plugins.settings import read_product_recipe
    from logicls.train.distributed import read_torchrun_rank

    rank = read_torchrun_rank()
    console.quiet = rank is not None and not rank.is_first
    product_recipe = read_product_recipe(
        recipe or resource_path(f"train/{'nano' if model in (None, 'nano') else 'hub'}.yaml")
    )
    overrides = {"model": model, "online": online, "minutes": minutes, "processes": processes}
    product_recipe = product_recipe.model_copy(
        update={key: value for key, value in overrides.items() if value is not None}
    )
    if rank is None or rank.is_first:
        check_plugins(synth_dir, product_recipe)
    if stage is TrainingStage.grpo:
        train_by_rewards(
            synth_dir, out, product_recipe, start=start, unused={**overrides, "resume": resume, "download": download}
        )
    else:
        train_with_progress(
            synth_dir, out, product_recipe, resume=resume, start=start, workers=workers, download=download
        )
    if rank is None or rank.is_first:
        add_plugins(synth_dir, out, product_recipe)
    console.print(f"{out}: bundle")


def check_plugins(synth_dir: Path, plan: ProductRecipe) -> None:
    """Say what cannot be plugged in before hours of work. Raises `SpecError`, `DataError`."""
    from logicls.plugins.bundled_knowledge import check_knowledge, check_reasoner

    if plan.reasoner is not None:
        check_reasoner(plan.reasoner, plan.model)
    if plan.knowledge is not None:
        check_knowledge(plan.knowledge, synth_dir)


def add_plugins(synth_dir: Path, out: Path, plan: ProductRecipe) -> None:
    """Have the bundle carry what the recipe plugs in, progress on the screen. Raises `DataError`."""
    if plan.expert is not None:
        add_expert(synth_dir, out, plan.expert)
    if plan.reasoner is not None:
        from logicls.plugins.selection import set_default_plugins

        set_default_plugins(out, reasoner=plan.reasoner.model_dump(exclude_none=True))
        console.print(Text(f"reasoner {plan.reasoner.name}"))
    if plan.knowledge is not None:
        add_knowledge(synth_dir, out, plan.knowledge)


def add_knowledge(synth_dir: Path, out: Path, settings: KnowledgeSettings) -> None:
    """Draft what is known of the product into the bundle, or copy it, progress on the screen. Raises `DataError`."""
    from logicls.plugins.bundled_knowledge import KNOWLEDGE_FOLDER, bundle_knowledge
    from logicls.report.progress import show_progress

    if settings.folder:
        pages = bundle_knowledge(synth_dir, out, settings)
    else:
        with show_progress("knowledge", settings.count, console) as counter:
            pages = bundle_knowledge(synth_dir, out, settings, on_progress=counter.add)
    console.print(Text(f"knowledge: {pages} pages in {out / KNOWLEDGE_FOLDER}"), soft_wrap=True)


def add_expert(synth_dir: Path, out: Path, settings: ExpertSettings) -> None:
    """Fit an expert to the photos that the set was made of, progress on the screen. Raises `DataError` (LC406)."""
    from logicls.models.bundle import load_bundle
    from logicls.plugins.anomaly.fit import find_good_photos, fit_expert
    from logicls.report.progress import show_stages

    data = find_good_photos(synth_dir)
    with show_stages(console) as begin:
        bar = fit_expert(load_bundle(out), data, settings, start_progress=lambda total: begin("expert", total).add)
    console.print(Text(f"expert {settings.kind}: {bar.guarantee}"))


def train_by_rewards(
    synth_dir: Path, out: Path, recipe: Recipe, *, start: Path | None, unused: Mapping[str, object]
) -> None:
    """Go on with a bundle by rewards, progress on the screen; `unused` options must not have been given."""
    from logicls.report.progress import ProgressCounter, show_stages
    from logicls.train.grpo.stage import fit_grpo
    from logicls.train.observer import TrainingObserver
    from logicls.train.recipe import check_grpo_options

    check_grpo_options(unused)
    silence_progress_bars()
    with show_stages(console) as begin:
        training = list[ProgressCounter]()
        observer = TrainingObserver(
            on_message=lambda line: console.print(Text(line)),
            on_plan=lambda steps: training.append(begin("reward", steps)),
            on_step=lambda step, mean: training[0].update(step, f"reward {mean:.3f}"),
        )
        fit_grpo(synth_dir, out, recipe, start=start, observer=observer)


def train_with_progress(
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
    from logicls.report.progress import ProgressCounter, show_stages
    from logicls.train.fit import count_preflight_examples, fit
    from logicls.train.observer import TrainingObserver

    silence_progress_bars()
    with show_stages(console) as begin:
        preparing = begin("preflight", count_preflight_examples(synth_dir, recipe))
        crop_pretraining, training = list[ProgressCounter](), list[ProgressCounter]()

        def show_crop_step(done: int, steps: int) -> None:
            if not crop_pretraining:
                crop_pretraining.append(begin("crop encoder", steps))
            crop_pretraining[0].update(done)

        observer = TrainingObserver(
            on_message=lambda line: console.print(Text(line)),
            on_examples=preparing.add,
            on_crop_step=show_crop_step,
            on_plan=lambda steps: training.append(begin("train", steps)),
            on_step=lambda step, loss: training[0].update(step, f"loss {loss:.3f}"),
        )
        fit(
            synth_dir, out, recipe, resume=resume, start=start, workers=workers, download=download, observer=observer
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
    from logicls.io.resources import resource_path
    from logicls.pretraining.base_training import train_base, read_base_recipe
    from logicls.pretraining.photo_store import SCENES_PER_SHARD, MARKS_PER_SHARD
    from logicls.report.progress import ProgressCounter, show_stages
    from logicls.train.observer import TrainingObserver

    base_recipe = read_base_recipe(recipe or resource_path("train/base.yaml"))
    silence_progress_bars()
    with show_stages(console) as begin:
        marks = base_recipe.mark_shards * MARKS_PER_SHARD if base_recipe.marks else 0
        making, training = begin("photos", base_recipe.shards * SCENES_PER_SHARD + marks), list[ProgressCounter]()

        def show_step(step: int, loss: float) -> None:
            if not training:
                training.append(begin("train", base_recipe.steps + base_recipe.marks))
            training[0].update(step, f"loss {loss:.3f}")

        observer = TrainingObserver(on_examples=making.add, on_step=show_step)
        train_base(out, base_recipe, start=start, workers=workers, resume=resume, observer=observer)
    console.print(f"{out}: base weights")


def silence_progress_bars() -> None:
    """Libraries' own bars would stand in the way of ours."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
