"""`logicls train`: check the dataset, train the model, calibrate it, and write a bundle with a self-test."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import lightning

from logicls.errors import Problem, RecipeError
from logicls.io.atomic import delete_temporary_files
from logicls.io.resources import resource_path
from logicls.models.bundle import Bundle, load_bundle, write_bundle
from logicls.models.nano import NanoConfig, NanoForImageTextToText
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.processor import expand_model
from logicls.predict.self_test import write_probe
from logicls.synth.dataset import read_rows
from logicls.synth.invariances import is_orientation_free
from logicls.train import time_budget
from logicls.train.appearance import check_appearance_photos, fit_appearance
from logicls.train.calibration import MAX_DETECTION_EXAMPLES, calibrate, recenter_detection_scores
from logicls.train.crop_pretraining import pretrain_crop_encoder
from logicls.train.distributed import ProcessRank, launch_processes, read_torchrun_rank
from logicls.train.hub_fit import fit_hub
from logicls.train.lightning_module import read_checkpoint_step
from logicls.train.metrics_log import PRINTING, SILENT, TrainingObserver
from logicls.train.online_examples import open_online_examples
from logicls.train.photo_split import SPLIT_COLUMNS, describe_split, read_split, split_photos, write_split
from logicls.train.preflight import PreflightResult, count_examples, preflight
from logicls.train.recipe import NANO, Recipe, check_applicable_keys
from logicls.train.run import TrainingRun, measure_run_speed, plot_metrics, register_run, train_model
from logicls.train.validation import iterate_batches

PREFLIGHT_SAMPLE = 500
"""Examples that preflight checks where all training examples are made online."""


def fit(
    synth: Path,
    out: Path,
    recipe: Recipe,
    *,
    resume: bool = False,
    start: Path | None = None,
    workers: int = 1,
    download: bool = False,
    observer: TrainingObserver = PRINTING,
) -> Bundle:
    """Train a model on the dataset in `synth`, calibrate it, and write the bundle to `out`.

    nano: trains all weights with AdamW and the one-cycle policy (Smith and Topin 2018, arXiv 1708.07120), with early
    stopping on photos that were not trained on (`logicls.train.validation`), hard example mining
    (`logicls.train.sampler`), and temperature scaling at the end (Guo et al. 2017, arXiv 1706.04599;
    `logicls.train.calibration`). Models of the hub: trains a LoRA adapter (`logicls.train.hub_fit`). The same seed
    gives the same weights on one CPU.

    Args:
        synth: Folder that `logicls synth` wrote.
        out: Folder of the bundle; its subfolder `work` holds checkpoints and metrics.
        recipe: Settings of the run.
        resume: Continue from the last checkpoint, to the same weights as a run without an interruption.
        start: Bundle whose weights to start from, for the same rules and sizes.
        workers: Processes that synthesise online examples; they change the speed, not the result.
        download: Fetch a model of the hub that is not on this machine.
        observer: Notified of progress.

    Returns:
        The bundle, as loaded from `out`.

    Raises:
        DataError: The dataset cannot be used, or online examples cannot be made.
        RecipeError: A key does not apply to the model; `resume` with a recipe other than the run was started with;
            `start` with another size or vocabulary; too few minutes; or a batch that the processes cannot split.
        BundleError: `start` cannot be loaded.
    """
    check_applicable_keys(recipe)
    check_appearance_photos(synth)
    if recipe.model != NANO:
        return fit_hub(synth, out, recipe, resume=resume, start=start, download=download, observer=observer)
    _check_even_shares(recipe, read_torchrun_rank() or ProcessRank(world_size=recipe.processes))
    process_work = partial(_fit_in_process, synth, out, recipe, resume=resume, start=start, workers=workers)
    with launch_processes(recipe.processes, process_work) as rank:
        bundle = process_work(rank=rank, observer=observer)
        rank.barrier()
        return bundle or load_bundle(out)


def _fit_in_process(
    synth: Path,
    out: Path,
    recipe: Recipe,
    *,
    resume: bool,
    start: Path | None,
    workers: int,
    rank: ProcessRank,
    observer: TrainingObserver = SILENT,
) -> Bundle | None:
    """Train in one of the processes; the first one returns the bundle."""
    started, last = time.perf_counter(), out / "work" / "last.ckpt"
    active_observer = observer if rank.is_first else SILENT
    run = _prepare_run(TrainingRun(synth, out, recipe, rank), workers, active_observer, resume=resume, start=start)
    lightning.seed_everything(recipe.seed, verbose=False)
    model = make_model(recipe, run.preflight)
    run = replace(run, checkpoint=last if resume and last.exists() else None)
    if start is not None:
        _load_start_weights(model, run.preflight, start)
    elif run.checkpoint is None:
        pretrain_crop_encoder(model, run, active_observer)
    run = _plan_steps(run, model, started, active_observer)
    train_model(model, run, active_observer)
    return _write_bundle(model, run, active_observer) if rank.is_first else None


def _prepare_run(
    run: TrainingRun, workers: int, observer: TrainingObserver, *, resume: bool, start: Path | None
) -> TrainingRun:
    """Register the run and prepare its examples, in the first process first, so that the others find them on disk."""
    if run.rank.is_first:
        register_run(run.work, run.recipe, resume=resume)
        delete_temporary_files(run.work)
        run = _run_preflight(run, workers, observer.on_examples, start)
    run.rank.barrier()
    if not run.rank.is_first:
        run = _run_preflight(run, workers, observer.on_examples, start)
    online = [run.online.report] if run.online else []
    for line in [*run.preflight.report, *online, *describe_split(run.split)]:
        observer.on_message(line)
    return run


def _write_bundle(model: NanoForImageTextToText, run: TrainingRun, observer: TrainingObserver) -> Bundle:
    """Centre the detection scores, write the bundle with its self-test, calibrate it, and plot the metrics."""
    model.train(mode=False)
    model.config.exclusive_components = [list(pair) for pair in run.preflight.exclusive_components]
    preflight_result, numbers = run.preflight, run.select_threshold_examples(MAX_DETECTION_EXAMPLES)
    if numbers:
        threshold = recenter_detection_scores(
            model, run.codec, iterate_batches(preflight_result, run.codec, numbers, run.recipe.batch)
        )
        observer.on_message(f"detection threshold: scores are shifted so that {threshold:.2f} becomes 0.5")
    bundle = write_bundle(
        run.out, model=model, processor=preflight_result.processor, spec_file=run.synth / "spec.yaml",
        max_boxes=preflight_result.max_boxes + 1,
    )  # fmt: skip
    fit_appearance(bundle, run.synth, observer.on_message, run.recipe.seed)
    write_probe(bundle, run.synth)
    write_split(bundle.path, run.split)
    calibrate(bundle, run.synth, run.split, run.recipe.seed, observer.on_message)
    plot_metrics(run)
    return bundle


def _run_preflight(
    run: TrainingRun, workers: int, on_progress: Callable[[int], None], start: Path | None
) -> TrainingRun:
    """Check and encode the dataset, split its photos, and open the source of online examples."""
    recipe = run.recipe
    preflight_result = preflight(
        run.synth,
        run.work,
        visual_tokens=recipe.visual_tokens,
        detail=recipe.detail,
        base=find_base_weights(recipe),
        verdict_weight=recipe.verdict_weight,
        max_examples=_count_preflight_limit(recipe),
        on_progress=on_progress,
    )
    rows = islice(read_rows(run.synth, SPLIT_COLUMNS), len(preflight_result.examples))
    split = split_photos(rows, recipe.validation, recipe.seed, previous=read_split(start) if start else None)
    online = open_online_examples(
        run.synth,
        preflight_result,
        share=recipe.online,
        batch=recipe.batch,
        verdict_weight=recipe.verdict_weight,
        workers=workers,
        excluded_photos=split.validation_photos,
    )
    return replace(
        run, preflight=preflight_result, split=split, online=replace(online, rank=run.rank) if online else None
    )


def _check_even_shares(recipe: Recipe, rank: ProcessRank) -> None:
    """Raise `RecipeError` (LC414) where processes would get different shares of a batch, or of its online part."""
    online = round(recipe.online * recipe.batch)
    if recipe.batch % rank.world_size or online % rank.world_size:
        parts = f"{recipe.batch}" + (f", {online} of them online," if online else "")
        message = f"a batch of {parts} cannot be split evenly between {rank.world_size} processes."
        advice = f"Make `batch` a multiple of {rank.world_size}, or use another number of processes."
        raise RecipeError(Problem("LC414", message, advice=advice))


def _plan_steps(
    run: TrainingRun, model: NanoForImageTextToText, started: float, observer: TrainingObserver
) -> TrainingRun:
    """Choose the number of steps: that of a resumed run, or what recipe and time allow; report the expected time."""
    plan, done = run.work / "plan.json", read_checkpoint_step(run.checkpoint)
    steps = time_budget.read_planned_steps(plan)
    if steps is None or steps > done:
        step_time = measure_run_speed(model, run)
        elapsed = run.rank.broadcast(time.perf_counter() - started)
        steps = steps or time_budget.choose_steps(run.recipe, step_time, elapsed)
        observer.on_message(step_time.to_text(steps - done))
        max_minutes = None if run.recipe.minutes else run.recipe.max_minutes
        if max_minutes and steps < run.recipe.steps:
            limit = f"max_minutes: {max_minutes:g}; set --minutes for more"
            observer.on_message(f"fewer than the recipe's {run.recipe.steps} steps fit into its time ({limit})")
    if run.rank.is_first:
        time_budget.write_plan(plan, steps)
    observer.on_plan(steps)
    return replace(run, steps=steps)


def make_model(recipe: Recipe, preflight_result: PreflightResult) -> NanoForImageTextToText:
    """Make a nano for this product's vocabulary and photos, from the base weights or with random ones."""
    base, orientation_invariant = find_base_weights(recipe), is_orientation_free(preflight_result.spec)
    if base is not None:
        return expand_model(
            base, preflight_result.processor, orientation_invariant=orientation_invariant,
            along_diagonals=preflight_result.resolution.along_diagonals,
        )  # fmt: skip
    codec = NanoAnswerCodec(preflight_result.processor)
    sizes: dict[str, Any] = {
        "width": recipe.width, "encoder_layers": recipe.encoder_layers, "decoder_layers": recipe.decoder_layers
    }  # fmt: skip
    config = NanoConfig(
        vocab_size=len(preflight_result.processor.tokenizer),
        image_size=preflight_result.processor.image_processor.size,
        detail=preflight_result.processor.image_processor.detail,
        orientation_invariant=orientation_invariant,
        along_diagonals=preflight_result.resolution.along_diagonals,
        image_token_id=codec.image,
        answer_token_id=codec.answer_start,
        pad_token_id=codec.pad,
        eos_token_id=codec.end,
        **{name: size for name, size in sizes.items() if size is not None},
    )
    return NanoForImageTextToText(config)


