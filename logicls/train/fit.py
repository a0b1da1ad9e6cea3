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
from logicls.io.resources import share
from logicls.models.bundle import Bundle, load_bundle, write_bundle
from logicls.models.nano import NanoConfig, NanoForImageTextToText
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.processor import expand_model
from logicls.predict.self_test import write_probe
from logicls.synth.dataset import read_rows
from logicls.synth.invariances import is_orientation_free
from logicls.train import time_budget as pace
from logicls.train.calibration import MAX_DETECTION_EXAMPLES as MOST
from logicls.train.calibration import calibrate, raise_lights
from logicls.train.crop_pretraining import learn_closely
from logicls.train.distributed import Rank, launched, together
from logicls.train.hub_fit import fit_hub
from logicls.train.lightning_module import Told, step_of
from logicls.train.metrics_log import SILENT, Listener
from logicls.train.online_examples import fresh_of
from logicls.train.preflight import Flight, count_examples, preflight
from logicls.train.recipe import NANO, Recipe, refuse_misplaced
from logicls.train.run import Run, claim_run, draw_pictures, learn, measure
from logicls.train.validation import shown, split_photos, told_aside

SAMPLE = 500
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
    told: Told = lambda step, loss: None,
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
    refuse_misplaced(recipe)
    heard = Listener(say, prepared, looked, planned, told)
    if recipe.model != NANO:
        return fit_hub(synth, out, recipe, resume=resume, start=start, download=download, heard=heard)
    _refuse_odd_shares(recipe, launched() or Rank(of=recipe.processes))
    work = partial(_fit, synth, out, recipe, resume=resume, start=start, workers=workers)
    with together(recipe.processes, work) as rank:
        bundle = work(rank=rank, listener=heard)
        rank.wait()
        return bundle or load_bundle(out)


def _fit(
    synth: Path,
    out: Path,
    recipe: Recipe,
    *,
    resume: bool,
    start: Path | None,
    workers: int,
    rank: Rank,
    listener: Listener = SILENT,
) -> Bundle | None:
    """What each process does; the first one has a bundle in the end."""
    began, last = time.perf_counter(), out / "work" / "last.ckpt"
    heard = listener if rank.is_first else SILENT
    run = _ready(Run(synth, out, recipe, rank), workers, heard, resume=resume)
    lightning.seed_everything(recipe.seed, verbose=False)
    model = make_model(recipe, run.flight)
    run = replace(run, checkpoint=last if resume and last.exists() else None)
    if start is not None:
        _begin_with(model, run.flight, start)
    elif run.checkpoint is None:
        learn_closely(model, run, heard)
    run = _planned(run, model, began, heard)
    learn(model, run, heard)
    return _written(model, run, heard) if rank.is_first else None


def _ready(run: Run, workers: int, heard: Listener, *, resume: bool) -> Run:
    """The folder claimed and the examples prepared: by the first process, so that the others find them."""
    if run.rank.is_first:
        claim_run(run.work, run.recipe, resume=resume)
        delete_temporary_files(run.work)
        run = _prepared(run, workers, heard.prepared)
    run.rank.wait()
    if not run.rank.is_first:
        run = _prepared(run, workers, heard.prepared)
    fresh = [run.fresh.report] if run.fresh else []
    for line in [*run.flight.report, *fresh, *told_aside(run.split)]:
        heard.say(line)
    return run


def _written(model: NanoForImageTextToText, run: Run, heard: Listener) -> Bundle:
    model.train(mode=False)
    flight, few = run.flight, run.to_settle(MOST)
    if few:
        limit = raise_lights(model, run.codec, shown(flight, run.codec, few, run.recipe.batch))
        heard.say(f"a thing counts from a chance of {limit:.2f} on, which is called a half from now on")
    bundle = write_bundle(
        run.out, model=model, processor=flight.processor, spec_file=run.synth / "spec.yaml",
        max_boxes=flight.boxes + 1,
    )  # fmt: skip
    write_probe(bundle, run.synth)
    calibrate(bundle, run.synth, run.split, run.recipe.seed, heard.say)
    draw_pictures(run)
    return bundle


