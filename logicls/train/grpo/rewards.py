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
from logicls.constraints.checker.evaluation import collect_violations, evaluate, index_answers
from logicls.constraints.spec.models import Spec
from logicls.records import Answer, Box
from logicls.train.encoding import LOCATE_PREFIX
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
    def true_answer(self) -> Answer:
        """The true answer to this question."""
        return index_answers(self.truth)[self.query]


def make_tasks(row: Mapping[str, Any], number: int) -> tuple[Task, ...]:
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


def score_slots(spec: Spec, task: Task, answer: Answer | None) -> float | None:
    """Share of the answer's slots that are exactly right.

    Values: those that are right where they stand, of as many as the longer list has. A verdict: the names in both sets
    of those in either. Where things are: 1 if there are as many boxes as things, else 0.
    """
    if answer is None:
        return 0.0
    truth = task.true_answer
    if task.query.startswith(LOCATE_PREFIX):
        return float(len(answer.boxes) == len(truth.boxes))
    if task.query == VERDICT:
        predicted, labelled = set(answer.values), set(truth.values)
        return len(predicted & labelled) / len(predicted | labelled) if predicted | labelled else 1.0
    longest = max(len(answer.values), len(truth.values))
    return sum(a == b for a, b in zip(answer.values, truth.values, strict=False)) / longest if longest else 1.0


def score_boxes(spec: Spec, task: Task, answer: Answer | None) -> float | None:
    """Mean overlap (intersection over union) of the boxes with the true ones; None for a question without boxes.

    Each box is held against one true box at most, so that the sum is largest (Kuhn 1955); what has no partner counts 0.
    """
    if not task.query.startswith(LOCATE_PREFIX):
        return None
    if answer is None:
        return 0.0
    predicted, truth = answer.boxes, task.true_answer.boxes
    if not predicted and not truth:
        return 1.0
    from scipy.optimize import linear_sum_assignment

    overlap = np.array([[box.iou(other) for other in truth] for box in predicted]).reshape(len(predicted), len(truth))
    pairs = linear_sum_assignment(overlap, maximize=True)
    return float(overlap[pairs].sum()) / max(overlap.shape)


def score_verdict(spec: Spec, task: Task, answer: Answer | None) -> float | None:
    """1 if the checker comes to the true violations with this answer in the place of the true one, else 0.

    A stated verdict implies itself: 1 if it names what the checker derives from the true answers, and nothing else.
    """
    if answer is None:
        return 0.0
    if task.query == VERDICT:
        return float(set(answer.values) == set(task.violations))
    answers = {**index_answers(task.truth), task.query: answer}
    return float(collect_violations(evaluate(spec, answers, *task.size)) == tuple(sorted(task.violations)))


def score_format(spec: Spec, task: Task, answer: Answer | None) -> float | None:
    """1 if the answer can be read: it has the form of an answer to this question and only words that it may have."""
    if answer is None:
        return 0.0
    query = next(query for query in decompose(spec) if query.id == task.query)
    is_valid = answer.query == task.query and set(answer.values) <= set(query.options)
    # A verdict names each violation once; in a list the same value may come more than once.
    is_unique = query.kind != "verdict" or len(set(answer.values)) == len(answer.values)
    return float(is_valid and is_unique)


RewardFunction = Callable[[Spec, Task, Answer | None], float | None]
REWARDS: Mapping[str, RewardFunction] = MappingProxyType(
    {"slots": score_slots, "boxes": score_boxes, "implied": score_verdict, "form": score_format}
)
"""By the name of their column in reward.csv."""


Tokens = Sequence[int]


@runtime_checkable
class Policy(Protocol):
    """A model that answers questions about photos in words that are drawn by chance."""

    model: Any
    """The model itself, or an adapter of peft around it."""
    tokenizer: Any
    end_token: int
    """Token that ends an answer."""
    image_token: int
    """Placeholder of a photo, which no answer may hold."""
    max_tokens: int
    """Tokens that an answer may have."""

    def generates(self, query: str) -> bool:
        """Whether the answer to a question of that id is in words, so that a reward can change it."""
        ...

    def make_prompts(self, tasks: Sequence[Task]) -> tuple[list[list[int]], Mapping[str, Any]]:
        """Tokens of each prompt, and what else `generate` is given for all of them: pixels above all."""
        ...

    def generate(self, tasks: Sequence[Task], generation: GenerationConfig) -> list[list[int]] | None:
        """An answer to each task, up to its end; None where `generate` may as well be given the prompts."""
        ...

    def score(
        self, model: Any, tasks: Sequence[Task], answers: Sequence[Tokens]
    ) -> list[Float[Tensor, "tokens vocab"]]:
        """For each answer that was given, the logits of its tokens, each from what stands before it."""
        ...

    def auxiliary_loss(self, model: Any, tasks: Sequence[Task]) -> Tensor | None:
        """Loss of what the model tells about these photos without words, so that it does not forget it."""
        ...

    def decode(self, task: Task, tokens: Tokens) -> Answer | None:
        """The answer in these tokens; None where there is none."""
        ...

    def evaluate(self, numbers: Sequence[int]) -> Evaluation:
        """How well the examples of these rows are answered, all of their questions, without chance."""
        ...
