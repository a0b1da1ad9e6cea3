"""Probability that each rule is broken, from the probabilities of the answers.

A count has the distribution of a sum of instances, which are independent but for those at one place, of which only one
can be there; every other rule is evaluated by its own logic on the most probable hypotheses of the answers that it
uses. Where a distance decides, the limit is blurred by the measurement noise of that distance. Answers to different
queries are taken to be independent.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from logicls.constraints.checker.evaluation import compute_margins, evaluate_constraint, index_answers, violation_names
from logicls.constraints.families.context import EvaluationContext, FailureMode, NotApplicable, UnreadableAnswer
from logicls.constraints.families.dead_zone import MIN_TOLERANCE, TOLERANCE_ZONE
from logicls.constraints.families.protocol import CountTerms
from logicls.constraints.spec.models import Constraint, Spec
from logicls.predict.readers.protocol import Prediction
from logicls.predict.uncertainty.calibration import Calibration, MeasurementNoise
from logicls.predict.uncertainty.hypotheses import CandidateInstance, enumerate_hypotheses, list_candidates
from logicls.records import Box

CountDistribution = Mapping[int, float]
"""Amount that one instance counts for → probability; what is lacking of 1 goes to 0: it may not be present."""


def sum_distribution(instances: Iterable[CountDistribution]) -> Float[np.ndarray, " totals"]:
    """Return the probability of each total from 0 on, of independent instances.

    Where each counts for one this is the Poisson-binomial distribution (Poisson 1837), computed by adding one instance
    after the other (Chen and Liu, Statistica Sinica 7, 1997, equation 9), which is exact.

    >>> sum_distribution([{1: 0.9}, {1: 0.5}]).round(3).tolist()
    [0.05, 0.5, 0.45]
    """
    totals = [1.0]
    for instance in instances:
        absent = instance.get(0, 0.0) + max(1.0 - sum(instance.values()), 0.0)
        whole = absent + sum(p for amount, p in instance.items() if amount)
        added = [p * absent / whole for p in totals] + [0.0] * max([0, *instance])
        for amount, probability in instance.items():
            if amount:
                for total, p in enumerate(totals):  # lists, because arrays this short are slower
                    added[total + amount] += p * probability / whole
        totals = added
    return np.asarray(totals)


@dataclass(slots=True)
class RuleProbability:
    """Probability that one rule is broken, by the answers alone."""

    violations: dict[str, float] = field(default_factory=dict)
    """Every violation of the rule → probability; violations of one rule exclude one another."""
    unknown: float = 0.0
    """Probability that the rule cannot be evaluated."""

    @property
    def probability(self) -> float:
        """Probability that the rule is broken in any way."""
        return min(sum(self.violations.values()), 1.0)

    def halve_unknown(self) -> dict[str, float]:
        """Return violation → probability; half of the probability that the rule is unknown counts as broken."""
        return {name: min(p + self.unknown / 2, 1.0) for name, p in self.violations.items()}

    def add(self, name: str, probability: float) -> None:
        """Add to the probability of a violation."""
        self.violations[name] = self.violations.get(name, 0.0) + probability


def compute_rule_probabilities(
    spec: Spec,
    prediction: Prediction,
    size: tuple[int, int],
    calibration: Calibration,
    trained_spec: Spec | None = None,
    *,
    skip: Container[str] = (),
) -> dict[str, RuleProbability]:
    """Compute the probability of each constraint.

    A rule with exceptions (`unless_broken`) is broken only where none of these is.

    Args:
        spec: Rules.
        prediction: Raw prediction of the photo.
        size: (width, height) of the photo in pixels.
        calibration: Calibration of the model's probabilities.
        trained_spec: Spec whose questions the model answered, if it is another one.
        skip: Constraints that may be left out: their probability is needed only as that of an exception.
    """
    needed = _close_over_exceptions(spec, [c.id for c in spec.constraints if c.id not in skip])
    candidates = list_candidates(trained_spec or spec, prediction, size, calibration, spec)
    readable = {answer.query for answer in prediction.answers if answer.readable}
    context = EvaluationContext(index_answers(prediction.answers), *size, spec.vocabulary)
    probabilities: dict[str, RuleProbability] = {}
    for constraint in (c for c in spec.constraints if c.id in needed):
        terms = None if constraint.is_conditional else constraint.rule.count_terms()
        if any(query.id not in readable for query in spec.queries_by_constraint[constraint.id]):
            probabilities[constraint.id] = RuleProbability(_zero_probabilities(constraint), unknown=1.0)
        elif terms is not None:
            probabilities[constraint.id] = _count_probability(constraint, terms, context, candidates, calibration)
        else:
            probabilities[constraint.id] = _expected_probability(spec, constraint, size, candidates, calibration)
    return _apply_exceptions(spec, probabilities)


def _close_over_exceptions(spec: Spec, rules: Sequence[str]) -> frozenset[str]:
    """Return the rules and their exceptions, and the exceptions of these."""
    if len(rules) == len(spec.constraints):
        return frozenset(rules)
    exceptions = {constraint.id: constraint.unless_broken for constraint in spec.constraints}
    pending, found = list(rules), set[str]()
    while pending:
        rule = pending.pop()
        if rule not in found:
            found.add(rule)
            pending += exceptions[rule]
    return frozenset(found)


def _zero_probabilities(constraint: Constraint) -> dict[str, float]:
    return dict.fromkeys(constraint.violation_names, 0.0)


def _apply_exceptions(spec: Spec, rules: Mapping[str, RuleProbability]) -> dict[str, RuleProbability]:
    """Return the probabilities that rules are broken and none of their exceptions is.

    As in the checker, an exception that is itself suppressed by one of its own suppresses nothing.
    """
    exceptions = {constraint.id: constraint.unless_broken for constraint in spec.constraints}

    def applies(name: str, visited: frozenset[str] = frozenset()) -> float:
        """Return the probability that none of a rule's exceptions is broken."""
        visited |= {name}
        others = [other for other in exceptions[name] if other not in visited]
        return math.prod((1 - rules[other].probability * applies(other, visited) for other in others), start=1.0)

    return {
        name: RuleProbability({v: p * applies(name) for v, p in rule.violations.items()}, rule.unknown)
        for name, rule in rules.items()
    }


