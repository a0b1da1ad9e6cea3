"""Fine-tuning a model of the hub: an adapter learns the answers, and a bundle proves that it applies."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from logicls.errors import Problem, RecipeError
from logicls.io.atomic import delete_temporary_files
from logicls.models.bundle import Bundle, load_bundle, write_hub_bundle
from logicls.models.hub.adapters import add_adapter, set_adapter_weights
from logicls.models.hub.answer_codec import HubAnswerCodec
from logicls.models.hub.bundle_io import HubModelInfo, read_adapter, describe_base
from logicls.models.hub.chat_template import read_chat_format
from logicls.models.hub.loading import (
    box_format_for,
    find_checkpoint,
    conventions_for,
    load_model,
    load_processor,
    choose_precision,
)
from logicls.predict.self_test import write_probe
from logicls.train.calibration import calibrate
from logicls.train.distributed import Rank
from logicls.train.hub_dataset import AHEAD as READ_AHEAD
from logicls.train.hub_dataset import Examples, HubFeed, open_rows
from logicls.train.hub_module import HubResample, HubTuner, HubWatch
from logicls.train.hub_preflight import (
    HubFlight,
    gigabytes,
    memory_here,
    memory_of,
    preflight_hub,
    rehearse,
    seconds_of,
)
from logicls.train.lightning_module import Told, run_loop, step_of
from logicls.train.metrics_log import Curve, Listener, plot_curve
from logicls.train.recipe import Recipe
from logicls.train.run import claim_run
from logicls.train.sampler import AHEAD, COLUMNS, HEAD, ByWeight, Difficulty, Draws, Evenly, cells_of, plot_difficulty
from logicls.train.validation import Split, split_photos, told_aside


def fit_hub(
    synth: Path, out: Path, recipe: Recipe, *, resume: bool, start: Path | None, download: bool, heard: Listener
) -> Bundle:
    """Train an adapter for the recipe's model on the dataset in `synth`, write the bundle to `out`.

    Raises:
        BundleError: The model is not on this machine, or cannot be used.
        DataError: The dataset cannot be used with this model.
        RecipeError: `resume` with another recipe, or `start` with a bundle that does not fit.
    """
    work = out / "work"
    claim_run(work, recipe, resume=resume)
    delete_temporary_files(work)
    model, examples, hub = _opened(synth, work, recipe, download=download)
    flight = preflight_hub(examples, model, recipe.model, done=heard.prepared)
    rehearse(examples, model, recipe.model)
    lightning.seed_everything(recipe.seed, verbose=False)
    given = recipe.hub
    adapter = add_adapter(model, rank=given.rank, alpha=given.alpha, dropout=given.dropout, scope=given.where)
    if start is not None:
        _begin_with(adapter, hub, start)
    base = _prepared(adapter, recipe)
    for line in [*flight.report, *_costs(examples, base, flight, recipe)]:
        heard.say(line)
    split = split_photos(examples.rows["photo"], recipe.heldout, recipe.seed)
    for line in told_aside(split):
        heard.say(line)
    last = work / "last.ckpt"
    heard.planned(recipe.steps)
    _learn(base, examples, split, recipe, last if resume and last.exists() else None, out, heard.told)
    write_hub_bundle(
        out, adapter=adapter.eval(), processor=examples.processor, hub=hub, spec_file=synth / "spec.yaml",
        max_boxes=flight.boxes + 1,
    )  # fmt: skip
    del model, adapter, base, examples  # the bundle loads the model anew: there may be no room for two
    bundle = load_bundle(out)
    write_probe(bundle, synth)
    calibrate(bundle, synth, split, recipe.seed, heard.say)
    plot_curve(out / "training.csv", out / "loss.png")
    if recipe.difficulty:
        plot_difficulty(work / "difficulty.csv", out / "difficulty.png")
    return bundle


def _opened(synth: Path, work: Path, recipe: Recipe, *, download: bool) -> tuple[Any, Examples, HubModelInfo]:
    """Model, examples, and what the bundle has to know of the model."""
    given, rows = recipe.hub, open_rows(synth, work)
    base = find_checkpoint(recipe.model, download=download)
    processor = load_processor(base.path, given.processor)
    precision = choose_precision(given.precision)
    model = load_model(base.path, precision=precision, four_bit=given.four_bit)
    boxes = conventions_for(model.config.model_type).boxes
    codec = HubAnswerCodec(
        box_format_for(boxes, processor), read_chat_format(processor, recipe.model), processor.tokenizer
    )
    hub = describe_base(base, merged=given.merge, precision=precision, four_bit=given.four_bit, boxes=boxes)
    return model, Examples(rows, processor, codec), hub


def _prepared(adapter: Any, recipe: Recipe) -> Any:
    """The model with its adapter inside, ready to learn."""
    if recipe.hub.four_bit:
        from peft import prepare_model_for_kbit_training

        prepare_model_for_kbit_training(adapter, use_gradient_checkpointing=False)
        for name, weight in adapter.named_parameters():
            weight.requires_grad_("lora_" in name)
    base = adapter.get_base_model()
    if recipe.hub.gradient_checkpointing:
        # transformers renamed it between two releases of version 5
        enable = getattr(base, "activation_checkpointing_enable", None) or base.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    return base.train()


def _costs(examples: Examples, model: Any, flight: HubFlight, recipe: Recipe) -> list[str]:
    """Memory and time, before they are spent."""
    rows = recipe.batch // recipe.hub.accumulate
    memory = memory_of(
        model, rows=rows, tokens=flight.lengths[-1], told=flight.told,
        gradient_checkpointing=recipe.hub.gradient_checkpointing,
    )  # fmt: skip
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    here = memory_here()
    lines = [
        f"{trained:,} weights are trained, of {sum(weight.numel() for weight in model.parameters()):,}",
        f"memory: about {gigabytes(memory.total)} (weights {gigabytes(memory.weights)}, optimiser "
        f"{gigabytes(memory.trained)}, between the layers {gigabytes(memory.between)}, answers "
        f"{gigabytes(memory.logits)}); this machine has {gigabytes(here)}",
    ]
    if memory.total > here:
        lines.append("warning: this may not fit; raise hub.accumulate, set hub.gradient_checkpointing, or hub.four_bit")
    seconds = seconds_of(examples, model, flight, rows) * recipe.hub.accumulate
    return [*lines, f"time: about {seconds * recipe.steps / 60:.0f} min, {seconds:.1f} s a step at most"]


def _learn(
    model: Any, examples: Examples, split: Split, recipe: Recipe, checkpoint: Path | None, out: Path, told: Told
) -> None:
    start = step_of(checkpoint)
    draws = _draws(examples, split, recipe)
    feed = HubFeed(
        examples, draws=draws, start=start, stop=recipe.steps, parts=recipe.hub.accumulate,
        jitter=recipe.jitter, verdict_weight=recipe.verdict_weight, seed=recipe.seed,
    )  # fmt: skip
    tuner = HubTuner(model, steps=recipe.steps, lr=recipe.lr, weight_decay=recipe.weight_decay, seed=recipe.seed)
    with ExitStack() as stack:
        curve = stack.enter_context(Curve(out / "training.csv", start, "step,loss"))

        def both(step: int, loss: float) -> None:
            curve.add(step, loss)
            told(step, loss)

        callbacks: list[Callback] = [HubWatch(out / "work" / "last.ckpt", every=recipe.checkpoint_every, told=both)]
        if isinstance(draws, ByWeight):
            table = stack.enter_context(Curve(out / "work" / "difficulty.csv", start, HEAD))
            callbacks.insert(0, HubResample(draws, table))
        run_loop(
            tuner, feed, callbacks, steps=recipe.steps, checkpoint=checkpoint, rank=Rank(), parts=recipe.hub.accumulate
        )


def _draws(examples: Examples, split: Split, recipe: Recipe) -> Draws:
    """Which examples each step takes."""
    if not recipe.difficulty:
        return Evenly(split.learned, batch=recipe.batch, seed=recipe.seed)
    difficulty = Difficulty(cells_of(examples.rows.select_columns(list(COLUMNS))), split.learned)
    return ByWeight(difficulty, split.learned, batch=recipe.batch, seed=recipe.seed, ahead=AHEAD + READ_AHEAD)


def _begin_with(adapter: Any, hub: HubModelInfo, start: Path) -> None:
    """Take over the adapter of a bundle of the same base model."""
    there, weights = read_adapter(start)
    if there is None or there.merged or there.sha256 != hub.sha256:
        message = "holds no adapter of this model."
        raise RecipeError(Problem("LC412", message, str(start), advice="Train from scratch, without --from."))
    set_adapter_weights(adapter, weights, start)
