"""`logicls train --stage grpo`: a bundle answers, the checker gives rewards, what is worth more becomes likelier."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning
import numpy as np

from logicls.constraints.decompose import VERDICT
from logicls.constraints.load import load_spec
from logicls.errors import Problem, RecipeError
from logicls.models.bundle import Bundle, read_bundle, write_bundle, write_hub_bundle
from logicls.models.hub.codec import Codec
from logicls.models.hub.families import coordinates_of
from logicls.models.hub.load import find_base, load_model
from logicls.models.hub.lora import adapted, load_adapter
from logicls.models.hub.talk import talk_of
from logicls.predict.probe import write_probe
from logicls.train.begun import claim_run
from logicls.train.calibrate import calibrate
from logicls.train.curve import Curve, plot_rewards
from logicls.train.grpo_hub import HubPolicy
from logicls.train.grpo_nano import NanoPolicy
from logicls.train.grpo_policy import Policy
from logicls.train.heldout import split_photos
from logicls.train.hub_examples import Examples, open_rows
from logicls.train.listener import SILENT, Listener
from logicls.train.preflight import batch_of
from logicls.train.recipe import Recipe
from logicls.train.rewards import Task, tasks_of


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is asked."""

    learned: tuple[Task, ...]
    """In the order of the steps."""
    aside: tuple[Task, ...]
    """One question about each example kept aside that is looked at."""
    numbers: tuple[int, ...]
    """The rows of these examples."""


def reward(
    synth: Path, out: Path, recipe: Recipe, *, start: Path | None, heard: Listener = SILENT
) -> Bundle:  # fmt: skip
    """Go on training the bundle `start` by rewards, on the dataset in `synth`; write the bundle to `out`.

    The weights that read best what is kept aside become the bundle's, those it began with among them.

    Raises:
        RecipeError: TRL is not installed (LC435), there is no bundle for these rules to begin with (LC436), or the
            answers of a step cannot be taken in so many parts (LC430).
        BundleError: `start` cannot be loaded.
        DataError: The dataset cannot be used.
    """
    _refuse_without_trl()
    _refuse_odd_parts(recipe)
    bundle = _begun_with(start, synth)
    if bundle.hub is not None and not bundle.hub.merged:
        bundle = replace(bundle, model=None)  # it is loaded anew with its adapter: there may be no room for two
    claim_run(out / "work", recipe, resume=False)
    lightning.seed_everything(recipe.seed, verbose=False)
    rows = open_rows(synth, out / "work")
    policy = NanoPolicy(bundle, rows) if bundle.hub is None else _hub_policy(bundle, rows, recipe)
    drawn = _drawn(policy, rows, recipe)
    heard.say(f"{len(drawn.learned)} questions, {recipe.grpo.answers} answers to each; "
              f"kept aside: {len(drawn.numbers)} examples")  # fmt: skip
    heard.planned(recipe.grpo.steps)
    _learn(policy, bundle, drawn, out, recipe, heard)
    _write(policy, bundle, synth, out)
    del policy
    made = read_bundle(out)
    write_probe(made, synth)
    if made.hub is None:
        split = split_photos(rows["photo"], recipe.heldout, recipe.seed)
        calibrate(made, synth, split, recipe.seed, heard.say)
    return made


def _refuse_odd_parts(recipe: Recipe) -> None:
    count, parts = recipe.grpo.questions * recipe.grpo.answers, recipe.hub.accumulate
    if count % parts:
        message = f"{count} answers a step (grpo) cannot be taken in {parts} equal parts (hub.accumulate)."
        raise RecipeError(Problem("LC430", message, advice="Choose other numbers of questions or answers."))


def _refuse_without_trl() -> None:
    missing = [name for name in ("trl", "accelerate") if find_spec(name) is None]
    if missing:
        message = f"the stage grpo needs {' and '.join(missing)}, which is not installed."
        raise RecipeError(Problem("LC435", message, advice="Install it: pip install 'logicls[grpo]'."))


def _begun_with(start: Path | None, synth: Path) -> Bundle:
    if start is None:
        message, advice = "the stage grpo begins with a finished bundle.", "Name it with --from."
        raise RecipeError(Problem("LC436", message, advice=advice))
    bundle = read_bundle(start)
    if load_spec(synth / "spec.yaml").hash != bundle.spec.hash:
        message = "was trained for other rules than those that the dataset was made by."
        advice = "Make the dataset by the rules of the bundle, or train another bundle."
        raise RecipeError(Problem("LC436", message, str(start), advice=advice))
    return bundle