def _prepared(run: Run, workers: int, done: Callable[[int], None]) -> Run:
    recipe = run.recipe
    flight = preflight(
        run.synth,
        run.work,
        visual_tokens=recipe.visual_tokens,
        detail=recipe.detail,
        base=base_of(recipe),
        verdict_weight=recipe.verdict_weight,
        most=_sampled(recipe),
        done=done,
    )
    photos = [row["photo"] for row in islice(read_rows(run.synth, ("photo",)), len(flight.examples))]
    split = split_photos(photos, recipe.heldout, recipe.seed)
    fresh = fresh_of(
        run.synth,
        flight,
        share=recipe.fresh,
        batch=recipe.batch,
        verdict_weight=recipe.verdict_weight,
        workers=workers,
        without=split.photos,
    )
    return replace(run, flight=flight, split=split, fresh=replace(fresh, rank=run.rank) if fresh else None)


def _refuse_odd_shares(recipe: Recipe, rank: Rank) -> None:
    """Each process must have the same share of a batch, of its fresh part and of the rest."""
    fresh = round(recipe.fresh * recipe.batch)
    if recipe.batch % rank.of or fresh % rank.of:
        parts = f"{recipe.batch}" + (f", {fresh} of them fresh," if fresh else "")
        message = f"a batch of {parts} cannot be shared evenly by {rank.of} processes."
        advice = f"Make `batch` a multiple of {rank.of}, or use another number of processes."
        raise RecipeError(Problem("LC414", message, advice=advice))


def _planned(run: Run, model: NanoForImageTextToText, began: float, heard: Listener) -> Run:
    """The run with as many steps as it was begun with, or as it has time for; says how long it takes."""
    mark, done = run.work / "plan.json", step_of(run.checkpoint)
    steps = pace.planned(mark)
    if steps is None or steps > done:
        found = measure(model, run)
        gone = run.rank.agreed(time.perf_counter() - began)
        steps = steps or pace.steps_for(run.recipe, found, gone)
        heard.say(found.said(steps - done))
        most = None if run.recipe.minutes else run.recipe.most_minutes
        if most and steps < run.recipe.steps:
            limit = f"{most:g} minutes, which --minutes overrules"
            heard.say(f"the {run.recipe.steps} steps of the recipe would take longer than its {limit}")
    if run.rank.is_first:
        pace.write_plan(mark, steps)
    heard.planned(steps)
    return replace(run, steps=steps)


def make_model(recipe: Recipe, flight: Flight) -> NanoForImageTextToText:
    """A nano for this product's words and photos: the base's, grown, or one of the recipe's size that knows nothing."""
    base, any_way = base_of(recipe), is_orientation_free(flight.spec)
    if base is not None:
        return expand_model(base, flight.processor, orientation_invariant=any_way)
    codec = NanoAnswerCodec(flight.processor)
    sizes = {"width": recipe.width, "encoder_layers": recipe.encoder_layers, "decoder_layers": recipe.decoder_layers}
    config = NanoConfig(
        vocab_size=len(flight.processor.tokenizer),
        image_size=flight.processor.image_processor.size,
        detail=flight.processor.image_processor.detail,
        orientation_invariant=any_way,
        image_token_id=codec.image,
        answer_token_id=codec.answer_start,
        pad_token_id=codec.pad,
        eos_token_id=codec.end,
        **{name: size for name, size in sizes.items() if size is not None},
    )
    return NanoForImageTextToText(config)


def base_of(recipe: Recipe) -> Path | None:
    """Where the weights are that a run begins with; None where it begins with nothing."""
    return share("train/base") if recipe.base else None


def looked_at(synth: Path, recipe: Recipe) -> int:
    """How many examples preflight looks at. Raises `DataError` where there are none."""
    return min(count_examples(synth), _sampled(recipe) or sys.maxsize)


def _sampled(recipe: Recipe) -> int | None:
    """A sample of the set is enough where none of it is trained on; all of it (None) otherwise."""
    return SAMPLE if round(recipe.fresh * recipe.batch) == recipe.batch else None


def _begin_with(model: NanoForImageTextToText, flight: Flight, start: Path) -> None:
    """Take over the weights of a bundle whose sizes and words are the same."""
    bundle = load_bundle(start)
    same_words = bundle.processor.tokenizer.get_vocab() == flight.processor.tokenizer.get_vocab()
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    if not same_words or shapes != {name: value.shape for name, value in bundle.model.state_dict().items()}:
        message = "has another size, or was trained for other words, than this recipe and this dataset make."
        raise RecipeError(Problem("LC412", message, str(start), advice="Train from scratch, without --from."))
    model.load_state_dict(bundle.model.state_dict())
