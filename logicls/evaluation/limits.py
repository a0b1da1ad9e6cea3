"""Proposal of limits from what the model reads on photos of good products.

A limit is met by readings, not by annotations, so it is proposed from readings: as a tolerance interval, which contains
a share of all good photos (the coverage) with a confidence. Where there are enough photos, order statistics give it for
any distribution (Wilks, Annals of Mathematical Statistics 12, 1941). With fewer, the factors of the normal distribution
do: two-sided by Howe (Journal of the American Statistical Association 64, 1969), one-sided by the noncentral t
distribution (Hahn and Meeker, "Statistical Intervals", 1991, section 4.4).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Literal

from logicls.constraints.checker.evaluation import index_answers
from logicls.constraints.families.context import EvaluationContext, NotApplicable, UnreadableAnswer
from logicls.constraints.families.logical import evaluate_rule
from logicls.constraints.families.protocol import Family, LimitReading
from logicls.constraints.families.queries import Path as KeyPath
from logicls.constraints.spec.loader import SpecFile
from logicls.constraints.spec.models import Constraint, Spec
from logicls.records import Verdict

MIN_PHOTOS = 8
"""Photos below which no limit is proposed: the factor of a normal distribution is then several times the final one."""
MIN_NORMALITY = 0.01
"""P value of the Shapiro-Wilk test below which readings do not count as normal."""
DIGITS = 3
"""Significant digits of a proposed limit, rounded outwards."""
ALL_OF = "all"
"""Key of the rule whose members' limits each hold by themselves, unlike those of members of `any` and `not`."""
Method = Literal["distribution-free", "normal", "square root", "logarithm", "none"]
"""How a limit was computed: from order statistics, or from the normal distribution of readings or of their roots or
logarithms, as offsets and ratios have them."""
_TRANSFORMS: Mapping[Method, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "normal": (lambda x: x, lambda x: x),
    "square root": (math.sqrt, lambda x: max(x, 0.0) ** 2),
    "logarithm": (math.log, math.exp),
}
"""Method → transformation to normal readings, and back; the first whose readings look normal counts."""


@dataclass(frozen=True, slots=True)
class ToleranceInterval:
    """Interval that contains a share of a population with a confidence."""

    low: float
    """-inf for an interval with an upper end only."""
    high: float
    """inf for an interval with a lower end only."""
    method: Method
    is_normal: bool = True
    """False if it supposes a normal distribution that the values do not look like."""


@dataclass(slots=True)
class LimitReadings:
    """Readings of one limit on all photos: for each photo the one that is nearest to breaking the rule."""

    constraint: str
    path: KeyPath
    """Keys from the top of the spec to the number."""
    limit: LimitReading
    """The limit, with the reading of the first photo."""
    values: list[float] = field(default_factory=list)
    outermost: tuple[float, str] = (-math.inf, "")
    """Signed reading that is nearest to breaking the rule, and its photo."""

    def add(self, photo: str, reading: float) -> None:
        """Add the reading of one photo."""
        self.values.append(reading)
        signed = reading if self.limit.side == "upper" else -reading
        self.outermost = max(self.outermost, (signed, photo))


@dataclass(frozen=True, slots=True)
class LimitProposal:
    """A limit as it is, and as the readings suggest it."""

    readings: LimitReadings
    proposed: float | None
    """None if there are too few photos."""
    method: Method
    required: int
    """Photos that a distribution-free limit needs."""
    is_normal: bool = True
    """False if a proposal by a normal distribution stands on readings that do not look normal."""


def collect_readings(spec: Spec, verdicts: Iterable[Verdict]) -> list[LimitReadings]:
    """Collect the readings for each limit of a spec from the answers of verdicts, in the order of the spec.

    A photo on which a rule does not apply, or an answer is unreadable, has no reading for it.
    """
    collected: dict[KeyPath, LimitReadings] = {}
    for verdict in verdicts:
        context = EvaluationContext(index_answers(verdict.answers), verdict.width, verdict.height, spec.vocabulary)
        for number, constraint in enumerate(spec.constraints):
            for path, reading in _read_constraint(constraint, context).items():
                key = ("constraints", number, *path)
                collected.setdefault(key, LimitReadings(constraint.id, key, reading)).add(
                    verdict.photo, reading.reading
                )
    return [collected[key] for key in sorted(collected, key=lambda key: [str(part).rjust(6) for part in key])]


