"""Answers → findings: what each constraint came to. No model, no photo: logic alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from logicls.constraints.decompose import queries_of
from logicls.constraints.reading import Absent, Check, Reading, Unreadable
from logicls.constraints.spec import Constraint, Spec
from logicls.records import Answer, Finding


def judge(spec: Spec, answers: Mapping[str, Answer], width: int, height: int) -> tuple[Finding, ...]:
    """One finding a constraint, in the spec's order. `width`, `height`: the photo's size in pixels."""
    reading = Reading(answers, width, height, spec.areas)
    checks = {constraint.id: _check(constraint, reading) for constraint in spec.constraints}
    return tuple(_finding(spec, constraint, checks, answers) for constraint in spec.constraints)


def violations(findings: Iterable[Finding]) -> tuple[str, ...]:
    """The defects that are there, sorted, each once."""
    return tuple(sorted({f.violation for f in findings if f.violation}))


def _check(constraint: Constraint, reading: Reading) -> Check:
    try:
        return constraint.rule.check(reading)
    except Unreadable as missing:
        return Check("unknown", constraint.rule.say(), f"no readable answer to {missing}")
    except Absent as absent:
        return Check("not_applicable", constraint.rule.say(), str(absent))


def _finding(spec: Spec, constraint: Constraint, checks: Mapping[str, Check], answers: Mapping[str, Answer]) -> Finding:
    check = checks[constraint.id]
    stopper = next((other for other in constraint.unless_broken if checks[other].status == "broken"), None)
    if stopper:
        check = Check("not_applicable", check.expected, f"{stopper} is broken")
    queries = tuple(query.id for query in queries_of(spec, constraint))
    used = [answers[query].confidence for query in queries if query in answers]
    return Finding(
        constraint.id,
        check.status,
        constraint.violation_on(check.side) if check.status == "broken" else None,
        check.expected,
        check.found,
        queries,
        min(used, default=1.0),
    )
