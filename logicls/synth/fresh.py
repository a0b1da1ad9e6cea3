"""Examples for a model that is being trained: made when they are needed, and never written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import UInt8

from logicls.errors import DataError, Problem
from logicls.models.fitting import fitted
from logicls.synth.make import Maker
from logicls.synth.row import asked
from logicls.synth.workers import Job

TRIES = 8
"""Examples that are tried in the place of one that has more boxes than the model is made for."""
APART = 1 << 32
"""From the number of an example to that of the next one that is tried in its place."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An example as the model sees it."""

    pixels: UInt8[np.ndarray, "height width 3"]
    row: Mapping[str, Any]
    """Questions and answers, in the columns of the dataset; boxes in pixels of the photo, whose size it has, too."""


def showing(size: tuple[int, int], most: int) -> Job[Shown]:
    """Makes an example for an input of `size` (height, width) with at most so many boxes in an answer."""
    return partial(_shown, size=size, most=most)


def _shown(maker: Maker, seed: int, number: int, *, size: tuple[int, int], most: int) -> Shown:
    """The example, or the first of those that stand in for it that has no more boxes.

    Raises:
        DataError: Not one of them has (LC405).
    """
    for attempt in range(TRIES):
        picture = maker.picture(seed, number + attempt * APART)
        example = picture.example
        if max(len(answer.boxes) for answer in example.answers) <= most:
            rng = np.random.default_rng([seed, 3, example.seed])
            return Shown(fitted(size, picture.photo), asked(maker, example, rng))
    message = f"example {number}, made while training, has more than {most} boxes in an answer, and so have "
    message += f"{TRIES - 1} others."
    raise DataError(Problem("LC405", message, advice="Make a larger set with `logicls synth`, and train on that one."))
