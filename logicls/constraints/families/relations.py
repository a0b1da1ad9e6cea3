"""Geometry of the layout relations: how the boxes of a subject and of an object compare.

Boxes are xyxy in pixels; a tolerance is a pair of pixels, across and down.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from pydantic import JsonValue

from logicls.constraints.families.context import EvaluationContext, box_gap, contains_centre
from logicls.constraints.families.dead_zone import TOLERANCE_ZONE, location_units, photo_units
from logicls.records import Box

Relation = Literal[
    "above", "below", "left_of", "right_of", "inside", "centred_in", "at", "overlaps", "touching", "not_touching",
    "aligned", "evenly_spaced", "in_order",
]  # fmt: skip
PairAxis = Literal["both", "x", "y"]
Tolerance = tuple[float, float]
DIRECTIONS = ("above", "below", "left_of", "right_of")
GROUPS = ("aligned", "evenly_spaced", "in_order")
"""Relations of several subjects to one another."""
TOLERANT = ("centred_in", "aligned", "evenly_spaced")
"""Relations that need a tolerance."""
UNIVERSAL = (*DIRECTIONS, "not_touching")
"""Relations that must hold to every object; the others must hold to one."""
EDGE_RELATIONS = ("inside", "overlaps", "touching", "not_touching")
"""Relations that depend on the edges of boxes, not only on their centres."""
DIRECTION_AXES = {"left_of": "x", "right_of": "x", "above": "y", "below": "y"}

PAIR_RELATIONS = (*DIRECTIONS, "inside", "centred_in", "at", "overlaps", "touching", "not_touching")


def _schema_condition(relations: Sequence[str], requirement: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the JSON Schema of what some relations require."""
    condition: dict[str, JsonValue] = {"properties": {"relation": {"enum": list(relations)}}, "required": ["relation"]}
    return {"if": condition, "then": requirement}


RELATION_SCHEMA: list[JsonValue] = [
    _schema_condition(GROUPS, {"not": {"required": ["object"]}}),
    _schema_condition(("overlaps", "in_order"), {"not": {"required": ["tolerance"]}}),
    _schema_condition(TOLERANT, {"required": ["tolerance"]}),
    _schema_condition(PAIR_RELATIONS, {"required": ["object"]}),
]
"""JSON Schema of the keys that depend on the relation."""


def compare_boxes(
    relation: Relation, axis: PairAxis, subject: Box, target: Box, tolerance: Tolerance, *, status_only: bool
) -> tuple[bool, str]:
    """Return if the relation holds between two boxes, and the observation in plain English."""
    (sx, sy), (tx, ty) = subject.centre, target.centre
    match relation:
        case "above" | "below":
            offset = sy - ty if relation == "above" else ty - sy
            return offset < tolerance[1] or offset == tolerance[1] > 0, "above" if sy < ty else "below"
        case "left_of" | "right_of":
            offset = sx - tx if relation == "left_of" else tx - sx
            return offset < tolerance[0] or offset == tolerance[0] > 0, "left" if sx < tx else "right"
        case "centred_in":
            is_centred = relative_offset(axis, (sx - tx, sy - ty), tolerance) <= 1
            return is_centred, "" if status_only else _offset_text(subject, target)
        case "inside":
            overhang = _overhang(subject, target, tolerance)
            return overhang == 0, f"sticks out by {overhang:.0f} px" if overhang else "inside"
        case "at":
            expanded = Box(
                target.x1 - tolerance[0], target.y1 - tolerance[1], target.x2 + tolerance[0], target.y2 + tolerance[1]
            )
            return contains_centre(expanded, subject), f"at {sx:.0f}, {sy:.0f} px"
        case _:
            return _compare_contact(relation, box_gap(subject, target), max(tolerance))


def relative_offset(axis: PairAxis, offset: tuple[float, float], tolerance: Tolerance) -> float:
    """Return the offset in tolerances, the larger one of the axes that count."""
    x, y = abs(offset[0]) / max(tolerance[0], 1e-6), abs(offset[1]) / max(tolerance[1], 1e-6)
    return max(x, y) if axis == "both" else x if axis == "x" else y


def pair_margin(
    relation: Relation, axis: PairAxis, subject: Box, target: Box, tolerance: Tolerance, context: EvaluationContext
) -> float:
    """Return the distance to the relation's limit in dead zones, positive if the relation holds."""
    (sx, sy), (tx, ty) = subject.centre, target.centre
    match relation:
        case "above" | "below":
            offset = sy - ty if relation == "above" else ty - sy
            return (tolerance[1] - offset) / photo_units(tolerance, context)[1] / TOLERANCE_ZONE
        case "left_of" | "right_of":
            offset = sx - tx if relation == "left_of" else tx - sx
            return (tolerance[0] - offset) / photo_units(tolerance, context)[0] / TOLERANCE_ZONE
        case "centred_in":
            offsets = abs(sx - tx), abs(sy - ty)
        case "inside":
            offsets = (
                max(target.x1 - subject.x1, subject.x2 - target.x2),
                max(target.y1 - subject.y1, subject.y2 - target.y2),
            )
        case "at":
            offsets = max(target.x1 - sx, sx - target.x2), max(target.y1 - sy, sy - target.y2)
        case _:
            return _contact_margin(relation, box_gap(subject, target), tolerance, context)
    units = location_units(tolerance, target)
    margins = [(t - o) / u / TOLERANCE_ZONE for t, o, u in zip(tolerance, offsets, units, strict=True)]
    return min(margins) if axis == "both" or relation != "centred_in" else margins["xy".index(axis)]


