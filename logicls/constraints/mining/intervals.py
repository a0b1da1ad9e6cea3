"""How much limits that were read off a sample can promise, whatever the distribution.

The smallest and the largest of n values, taken as limits, cover at least a share p of all further values with
confidence c (S. S. Wilks, "Determination of Sample Sizes for Setting Tolerance Limits", Annals of Mathematical
Statistics 12, 1941). The share covered follows Beta(n - k + 1, k) for k limits; the same holds for limits of several
measures at once, a box around all values (J. W. Tukey, "Nonparametric Estimation II", Annals of Mathematical Statistics
18, 1947).

How far a number varies from photo to photo, and what to write for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import betaincinv

from logicls.constraints.mining.observations import MAX_EXCEPTION_SHARE, MAX_EXCEPTIONS

CONFIDENCE = 0.95
LEVELS = (0.9, 0.95, 0.99, 0.999)
"""The shares that people ask for."""


def coverage(photos: int, limits: int = 2, confidence: float = CONFIDENCE) -> float:
    """The share of all such photos that lies within the extremes of `photos` photos, at least, with that confidence.

    Args:
        photos: How many were looked at; independent of one another.
        limits: How many extremes are limits: 2 for an interval, 1 for a largest value, 4 for a box.
        confidence: Probability that the statement is true.
    """
    return float(betaincinv(photos - limits + 1, limits, 1 - confidence)) if photos >= limits else 0.0


def photos_needed(share: float, limits: int = 2, confidence: float = CONFIDENCE) -> int:
    """The fewest photos whose extremes cover the share `wanted`, below 1, with that confidence."""
    enough = limits
    while coverage(enough, limits, confidence) < share:
        enough *= 2
    short = enough // 2
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if coverage(middle, limits, confidence) >= share else (middle, enough)
    return max(enough, limits)


def percent_to_text(share: float) -> str:
    """The share as people write it, rounded down: `98.6 %`."""
    return f"{math.floor(share * 1000 + 1e-9) / 10:g} %"


def describe_coverage(photos: int, limits: int = 2) -> str:
    """What the limits promise, and how many photos would promise more."""
    covered = coverage(photos, limits)
    level = next((level for level in LEVELS if level > covered), None)
    more = "" if level is None else f"; {photos_needed(level, limits)} photos needed for {percent_to_text(level)}"
    return (
        f"covers at least {percent_to_text(covered)} of such photos with {percent_to_text(CONFIDENCE)} confidence{more}"
    )


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


def compute_span(values: Float[np.ndarray, " rows"], photo: Int[np.ndarray, " rows"], photos: int) -> Span:
    """The extremes of `values`, which were read off the photos with these numbers; at least one value."""
    middle = float(np.median(values))
    far = np.zeros(photos)
    np.maximum.at(far, photo, np.abs(values - middle))
    count = min(MAX_EXCEPTIONS, int(MAX_EXCEPTION_SHARE * len(np.unique(photo))))
    off = np.zeros(photos, dtype=bool)
    off[np.argsort(-far, kind="stable")[:count]] = True
    kept = values[~off[photo]]
    lowest, highest = int(photo[values.argmin()]), int(photo[values.argmax()])
    core = float(kept.min()), float(kept.max())
    off &= far > max(core[1] - middle, middle - core[0])
    return Span(float(values.min()), float(values.max()), core, off, middle, lowest, highest)


def round_down(value: float) -> float:
    """Rounded down, for a lower limit."""
    return math.floor((value - MARGIN) * STEPS) / STEPS


def round_up(value: float) -> float:
    """Rounded up, for an upper limit."""
    return math.ceil((value + MARGIN) * STEPS) / STEPS
