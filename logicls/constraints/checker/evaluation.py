"""Answers → findings: what each constraint came to. No model, no photo: logic alone.

Scene → answers: what a perfect reader would answer. The ground truth of every photo, real or made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from logicls.constraints.checker.decomposition import VERDICT
from logicls.constraints.families import logical as logic
from logicls.constraints.families.context import (
    EvaluationContext,
    FailureMode,
    RuleResult,
    UnreadableAnswer,
    name_to_text,
)
from logicls.constraints.families.logical import evaluate_rule
from logicls.constraints.spec.models import Constraint, Spec
from logicls.records import Answer, Finding, Instance, Scene, Subquery


@lru_cache(maxsize=256)  # synthesis looks at a scene again and again while it edits it
def compute_answers(spec: Spec, scene: Scene) -> tuple[Answer, ...]:
    """The true answer to every subquery of the spec, in the order of `decompose`."""
    context = build_context(spec, scene, status_only=True)
    return (*context.answers.values(), Answer(VERDICT, find_violations(spec, context)))


@lru_cache(maxsize=64)  # the same, and a reading remembers what was looked up in it
def build_context(spec: Spec, scene: Scene, *, status_only: bool = False) -> EvaluationContext:
    """The true answers to all subqueries but the verdict, ready to be looked up."""
    found = {component: scene.instances_of(component) for component in spec.queried_components}
    answers = {query.id: _compute_answer(query, found[query.component]) for query in spec.queries}
    return EvaluationContext(answers, scene.width, scene.height, spec.vocabulary, status_only=status_only)


def find_violations(spec: Spec, context: EvaluationContext) -> tuple[str, ...]:
    """The violations, in the order of the spec's."""
    found = {
        name
        for constraint, result in zip(spec.constraints, evaluate_constraints(spec, context), strict=True)
        for name in violation_names(constraint, result)
    }
    return tuple(name for name in spec.violations if name in found)


def index_answers(answers: tuple[Answer, ...]) -> Mapping[str, Answer]:
    """Answers by subquery id."""
    return {answer.query: answer for answer in answers}


def _compute_answer(query: Subquery, instances: Sequence[Instance]) -> Answer:
    if query.kind == "locate":
        return Answer(query.id, boxes=tuple(i.box for i in instances))
    values = tuple(i.attribute(query.attribute) for i in instances)
    annotated = tuple(value for value in values if value is not None)
    return Answer(query.id, annotated, readable=len(annotated) == len(values))


def evaluate(spec: Spec, answers: Mapping[str, Answer], width: int, height: int) -> tuple[Finding, ...]:
    """One finding a constraint, in the spec's order. `width`, `height`: the photo's size in pixels."""
    results = evaluate_constraints(spec, EvaluationContext(answers, width, height, spec.vocabulary))
    return tuple(_build_finding(spec, c, found, answers) for c, found in zip(spec.constraints, results, strict=True))


def evaluate_constraints(spec: Spec, context: EvaluationContext) -> list[RuleResult]:
    """What each constraint comes to, in the spec's order, those that a broken one says it all for left out.

    Not to be written to: the reading remembers it.
    """
    if spec.hash not in context.results:
        context.results[spec.hash] = _compute_results(spec, context)
    return context.results[spec.hash]


def _compute_results(spec: Spec, context: EvaluationContext) -> list[RuleResult]:
    found = [
        evaluate_constraint(c, context) if c.is_conditional else evaluate_rule(c.rule, context)
        for c in spec.constraints
    ]
    broken = {c.id: c for c, one in zip(spec.constraints, found, strict=True) if one.status == "broken"}
    if broken:
        for index, constraint in enumerate(spec.constraints):
            stopper = _find_stopper(constraint, broken)
            if stopper:
                found[index] = RuleResult("not_applicable", f"{stopper} is broken")
    return found


def _find_stopper(
    constraint: Constraint, broken: Mapping[str, Constraint], visited: frozenset[str] = frozenset()
) -> str:
    """The broken constraint that says it all for this one; one that is stopped itself stops none."""
    for other in constraint.unless_broken:
        if (
            other in broken
            and other not in visited
            and not _find_stopper(broken[other], broken, visited | {constraint.id})
        ):
            return other
    return ""


def collect_violations(findings: Iterable[Finding]) -> tuple[str, ...]:
    """The defects that are there, sorted, each once."""
    return tuple(sorted({violation for finding in findings for violation in finding.violations}))


def evaluate_constraint(constraint: Constraint, context: EvaluationContext) -> RuleResult:
    """What one constraint comes to by itself."""
    if constraint.each is None:
        return _evaluate_condition(constraint, context)
    try:
        frames = context.locations(constraint.each)
    except UnreadableAnswer as missing:
        return RuleResult("unknown", f"no readable answer to {missing}")
    if not frames:
        return RuleResult("not_applicable", f"no {name_to_text(constraint.each)}")
    return _merge_results(
        constraint.each, [_evaluate_condition(constraint, context.restrict(frame)) for frame in frames]
    )


def violation_names(constraint: Constraint, found: RuleResult) -> tuple[str, ...]:
    """The defects that a check of the constraint came to, each once."""
    return tuple(dict.fromkeys(constraint.violation_name(mode) for mode in found.failure_modes))


def _evaluate_condition(constraint: Constraint, context: EvaluationContext) -> RuleResult:
    found = evaluate_rule(constraint.rule, context)
    if constraint.when is None:
        return found
    condition = evaluate_rule(constraint.when.rule, context)
    status = logic.implication(condition.status, found.status)
    if status == found.status:
        return found
    return RuleResult(status, f"the condition: {condition.found}")


def _merge_results(location: str, results: list[RuleResult]) -> RuleResult:
    """One check of the same constraint in several places; amounts on one side add up."""
    status = logic.conjunction([one.status for one in results])
    amounts: dict[str, int] = {}
    for one in results:
        for mode in one.failure_modes:
            amounts[mode.kind] = amounts.get(mode.kind, 0) + mode.amount
    decisive = [(n, one.found) for n, one in enumerate(results, 1) if one.status == status]
    text = "; ".join(f"{name_to_text(location)} {number}: {found}" for number, found in decisive[:4])
    more = f"; and {len(decisive) - 4} more" if len(decisive) > 4 else ""
    found = f"in all {len(results)}" if status == "holds" and len(decisive) == len(results) else text + more
    return RuleResult(status, found, tuple(FailureMode(kind, amount) for kind, amount in amounts.items()))


def _build_finding(spec: Spec, constraint: Constraint, found: RuleResult, answers: Mapping[str, Answer]) -> Finding:
    queries = tuple(query.id for query in spec.queries_by_constraint[constraint.id])
    used = [answers[query].confidence for query in queries if query in answers]
    return Finding(
        constraint.id,
        found.status,
        violation_names(constraint, found),
        constraint.text,
        found.found,
        queries,
        min(used, default=1.0),
    )