def required_tolerance(
    relation: Relation, axis: PairAxis, pairs: Sequence[Sequence[tuple[Box, Box, Box]]]
) -> tuple[float | None, float | None]:
    """Return the tolerance at which all subjects just have the relation; None for an axis that does not count.

    `pairs`: for each subject, it with each object and with the box that the tolerance refers to. `not_touching` needs
    the tolerance to be no larger; the other relations need it to be no smaller.
    """
    is_apart = relation == "not_touching"
    combine = max if relation in UNIVERSAL and not is_apart else min
    only = DIRECTION_AXES.get(relation, axis if relation == "centred_in" else "both")
    counted = [n for n in (0, 1) if only in ("both", "xy"[n])]

    def worst_axis(needed: Tolerance) -> float:
        return max(needed[n] for n in counted)

    needed = [combine((_pair_tolerance(relation, *pair) for pair in group), key=worst_axis) for group in pairs]
    across, down = ((min if is_apart else max)(one[n] for one in needed) for n in (0, 1))
    return (across if only != "y" else None), (down if only != "x" else None)


def _pair_tolerance(relation: Relation, subject: Box, target: Box, reference: Box) -> Tolerance:
    """Return the smallest tolerance at which the relation holds, across and down, as fractions of the reference.

    Below 0 where there is room to spare. The contact relations need the same tolerance on both axes.
    """
    (sx, sy), (tx, ty) = subject.centre, target.centre
    width, height = max(reference.width, 1e-6), max(reference.height, 1e-6)
    match relation:
        case "above" | "below":
            return 0.0, (sy - ty if relation == "above" else ty - sy) / height
        case "left_of" | "right_of":
            return (sx - tx if relation == "left_of" else tx - sx) / width, 0.0
        case "centred_in":
            return abs(sx - tx) / width, abs(sy - ty) / height
        case "inside":
            x = max(target.x1 - subject.x1, subject.x2 - target.x2)
            y = max(target.y1 - subject.y1, subject.y2 - target.y2)
            return x / width, y / height
        case "at":
            return max(target.x1 - sx, sx - target.x2) / width, max(target.y1 - sy, sy - target.y2) / height
        case _:
            return (box_gap(subject, target) / max(width, height),) * 2


def _compare_contact(relation: Relation, gap: float, tolerance: float) -> tuple[bool, str]:
    text = f"{gap:.0f} px apart" if gap > 0 else "touching"
    if relation == "overlaps":
        return gap < 0, text
    if relation == "touching":
        return gap <= tolerance, text
    return gap > tolerance or gap == tolerance > 0, text


def _contact_margin(relation: Relation, gap: float, tolerance: Tolerance, context: EvaluationContext) -> float:
    unit = min(photo_units((max(tolerance),) * 2, context)) * TOLERANCE_ZONE
    clearance = -gap if relation == "overlaps" else max(tolerance) - gap
    return (-clearance if relation == "not_touching" else clearance) / unit


def group_offset(
    relation: Relation, along: int, boxes: Sequence[Box], frame: Box | None, tolerances: Tolerance
) -> tuple[float, float]:
    """Return (pixels off, pixels allowed) of components that should be aligned or evenly spaced.

    Args:
        relation: `aligned` or `evenly_spaced`.
        along: 0 for a row, 1 for a column.
        boxes: All members of the group.
        frame: Box that the tolerance refers to; the mean size, or the mean spacing, of the members if None.
        tolerances: Across and down, fractions of that size.
    """
    if relation == "aligned":
        across = sorted(box.centre[1 - along] for box in boxes)
        size = sum((box.width, box.height)[1 - along] for box in boxes) / len(boxes)
        axis, offset = 1 - along, across[-1] - across[0]
    else:
        centres = sorted(box.centre[along] for box in boxes)
        gaps = [b - a for a, b in pairwise(centres)]
        size = sum(gaps) / len(gaps)
        axis, offset = along, max(abs(g - size) for g in gaps)
    if frame is not None:
        size = (frame.width, frame.height)[axis]
    return offset, tolerances[axis] * size


def _offset_text(subject: Box, target: Box) -> str:
    (sx, sy), (tx, ty) = subject.centre, target.centre
    x, y = (sx - tx) / max(target.width, 1e-6), (sy - ty) / max(target.height, 1e-6)
    return f"off by {x:+.1%} of its width, {y:+.1%} of its height"


def _overhang(subject: Box, target: Box, tolerance: Tolerance) -> float:
    """Return the pixels by which the subject sticks out of the target expanded by the tolerance."""
    return max(
        0.0,
        target.x1 - tolerance[0] - subject.x1,
        subject.x2 - target.x2 - tolerance[0],
        target.y1 - tolerance[1] - subject.y1,
        subject.y2 - target.y2 - tolerance[1],
    )
