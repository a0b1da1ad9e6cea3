"""The figures of an attribute agreement study.

AIAG, Measurement Systems Analysis, 4th edition (2010), chapter III section C: how often an inspector's trials are
alike, agree with those of others, and with the standard; how often a bad part passes (miss) and a good one fails (false
alarm). Its limits are guidance, and so they are here.

An inspector's *effectiveness* is the share of photos on which all trials are right. Misses and false alarms are counted
over decisions; their intervals are as wide as if each photo had been decided once, for decisions on one photo
are alike. A review is a decision by itself: it is not right, and neither a miss nor a false alarm.

Agreement beyond chance.

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
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from logicls.evaluation.agreement.decisions import Decision, group_decisions
from logicls.evaluation.intervals import Rate, clopper_pearson, estimate_rate
from logicls.records import Outcome

Z = 1.959963984540054
"""95 % of a normal distribution lie within so many standard deviations."""


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement beyond chance: 1 is perfect, 0 what chance gives."""

    value: float
    standard_error: float
    """Standard error; 0 where agreement is perfect, of which the sample says nothing more."""

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Interval by the normal distribution; None where agreement is perfect: the formula has none then."""
        if self.standard_error <= 0:
            return None
        return max(self.value - Z * self.standard_error, -1.0), min(self.value + Z * self.standard_error, 1.0)


def cohen_kappa(photos: Sequence[Sequence[tuple[Hashable, Hashable]]]) -> Kappa | None:
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
    return Kappa(kappa, _standard_error([sum(slope[pair] - mean for pair in photo) for photo in photos], n))


def fleiss_kappa(photos: Sequence[Sequence[Hashable]]) -> Kappa | None:
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
    return Kappa(kappa, _standard_error(slopes.tolist(), len(photos)))


def _standard_error(parts: Sequence[float], n: int) -> float:
    """Standard error from what each photo adds to the sum of `n` parts; rounding alone makes none."""
    error = math.sqrt(sum(part**2 for part in parts)) / n
    return error if error > 1e-12 else 0.0


OutcomesByPhoto = Mapping[str, tuple[Outcome, ...]]
"""Photo → what one inspector said of it, trial by trial."""
Standard = Mapping[str, Outcome]
"""Photo → what is right: pass or fail."""
Grade = Literal["acceptable", "marginal", "unacceptable"]
EFFECTIVENESS, MISS, FALSE_ALARM = (0.90, 0.80), (0.02, 0.05), (0.05, 0.10)
"""AIAG's limits: acceptable, marginal; beyond the second one unacceptable."""
GOOD_KAPPA, POOR_KAPPA = 0.75, 0.40
"""Kappa above the first is good agreement, below the second poor, says AIAG."""
MIN_PHOTOS = 50
"""Photos that AIAG's own example has."""


@dataclass(frozen=True, slots=True)
class DecisionRate:
    """`count` out of `of` decisions, on so many photos."""

    count: int
    total: int
    photos: int

    @property
    def value(self) -> float | None:
        """The share, 0 to 1; None where there was nothing to decide."""
        return self.count / self.total if self.total else None

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Exact interval for so many decisions as there are photos; None where there are none."""
        value = self.value
        return None if value is None else clopper_pearson(value * self.photos, self.photos)


@dataclass(frozen=True, slots=True)
class Appraisal:
    """One inspector."""

    name: str
    trials: int
    within: Rate | None
    """Photos on which all trials are alike; None for a single trial."""
    within_kappa: Kappa | None
    effectiveness: Rate
    effectiveness_without_review: Rate
    """The same over the photos of which none of the trials went to review."""
    kappa: Kappa | None
    """Decisions against the standard."""
    miss_rate: DecisionRate
    false_alarm_rate: DecisionRate
    review_rate: DecisionRate


@dataclass(frozen=True, slots=True)
class AgreementStudy:
    """All inspectors, and how they agree."""

    photos: int
    defective: int
    appraisals: tuple[Appraisal, ...]
    between: Rate | None
    """Photos on which all trials of all inspectors are alike; None for a single inspector."""
    between_kappa: Kappa | None
    between_standard: Rate | None
    """Photos on which all of them are right."""
    pairs: tuple[tuple[str, str, Kappa | None], ...]
    """Any two inspectors, trial by trial."""


def analyze_agreement(decisions: Iterable[Decision], standard: Standard) -> AgreementStudy:
    """The figures; every inspector has decided each photo of the standard in each of his trials."""
    said = group_decisions(decisions)
    together = {p: tuple(outcome for one in said.values() for outcome in one[p]) for p in standard}
    several = len(said) > 1
    return AgreementStudy(
        len(standard),
        sum(right == "fail" for right in standard.values()),
        tuple(_appraise(name, one, standard) for name, one in said.items()),
        estimate_rate(len(set(some)) == 1 for some in together.values()) if several else None,
        fleiss_kappa(list(together.values())) if several else None,
        estimate_rate(set(together[p]) == {right} for p, right in standard.items()) if several else None,
        tuple((one, other, _pair_kappa(said[one], said[other])) for one, other in combinations(said, 2)),
    )


def _appraise(name: str, said: OutcomesByPhoto, standard: Standard) -> Appraisal:
    trials = max(len(some) for some in said.values())
    good, bad = (tuple(p for p, right in standard.items() if right == side) for side in ("pass", "fail"))
    return Appraisal(
        name,
        trials,
        estimate_rate(len(set(said[p])) == 1 for p in standard) if trials > 1 else None,
        fleiss_kappa([said[p] for p in standard]),
        estimate_rate(set(said[p]) == {right} for p, right in standard.items()),
        estimate_rate(set(said[p]) == {right} for p, right in standard.items() if "review" not in said[p]),
        cohen_kappa([[(outcome, right) for outcome in said[p]] for p, right in standard.items()]),
        _decision_rate(said, bad, "pass"),
        _decision_rate(said, good, "fail"),
        _decision_rate(said, tuple(standard), "review"),
    )


def _decision_rate(said: OutcomesByPhoto, photos: Sequence[str], outcome: Outcome) -> DecisionRate:
    found = [one == outcome for photo in photos for one in said[photo]]
    return DecisionRate(sum(found), len(found), len(photos))


def _pair_kappa(one: OutcomesByPhoto, other: OutcomesByPhoto) -> Kappa | None:
    """Trial with trial; those that only one of the two has are left out."""
    return cohen_kappa([list(zip(one[photo], other[photo], strict=False)) for photo in one])


def grade_value(value: float | None, limits: tuple[float, float]) -> Grade | None:
    """Where a figure stands by AIAG's limits; None where it is undefined."""
    if value is None:
        return None
    first, second = limits
    if first > second:
        return "acceptable" if value >= first else "marginal" if value >= second else "unacceptable"
    return "acceptable" if value <= first else "marginal" if value <= second else "unacceptable"


def grade_kappa(kappa: Kappa | None) -> str:
    """What AIAG calls a kappa of that size; empty where it is undefined or in between."""
    if kappa is None:
        return ""
    return "good" if kappa.value > GOOD_KAPPA else "poor" if kappa.value < POOR_KAPPA else ""


def study_notes(found: AgreementStudy) -> tuple[str, ...]:
    """What keeps the figures from saying much."""
    said = []
    if found.photos < MIN_PHOTOS:
        said.append(f"{found.photos} photos are few: AIAG's example has {MIN_PHOTOS}.")
    if found.defective in (0, found.photos):
        missing, figure = ("bad", "misses") if not found.defective else ("good", "false alarms")
        said.append(f"There is no {missing} photo: nothing can be said about {figure}, and kappa is undefined or low.")
    return tuple(said)