def _count_probability(
    constraint: Constraint,
    terms: CountTerms,
    context: EvaluationContext,
    candidates: Mapping[str, Sequence[CandidateInstance]],
    calibration: Calibration,
) -> RuleProbability:
    """Return the probability of every total outside the limits of a count, by its violation."""
    try:
        locations = context.require_locations(terms.location)
    except UnreadableAnswer:
        return RuleProbability(_zero_probabilities(constraint), unknown=1.0)
    except NotApplicable:
        return RuleProbability(_zero_probabilities(constraint))
    noise, result = calibration.noise_of(constraint.id), RuleProbability(_zero_probabilities(constraint))
    low, high = terms.limits
    totals = sum_distribution(_count_distributions(terms, context, candidates, locations, noise))
    for total, probability in enumerate(totals.tolist()):
        if total < low:
            result.add(constraint.violation_name(FailureMode("below", low - total)), probability)
        elif total > high:
            result.add(constraint.violation_name(FailureMode("above", total - high)), probability)
    return result


def _count_distributions(
    terms: CountTerms,
    context: EvaluationContext,
    candidates: Mapping[str, Sequence[CandidateInstance]],
    locations: Sequence[Box] | None,
    noise: MeasurementNoise,
) -> list[CountDistribution]:
    """Return what each candidate may count for: a probability for each of the kinds that it may be of."""
    distributions: list[CountDistribution] = []
    shared: dict[int, dict[int, float]] = {}
    by_component: dict[str, list[tuple[str, int]]] = {}
    for kind, weight in terms.weights.items():
        by_component.setdefault(context.vocabulary.component(kind), []).append((kind, weight))
    for component, kinds in by_component.items():
        filters = [(*context.vocabulary.required_attributes(kind), *terms.attributes) for kind, _ in kinds]
        for candidate in candidates.get(component, ()):
            inside = _inside_probability(candidate.box, locations, noise) if locations is not None else 1.0
            present = candidate.probability * inside
            matches = [candidate.match_probability(required) for required in filters]
            options = [(weight, present * match) for (_, weight), match in zip(kinds, matches, strict=True)]
            if sum(p for _, p in options) > 1 + 1e-9:  # kinds that one instance may be of at once
                distributions += [{weight: p} for weight, p in options]
                continue
            amounts = {} if candidate.place is None else shared.setdefault(candidate.place, {})
            for weight, p in options:
                amounts[weight] = amounts.get(weight, 0.0) + p
            if candidate.place is None:
                distributions.append(amounts)
    return [*distributions, *shared.values()]


