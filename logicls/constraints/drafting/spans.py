"""How far a number varies from photo to photo, and what to write for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from logicls.constraints.drafting.table import FEW, RARE

MARGIN = 1e-6
"""Limits are this much wider than the sample: dividing in another order must not make a difference."""
DIGITS = 3
"""Decimals of fractions in a draft: finer than anybody draws a box."""
STEPS = 1000
"""Steps of that size in a whole."""


@dataclass(frozen=True, slots=True)
class Span:
    """The extremes of a number, and what they are without a few photos."""

    low: float
    high: float
    core: tuple[float, float]
    """The extremes when the few photos that are furthest off are left out."""
    off: Bool[np.ndarray, " photos"]
    """The photos that were left out."""
    middle: float
    lowest: int
    """The photo with the smallest value."""
    highest: int

    @property
    def range(self) -> float:
        """Largest less smallest."""
        return self.high - self.low

    @property
    def core_range(self) -> float:
        """The same without the photos that are furthest off."""
        return self.core[1] - self.core[0]


def span(values: Float[np.ndarray, " rows"], photo: Int[np.ndarray, " rows"], photos: int) -> Span:
    """The extremes of `values`, which were read off the photos with these numbers; at least one value."""
    middle = float(np.median(values))
    far = np.zeros(photos)
    np.maximum.at(far, photo, np.abs(values - middle))
    count = min(FEW, int(RARE * len(np.unique(photo))))
    off = np.zeros(photos, dtype=bool)
    off[np.argsort(-far, kind="stable")[:count]] = True
    kept = values[~off[photo]]
    lowest, highest = int(photo[values.argmin()]), int(photo[values.argmax()])
    core = float(kept.min()), float(kept.max())
    off &= far > max(core[1] - middle, middle - core[0])
    return Span(float(values.min()), float(values.max()), core, off, middle, lowest, highest)


def down(value: float) -> float:
    """Rounded down, for a lower limit."""
    return math.floor((value - MARGIN) * STEPS) / STEPS


def up(value: float) -> float:
    """Rounded up, for an upper limit."""
    return math.ceil((value + MARGIN) * STEPS) / STEPS
