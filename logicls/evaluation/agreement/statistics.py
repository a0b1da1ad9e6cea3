"""Statistics of an attribute agreement study.

AIAG, Measurement Systems Analysis, 4th edition (2010), chapter III section C: repeatability of each inspector,
reproducibility between inspectors, and agreement with the reference standard; the rate of defective parts that pass
(miss rate) and of good parts that fail (false alarm rate). Its limits are guidance.

An inspector's *effectiveness* is the share of photos on which all trials are correct. Misses and false alarms are
counted over decisions; their intervals are as wide as if each photo had been decided once, because decisions on one
photo are correlated. A review is a category of its own: it is not correct, and neither a miss nor a false alarm.

Kappa is agreement beyond chance: Cohen's (Educational and Psychological Measurement 20, 1960) of two raters with the
standard error of Fleiss, Cohen and Everitt (Psychological Bulletin 72, 1969), and Fleiss' (Psychological Bulletin 76,
1971) of any number of ratings with the standard error that the delta method gives for a sample of photos (Gwet, British
Journal of Mathematical and Statistical Psychology 61, 2008). Ratings of one photo are not independent, so the standard
errors treat photos as the sampling unit; with one rating per photo they are those of the papers.
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
"""Quantile of the standard normal distribution for a two-sided 95 % interval."""


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement beyond chance: 1 is perfect, 0 that of chance."""

    value: float
    standard_error: float
    """0 for perfect agreement, of which the sample gives no estimate."""

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Interval by the normal distribution; None for perfect agreement, for which the formula has none."""
        if self.standard_error <= 0:
            return None
        return max(self.value - Z * self.standard_error, -1.0), min(self.value + Z * self.standard_error, 1.0)


def cohen_kappa(photos: Sequence[Sequence[tuple[Hashable, Hashable]]]) -> Kappa | None:
    """Compute Cohen's kappa of two raters, from the pairs of ratings of each photo.

    None without ratings, or if both raters used the same single category.
    """
    cells = Counter(pair for photo in photos for pair in photo)
    n = cells.total()
    if not n:
        return None
    first, second = Counter[Hashable](), Counter[Hashable]()
    for (one, other), count in cells.items():
        first[one] += count
        second[other] += count
    observed = sum(count for (one, other), count in cells.items() if one == other) / n
    expected = sum(first[key] * second[key] for key in first) / n**2
    if math.isclose(expected, 1):
        return None
    kappa = (observed - expected) / (1 - expected)
    # Derivative of kappa with respect to the share of each cell.
    gradient = {
        (one, other): ((one == other) - (1 - kappa) * (second[one] + first[other]) / n) / (1 - expected)
        for one, other in cells
    }
    mean = sum(gradient[cell] * count for cell, count in cells.items()) / n
    return Kappa(kappa, _standard_error([sum(gradient[pair] - mean for pair in photo) for photo in photos], n))


def fleiss_kappa(photos: Sequence[Sequence[Hashable]]) -> Kappa | None:
    """Compute Fleiss' kappa of the ratings of each photo, the same number for every photo.

    None with fewer than two ratings per photo, or if all ratings are of one category.
    """
    count = len(photos[0]) if photos else 0
    if count < 2:
        return None
    categories = sorted({str(rating) for photo in photos for rating in photo})
    table = np.array([[sum(str(r) == category for r in photo) for category in categories] for photo in photos], float)
    shares = table / count
    agreement = (count * (shares**2).sum(1) - 1) / (count - 1)
    marginal = shares.mean(0)
    expected, observed = float((marginal**2).sum()), float(agreement.mean())
    if math.isclose(expected, 1):
        return None
    kappa = (observed - expected) / (1 - expected)
    influence = (agreement - observed - 2 * (1 - kappa) * (shares @ marginal - expected)) / (1 - expected)
    return Kappa(kappa, _standard_error(influence.tolist(), len(photos)))


def _standard_error(parts: Sequence[float], n: int) -> float:
    """Return the standard error of a mean of `n` ratings from the sum of each photo; 0 up to rounding."""
    error = math.sqrt(sum(part**2 for part in parts)) / n
    return error if error > 1e-12 else 0.0


OutcomesByPhoto = Mapping[str, tuple[Outcome, ...]]
"""Photo → outcomes of one inspector, in the order of the trials."""
Standard = Mapping[str, Outcome]
"""Photo → reference: pass or fail."""
Grade = Literal["acceptable", "marginal", "unacceptable"]
EFFECTIVENESS, MISS, FALSE_ALARM = (0.90, 0.80), (0.02, 0.05), (0.05, 0.10)
"""Limits of AIAG: acceptable, marginal; unacceptable beyond the second."""
GOOD_KAPPA, POOR_KAPPA = 0.75, 0.40
"""Kappa above the first is good agreement, below the second poor (AIAG)."""
MIN_PHOTOS = 50
"""Sample size of AIAG's example."""


