"""`logicls train`: preflight, fit, and a bundle that has proved that it answers."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from logicls.errors import Problem, RecipeError
from logicls.jsonl import sweep
from logicls.models.bundle import Bundle, read_bundle, write_bundle
from logicls.models.codec import Codec
from logicls.models.nano import NanoConfig, NanoForImageTextToText
from logicls.predict.probe import write_probe
from logicls.train.begun import claim_run
from logicls.train.collate import Batches
from logicls.train.curve import Curve, plot_curve
from logicls.train.fresh import Fresh, fresh_of
from logicls.train.hub import Hooks, fit_hub
from logicls.train.hub_recipe import NANO, refuse_misplaced
from logicls.train.preflight import Flight, count_examples, preflight
from logicls.train.recipe import Recipe
from logicls.train.tuner import Told, Tuner, Watch

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
    told: Told = lambda step, loss: None,
) -> Bundle:
    """Train on the dataset in `synth`, write the bundle to `out`.

    `say` gets lines for people, `prepared` how many more examples went through preflight, `told` each step and its
    loss. So many `workers` are the processes that make fresh examples; they change nothing but the speed.
    With `resume` the run goes on from its last checkpoint, to the same weights as if it had never stopped. `start` is
    a bundle whose weights it begins with, in the place of random ones. A model of the hub that is not on this
    machine is fetched with `download` alone.

    Raises:
        DataError: The dataset cannot be used, or fresh examples cannot be made.
        RecipeError: `resume` with a recipe other than the one the run was begun with, or `start` with a bundle of
            another size or other words.
        BundleError: `start` cannot be loaded.
    """
    refuse_misplaced(recipe)
    if recipe.model != NANO:
        hooks = Hooks(say, prepared, told)
        return fit_hub(synth, out, recipe, resume=resume, start=start, download=download, hooks=hooks)
    work = out / "work"
    claim_run(work, recipe, resume=resume)
    sweep(work)
    flight, fresh = _prepared(synth, work, recipe, workers, prepared)
    for line in [*flight.report, *([fresh.report] if fresh else [])]:
        say(line)
    lightning.seed_everything(recipe.seed, verbose=False)
    model = make_model(recipe, flight)
    if start is not None:
        _begin_with(model, flight, start)
    last = work / "last.ckpt"
    checkpoint = last if resume and last.exists() else None
    with Curve(out / "training.csv", _step_of(checkpoint)) as curve:

        def both(step: int, loss: float) -> None:
            curve.add(step, loss)
            told(step, loss)

        with _a_core_for(fresh):
            _train(model, flight, fresh, recipe, checkpoint, Watch(last, every=recipe.checkpoint_every, told=both))
    model.train(mode=False)
    bundle = write_bundle(
        out, model=model, processor=flight.processor, spec_file=synth / "spec.yaml", max_boxes=flight.boxes + 1
    )
    write_probe(bundle, synth)
    plot_curve(out / "training.csv", out / "loss.png")
    return bundle


def _prepared(
    synth: Path, work: Path, recipe: Recipe, workers: int, done: Callable[[int], None]
) -> tuple[Flight, Fresh | None]:
    flight = preflight(
        synth,
        work,
        visual_tokens=recipe.visual_tokens,
        bins=recipe.bins,
        verdict_weight=recipe.verdict_weight,
        most=_sampled(recipe),
        done=done,
    )
    fresh = fresh_of(
        synth,
        flight,
        share=recipe.fresh,
        batch=recipe.batch,
        bins=recipe.bins,
        verdict_weight=recipe.verdict_weight,
        workers=workers,
    )
    return flight, fresh


def make_model(recipe: Recipe, flight: Flight) -> NanoForImageTextToText:
    """A nano of the recipe's size for this product's words and photos."""
    codec = Codec(flight.processor, recipe.bins)
    config = NanoConfig(
        vocab_size=len(flight.processor.tokenizer),
        image_size=flight.processor.image_processor.size,
        width=recipe.width,
        encoder_layers=recipe.encoder_layers,
        decoder_layers=recipe.decoder_layers,
        bins=recipe.bins,
        first_loc=codec.first_loc,
        image_token_id=codec.image,
        pad_token_id=codec.pad,
        eos_token_id=codec.end,
    )
    return NanoForImageTextToText(config)


def looked_at(synth: Path, recipe: Recipe) -> int:
    """How many examples preflight looks at. Raises `DataError` where there are none."""
    return min(count_examples(synth), _sampled(recipe) or sys.maxsize)


def _sampled(recipe: Recipe) -> int | None:
    """A sample of the set is enough where none of it is trained on; all of it (None) otherwise."""
    return SAMPLE if round(recipe.fresh * recipe.batch) == recipe.batch else None


def _train(
    model: NanoForImageTextToText,
    flight: Flight,
    fresh: Fresh | None,
    recipe: Recipe,
    checkpoint: Path | None,
    watch: Watch,
) -> None:
    batches = Batches(
        flight,
        Codec(flight.processor, recipe.bins),
        start=_step_of(checkpoint),
        stop=recipe.steps,
        batch=recipe.batch,
        jitter=recipe.jitter,
        seed=recipe.seed,
        fresh=fresh,
    )
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = lightning.Trainer(
        max_steps=recipe.steps,
        accelerator="auto",
        devices=1,
        gradient_clip_val=1.0,
        callbacks=[watch],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    tuner = Tuner(model, steps=recipe.steps, lr=recipe.lr, weight_decay=recipe.weight_decay)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=r".*IterableDataset.*")
        warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
        trainer.fit(tuner, DataLoader(batches, batch_size=None), ckpt_path=checkpoint, weights_only=True)


@contextmanager
def _a_core_for(fresh: Fresh | None) -> Iterator[None]:
    """One thread less for the model while fresh examples are made: its threads wait for one another.

    However many processes make them, or else another number of them would round sums otherwise.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(max(threads - 1, 1) if fresh else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _begin_with(model: NanoForImageTextToText, flight: Flight, start: Path) -> None:
    """Take over the weights of a bundle whose sizes and words are the same."""
    bundle = read_bundle(start)
    same_words = bundle.processor.tokenizer.get_vocab() == flight.processor.tokenizer.get_vocab()
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    if not same_words or shapes != {name: value.shape for name, value in bundle.model.state_dict().items()}:
        message = "has another size, or was trained for other words, than this recipe and this dataset make."
        raise RecipeError(Problem("LC412", message, str(start), advice="Train from scratch, without --from."))
    model.load_state_dict(bundle.model.state_dict())


def _step_of(checkpoint: Path | None) -> int:
    if checkpoint is None:
        return 0
    state: dict[str, Any] = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
    return int(state["global_step"])
