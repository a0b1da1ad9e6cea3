"""Distribution-free tolerance intervals: the coverage of limits taken from a sample, and the limits to write.

The smallest and the largest of n values, taken as limits, cover at least a share p of all further values with
confidence c (S. S. Wilks, "Determination of Sample Sizes for Setting Tolerance Limits", Annals of Mathematical
Statistics 12, 1941). The covered share follows Beta(n - k + 1, k) for k limits; this also holds for limits of several
measures at once, a box around all values (J. W. Tukey, "Nonparametric Estimation II", Annals of Mathematical Statistics
18, 1947).
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
"""Customary levels of coverage."""
MARGIN = 1e-6
"""Amount by which limits are wider than the sample, against rounding errors."""
DIGITS = 3
"""Decimals of fractions in a draft: finer than the precision of annotations."""
STEPS = 1000
"""Number of steps of that size in 1."""


def coverage(photos: int, limits: int = 2, confidence: float = CONFIDENCE) -> float:
    """Return a lower bound of the share of further photos that lie within the extremes of a sample.

    Args:
        photos: Size of the sample; the photos are independent of one another.
        limits: Number of extremes used as limits: 2 for an interval, 1 for a maximum, 4 for a box.
        confidence: Probability that the bound is correct.
    """
    return float(betaincinv(photos - limits + 1, limits, 1 - confidence)) if photos >= limits else 0.0


def photos_needed(share: float, limits: int = 2, confidence: float = CONFIDENCE) -> int:
    """Return the smallest sample whose extremes cover `share`, below 1, with that confidence."""
    high = limits
    while coverage(high, limits, confidence) < share:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if coverage(middle, limits, confidence) >= share else (middle, high)
    return max(high, limits)


def percent_to_text(share: float) -> str:
    """Format a share as a percentage, rounded down: `98.6 %`."""
    return f"{math.floor(share * 1000 + 1e-9) / 10:g} %"


def describe_coverage(photos: int, limits: int = 2) -> str:
    """State the coverage of the limits, and the number of photos needed for the next customary level."""
    share = coverage(photos, limits)
    level = next((level for level in LEVELS if level > share), None)
    more = "" if level is None else f"; {photos_needed(level, limits)} photos needed for {percent_to_text(level)}"
    confidence = percent_to_text(CONFIDENCE)
    return f"covers at least {percent_to_text(share)} of such photos with {confidence} confidence{more}"


@dataclass(frozen=True, slots=True)
class Span:
    """Extremes of a measure, with and without outliers."""

    low: float
    high: float
    core: tuple[float, float]
    """Extremes without the outliers."""
    outliers: Bool[np.ndarray, " photos"]
    """True for the few photos that are farthest from the median."""
    median: float
    lowest: int
    """Index of the photo with the smallest value."""
    highest: int
    """Index of the photo with the largest value."""

    @property
    def range(self) -> float:
        """Difference of the extremes."""
        return self.high - self.low

    @property
    def core_range(self) -> float:
        """Difference of the extremes without the outliers."""
        return self.core[1] - self.core[0]


def compute_span(values: Float[np.ndarray, " rows"], photo: Int[np.ndarray, " rows"], photos: int) -> Span:
    """Compute the extremes of a measure.

    Args:
        values: Values, at least one.
        photo: Index of each value's photo.
        photos: Number of photos.
    """
    median = float(np.median(values))
    distance = np.zeros(photos)
    np.maximum.at(distance, photo, np.abs(values - median))
    count = min(MAX_EXCEPTIONS, int(MAX_EXCEPTION_SHARE * len(np.unique(photo))))
    outliers = np.zeros(photos, dtype=bool)
    outliers[np.argsort(-distance, kind="stable")[:count]] = True
    inliers = values[~outliers[photo]]
    lowest, highest = int(photo[values.argmin()]), int(photo[values.argmax()])
    core = float(inliers.min()), float(inliers.max())
    outliers &= distance > max(core[1] - median, median - core[0])
    return Span(float(values.min()), float(values.max()), core, outliers, median, lowest, highest)


def round_down(value: float) -> float:
    """Round down, for a lower limit."""
    return math.floor((value - MARGIN) * STEPS) / STEPS


def round_up(value: float) -> float:
    """Round up, for an upper limit."""
    return math.ceil((value + MARGIN) * STEPS) / STEPS
