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

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """What it comes to. Raises `Absent`, `Unreadable`."""

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Edits that may break it on that side, the plainest first. The caller looks at what comes out."""

    def describe_edit(self, mode: FailureMode) -> str:
        """What those edits do, in plain English."""

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Twins: edits that go through the same motions and may leave it as it is."""


def locate_query(component: str) -> Subquery:
    """The question where every instance of a component is."""
    return Subquery(f"locate:{component}", "locate", component)


def attribute_query(vocabulary: Vocabulary, component: str, attribute: str) -> Subquery:
    """The question what an attribute of a component is."""
    options = vocabulary.values(component, attribute)
    return Subquery(f"attribute:{component}.{attribute}", "attribute", component, attribute, options)


def derive_queries(
    vocabulary: Vocabulary, names: Iterable[Reference], *, in_locations: bool = False
) -> tuple[Subquery, ...]:
    """Each question once, things before the frames of regions.

    A variant is read off its attributes. `framed`: the rule is checked within places, so that all must be located.
    """
    found = list(names)
    regions = [n for n in found if n.name in vocabulary.regions]
    components = [
        query
        for n in found
        if n.name not in vocabulary.regions
        for query in _reference_queries(vocabulary, n, in_locations)
    ]
    frames = [locate_query(of) for n in regions if (of := vocabulary.regions[n.name].of)]
    return tuple(dict.fromkeys([*components, *frames]))


def _reference_queries(vocabulary: Vocabulary, reference: Reference, in_locations: bool) -> Iterator[Subquery]:
    name, _, attribute = reference.name.partition(".")
    component = vocabulary.component(name)
    if reference.role != "attribute" or in_locations:
        yield locate_query(component)
    if attribute:
        yield attribute_query(vocabulary, component, attribute)
    yield from (attribute_query(vocabulary, component, name) for name, _ in vocabulary.required_attributes(name))
    if reference.role == "filling" and component in vocabulary.fills:
        yield locate_query(vocabulary.fills[component])