def _read_constraint(constraint: Constraint, context: EvaluationContext) -> dict[KeyPath, LimitReading]:
    """Return key path below the constraint → the reading nearest to breaking the rule, over all locations."""
    found: dict[KeyPath, LimitReading] = {}
    for path, reading in _iterate_readings(constraint, context):
        before = found.get(path)
        choose = min if reading.side == "lower" else max
        found[path] = reading if before is None else choose(before, reading, key=lambda one: one.reading)
    return found


def _iterate_readings(constraint: Constraint, context: EvaluationContext) -> Iterator[tuple[KeyPath, LimitReading]]:
    try:
        frames = [context.restrict(f) for f in context.locations(constraint.each)] if constraint.each else [context]
    except UnreadableAnswer:
        return
    for frame in frames:
        if constraint.when is not None and evaluate_rule(constraint.when.rule, frame).status != "holds":
            continue
        for path, rule in _iterate_rules(constraint):
            try:
                yield from (((*path, *reading.path), reading) for reading in rule.limit_readings(frame))
            except (NotApplicable, UnreadableAnswer):
                continue


def _iterate_rules(constraint: Constraint) -> Iterator[tuple[KeyPath, Family]]:
    """Yield the rules of a constraint that must each hold, with their key paths."""
    path: KeyPath = (constraint.family,)
    yield path, constraint.rule
    if constraint.family == ALL_OF:
        yield from (((*path, *inner), rule) for inner, rule in constraint.rule.members())


def propose_limits(readings: Sequence[LimitReadings], *, coverage: float, confidence: float) -> list[LimitProposal]:
    """Propose a limit for each of the collected ones; the two of an interval together.

    Args:
        readings: Readings by limit.
        coverage: Share of the good photos that meet the limits of a rule, e.g. 0.99.
        confidence: Confidence that it is at least this share, e.g. 0.95.
    """
    groups: dict[KeyPath, list[LimitReadings]] = {}
    for one in readings:
        groups.setdefault(one.path[:-1] if _is_interval(one, readings) else one.path, []).append(one)
    return [proposal for group in groups.values() for proposal in _propose_group(group, coverage, confidence)]


def _is_interval(one: LimitReadings, readings: Sequence[LimitReadings]) -> bool:
    """Return True if another limit in the same list bounds the other side."""
    siblings = (r for r in readings if r.path[:-1] == one.path[:-1] and isinstance(r.path[-1], int))
    return isinstance(one.path[-1], int) and any(other.limit.side != one.limit.side for other in siblings)


def _propose_group(group: Sequence[LimitReadings], coverage: float, confidence: float) -> Iterator[LimitProposal]:
    sides = 2 if len(group) > 1 else 1
    required = required_photos(coverage, confidence, sides=sides)
    for one in group:
        values = one.values
        if len(values) < MIN_PHOTOS:
            yield LimitProposal(one, None, "none", required)
            continue
        is_same = all(other.values == values for other in group)
        interval = compute_tolerance_interval(
            values, coverage=coverage, confidence=confidence, sides=sides, side=one.limit.side, is_exact=is_same
        )
        value = round_outwards(interval.low if one.limit.side == "lower" else interval.high, one.limit)
        yield LimitProposal(one, value, interval.method, required, interval.is_normal)


def compute_tolerance_interval(
    values: Sequence[float],
    *,
    coverage: float,
    confidence: float,
    sides: int,
    side: Literal["lower", "upper"] = "upper",
    is_exact: bool = True,
) -> ToleranceInterval:
    """Compute the tolerance interval of a sample: distribution-free if it is large enough, else normal.

    Args:
        values: At least two values.
        coverage: Share of the population that the interval contains.
        confidence: Confidence that it does.
        sides: 2 for an interval with two ends, 1 for one with the end `side`.
        side: The end of an interval with one end.
        is_exact: False if the other end is that of other values (the smallest and the largest of each photo): then the
            outermost values count, and each end of a normal interval has half of the errors.

    A normal interval contains all values at least.
    """
    ordered, count = sorted(values), len(values)
    outside = _largest_exclusion(count, coverage, confidence, sides)
    if outside >= sides:
        outside = outside if is_exact else sides
        below = outside // 2 if sides == 2 else outside if side == "lower" else 0
        above = outside - below
        low = ordered[below - 1] if below else -math.inf
        return ToleranceInterval(low, ordered[-above] if above else math.inf, "distribution-free")
    if sides == 2 and is_exact:
        factor = howe_factor(count, coverage, confidence)
    elif sides == 2:
        factor = one_sided_factor(count, (1 + coverage) / 2, (1 + confidence) / 2)
    else:
        factor = one_sided_factor(count, coverage, confidence)
    method, is_normal = _choose_transform(ordered)
    apply, invert = _TRANSFORMS[method]
    transformed = [apply(value) for value in ordered]
    mean = sum(transformed) / count
    reach = factor * math.sqrt(sum((value - mean) ** 2 for value in transformed) / (count - 1))
    low = -math.inf if sides == 1 and side == "upper" else min(invert(mean - reach), ordered[0])
    high = math.inf if sides == 1 and side == "lower" else max(invert(mean + reach), ordered[-1])
    return ToleranceInterval(low, high, method, is_normal)


