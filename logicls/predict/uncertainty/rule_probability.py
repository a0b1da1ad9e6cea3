"""From the chances of answers to the probability that each rule is broken.

A count has the distribution of things that are there by chance; every other rule is judged, by its own logic, on the
likeliest ways in which the answers it rests on may be otherwise. Where a distance decides, the limit is blurred by how
far such distances are read wrongly. Answers to different questions are taken to be independent.

How many there are, as a distribution: what a count is worth when each thing is there by chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from logicls.constraints.checker.evaluation import evaluate_constraint, index_answers, violation_names
from logicls.constraints.checker.margins import compute_margins
from logicls.constraints.families.context import EvaluationContext, FailureMode, NotApplicable, UnreadableAnswer
from logicls.constraints.families.dead_zone import MIN_TOLERANCE, TOLERANCE_ZONE
from logicls.constraints.families.measure import Measure
from logicls.constraints.families.quantity import Quantity
from logicls.constraints.spec.models import Constraint, Spec
from logicls.predict.readers.nano import Prediction
from logicls.predict.uncertainty.calibration import Calibration, MeasurementNoise
from logicls.predict.uncertainty.hypotheses import CandidateInstance, list_candidates, enumerate_hypotheses
from logicls.records import Box

CountDistribution = Mapping[int, float]
"""What one thing counts for → probability; what is lacking of 1 goes to 0, for it may not be there at all."""


def sum_distribution(things: Iterable[CountDistribution]) -> Float[np.ndarray, " totals"]:
    """Probability of each total, from 0 on, of things that are there independently of one another.

    Where each counts for one this is the Poisson-binomial distribution (Poisson 1837; computed by adding one thing
    after the other, as Chen and Liu, Statistica Sinica 7, 1997, equation 9, which is exact).

    >>> distribution([{1: 0.9}, {1: 0.5}]).round(3).tolist()
    [0.05, 0.5, 0.45]
    """
    found = np.ones(1)
    for worth in things:
        one = np.zeros(max([0, *worth]) + 1)
        for amount, chance in worth.items():
            one[amount] += chance
        one[0] += max(1.0 - float(one.sum()), 0.0)
        found = np.convolve(found, one / one.sum())
    return found


@dataclass(slots=True)
class RuleProbability:
    """How likely one rule is broken, by the answers alone."""

    violations: dict[str, float] = field(default_factory=dict)
    """Every violation of the rule → probability; a rule is broken in one way at a time."""
    unknown: float = 0.0
    """Probability that it cannot be checked."""

    @property
    def probability(self) -> float:
        """Probability that it is broken in any way."""
        return min(sum(self.violations.values()), 1.0)

    def add(self, name: str, probability: float) -> None:
        """One more way in which it may be broken."""
        self.violations[name] = self.violations.get(name, 0.0) + probability


def compute_rule_probabilities(
    spec: Spec, prediction: Prediction, size: tuple[int, int], calibration: Calibration
) -> dict[str, RuleProbability]:
    """Of each constraint. `size`: (width, height) of the photo in pixels.

    A rule that another one says it all for (`unless_broken`) is broken only where that one is not.
    """
    found = list_candidates(spec, prediction, size, calibration)
    readable = {answer.query for answer in prediction.answers if answer.readable}
    best = EvaluationContext(index_answers(prediction.answers), *size, spec.vocabulary)
    out: dict[str, RuleProbability] = {}
    for constraint in spec.constraints:
        if any(query.id not in readable for query in spec.queries_by_constraint[constraint.id]):
            out[constraint.id] = RuleProbability(_zero_probabilities(constraint), unknown=1.0)
        elif isinstance(constraint.rule, Quantity) and not constraint.is_conditional:
            out[constraint.id] = _quantity_probability(constraint, constraint.rule, best, found, calibration)
        else:
            out[constraint.id] = _expected_probability(spec, constraint, size, found, calibration)
    return {name: _apply_exceptions(spec, one, name, out) for name, one in out.items()}


def _zero_probabilities(constraint: Constraint) -> dict[str, float]:
    return {constraint.violation_name(side): 0.0 for side in constraint.failure_modes}


def _apply_exceptions(
    spec: Spec, one: RuleProbability, name: str, all_: Mapping[str, RuleProbability]
) -> RuleProbability:
    stoppers = next(c for c in spec.constraints if c.id == name).unless_broken
    free = 1.0
    for other in stoppers:
        free *= 1 - all_[other].probability
    return RuleProbability({violation: p * free for violation, p in one.violations.items()}, one.unknown)


def _quantity_probability(
    constraint: Constraint,
    rule: Quantity,
    best: EvaluationContext,
    found: Mapping[str, Sequence[CandidateInstance]],
    calibration: Calibration,
) -> RuleProbability:
    """A rule about how many: every total that is too few or too many, by its name."""
    try:
        places = best.locations(rule.in_) if rule.in_ else None
    except UnreadableAnswer:
        return RuleProbability(_zero_probabilities(constraint), unknown=1.0)
    if places is not None and not places:
        return RuleProbability(_zero_probabilities(constraint))
    spread, out = calibration.noise_of(constraint.id), RuleProbability(_zero_probabilities(constraint))
    low, high = rule.limits
    totals = sum_distribution(_count_distributions(rule, best, found, places, spread))
    for total, probability in enumerate(totals.tolist()):
        if total < low:
            out.add(constraint.violation_name(FailureMode("below", low - total)), probability)
        elif total > high:
            out.add(constraint.violation_name(FailureMode("above", total - high)), probability)
    return out


def _count_distributions(
    rule: Quantity, best: EvaluationContext, found: Mapping[str, Sequence[CandidateInstance]], places: Sequence[Box] | None,
    spread: MeasurementNoise,
) -> list[CountDistribution]:  # fmt: skip
    """What each candidate may count for: as many ways as there are kinds that it may be of."""
    out: list[CountDistribution] = []
    by_component: dict[str, list[tuple[str, int]]] = {}
    for thing, weight in rule.weights.items():
        by_component.setdefault(best.vocabulary.component(thing), []).append((thing, weight))
    for component, kinds in by_component.items():
        for one in found.get(component, ()):
            there = one.probability * (_inside_probability(one.box, places, spread) if places is not None else 1.0)
            ways = [
                (
                    weight,
                    there
                    * one.match_probability((*best.vocabulary.required_attributes(thing), *rule.required_attributes)),
                )
                for thing, weight in kinds
            ]
            if sum(p for _, p in ways) > 1 + 1e-9:  # kinds that one thing may be of at once
                out += [{weight: p} for weight, p in ways]
                continue
            worth: dict[int, float] = {}
            for weight, p in ways:
                worth[weight] = worth.get(weight, 0.0) + p
            out.append(worth)
    return out


def _inside_probability(box: Box, places: Sequence[Box], spread: MeasurementNoise) -> float:
    """Probability that the box's centre lies in one of the places."""
    x, y = box.centre
    outside = 1.0
    for place in places:
        width, height = max(place.width, 1e-6), max(place.height, 1e-6)
        out = max(max(place.x1 - x, x - place.x2) / width, max(place.y1 - y, y - place.y2) / height)
        wrong = spread.flip_probability(out / (MIN_TOLERANCE * TOLERANCE_ZONE))
        outside *= wrong if out <= 0 else 1 - wrong
    return 1 - outside