@dataclass(frozen=True, slots=True)
class DecisionRate:
    """`count` of `total` decisions, on `photos` photos."""

    count: int
    total: int
    photos: int

    @property
    def value(self) -> float | None:
        """Estimate, 0 to 1; None without decisions."""
        return self.count / self.total if self.total else None

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Exact interval for as many decisions as there are photos; None without any."""
        value = self.value
        return None if value is None else clopper_pearson(value * self.photos, self.photos)


@dataclass(frozen=True, slots=True)
class Appraisal:
    """Statistics of one inspector."""

    name: str
    trials: int
    within: Rate | None
    """Repeatability: photos on which all trials agree; None for a single trial."""
    within_kappa: Kappa | None
    effectiveness: Rate
    """Photos on which all trials are correct."""
    effectiveness_without_review: Rate
    """The same for the photos without a review in any trial."""
    kappa: Kappa | None
    """Decisions against the standard."""
    miss_rate: DecisionRate
    false_alarm_rate: DecisionRate
    review_rate: DecisionRate


@dataclass(frozen=True, slots=True)
class AgreementStudy:
    """Statistics of all inspectors, and between them."""

    photos: int
    defective: int
    appraisals: tuple[Appraisal, ...]
    between: Rate | None
    """Reproducibility: photos on which all trials of all inspectors agree; None for a single inspector."""
    between_kappa: Kappa | None
    between_standard: Rate | None
    """Photos on which all of them are correct."""
    pairs: tuple[tuple[str, str, Kappa | None], ...]
    """Kappa of every two inspectors, trial by trial."""


def analyze_agreement(decisions: Iterable[Decision], standard: Standard) -> AgreementStudy:
    """Compute the statistics. Every inspector has decided each photo of the standard in each trial."""
    inspectors = group_decisions(decisions)
    together = {photo: tuple(outcome for one in inspectors.values() for outcome in one[photo]) for photo in standard}
    is_several = len(inspectors) > 1
    return AgreementStudy(
        len(standard),
        sum(reference == "fail" for reference in standard.values()),
        tuple(_appraise(name, outcomes, standard) for name, outcomes in inspectors.items()),
        estimate_rate(len(set(outcomes)) == 1 for outcomes in together.values()) if is_several else None,
        fleiss_kappa(list(together.values())) if is_several else None,
        estimate_rate(set(together[p]) == {reference} for p, reference in standard.items()) if is_several else None,
        tuple(
            (one, other, _pair_kappa(inspectors[one], inspectors[other])) for one, other in combinations(inspectors, 2)
        ),
    )


def _appraise(name: str, outcomes: OutcomesByPhoto, standard: Standard) -> Appraisal:
    trials = max(len(repeats) for repeats in outcomes.values())
    good, defective = (
        tuple(photo for photo, reference in standard.items() if reference == value) for value in ("pass", "fail")
    )
    without_review = {photo: reference for photo, reference in standard.items() if "review" not in outcomes[photo]}
    return Appraisal(
        name,
        trials,
        estimate_rate(len(set(outcomes[photo])) == 1 for photo in standard) if trials > 1 else None,
        fleiss_kappa([outcomes[photo] for photo in standard]),
        estimate_rate(set(outcomes[photo]) == {reference} for photo, reference in standard.items()),
        estimate_rate(set(outcomes[photo]) == {reference} for photo, reference in without_review.items()),
        cohen_kappa([[(outcome, reference) for outcome in outcomes[p]] for p, reference in standard.items()]),
        _decision_rate(outcomes, defective, "pass"),
        _decision_rate(outcomes, good, "fail"),
        _decision_rate(outcomes, tuple(standard), "review"),
    )


def _decision_rate(outcomes: OutcomesByPhoto, photos: Sequence[str], outcome: Outcome) -> DecisionRate:
    matches = [one == outcome for photo in photos for one in outcomes[photo]]
    return DecisionRate(sum(matches), len(matches), len(photos))


def _pair_kappa(one: OutcomesByPhoto, other: OutcomesByPhoto) -> Kappa | None:
    """Compute kappa of trial with trial; trials that only one of the two has are ignored."""
    return cohen_kappa([list(zip(one[photo], other[photo], strict=False)) for photo in one])


def grade_value(value: float | None, limits: tuple[float, float]) -> Grade | None:
    """Grade a value by limits of AIAG; None for an undefined value."""
    if value is None:
        return None
    first, second = limits
    if first > second:
        return "acceptable" if value >= first else "marginal" if value >= second else "unacceptable"
    return "acceptable" if value <= first else "marginal" if value <= second else "unacceptable"


def grade_kappa(kappa: Kappa | None) -> str:
    """Return good or poor as AIAG grades kappa; empty in between, and for an undefined one."""
    if kappa is None:
        return ""
    return "good" if kappa.value > GOOD_KAPPA else "poor" if kappa.value < POOR_KAPPA else ""


def study_notes(study: AgreementStudy) -> tuple[str, ...]:
    """Return notes about limitations of the study."""
    notes = []
    if study.photos < MIN_PHOTOS:
        notes.append(f"{study.photos} photos are a small sample: the example of AIAG has {MIN_PHOTOS}.")
    if study.defective in (0, study.photos):
        missing, rate = ("defective", "miss rate") if not study.defective else ("good", "false alarm rate")
        notes.append(f"There is no {missing} photo: the {rate} is undefined, and kappa is undefined or low.")
    return tuple(notes)
