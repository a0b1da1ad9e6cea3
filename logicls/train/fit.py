"""`logicls train`: preflight, fit, and a bundle that has proved that it answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

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
from logicls.train import time_budget as pace
from logicls.train.calibration import MAX_DETECTION_EXAMPLES as MOST
from logicls.train.calibration import calibrate, recenter_detection_scores
from logicls.train.crop_pretraining import pretrain_crop_encoder
from logicls.train.distributed import ProcessRank, read_torchrun_rank, launch_processes
from logicls.train.hub_fit import fit_hub
from logicls.train.lightning_module import StepCallback, read_checkpoint_step
from logicls.train.metrics_log import SILENT, TrainingObserver
from logicls.train.online_examples import open_online_examples
from logicls.train.preflight import PreflightResult, count_examples, preflight
from logicls.train.recipe import NANO, Recipe, check_applicable_keys
from logicls.train.run import TrainingRun, register_run, plot_metrics, train_model, measure_step_time_of_run
from logicls.train.validation import iterate_batches, split_photos, describe_split

PREFLIGHT_SAMPLE = 500
"""Examples of the set that are looked at before a run that makes all of its own."""


def fit(
    synth: Path,
    out: Path,
    recipe: Recipe,
    *,
    resume: bool = False,
    start: Path | None = None,
    workers: int = 1,
    download: bool = False,
    say: Callable[[str], None] = print,
    prepared: Callable[[int], None] = lambda _: None,
    looked: Callable[[int, int], None] = lambda done, steps: None,
    planned: Callable[[int], None] = lambda steps: None,
    told: StepCallback = lambda step, loss: None,
) -> Bundle:
    """Train on the dataset in `synth`, write the bundle to `out`.

    `say` gets lines for people, `prepared` how many more examples went through preflight, `looked` how many steps of
    how many close looks have learned by themselves, `planned` the number of steps of the whole before the first one,
    `told` each of these and its loss. So many `workers` are the processes that make fresh examples; they change nothing
    but the speed. With `resume` the run goes on from its last checkpoint, to the same weights as if it had never
    stopped. `start` is a bundle whose weights it begins with. A model of the hub that is not on this machine is fetched
    with `download` alone.

    Raises:
        DataError: The dataset cannot be used, or fresh examples cannot be made.
        RecipeError: `resume` with a recipe other than the one the run was begun with, `start` with a bundle of
            another size or other words, too few minutes, or batches that the processes cannot share.
        BundleError: `start` cannot be loaded.
    """
    check_applicable_keys(recipe)
    observer = TrainingObserver(say, prepared, looked, planned, told)
    if recipe.model != NANO:
        return fit_hub(synth, out, recipe, resume=resume, start=start, download=download, observer=observer)
    _check_even_shares(recipe, read_torchrun_rank() or ProcessRank(world_size=recipe.processes))
    process_work = partial(_fit_in_process, synth, out, recipe, resume=resume, start=start, workers=workers)
    with launch_processes(recipe.processes, process_work) as rank:
        bundle = process_work(rank=rank, listener=observer)
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
    """What each process does; the first one has a bundle in the end."""
    started, last = time.perf_counter(), out / "work" / "last.ckpt"
    active_observer = observer if rank.is_first else SILENT
    run = _prepare_run(TrainingRun(synth, out, recipe, rank), workers, active_observer, resume=resume)
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


def _prepare_run(run: TrainingRun, workers: int, observer: TrainingObserver, *, resume: bool) -> TrainingRun:
    """The folder claimed and the examples prepared: by the first process, so that the others find them."""
    if run.rank.is_first:
        register_run(run.work, run.recipe, resume=resume)
        delete_temporary_files(run.work)
        run = _run_preflight(run, workers, observer.on_preflight)
    run.rank.barrier()
    if not run.rank.is_first:
        run = _run_preflight(run, workers, observer.on_preflight)
    online = [run.online.report] if run.online else []
    for line in [*run.preflight.report, *online, *describe_split(run.split)]:
        observer.on_message(line)
    return run


def _write_bundle(model: NanoForImageTextToText, run: TrainingRun, observer: TrainingObserver) -> Bundle:
    model.train(mode=False)
    preflight_result, numbers = run.preflight, run.select_threshold_examples(MOST)
    if numbers:
        threshold = recenter_detection_scores(
            model, run.codec, iterate_batches(preflight_result, run.codec, numbers, run.recipe.batch)
        )
        observer.on_message(f"a thing counts from a chance of {threshold:.2f} on, which is called a half from now on")
    bundle = write_bundle(
        run.out, model=model, processor=preflight_result.processor, spec_file=run.synth / "spec.yaml",
        max_boxes=preflight_result.boxes + 1,
    )  # fmt: skip
    write_probe(bundle, run.synth)
    calibrate(bundle, run.synth, run.split, run.recipe.seed, observer.on_message)
    plot_metrics(run)
    return bundle


def _run_preflight(run: TrainingRun, workers: int, on_progress: Callable[[int], None]) -> TrainingRun:
    recipe = run.recipe
    preflight_result = preflight(
        run.synth,
        run.work,
        visual_tokens=recipe.visual_tokens,
        detail=recipe.detail,
        base=find_base_weights(recipe),
        verdict_weight=recipe.verdict_weight,
        max_examples=_preflight_limit(recipe),
        on_progress=on_progress,
    )
    photos = [row["photo"] for row in islice(read_rows(run.synth, ("photo",)), len(preflight_result.examples))]
    split = split_photos(photos, recipe.validation, recipe.seed)
    online = open_online_examples(
        run.synth,
        preflight_result,
        share=recipe.online,
        batch=recipe.batch,
        verdict_weight=recipe.verdict_weight,
        workers=workers,
        excluded_photos=split.validation_photos,
    )
    return replace(run, flight=preflight_result, split=split, fresh=replace(online, rank=run.rank) if online else None)


def _check_even_shares(recipe: Recipe, rank: ProcessRank) -> None:
    """Each process must have the same share of a batch, of its fresh part and of the rest."""
    online = round(recipe.online * recipe.batch)
    if recipe.batch % rank.world_size or online % rank.world_size:
        parts = f"{recipe.batch}" + (f", {online} of them fresh," if online else "")
        message = f"a batch of {parts} cannot be shared evenly by {rank.world_size} processes."
        advice = f"Make `batch` a multiple of {rank.world_size}, or use another number of processes."
        raise RecipeError(Problem("LC414", message, advice=advice))


def _plan_steps(
    run: TrainingRun, model: NanoForImageTextToText, started: float, observer: TrainingObserver
) -> TrainingRun:
    """The run with as many steps as it was begun with, or as it has time for; says how long it takes."""
    plan, done = run.work / "plan.json", read_checkpoint_step(run.checkpoint)
    steps = pace.read_planned_steps(plan)
    if steps is None or steps > done:
        step_time = measure_step_time_of_run(model, run)
        elapsed = run.rank.broadcast(time.perf_counter() - started)
        steps = steps or pace.choose_steps(run.recipe, step_time, elapsed)
        observer.on_message(step_time.to_text(steps - done))
        max_minutes = None if run.recipe.minutes else run.recipe.max_minutes
        if max_minutes and steps < run.recipe.steps:
            limit = f"{max_minutes:g} minutes, which --minutes overrules"
            observer.on_message(f"the {run.recipe.steps} steps of the recipe would take longer than its {limit}")
    if run.rank.is_first:
        pace.write_plan(plan, steps)
    observer.on_plan(steps)
    return replace(run, steps=steps)


def make_model(recipe: Recipe, preflight_result: PreflightResult) -> NanoForImageTextToText:
    """A nano for this product's words and photos: the base's, grown, or one of the recipe's size that knows nothing."""
    base, any_way = find_base_weights(recipe), is_orientation_free(preflight_result.spec)
    if base is not None:
        return expand_model(base, preflight_result.processor, orientation_invariant=any_way)
    codec = NanoAnswerCodec(preflight_result.processor)
    sizes = {"width": recipe.width, "encoder_layers": recipe.encoder_layers, "decoder_layers": recipe.decoder_layers}
    config = NanoConfig(
        vocab_size=len(preflight_result.processor.tokenizer),
        image_size=preflight_result.processor.image_processor.size,
        detail=preflight_result.processor.image_processor.detail,
        orientation_invariant=any_way,
        image_token_id=codec.image,
        answer_token_id=codec.answer_start,
        pad_token_id=codec.pad,
        eos_token_id=codec.end,
        **{name: size for name, size in sizes.items() if size is not None},
    )
    return NanoForImageTextToText(config)