def _expected_probability(
    spec: Spec,
    constraint: Constraint,
    size: tuple[int, int],
    found: Mapping[str, Sequence[CandidateInstance]],
    calibration: Calibration,
) -> RuleProbability:
    """Any other rule: by its own logic, on each of the likeliest readings."""
    queries = [query.id for query in spec.queries_by_constraint[constraint.id]]
    components = {query.component for query in spec.queries_by_constraint[constraint.id]}
    ours = {name: found.get(name, ()) for name in components}
    spread, out, total = calibration.noise_of(constraint.id), RuleProbability(_zero_probabilities(constraint)), 0.0
    for probability, answers in enumerate_hypotheses(ours, queries):
        reading = EvaluationContext(answers, *size, spec.vocabulary)
        _add_hypothesis(constraint, reading, probability, spread, out)
        total += probability
    return RuleProbability({name: p / total for name, p in out.violations.items()}, out.unknown / total)


def _add_hypothesis(
    constraint: Constraint,
    reading: EvaluationContext,
    probability: float,
    spread: MeasurementNoise,
    out: RuleProbability,
) -> None:
    """What the rule comes to on one reading, and what it would come to beyond the nearest limit."""
    came = evaluate_constraint(constraint, reading)
    if came.status == "unknown":
        out.unknown += probability
    if came.status not in ("holds", "broken"):
        return
    nearest = min((abs(m) for m in compute_margins(constraint, reading)), default=None)
    flipped = spread.flip_probability(nearest) if nearest is not None else 0.0
    if came.status == "broken":
        names = violation_names(constraint, came)
        for name in names:
            out.add(name, probability * (1 - flipped) / len(names))
    elif flipped and constraint.failure_modes:
        out.add(constraint.violation_name(_nearest_failure_mode(constraint, reading)), probability * flipped)


def _nearest_failure_mode(constraint: Constraint, reading: EvaluationContext) -> FailureMode:
    """The side on which a rule that holds would be broken first."""
    rule = constraint.rule
    if not isinstance(rule, Measure) or len(rule.failure_modes()) < 2:
        return constraint.failure_modes[0]
    try:
        values = rule.measure_values(reading)
    except (NotApplicable, UnreadableAnswer):  # it is measured within places
        return constraint.failure_modes[0]
    turned = [rule.normalize_angle(value) for value in values] if rule.kind == "angle" else values
    low, high = rule.limits
    return (
        FailureMode("below") if min(v - low for v in turned) < min(high - v for v in turned) else FailureMode("above")
    )
