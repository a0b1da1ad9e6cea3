"""From what a rule names to the questions that it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from logicls.constraints.family import Named
from logicls.constraints.reading import World
from logicls.records import Subquery


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
