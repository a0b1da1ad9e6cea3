"""Where: the layout family.

Moves that break a layout rule, and moves that leave it whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise, zip_longest
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.families.context import (
    HOLDS,
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    box_gap,
    contains_centre,
    join_names,
    name_to_text,
)
from logicls.constraints.families.dead_zone import TOLERANCE_ZONE, group_unit, location_units, sample_distance
from logicls.constraints.families.edits import Move, Rng, Swap
from logicls.constraints.families.placement import (
    MAX_EDITS,
    choose_instance,
    find_instances,
    sample_moves,
    supporting_box,
)
from logicls.constraints.families.protocol import Edits, Reference
from logicls.records import Box, Instance, Scene

Relation = Literal[
    "above", "below", "left_of", "right_of", "inside", "centred_in", "at", "overlaps", "touching", "not_touching",
    "aligned", "evenly_spaced", "in_order",
]  # fmt: skip
DIRECTIONS = ("above", "below", "left_of", "right_of")
GROUPS = ("aligned", "evenly_spaced", "in_order")
TOLERANT = ("centred_in", "aligned", "evenly_spaced")
"""Relations that cannot do without a tolerance."""
Fraction = Annotated[float, Field(ge=0, le=100)]


class Layout(BaseModel):
    """Things stand in a relation to a place, or to one another."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    subject: str | Annotated[list[str], Field(min_length=1)]
    """Thing that is somewhere; a list for aligned, evenly_spaced and in_order."""
    relation: Relation
    """How it lies."""
    object: str | None = None
    """Thing or region; none for aligned, evenly_spaced and in_order."""
    tolerance: Fraction | tuple[Fraction, Fraction] | None = None
    """Fraction of the size of `relative_to`: one number, or [across, down]."""
    relative_to: str | None = None
    """Thing or region whose width and height the tolerance is a fraction of; the object where it is left out."""
    axis: Literal["both", "x", "y"] = "both"
    """The direction that counts (centred_in), or along which things follow one another (x: left to right)."""

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if self.relation in GROUPS:
            if self.object is not None:
                raise ValueError(f"{self.relation} has no object: name all the things in subject")
            if self.axis == "both":
                raise ValueError(f"{self.relation} needs axis: x (left to right) or y (top to bottom)")
        elif self.object is None:
            raise ValueError(f"{self.relation} needs an object")
        elif not isinstance(self.subject, str):
            raise ValueError(f"{self.relation} takes a single subject")
        if self.relation == "in_order" and len(self.subjects) < 2:
            raise ValueError("in_order needs a list of at least two things in subject")
        if self.relation in TOLERANT and self.tolerance is None:
            raise ValueError(f"{self.relation} needs a tolerance")
        if self.relation in ("in_order", "overlaps") and self.tolerance is not None:
            raise ValueError(f"{self.relation} takes no tolerance")
        return self

    @cached_property
    def subjects(self) -> tuple[str, ...]:
        """The subjects."""
        return (self.subject,) if isinstance(self.subject, str) else tuple(self.subject)

    @cached_property
    def tolerances(self) -> tuple[float, float]:
        """Tolerance in x and in y, fractions."""
        if isinstance(self.tolerance, tuple):
            return self.tolerance
        return (self.tolerance or 0.0,) * 2

    def references(self) -> Iterator[Reference]:
        """Everything that it speaks about."""
        for position, component in enumerate(self.subjects):
            yield Reference(
                ("subject",) if isinstance(self.subject, str) else ("subject", position), component, "thing"
            )
        if self.object is not None:
            yield Reference(("object",), self.object, "place")
        if self.relative_to is not None:
            yield Reference(("relative_to",), self.relative_to, "place")

    def failure_modes(self) -> tuple[str, ...]:
        """There is one way to be broken."""
        return ("",)

    def to_text(self) -> str:
        """The rule in plain English."""
        return self._relation_text + self._tolerance_text()

    @cached_property
    def _relation_text(self) -> str:
        subjects = join_names([name_to_text(component) for component in self.subjects])
        if self.relation == "in_order":
            return f"{subjects} in this order from {'left to right' if self.axis == 'x' else 'top to bottom'}"
        if self.relation == "aligned":
            return f"{subjects} aligned in a {'row' if self.axis == 'x' else 'column'}"
        if self.relation == "evenly_spaced":
            return f"{subjects} evenly spaced from {'left to right' if self.axis == 'x' else 'top to bottom'}"
        relation = {"at": "in", "overlaps": "overlapping"}.get(self.relation, name_to_text(self.relation))
        return f"{subjects} {relation} " + (
            "another" if self.object == self.subject else f"the {name_to_text(self.object or '')}"
        )

    def _tolerance_text(self) -> str:
        """The tolerance in plain English."""
        if not max(self.tolerances):
            return ""
        x, y = (f"{share:.3g}" for share in (100 * self.tolerances[0], 100 * self.tolerances[1]))
        across, down = f"{x} % across", f"{y} % down"
        text = {"x": across, "y": down}.get(self.axis, f"{x} %" if x == y else f"{across} and {down}")
        if self.relation in GROUPS:
            text = f"{x if (self.axis == 'x') == (self.relation == 'evenly_spaced') else y} %"
        of = f" of the {name_to_text(self.relative_to)}" if self.relative_to else ""
        return f", within {text}{of}" if self.relation != "not_touching" else f", {text}{of} apart"

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Compare boxes. Raises `Absent`, `Unreadable`."""
        if self.relation in GROUPS:
            wrong = self._find_group_fault(context)
            return RuleResult("broken", wrong, (FailureMode(),)) if wrong else RuleResult("holds", "as it should")
        subject_name = self.subjects[0]
        subjects, objects = context.boxes(subject_name), context.locations(self.object or "")
        if not subjects or not objects:
            raise NotApplicable(f"no {name_to_text(self.object or '') if subjects else name_to_text(subject_name)}")
        if (
            context.status_only
            and self.tolerance is None
            and self.object != subject_name
            and self._is_separated(subjects, objects)
        ):
            return HOLDS
        text: str | None = None
        for index, subject in zip(_instance_numbers(context, subject_name), subjects, strict=True):
            others = self._others(context, index)
            if not others:
                continue
            is_met, found = self.compare(subject, others, context)
            if not is_met:
                return RuleResult("broken", found, (FailureMode(),))
            text = text or found
        if text is None:
            raise NotApplicable(f"1 {name_to_text(subject_name)}")
        return RuleResult("holds", text)

    def _is_separated(self, subjects: Sequence[Box], objects: Sequence[Box]) -> bool:
        """Whether every subject's centre is beyond every object's; a short cut for the four directions."""
        if self.relation not in DIRECTIONS:
            return False
        along = self.relation in ("above", "below")
        ones, others = ([b.centre[along] for b in boxes] for boxes in (subjects, objects))
        return max(ones) < min(others) if self.relation in ("above", "left_of") else min(ones) > max(others)

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Moves that break it."""
        yield from propose_violations(self, scene, context, rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """What those edits do, in plain English."""
        subject, other = (
            join_names([name_to_text(component) for component in self.subjects], "or"),
            name_to_text(self.object or ""),
        )
        match self.relation:
            case "above" | "below" | "left_of" | "right_of":
                return f"{subject} and {other} swapped, or {subject} moved to the other side"
            case "in_order":
                return f"two neighbours of {subject} swapped"
            case "aligned" | "evenly_spaced":
                return f"one {subject} shifted by more than the tolerance"
            case "not_touching":
                return f"{subject} pushed against {'another' if self.object == self.subject else other}"
            case "centred_in" | "inside" | "at":
                return f"{subject} moved out of place in the {other}, mostly by little more than is allowed"
            case _:
                return f"{subject} moved away from the {other}"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """The twin: the same move, within the tolerance."""
        yield from propose_controls(self, scene, context, rng)

    def tolerance_px(self, context: EvaluationContext, fallback: Box) -> tuple[float, float]:
        """Tolerance in pixels, across and down; of `fallback` where no other size is named."""
        if self.tolerance is None:
            return 0.0, 0.0
        size = context.nearest_location(self.relative_to, fallback) if self.relative_to else fallback
        return self.tolerances[0] * size.width, self.tolerances[1] * size.height

    def compare(self, subject: Box, objects: Sequence[Box], context: EvaluationContext) -> tuple[bool, str]:
        """Whether one subject stands as it should to the objects, and what was found."""
        status_only = context.status_only
        if len(objects) == 1:
            return self._compare_pair(subject, objects[0], self.tolerance_px(context, objects[0]), status_only)
        pairs = [self._compare_pair(subject, o, self.tolerance_px(context, o), status_only) for o in objects]
        if self.relation in DIRECTIONS or self.relation == "not_touching":
            return all(is_met for is_met, _ in pairs), next((text for fits, text in pairs if not fits), pairs[0][1])
        return pairs[min(range(len(pairs)), key=lambda i: (not pairs[i][0], box_gap(subject, objects[i])))]

    def _others(self, context: EvaluationContext, index: int) -> Sequence[Box]:
        """The objects, without the subject itself: that one is `index` among all of its component."""
        name = self.object or ""
        objects = context.locations(name)
        if name in context.vocabulary.regions or context.vocabulary.component(name) != context.vocabulary.component(
            self.subjects[0]
        ):
            return objects
        return [box for number, box in zip(_instance_numbers(context, name), objects, strict=True) if number != index]

    def _compare_pair(
        self, subject: Box, target: Box, slack: tuple[float, float], status_only: bool
    ) -> tuple[bool, str]:
        (sx, sy), (tx, ty) = subject.centre, target.centre
        match self.relation:
            case "above" | "below":
                offset = sy - ty if self.relation == "above" else ty - sy
                return offset < slack[1] or offset == slack[1] > 0, "above" if sy < ty else "below"
            case "left_of" | "right_of":
                offset = sx - tx if self.relation == "left_of" else tx - sx
                return offset < slack[0] or offset == slack[0] > 0, "left" if sx < tx else "right"
            case "centred_in":
                return self.relative_offset((sx - tx, sy - ty), slack) <= 1, "" if status_only else _offset_text(
                    subject, target
                )
            case "inside":
                out = _overhang(subject, target, slack)
                return out == 0, f"sticks out by {out:.0f} px" if out else "inside"
            case "at":
                expanded = Box(target.x1 - slack[0], target.y1 - slack[1], target.x2 + slack[0], target.y2 + slack[1])
                return contains_centre(expanded, subject), f"at {sx:.0f}, {sy:.0f} px"
            case _:
                return self._compare_contact(box_gap(subject, target), max(slack))

    def _compare_contact(self, between: float, slack: float) -> tuple[bool, str]:
        text = f"{between:.0f} px apart" if between > 0 else "touching"
        if self.relation == "overlaps":
            return between < 0, text
        if self.relation == "touching":
            return between <= slack, text
        return between > slack or between == slack > 0, text

    def relative_offset(self, off: tuple[float, float], slack: tuple[float, float]) -> float:
        """How many tolerances it is off; the larger of the axes that count."""
        x, y = abs(off[0]) / max(slack[0], 1e-6), abs(off[1]) / max(slack[1], 1e-6)
        return max(x, y) if self.axis == "both" else x if self.axis == "x" else y

    def _find_group_fault(self, context: EvaluationContext) -> str:
        """What is wrong with a group; empty where nothing is."""
        along = "xy".index(self.axis)
        groups = [(thing, context.boxes(thing)) for thing in self.subjects]
        if self.relation == "in_order":
            present = [(component, [b.centre[along] for b in boxes]) for component, boxes in groups if boxes]
            if len(present) < 2:
                raise NotApplicable("fewer than two of them")
            wrong = next((pair for pair in pairwise(present) if max(pair[0][1]) >= min(pair[1][1])), None)
            return f"{name_to_text(wrong[0][0])} not before {name_to_text(wrong[1][0])}" if wrong else ""
        boxes = self.group_boxes(context)
        if len(boxes) < (2 if self.relation == "aligned" else 3):
            raise NotApplicable(f"{len(boxes)} of them")
        off, allowed = self.measure_spread(boxes, context)
        return f"off by {off:.0f} px, {allowed:.0f} px allowed" if off > allowed else ""

    def group_boxes(self, context: EvaluationContext) -> list[Box]:
        """The boxes of all subjects; of one that goes by two names, once. Raises `Unreadable`."""
        return list(
            {
                (context.vocabulary.component(component), number): box
                for component in self.subjects
                for number, box in zip(_instance_numbers(context, component), context.boxes(component), strict=True)
            }.values()
        )

    def measure_spread(self, boxes: Sequence[Box], context: EvaluationContext) -> tuple[float, float]:
        """(pixels off, pixels allowed) of things that should be aligned or evenly spaced."""
        along = "xy".index(self.axis)
        if self.relation == "aligned":
            across = sorted(box.centre[1 - along] for box in boxes)
            size = sum((box.width, box.height)[1 - along] for box in boxes) / len(boxes)
            slack, off = self.tolerances[1 - along], across[-1] - across[0]
        else:
            centres = sorted(box.centre[along] for box in boxes)
            gaps = [b - a for a, b in pairwise(centres)]
            size = sum(gaps) / len(gaps)
            slack, off, along = self.tolerances[along], max(abs(g - size) for g in gaps), 1 - along
        if self.relative_to:
            frame = context.nearest_location(self.relative_to, boxes[0])
            size = (frame.width, frame.height)[1 - along]
        return off, slack * size


def _offset_text(subject: Box, target: Box) -> str:
    (sx, sy), (tx, ty) = subject.centre, target.centre
    off = (sx - tx) / max(target.width, 1e-6), (sy - ty) / max(target.height, 1e-6)
    return f"off by {off[0]:+.1%} of its width, {off[1]:+.1%} of its height"


def _instance_numbers(context: EvaluationContext, name: str) -> Sequence[int]:
    """Which of its component's instances the thing's boxes are."""
    indices = context.instance_indices(name)
    return range(len(context.boxes(name))) if indices is None else indices


def _overhang(subject: Box, target: Box, slack: tuple[float, float]) -> float:
    """Pixels by which the subject leaves the target grown by the slack."""
    beyond = target.x1 - slack[0] - subject.x1, subject.x2 - target.x2 - slack[0], target.y1 - slack[1] - subject.y1
    return max(0.0, *beyond, subject.y2 - target.y2 - slack[1])


T = TypeVar("T")
MAX_TOLERANCES = 4.0
"""Tolerances by which a thing is moved off at the most."""
MAX_ATTEMPTS = 30


def propose_violations(rule: Layout, scene: Scene, context: EvaluationContext, rng: Rng) -> Iterator[Edits]:
    """Plans that may break the rule."""
    subject = _choose_subject(rule, scene, context, rng)
    match rule.relation:
        case "above" | "below" | "left_of" | "right_of":
            yield from _exchange_groups(rule, scene, context)
            yield from _swap_pairs(scene, context, [subject], rule.object or "", rng)
            yield from _move_past(rule, scene, context, subject, rng)
            yield from ((move,) for move in sample_moves(scene, subject, _allowed_area(scene, context), rng))
        case "in_order":
            for one, other in _shuffle(list(pairwise(rule.subjects)), rng):
                yield from _swap_pairs(scene, context, find_instances(scene, context, one), other, rng)
            yield from ((move,) for move in sample_moves(scene, subject, _allowed_area(scene, context), rng))
        case "centred_in" | "inside":
            target = context.nearest_location(rule.object or "", subject.box)
            for _ in range(MAX_ATTEMPTS):
                yield from _move_away(rule, scene, context, subject, target, _sample_violating_offset(rng), rng)
        case "aligned" | "evenly_spaced":
            for _ in range(MAX_ATTEMPTS):
                yield from _move_out_of_line(rule, scene, context, rng, _sample_violating_offset(rng))
        case "not_touching":
            yield from _push_against(scene, context, subject, rule.object or "", rng)
        case _:
            near = sample_moves(scene, subject, supporting_box(scene, subject), rng)
            far_moves = sample_moves(scene, subject, _allowed_area(scene, context), rng)
            yield from ((move,) for pair in zip_longest(near, far_moves) for move in pair if move is not None)


def propose_controls(rule: Layout, scene: Scene, context: EvaluationContext, rng: Rng) -> Iterator[Edits]:
    """Plans that go through the same motions and break nothing."""
    subject = _choose_subject(rule, scene, context, rng)
    if min(rule.tolerances) > 0:
        for _ in range(MAX_ATTEMPTS // 3):
            if rule.relation in ("inside", "centred_in"):
                target = context.nearest_location(rule.object or "", subject.box)
                yield from _move_away(rule, scene, context, subject, target, _sample_allowed_offset(rng), rng)
            elif rule.relation in ("aligned", "evenly_spaced"):
                yield from _move_out_of_line(rule, scene, context, rng, _sample_allowed_offset(rng))
    yield (Move(subject.id, 0.0, 0.0),)


def _sample_violating_offset(rng: Rng) -> float:
    """Tolerances off that break a rule."""
    return 1 + sample_distance(TOLERANCE_ZONE, MAX_TOLERANCES - 1, rng)


def _sample_allowed_offset(rng: Rng) -> float:
    """Tolerances off that do not."""
    return 1 - sample_distance(TOLERANCE_ZONE, 1.0, rng)


def _choose_subject(rule: Layout, scene: Scene, context: EvaluationContext, rng: Rng) -> Instance:
    found = [i for component in rule.subjects for i in find_instances(scene, context, component)]
    if not found or (rule.object and not context.locations(rule.object)):
        raise NotApplicable(name_to_text(rule.subjects[0]))
    return choose_instance(rng, found)


def _swap_pairs(
    scene: Scene, context: EvaluationContext, ones: list[Instance], other: str, rng: Rng
) -> Iterator[Edits]:
    """Two things change places."""
    if other in context.vocabulary.regions:
        return
    pairs = [(one.id, two.id) for one in ones for two in find_instances(scene, context, other) if one.id != two.id]
    yield from ((Swap(one, two),) for one, two in _shuffle(pairs, rng)[:4])


def _exchange_groups(rule: Layout, scene: Scene, context: EvaluationContext) -> Iterator[Edits]:
    """All the subjects change places with all the objects: the largest goes first, and takes along what lies on it."""
    other = rule.object or ""
    if other in context.vocabulary.regions:
        return
    ones, others = find_instances(scene, context, rule.subjects[0]), find_instances(scene, context, other)
    if not 2 < len(ones) + len(others) <= MAX_EDITS or not ones or not others:
        return
    (x1, y1), (x2, y2) = _enclosing_box(ones).centre, _enclosing_box(others).centre
    offsets = {i.id: (x2 - x1, y2 - y1) for i in ones} | {i.id: (x1 - x2, y1 - y2) for i in others}
    yield tuple(Move(i.id, *offsets[i.id]) for i in sorted([*ones, *others], key=lambda i: -i.box.area))


def _enclosing_box(found: list[Instance]) -> Box:
    """The smallest box that holds them all."""
    boxes = [i.box for i in found]
    return Box(min(b.x1 for b in boxes), min(b.y1 for b in boxes), max(b.x2 for b in boxes), max(b.y2 for b in boxes))


def _move_past(rule: Layout, scene: Scene, context: EvaluationContext, subject: Instance, rng: Rng) -> Iterator[Edits]:
    """The subject on the wrong side of an object, beyond the tolerance, as far across as it was."""
    area, (x, y) = _allowed_area(scene, context), subject.box.centre
    for target in _shuffle([b for b in context.locations(rule.object or "") if b != subject.box], rng):
        slack = rule.tolerance_px(context, target)
        for _ in range(4):
            if rule.relation in ("above", "below"):
                low, high = target.centre[1] + slack[1], area.y2 - subject.box.height / 2
                if rule.relation == "below":
                    low, high = target.centre[1] - slack[1], area.y1 + subject.box.height / 2
                yield (Move(subject.id, 0.0, low + (high - low) * (0.05 + 0.95 * float(rng.random())) - y),)
            else:
                low, high = target.centre[0] + slack[0], area.x2 - subject.box.width / 2
                if rule.relation == "right_of":
                    low, high = target.centre[0] - slack[0], area.x1 + subject.box.width / 2
                yield (Move(subject.id, low + (high - low) * (0.05 + 0.95 * float(rng.random())) - x, 0.0),)


def _move_away(
    rule: Layout, scene: Scene, context: EvaluationContext, subject: Instance, target: Box, off: float, rng: Rng
) -> Iterator[Edits]:
    if rule.relation == "inside":
        return _move_over_edge(rule, context, subject, target, off, rng)
    return _move_off_centre(rule, scene, context, subject, target, off, rng)


def _move_off_centre(
    rule: Layout, scene: Scene, context: EvaluationContext, subject: Instance, target: Box, off: float, rng: Rng
) -> Iterator[Edits]:
    """A move to `off` tolerances from the target's centre, on the same ground."""
    unit = location_units(rule, context, target)
    angle = float(rng.random()) * 2 * math.pi
    direction = math.cos(angle), math.sin(angle)
    longest = max(abs(d) for d in direction) if rule.axis == "both" else abs(direction["xy".index(rule.axis)])
    scale = off / max(longest, 1e-3)
    x, y = (c + d * scale * u for c, d, u in zip(target.centre, direction, unit, strict=True))
    move = Move(subject.id, x - subject.box.centre[0], y - subject.box.centre[1])
    if subject.box.translate(move.dx, move.dy).ioa(supporting_box(scene, subject)) >= 0.999:
        yield (move,)


def _move_over_edge(
    rule: Layout, context: EvaluationContext, subject: Instance, target: Box, off: float, rng: Rng
) -> Iterator[Edits]:
    """A move to where the subject sticks out of the target by `off` tolerances on one side."""
    unit, box = location_units(rule, context, target), subject.box
    free_space = max(target.width - box.width, 0.0) / 2, max(target.height - box.height, 0.0) / 2
    offset = [(2 * float(rng.random()) - 1) * r for r in free_space]
    axis, sign = int(rng.integers(2)), 1 if rng.random() < 0.5 else -1
    offset[axis] = sign * (free_space[axis] + off * unit[axis])
    x, y = (c + o for c, o in zip(target.centre, offset, strict=True))
    yield (Move(subject.id, x - box.centre[0], y - box.centre[1]),)


def _move_out_of_line(rule: Layout, scene: Scene, context: EvaluationContext, rng: Rng, off: float) -> Iterator[Edits]:
    """One of a group shifted across the row, or along it, so that the group is `off` tolerances off."""
    group = list({i.id: i for component in rule.subjects for i in find_instances(scene, context, component)}.values())
    if len(group) < (2 if rule.relation == "aligned" else 3):
        return
    across = (rule.axis == "x") == (rule.relation == "aligned")
    sign = 1 if rng.random() < 0.5 else -1
    direction = (0, sign) if across else (sign, 0)
    index = int(rng.integers(len(group)))
    shift = _find_shift(rule, context, [i.box for i in group], index, direction, off)
    yield (Move(group[index].id, direction[0] * shift, direction[1] * shift),)


def _find_shift(
    rule: Layout, context: EvaluationContext, boxes: list[Box], index: int, direction: tuple[int, int], off: float
) -> float:
    """Pixels to move one box by, so that its group is `off` tolerances off; found by halving."""

    def measure_offset(shift: float) -> float:
        shifted = boxes[index].translate(direction[0] * shift, direction[1] * shift)
        found, allowed = rule.measure_spread([*boxes[:index], shifted, *boxes[index + 1 :]], context)
        return found / group_unit(allowed, context)

    low, high = 0.0, 1.0
    while measure_offset(high) < off and high < context.width + context.height:
        low, high = high, 2 * high
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if measure_offset(middle) < off else (low, middle)
    return high


def _push_against(scene: Scene, context: EvaluationContext, subject: Instance, other: str, rng: Rng) -> Iterator[Edits]:
    """The subject pushed against another one, so that they overlap a little."""
    for target in _shuffle([b for b in context.locations(other) if b != subject.box], rng):
        for _ in range(8):
            angle, deep = float(rng.random()) * 2 * math.pi, 0.5 + 0.45 * float(rng.random())
            reach = (subject.box.width + target.width) / 2, (subject.box.height + target.height) / 2
            x, y = math.cos(angle), math.sin(angle)
            stretch = deep / max(abs(x), abs(y))
            centre = target.centre[0] + x * stretch * reach[0], target.centre[1] + y * stretch * reach[1]
            yield (Move(subject.id, centre[0] - subject.box.centre[0], centre[1] - subject.box.centre[1]),)


def _shuffle(items: list[T], rng: Rng) -> list[T]:
    return [items[int(i)] for i in rng.permutation(len(items))]


def _allowed_area(scene: Scene, context: EvaluationContext) -> Box:
    """The place that the rule is checked in, as far as it is on the photo; the photo where it is checked as a whole."""
    return context.frame.clip(scene.width, scene.height) if context.frame else context.photo_box
