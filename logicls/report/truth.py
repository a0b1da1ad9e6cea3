"""Verdicts beside the truth: which sets of violations are taken for which, and do probabilities keep their word?"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from logicls.errors import DataError, Problem, relative
from logicls.predict.sure.reliability import BINS, Bin
from logicls.records import Verdict
from logicls.score import Rate, Scoreboard, Truth

MOST_SETS = 12
"""Rows of a confusion matrix; the rarest sets beyond that share one."""
OTHERS = "other sets"
Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often a photo that has one set of violations was read as having another."""

    labels: tuple[str, ...]
    """Of rows (what is true) and columns (what was found); good first, then the most frequent."""
    counts: tuple[tuple[int, ...], ...]

    @property
    def right(self) -> int:
        """Photos on the diagonal; those whose sets are lumped together are not known to be right."""
        return sum(row[n] for n, row in enumerate(self.counts) if self.labels[n] != OTHERS)


@dataclass(slots=True)
class Against:
    """What is counted of verdicts beside the truth."""

    truth: Truth
    sets: Counter[tuple[Names, Names]] = field(default_factory=Counter)
    said: list[list[float]] = field(default_factory=lambda: [[0.0] * 3 for _ in range(BINS)])
    """By tenth of the anomaly score: how many photos, the sum of their scores, how many are bad."""

    def add(self, verdict: Verdict) -> None:
        """Count one verdict; one of a photo that the truth does not name is passed over."""
        if verdict.photo not in self.truth:
            return
        true = tuple(sorted(self.truth[verdict.photo]))
        self.sets[true, tuple(sorted(verdict.violations))] += 1
        tenth = self.said[min(int(verdict.score * BINS), BINS - 1)]
        for place, more in enumerate((1.0, verdict.score, float(bool(true)))):
            tenth[place] += more

    def bins(self) -> tuple[Bin, ...]:
        """The anomaly score as the probability that a photo is bad."""
        return tuple(
            Bin(n / BINS, (n + 1) / BINS, int(count), total / count, bad / count)
            for n, (count, total, bad) in enumerate(self.said)
            if count
        )


@dataclass(frozen=True, slots=True)
class Held:
    """The truth, and what verdicts came to beside it."""

    truth: Truth
    board: Scoreboard
    reliability: tuple[Bin, ...] = ()
    """Of calibrated probabilities; empty where there are none."""


def confusion(sets: Counter[tuple[Names, Names]]) -> Confusion:
    """The matrix of (true, found) sets."""
    often: Counter[Names] = Counter()
    for (true, found), count in sets.items():
        often[true] += count
        often[found] += count
    ranked = sorted(often, key=lambda names: (bool(names), -often[names], names))
    kept = ranked[:MOST_SETS]
    labels = [" + ".join(names) or "good" for names in kept] + ([OTHERS] if len(ranked) > len(kept) else [])
    place = {names: n for n, names in enumerate(kept)}
    counts = [[0] * len(labels) for _ in labels]
    for (true, found), count in sets.items():
        counts[place.get(true, len(kept))][place.get(found, len(kept))] += count
    return Confusion(tuple(labels), tuple(map(tuple, counts)))


def rate_of(some: Bin) -> Rate:
    """The share that came true, with its interval."""
    return Rate(round(some.true * some.count), some.count)


def read_reliability(metrics: Path) -> tuple[Bin, ...]:
    """The bins in metrics.json under `reliability`; none where the file or the key is not there.

    Raises:
        DataError: They are of another kind (LC645).
    """
    if not metrics.exists():
        return ()
    try:
        rows = json.loads(metrics.read_text(encoding="utf-8")).get("reliability") or []
        bins = [
            Bin(float(r["low"]), float(r["high"]), int(r["count"]), float(r["said"]), float(r["true"]))
            for r in rows
            if r["count"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = "has something under `reliability` that are no bins with low, high, count, said and true."
        problem = Problem("LC645", message, relative(metrics), advice="Make it anew with `logicls eval`.")
        raise DataError(problem) from error
    return tuple(bins)
