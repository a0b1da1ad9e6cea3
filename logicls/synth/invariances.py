"""Augmentations to which a product is not invariant: by its rules, its names, and the positions on good photos."""

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
"""Parts of names of components and values that are not mirror-symmetric."""
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
"""Words of names that describe an orientation."""
POSITION_BINS = 16
"""Bins of a photo's width or height in which box centres are counted."""
MIN_OCCUPANCY = 0.5
"""Share of the bins that a component must occupy to count as lying anywhere."""
MIN_SYMMETRY = 0.7
"""Smallest overlap of the histogram of positions with its mirror image, 0 to 1, at which photos may be flipped."""


@dataclass(frozen=True, slots=True)
class AugmentationRestrictions:
    """First reason why each transform is not allowed; empty if it is."""

    hue: str
    rotation: str
    """Applies to perspective as well."""
    flip: dict[Axis, str]


def find_restrictions(spec: Spec, scenes: Sequence[Scene] = ()) -> AugmentationRestrictions:
    """Find the transforms that would make a label wrong.

    Args:
        spec: Rules of the product.
        scenes: Annotations of good photos; without them, positions do not count.
    """
    queried = [f"{q.component}.{q.attribute}" for q in spec.queries if q.kind == "attribute"]
    return AugmentationRestrictions(
        hue=f"{queried[0]} is queried" if queried else "",
        rotation=next(_find_edge_reasons(spec), ""),
        flip={
            axis: next(chain(_find_asymmetry_reasons(spec, axis), _find_position_reasons(scenes, axis)), "")
            for axis in AXES
        },
    )


def is_orientation_free(spec: Spec) -> bool:
    """Check that no rule or name of the spec depends on the orientation of a component or on its mirror image."""
    has_orientation = any(
        word in ORIENTATION_WORDS for name in _list_names(spec) for word in re.split(r"[^a-z]+", name.lower())
    )
    return not has_orientation and not any(find_restrictions(spec).flip.values())


def _list_rule_invariances(spec: Spec) -> Iterator[tuple[str, Invariances]]:
    """Yield the constraint id and the invariances of every rule, including nested rules and conditions."""
    for constraint in spec.constraints:
        for clause in (constraint, constraint.when):
            if clause is not None:
                yield from ((constraint.id, rule.invariances()) for _, rule in walk_rules(clause.rule))


def _find_edge_reasons(spec: Spec) -> Iterator[str]:
    """Yield rules that depend on box edges: the box of a rotated instance is looser than the instance."""
    yield from (f"{name} {reasons.rotation}" for name, reasons in _list_rule_invariances(spec) if reasons.rotation)


def _find_asymmetry_reasons(spec: Spec, axis: Axis) -> Iterator[str]:
    """Yield rules, regions and names that distinguish one side from the other."""
    for name, reasons in _list_rule_invariances(spec):
        reason = reasons.flip_x if axis == "x" else reasons.flip_y
        if reason:
            yield f"{name} {reason}"
    start = 0 if axis == "x" else 1
    for name, region in spec.regions.items():
        if abs(region.box[start] + region.box[start + 2] - 1) > 1e-6:
            yield f"region {name} is on one side"
    if axis == "y":
        yield from (f"{name} fills {component.fills}" for name, component in spec.components.items() if component.fills)
    yield from (f"{name} is not mirror-symmetric" for name in _list_names(spec) if any(w in name for w in CHIRAL_WORDS))


def _find_position_reasons(scenes: Sequence[Scene], axis: Axis) -> Iterator[str]:
    """Yield components with a fixed position along an axis, or on one side: flipped photos would be unrealistic."""
    positions: dict[str, list[float]] = {}
    for scene in scenes:
        for instance in scene.instances:
            x, y = instance.box.centre
            positions.setdefault(instance.component, []).append(x / scene.width if axis == "x" else y / scene.height)
    for name, values in positions.items():
        bins = np.histogram(values, POSITION_BINS, (0.0, 1.0))[0]
        symmetry = np.minimum(bins, bins[::-1]).sum() / bins.sum()
        if np.count_nonzero(bins) < MIN_OCCUPANCY * POSITION_BINS or symmetry < MIN_SYMMETRY:
            yield f"{name} has a fixed position"


def _list_names(spec: Spec) -> Iterator[str]:
    for component, attributes in spec.attribute_values.items():
        yield component
        for attribute, values in attributes.items():
            yield f"{component}.{attribute}"
            yield from values
