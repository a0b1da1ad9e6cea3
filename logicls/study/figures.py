"""The figures of an attribute agreement study.

AIAG, Measurement Systems Analysis, 4th edition (2010), chapter III section C: how often an inspector's trials are
alike, agree with those of others, and with the standard; how often a bad part passes (miss) and a good one fails (false
alarm). Its limits are guidance, and so they are here.

An inspector's *effectiveness* is the share of photos on which all trials are right. Misses and false alarms are counted
over decisions; their intervals are as wide as if each photo had been decided once, for decisions on one photo
are alike. A review is a decision by itself: it is not right, and neither a miss nor a false alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from logicls.records import Outcome
from logicls.score.rate import Rate, clopper_pearson, rate_of
from logicls.study.decisions import Decision, by_photo
from logicls.study.kappa import Kappa, cohen, fleiss

Said = Mapping[str, tuple[Outcome, ...]]
"""Photo → what one inspector said of it, trial by trial."""
Standard = Mapping[str, Outcome]
"""Photo → what is right: pass or fail."""
Grade = Literal["acceptable", "marginal", "unacceptable"]
EFFECTIVENESS, MISS, FALSE_ALARM = (0.90, 0.80), (0.02, 0.05), (0.05, 0.10)
"""AIAG's limits: acceptable, marginal; beyond the second one unacceptable."""
GOOD_KAPPA, POOR_KAPPA = 0.75, 0.40
"""Kappa above the first is good agreement, below the second poor, says AIAG."""
FEW = 50
"""Photos that AIAG's own example has."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """`count` out of `of` decisions, on so many photos."""

    count: int
    of: int
    photos: int

    @property
    def value(self) -> float | None:
        """The share, 0 to 1; None where there was nothing to decide."""
        return self.count / self.of if self.of else None

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
    decided: Rate
    """The same over the photos of which none of the trials went to review."""
    kappa: Kappa | None
    """Decisions against the standard."""
    miss: Repeated
    false_alarm: Repeated
    review: Repeated


@dataclass(frozen=True, slots=True)
class Study:
    """All inspectors, and how they agree."""

    photos: int
    bad: int
    appraisals: tuple[Appraisal, ...]
    between: Rate | None
    """Photos on which all trials of all inspectors are alike; None for a single inspector."""
    between_kappa: Kappa | None
    between_standard: Rate | None
    """Photos on which all of them are right."""
    pairs: tuple[tuple[str, str, Kappa | None], ...]
    """Any two inspectors, trial by trial."""


def study(decisions: Iterable[Decision], standard: Standard) -> Study:
    """The figures; every inspector has decided each photo of the standard in each of his trials."""
    said = by_photo(decisions)
    together = {p: tuple(outcome for one in said.values() for outcome in one[p]) for p in standard}
    several = len(said) > 1
    return Study(
        len(standard),
        sum(right == "fail" for right in standard.values()),
        tuple(_appraisal(name, one, standard) for name, one in said.items()),
        rate_of(len(set(some)) == 1 for some in together.values()) if several else None,
        fleiss(list(together.values())) if several else None,
        rate_of(set(together[p]) == {right} for p, right in standard.items()) if several else None,
        tuple((one, other, _pair(said[one], said[other])) for one, other in combinations(said, 2)),
    )


def _appraisal(name: str, said: Said, standard: Standard) -> Appraisal:
    trials = max(len(some) for some in said.values())
    good, bad = (tuple(p for p, right in standard.items() if right == side) for side in ("pass", "fail"))
    return Appraisal(
        name,
        trials,
        rate_of(len(set(said[p])) == 1 for p in standard) if trials > 1 else None,
        fleiss([said[p] for p in standard]),
        rate_of(set(said[p]) == {right} for p, right in standard.items()),
        rate_of(set(said[p]) == {right} for p, right in standard.items() if "review" not in said[p]),
        cohen([[(outcome, right) for outcome in said[p]] for p, right in standard.items()]),
        _repeated(said, bad, "pass"),
        _repeated(said, good, "fail"),
        _repeated(said, tuple(standard), "review"),
    )


def _repeated(said: Said, photos: Sequence[str], outcome: Outcome) -> Repeated:
    found = [one == outcome for photo in photos for one in said[photo]]
    return Repeated(sum(found), len(found), len(photos))


def _pair(one: Said, other: Said) -> Kappa | None:
    """Trial with trial; those that only one of the two has are left out."""
    return cohen([list(zip(one[photo], other[photo], strict=False)) for photo in one])


def grade(value: float | None, limits: tuple[float, float]) -> Grade | None:
    """Where a figure stands by AIAG's limits; None where it is undefined."""
    if value is None:
        return None
    first, second = limits
    if first > second:
        return "acceptable" if value >= first else "marginal" if value >= second else "unacceptable"
    return "acceptable" if value <= first else "marginal" if value <= second else "unacceptable"


def kappa_word(kappa: Kappa | None) -> str:
    """What AIAG calls a kappa of that size; empty where it is undefined or in between."""
    if kappa is None:
        return ""
    return "good" if kappa.value > GOOD_KAPPA else "poor" if kappa.value < POOR_KAPPA else ""


def notes(found: Study) -> tuple[str, ...]:
    """What keeps the figures from saying much."""
    said = []
    if found.photos < FEW:
        said.append(f"{found.photos} photos are few: AIAG's example has {FEW}.")
    if found.bad in (0, found.photos):
        missing, figure = ("bad", "misses") if not found.bad else ("good", "false alarms")
        said.append(f"There is no {missing} photo: nothing can be said about {figure}, and kappa is undefined or low.")
    return tuple(said)
