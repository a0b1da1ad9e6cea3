"""Rules made of rules: all, any, not.

Kleene's three-valued logic, with a fourth value for what does not apply: that one is left out.

S. C. Kleene, Introduction to Metamathematics (1952), section 64, the strong tables.

Random edits of what a rule speaks about: for rules that say what must not be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from logicls.constraints.families.context import (
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    UnreadableAnswer,
)
from logicls.constraints.families.edits import Move, Rng, Swap, change_attribute
from logicls.constraints.families.placement import (
    MAX_EDITS,
    add_instances,
    choose_instance,
    find_instances,
    remove_instances,
    sample_moves,
    sample_moves_into,
)
from logicls.constraints.families.protocol import Edits, Family, Reference
from logicls.records import Box, Instance, Scene, Status


def conjunction(statuses: Iterable[Status]) -> Status:
    """Broken if one is broken, else unknown if one is, else holds; not applicable where none applies."""
    found = set(statuses)
    for status in ("broken", "unknown", "holds"):
        if status in found:
            return status
    return "not_applicable"


def disjunction(statuses: Iterable[Status]) -> Status:
    """Holds if one holds, else unknown if one is, else broken; not applicable where none applies."""
    return negation(conjunction(negation(status) for status in statuses))


def negation(status: Status) -> Status:
    """Holds for broken and the other way round."""
    opposite: dict[Status, Status] = {"holds": "broken", "broken": "holds"}
    return opposite.get(status, status)


def implication(condition: Status, status: Status) -> Status:
    """What a rule comes to under a condition: it does not apply unless that holds.

    Where the condition is unknown, only a rule that is not broken in either case is known.
    """
    if condition in ("broken", "not_applicable"):
        return "not_applicable"
    if condition == "unknown":
        return status if status in ("holds", "not_applicable") else "unknown"
    return status


def propose_random_edits(rule: Family, scene: Scene, context: EvaluationContext, rng: Rng) -> Iterator[Edits]:
    """One random edit of a random thing that the rule names."""
    reference = [n for n in rule.references() if n.role != "place" or n.name not in context.vocabulary.regions]
    if not reference:
        return
    component, _, attribute = reference[int(rng.integers(len(reference)))].name.partition(".")
    try:
        present = find_instances(scene, context, component)
        if attribute and present:
            targets = present if len(present) <= MAX_EDITS and rng.random() < 0.5 else [choose_instance(rng, present)]
            values = context.vocabulary.values(component, attribute)
            edits = [next(change_attribute(target, attribute, values, rng), ()) for target in targets]
            yield tuple(plan for edit in edits for plan in edit)
        else:
            yield from _edit_instance(rule, scene, context, component, present, rng)
    except (NotApplicable, UnreadableAnswer):
        return


def _edit_instance(
    rule: Family, scene: Scene, context: EvaluationContext, component: str, present: list[Instance], rng: Rng
) -> Iterator[Edits]:
    """Taken away, added, moved anywhere, moved to a place that the rule names, or swapped."""
    action = int(rng.integers(5))
    if action == 0 or not present:
        more = add_instances(scene, context, component, rng)
        if more:
            yield more
        return
    target = choose_instance(rng, present)
    locations = [box for n in rule.references() if n.role == "place" for box in context.locations(n.name)]
    if action == 1:
        yield remove_instances([target])
    elif action == 2 and locations:
        location = locations[int(rng.integers(len(locations)))]
        if rng.random() < 0.5:
            yield from ((move,) for move in islice(sample_moves_into(scene, target, location, rng), 1))
        else:
            yield tuple(_move_onto(i, location, rng) for i in present[:MAX_EDITS] if i.box != location)
    elif action == 3:
        others = [
            i for i in scene.instances if i.id != target.id and i.component in {n.name for n in rule.references()}
        ]
        if others:
            yield (Swap(target.id, choose_instance(rng, others).id),)
    else:
        yield from ((m,) for m in islice(sample_moves(scene, target, Box(0, 0, scene.width, scene.height), rng), 1))


def _move_onto(subject: Instance, location: Box, rng: Rng) -> Move:
    """The subject's centre anywhere in the place, whatever is there."""
    x, y = location.x1 + location.width * float(rng.random()), location.y1 + location.height * float(rng.random())
    return Move(subject.id, x - subject.box.centre[0], y - subject.box.centre[1])


Member = tuple[str, Family]
"""A family's key, and the rule."""


