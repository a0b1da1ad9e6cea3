"""How much limits that were read off a sample can promise, whatever the distribution.

The smallest and the largest of n values, taken as limits, cover at least a share p of all further values with
confidence c (S. S. Wilks, "Determination of Sample Sizes for Setting Tolerance Limits", Annals of Mathematical
Statistics 12, 1941). The share covered follows Beta(n - k + 1, k) for k limits; the same holds for limits of several
measures at once, a box around all values (J. W. Tukey, "Nonparametric Estimation II", Annals of Mathematical Statistics
18, 1947).
"""

from __future__ import annotations

import math

from scipy.special import betaincinv

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


def photos_needed(wanted: float, limits: int = 2, confidence: float = CONFIDENCE) -> int:
    """The fewest photos whose extremes cover the share `wanted`, below 1, with that confidence."""
    enough = limits
    while coverage(enough, limits, confidence) < wanted:
        enough *= 2
    short = enough // 2
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if coverage(middle, limits, confidence) >= wanted else (middle, enough)
    return max(enough, limits)


def percent(share: float) -> str:
    """The share as people write it, rounded down: `98.6 %`."""
    return f"{math.floor(share * 1000 + 1e-9) / 10:g} %"


def told(photos: int, limits: int = 2) -> str:
    """What the limits promise, and how many photos would promise more."""
    covered = coverage(photos, limits)
    level = next((level for level in LEVELS if level > covered), None)
    more = "" if level is None else f"; {photos_needed(level, limits)} photos needed for {percent(level)}"
    return f"covers at least {percent(covered)} of such photos with {percent(CONFIDENCE)} confidence{more}"
