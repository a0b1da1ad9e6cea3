"""`logicls train --stage grpo`: a bundle answers, the checker gives rewards, what is worth more becomes likelier.

What the stage with rewards tells while it goes on, and the weights that it keeps: never worse ones than it had.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from transformers import TrainerCallback

from logicls.constraints.checker.decomposition import VERDICT
from logicls.constraints.spec.loader import load_spec
from logicls.errors import Problem, RecipeError
from logicls.models.bundle import Bundle, load_bundle, write_bundle, write_hub_bundle
from logicls.models.hub.adapters import add_adapter, load_adapter
from logicls.models.hub.answer_codec import HubAnswerCodec
from logicls.models.hub.chat_template import read_chat_format
from logicls.models.hub.loading import box_format_for, find_checkpoint, load_model
from logicls.predict.self_test import write_probe
from logicls.train.calibration import calibrate
from logicls.train.grpo.hub_policy import HubPolicy
from logicls.train.grpo.nano_policy import NanoPolicy
from logicls.train.grpo.rewards import REWARDS, Policy, Task, tasks_of
from logicls.train.hub_dataset import Examples, open_rows
from logicls.train.lightning_module import Told
from logicls.train.metrics_log import SILENT, Curve, Listener, plot_rewards
from logicls.train.preflight import batch_of
from logicls.train.recipe import Recipe
from logicls.train.run import claim_run
from logicls.train.validation import Evaluation, split_photos

HEAD = ",".join(["step", "reward", *REWARDS, "kl", "undecided"])
ASIDE = ",".join(["step", "reward", *REWARDS, "exact", "answers", "loss"])


def mean_reward(logs: Mapping[str, Any], prefix: str = "") -> tuple[float, list[float]]:
    """Mean of the rewards that anything was worth of, and each of them; nan where no question was about it."""
    each = [logs.get(f"{prefix}rewards/{name}/mean") for name in REWARDS]
    known = [value for value in each if value is not None and value == value]
    return sum(known) / len(known), [float("nan") if value is None else float(value) for value in each]


class Watch(TrainerCallback):
    """Writes the tables, and keeps the weights with which most examples kept aside are answered without an error.

    The first look is before the first step: the weights that the stage begins with are kept until others are better.
    Where as many examples are right, the larger reward decides.
    """

    def __init__(
        self,
        policy: Policy,
        numbers: Sequence[int],
        *,
        learned: Curve,
        aside: Curve,
        told: Told,
        say: Callable[[str], None],
    ) -> None:
        """`numbers`: rows of the examples kept aside that are looked at."""
        self.policy, self.numbers = policy, numbers
        self.learned, self.aside, self.told, self.say = learned, aside, told, say
        self.best = (-1.0, -1.0)
        self.step, self.weights = 0, dict[str, Tensor]()
        self.looks: list[tuple[int, float, Evaluation]] = []
        """Step, reward and how well examples were answered."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """The last step is looked at, too."""
        if state.global_step == state.max_steps and self.numbers:
            control.should_evaluate = True
        return control

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """After each step."""
        if not logs or "reward" not in logs:
            return
        reward, each = mean_reward(logs)
        same = float(logs["frac_reward_zero_std"])
        self.learned.add(state.global_step, reward, *each, float(logs.get("kl") or 0.0), same)
        self.told(state.global_step, reward)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        """A look at what is kept aside: rewards of the likeliest answers, and all answers held against the truth."""
        reward, each = mean_reward(metrics, "eval_")
        found = self.policy.look(self.numbers)
        self.aside.add(state.global_step, reward, *each, found.exact, found.answers, found.loss)
        self.looks.append((state.global_step, reward, found))
        better = (found.exact, reward) > self.best
        beside = "best so far" if better else f"{self.step} was better"
        self.say(f"step {state.global_step}, kept aside: reward {reward:.3f}, {found}; {beside}")
        if better:
            self.best, self.step = (found.exact, reward), state.global_step
            self.weights = {name: weight.detach().cpu().clone() for name, weight in _learned(self.policy.model)}

    @property
    def outcome(self) -> str:
        """A plain line: what came of it."""
        if not self.looks:
            return "nothing is kept aside, so that the bundle has the last weights"
        (_, before, was), (_, after, now) = self.looks[0], next(look for look in self.looks if look[0] == self.step)
        if not self.step:
            return "no weights were better than those that it began with: the bundle has these"
        return (f"the bundle has the weights of step {self.step}: kept aside, the reward went from {before:.3f} to "
                f"{after:.3f}, exact examples from {was.exact:.1%} to {now.exact:.1%}")  # fmt: skip

    def restore(self) -> None:
        """Give the model the best weights."""
        with torch.no_grad():
            for name, weight in _learned(self.policy.model):
                if self.weights:
                    weight.copy_(self.weights[name])


def _learned(model: Any) -> list[tuple[str, Any]]:
    return [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]


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
    made = load_bundle(out)
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
    bundle = load_bundle(start)
    if load_spec(synth / "spec.yaml").hash != bundle.spec.hash:
        message = "was trained for other rules than those that the dataset was made by."
        advice = "Make the dataset by the rules of the bundle, or train another bundle."
        raise RecipeError(Problem("LC436", message, str(start), advice=advice))
    return bundle


def _hub_policy(bundle: Bundle, rows: Any, recipe: Recipe) -> HubPolicy:
    """With the bundle's adapter; with a new one where it was merged."""
    hub, processor, given = bundle.hub, bundle.processor, recipe.hub
    assert hub is not None
    codec = HubAnswerCodec(
        box_format_for(hub.boxes, processor), read_chat_format(processor, hub.base), processor.tokenizer
    )
    if hub.merged:
        adapter = add_adapter(
            bundle.model, rank=given.rank, alpha=given.alpha, dropout=given.dropout, scope=given.where
        )
    else:
        path = find_checkpoint(hub.base, revision=hub.revision).path
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
    from logicls.train.grpo.trainer import Rewarded, run, settings_of

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