def find_base_weights(recipe: Recipe) -> Path | None:
    """Return the folder of the shipped base weights; None with `base: false`."""
    return resource_path("train/base") if recipe.base else None


def count_preflight_examples(synth: Path, recipe: Recipe) -> int:
    """Count the examples that preflight will check. Raises `DataError` where there are none."""
    return min(count_examples(synth), _count_preflight_limit(recipe) or sys.maxsize)


def _count_preflight_limit(recipe: Recipe) -> int | None:
    """Return how many examples preflight checks; None: all. A sample suffices where all examples are made online."""
    return PREFLIGHT_SAMPLE if round(recipe.online * recipe.batch) == recipe.batch else None


def _load_start_weights(model: NanoForImageTextToText, preflight_result: PreflightResult, start: Path) -> None:
    """Load the weights of a bundle with the same sizes and vocabulary. Raises `RecipeError` (LC412)."""
    bundle = load_bundle(start)
    has_same_vocabulary = (
        bundle.nano_processor.tokenizer.get_vocab() == preflight_result.processor.tokenizer.get_vocab()
    )
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    if not has_same_vocabulary or shapes != {
        name: value.shape for name, value in bundle.nano_model.state_dict().items()
    }:
        message = "has another size or vocabulary than the model of this recipe and this dataset."
        raise RecipeError(Problem("LC412", message, str(start), advice="Train from scratch, without --from."))
    model.load_state_dict(bundle.nano_model.state_dict())
