"""Photos that are not learned from, and how well a model that is being trained reads what was made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.train.batching import Batch, collate
from logicls.train.preflight import Flight

SHARE = 0.07
"""Of the examples that are learned between two evaluations, so many are looked at in one. A look costs about a third of
a step for the same example (there is no way back through the network): evaluation takes about 2 % of the time."""


@dataclass(frozen=True, slots=True)
class Split:
    """Numbers of the examples that are learned and of those that are kept aside, by their source photos.

    A part that an edit adds may come from a photo of the other side: photos are kept apart, their parts are not.
    """

    learned: tuple[int, ...]
    heldout: tuple[int, ...]
    photos: frozenset[str]
    """Those that are kept aside."""

    @property
    def first_half(self) -> frozenset[str]:
        """Those on which is fitted what has to be; what is promised is measured on the others."""
        return frozenset(sorted(self.photos)[::2])


NOTHING = Split((), (), frozenset())


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well the examples were read that are kept aside."""

    examples: int
    loss: float
    """Mean over all answers."""
    exact: float
    """Share of the examples whose every answer is right."""
    answers: float
    """Share of the answers that are right."""

    @property
    def score(self) -> float:
        """Lower is better: the loss, which also tells how near boxes are, plus the share of examples with an error.

        Few examples make the share jump and the loss of a sure, wrong answer is large: neither is trusted alone.
        """
        return self.loss + 1 - self.exact

    def __str__(self) -> str:
        return f"loss {self.loss:.3f}, {self.exact:.1%} exact, {self.answers:.1%} of answers right"


def split_photos(photos: Sequence[str], share: float, seed: int) -> Split:
    """Keep that share of the source photos aside, at least one; none where there is but one.

    `photos`: the source photo of each example.
    """
    names = sorted(set(photos))
    count = min(max(round(share * len(names)), 1), len(names) - 1) if share else 0
    chosen = np.random.default_rng([seed, 17]).permutation(len(names))[:count]
    aside = frozenset(names[place] for place in chosen)
    learned = tuple(number for number, photo in enumerate(photos) if photo not in aside)
    return Split(learned, tuple(number for number, photo in enumerate(photos) if photo in aside), aside)


def told_aside(split: Split) -> list[str]:
    """A plain line on what is kept aside."""
    if not split.photos:
        return []
    names = sorted(split.photos)
    told = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return [f"kept aside: {len(split.heldout)} examples of {len(names)} photo(s), {told}"]


def looked_at(split: Split, *, every: int, batch: int, seed: int) -> tuple[int, ...]:
    """Those of the examples kept aside that an evaluation looks at, the same ones each time: few enough to be cheap."""
    most = max(int(SHARE * every * batch), 1)
    order = np.random.default_rng([seed, 19]).permutation(len(split.heldout))[:most]
    return tuple(split.heldout[place] for place in sorted(order.tolist()))


def chosen(numbers: Sequence[int], most: int, seed: int) -> list[int]:
    """So many of the numbers, in order, by chance."""
    order = np.random.default_rng([seed, 23]).permutation(len(numbers))[:most]
    return [numbers[place] for place in sorted(order.tolist())]


def shown(flight: Flight, codec: NanoAnswerCodec, numbers: Sequence[int], batch: int) -> Iterator[Batch]:
    """Those examples in batches, their light as it is."""
    for at in range(0, len(numbers), batch):
        some = list(numbers[at : at + batch])
        examples = [flight.examples[number] for number in some]
        yield collate(examples, flight.pixels[some], codec, flight.processor.image_tokens)


Answers = tuple[torch.Tensor, torch.Tensor]
"""Loss and rightness of each question, [examples questions] both; a loss of nan where there is no question."""


def answered(model: Any, batches: Sequence[Batch]) -> list[Answers]:
    """The answers to each batch."""
    was_training, found = model.training, []
    device = next(model.parameters()).device
    model.train(mode=False)
    with torch.no_grad():
        for batch in batches:
            out = model(**{key: value.to(device) for key, value in batch.items()})
            found.append((out.question_loss.float().cpu(), out.question_right.cpu()))
    model.train(mode=was_training)
    return found


def evaluation(parts: Sequence[Sequence[Answers]]) -> Evaluation:
    """Of the answers that each process has found."""
    found = [batch for part in parts for batch in part]
    losses = torch.cat([loss[loss.isfinite()] for loss, _ in found]).double()
    right = torch.cat([right[loss.isfinite()] for loss, right in found]).double()
    exact = torch.cat([(right | ~loss.isfinite()).all(1) for loss, right in found]).double()
    return Evaluation(len(exact), float(losses.mean()), float(exact.mean()), float(right.mean()))
