"""Choice of thresholds for a target escape and overkill rate, with a guarantee at a confidence level.

The guarantee is the upper bound of Clopper and Pearson (Biometrika 26, 1934): with the stated confidence the true rate
is at most the target, however few photos there are. Thresholds are tested from the safest one on until the first that
fails (fixed-sequence testing: Angelopoulos et al., "Learn then Test", 2021), so that choosing costs no confidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from logicls.constraints.spec.models import Spec
from logicls.predict.uncertainty.thresholds import RuleThresholds, Thresholds
from logicls.records import Verdict

COMPARED_GUARANTEE = "overkill by the rule, from the looks of good photos"
"""Guarantee of a rule about appearance: no example is needed, and its own bars decide about review."""


@dataclass(frozen=True, slots=True)
class RiskTarget:
    """Target rates of the rules of one severity."""

    escape_rate: float
    """Share of the broken rules that may pass."""
    overkill_rate: float
    """Share of the rules that hold that may fail."""
    max_low: float
    """Upper limit of the lower threshold."""
    min_high: float
    """Lower limit of the upper threshold."""


RISK_TARGETS: Mapping[str, RiskTarget] = {
    "critical": RiskTarget(escape_rate=0.005, overkill_rate=0.05, max_low=0.05, min_high=0.9),
    "major": RiskTarget(escape_rate=0.01, overkill_rate=0.02, max_low=0.1, min_high=0.9),
    "minor": RiskTarget(escape_rate=0.05, overkill_rate=0.01, max_low=0.2, min_high=0.9),
}
"""Severity → target. `max_low` and `min_high` are the reject rule of Chow (IEEE Transactions on Information Theory 16,
1970): a review where the expected cost of an error exceeds that of a review. An escape costs 20, 10 or 5 reviews, an
overkill 10."""


@dataclass(frozen=True, slots=True)
class LabelledRule:
    """One rule on one photo of the ground truth."""

    constraint: str
    probability: float
    """Predicted probability that the rule is broken."""
    is_broken: bool
    """Ground truth."""


def collect_labelled_rules(
    spec: Spec, verdicts: Iterable[Verdict], truth: Mapping[str, Sequence[str]]
) -> list[LabelledRule]:
    """Collect the rules on the photos of the truth; a rule is broken if the photo has one of its violations."""
    names = {c.id: {c.violation_name(mode) for mode in c.failure_modes} for c in spec.constraints}
    return [
        LabelledRule(f.constraint, f.probability, not names[f.constraint].isdisjoint(truth[verdict.photo]))
        for verdict in verdicts
        if verdict.photo in truth
        for f in verdict.findings
        if f.probability is not None and f.constraint in names
    ]


def choose_thresholds(
    spec: Spec,
    samples: Sequence[LabelledRule],
    targets: Mapping[str, RiskTarget],
    *,
    confidence: float,
    origin: str,
) -> Thresholds:
    """Choose two thresholds for each constraint.

    A constraint with too few photos of its own is given the thresholds of all constraints of its severity together;
    where these are too few as well it has those of its target, and the guarantee says how many photos are missing. A
    constraint about appearance has its own bars.

    Args:
        spec: Spec of the constraints.
        samples: Predicted probabilities with ground truth.
        targets: Severity → target.
        confidence: Confidence level of the guarantee, e.g. 0.95.
        origin: Data of the samples, for the thresholds' file.
    """
    limits = []
    for constraint in spec.constraints:
        if constraint.is_compared:
            limits.append((constraint.id, RuleThresholds(0.5, 0.5, COMPARED_GUARANTEE, constraint.severity)))
            continue
        target = targets[constraint.severity]
        pooled_ids = {c.id for c in spec.constraints if c.severity == constraint.severity}
        own = [sample for sample in samples if sample.constraint == constraint.id]
        pool = [sample for sample in samples if sample.constraint in pooled_ids]
        low, escapes = _choose_low(own, pool, target, confidence)
        high, overkill = _choose_high(own, pool, target, confidence)
        limit = RuleThresholds(low, max(high, low), f"{escapes}; {overkill}", constraint.severity)
        limits.append((constraint.id, limit))
    return Thresholds(tuple(limits), origin)


def _choose_low(
    own: Sequence[LabelledRule], pool: Sequence[LabelledRule], target: RiskTarget, confidence: float
) -> tuple[float, str]:
    groups = [[sample.probability for sample in group if sample.is_broken] for group in (own, pool)]
    return _choose_certified(
        groups, target.max_low, target.escape_rate, confidence, rate_name="escape rate", kind="broken"
    )


def _choose_high(
    own: Sequence[LabelledRule], pool: Sequence[LabelledRule], target: RiskTarget, confidence: float
) -> tuple[float, str]:
    groups = [[1 - sample.probability for sample in group if not sample.is_broken] for group in (own, pool)]
    threshold, guarantee = _choose_certified(
        groups, 1 - target.min_high, target.overkill_rate, confidence, rate_name="overkill rate", kind="good"
    )
    return 1 - threshold, guarantee


def _choose_certified(
    groups: Sequence[Sequence[float]], maximum: float, rate: float, confidence: float, *, rate_name: str, kind: str
) -> tuple[float, str]:
    """Return the largest threshold up to `maximum` below which at most `rate` of a group lie, and its guarantee.

    The first of the groups that is large enough counts.
    """
    required = required_photos(rate, confidence)
    for values, pooled in zip(groups, ("", ", all rules of this severity together"), strict=True):
        if len(values) >= required:
            threshold = largest_certified_threshold(values, rate, confidence, maximum=maximum)
            count = sum(value < threshold for value in values)
            bound = upper_confidence_bound(count, len(values), confidence)
            evidence = f"({count} of {len(values)}{pooled})"
            return threshold, f"{rate_name} at most {bound:.2%} with {confidence:.0%} confidence {evidence}"
    missing = f"{required} {kind} photos are needed, there are {len(groups[0])}"
    return maximum, f"{rate_name} of {rate:.2%} not guaranteed: {missing}"


def largest_certified_threshold(values: Sequence[float], rate: float, confidence: float, *, maximum: float) -> float:
    """Return the largest threshold up to `maximum` with an upper bound of `rate` on the share of values below it."""
    ordered, allowed = sorted(values), -1
    while allowed + 1 < len(ordered) and upper_confidence_bound(allowed + 1, len(ordered), confidence) <= rate:
        allowed += 1
    return min(maximum, ordered[allowed]) if 0 <= allowed < len(ordered) else 0.0


def upper_confidence_bound(count: int, total: int, confidence: float = 0.95) -> float:
    """Return the one-sided upper limit of Clopper and Pearson for a share of which `count` of `total` were observed.

    >>> round(upper_confidence_bound(0, 299), 5)
    0.00997
    """
    from scipy.stats import beta

    return float(beta.ppf(confidence, count + 1, total - count)) if count < total else 1.0


def required_photos(rate: float, confidence: float = 0.95) -> int:
    """Return the smallest number of photos, without an error among them, that guarantees a rate.

    >>> required_photos(0.01)
    299
    """
    return math.ceil(math.log(1 - confidence) / math.log(1 - rate))
