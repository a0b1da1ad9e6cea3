"""Layout family: the position of components relative to a location or to one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise, zip_longest
from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from logicls.constraints.families.context import (
    HOLDS,
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    box_gap,
    join_names,
    name_to_text,
)
from logicls.constraints.families.dead_zone import (
    TOLERANCE_ZONE,
    group_unit,
    location_units,
    photo_units,
    sample_allowed_offset,
    sample_violating_offset,
    smallest_margin,
)
from logicls.constraints.families.edits import Edits, Move, Rng
from logicls.constraints.families.placement import (
    allowed_area,
    choose_instance,
    exchange_groups,
    find_instances,
    move_off_centre,
    move_over_edge,
    push_against,
    sample_moves,
    shuffle,
    supporting_box,
    swap_pairs,
)
from logicls.constraints.families.protocol import (
    Axis,
    Invariances,
    LimitReading,
    Ordering,
    RuleModel,
    ToleranceTerms,
)
from logicls.constraints.families.queries import Reference
from logicls.constraints.families.relations import (
    DIRECTION_AXES,
    DIRECTIONS,
    EDGE_RELATIONS,
    GROUPS,
    RELATION_SCHEMA,
    TOLERANT,
    UNIVERSAL,
    PairAxis,
    Relation,
    Tolerance,
    compare_boxes,
    group_offset,
    pair_margin,
    required_tolerance,
)
from logicls.records import Box, Instance, Scene

Fraction = Annotated[float, Field(ge=0, le=100)]
MAX_ATTEMPTS = 30


class Layout(RuleModel):
    """Components have a spatial relation to a location or to one another."""

    key: ClassVar[str] = "layout"
    summary: ClassVar[str] = "Where components are."
    model_config = ConfigDict(json_schema_extra={"allOf": RELATION_SCHEMA})

    subject: str | Annotated[list[str], Field(min_length=1)]
    """Component or variant whose position is checked; a list for aligned, evenly_spaced and in_order."""
    relation: Relation
    """The spatial relation."""
    object: str | None = None
    """Component, variant or region; not for aligned, evenly_spaced and in_order."""
    tolerance: Fraction | tuple[Fraction, Fraction] | None = None
    """Fraction of the size of `relative_to`: one number, or [across, down]."""
    relative_to: str | None = None
    """Component or region whose width and height the tolerance refers to; the object by default."""
    axis: PairAxis = "both"
    """Axis that is compared (centred_in), or along which the components follow one another (x: left to right)."""

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if self.relation in GROUPS:
            if self.object is not None:
                raise ValueError(f"{self.relation} has no object: name all components in subject")
            if self.axis == "both":
                raise ValueError(f"{self.relation} needs axis: x (left to right) or y (top to bottom)")
        elif self.object is None:
            raise ValueError(f"{self.relation} needs an object")
        elif not isinstance(self.subject, str):
            raise ValueError(f"{self.relation} takes a single subject")
        if self.relation == "in_order" and len(self.subjects) < 2:
            raise ValueError("in_order needs a list of at least two components in subject")
        if self.relation in TOLERANT and self.tolerance is None:
            raise ValueError(f"{self.relation} needs a tolerance")
        if self.relation in ("in_order", "overlaps") and self.tolerance is not None:
            raise ValueError(f"{self.relation} takes no tolerance")
        return self

    @cached_property
    def subjects(self) -> tuple[str, ...]:
        """The subjects as a tuple."""
        return (self.subject,) if isinstance(self.subject, str) else tuple(self.subject)

    @cached_property
    def tolerances(self) -> tuple[float, float]:
        """The tolerance across and down, fractions."""
        if isinstance(self.tolerance, tuple):
            return self.tolerance
        return (self.tolerance or 0.0,) * 2

    def references(self) -> Iterator[Reference]:
        """Yield the subjects, the object and the reference of the tolerance."""
        for position, component in enumerate(self.subjects):
            path = ("subject",) if isinstance(self.subject, str) else ("subject", position)
            yield Reference(path, component, "component")
        if self.object is not None:
            yield Reference(("object",), self.object, "location")
        if self.relative_to is not None:
            yield Reference(("relative_to",), self.relative_to, "location")

    def failure_kinds(self) -> tuple[str, ...]:
        """Return the single kind of failure."""
        return ("",)

    def to_text(self) -> str:
        """Return the rule in plain English."""
        return self._relation_text + self._tolerance_text()

    @cached_property
    def _relation_text(self) -> str:
        subjects = join_names([name_to_text(component) for component in self.subjects])
        direction = "left to right" if self.axis == "x" else "top to bottom"
        if self.relation == "in_order":
            return f"{subjects} in this order from {direction}"
        if self.relation == "aligned":
            return f"{subjects} aligned in a {'row' if self.axis == 'x' else 'column'}"
        if self.relation == "evenly_spaced":
            return f"{subjects} evenly spaced from {direction}"
        relation = {"at": "in", "overlaps": "overlapping"}.get(self.relation, name_to_text(self.relation))
        other = "another" if self.object == self.subject else f"the {name_to_text(self.object or '')}"
        return f"{subjects} {relation} {other}"

    def _tolerance_text(self) -> str:
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
        """Compare the boxes of the subjects and objects, or of a group."""
        if self.relation in GROUPS:
            fault = self._find_group_fault(context)
            return RuleResult("broken", fault, (FailureMode(),)) if fault else RuleResult("holds", "as specified")
        name = self.subjects[0]
        subjects, objects = context.boxes(name), context.locations(self.object or "")
        if not subjects or not objects:
            raise NotApplicable(f"no {name_to_text(self.object or '') if subjects else name_to_text(name)}")
        is_plain = context.status_only and self.tolerance is None and self.object != name
        if is_plain and self._is_separated(subjects, objects):
            return HOLDS
        text: str | None = None
        for index, subject in zip(context.instance_numbers(name), subjects, strict=True):
            others = self._others(context, index)
            if not others:
                continue
            is_met, found = self._compare_subject(subject, others, context)
            if not is_met:
                return RuleResult("broken", found, (FailureMode(),))
            text = text or found
        if text is None:
            raise NotApplicable(f"1 {name_to_text(name)}")
        return RuleResult("holds", text)

    def _is_separated(self, subjects: Sequence[Box], objects: Sequence[Box]) -> bool:
        """Check if every subject's centre is beyond every object's; a fast path for the four directions."""
        if self.relation not in DIRECTIONS:
            return False
        along = self.relation in ("above", "below")
        ones, others = ([b.centre[along] for b in boxes] for boxes in (subjects, objects))
        return max(ones) < min(others) if self.relation in ("above", "left_of") else min(ones) > max(others)

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield swaps and moves that may break the relation."""
        subject = _choose_subject(self, scene, context, rng)
        match self.relation:
            case "above" | "below" | "left_of" | "right_of":
                yield from exchange_groups(scene, context, self.subjects[0], self.object or "")
                yield from swap_pairs(scene, context, [subject], self.object or "", rng)
                yield from _move_past(self, scene, context, subject, rng)
                yield from ((move,) for move in sample_moves(scene, subject, allowed_area(scene, context), rng))
            case "in_order":
                for one, other in shuffle(list(pairwise(self.subjects)), rng):
                    yield from swap_pairs(scene, context, find_instances(scene, context, one), other, rng)
                yield from ((move,) for move in sample_moves(scene, subject, allowed_area(scene, context), rng))
            case "centred_in" | "inside":
                target = context.nearest_location(self.object or "", subject.box)
                for _ in range(MAX_ATTEMPTS):
                    yield from _move_away(self, scene, context, subject, target, sample_violating_offset(rng), rng)
            case "aligned" | "evenly_spaced":
                for _ in range(MAX_ATTEMPTS):
                    yield from _move_out_of_line(self, scene, context, rng, sample_violating_offset(rng))
            case "not_touching":
                yield from push_against(context, subject, self.object or "", rng)
            case _:
                near = sample_moves(scene, subject, supporting_box(scene, subject), rng)
                far = sample_moves(scene, subject, allowed_area(scene, context), rng)
                yield from ((move,) for pair in zip_longest(near, far) for move in pair if move is not None)

    def describe_edit(self, mode: FailureMode) -> str:
        """Describe the edits in plain English."""
        subject = join_names([name_to_text(component) for component in self.subjects], "or")
        other = name_to_text(self.object or "")
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
        """Yield moves within the tolerance, then a subject removed and put back."""
        subject = _choose_subject(self, scene, context, rng)
        if min(self.tolerances) > 0:
            for _ in range(MAX_ATTEMPTS // 3):
                if self.relation in ("inside", "centred_in"):
                    target = context.nearest_location(self.object or "", subject.box)
                    yield from _move_away(self, scene, context, subject, target, sample_allowed_offset(rng), rng)
                elif self.relation in ("aligned", "evenly_spaced"):
                    yield from _move_out_of_line(self, scene, context, rng, sample_allowed_offset(rng))
        yield (Move(subject.id, 0.0, 0.0),)

    def margin(self, context: EvaluationContext) -> float | None:
        """Return the smallest margin of a subject, or of the group."""
        if self.relation in GROUPS:
            return self._group_margin(context)
        name = self.subjects[0]
        subjects, objects = context.boxes(name), context.locations(self.object or "")
        combine = min if self.relation in UNIVERSAL else max
        margins = []
        for index, subject in enumerate(subjects):
            others = [o for i, o in enumerate(objects) if i != index] if self.object == name else objects
            pairs = [
                pair_margin(self.relation, self.axis, subject, o, self.tolerance_px(context, o), context)
                for o in others
            ]
            margins += [combine(pairs)] if pairs else []
        return smallest_margin(margins)

    @property
    def needs_boxes(self) -> bool:
        """Always true."""
        return True

    def invariances(self) -> Invariances:
        """Return the relation as the reason if it depends on box edges or on a direction."""
        reason = f"says {name_to_text(self.relation)}"
        axis = self.axis if self.relation == "in_order" else DIRECTION_AXES.get(self.relation)
        return Invariances(
            rotation=reason if self.relation in EDGE_RELATIONS else "",
            flip_x=reason if axis == "x" else "",
            flip_y=reason if axis == "y" else "",
        )

    def tolerance_terms(self) -> ToleranceTerms | None:
        """Return the tolerance, if it is not zero or the relation needs one."""
        fraction = max(self.tolerances)
        if not fraction and self.relation not in TOLERANT:
            return None
        return ToleranceTerms(fraction, str(self.tolerance))

    def limit_readings(self, context: EvaluationContext) -> tuple[LimitReading, ...]:
        """Return the tolerance that the photo needs: one for each number that the rule has and uses."""
        if not max(self.tolerances):
            return ()
        needed = self._needed_tolerance(context)
        side: Literal["lower", "upper"] = "lower" if self.relation == "not_touching" else "upper"
        used = [(n, value) for n, value in enumerate(needed) if value is not None]
        if not isinstance(self.tolerance, tuple):
            return (LimitReading(("tolerance",), side, self.tolerances[0], max(value for _, value in used)),)
        return tuple(LimitReading(("tolerance", n), side, self.tolerances[n], value) for n, value in used)

    def _needed_tolerance(self, context: EvaluationContext) -> tuple[float | None, float | None]:
        """Return the tolerance that the photo needs across and down; None for an axis that does not count."""
        if self.relation in GROUPS:
            offset, allowed = self.measure_spread(self._require_group(context), context)
            is_down = (self.axis == "y") == (self.relation == "evenly_spaced")
            value = offset / max(allowed, 1e-6) * self.tolerances[is_down]
            return (None, value) if is_down else (value, None)
        numbers, subjects = context.instance_numbers(self.subjects[0]), context.boxes(self.subjects[0])
        pairs = [
            [(subject, o, self._reference_box(context, o)) for o in self._others(context, number)]
            for number, subject in zip(numbers, subjects, strict=True)
        ]
        if not any(pairs):
            raise NotApplicable(self.relation)
        return required_tolerance(self.relation, self.axis, [group for group in pairs if group])

    def _reference_box(self, context: EvaluationContext, fallback: Box) -> Box:
        return context.nearest_location(self.relative_to, fallback) if self.relative_to else fallback

    def _require_group(self, context: EvaluationContext) -> list[Box]:
        boxes = self._group_boxes(context)
        if len(boxes) < self._min_group_size:
            raise NotApplicable(f"{len(boxes)} of them")
        return boxes

    def measure_tolerance(self, context: EvaluationContext) -> float | None:
        """Return the smaller tolerance on a photo, pixels; None for relations that work without one."""
        if self.relation not in TOLERANT:
            return None
        boxes = [box for component in self.subjects for box in context.boxes(component)]
        if self.relation == "centred_in":
            if not boxes or not context.locations(self.object or ""):
                raise NotApplicable(self.relation)
            sizes = self.tolerance_px(context, context.nearest_location(self.object or "", boxes[0]))
            return min((size for size in sizes if size > 0), default=None)
        if len(boxes) < self._min_group_size:
            raise NotApplicable(self.relation)
        return self.measure_spread(boxes, context)[1]

    def orderings(self) -> tuple[Ordering, ...]:
        """Return the order of the subjects, or of the subject and the object; none with a tolerance."""
        if max(self.tolerances) > 0:
            return ()
        if self.relation == "in_order" and self.axis != "both":
            return tuple(Ordering(self.axis, one, other) for one, other in pairwise(self.subjects))
        if self.relation not in DIRECTIONS:
            return ()
        axis: Axis = "x" if DIRECTION_AXES[self.relation] == "x" else "y"
        pair = self.subjects[0], self.object or ""
        return (Ordering(axis, *(pair if self.relation in ("left_of", "above") else pair[::-1])),)

    def tolerance_px(self, context: EvaluationContext, fallback: Box) -> Tolerance:
        """Return the tolerance across and down, pixels; `fallback` is the reference if the rule names none."""
        if self.tolerance is None:
            return 0.0, 0.0
        size = self._reference_box(context, fallback)
        return self.tolerances[0] * size.width, self.tolerances[1] * size.height

    def _compare_subject(self, subject: Box, objects: Sequence[Box], context: EvaluationContext) -> tuple[bool, str]:
        """Return if one subject has the relation to the objects, and the observation."""
        pairs = [
            compare_boxes(
                self.relation, self.axis, subject, o, self.tolerance_px(context, o), status_only=context.status_only
            )
            for o in objects
        ]
        if len(pairs) == 1:
            return pairs[0]
        if self.relation in UNIVERSAL:
            return all(is_met for is_met, _ in pairs), next((text for is_met, text in pairs if not is_met), pairs[0][1])
        return pairs[min(range(len(pairs)), key=lambda i: (not pairs[i][0], box_gap(subject, objects[i])))]

    def _others(self, context: EvaluationContext, index: int) -> Sequence[Box]:
        """Return the objects without the subject itself, which is instance `index` of its component."""
        name, vocabulary = self.object or "", context.vocabulary
        objects = context.locations(name)
        if name in vocabulary.regions or vocabulary.component(name) != vocabulary.component(self.subjects[0]):
            return objects
        return [box for number, box in zip(context.instance_numbers(name), objects, strict=True) if number != index]

    def _find_group_fault(self, context: EvaluationContext) -> str:
        """Describe the fault of a group; empty if there is none."""
        if self.relation == "in_order":
            along = "xy".index(self.axis)
            groups = [(name, context.boxes(name)) for name in self.subjects]
            present = [(name, [b.centre[along] for b in boxes]) for name, boxes in groups if boxes]
            if len(present) < 2:
                raise NotApplicable("fewer than two of them")
            wrong = next((pair for pair in pairwise(present) if max(pair[0][1]) >= min(pair[1][1])), None)
            return f"{name_to_text(wrong[0][0])} not before {name_to_text(wrong[1][0])}" if wrong else ""
        offset, allowed = self.measure_spread(self._require_group(context), context)
        return f"off by {offset:.0f} px, {allowed:.0f} px allowed" if offset > allowed else ""

    def _group_margin(self, context: EvaluationContext) -> float:
        groups = [boxes for name in self.subjects if (boxes := context.boxes(name))]
        if self.relation == "in_order":
            along = "xy".index(self.axis)
            centres = [[box.centre[along] for box in boxes] for boxes in groups]
            unit = photo_units((0.0, 0.0), context)[along] * TOLERANCE_ZONE
            return smallest_margin([(min(after) - max(before)) / unit for before, after in pairwise(centres)])
        members = [box for group in groups for box in group]
        if len(members) < self._min_group_size:
            raise NotApplicable(self.relation)
        offset, allowed = self.measure_spread(members, context)
        return (allowed - offset) / group_unit(allowed, context) / TOLERANCE_ZONE

    @property
    def _min_group_size(self) -> int:
        return 2 if self.relation == "aligned" else 3

    def _group_boxes(self, context: EvaluationContext) -> list[Box]:
        """Return the boxes of all subjects; one that matches two names is listed once."""
        return list(
            {
                (context.vocabulary.component(name), number): box
                for name in self.subjects
                for number, box in zip(context.instance_numbers(name), context.boxes(name), strict=True)
            }.values()
        )

    def measure_spread(self, boxes: Sequence[Box], context: EvaluationContext) -> tuple[float, float]:
        """Return (pixels off, pixels allowed) of components that should be aligned or evenly spaced."""
        frame = context.nearest_location(self.relative_to, boxes[0]) if self.relative_to else None
        return group_offset(self.relation, "xy".index(self.axis), boxes, frame, self.tolerances)


def _choose_subject(rule: Layout, scene: Scene, context: EvaluationContext, rng: Rng) -> Instance:
    found = [i for component in rule.subjects for i in find_instances(scene, context, component)]
    if not found or (rule.object and not context.locations(rule.object)):
        raise NotApplicable(name_to_text(rule.subjects[0]))
    return choose_instance(rng, found)


def _move_past(rule: Layout, scene: Scene, context: EvaluationContext, subject: Instance, rng: Rng) -> Iterator[Edits]:
    """Move the subject past an object along the rule's direction, beyond the tolerance."""
    area = allowed_area(scene, context)
    along = 1 if rule.relation in ("above", "below") else 0
    half = (subject.box.width, subject.box.height)[along] / 2
    is_reversed = rule.relation in ("below", "right_of")
    for target in shuffle([b for b in context.locations(rule.object or "") if b != subject.box], rng):
        tolerance = rule.tolerance_px(context, target)[along]
        low, high = target.centre[along] + tolerance, (area.x2, area.y2)[along] - half
        if is_reversed:
            low, high = target.centre[along] - tolerance, (area.x1, area.y1)[along] + half
        for _ in range(4):
            shift = low + (high - low) * (0.05 + 0.95 * float(rng.random())) - subject.box.centre[along]
            yield (Move(subject.id, 0.0, shift) if along else Move(subject.id, shift, 0.0),)


def _move_away(
    rule: Layout, scene: Scene, context: EvaluationContext, subject: Instance, target: Box, offset: float, rng: Rng
) -> Iterator[Edits]:
    """Move the subject to `offset` tolerances from where it should be."""
    units = location_units(rule.tolerance_px(context, target), target)
    if rule.relation == "inside":
        return move_over_edge(subject, target, units, offset, rng)
    return move_off_centre(scene, subject, target, units, rule.axis, offset, rng)


def _move_out_of_line(
    rule: Layout, scene: Scene, context: EvaluationContext, rng: Rng, offset: float
) -> Iterator[Edits]:
    """Shift one instance of a group across the row, or along it, until the group is `offset` tolerances off."""
    group = list({i.id: i for name in rule.subjects for i in find_instances(scene, context, name)}.values())
    if len(group) < (2 if rule.relation == "aligned" else 3):
        return
    across = (rule.axis == "x") == (rule.relation == "aligned")
    sign = 1 if rng.random() < 0.5 else -1
    direction = (0, sign) if across else (sign, 0)
    index = int(rng.integers(len(group)))
    shift = _find_shift(rule, context, [i.box for i in group], index, direction, offset)
    yield (Move(group[index].id, direction[0] * shift, direction[1] * shift),)


def _find_shift(
    rule: Layout, context: EvaluationContext, boxes: list[Box], index: int, direction: tuple[int, int], offset: float
) -> float:
    """Find the pixels to move one box by, so that its group is `offset` tolerances off, by bisection."""

    def measure_offset(shift: float) -> float:
        shifted = boxes[index].translate(direction[0] * shift, direction[1] * shift)
        spread, allowed = rule.measure_spread([*boxes[:index], shifted, *boxes[index + 1 :]], context)
        return spread / group_unit(allowed, context)

    low, high = 0.0, 1.0
    while measure_offset(high) < offset and high < context.width + context.height:
        low, high = high, 2 * high
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if measure_offset(middle) < offset else (low, middle)
    return high
