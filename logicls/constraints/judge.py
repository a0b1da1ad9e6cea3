"""Answers → findings: what each constraint came to. No model, no photo: logic alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from logicls.constraints import logic
from logicls.constraints.combine import attempt
from logicls.constraints.reading import Check, Reading, Side, Unreadable, words
from logicls.constraints.spec import Constraint, Spec
from logicls.records import Answer, Finding


def judge(spec: Spec, answers: Mapping[str, Answer], width: int, height: int) -> tuple[Finding, ...]:
    """One finding a constraint, in the spec's order. `width`, `height`: the photo's size in pixels."""
    checks = checked(spec, Reading(answers, width, height, spec.world))
    return tuple(_finding(spec, c, found, answers) for c, found in zip(spec.constraints, checks, strict=True))


def checked(spec: Spec, reading: Reading) -> list[Check]:
    """What each constraint comes to, in the spec's order, those that a broken one says it all for left out.

    Not to be written to: the reading remembers it.
    """
    if spec.hash not in reading.checks:
        reading.checks[spec.hash] = _checked(spec, reading)
    return reading.checks[spec.hash]


def _checked(spec: Spec, reading: Reading) -> list[Check]:
    found = [check(c, reading) if c.is_conditional else attempt(c.rule, reading) for c in spec.constraints]
    broken = {c.id: c for c, one in zip(spec.constraints, found, strict=True) if one.status == "broken"}
    if broken:
        for index, constraint in enumerate(spec.constraints):
            stopper = _stopper(constraint, broken)
            if stopper:
                found[index] = Check("not_applicable", f"{stopper} is broken")
    return found


def _stopper(constraint: Constraint, broken: Mapping[str, Constraint], seen: frozenset[str] = frozenset()) -> str:
    """The broken constraint that says it all for this one; one that is stopped itself stops none."""
    for other in constraint.unless_broken:
        if other in broken and other not in seen and not _stopper(broken[other], broken, seen | {constraint.id}):
            return other
    return ""


def violations(findings: Iterable[Finding]) -> tuple[str, ...]:
    """The defects that are there, sorted, each once."""
    return tuple(sorted({violation for finding in findings for violation in finding.violations}))


def check(constraint: Constraint, reading: Reading) -> Check:
    """What one constraint comes to by itself."""
    if constraint.each is None:
        return _conditional(constraint, reading)
    try:
        frames = reading.places(constraint.each)
    except Unreadable as missing:
        return Check("unknown", f"no readable answer to {missing}")
    if not frames:
        return Check("not_applicable", f"no {words(constraint.each)}")
    return _gathered(constraint.each, [_conditional(constraint, reading.within(frame)) for frame in frames])


def named(constraint: Constraint, found: Check) -> tuple[str, ...]:
    """The defects that a check of the constraint came to, each once."""
    return tuple(dict.fromkeys(constraint.violation_on(side) for side in found.sides))


def _conditional(constraint: Constraint, reading: Reading) -> Check:
    found = attempt(constraint.rule, reading)
    if constraint.when is None:
        return found
    condition = attempt(constraint.when.rule, reading)
    status = logic.given(condition.status, found.status)
    if status == found.status:
        return found
    return Check(status, f"the condition: {condition.found}")


def _gathered(place: str, checks: list[Check]) -> Check:
    """One check of the same constraint in several places; amounts on one side add up."""
    status = logic.every([one.status for one in checks])
    amounts: dict[str, int] = {}
    for one in checks:
        for side in one.sides:
            amounts[side.kind] = amounts.get(side.kind, 0) + side.amount
    telling = [(n, one.found) for n, one in enumerate(checks, 1) if one.status == status]
    told = "; ".join(f"{words(place)} {number}: {found}" for number, found in telling[:4])
    more = f"; and {len(telling) - 4} more" if len(telling) > 4 else ""
    found = f"in all {len(checks)}" if status == "holds" and len(telling) == len(checks) else told + more
    return Check(status, found, tuple(Side(kind, amount) for kind, amount in amounts.items()))


def _finding(spec: Spec, constraint: Constraint, found: Check, answers: Mapping[str, Answer]) -> Finding:
    queries = tuple(query.id for query in spec.queries[constraint.id])
    used = [answers[query].confidence for query in queries if query in answers]
    return Finding(
        constraint.id,
        found.status,
        named(constraint, found),
        constraint.said,
        found.found,
        queries,
        min(used, default=1.0),
    )
