"""What every rule can do: name what it speaks about, be said, be checked, and be broken on purpose.

From what a rule names to the questions that it rests on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from logicls.constraints.families.context import Check, Reading, Side, World
from logicls.constraints.families.edits import Plan, Rng
from logicls.records import Scene, Subquery

Role = Literal["thing", "place", "attribute", "filling"]
Plans = tuple[Plan, ...]
"""Edits to be carried out one after the other."""


class Named(NamedTuple):
    """A name that a rule uses."""

    path: tuple[str | int, ...]
    """Keys from the rule's body to where it is written."""
    name: str
    role: Role
    """`thing`; `place`, a thing or a region; `attribute`, thing.attribute; `filling`, a thing and what it fills."""


@runtime_checkable
class Family(Protocol):
    """A rule of any family. What it asks follows from its names: see `decompose`."""

    def names(self) -> Iterator[Named]:
        """Everything that it speaks about."""

    def sides(self) -> tuple[str, ...]:
        """The kinds of `Side` on which it can be broken; empty where nothing breaks it."""

    def say(self) -> str:
        """The rule in plain English."""

    def check(self, reading: Reading) -> Check:
        """What it comes to. Raises `Absent`, `Unreadable`."""

    def plans(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """Edits that may break it on that side, the plainest first. The caller looks at what comes out."""

    def how(self, side: Side) -> str:
        """What those edits do, in plain English."""

    def keep(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """Twins: edits that go through the same motions and may leave it as it is."""


def locate(component: str) -> Subquery:
    """The question where every instance of a component is."""
    return Subquery(f"locate:{component}", "locate", component)


def read(world: World, component: str, attribute: str) -> Subquery:
    """The question what an attribute of a component is."""
    options = world.values(component, attribute)
    return Subquery(f"attribute:{component}.{attribute}", "attribute", component, attribute, options)


def asked(world: World, names: Iterable[Named], *, framed: bool = False) -> tuple[Subquery, ...]:
    """Each question once, things before the frames of regions.

    A variant is read off its attributes. `framed`: the rule is checked within places, so that all must be located.
    """
    found = list(names)
    regions = [n for n in found if n.name in world.areas]
    things = [query for n in found if n.name not in world.areas for query in _of(world, n, framed)]
    frames = [locate(of) for n in regions if (of := world.areas[n.name].of)]
    return tuple(dict.fromkeys([*things, *frames]))


def _of(world: World, named: Named, framed: bool) -> Iterator[Subquery]:
    thing, _, attribute = named.name.partition(".")
    component = world.component(thing)
    if named.role != "attribute" or framed:
        yield locate(component)
    if attribute:
        yield read(world, component, attribute)
    yield from (read(world, component, name) for name, _ in world.wanted(thing))
    if named.role == "filling" and component in world.fills:
        yield locate(world.fills[component])
