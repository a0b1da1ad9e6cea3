"""How far a photo is from the limits of the rules, in dead zones: what lies within one is near a limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from logicls.constraints.checker.evaluation import evaluate_constraints
from logicls.constraints.families.composition import Composition
from logicls.constraints.families.context import EvaluationContext, NotApplicable, UnreadableAnswer, box_gap
from logicls.constraints.families.dead_zone import (
    MIN_TOLERANCE,
    TOLERANCE_ZONE,
    group_unit,
    inner_zone,
    location_units,
    measure_zone,
    photo_units,
)
from logicls.constraints.families.layout import DIRECTIONS, GROUPS, Layout
from logicls.constraints.families.measure import Measure
from logicls.constraints.families.protocol import Family
from logicls.constraints.families.quantity import Quantity
from logicls.constraints.spec.models import Constraint, Spec
from logicls.constraints.spec.references import walk_rules
from logicls.records import Box

UNIVERSAL_RELATIONS = (*DIRECTIONS, "not_touching")
"""Relations that must hold to every object; the others to one."""


@lru_cache(maxsize=64)  # synthesis asks again and again about a reading
def find_near_limits(spec: Spec, reading: EvaluationContext) -> frozenset[str]:
    """Ids of the rules that apply and of which something lies in the dead zone."""
    applying = zip(spec.constraints, evaluate_constraints(spec, reading), strict=True)
    geometric = (c for c, found in applying if found.status in ("holds", "broken"))
    return frozenset(c.id for c in geometric if any(abs(m) < 1 for m in compute_margins(c, reading)))


def compute_margins(constraint: Constraint, reading: EvaluationContext) -> Iterator[float]:
    """Of each rule about geometry that it is made of, in each place: positive where that rule holds, in dead zones."""
    try:
        frames = [reading.restrict(f) for f in reading.locations(constraint.each)] if constraint.each else [reading]
    except UnreadableAnswer:
        return
    for frame in frames:
        for _, rule in walk_rules(constraint.rule, ()):
            try:
                margin = rule_margin(rule, frame)
            except (NotApplicable, UnreadableAnswer):
                continue
            if margin is not None:
                yield margin


def rule_margin(rule: Family, reading: EvaluationContext) -> float | None:
    """One rule's; None for rules that no distance decides. Raises `Absent`, `Unreadable`."""
    match rule:
        case Layout() if rule.relation in GROUPS:
            return _group_margin(rule, reading)
        case Layout():
            return _layout_margin(rule, reading)
        case Measure():
            return _measure_margin(rule, reading)
        case Quantity() | Composition() if rule.in_:
            return _containment_margin(rule, reading.locations(rule.in_), reading)
        case _:
            return None


def _layout_margin(rule: Layout, reading: EvaluationContext) -> float:
    thing = rule.subjects[0]
    subjects, objects = reading.boxes(thing), reading.locations(rule.object or "")
    combined = min if rule.relation in UNIVERSAL_RELATIONS else max
    found = []
    for index, subject in enumerate(subjects):
        others = [o for i, o in enumerate(objects) if i != index] if rule.object == thing else objects
        pairs = [_pair_margin(rule, reading, subject, other) for other in others]
        found += [combined(pairs)] if pairs else []
    if not found:
        raise NotApplicable(thing)
    return min(found)


def _pair_margin(rule: Layout, reading: EvaluationContext, subject: Box, target: Box) -> float:
    (sx, sy), (tx, ty) = subject.centre, target.centre
    slack = rule.tolerance_px(reading, target)
    match rule.relation:
        case "above" | "below":
            far = sy - ty if rule.relation == "above" else ty - sy
            return (slack[1] - far) / photo_units(slack, reading)[1] / TOLERANCE_ZONE
        case "left_of" | "right_of":
            far = sx - tx if rule.relation == "left_of" else tx - sx
            return (slack[0] - far) / photo_units(slack, reading)[0] / TOLERANCE_ZONE
        case "centred_in":
            off = abs(sx - tx), abs(sy - ty)
        case "inside":
            off = (
                max(target.x1 - subject.x1, subject.x2 - target.x2),
                max(target.y1 - subject.y1, subject.y2 - target.y2),
            )
        case "at":
            off = max(target.x1 - sx, sx - target.x2), max(target.y1 - sy, sy - target.y2)
        case _:
            return _contact_margin(rule, box_gap(subject, target), slack, reading)
    unit = location_units(rule, reading, target)
    room = [(s - o) / u / TOLERANCE_ZONE for s, o, u in zip(slack, off, unit, strict=True)]
    return min(room) if rule.axis == "both" or rule.relation != "centred_in" else room["xy".index(rule.axis)]


def _contact_margin(rule: Layout, between: float, slack: tuple[float, float], reading: EvaluationContext) -> float:
    unit = min(photo_units((max(slack),) * 2, reading)) * TOLERANCE_ZONE
    room = -between if rule.relation == "overlaps" else max(slack) - between
    return (-room if rule.relation == "not_touching" else room) / unit


def _group_margin(rule: Layout, reading: EvaluationContext) -> float:
    groups = [boxes for thing in rule.subjects if (boxes := reading.boxes(thing))]
    if rule.relation == "in_order":
        along = "xy".index(rule.axis)
        centres = [[box.centre[along] for box in boxes] for boxes in groups]
        unit = photo_units((0.0, 0.0), reading)[along] * TOLERANCE_ZONE
        found = [(min(after) - max(before)) / unit for before, after in pairwise(centres)]
        return _smallest(found)
    everything = [box for group in groups for box in group]
    if len(everything) < (2 if rule.relation == "aligned" else 3):
        raise NotApplicable(rule.relation)
    off, allowed = rule.measure_spread(everything, reading)
    return (allowed - off) / group_unit(allowed, reading) / TOLERANCE_ZONE


def _measure_margin(rule: Measure, reading: EvaluationContext) -> float:
    low, high = rule.limits
    zone = measure_zone(rule, reading)
    values = rule.measure_values(reading)
    if rule.kind == "angle":
        values = [rule.normalize_angle(value) for value in values]
    limits = [value - low for value in values] if "below" in rule.failure_modes() else []
    rooms = [*limits, *(high - value for value in values)]
    return min(room / (inner_zone(rule, zone) if room > 0 else zone) for room in rooms)


def _containment_margin(rule: Quantity | Composition, places: Sequence[Box], reading: EvaluationContext) -> float:
    """The distance of the centres to the edge of the places that they lie in, or do not lie in."""
    things = rule.weights if isinstance(rule, Quantity) else rule.components
    found = []
    for box in (box for thing in things for box in reading.boxes(thing)):
        x, y = box.centre
        for place in places:
            width, height = max(place.width, 1e-6), max(place.height, 1e-6)
            across, down = max(place.x1 - x, x - place.x2) / width, max(place.y1 - y, y - place.y2) / height
            found.append(abs(max(across, down)) / (MIN_TOLERANCE * TOLERANCE_ZONE))
    return _smallest(found)


def _smallest(found: list[float]) -> float:
    if not found:
        raise NotApplicable("nothing to compare")
    return min(found)
