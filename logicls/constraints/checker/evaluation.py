"""Evaluation of a spec: answers to findings, and annotated scenes to the true answers.

No model and no pixels are needed, only logic on answers. The true answers of a scene are the ground truth of original
and synthetic photos.

Margins of a photo: the distance to the rules' limits, in dead zones. A margin below 1 is near a limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from logicls.constraints.checker.decomposition import VERDICT
from logicls.constraints.families.angles import angle_to_text, period_of_options
from logicls.constraints.families.context import (
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    UnreadableAnswer,
    name_to_text,
)
from logicls.constraints.families.logical import conjunction, evaluate_rule, implication
from logicls.constraints.families.protocol import walk_rules
from logicls.constraints.families.queries import ANOMALOUS, NORMAL
from logicls.constraints.spec.models import Constraint, Spec
from logicls.records import Answer, Finding, Instance, Scene, Subquery


@lru_cache(maxsize=64)  # synthesis asks again and again about the same context
def find_near_limits(spec: Spec, context: EvaluationContext) -> frozenset[str]:
    """Return the ids of the constraints that apply and have a margin within the dead zone."""
    pairs = zip(spec.constraints, evaluate_constraints(spec, context), strict=True)
    applicable = (constraint for constraint, result in pairs if result.status in ("holds", "broken"))
    return frozenset(c.id for c in applicable if any(abs(margin) < 1 for margin in compute_margins(c, context)))


def compute_margins(constraint: Constraint, context: EvaluationContext) -> Iterator[float]:
    """Yield the margin of each rule of a constraint at each of its locations, positive if the rule holds.

    Rules that no distance decides, that do not apply or that are unknown are skipped.
    """
    try:
        contexts = [context.restrict(f) for f in context.locations(constraint.each)] if constraint.each else [context]
    except UnreadableAnswer:
        return
    for frame in contexts:
        for _, rule in walk_rules(constraint.rule):
            try:
                margin = rule.margin(frame)
            except (NotApplicable, UnreadableAnswer):
                continue
            if margin is not None:
                yield margin


@lru_cache(maxsize=256)  # synthesis evaluates a scene repeatedly while it edits it
def compute_answers(spec: Spec, scene: Scene) -> tuple[Answer, ...]:
    """Return the true answer to every query of the spec, in its order, and the verdict."""
    context = build_context(spec, scene, status_only=True)
    return (*context.answers.values(), Answer(VERDICT, find_violations(spec, context)))


@lru_cache(maxsize=64)  # a context caches its lookups
def build_context(spec: Spec, scene: Scene, *, status_only: bool = False) -> EvaluationContext:
    """Build the evaluation context of a scene from its true answers."""
    found = {component: scene.instances_of(component) for component in spec.queried_components}
    answers = {query.id: _compute_answer(query, found[query.component]) for query in spec.queries}
    return EvaluationContext(answers, scene.width, scene.height, spec.vocabulary, status_only=status_only)


def find_violations(spec: Spec, context: EvaluationContext) -> tuple[str, ...]:
    """Return the violations on a photo, in the order of the spec."""
    found = {
        name
        for constraint, result in zip(spec.constraints, evaluate_constraints(spec, context), strict=True)
        for name in violation_names(constraint, result)
    }
    return tuple(name for name in spec.violations if name in found)


def index_answers(answers: tuple[Answer, ...]) -> Mapping[str, Answer]:
    """Return query id → answer."""
    return {answer.query: answer for answer in answers}


def _compute_answer(query: Subquery, instances: Sequence[Instance]) -> Answer:
    if query.kind == "locate":
        return Answer(query.id, boxes=tuple(i.box for i in instances))
    if query.kind == "orientation":
        period = period_of_options(query.options)
        return Answer(query.id, tuple(angle_to_text(i.angle, period) for i in instances))
    if query.kind == "appearance":
        return Answer(query.id, tuple(ANOMALOUS if i.is_damaged else NORMAL for i in instances))
    values = tuple(i.attribute(query.attribute) for i in instances)
    annotated = tuple(value for value in values if value is not None)
    return Answer(query.id, annotated, readable=len(annotated) == len(values))


def evaluate(spec: Spec, answers: Mapping[str, Answer], width: int, height: int) -> tuple[Finding, ...]:
    """Evaluate all constraints; return one finding each, in the order of the spec.

    `width`, `height`: size of the photo in pixels.
    """
    results = evaluate_constraints(spec, EvaluationContext(answers, width, height, spec.vocabulary))
    return tuple(_build_finding(spec, c, result, answers) for c, result in zip(spec.constraints, results, strict=True))


def evaluate_constraints(spec: Spec, context: EvaluationContext) -> list[RuleResult]:
    """Return the result of each constraint, in the order of the spec.

    A constraint that lists a broken one in `unless_broken` does not apply. The list is cached: do not change it.
    """
    if spec.hash not in context.results:
        context.results[spec.hash] = _compute_results(spec, context)
    return context.results[spec.hash]


def _compute_results(spec: Spec, context: EvaluationContext) -> list[RuleResult]:
    results = [
        evaluate_constraint(c, context) if c.is_conditional else evaluate_rule(c.rule, context)
        for c in spec.constraints
    ]
    broken = {c.id: c for c, result in zip(spec.constraints, results, strict=True) if result.status == "broken"}
    if broken:
        for index, constraint in enumerate(spec.constraints):
            cause = _find_cause(constraint, broken)
            if cause:
                results[index] = RuleResult("not_applicable", f"{cause} is broken")
    return results


def _find_cause(constraint: Constraint, broken: Mapping[str, Constraint], visited: frozenset[str] = frozenset()) -> str:
    """Return the broken constraint that suppresses this one; empty if none does.

    A constraint that is suppressed itself suppresses none.
    """
    visited = visited | {constraint.id}
    for other in constraint.unless_broken:
        if other in broken and other not in visited and not _find_cause(broken[other], broken, visited):
            return other
    return ""


def collect_violations(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return the distinct violations of all findings, sorted."""
    return tuple(sorted({violation for finding in findings for violation in finding.violations}))