def _choose_transform(ordered: Sequence[float]) -> tuple[Method, bool]:
    """Return the first transformation after which values look normal, and whether there is one."""
    for method, (apply, _) in _TRANSFORMS.items():
        if (method == "normal" or ordered[0] > 0) and looks_normal([apply(value) for value in ordered]):
            return method, True
    return "normal", False


def _largest_exclusion(count: int, coverage: float, confidence: float, sides: int) -> int:
    """Return how many order statistics may be cut off, ends included; less than `sides` if the sample is too small."""
    outside = 0
    while outside < count and _order_confidence(count, outside + 1, coverage) >= confidence:
        outside += 1
    return outside if outside >= sides else 0


def _order_confidence(count: int, outside: int, coverage: float) -> float:
    """Return the confidence that the interval between order statistics with `outside` cut off has the coverage."""
    from scipy.stats import beta

    return 1 - float(beta.cdf(coverage, count - outside + 1, outside))


def required_photos(coverage: float, confidence: float, *, sides: int) -> int:
    """Return the number of photos from which on a distribution-free tolerance interval exists (Wilks 1941).

    >>> required_photos(0.99, 0.95, sides=1), required_photos(0.99, 0.95, sides=2)
    (299, 473)
    """
    low, high = sides, sides
    while _order_confidence(high, sides, coverage) < confidence:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _order_confidence(middle, sides, coverage) >= confidence else (middle + 1, high)
    return high


def howe_factor(count: int, coverage: float, confidence: float) -> float:
    """Return the factor k of the two-sided interval mean ± k standard deviations (Howe 1969, equation 2.6).

    >>> round(howe_factor(10, 0.95, 0.95), 2)
    3.38
    """
    from scipy.stats import chi2, norm

    z = float(norm.ppf((1 + coverage) / 2))
    return z * math.sqrt((count - 1) * (1 + 1 / count) / float(chi2.ppf(1 - confidence, count - 1)))


def one_sided_factor(count: int, coverage: float, confidence: float) -> float:
    """Return the factor k of the one-sided interval up to mean + k standard deviations, which is exact.

    >>> round(one_sided_factor(10, 0.95, 0.95), 3)
    2.911
    """
    from scipy.stats import nct, norm

    z = float(norm.ppf(coverage))
    return float(nct.ppf(confidence, count - 1, z * math.sqrt(count))) / math.sqrt(count)


def looks_normal(values: Sequence[float]) -> bool:
    """Return False if the Shapiro-Wilk test rejects that the values are normal."""
    from scipy.stats import shapiro

    return max(values) > min(values) and float(shapiro(values[:5000]).pvalue) >= MIN_NORMALITY


def round_outwards(value: float, limit: LimitReading) -> float:
    """Round to `DIGITS` significant digits away from the readings, and not below the smallest number of the limit."""
    if limit.minimum is not None:
        value = max(value, limit.minimum)
    if value == 0:
        return 0.0
    step = Decimal(1).scaleb(Decimal(value).adjusted() - DIGITS + 1)
    rounding = ROUND_FLOOR if limit.side == "lower" else ROUND_CEILING
    return float((Decimal(value) / step).to_integral_value(rounding) * step)


_NUMBER = re.compile(r"[^\s,\]}#]+")


def write_limits(text: str, spec: SpecFile, proposals: Iterable[LimitProposal]) -> str:
    """Return the text of a spec with the proposed limits in place of its own; everything else stays as it is."""
    lines = text.split("\n")
    changes = [(spec.tree.position(p.readings.path), p.proposed) for p in proposals if p.proposed is not None]
    for (line, column), value in sorted(changes, reverse=True):
        before, rest = lines[line - 1][: column - 1], lines[line - 1][column - 1 :]
        lines[line - 1] = before + _NUMBER.sub(f"{value:.10g}", rest, count=1)
    return "\n".join(lines)
