"""Logical family: rules that combine other rules with all, any and not.

Statuses follow the strong three-valued logic of Kleene (Introduction to Metamathematics, 1952, section 64), extended by
`not_applicable`: members that do not apply are ignored.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field

from logicls.constraints.families.context import (
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    UnreadableAnswer,
)
from logicls.constraints.families.edits import Edits, Move, Rng, Swap, change_attribute
from logicls.constraints.families.placement import (
    MAX_EDITS,
    add_instances,
    choose_instance,
    find_instances,
    remove_instances,
    sample_moves,
    sample_moves_into,
)
from logicls.constraints.families.protocol import Family, Member
from logicls.constraints.families.queries import Path, Reference
from logicls.records import Box, Instance, Scene, Status


def conjunction(statuses: Iterable[Status]) -> Status:
    """Return `broken` if one status is, else `unknown` if one is, else `holds`; `not_applicable` if no rule applies."""
    found = set(statuses)
    for status in ("broken", "unknown", "holds"):
        if status in found:
            return status
    return "not_applicable"


def disjunction(statuses: Iterable[Status]) -> Status:
    """Return `holds` if one status is, else `unknown` if one is, else `broken`; `not_applicable` if no rule applies."""
    return negation(conjunction(negation(status) for status in statuses))


def negation(status: Status) -> Status:
    """Exchange `holds` and `broken`."""
    opposite: dict[Status, Status] = {"holds": "broken", "broken": "holds"}
    return opposite.get(status, status)


def implication(condition: Status, status: Status) -> Status:
    """Return the status of a rule under a condition: `not_applicable` unless the condition holds.

    If the condition is unknown, so is the status, unless the rule is not broken in either case.
    """
    if condition in ("broken", "not_applicable"):
        return "not_applicable"
    if condition == "unknown":
        return status if status in ("holds", "not_applicable") else "unknown"
    return status


def evaluate_rule(rule: Family, context: EvaluationContext) -> RuleResult:
    """Evaluate a rule; exceptions become the statuses `unknown` and `not_applicable`."""
    try:
        return rule.evaluate(context)
    except UnreadableAnswer as query:
        return RuleResult("unknown", f"no readable answer to {query}")
    except NotApplicable as reason:
        return RuleResult("not_applicable", str(reason))


class Combination(Family):
    """A rule that combines other rules."""

    @property
    @abstractmethod
    def rules(self) -> tuple[Member, ...]:
        """The combined rules, each with its family's key."""

    def members(self) -> Iterator[tuple[Path, Family]]:
        """Yield the combined rules with their key paths."""
        for position, (key, rule) in enumerate(self.rules):
            yield (position, key), rule

    def references(self) -> Iterator[Reference]:
        """Yield the references of all combined rules."""
        for path, rule in self.members():
            for reference in rule.references():
                yield reference._replace(path=(*path, *reference.path))

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield the control edits of the combined rules in random order."""
        for index in rng.permutation(len(self.rules)):
            rule = self.rules[index][1]
            for kind in rule.failure_kinds()[:1]:
                try:
                    yield from rule.control_edits(scene, context, FailureMode(kind), rng)
                except (NotApplicable, UnreadableAnswer):
                    continue


@dataclass(frozen=True)
class RuleList(Combination):
    """A rule whose body is a list of rules in YAML."""

    clauses: tuple[Member, ...]

    @property
    def rules(self) -> tuple[Member, ...]:
        """The combined rules, each with its family's key."""
        return self.clauses

    @classmethod
    def yaml_type(cls, clause: type[BaseModel]) -> Any:
        """Return the type of a list of at least one nested rule."""
        return Annotated[list[clause], Field(min_length=1)]  # type: ignore[valid-type]

    @classmethod
    def from_yaml(cls, body: Any) -> Family:
        """Combine the rules of nested clauses."""
        return cls(tuple((clause.family, clause.rule) for clause in body))


