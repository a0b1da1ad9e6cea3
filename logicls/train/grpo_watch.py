"""What the stage with rewards tells while it goes on, and the weights that it keeps: never worse ones than it had."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from logicls.train.curve import Curve
from logicls.train.grpo_policy import Policy
from logicls.train.heldout import Evaluation
from logicls.train.rewards import REWARDS
from logicls.train.tuner import Told

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
