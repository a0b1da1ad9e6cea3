"""What every rule can do: name what it speaks about, be said, be checked, and be broken on purpose.

From what a rule names to the questions that it rests on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from logicls.constraints.families.context import EvaluationContext, FailureMode, RuleResult, Vocabulary
from logicls.constraints.families.edits import Edit, Rng
from logicls.records import Scene, Subquery

Role = Literal["thing", "place", "attribute", "filling"]
Edits = tuple[Edit, ...]
"""Edits to be carried out one after the other."""


class Reference(NamedTuple):
    """A name that a rule uses."""

    path: tuple[str | int, ...]
    """Keys from the rule's body to where it is written."""
    name: str
    role: Role
    """`thing`; `place`, a thing or a region; `attribute`, thing.attribute; `filling`, a thing and what it fills."""


@runtime_checkable
class Family(Protocol):
    """A rule of any family. What it asks follows from its names: see `decompose`."""

    def references(self) -> Iterator[Reference]:
        """Everything that it speaks about."""

    def failure_modes(self) -> tuple[str, ...]:
        """The kinds of `Side` on which it can be broken; empty where nothing breaks it."""

    def to_text(self) -> str:
        """The rule in plain English."""

    def evaluate(self, reading: EvaluationContext) -> RuleResult:
        """What it comes to. Raises `Absent`, `Unreadable`."""

    def edits(self, scene: Scene, reading: EvaluationContext, side: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Edits that may break it on that side, the plainest first. The caller looks at what comes out."""

    def describe_edit(self, side: FailureMode) -> str:
        """What those edits do, in plain English."""

    def control_edits(self, scene: Scene, reading: EvaluationContext, side: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Twins: edits that go through the same motions and may leave it as it is."""


def locate_query(component: str) -> Subquery:
    """The question where every instance of a component is."""
    return Subquery(f"locate:{component}", "locate", component)


def attribute_query(world: Vocabulary, component: str, attribute: str) -> Subquery:
    """The question what an attribute of a component is."""
    options = world.values(component, attribute)
    return Subquery(f"attribute:{component}.{attribute}", "attribute", component, attribute, options)


def derive_queries(world: Vocabulary, names: Iterable[Reference], *, framed: bool = False) -> tuple[Subquery, ...]:
    """Each question once, things before the frames of regions.

    A variant is read off its attributes. `framed`: the rule is checked within places, so that all must be located.
    """
    found = list(names)
    regions = [n for n in found if n.name in world.regions]
    things = [query for n in found if n.name not in world.regions for query in _reference_queries(world, n, framed)]
    frames = [locate_query(of) for n in regions if (of := world.regions[n.name].of)]
    return tuple(dict.fromkeys([*things, *frames]))


def _reference_queries(world: Vocabulary, named: Reference, framed: bool) -> Iterator[Subquery]:
    thing, _, attribute = named.name.partition(".")
    component = world.component(thing)
    if named.role != "attribute" or framed:
        yield locate_query(component)
    if attribute:
        yield attribute_query(world, component, attribute)
    yield from (attribute_query(world, component, name) for name, _ in world.required_attributes(thing))
    if named.role == "filling" and component in world.fills:
        yield locate_query(world.fills[component])
