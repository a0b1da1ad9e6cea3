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
def find_near_limits(spec: Spec, context: EvaluationContext) -> frozenset[str]:
    """Ids of the rules that apply and of which something lies in the dead zone."""
    applying = zip(spec.constraints, evaluate_constraints(spec, context), strict=True)
    geometric = (c for c, found in applying if found.status in ("holds", "broken"))
    return frozenset(c.id for c in geometric if any(abs(m) < 1 for m in compute_margins(c, context)))


def compute_margins(constraint: Constraint, context: EvaluationContext) -> Iterator[float]:
    """Of each rule about geometry that it is made of, in each place: positive where that rule holds, in dead zones."""
    try:
        frames = [context.restrict(f) for f in context.locations(constraint.each)] if constraint.each else [context]
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


def rule_margin(rule: Family, context: EvaluationContext) -> float | None:
    """One rule's; None for rules that no distance decides. Raises `Absent`, `Unreadable`."""
    match rule:
        case Layout() if rule.relation in GROUPS:
            return _group_margin(rule, context)
        case Layout():
            return _layout_margin(rule, context)
        case Measure():
            return _measure_margin(rule, context)
        case Quantity() | Composition() if rule.in_:
            return _containment_margin(rule, context.locations(rule.in_), context)
        case _:
            return None


def _layout_margin(rule: Layout, context: EvaluationContext) -> float:
    subject_name = rule.subjects[0]
    subjects, objects = context.boxes(subject_name), context.locations(rule.object or "")
    combined = min if rule.relation in UNIVERSAL_RELATIONS else max
    found = []
    for index, subject in enumerate(subjects):
        others = [o for i, o in enumerate(objects) if i != index] if rule.object == subject_name else objects
        pairs = [_pair_margin(rule, context, subject, other) for other in others]
        found += [combined(pairs)] if pairs else []
    if not found:
        raise NotApplicable(subject_name)
    return min(found)


def _pair_margin(rule: Layout, context: EvaluationContext, subject: Box, target: Box) -> float:
    (sx, sy), (tx, ty) = subject.centre, target.centre
    slack = rule.tolerance_px(context, target)
    match rule.relation:
        case "above" | "below":
            offset = sy - ty if rule.relation == "above" else ty - sy
            return (slack[1] - offset) / photo_units(slack, context)[1] / TOLERANCE_ZONE
        case "left_of" | "right_of":
            offset = sx - tx if rule.relation == "left_of" else tx - sx
            return (slack[0] - offset) / photo_units(slack, context)[0] / TOLERANCE_ZONE
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
            return _contact_margin(rule, box_gap(subject, target), slack, context)
    unit = location_units(rule, context, target)
    clearance = [(s - o) / u / TOLERANCE_ZONE for s, o, u in zip(slack, off, unit, strict=True)]
    return min(clearance) if rule.axis == "both" or rule.relation != "centred_in" else clearance["xy".index(rule.axis)]


def _contact_margin(rule: Layout, between: float, slack: tuple[float, float], context: EvaluationContext) -> float:
    unit = min(photo_units((max(slack),) * 2, context)) * TOLERANCE_ZONE
    clearance = -between if rule.relation == "overlaps" else max(slack) - between
    return (-clearance if rule.relation == "not_touching" else clearance) / unit


def _group_margin(rule: Layout, context: EvaluationContext) -> float:
    groups = [boxes for component in rule.subjects if (boxes := context.boxes(component))]
    if rule.relation == "in_order":
        along = "xy".index(rule.axis)
        centres = [[box.centre[along] for box in boxes] for boxes in groups]
        unit = photo_units((0.0, 0.0), context)[along] * TOLERANCE_ZONE
        found = [(min(after) - max(before)) / unit for before, after in pairwise(centres)]
        return _smallest(found)
    everything = [box for group in groups for box in group]
    if len(everything) < (2 if rule.relation == "aligned" else 3):
        raise NotApplicable(rule.relation)
    off, allowed = rule.measure_spread(everything, context)
    return (allowed - off) / group_unit(allowed, context) / TOLERANCE_ZONE


def _measure_margin(rule: Measure, context: EvaluationContext) -> float:
    low, high = rule.limits
    zone = measure_zone(rule, context)
    values = rule.measure_values(context)
    if rule.kind == "angle":
        values = [rule.normalize_angle(value) for value in values]
    limits = [value - low for value in values] if "below" in rule.failure_modes() else []
    rooms = [*limits, *(high - value for value in values)]
    return min(clearance / (inner_zone(rule, zone) if clearance > 0 else zone) for clearance in rooms)


def _containment_margin(rule: Quantity | Composition, locations: Sequence[Box], context: EvaluationContext) -> float:
    """The distance of the centres to the edge of the places that they lie in, or do not lie in."""
    components = rule.weights if isinstance(rule, Quantity) else rule.components
    found = []
    for box in (box for component in components for box in context.boxes(component)):
        x, y = box.centre
        for location in locations:
            width, height = max(location.width, 1e-6), max(location.height, 1e-6)
            across, down = max(location.x1 - x, x - location.x2) / width, max(location.y1 - y, y - location.y2) / height
            found.append(abs(max(across, down)) / (MIN_TOLERANCE * TOLERANCE_ZONE))
    return _smallest(found)


def _smallest(found: list[float]) -> float:
    if not found:
        raise NotApplicable("nothing to compare")
    return min(found)
