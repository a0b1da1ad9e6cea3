"""Photos that are not learned from, and how well a model that is being trained reads what was made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.train.batching import Batch, collate
from logicls.train.preflight import PreflightResult

EVALUATION_SHARE = 0.07
"""Of the examples that are learned between two evaluations, so many are looked at in one. A look costs about a third of
a step for the same example (there is no way back through the network): evaluation takes about 2 % of the time."""


@dataclass(frozen=True, slots=True)
class Split:
    """Numbers of the examples that are learned and of those that are kept aside, by their source photos.

    A part that an edit adds may come from a photo of the other side: photos are kept apart, their parts are not.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    validation_photos: frozenset[str]
    """Those that are kept aside."""

    @property
    def calibration_photos(self) -> frozenset[str]:
        """Those on which is fitted what has to be; what is promised is measured on the others."""
        return frozenset(sorted(self.validation_photos)[::2])


EMPTY_SPLIT = Split((), (), frozenset())


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well the examples were read that are kept aside."""

    examples: int
    loss: float
    """Mean over all answers."""
    exact_match: float
    """Share of the examples whose every answer is right."""
    answer_accuracy: float
    """Share of the answers that are right."""

    @property
    def score(self) -> float:
        """Lower is better: the loss, which also tells how near boxes are, plus the share of examples with an error.

        Few examples make the share jump and the loss of a sure, wrong answer is large: neither is trusted alone.
        """
        return self.loss + 1 - self.exact_match

    def __str__(self) -> str:
        return f"loss {self.loss:.3f}, {self.exact_match:.1%} exact, {self.answer_accuracy:.1%} of answers right"


def split_photos(photos: Sequence[str], share: float, seed: int) -> Split:
    """Keep that share of the source photos aside, at least one; none where there is but one.

    `photos`: the source photo of each example.
    """
    names = sorted(set(photos))
    count = min(max(round(share * len(names)), 1), len(names) - 1) if share else 0
    selected = np.random.default_rng([seed, 17]).permutation(len(names))[:count]
    validation_photos = frozenset(names[index] for index in selected)
    train = tuple(number for number, photo in enumerate(photos) if photo not in validation_photos)
    return Split(
        train, tuple(number for number, photo in enumerate(photos) if photo in validation_photos), validation_photos
    )


def describe_split(split: Split) -> list[str]:
    """A plain line on what is kept aside."""
    if not split.validation_photos:
        return []
    names = sorted(split.validation_photos)
    listed = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return [f"kept aside: {len(split.validation)} examples of {len(names)} photo(s), {listed}"]


def select_validation_examples(split: Split, *, evaluate_every: int, batch: int, seed: int) -> tuple[int, ...]:
    """Those of the examples kept aside that an evaluation looks at, the same ones each time: few enough to be cheap."""
    max_examples = max(int(EVALUATION_SHARE * evaluate_every * batch), 1)
    order = np.random.default_rng([seed, 19]).permutation(len(split.validation))[:max_examples]
    return tuple(split.validation[index] for index in sorted(order.tolist()))


def sample_numbers(numbers: Sequence[int], max_count: int, seed: int) -> list[int]:
    """So many of the numbers, in order, by chance."""
    order = np.random.default_rng([seed, 23]).permutation(len(numbers))[:max_count]
    return [numbers[index] for index in sorted(order.tolist())]


def iterate_batches(
    preflight: PreflightResult, codec: NanoAnswerCodec, numbers: Sequence[int], batch: int
) -> Iterator[Batch]:
    """Those examples in batches, their light as it is."""
    for start in range(0, len(numbers), batch):
        batch_numbers = list(numbers[start : start + batch])
        examples = [preflight.examples[number] for number in batch_numbers]
        yield collate(examples, preflight.pixels[batch_numbers], codec, preflight.processor.image_tokens)


QueryScores = tuple[torch.Tensor, torch.Tensor]
"""Loss and rightness of each question, [examples questions] both; a loss of nan where there is no question."""


def score_batches(model: Any, batches: Sequence[Batch]) -> list[QueryScores]:
    """The answers to each batch."""
    was_training, scores = model.training, []
    device = next(model.parameters()).device
    model.train(mode=False)
    with torch.no_grad():
        for batch in batches:
            outputs = model(**{key: value.to(device) for key, value in batch.items()})
            scores.append((outputs.question_loss.float().cpu(), outputs.question_correct.cpu()))
    model.train(mode=was_training)
    return scores


def aggregate_scores(parts: Sequence[Sequence[QueryScores]]) -> Evaluation:
    """Of the answers that each process has found."""
    scores = [batch for part in parts for batch in part]
    losses = torch.cat([loss[loss.isfinite()] for loss, _ in scores]).double()
    right = torch.cat([right[loss.isfinite()] for loss, right in scores]).double()
    exact_match = torch.cat([(is_correct | ~loss.isfinite()).all(1) for loss, is_correct in scores]).double()
    return Evaluation(len(exact_match), float(losses.mean()), float(exact_match.mean()), float(right.mean()))
