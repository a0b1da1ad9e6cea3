"""Rewards of the stage `grpo`, computed from labels and the constraint checker; and the protocol of its policies.

Each reward is between 0 and 1, or None where it does not apply to a question. An answer that cannot be decoded (None)
gets 0 from all of them. No reward model is involved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float
from peft import PeftModel
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from logicls.constraints.checker.decomposition import VERDICT, decompose
from logicls.constraints.checker.evaluation import collect_violations, evaluate, index_answers
from logicls.constraints.families.angles import ANGLE_STEP, fold_angle, is_angle, period_of_options
from logicls.constraints.spec.models import Spec
from logicls.records import Answer, Box
from logicls.train.encoding import LOCATE_PREFIX, ORIENTATION_PREFIX
from logicls.train.validation import Evaluation


@dataclass(frozen=True, slots=True)
class Task:
    """Question about a photo, with the photo's labels."""

    number: int
    """Row of the photo in the dataset."""
    question: str
    query: str
    truth: tuple[Answer, ...]
    """True answers to every question about the photo."""
    violations: tuple[str, ...]
    size: tuple[int, int]
    """(width, height) of the photo in pixels."""

    @property
    def true_answer(self) -> Answer:
        """True answer to this question."""
        return index_answers(self.truth)[self.query]


def make_tasks(row: Mapping[str, Any], number: int) -> tuple[Task, ...]:
    """Make a task of each question in a dataset row."""
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
    """Score the share of the answer's slots that are correct.

    Values: those that are correct at their position, of the longer list. Angles: the same, and those that are off by
    less than a step of the model's grid count in part. A verdict: Jaccard index of the sets of
    violations. Boxes: 1 if their number is correct, else 0.
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
    if task.query.startswith(ORIENTATION_PREFIX):
        period = next(period_of_options(query.options) for query in spec.queries if query.id == task.query)
        errors = [
            abs(fold_angle(float(a) - float(b), period)) for a, b in zip(answer.values, truth.values, strict=False)
        ]
        return sum(max(1 - error / ANGLE_STEP, 0.0) for error in errors) / longest if longest else 1.0
    return sum(a == b for a, b in zip(answer.values, truth.values, strict=False)) / longest if longest else 1.0


def score_boxes(spec: Spec, task: Task, answer: Answer | None) -> float | None:
    """Score the mean IoU of predicted and true boxes; None for a question without boxes.

    Boxes are matched one to one so that the sum of IoUs is largest (Kuhn 1955); unmatched boxes count 0.
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
    """Score 1 if the checker derives the true violations with this answer instead of the true one, else 0.

    A stated verdict scores 1 if it names exactly the violations that the checker derives from the true answers.
    """
    if answer is None:
        return 0.0
    if task.query == VERDICT:
        return float(set(answer.values) == set(task.violations))
    answers = {**index_answers(task.truth), task.query: answer}
    return float(collect_violations(evaluate(spec, answers, *task.size)) == tuple(sorted(task.violations)))


def score_format(spec: Spec, task: Task, answer: Answer | None) -> float | None:
    """Score 1 if the answer has the format of this question and only allowed values, else 0."""
    if answer is None:
        return 0.0
    query = next(query for query in decompose(spec) if query.id == task.query)
    is_valid = answer.query == task.query and set(answer.values) <= set(query.options)
    if query.kind == "orientation":
        return float(
            answer.query == task.query and all(is_angle(v, period_of_options(query.options)) for v in answer.values)
        )
    # A verdict names each violation once; in a list the same value may come more than once.
    is_unique = query.kind != "verdict" or len(set(answer.values)) == len(answer.values)
    return float(is_valid and is_unique)


RewardFunction = Callable[[Spec, Task, Answer | None], float | None]
REWARDS: Mapping[str, RewardFunction] = MappingProxyType(
    {"slot_accuracy": score_slots, "box_iou": score_boxes, "verdict_match": score_verdict, "format": score_format}
)
"""Reward functions by their column in reward.csv."""


Tokens = Sequence[int]
PolicyModel: TypeAlias = PreTrainedModel | PeftModel
"""The model of a policy, without wrappers of the trainer."""


@runtime_checkable
class Policy(Protocol):
    """Model that samples answers to questions about photos."""

    @property
    def model(self) -> PolicyModel:
        """The model itself, or a peft adapter around it."""
        ...

    tokenizer: Any
    end_token: int
    """Token that ends an answer."""
    image_token: int
    """Placeholder of a photo, which an answer must not contain."""
    max_tokens: int
    """Tokens of an answer at most."""

    def generates(self, query: str) -> bool:
        """Return True for queries whose answers are generated as text, so that a reward can change them."""
        ...

    def make_prompts(self, tasks: Sequence[Task]) -> tuple[list[list[int]], Mapping[str, Any]]:
        """Return the tokens of each prompt, and the other inputs of `generate` for all of them, such as pixels."""
        ...

    def generate(self, tasks: Sequence[Task], generation: GenerationConfig) -> list[list[int]] | None:
        """Sample an answer to each task, up to its end token; None where TRL may call `generate` itself."""
        ...

    def score(
        self, model: PolicyModel, tasks: Sequence[Task], answers: Sequence[Tokens]
    ) -> list[Float[Tensor, "tokens vocab"]]:
        """Return the logits of each answer's tokens, each predicted from those before it."""
        ...

    def auxiliary_loss(self, model: PolicyModel, tasks: Sequence[Task]) -> Tensor | None:
        """Compute the supervised loss of what the model predicts on these photos without text; None without any."""
        ...

    def decode(self, task: Task, tokens: Tokens) -> Answer | None:
        """Decode an answer from tokens; None where they are not one."""
        ...

    def evaluate(self, numbers: Sequence[int]) -> Evaluation:
        """Evaluate the greedy answers to all questions about the photos in these rows."""
        ...
