"""What an answer is worth: told by the annotation and the checker alone. No model judges another, and no chance.

Each reward is a number from 0 to 1, or None where the question has nothing that it could be about. An answer that
cannot be read (None) is worth 0 in all of them.

What the stage with rewards asks of a model, whichever kind it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor
from transformers import GenerationConfig

from logicls.constraints.checker.decomposition import VERDICT, decompose
from logicls.constraints.checker.evaluation import index_answers, evaluate, collect_violations
from logicls.constraints.spec.models import Spec
from logicls.records import Answer, Box
from logicls.train.encoding import LOCATED
from logicls.train.validation import Evaluation


@dataclass(frozen=True, slots=True)
class Task:
    """A question about a photo, with all that is true of the photo."""

    number: int
    """Of the photo's row in the dataset."""
    question: str
    query: str
    truth: tuple[Answer, ...]
    """Of every question about the photo."""
    violations: tuple[str, ...]
    size: tuple[int, int]
    """(width, height) of the photo in pixels."""

    @property
    def wanted(self) -> Answer:
        """The true answer to this question."""
        return index_answers(self.truth)[self.query]


def tasks_of(row: Mapping[str, Any], number: int) -> tuple[Task, ...]:
    """The questions of a dataset's row."""
    truth = tuple(
        Answer(query, tuple(values), tuple(Box(*box) for box in boxes))
        for query, values, boxes in zip(row["queries"], row["values"], row["boxes"], strict=True)
    )
    size = row["width"], row["height"]
    return tuple(
        Task(number, question, query, truth, tuple(row["violations"]), size)
        for query, question in zip(row["queries"], row["questions"], strict=True)
    )


def slots(spec: Spec, task: Task, given: Answer | None) -> float | None:
    """Share of the answer's slots that are exactly right.

    Values: those that are right where they stand, of as many as the longer list has. A verdict: the names in both sets
    of those in either. Where things are: 1 if there are as many boxes as things, else 0.
    """
    if given is None:
        return 0.0
    wanted = task.wanted
    if task.query.startswith(LOCATED):
        return float(len(given.boxes) == len(wanted.boxes))
    if task.query == VERDICT:
        said, true = set(given.values), set(wanted.values)
        return len(said & true) / len(said | true) if said | true else 1.0
    longest = max(len(given.values), len(wanted.values))
    return sum(a == b for a, b in zip(given.values, wanted.values, strict=False)) / longest if longest else 1.0


def boxes(spec: Spec, task: Task, given: Answer | None) -> float | None:
    """Mean overlap (intersection over union) of the boxes with the true ones; None for a question without boxes.

    Each box is held against one true box at most, so that the sum is largest (Kuhn 1955); what has no partner counts 0.
    """
    if not task.query.startswith(LOCATED):
        return None
    if given is None:
        return 0.0
    there, true = given.boxes, task.wanted.boxes
    if not there and not true:
        return 1.0
    from scipy.optimize import linear_sum_assignment

    overlap = np.array([[one.iou(other) for other in true] for one in there]).reshape(len(there), len(true))
    pairs = linear_sum_assignment(overlap, maximize=True)
    return float(overlap[pairs].sum()) / max(overlap.shape)


def implied(spec: Spec, task: Task, given: Answer | None) -> float | None:
    """1 if the checker comes to the true violations with this answer in the place of the true one, else 0.

    A stated verdict implies itself: 1 if it names what the checker derives from the true answers, and nothing else.
    """
    if given is None:
        return 0.0
    if task.query == VERDICT:
        return float(set(given.values) == set(task.violations))
    answers = {**index_answers(task.truth), task.query: given}
    return float(collect_violations(evaluate(spec, answers, *task.size)) == tuple(sorted(task.violations)))


def form(spec: Spec, task: Task, given: Answer | None) -> float | None:
    """1 if the answer can be read: it has the form of an answer to this question and only words that it may have."""
    if given is None:
        return 0.0
    query = next(query for query in decompose(spec) if query.id == task.query)
    readable = given.query == task.query and set(given.values) <= set(query.options)
    # A verdict names each violation once; in a list the same value may come more than once.
    once = query.kind != "verdict" or len(set(given.values)) == len(given.values)
    return float(readable and once)


Reward = Callable[[Spec, Task, Answer | None], float | None]
REWARDS: Mapping[str, Reward] = MappingProxyType({"slots": slots, "boxes": boxes, "implied": implied, "form": form})
"""By the name of their column in reward.csv."""


Tokens = Sequence[int]


@runtime_checkable
class Policy(Protocol):
    """A model that answers questions about photos in words that are drawn by chance."""

    model: Any
    """The model itself, or an adapter of peft around it."""
    tokenizer: Any
    end: int
    """Token that ends an answer."""
    image: int
    """Placeholder of a photo, which no answer may hold."""
    most: int
    """Tokens that an answer may have."""

    def asks(self, query: str) -> bool:
        """Whether the answer to a question of that id is in words, so that a reward can change it."""
        ...

    def prompts(self, tasks: Sequence[Task]) -> tuple[list[list[int]], Mapping[str, Any]]:
        """Tokens of each prompt, and what else `generate` is given for all of them: pixels above all."""
        ...

    def say(self, tasks: Sequence[Task], given: GenerationConfig) -> list[list[int]] | None:
        """An answer to each task, up to its end; None where `generate` may as well be given the prompts."""
        ...

    def logits(self, model: Any, tasks: Sequence[Task], said: Sequence[Tokens]) -> list[Float[Tensor, "tokens vocab"]]:
        """For each answer that was given, the logits of its tokens, each from what stands before it."""
        ...

    def held(self, model: Any, tasks: Sequence[Task]) -> Tensor | None:
        """Loss of what the model tells about these photos without words, so that it does not forget it."""
        ...

    def read(self, task: Task, said: Tokens) -> Answer | None:
        """The answer in these tokens; None where there is none."""
        ...

    def look(self, numbers: Sequence[int]) -> Evaluation:
        """How well the examples of these rows are answered, all of their questions, without chance."""
        ...