def evaluate_constraint(constraint: Constraint, context: EvaluationContext) -> RuleResult:
    """Evaluate one constraint, regardless of `unless_broken`."""
    if constraint.each is None:
        return _evaluate_condition(constraint, context)
    try:
        frames = context.locations(constraint.each)
    except UnreadableAnswer as query:
        return RuleResult("unknown", f"no readable answer to {query}")
    if not frames:
        return RuleResult("not_applicable", f"no {name_to_text(constraint.each)}")
    results = [_evaluate_condition(constraint, context.restrict(frame)) for frame in frames]
    return _merge_results(constraint.each, results)


def violation_names(constraint: Constraint, result: RuleResult) -> tuple[str, ...]:
    """Return the distinct violations of a result."""
    return tuple(dict.fromkeys(constraint.violation_name(mode) for mode in result.failure_modes))


def _evaluate_condition(constraint: Constraint, context: EvaluationContext) -> RuleResult:
    result = evaluate_rule(constraint.rule, context)
    if constraint.when is None:
        return result
    condition = evaluate_rule(constraint.when.rule, context)
    status = implication(condition.status, result.status)
    if status == result.status:
        return result
    return RuleResult(status, f"the condition: {condition.found}")


def _merge_results(location: str, results: list[RuleResult]) -> RuleResult:
    """Merge the results of one constraint at several locations; amounts of one kind add up."""
    status = conjunction([result.status for result in results])
    amounts: dict[str, int] = {}
    for result in results:
        for mode in result.failure_modes:
            amounts[mode.kind] = amounts.get(mode.kind, 0) + mode.amount
    decisive = [(n, result.found) for n, result in enumerate(results, 1) if result.status == status]
    text = "; ".join(f"{name_to_text(location)} {number}: {found}" for number, found in decisive[:4])
    more = f"; and {len(decisive) - 4} more" if len(decisive) > 4 else ""
    found = f"in all {len(results)}" if status == "holds" and len(decisive) == len(results) else text + more
    return RuleResult(status, found, tuple(FailureMode(kind, amount) for kind, amount in amounts.items()))


def _build_finding(spec: Spec, constraint: Constraint, result: RuleResult, answers: Mapping[str, Answer]) -> Finding:
    queries = tuple(query.id for query in spec.queries_by_constraint[constraint.id])
    used = [answers[query].confidence for query in queries if query in answers]
    return Finding(
        constraint.id,
        result.status,
        violation_names(constraint, result),
        constraint.text,
        result.found,
        queries,
        min(used, default=1.0),
    )
