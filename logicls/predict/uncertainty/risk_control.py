"""Thresholds for a target of escapes and overkill, and how many photos it takes to promise them.

The promise is that of Clopper and Pearson (Biometrika 26, 1934): with the stated confidence the true rate is at most
the target, however few photos there are. Thresholds are tried from the safest one on until the first that cannot be
promised (fixed-sequence testing: Angelopoulos et al., Learn then Test, 2021), so that choosing costs no confidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from logicls.constraints.spec.models import Spec
from logicls.predict.uncertainty.thresholds import Limit, Thresholds
from logicls.records import Verdict


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted of the rules of one severity."""

    escape: float
    """Share of broken ones that may pass."""
    overkill: float
    """Share of those not broken that may fail."""
    low: float
    """The lower threshold is never above it."""
    high: float
    """The upper threshold is never below it."""


TARGETS: Mapping[str, Target] = {
    "critical": Target(escape=0.005, overkill=0.05, low=0.05, high=0.9),
    "major": Target(escape=0.01, overkill=0.02, low=0.1, high=0.9),
    "minor": Target(escape=0.05, overkill=0.01, low=0.2, high=0.9),
}
"""`low` and `high` are those of Chow (IEEE Transactions on Information Theory 16, 1970): a person looks where an error
would cost more, times its probability, than the look: an escape as much as 20, 10 or 5 looks, an overkill as 10."""


@dataclass(frozen=True, slots=True)
class Case:
    """A rule on a photo of which the truth is known."""

    constraint: str
    chance: float
    broken: bool


def cases_of(spec: Spec, verdicts: Iterable[Verdict], truth: Mapping[str, Sequence[str]]) -> list[Case]:
    """Those of photos that the truth names; a rule is broken where the truth has one of its violations."""
    names = {c.id: {c.violation_name(side) for side in c.failure_modes} for c in spec.constraints}
    return [
        Case(f.constraint, f.probability, not names[f.constraint].isdisjoint(truth[verdict.photo]))
        for verdict in verdicts
        if verdict.photo in truth
        for f in verdict.findings
        if f.probability is not None and f.constraint in names
    ]


def choose(
    spec: Spec, cases: Sequence[Case], targets: Mapping[str, Target], *, confidence: float, origin: str
) -> Thresholds:
    """Two thresholds a constraint. Where its own photos are too few, those of its severity are taken together.

    Where these are too few as well it has those of its target, and the promise says how many photos are missing.
    """
    limits = []
    for constraint in spec.constraints:
        target = targets[constraint.severity]
        alike = {c.id for c in spec.constraints if c.severity == constraint.severity}
        own = [case for case in cases if case.constraint == constraint.id]
        pool = [case for case in cases if case.constraint in alike]
        low, told = _lower(own, pool, target, confidence)
        high, also = _upper(own, pool, target, confidence)
        limits.append((constraint.id, Limit(low, max(high, low), f"{told}; {also}", constraint.severity)))
    return Thresholds(tuple(limits), origin)


def _lower(own: Sequence[Case], pool: Sequence[Case], target: Target, confidence: float) -> tuple[float, str]:
    groups = [[case.chance for case in some if case.broken] for some in (own, pool)]
    at, told = _safe(groups, target.low, target.escape, confidence, what="escapes", kind="broken")
    return at, told


def _upper(own: Sequence[Case], pool: Sequence[Case], target: Target, confidence: float) -> tuple[float, str]:
    groups = [[1 - case.chance for case in some if not case.broken] for some in (own, pool)]
    at, told = _safe(groups, 1 - target.high, target.overkill, confidence, what="overkill", kind="good")
    return 1 - at, told


def _safe(
    groups: Sequence[Sequence[float]], most: float, rate: float, confidence: float, *, what: str, kind: str
) -> tuple[float, str]:  # fmt: skip
    """The largest threshold up to `most` below which no more than `rate` of a group lie; and what is promised."""
    needed = photos_needed(rate, confidence)
    for found, whose in zip(groups, ("", ", all rules of this severity together"), strict=True):
        if len(found) >= needed:
            at = largest(found, rate, confidence, most=most)
            k = sum(value < at for value in found)
            bound = upper_bound(k, len(found), confidence)
            return at, f"{what} at most {bound:.2%} with {confidence:.0%} confidence ({k} of {len(found)}{whose})"
    return most, f"{what} of {rate:.2%} not promised: {needed} {kind} photos are needed, {len(groups[0])} are there"


def largest(found: Sequence[float], rate: float, confidence: float, *, most: float) -> float:
    """The largest threshold up to `most` with an upper bound of `rate` on the share of values below it."""
    ordered, allowed = sorted(found), -1
    while allowed + 1 < len(ordered) and upper_bound(allowed + 1, len(ordered), confidence) <= rate:
        allowed += 1
    return min(most, ordered[allowed]) if 0 <= allowed < len(ordered) else 0.0


def upper_bound(count: int, of: int, confidence: float = 0.95) -> float:
    """One-sided upper limit of Clopper and Pearson for a share of which `count` of `of` were seen.

    >>> round(upper_bound(0, 299), 5)
    0.00997
    """
    from scipy.stats import beta

    return float(beta.ppf(confidence, count + 1, of - count)) if count < of else 1.0


def photos_needed(rate: float, confidence: float = 0.95) -> int:
    """So many, with none among them that went wrong, are the fewest that promise a rate.

    >>> photos_needed(0.01)
    299
    """
    return math.ceil(math.log(1 - confidence) / math.log(1 - rate))
