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
"""Share of the bins that as many boxes would occupy if they lay anywhere, which a component must occupy."""
SIGNIFICANCE, DRAWS = 0.01, 999
"""Probability of taking a component that lies on both sides alike for one that does not, and random draws of the test.
"""
MIN_ASYMMETRY = 0.3
"""Smallest surplus on one side, as a share of all boxes, that matters: many photos show smaller ones as well."""
MIN_TESTED_PHOTOS, MAX_TESTED_PHOTOS = 8, 500
"""Fewest photos on which the test can see that a component lies on one side only, and most photos that it uses."""


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
    positions: dict[str, list[list[float]]] = {}
    for scene in scenes:
        on_photo: dict[str, list[float]] = {}
        for instance in scene.instances:
            x, y = instance.box.centre
            on_photo.setdefault(instance.component, []).append(x / scene.width if axis == "x" else y / scene.height)
        for name, values in on_photo.items():
            positions.setdefault(name, []).append(values)
    for name, photos in positions.items():
        values = [value for photo in photos for value in photo]
        occupied = np.count_nonzero(np.histogram(values, POSITION_BINS, (0.0, 1.0))[0])
        expected = POSITION_BINS * (1 - (1 - 1 / POSITION_BINS) ** len(values))
        if occupied < MIN_OCCUPANCY * expected:
            yield f"{name} has a fixed position"
        elif len(photos) < MIN_TESTED_PHOTOS:
            yield f"{len(photos)} photos do not show whether {name} lies on both sides alike"
        else:
            surplus, p_value = _test_symmetry(photos)
            if surplus >= MIN_ASYMMETRY and p_value < SIGNIFICANCE:
                yield f"{name} does not lie on both sides alike"


def _test_symmetry(photos: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Test whether mirrored photos are as likely as the photos; returns the surplus on one side, and its p-value.

    A randomisation test: the largest difference between the distribution of positions and its mirror image (Butler
    1969) is compared with that of photos which are mirrored at random, each as a whole.

    Args:
        photos: Positions of a component on each photo, 0 to 1.
    """
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(photos))[:MAX_TESTED_PHOTOS]
    thresholds = np.linspace(0, 0.5, POSITION_BINS, endpoint=False)
    offsets = [np.asarray(photos[number])[:, None] - 0.5 for number in chosen]
    surplus = np.array([((offset > thresholds).sum(0) - (offset < -thresholds).sum(0)) for offset in offsets])
    signs = rng.choice([-1, 1], (DRAWS, len(chosen)))
    observed = np.abs(surplus.sum(0)).max()
    p_value = (1 + np.count_nonzero(np.abs(signs @ surplus).max(1) >= observed)) / (1 + DRAWS)
    return float(observed / sum(map(len, offsets))), float(p_value)


def _list_names(spec: Spec) -> Iterator[str]:
    for component, attributes in spec.attribute_values.items():
        yield component
        for attribute, values in attributes.items():
            yield f"{component}.{attribute}"
            yield from values