@dataclass(frozen=True)
class AllOf:
    """Every one of the rules holds."""

    members: tuple[Member, ...]

    def references(self) -> Iterator[Reference]:
        """Everything that it speaks about."""
        yield from _member_references(self.members)

    def failure_modes(self) -> tuple[str, ...]:
        """There is one way to be broken, if there is a member that can be."""
        return ("",) if any(rule.failure_modes() for _, rule in self.members) else ()

    def to_text(self) -> str:
        """The rule in plain English."""
        return "; and ".join(rule.to_text() for _, rule in self.members)

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Broken if one is."""
        return _combine(conjunction, [evaluate_rule(rule, context) for _, rule in self.members], "broken")

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """One of the rules broken, or all of the side's kinds in turn."""
        for index in rng.permutation(len(self.members)):
            yield from propose_violations(self.members[index][1], scene, context, rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """What those edits do, in plain English."""
        return "one of the rules broken: " + "; ".join(_describe_edits(rule) for _, rule in self.members)

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """The twin of one of the rules."""
        yield from _member_controls(self.members, scene, context, rng)


@dataclass(frozen=True)
class AnyOf:
    """At least one of the rules holds."""

    members: tuple[Member, ...]

    def references(self) -> Iterator[Reference]:
        """Everything that it speaks about."""
        yield from _member_references(self.members)

    def failure_modes(self) -> tuple[str, ...]:
        """There is one way to be broken, unless a member cannot be."""
        return ("",) if all(rule.failure_modes() for _, rule in self.members) else ()

    def to_text(self) -> str:
        """The rule in plain English."""
        return "; or ".join(rule.to_text() for _, rule in self.members)

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Holds if one does."""
        return _combine(disjunction, [evaluate_rule(rule, context) for _, rule in self.members], "holds")

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Every rule that holds broken, one after the other."""
        holding = [rule for _, rule in self.members if evaluate_rule(rule, context).status == "holds"]
        declared = [list(islice(propose_violations(rule, scene, context, rng), 12)) for rule in holding]
        for _ in range(40 if declared and all(declared) else 0):
            steps = [edits[int(rng.integers(len(edits)))] for edits in declared]
            yield tuple(edit for step in steps for edit in step)

    def describe_edit(self, mode: FailureMode) -> str:
        """What those edits do, in plain English."""
        return "all of the rules broken: " + "; ".join(_describe_edits(rule) for _, rule in self.members)

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """The twin of one of the rules."""
        yield from _member_controls(self.members, scene, context, rng)


@dataclass(frozen=True)
class Not:
    """The rule does not hold."""

    member: Member

    def references(self) -> Iterator[Reference]:
        """Everything that it speaks about."""
        key, rule = self.member
        yield from (
            Reference((key, *reference.path), reference.name, reference.role) for reference in rule.references()
        )

    def failure_modes(self) -> tuple[str, ...]:
        """There is one way to be broken."""
        return ("",)

    def to_text(self) -> str:
        """The rule in plain English."""
        return f"not: {self.member[1].to_text()}"

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Broken if the rule holds."""
        inner = self.member[1].evaluate(context)
        status = negation(inner.status)
        return RuleResult(status, inner.found, (FailureMode(),) if status == "broken" else ())

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Random edits of what the rule speaks about, until it holds."""
        for _ in range(60):
            yield from propose_random_edits(self.member[1], scene, context, rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """What those edits do, in plain English."""
        return f"made to hold: {self.member[1].to_text()}"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """The twin of the rule."""
        yield from _member_controls((self.member,), scene, context, rng)


def _describe_edits(rule: Family) -> str:
    return " or ".join(rule.describe_edit(FailureMode(kind)) for kind in rule.failure_modes())


def evaluate_rule(rule: Family, context: EvaluationContext) -> RuleResult:
    """What the rule comes to, with what it cannot read or does not find as statuses."""
    try:
        return rule.evaluate(context)
    except UnreadableAnswer as missing:
        return RuleResult("unknown", f"no readable answer to {missing}")
    except NotApplicable as absent:
        return RuleResult("not_applicable", str(absent))


def propose_violations(rule: Family, scene: Scene, context: EvaluationContext, rng: Rng) -> Iterator[Edits]:
    """Plans that may break the rule on any side."""
    modes = rule.failure_modes()
    for index in rng.permutation(len(modes)):
        try:
            yield from rule.edits(scene, context, FailureMode(modes[index]), rng)
        except (NotApplicable, UnreadableAnswer):
            continue


def _member_references(members: tuple[Member, ...]) -> Iterator[Reference]:
    for position, (key, rule) in enumerate(members):
        yield from (
            Reference((position, key, *reference.path), reference.name, reference.role)
            for reference in rule.references()
        )


def _member_controls(
    members: tuple[Member, ...], scene: Scene, context: EvaluationContext, rng: Rng
) -> Iterator[Edits]:
    for index in rng.permutation(len(members)):
        rule = members[index][1]
        for kind in rule.failure_modes()[:1]:
            try:
                yield from rule.control_edits(scene, context, FailureMode(kind), rng)
            except (NotApplicable, UnreadableAnswer):
                continue


def _combine(combine: object, results: list[RuleResult], decisive: Status) -> RuleResult:
    status = combine([check.status for check in results])  # type: ignore[operator]
    text = [result.found for result in results if result.status == status] or [results[0].found]
    found = text[0] if status == decisive else "; ".join(text)
    return RuleResult(status, found, (FailureMode(),) if status == "broken" else ())