def _inside_probability(box: Box, locations: Sequence[Box], noise: MeasurementNoise) -> float:
    """Return the probability that the box's centre lies in one of the locations."""
    x, y = box.centre
    outside = 1.0
    for location in locations:
        width, height = max(location.width, 1e-6), max(location.height, 1e-6)
        distance = max(max(location.x1 - x, x - location.x2) / width, max(location.y1 - y, y - location.y2) / height)
        flip = noise.flip_probability(distance / (MIN_TOLERANCE * TOLERANCE_ZONE))
        outside *= flip if distance <= 0 else 1 - flip
    return 1 - outside


def _expected_probability(
    spec: Spec,
    constraint: Constraint,
    size: tuple[int, int],
    candidates: Mapping[str, Sequence[CandidateInstance]],
    calibration: Calibration,
) -> RuleProbability:
    """Return the probability of a rule as its mean over the most probable hypotheses."""
    queries = [query.id for query in spec.queries_by_constraint[constraint.id]]
    # in the order of the questions, not of a set: sums of floats must not depend on the hash seed of the process
    components = dict.fromkeys(query.component for query in spec.queries_by_constraint[constraint.id])
    own = {name: candidates.get(name, ()) for name in components}
    noise, sums, total = calibration.noise_of(constraint.id), RuleProbability(_zero_probabilities(constraint)), 0.0
    effects: dict[tuple[int, ...], HypothesisEffect] = {}
    for probability, answers in enumerate_hypotheses(own, queries):
        key = tuple([id(answer) for answer in answers.values()])
        if key not in effects:  # hypotheses that differ in the values of absent instances have the same answers
            context = EvaluationContext(answers, *size, spec.vocabulary, status_only=True)
            effects[key] = _evaluate_hypothesis(constraint, context, noise)
        is_unknown, shares = effects[key]
        sums.unknown += probability if is_unknown else 0.0
        for name, share, count in shares:
            sums.add(name, probability * share / count)
        total += probability
    return RuleProbability({name: p / total for name, p in sums.violations.items()}, sums.unknown / total)


HypothesisEffect = tuple[bool, tuple[tuple[str, float, int], ...]]
"""Whether the rule is unknown; violation, share of the hypothesis's probability, and number of violations it is for."""


def _evaluate_hypothesis(
    constraint: Constraint, context: EvaluationContext, noise: MeasurementNoise
) -> HypothesisEffect:
    """Evaluate a rule on one hypothesis; the opposite result has the flip probability of its margin."""
    result = evaluate_constraint(constraint, context)
    if result.status not in ("holds", "broken"):
        return result.status == "unknown", ()
    nearest = min((abs(m) for m in compute_margins(constraint, context)), default=None)
    flip = noise.flip_probability(nearest) if nearest is not None else 0.0
    if result.status == "broken":
        names = violation_names(constraint, result)
        return False, tuple((name, 1 - flip, len(names)) for name in names)
    if flip and constraint.failure_modes:
        return False, ((constraint.violation_name(_nearest_failure_mode(constraint, context)), flip, 1),)
    return False, ()


def _nearest_failure_mode(constraint: Constraint, context: EvaluationContext) -> FailureMode:
    """Return the failure mode whose limit is nearest where the rule holds."""
    try:
        return constraint.rule.nearest_failure_mode(context)
    except (NotApplicable, UnreadableAnswer):  # measured within regions
        return constraint.failure_modes[0]
