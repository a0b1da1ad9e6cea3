"""Choice of thresholds for a target escape and overkill rate, with a guarantee at a confidence level.

The guarantee is the upper bound of Clopper and Pearson (Biometrika 26, 1934): with the stated confidence the true rate
is at most the bound, however few photos there are. Certified thresholds are tested from the safest one on until the
first whose bound exceeds the target (fixed-sequence testing: Angelopoulos et al., "Learn then Test", 2021), so that
choosing costs no confidence. Observed thresholds are moved only where the samples refute the target; they come with the
bound that the samples show.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from logicls.constraints.spec.models import Constraint, Spec
from logicls.predict.uncertainty.thresholds import RuleThresholds, Thresholds
from logicls.records import SEVERITIES, Verdict

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


MAX_REVIEW_SHARE = 0.1
"""Share of good samples that a lower threshold, moved for the sake of escapes, may send to review: over all rules."""


@dataclass(frozen=True, slots=True)
class LabelledRule:
    """One rule on one photo of the ground truth."""

    constraint: str
    probability: float
    """Predicted probability that the rule is broken."""
    is_broken: bool
    """Ground truth."""
    reads_broken: bool
    """Whether the rule is broken by the answers: only then can it fail, and only otherwise can it pass."""

    @property
    def escape_value(self) -> float:
        """Lower threshold above which a broken rule passes."""
        return 1.0 if self.reads_broken else self.probability

    @property
    def overkill_value(self) -> float:
        """Distance from 1 of the upper threshold, above which a rule that holds fails."""
        return 1 - self.probability if self.reads_broken else 1.0


def collect_labelled_rules(
    spec: Spec, verdicts: Iterable[Verdict], truth: Mapping[str, Sequence[str]]
) -> list[LabelledRule]:
    """Collect the rules on the photos of the truth; a rule is broken if the photo has one of its violations."""
    names = {c.id: {c.violation_name(mode) for mode in c.failure_modes} for c in spec.constraints}
    return [
        LabelledRule(
            f.constraint,
            f.probability,
            not names[f.constraint].isdisjoint(truth[verdict.photo]),
            f.status == "broken",
        )
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
    certified: bool = True,
) -> Thresholds:
    """Choose two thresholds for each constraint.

    Certified thresholds meet the target rates at the confidence level. A constraint with too few photos of its own is
    given the thresholds of all constraints of its severity together. Where these are too few as well, or with
    `certified` false, thresholds are observed ones: those of Chow's rule (`RISK_TARGETS`), moved only where the
    samples refute the target rates (`choose_observed_limits`), and not below what good samples have: where broken ones
    look just like good ones no threshold finds them, and one below both would send every photo to review. The guarantee
    says what the samples show, and that of thresholds that are not certified that it is about these samples alone. A
    constraint about appearance has its own bars (`compared_thresholds`).

    Args:
        spec: Spec of the constraints.
        samples: Predicted probabilities with ground truth.
        targets: Severity → target.
        confidence: Confidence level of the guarantee, e.g. 0.95.
        origin: Data of the samples, for the thresholds' file.
        certified: Whether bounds of the rates have to meet the targets; if not, the samples must not refute them.
    """
    limits = {c.id: compared_thresholds(c) for c in spec.constraints if c.is_compared}
    for severity in SEVERITIES:
        target = targets[severity]
        rules = [c.id for c in spec.constraints if c.severity == severity and not c.is_compared]
        own = {rule: [sample for sample in samples if sample.constraint == rule] for rule in rules}
        floors = {rule: _lowest_useful_limit(own[rule], len(spec.constraints)) for rule in rules}
        lows = _choose_limits(
            {rule: [sample.escape_value for sample in own[rule] if sample.is_broken] for rule in rules},
            ErrorRate("escape rate", "broken", target.escape_rate, target.max_low), confidence,
            {} if certified else floors, certified=certified,
        )  # fmt: skip
        highs = _choose_limits(
            {rule: [sample.overkill_value for sample in own[rule] if not sample.is_broken] for rule in rules},
            ErrorRate("overkill rate", "good", target.overkill_rate, 1 - target.min_high), confidence, {},
            certified=certified,
        )  # fmt: skip
        for rule in rules:
            (low, escapes), (distance, overkill) = lows[rule], highs[rule]
            scope = "" if certified else f"; shown by {origin}, not promised for others"
            limits[rule] = RuleThresholds(low, max(1 - distance, low), f"{escapes}; {overkill}{scope}", severity)
    return Thresholds(tuple((constraint.id, limits[constraint.id]) for constraint in spec.constraints), origin)


def _lowest_useful_limit(samples: Sequence[LabelledRule], rules: int) -> float:
    """Return the limit above which a rule sends its share of `MAX_REVIEW_SHARE` of good samples to review.

    `rules`: number of rules that the share is divided among. Without good samples it is 0.
    """
    good = sorted(sample.probability for sample in samples if not sample.is_broken)
    allowed = int(MAX_REVIEW_SHARE / rules * len(good))
    return math.nextafter(good[-1 - allowed], math.inf) if good else 0.0


def compared_thresholds(constraint: Constraint) -> RuleThresholds:
    """Return the thresholds of a rule about appearance, whose own bars decide about review (`Appearance.evaluate`)."""
    guarantee = "overkill by the rule, from the looks of good photos"
    return RuleThresholds(0.5, 0.5, guarantee, constraint.severity)


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """A rate of errors: the share of the samples whose value is below a limit."""

    name: str
    samples: str
    """Kind of the samples: broken or good."""
    target: float
    """Target of the rate."""
    max_limit: float
    """Largest limit, by Chow's rule."""


