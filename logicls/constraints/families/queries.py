"""Queries that a rule needs, derived from the names it refers to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from logicls.constraints.families.angles import FULL_TURN, list_angle_options
from logicls.constraints.families.context import Vocabulary
from logicls.records import Subquery

Role = Literal["component", "location", "attribute", "liquid", "angle", "appearance"]
Path = tuple[str | int, ...]
"""Keys and list indices that lead to a value in a YAML document."""


NORMAL, ANOMALOUS = "normal", "anomalous"
LOOKS = (NORMAL, ANOMALOUS)
"""Options of an appearance query: as on good photos, or stranger than any of them."""


class Reference(NamedTuple):
    """A name that a rule uses."""

    path: Path
    """Keys from the rule's body to the name."""
    name: str
    role: Role
    """`component` (or variant); `location`: a component, variant or region; `attribute`: component.attribute;
    `liquid`: a component whose container is needed, too; `angle`: a component whose orientation is needed;
    `appearance`: a component that is compared with good photos."""
    period: int = FULL_TURN
    """Turn in degrees that never changes the rule's status; of an `angle`."""
    is_absolute: bool = False
    """True if the annotations must tell the `angle`: their pose is not the reference."""


def locate_query(component: str) -> Subquery:
    """Return the query for the boxes of all instances of a component."""
    return Subquery(f"locate:{component}", "locate", component)


def attribute_query(vocabulary: Vocabulary, component: str, attribute: str) -> Subquery:
    """Return the query for an attribute of all instances of a component."""
    options = vocabulary.values(component, attribute)
    return Subquery(f"attribute:{component}.{attribute}", "attribute", component, attribute, options)


def orientation_query(vocabulary: Vocabulary, component: str) -> Subquery:
    """Return the query for the angles of all instances of a component, up to the period of its rules."""
    options = list_angle_options(vocabulary.angle_periods.get(component, FULL_TURN))
    return Subquery(f"orientation:{component}", "orientation", component, options=options)


def appearance_query(component: str) -> Subquery:
    """Return the query for the look of all instances of a component."""
    return Subquery(f"appearance:{component}", "appearance", component, options=LOOKS)


def derive_queries(
    vocabulary: Vocabulary, references: Iterable[Reference], *, in_locations: bool = False
) -> tuple[Subquery, ...]:
    """Return the distinct queries for some references, components before the frames of regions.

    Args:
        vocabulary: Names that the spec declares. A variant is recognised by its attributes.
        references: Names that a rule uses.
        in_locations: True if the rule is evaluated within locations, so that all instances must be located.
    """
    references = list(references)
    regions = [r for r in references if r.name in vocabulary.regions]
    components = [
        query
        for reference in references
        if reference.name not in vocabulary.regions
        for query in _reference_queries(vocabulary, reference, in_locations)
    ]
    frames = [locate_query(of) for r in regions if (of := vocabulary.regions[r.name].of)]
    return tuple(dict.fromkeys([*components, *frames]))


def _reference_queries(vocabulary: Vocabulary, reference: Reference, in_locations: bool) -> Iterator[Subquery]:
    name, _, attribute = reference.name.partition(".")
    component = vocabulary.component(name)
    if reference.role != "attribute" or in_locations:
        yield locate_query(component)
    if attribute:
        yield attribute_query(vocabulary, component, attribute)
    yield from (attribute_query(vocabulary, component, key) for key, _ in vocabulary.required_attributes(name))
    if reference.role == "angle":
        yield orientation_query(vocabulary, component)
    if reference.role == "appearance":
        yield appearance_query(component)
    if reference.role == "liquid" and component in vocabulary.fills:
        yield locate_query(vocabulary.fills[component])
