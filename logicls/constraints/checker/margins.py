"""How far a photo is from the limits of the rules, in dead zones: what lies within one is near a limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from logicls.constraints.checker.evaluation import checked
from logicls.constraints.families.composition import Composition
from logicls.constraints.families.context import Absent, Reading, Unreadable, gap
from logicls.constraints.families.dead_zone import (
    FINE,
    TOLERANCE_ZONE,
    group_unit,
    inner_zone,
    measure_zone,
    photo_units,
    place_units,
)
from logicls.constraints.families.layout import DIRECTIONS, GROUPS, Layout
from logicls.constraints.families.measure import Measure
from logicls.constraints.families.protocol import Family
from logicls.constraints.families.quantity import Quantity
from logicls.constraints.spec.models import Constraint, Spec
from logicls.constraints.spec.references import members
from logicls.records import Box

EVERY = (*DIRECTIONS, "not_touching")
"""Relations that must hold to every object; the others to one."""


@lru_cache(maxsize=64)  # synthesis asks again and again about a reading
def near(spec: Spec, reading: Reading) -> frozenset[str]:
    """Ids of the rules that apply and of which something lies in the dead zone."""
    applying = zip(spec.constraints, checked(spec, reading), strict=True)
    geometric = (c for c, found in applying if found.status in ("holds", "broken"))
    return frozenset(c.id for c in geometric if any(abs(m) < 1 for m in margins(c, reading)))


def margins(constraint: Constraint, reading: Reading) -> Iterator[float]:
    """Of each rule about geometry that it is made of, in each place: positive where that rule holds, in dead zones."""
    try:
        frames = [reading.within(f) for f in reading.places(constraint.each)] if constraint.each else [reading]
    except Unreadable:
        return
    for frame in frames:
        for _, rule in members(constraint.rule, ()):
            try:
                margin = margin_of(rule, frame)
            except (Absent, Unreadable):
                continue
            if margin is not None:
                yield margin


def margin_of(rule: Family, reading: Reading) -> float | None:
    """One rule's; None for rules that no distance decides. Raises `Absent`, `Unreadable`."""
    match rule:
        case Layout() if rule.relation in GROUPS:
            return _group(rule, reading)
        case Layout():
            return _layout(rule, reading)
        case Measure():
            return _measure(rule, reading)
        case Quantity() | Composition() if rule.in_:
            return _held(rule, reading.places(rule.in_), reading)
        case _:
            return None


def _layout(rule: Layout, reading: Reading) -> float:
    thing = rule.things[0]
    subjects, objects = reading.boxes(thing), reading.places(rule.object or "")
    combined = min if rule.relation in EVERY else max
    found = []
    for index, subject in enumerate(subjects):
        others = [o for i, o in enumerate(objects) if i != index] if rule.object == thing else objects
        pairs = [_pair(rule, reading, subject, other) for other in others]
        found += [combined(pairs)] if pairs else []
    if not found:
        raise Absent(thing)
    return min(found)


def _pair(rule: Layout, reading: Reading, subject: Box, target: Box) -> float:
    (sx, sy), (tx, ty) = subject.centre, target.centre
    slack = rule.slack_px(reading, target)
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
            return _contact(rule, gap(subject, target), slack, reading)
    unit = place_units(rule, reading, target)
    room = [(s - o) / u / TOLERANCE_ZONE for s, o, u in zip(slack, off, unit, strict=True)]
    return min(room) if rule.axis == "both" or rule.relation != "centred_in" else room["xy".index(rule.axis)]


def _contact(rule: Layout, between: float, slack: tuple[float, float], reading: Reading) -> float:
    unit = min(photo_units((max(slack),) * 2, reading)) * TOLERANCE_ZONE
    room = -between if rule.relation == "overlaps" else max(slack) - between
    return (-room if rule.relation == "not_touching" else room) / unit


def _group(rule: Layout, reading: Reading) -> float:
    groups = [boxes for thing in rule.things if (boxes := reading.boxes(thing))]
    if rule.relation == "in_order":
        along = "xy".index(rule.axis)
        centres = [[box.centre[along] for box in boxes] for boxes in groups]
        unit = photo_units((0.0, 0.0), reading)[along] * TOLERANCE_ZONE
        found = [(min(after) - max(before)) / unit for before, after in pairwise(centres)]
        return _least(found)
    everything = [box for group in groups for box in group]
    if len(everything) < (2 if rule.relation == "aligned" else 3):
        raise Absent(rule.relation)
    off, allowed = rule.spread(everything, reading)
    return (allowed - off) / group_unit(allowed, reading) / TOLERANCE_ZONE


def _measure(rule: Measure, reading: Reading) -> float:
    low, high = rule.limits
    zone = measure_zone(rule, reading)
    values = rule.values(reading)
    if rule.kind == "angle":
        values = [rule.in_turn(value) for value in values]
    limits = [value - low for value in values] if "below" in rule.sides() else []
    rooms = [*limits, *(high - value for value in values)]
    return min(room / (inner_zone(rule, zone) if room > 0 else zone) for room in rooms)


def _held(rule: Quantity | Composition, places: Sequence[Box], reading: Reading) -> float:
    """The distance of the centres to the edge of the places that they lie in, or do not lie in."""
    things = rule.weights if isinstance(rule, Quantity) else rule.things
    found = []
    for box in (box for thing in things for box in reading.boxes(thing)):
        x, y = box.centre
        for place in places:
            width, height = max(place.width, 1e-6), max(place.height, 1e-6)
            across, down = max(place.x1 - x, x - place.x2) / width, max(place.y1 - y, y - place.y2) / height
            found.append(abs(max(across, down)) / (FINE * TOLERANCE_ZONE))
    return _least(found)


def _least(found: list[float]) -> float:
    if not found:
        raise Absent("nothing to compare")
    return min(found)
