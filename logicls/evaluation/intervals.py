"""Rates with exact confidence intervals, and the bound that a count of escapes allows.

Source: Clopper and Pearson, Biometrika 26, 1934. The interval has at least its nominal confidence for any count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class HasInterval(Protocol):
    """Estimate with a confidence interval."""

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Two-sided 95 % confidence interval; None without observations."""
        ...


@dataclass(frozen=True, slots=True)
class Rate:
    """Binomial proportion: `count` of `total`."""

    count: int
    total: int

    @property
    def value(self) -> float | None:
        """Estimate, 0 to 1; None without observations."""
        return self.count / self.total if self.total else None

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Two-sided exact 95 % confidence interval; None without observations."""
        return clopper_pearson(self.count, self.total) if self.total else None


def estimate_rate(successes: Iterable[bool]) -> Rate:
    """Return the rate of true values."""
    values = list(successes)
    return Rate(sum(values), len(values))


def clopper_pearson(count: float, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided exact confidence interval of a proportion, (1 - confidence) / 2 in each tail.

    `count` may lie between two integers; the interval then lies between theirs.

    >>> [round(limit, 4) for limit in clopper_pearson(0, 10)]
    [0.0, 0.3085]
    """
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, count, total - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, total - count)) if count < total else 1.0
    return low, high


def describe_escape_bound(escapes: Rate, target: float = 0.01) -> str:
    """Describe the one-sided 95 % upper bound of the escape rate, and the sample size that demonstrates `target`.

    >>> describe_escape_bound(Rate(0, 40))
    '0 of 40 defective photos escaped: escape rate at most 7.2 % (95 % confidence). 1 % needs 299 defective photos.'
    """
    from scipy.stats import beta, binom

    count, total = escapes.count, escapes.total
    if not total:
        return "The truth has no defective photo: the escape rate is undefined."
    bound = float(beta.ppf(0.95, count + 1, total - count)) if count < total else 1.0
    escaped = f"{count} of {total} defective photos escaped"
    text = f"{escaped}: escape rate at most {100 * bound:.1f} % (95 % confidence)."
    if bound <= target:
        return text
    sizes = range(int(4 * (count + 10) / target))
    needed = bisect_left(sizes, True, key=lambda n: bool(binom.cdf(count, n, target) <= 0.05))
    condition = f" with at most {count} escaped" if count else ""
    return f"{text} {100 * target:g} % needs {needed} defective photos{condition}."
