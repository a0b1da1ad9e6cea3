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
from logicls.predict.uncertainty.thresholds import RuleThresholds, Thresholds
from logicls.records import Verdict


@dataclass(frozen=True, slots=True)
class RiskTarget:
    """What is wanted of the rules of one severity."""

    escape_rate: float
    """Share of broken ones that may pass."""
    overkill_rate: float
    """Share of those not broken that may fail."""
    max_low: float
    """The lower threshold is never above it."""
    min_high: float
    """The upper threshold is never below it."""


RISK_TARGETS: Mapping[str, RiskTarget] = {
    "critical": RiskTarget(escape_rate=0.005, overkill_rate=0.05, max_low=0.05, min_high=0.9),
    "major": RiskTarget(escape_rate=0.01, overkill_rate=0.02, max_low=0.1, min_high=0.9),
    "minor": RiskTarget(escape_rate=0.05, overkill_rate=0.01, max_low=0.2, min_high=0.9),
}
"""`low` and `high` are those of Chow (IEEE Transactions on Information Theory 16, 1970): a person looks where an error
would cost more, times its probability, than the look: an escape as much as 20, 10 or 5 looks, an overkill as 10."""


@dataclass(frozen=True, slots=True)
class LabelledRule:
    """A rule on a photo of which the truth is known."""

    constraint: str
    probability: float
    is_broken: bool


def collect_labelled_rules(
    spec: Spec, verdicts: Iterable[Verdict], truth: Mapping[str, Sequence[str]]
) -> list[LabelledRule]:
    """Those of photos that the truth names; a rule is broken where the truth has one of its violations."""
    names = {c.id: {c.violation_name(side) for side in c.failure_modes} for c in spec.constraints}
    return [
        LabelledRule(f.constraint, f.probability, not names[f.constraint].isdisjoint(truth[verdict.photo]))
        for verdict in verdicts
        if verdict.photo in truth
        for f in verdict.findings
        if f.probability is not None and f.constraint in names
    ]


def choose_thresholds(
    spec: Spec, samples: Sequence[LabelledRule], targets: Mapping[str, RiskTarget], *, confidence: float, origin: str
) -> Thresholds:
    """Two thresholds a constraint. Where its own photos are too few, those of its severity are taken together.

    Where these are too few as well it has those of its target, and the promise says how many photos are missing.
    """
    limits = []
    for constraint in spec.constraints:
        target = targets[constraint.severity]
        alike = {c.id for c in spec.constraints if c.severity == constraint.severity}
        own = [case for case in samples if case.constraint == constraint.id]
        pool = [case for case in samples if case.constraint in alike]
        low, told = _choose_low(own, pool, target, confidence)
        high, also = _choose_high(own, pool, target, confidence)
        limits.append((constraint.id, RuleThresholds(low, max(high, low), f"{told}; {also}", constraint.severity)))
    return Thresholds(tuple(limits), origin)


def _choose_low(
    own: Sequence[LabelledRule], pool: Sequence[LabelledRule], target: RiskTarget, confidence: float
) -> tuple[float, str]:
    groups = [[case.probability for case in some if case.is_broken] for some in (own, pool)]
    at, told = _choose_certified(groups, target.max_low, target.escape_rate, confidence, what="escapes", kind="broken")
    return at, told


def _choose_high(
    own: Sequence[LabelledRule], pool: Sequence[LabelledRule], target: RiskTarget, confidence: float
) -> tuple[float, str]:
    groups = [[1 - case.probability for case in some if not case.is_broken] for some in (own, pool)]
    at, told = _choose_certified(
        groups, 1 - target.min_high, target.overkill_rate, confidence, what="overkill", kind="good"
    )
    return 1 - at, told


def _choose_certified(
    groups: Sequence[Sequence[float]], most: float, rate: float, confidence: float, *, what: str, kind: str
) -> tuple[float, str]:  # fmt: skip
    """The largest threshold up to `most` below which no more than `rate` of a group lie; and what is promised."""
    needed = required_photos(rate, confidence)
    for found, whose in zip(groups, ("", ", all rules of this severity together"), strict=True):
        if len(found) >= needed:
            at = largest_certified_threshold(found, rate, confidence, maximum=most)
            k = sum(value < at for value in found)
            bound = upper_confidence_bound(k, len(found), confidence)
            return at, f"{what} at most {bound:.2%} with {confidence:.0%} confidence ({k} of {len(found)}{whose})"
    return most, f"{what} of {rate:.2%} not promised: {needed} {kind} photos are needed, {len(groups[0])} are there"


def largest_certified_threshold(values: Sequence[float], rate: float, confidence: float, *, maximum: float) -> float:
    """The largest threshold up to `most` with an upper bound of `rate` on the share of values below it."""
    ordered, allowed = sorted(values), -1
    while allowed + 1 < len(ordered) and upper_confidence_bound(allowed + 1, len(ordered), confidence) <= rate:
        allowed += 1
    return min(maximum, ordered[allowed]) if 0 <= allowed < len(ordered) else 0.0


def upper_confidence_bound(count: int, total: int, confidence: float = 0.95) -> float:
    """One-sided upper limit of Clopper and Pearson for a share of which `count` of `of` were seen.

    >>> round(upper_bound(0, 299), 5)
    0.00997
    """
    from scipy.stats import beta

    return float(beta.ppf(confidence, count + 1, total - count)) if count < total else 1.0


def required_photos(rate: float, confidence: float = 0.95) -> int:
    """So many, with none among them that went wrong, are the fewest that promise a rate.

    >>> photos_needed(0.01)
    299
    """
    return math.ceil(math.log(1 - confidence) / math.log(1 - rate))
