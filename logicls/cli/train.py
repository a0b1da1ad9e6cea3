"""Commands `train` and `base`: train a product's model, and the base weights that it starts from."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from logicls.cli.environment import silence_progress_bars
from logicls.cli.options import OUT, console, print_line
from logicls.errors import count_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logicls.plugins.settings import ExpertSettings, KnowledgeSettings, ProductRecipe
    from logicls.train.recipe import Recipe

OVERRIDES = "Overrides of the recipe"
"""Panel of the help."""


class TrainingStage(StrEnum):
    """Stage of training."""

    sft = "sft"
    """Supervised fine-tuning on the correct answers."""
    grpo = "grpo"
    """Reinforcement learning with rewards for sampled answers (GRPO)."""


STAGE = Annotated[
    TrainingStage,
    typer.Option(help="sft: supervised fine-tuning; grpo: continue a bundle (--from) by reinforcement learning."),
]
MODEL = Annotated[
    str | None,
    typer.Option(rich_help_panel=OVERRIDES, help="`nano` (built-in), or a Hugging Face model by its name or folder."),
]
ONLINE = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, rich_help_panel=OVERRIDES, help="Fraction of each batch that is synthesised during training."
    ),
]
MINUTES = Annotated[
    float | None,
    typer.Option(min=0, rich_help_panel=OVERRIDES, help="Time limit in minutes; sets the number of steps."),
]
PROCESSES = Annotated[
    int | None,
    typer.Option(min=1, rich_help_panel=OVERRIDES, help="Processes for data-parallel training on this machine."),
]


def train(
    synth_dir: Annotated[
        Path, typer.Argument(metavar="SYNTH_DIR", help="Training data, a folder written by `logicls synth`.")
    ],
    out: OUT,
    recipe: Annotated[
        Path | None,
        typer.Option(help="Training recipe, a YAML file. Default: train/nano.yaml; with --model, train/hub.yaml."),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Download the model if it is not on this machine.")
    ] = False,
    start: Annotated[
        Path | None, typer.Option("--from", help="Start from the weights of this bundle instead of the base weights.")
    ] = None,
    stage: STAGE = TrainingStage.sft,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes that create online examples.")] = 1,
    model: MODEL = None,
    online: ONLINE = None,
    minutes: MINUTES = None,
    processes: PROCESSES = None,
) -> None:
    """Train a model on synthesised data, calibrate it, and write a bundle for inspection."""
    from logicls.io.resources import resource_path
    from logicls.plugins.settings import read_product_recipe
    from logicls.train.distributed import read_torchrun_rank

    rank = read_torchrun_rank()
    console.quiet = rank is not None and not rank.is_first
    default = f"train/{'nano' if model in (None, 'nano') else 'hub'}.yaml"
    product_recipe = read_product_recipe(recipe or resource_path(default))
    overrides = {"model": model, "online": online, "minutes": minutes, "processes": processes}
    changes = {key: value for key, value in overrides.items() if value is not None}
    product_recipe = product_recipe.model_copy(update=changes)
    if rank is None or rank.is_first:
        check_plugins(synth_dir, product_recipe)
    if stage is TrainingStage.grpo:
        options = {**overrides, "resume": resume, "download": download}
        train_by_rewards(synth_dir, out, product_recipe, start=start, unused=options)
    else:
        train_with_progress(
            synth_dir, out, product_recipe, resume=resume, start=start, workers=workers, download=download
        )
    if rank is None or rank.is_first:
        add_plugins(synth_dir, out, product_recipe)
    print_line(f"{out}: bundle")


def check_plugins(synth_dir: Path, recipe: ProductRecipe) -> None:
    """Check before training that the plug-ins of the recipe can be added. Raises `SpecError`, `DataError`."""
    from logicls.plugins.bundled_knowledge import check_knowledge, check_reasoner

    if recipe.reasoner is not None:
        check_reasoner(recipe.reasoner, recipe.model)
    if recipe.knowledge is not None:
        check_knowledge(recipe.knowledge, synth_dir)


def add_plugins(synth_dir: Path, out: Path, recipe: ProductRecipe) -> None:
    """Add the plug-ins of the recipe to the bundle, with progress on the console. Raises `DataError`."""
    if recipe.expert is not None:
        add_expert(synth_dir, out, recipe.expert)
    if recipe.reasoner is not None:
        from logicls.plugins.selection import set_default_plugins

        set_default_plugins(out, reasoner=recipe.reasoner.model_dump(exclude_none=True))
        print_line(f"reasoner {recipe.reasoner.name}")
    if recipe.knowledge is not None:
        add_knowledge(synth_dir, out, recipe.knowledge)


def add_knowledge(synth_dir: Path, out: Path, settings: KnowledgeSettings) -> None:
    """Draft a knowledge base in the bundle, or copy an existing one. Raises `DataError`."""
    from logicls.plugins.bundled_knowledge import KNOWLEDGE_FOLDER, bundle_knowledge
    from logicls.report.progress import show_progress

    if settings.folder:
        pages = bundle_knowledge(synth_dir, out, settings)
    else:
        with show_progress("knowledge base", settings.count, console) as counter:
            pages = bundle_knowledge(synth_dir, out, settings, on_progress=counter.add)
    print_line(f"knowledge base: {count_text(pages, 'page')} in {out / KNOWLEDGE_FOLDER}")


def add_expert(synth_dir: Path, out: Path, settings: ExpertSettings) -> None:
    """Fit an expert to the good photos that the dataset was made from. Raises `DataError` (LC406)."""
    from logicls.models.bundle import load_bundle
    from logicls.plugins.anomaly.fit import find_good_photos, fit_expert
    from logicls.report.progress import show_stages

    data = find_good_photos(synth_dir)
    with show_stages(console) as begin_stage:
        threshold = fit_expert(
            load_bundle(out), data, settings, start_progress=lambda total: begin_stage("expert", total).add
        )
    print_line(f"expert {settings.kind}: {threshold.guarantee}")


def train_by_rewards(
    synth_dir: Path, out: Path, recipe: Recipe, *, start: Path | None, unused: Mapping[str, object]
) -> None:
    """Continue a bundle by reinforcement learning, with progress on the console.

    `unused` are options that this stage does not support; giving one is an error (LC437).
    """
    from logicls.report.progress import ProgressCounter, show_stages
    from logicls.train.grpo.stage import fit_grpo
    from logicls.train.metrics_log import TrainingObserver
    from logicls.train.recipe import check_grpo_options

    check_grpo_options(unused)
    silence_progress_bars()
    with show_stages(console) as begin_stage:
        training = list[ProgressCounter]()
        observer = TrainingObserver(
            on_message=print_line,
            on_plan=lambda steps: training.append(begin_stage("grpo", steps)),
            on_step=lambda step, mean: training[0].update(step, f"mean reward {mean:.3f}"),
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
    """Train a bundle by supervised fine-tuning, with progress on the console."""
    from logicls.report.progress import ProgressCounter, show_stages
    from logicls.train.fit import count_preflight_examples, fit
    from logicls.train.metrics_log import TrainingObserver

    silence_progress_bars()
    with show_stages(console) as begin_stage:
        preflight = begin_stage("preflight", count_preflight_examples(synth_dir, recipe))
        crop_pretraining, training = list[ProgressCounter](), list[ProgressCounter]()

        def show_crop_step(step: int, steps: int) -> None:
            if not crop_pretraining:
                crop_pretraining.append(begin_stage("crop encoder", steps))
            crop_pretraining[0].update(step)

        observer = TrainingObserver(
            on_message=print_line,
            on_examples=preflight.add,
            on_crop_step=show_crop_step,
            on_plan=lambda steps: training.append(begin_stage("train", steps)),
            on_step=lambda step, loss: training[0].update(step, f"loss {loss:.3f}"),
        )
        fit(
            synth_dir, out, recipe, resume=resume, start=start, workers=workers, download=download, observer=observer
        )  # fmt: skip


def base(
    out: OUT,
    recipe: Annotated[Path | None, typer.Option(help="Training recipe, a YAML file. Default: train/base.yaml.")] = None,
    start: Annotated[Path | None, typer.Option("--from", help="Start from these base weights.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes that render photos.")] = 2,
) -> None:
    """Pretrain the base weights of the built-in model on rendered photos of many kinds of objects.

    The package includes base weights; this command is needed only to change them.
    """
    from logicls.io.resources import resource_path
    from logicls.pretraining.base_training import read_base_recipe, train_base
    from logicls.pretraining.photo_store import MARKS_PER_SHARD, SCENES_PER_SHARD
    from logicls.report.progress import ProgressCounter, show_stages
    from logicls.train.metrics_log import TrainingObserver

    base_recipe = read_base_recipe(recipe or resource_path("train/base.yaml"))
    silence_progress_bars()
    with show_stages(console) as begin_stage:
        marks = base_recipe.mark_shards * MARKS_PER_SHARD if base_recipe.marks else 0
        rendering = begin_stage("photos", base_recipe.shards * SCENES_PER_SHARD + marks)
        training = list[ProgressCounter]()

        def show_step(step: int, loss: float) -> None:
            if not training:
                training.append(begin_stage("train", base_recipe.steps + base_recipe.marks))
            training[0].update(step, f"loss {loss:.3f}")

        observer = TrainingObserver(on_examples=rendering.add, on_step=show_step)
        train_base(out, base_recipe, start=start, workers=workers, resume=resume, observer=observer)
    print_line(f"{out}: base weights")
