"""What photos may go through: the rules tell which changes would make a label wrong, good photos where things lie."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np

from logicls.constraints.families.connection import Connection
from logicls.constraints.families.layout import Layout
from logicls.constraints.families.measure import Measure
from logicls.constraints.families.protocol import Family
from logicls.constraints.spec.models import Spec
from logicls.constraints.spec.references import walk_rules
from logicls.records import Scene

Axis = Literal["x", "y"]
AXES: tuple[Axis, Axis] = ("x", "y")
EDGE_RELATIONS = ("inside", "overlaps", "touching", "not_touching")
"""Relations that read the edges of boxes, not their centres alone."""
RELATION_AXES = {"left_of": "x", "right_of": "x", "above": "y", "below": "y"}
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


def _rules(spec: Spec) -> Iterator[tuple[str, Family]]:
    """Every rule, those inside others and conditions too, with its constraint's id."""
    for constraint in spec.constraints:
        for clause in (constraint, constraint.when):
            if clause is not None:
                yield from ((constraint.id, rule) for _, rule in walk_rules(clause.rule, ()))


def _edge_reasons(spec: Spec) -> Iterator[str]:
    """A turned box is looser than the thing in it: rules that would see that."""
    for name, rule in _rules(spec):
        if isinstance(rule, Measure):
            yield f"{name} measures {rule.kind}"
        elif isinstance(rule, Connection):
            yield f"{name} counts slots"
        elif isinstance(rule, Layout) and rule.relation in EDGE_RELATIONS:
            yield f"{name} says {rule.relation.replace('_', ' ')}"


def _asymmetry_reasons(spec: Spec, axis: Axis) -> Iterator[str]:
    """What tells one side from the other."""
    for name, rule in _rules(spec):
        if isinstance(rule, Layout) and (
            RELATION_AXES.get(rule.relation) == axis or (rule.relation == "in_order" and rule.axis == axis)
        ):
            yield f"{name} says {rule.relation.replace('_', ' ')}"
        elif isinstance(rule, Connection) and rule.axis == axis:
            yield f"{name} counts slots"
        elif isinstance(rule, Measure) and rule.kind == "angle":
            yield f"{name} measures an angle"
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
