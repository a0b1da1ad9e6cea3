"""What photos may go through: the rules tell which changes would make a label wrong, good photos where things lie."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from logicls.constraints.families.protocol import Axis, Invariances, walk_rules
from logicls.constraints.spec.models import Spec
from logicls.records import Scene

AXES: tuple[Axis, Axis] = ("x", "y")
CHIRAL_WORDS = (
    "text",
    "print",
    "letter",
    "word",
    "digit",
    "number",
    "code",
    "logo",
    "date",
    "left",
    "right",
    "clockwise",
)
"""A name with one of these in it speaks of what looks different in a mirror."""

ORIENTATION_WORDS = (
    "up",
    "down",
    "upright",
    "upside",
    "top",
    "bottom",
    "tilted",
    "turned",
    "rotated",
    "vertical",
    "horizontal",
    "standing",
    "lying",
    "orientation",
    "direction",
    "angle",
)
"""A word of a name that speaks of which way round something lies."""
POSITION_BINS = 16
"""Of a photo's width or height, in which centres of things are counted."""
MIN_OCCUPANCY = 0.5
"""Share of the bands in which things must be found that lie anywhere."""
MIN_SYMMETRY = 0.7
"""Share of the things that a mirror leaves in a band with as many others, where photos may be mirrored."""


@dataclass(frozen=True, slots=True)
class AugmentationRestrictions:
    """Why each kind of change is not allowed; empty where it is."""

    hue: str
    rotation: str
    """Of a rotation, and of perspective."""
    flip: dict[Axis, str]


def find_restrictions(spec: Spec, scenes: Sequence[Scene] = ()) -> AugmentationRestrictions:
    """What the spec forbids, with the first reason for each; and `scenes`, annotations of good photos."""
    asked = [f"{q.component}.{q.attribute}" for q in spec.queries if q.kind == "attribute"]
    return AugmentationRestrictions(
        hue=f"{asked[0]} is asked for" if asked else "",
        rotation=next(_edge_reasons(spec), ""),
        flip={axis: next(chain(_asymmetry_reasons(spec, axis), _position_reasons(scenes, axis)), "") for axis in AXES},
    )


def is_orientation_free(spec: Spec) -> bool:
    """Whether nothing in the spec tells which way round a thing lies, nor the thing from its mirror image."""
    told = any(
        word in ORIENTATION_WORDS for name in _vocabulary_names(spec) for word in re.split(r"[^a-z]+", name.lower())
    )
    return not told and not any(find_restrictions(spec).flip.values())


def _rule_invariances(spec: Spec) -> Iterator[tuple[str, Invariances]]:
    """Yield the constraint id and the invariances of every rule, including nested rules and conditions."""
    for constraint in spec.constraints:
        for clause in (constraint, constraint.when):
            if clause is not None:
                yield from ((constraint.id, rule.invariances()) for _, rule in walk_rules(clause.rule))


def _edge_reasons(spec: Spec) -> Iterator[str]:
    """Yield rules that see that the box of a rotated object is larger than the object."""
    yield from (f"{name} {reasons.rotation}" for name, reasons in _rule_invariances(spec) if reasons.rotation)


def _asymmetry_reasons(spec: Spec, axis: Axis) -> Iterator[str]:
    """Yield rules, regions and names that distinguish one side from the other."""
    for name, reasons in _rule_invariances(spec):
        reason = reasons.flip_x if axis == "x" else reasons.flip_y
        if reason:
            yield f"{name} {reason}"
    start = 0 if axis == "x" else 1
    for name, region in spec.regions.items():
        if abs(region.box[start] + region.box[start + 2] - 1) > 1e-6:
            yield f"region {name} lies to one side"
    if axis == "y":
        yield from (f"{name} fills {component.fills}" for name, component in spec.components.items() if component.fills)
    yield from (
        f"{name} looks different in a mirror"
        for name in _vocabulary_names(spec)
        if any(w in name for w in CHIRAL_WORDS)
    )


def _position_reasons(scenes: Sequence[Scene], axis: Axis) -> Iterator[str]:
    """What keeps to its place along an axis, or to one side: its mirror image would be no photo of the product."""
    places: dict[str, list[float]] = {}
    for scene in scenes:
        for instance in scene.instances:
            x, y = instance.box.centre
            places.setdefault(instance.component, []).append(x / scene.width if axis == "x" else y / scene.height)
    for name, found in places.items():
        bands = np.histogram(found, POSITION_BINS, (0.0, 1.0))[0]
        alike = np.minimum(bands, bands[::-1]).sum() / bands.sum()
        if np.count_nonzero(bands) < MIN_OCCUPANCY * POSITION_BINS or alike < MIN_SYMMETRY:
            yield f"{name} does not lie anywhere"


def _vocabulary_names(spec: Spec) -> Iterator[str]:
    for component, facts in spec.attribute_values.items():
        yield component
        for attribute, values in facts.items():
            yield f"{component}.{attribute}"
            yield from values
