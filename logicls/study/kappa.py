"""Agreement beyond chance.

Cohen's kappa (Educational and Psychological Measurement 20, 1960) of two readings with the standard error of Fleiss,
Cohen and Everitt (Psychological Bulletin 72, 1969), and Fleiss' kappa (Psychological Bulletin 76, 1971) of any number
of readings, with the standard error that the delta method gives for a sample of photos (Gwet, British Journal of
Mathematical and Statistical Psychology 61, 2008).

Readings of one photo are no independent sample. Errors are therefore those of photos, whose readings vary together;
where each photo is read once they are those of the papers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

Z = 1.959963984540054
"""95 % of a normal distribution lie within so many standard deviations."""


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement beyond chance: 1 is perfect, 0 what chance gives."""

    value: float
    error: float
    """Standard error; 0 where agreement is perfect, of which the sample says nothing more."""

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Interval by the normal distribution; None where agreement is perfect: the formula has none then."""
        if self.error <= 0:
            return None
        return max(self.value - Z * self.error, -1.0), min(self.value + Z * self.error, 1.0)


def cohen(photos: Sequence[Sequence[tuple[Hashable, Hashable]]]) -> Kappa | None:
    """Kappa of two readings: for each photo the pairs of what was read.

    None where nothing was read, or all that was read by both is one and the same category.
    """
    cells = Counter(pair for photo in photos for pair in photo)
    n = cells.total()
    if not n:
        return None
    first, second = Counter[Hashable](), Counter[Hashable]()
    for (one, other), count in cells.items():
        first[one] += count
        second[other] += count
    agreed = sum(count for (one, other), count in cells.items() if one == other) / n
    chance = sum(first[key] * second[key] for key in first) / n**2
    if math.isclose(chance, 1):
        return None
    kappa = (agreed - chance) / (1 - chance)
    # How kappa changes with the share of a cell.
    slope = {
        (one, other): ((one == other) - (1 - kappa) * (second[one] + first[other]) / n) / (1 - chance)
        for one, other in cells
    }
    mean = sum(slope[cell] * count for cell, count in cells.items()) / n
    return Kappa(kappa, _error([sum(slope[pair] - mean for pair in photo) for photo in photos], n))


def fleiss(photos: Sequence[Sequence[Hashable]]) -> Kappa | None:
    """Kappa of any number of readings, the same number for each photo, two at the least.

    None where there are fewer, or all readings are one and the same category.
    """
    count = len(photos[0]) if photos else 0
    if count < 2:
        return None
    keys = sorted({str(reading) for photo in photos for reading in photo})
    table = np.array([[sum(str(r) == key for r in photo) for key in keys] for photo in photos], float)
    shares = table / count
    alike = (count * (shares**2).sum(1) - 1) / (count - 1)
    common = shares.mean(0)
    chance, agreed = float((common**2).sum()), float(alike.mean())
    if math.isclose(chance, 1):
        return None
    kappa = (agreed - chance) / (1 - chance)
    slopes = (alike - agreed - 2 * (1 - kappa) * (shares @ common - chance)) / (1 - chance)
    return Kappa(kappa, _error(slopes.tolist(), len(photos)))


def _error(parts: Sequence[float], n: int) -> float:
    """Standard error from what each photo adds to the sum of `n` parts; rounding alone makes none."""
    error = math.sqrt(sum(part**2 for part in parts)) / n
    return error if error > 1e-12 else 0.0