def find_base_weights(recipe: Recipe) -> Path | None:
    """Where the weights are that a run begins with; None where it begins with nothing."""
    return resource_path("train/base") if recipe.base else None


def count_preflight_examples(synth: Path, recipe: Recipe) -> int:
    """How many examples preflight looks at. Raises `DataError` where there are none."""
    return min(count_examples(synth), _preflight_limit(recipe) or sys.maxsize)


def _preflight_limit(recipe: Recipe) -> int | None:
    """A sample of the set is enough where none of it is trained on; all of it (None) otherwise."""
    return PREFLIGHT_SAMPLE if round(recipe.online * recipe.batch) == recipe.batch else None


def _load_start_weights(model: NanoForImageTextToText, preflight_result: PreflightResult, start: Path) -> None:
    """Take over the weights of a bundle whose sizes and words are the same."""
    bundle = load_bundle(start)
    same_words = bundle.processor.tokenizer.get_vocab() == preflight_result.processor.tokenizer.get_vocab()
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    if not same_words or shapes != {name: value.shape for name, value in bundle.model.state_dict().items()}:
        message = "has another size, or was trained for other words, than this recipe and this dataset make."
        raise RecipeError(Problem("LC412", message, str(start), advice="Train from scratch, without --from."))
    model.load_state_dict(bundle.model.state_dict())
