"""Shares with the interval that their count allows, and what may be claimed about escapes.

Rates come with the exact interval of Clopper and Pearson (Biometrika 26, 1934), which holds its 95 % however small the
count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class HasInterval(Protocol):
    """A share that has an interval."""

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Two-sided 95 % interval; None where there was nothing to count."""
        ...


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` out of `of`."""

    count: int
    total: int

    @property
    def value(self) -> float | None:
        """The share, 0 to 1; None where there was nothing to count."""
        return self.count / self.total if self.total else None

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Two-sided exact 95 % interval of the share; None where there was nothing to count."""
        return clopper_pearson(self.count, self.total) if self.total else None


def estimate_rate(successes: Iterable[bool]) -> Rate:
    """How many of them are true."""
    listed = list(successes)
    return Rate(sum(listed), len(listed))


def clopper_pearson(count: float, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided exact interval of a share: both tails hold (1 - confidence) / 2.

    A count between two whole numbers has an interval between theirs.

    >>> [round(limit, 4) for limit in clopper_pearson(0, 10)]
    [0.0, 0.3085]
    """
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, count, total - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, total - count)) if count < total else 1.0
    return low, high


def describe_escape_bound(escape: Rate, goal: float = 0.01) -> str:
    """The upper bound that the escapes allow (one-sided, 95 %), and the bad photos needed to claim `goal`.

    >>> escape_claim(Rate(0, 40))
    '0 of 40 bad photos escaped: with 95 % confidence at most 7.2 % do. A claim of 1 % needs 299 bad photos.'
    """
    from scipy.stats import beta, binom

    count, of = escape.count, escape.total
    if not of:
        return "The truth has no bad photo: nothing can be said about escapes."
    bound = float(beta.ppf(0.95, count + 1, of - count)) if count < of else 1.0
    said = f"{count} of {of} bad photos escaped: with 95 % confidence at most {100 * bound:.1f} % do."
    if bound <= goal:
        return said
    enough = range(int(4 * (count + 10) / goal))
    needed = bisect_left(enough, True, key=lambda n: bool(binom.cdf(count, n, goal) <= 0.05))
    still = f" with no more than {count} escaped" if count else ""
    return f"{said} A claim of {100 * goal:g} % needs {needed} bad photos{still}."