class AllOf(RuleList):
    """Every rule of a list holds."""

    key: ClassVar[str] = "all"
    summary: ClassVar[str] = "Rules that must all hold."

    def failure_kinds(self) -> tuple[str, ...]:
        """Return the single kind of failure, if at least one member can be broken."""
        return ("",) if any(rule.failure_kinds() for _, rule in self.rules) else ()

    def to_text(self) -> str:
        """Return the rule in plain English."""
        return "; and ".join(rule.to_text() for _, rule in self.rules)

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Return the conjunction of the members' results."""
        results = [evaluate_rule(rule, context) for _, rule in self.rules]
        return _combine_results(conjunction([result.status for result in results]), results, "broken")

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield edits that break one of the rules."""
        for index in rng.permutation(len(self.rules)):
            yield from propose_violations(self.rules[index][1], scene, context, rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """Describe the edits in plain English."""
        return "one of the rules broken: " + "; ".join(_describe_edits(rule) for _, rule in self.rules)


class AnyOf(RuleList):
    """At least one rule of a list holds."""

    key: ClassVar[str] = "any"
    summary: ClassVar[str] = "Rules of which at least one must hold."

    def failure_kinds(self) -> tuple[str, ...]:
        """Return the single kind of failure, unless a member cannot be broken."""
        return ("",) if all(rule.failure_kinds() for _, rule in self.rules) else ()

    def to_text(self) -> str:
        """Return the rule in plain English."""
        return "; or ".join(rule.to_text() for _, rule in self.rules)

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Return the disjunction of the members' results."""
        results = [evaluate_rule(rule, context) for _, rule in self.rules]
        return _combine_results(disjunction([result.status for result in results]), results, "holds")

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield edits that break every rule that holds."""
        holding = [rule for _, rule in self.rules if evaluate_rule(rule, context).status == "holds"]
        proposals = [list(islice(propose_violations(rule, scene, context, rng), 12)) for rule in holding]
        for _ in range(40 if proposals and all(proposals) else 0):
            steps = [edits[int(rng.integers(len(edits)))] for edits in proposals]
            yield tuple(edit for step in steps for edit in step)

    def describe_edit(self, mode: FailureMode) -> str:
        """Describe the edits in plain English."""
        return "all of the rules broken: " + "; ".join(_describe_edits(rule) for _, rule in self.rules)


@dataclass(frozen=True)
class Not(Combination):
    """A rule does not hold."""

    key: ClassVar[str] = "not"
    summary: ClassVar[str] = "A rule that must not hold."

    clause: Member

    @property
    def rules(self) -> tuple[Member, ...]:
        """The negated rule with its family's key."""
        return (self.clause,)

    @classmethod
    def yaml_type(cls, clause: type[BaseModel]) -> Any:
        """Return the type of a nested rule."""
        return clause

    @classmethod
    def from_yaml(cls, body: Any) -> Family:
        """Negate the rule of a nested clause."""
        return cls((body.family, body.rule))

    def members(self) -> Iterator[tuple[Path, Family]]:
        """Yield the negated rule with its key path."""
        key, rule = self.clause
        yield (key,), rule

    def failure_kinds(self) -> tuple[str, ...]:
        """Return the single kind of failure."""
        return ("",)

    def to_text(self) -> str:
        """Return the rule in plain English."""
        return f"not: {self.clause[1].to_text()}"

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Return the negation of the rule's result."""
        inner = self.clause[1].evaluate(context)
        status = negation(inner.status)
        return RuleResult(status, inner.found, (FailureMode(),) if status == "broken" else ())

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield random edits of the components that the rule refers to."""
        for _ in range(60):
            yield from propose_random_edits(self.clause[1], scene, context, rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """Describe the edits in plain English."""
        return f"made to hold: {self.clause[1].to_text()}"


def propose_violations(rule: Family, scene: Scene, context: EvaluationContext, rng: Rng) -> Iterator[Edits]:
    """Yield edits that may break the rule in any mode."""
    kinds = rule.failure_kinds()
    for index in rng.permutation(len(kinds)):
        try:
            yield from rule.edits(scene, context, FailureMode(kinds[index]), rng)
        except (NotApplicable, UnreadableAnswer):
            continue


def propose_random_edits(rule: Family, scene: Scene, context: EvaluationContext, rng: Rng) -> Iterator[Edits]:
    """Yield one random edit of a random component that the rule refers to."""
    regions = context.vocabulary.regions
    references = [r for r in rule.references() if r.role != "location" or r.name not in regions]
    if not references:
        return
    component, _, attribute = references[int(rng.integers(len(references)))].name.partition(".")
    try:
        present = find_instances(scene, context, component)
        if attribute and present:
            targets = present if len(present) <= MAX_EDITS and rng.random() < 0.5 else [choose_instance(rng, present)]
            values = context.vocabulary.values(component, attribute)
            changes = [next(change_attribute(target, attribute, values, rng), ()) for target in targets]
            yield tuple(edit for edits in changes for edit in edits)
        else:
            yield from _edit_instance(rule, scene, context, component, present, rng)
    except (NotApplicable, UnreadableAnswer):
        return


def _edit_instance(
    rule: Family, scene: Scene, context: EvaluationContext, component: str, present: list[Instance], rng: Rng
) -> Iterator[Edits]:
    """Remove, add, move, move to a location of the rule, or swap an instance."""
    action = int(rng.integers(5))
    if action == 0 or not present:
        additions = add_instances(scene, context, component, rng)
        if additions:
            yield additions
        return
    target = choose_instance(rng, present)
    locations = [box for r in rule.references() if r.role == "location" for box in context.locations(r.name)]
    if action == 1:
        yield remove_instances([target])
    elif action == 2 and locations:
        location = locations[int(rng.integers(len(locations)))]
        if rng.random() < 0.5:
            yield from ((move,) for move in islice(sample_moves_into(scene, target, location, rng), 1))
        else:
            yield tuple(_move_onto(i, location, rng) for i in present[:MAX_EDITS] if i.box != location)
    elif action == 3:
        names = {r.name for r in rule.references()}
        others = [i for i in scene.instances if i.id != target.id and i.component in names]
        if others:
            yield (Swap(target.id, choose_instance(rng, others).id),)
    else:
        yield from ((m,) for m in islice(sample_moves(scene, target, Box(0, 0, scene.width, scene.height), rng), 1))


def _move_onto(subject: Instance, location: Box, rng: Rng) -> Move:
    """Move the subject's centre to a random point of the location, even onto other instances."""
    x, y = location.x1 + location.width * float(rng.random()), location.y1 + location.height * float(rng.random())
    return Move(subject.id, x - subject.box.centre[0], y - subject.box.centre[1])


def _describe_edits(rule: Family) -> str:
    return " or ".join(rule.describe_edit(FailureMode(kind)) for kind in rule.failure_kinds())


def _combine_results(status: Status, results: Sequence[RuleResult], decisive: Status) -> RuleResult:
    """Return the combined result with the observations of the members that have its status, or of the first member.

    One observation is enough for the decisive status.
    """
    observations = [result.found for result in results if result.status == status] or [results[0].found]
    found = observations[0] if status == decisive else "; ".join(observations)
    return RuleResult(status, found, (FailureMode(),) if status == "broken" else ())