def _choose_limits(
    values: Mapping[str, Sequence[float]],
    rate: ErrorRate,
    confidence: float,
    floors: Mapping[str, float],
    *,
    certified: bool,
) -> dict[str, tuple[float, str]]:
    """Return the limit of each rule, below which values are errors, and its guarantee.

    `values`: rule → values of its samples. `floors`: rule → lower limit of its limit, if it has one.
    """
    required, pool = required_photos(rate.target, confidence), [value for own in values.values() for value in own]
    observed = choose_observed_limits(values, rate.target, confidence, max_limit=rate.max_limit)
    observed = {rule: max(limit, min(floors.get(rule, 0.0), rate.max_limit)) for rule, limit in observed.items()}
    errors = {rule: sum(value < observed[rule] for value in own) for rule, own in values.items()}
    limits: dict[str, tuple[float, str]] = {}
    for rule, own in values.items():
        is_own = len(own) >= required
        group = own if is_own else pool
        limit, count = observed[rule], errors[rule] if is_own else sum(errors.values())
        if certified and len(group) >= required:
            limit = largest_certified_threshold(group, rate.target, confidence, maximum=rate.max_limit)
            count = sum(value < limit for value in group)
        evidence = f"{count} of {len(group)}" + ("" if is_own else ", all rules of this severity together")
        limits[rule] = limit, _describe_rate(rate, count, len(group), confidence, evidence, len(own))
    return limits


def _describe_rate(
    rate: ErrorRate, count: int, total: int, confidence: float, evidence: str, own_count: int
) -> str:  # fmt: skip
    """Describe the upper bound of a rate of which `count` errors of `total` samples were observed."""
    bound, required = upper_confidence_bound(count, total, confidence), required_photos(rate.target, confidence)
    if total < required:
        missing = f"{required} {rate.samples} photos are needed, there are {own_count}"
        shown = f"; at most {bound:.2%} is shown ({evidence})" if total else ""
        return f"{rate.name} of {rate.target:.2%} not guaranteed: {missing}{shown}"
    text = f"{rate.name} at most {bound:.2%} with {confidence:.0%} confidence ({evidence})"
    return text if bound <= rate.target else f"{text}, target {rate.target:.2%}"


def choose_observed_limits(
    values: Mapping[str, Sequence[float]], rate: float, confidence: float, *, max_limit: float
) -> dict[str, float]:
    """Return the largest limit up to `max_limit` of each rule that its values, and those of all rules, do not refute.

    A limit is refuted where more values lie below it than a true rate of `rate` explains: one-sided binomial test at
    the confidence level. A single value never refutes one: it may be a wrong label.

    Args:
        values: Rule → values of its samples.
        rate: Target rate.
        confidence: Confidence level of the test, e.g. 0.95.
        max_limit: Limit for rules without evidence against it.

    >>> choose_observed_limits({"a": [0.01, *[0.9] * 9], "b": [0.9] * 9}, 0.01, 0.95, max_limit=0.1)
    {'a': 0.1, 'b': 0.1}
    >>> choose_observed_limits({"a": [0.01, *[0.9] * 9], "b": [0.02, 0.03, *[0.9] * 9]}, 0.01, 0.95, max_limit=0.1)
    {'a': 0.02, 'b': 0.02}
    """
    own = {rule: _largest_observed_limit(one, rate, confidence, max_limit) for rule, one in values.items()}
    errors = [value if value < own[rule] else math.inf for rule, one in values.items() for value in one]
    common = _largest_observed_limit(errors, rate, confidence, max_limit)
    return {rule: min(limit, common) for rule, limit in own.items()}


def _largest_observed_limit(values: Sequence[float], rate: float, confidence: float, max_limit: float) -> float:
    from scipy.stats import binom

    accepted = max(int(binom.ppf(confidence, len(values), rate)), 1)
    return min(max_limit, sorted(values)[accepted]) if accepted < len(values) else max_limit


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
