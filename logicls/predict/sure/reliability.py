"""Does what is called a chance of 70 % come true in 70 of 100 cases? Bins for a plot, and one number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from logicls.records import Verdict

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Cases whose probability lies from `low` to `high`."""

    low: float
    high: float
    count: int
    said: float
    """Mean of the probabilities, 0 to 1."""
    true: float
    """Share that came true."""

    def to_json(self) -> dict[str, float]:
        """Plain numbers."""
        return {"low": self.low, "high": self.high, "count": self.count, "said": self.said, "true": self.true}


def reliability(verdicts: Iterable[Verdict], truth: Mapping[str, Sequence[str]]) -> tuple[Bin, ...]:
    """Of every violation on every photo of the truth: how likely it was called, and whether it was there.

    Ten bins of the same width; those without a case are left out.
    """
    cases = [(p, name in truth[v.photo]) for v in verdicts if v.photo in truth for name, p in v.scores]
    return bins(cases)


def bins(cases: Iterable[tuple[float, bool]]) -> tuple[Bin, ...]:
    """Of probabilities and whether they came true."""
    found: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for chance, true in cases:
        found[min(int(chance * BINS), BINS - 1)].append((chance, true))
    return tuple(
        Bin(
            k / BINS,
            (k + 1) / BINS,
            len(some),
            sum(p for p, _ in some) / len(some),
            sum(t for _, t in some) / len(some),
        )
        for k, some in enumerate(found)
        if some
    )


def calibration_error(found: Sequence[Bin]) -> float | None:
    """Expected calibration error: the gap between told and true, averaged over all cases; None without any.

    Naeini et al., AAAI 2015; Guo et al., ICML 2017, equation 3.
    """
    total = sum(one.count for one in found)
    return sum(one.count * abs(one.said - one.true) for one in found) / total if total else None