def _hub_policy(bundle: Bundle, rows: Any, recipe: Recipe) -> HubPolicy:
    """With the bundle's adapter; with a new one where it was merged."""
    hub, processor, given = bundle.hub, bundle.processor, recipe.hub
    assert hub is not None
    codec = Codec(coordinates_of(hub.boxes, processor), talk_of(processor, hub.base), processor.tokenizer)
    if hub.merged:
        adapter = adapted(bundle.model, rank=given.rank, alpha=given.alpha, dropout=given.dropout, where=given.where)
    else:
        path = find_base(hub.base, revision=hub.revision).path
        adapter = load_adapter(load_model(path, precision=hub.precision, four_bit=hub.four_bit), bundle.path)
        for name, weight in adapter.named_parameters():
            weight.requires_grad_("lora_" in name)
    return HubPolicy(adapter, Examples(rows, processor, codec))


def _drawn(policy: Policy, rows: Any, recipe: Recipe) -> Drawn:
    """For each step so many photos, and a question about each; every photo comes once before any comes again."""
    given, seed = recipe.grpo, recipe.seed
    split = split_photos(rows["photo"], recipe.heldout, seed)
    order = np.random.default_rng([seed, 29]).permutation(len(split.heldout))[: given.looked_at]
    aside = tuple(split.heldout[place] for place in sorted(order.tolist()))
    learned = [
        split.learned[place]
        for step in range(given.steps)
        for place in batch_of(step, len(split.learned), given.questions, seed)
    ]

    def one(number: int, *place: int) -> Task:
        tasks = [task for task in tasks_of(rows[number], number) if policy.asks(task.query)]
        weights = np.array([recipe.verdict_weight if task.query == VERDICT else 1.0 for task in tasks])
        return tasks[int(np.random.default_rng([seed, *place]).choice(len(tasks), p=weights / weights.sum()))]

    return Drawn(
        tuple(one(number, 31, place) for place, number in enumerate(learned)),
        tuple(one(number, 37, place) for place, number in enumerate(aside)),
        aside,
    )


def _learn(policy: Policy, bundle: Bundle, drawn: Drawn, out: Path, recipe: Recipe, heard: Listener) -> None:
    from logicls.train.grpo_trainer import Rewarded, run, settings_of
    from logicls.train.grpo_watch import ASIDE, HEAD, Watch

    hub = bundle.hub is not None
    settings = settings_of(
        recipe.grpo, policy, out / "work", seed=recipe.seed, parts=recipe.hub.accumulate, adapter=hub,
        looks=bool(drawn.aside), again=recipe.hub.gradient_checkpointing,
    )  # fmt: skip
    learned, aside = out / "reward.csv", out / "work" / "kept_aside.csv"
    began = time.perf_counter()
    with ExitStack() as stack:
        tables = {"learned": stack.enter_context(Curve(learned, 0, HEAD)),
                  "aside": stack.enter_context(Curve(aside, 0, ASIDE))}  # fmt: skip
        watch = Watch(policy, drawn.numbers, **tables, told=heard.told, say=heard.say)
        trainer = Rewarded(
            policy, bundle.spec, drawn.learned, drawn.aside,
            settings=settings, beta=recipe.grpo.beta, hold=recipe.grpo.hold,
        )  # fmt: skip
        trainer.add_callback(watch)
        run(trainer)
    watch.restore()
    heard.say(f"trained for {time.perf_counter() - began:.0f} s; {watch.outcome}")
    plot_rewards(learned, aside, out / "reward.png")


def _write(policy: Policy, bundle: Bundle, synth: Path, out: Path) -> None:
    """Everything but the probe and the calibration."""
    model = policy.model.eval()
    rest: dict[str, Any] = {"spec_file": synth / "spec.yaml", "max_boxes": bundle.max_boxes}
    if isinstance(policy, NanoPolicy):
        write_bundle(out, model=model, processor=bundle.processor, **rest)
        return
    assert bundle.hub is not None
    if "ref" in model.peft_config:  # TRL's copy of what the stage began with
        model.delete_adapter("ref")
    write_hub_bundle(out, adapter=model, processor=bundle.processor, hub=bundle.hub, **rest)
