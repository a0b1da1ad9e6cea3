"""Answers → findings: what each constraint came to. No model, no photo: logic alone.

Scene → answers: what a perfect reader would answer. The ground truth of every photo, real or made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from logicls.constraints.checker.decomposition import VERDICT
from logicls.constraints.families import logical as logic
from logicls.constraints.families.context import Check, Reading, Side, Unreadable, words
from logicls.constraints.families.logical import attempt
from logicls.constraints.spec.models import Constraint, Spec
from logicls.records import Answer, Finding, Instance, Scene, Subquery


@lru_cache(maxsize=256)  # synthesis looks at a scene again and again while it edits it
def look(spec: Spec, scene: Scene) -> tuple[Answer, ...]:
    """The true answer to every subquery of the spec, in the order of `decompose`."""
    reading = read_off(spec, scene, quiet=True)
    return (*reading.answers.values(), Answer(VERDICT, broken_names(spec, reading)))


@lru_cache(maxsize=64)  # the same, and a reading remembers what was looked up in it
def read_off(spec: Spec, scene: Scene, *, quiet: bool = False) -> Reading:
    """The true answers to all subqueries but the verdict, ready to be looked up."""
    found = {component: scene.instances_of(component) for component in spec.asked_components}
    answers = {query.id: _answer(query, found[query.component]) for query in spec.questions}
    return Reading(answers, scene.width, scene.height, spec.world, quiet=quiet)


def broken_names(spec: Spec, reading: Reading) -> tuple[str, ...]:
    """The violations, in the order of the spec's."""
    found = {
        name
        for constraint, check in zip(spec.constraints, checked(spec, reading), strict=True)
        for name in named(constraint, check)
    }
    return tuple(name for name in spec.violations if name in found)


def by_query(answers: tuple[Answer, ...]) -> Mapping[str, Answer]:
    """Answers by subquery id."""
    return {answer.query: answer for answer in answers}


def _answer(query: Subquery, instances: Sequence[Instance]) -> Answer:
    if query.kind == "locate":
        return Answer(query.id, boxes=tuple(i.box for i in instances))
    values = tuple(i.attribute(query.attribute) for i in instances)
    known = tuple(value for value in values if value is not None)
    return Answer(query.id, known, readable=len(known) == len(values))


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
