"""How much: the measure family.

Edits that take a measure over its limit, and edits that leave it within.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from logicls.constraints.families.context import (
    HOLDS,
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    centre_distance,
    name_to_text,
)
from logicls.constraints.families.dead_zone import inner_zone, measure_zone, sample_distance
from logicls.constraints.families.edits import Move, Resize, Rng, Rotate
from logicls.constraints.families.placement import choose_instance, find_instances
from logicls.constraints.families.protocol import Edits, Reference
from logicls.records import Box, Instance, Scene

KINDS = ("height", "width", "length", "area", "fill", "distance", "angle")
Pair = tuple[str, str]


class Measure(BaseModel):
    """The size of a thing, or how two things lie to one another, in numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    height: str | None = None
    """Thing whose height is measured."""
    width: str | None = None
    """Thing whose width is measured."""
    length: str | None = None
    """Thing whose diagonal is measured: the length of a thin straight thing at any angle."""
    area: str | None = None
    """Thing whose area is measured."""
    fill: str | None = None
    """Thing whose boxes cover a share of `relative_to`, or of what it fills."""
    distance: Pair | None = None
    """Two things or regions: from the centre of the one to the nearest centre of the other."""
    angle: Pair | None = None
    """Two things or regions: direction from the one to the nearest other, degrees, 0 to the right, 90 up."""
    relative_to: str | None = None
    """Thing or region whose size is 1; the photo where it is left out."""
    unit: Literal["px", "mm"] | None = None
    """For an absolute size: pixels of the photo, or millimetres by `product: px_per_mm`."""
    between: tuple[float, float] | None = None
    """Least and most that are allowed."""
    at_least: float | None = None
    """Least that is allowed."""
    at_most: float | None = None
    """Most that is allowed."""

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError(f"write exactly one of: {', '.join(KINDS)}")
        if sum(limit is not None for limit in (self.between, self.at_least, self.at_most)) != 1:
            raise ValueError("write exactly one of: between, at_least, at_most")
        if self.between and self.between[0] >= self.between[1]:
            raise ValueError(f"between: {self.between[0]} is not less than {self.between[1]}")
        if self.unit and self.relative_to:
            raise ValueError("unit: gives an absolute size, relative_to: a relative one; write one of them")
        if self.kind in ("angle", "fill", "area") and self.unit:
            raise ValueError(f"{self.kind} has no unit")
        if self.kind == "angle" and (self.relative_to or not self.between):
            raise ValueError("angle takes between: [from, to] in degrees, and is relative to nothing")
        if self.kind == "angle" and self.between and self.between[1] - self.between[0] >= 360:
            raise ValueError("between: holds every angle")
        return self

    @cached_property
    def kind(self) -> str:
        """What is measured."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @cached_property
    def of(self) -> str:
        """The thing that is measured; the first of two."""
        names = getattr(self, self.kind)
        return names if isinstance(names, str) else names[0]

    @cached_property
    def other(self) -> str:
        """The second of two; empty where there is one."""
        names = getattr(self, self.kind)
        return "" if isinstance(names, str) else names[1]

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Least and most that are allowed: fractions of the reference, pixels, millimetres or degrees."""
        if self.between:
            return self.between
        return self.at_least or 0.0, math.inf if self.at_most is None else self.at_most

    def references(self) -> Iterator[Reference]:
        """Everything that it speaks about."""
        if self.other:
            yield Reference((self.kind, 0), self.of, "place")
            yield Reference((self.kind, 1), self.other, "place")
        else:
            yield Reference(
                (self.kind,), self.of, "filling" if self.kind == "fill" and not self.relative_to else "thing"
            )
        if self.relative_to:
            yield Reference(("relative_to",), self.relative_to, "place")

    def failure_modes(self) -> tuple[str, ...]:
        """The kinds of side on which it can be broken."""
        low, high = self.limits
        return (*(("below",) if low > 0 or self.kind == "angle" else ()), *(("above",) if high < math.inf else ()))

    def to_text(self) -> str:
        """The rule in plain English."""
        low, high = self.limits
        limit = f"{self._value_text(low)} to {self._value_text(high)}"
        if high == math.inf:
            limit = f"at least {self._value_text(low)}"
        elif low == 0:
            limit = f"at most {self._value_text(high)}"
        subject = (
            f"from {name_to_text(self.of)} to {name_to_text(self.other)}"
            if self.other
            else f"of the {name_to_text(self.of)}"
        )
        reference = f" of the {name_to_text(self.relative_to or 'photo')}"
        if self.unit or self.kind == "angle":
            reference = ""
        elif self.kind == "fill" and not self.relative_to:
            reference = " of what it fills"
        return f"{self.kind} {subject} {limit}{reference}"

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Measure every instance, and compare. Raises `Absent`, `Unreadable`."""
        low, high = self.limits
        values = self.measure_values(context)
        if self.kind == "angle":
            values = [self.normalize_angle(value) for value in values]
        wrong = next((value for value in values if not low <= value <= high), None)
        if wrong is None:
            return HOLDS if context.status_only else RuleResult("holds", self._value_text(values[0]))
        return RuleResult("broken", self._value_text(wrong), (FailureMode(self._mode_kind(wrong)),))

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Shrink or grow, or move, beyond the limit; how far is drawn with more weight near it."""
        yield from propose_violations(self, scene, context, mode, rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """What those edits do, in plain English."""
        if self.other:
            verb = "towards" if mode.kind == "below" else "away from"
            return f"{name_to_text(self.of)} {'turned about' if self.kind == 'angle' else f'moved {verb}'} {name_to_text(self.other)}"
        verb = "shrunk" if mode.kind == "below" else "grown"
        return f"{name_to_text(self.of)} {verb}, mostly by little more than is allowed"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """The twin: another size within the limits."""
        yield from propose_controls(self, scene, context, rng)

    def measure_values(self, context: EvaluationContext) -> list[float]:
        """Measures of all instances, in reading order. Raises `Absent`."""
        if self.other:
            ones, others = context.locations(self.of), context.locations(self.other)
            rests = [(one, [box for box in others if box is not one]) for one in ones]
            values = [self._measure_pair(one, rest, context) for one, rest in rests if rest]
            if not values:
                raise NotApplicable(f"no {name_to_text(self.other if ones else self.of)}")
            return values
        boxes = context.boxes(self.of)
        if not boxes:
            raise NotApplicable(f"no {name_to_text(self.of)}")
        if self.kind == "fill":
            return self._measure_fill(boxes, context)
        if self.relative_to is None:
            unit = self.unit_px(context, boxes[0])
            return [self.measure_box(box) / unit for box in boxes]
        return [self.measure_box(box) / self.unit_px(context, box) for box in boxes]

    def _measure_pair(self, one: Box, others: Sequence[Box], context: EvaluationContext) -> float:
        other = min(others, key=lambda box: centre_distance(one, box))
        if self.kind == "distance":
            return centre_distance(one, other) / self.unit_px(context, one)
        (x1, y1), (x2, y2) = one.centre, other.centre
        return math.degrees(math.atan2(y1 - y2, x2 - x1))

    def _measure_fill(self, boxes: Sequence[Box], context: EvaluationContext) -> list[float]:
        """Share that is covered, of each place that holds something."""
        locations = context.locations(self._reference_name(context))
        if not locations:
            raise NotApplicable(f"no {name_to_text(self._reference_name(context))}")
        return [sum(box.intersection(location) for box in boxes) / max(location.area, 1e-6) for location in locations]

    def _reference_name(self, context: EvaluationContext) -> str:
        return self.relative_to or context.vocabulary.fills.get(context.vocabulary.component(self.of), "")

    def unit_px(self, context: EvaluationContext, box: Box) -> float:
        """Pixels, or square pixels, of 1."""
        if self.unit:
            return 1.0 if self.unit == "px" else max(context.vocabulary.px_per_mm, 1e-6)
        name = self._reference_name(context) if self.kind == "fill" else self.relative_to
        return max(self.measure_box(context.nearest_location(name, box) if name else context.photo_box), 1e-6)

    def measure_box(self, box: Box) -> float:
        """Pixels, or square pixels, of what is measured."""
        match self.kind:
            case "height":
                return box.height
            case "width":
                return box.width
            case "area" | "fill":
                return box.area
            case _:
                return math.hypot(box.width, box.height)

    def normalize_angle(self, value: float) -> float:
        """An angle in the turn that begins half of the free part below the lower limit."""
        low, high = self.limits
        start = (low + high) / 2 - 180
        return (value - start) % 360 + start

    def _mode_kind(self, value: float) -> str:
        return "below" if value < self.limits[0] else "above"

    def _value_text(self, value: float) -> str:
        if self.kind == "angle":
            return f"{value:.1f}°"
        return f"{value:.1f} {self.unit}" if self.unit else f"{value:.1%}"


ROTATION_SHARE = 0.25
"""Share of edits of a height or a width that try to turn the thing first."""
MAX_ATTEMPTS = 20


def propose_violations(
    rule: Measure, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng
) -> Iterator[Edits]:
    """Plans that may break the rule on that side."""
    for _ in range(MAX_ATTEMPTS):
        target, location = _choose_subject(rule, scene, context, rng)
        yield from _change_value(
            rule, context, target, location, _sample_violating_value(rule, context, mode, rng), rng
        )


def propose_controls(rule: Measure, scene: Scene, context: EvaluationContext, rng: Rng) -> Iterator[Edits]:
    """Plans that bring another value within the limits."""
    target, location = _choose_subject(rule, scene, context, rng)
    for _ in range(MAX_ATTEMPTS // 2):
        yield from _change_value(rule, context, target, location, _sample_allowed_value(rule, context, rng), rng)
    yield (Move(target.id, 0.0, 0.0),)


def _choose_subject(rule: Measure, scene: Scene, context: EvaluationContext, rng: Rng) -> tuple[Instance, str]:
    """A random instance that can be changed, and the name of what it is measured from."""
    for name, other in ((rule.of, rule.other), (rule.other, rule.of)):
        if name and name not in context.vocabulary.regions:
            found = find_instances(scene, context, name)
            if found:
                return choose_instance(rng, found), other
    raise NotApplicable(f"no {name_to_text(rule.of)}")


def _sample_violating_value(rule: Measure, context: EvaluationContext, mode: FailureMode, rng: Rng) -> float:
    """A value beyond the limit of that side."""
    (low, high), zone = rule.limits, measure_zone(rule, context)
    if rule.kind == "angle":
        max_distance = max(360.0 - (high - low), 0.0) / 2
    elif mode.kind == "below":
        max_distance = zone + (low - zone) * 0.6
    elif rule.kind in ("height", "width") and not rule.unit:
        max_distance = zone + max(0.99 - high - zone, 0.3 * high if high >= 0.9 else 0.02)
    else:
        max_distance = zone + max(0.6 * high, 4 * zone)
    reach = sample_distance(zone, max_distance, rng)
    return low - reach if mode.kind == "below" else high + reach


def _sample_allowed_value(rule: Measure, context: EvaluationContext, rng: Rng) -> float:
    """A value within the limits, mostly near one of them."""
    (low, high), zone = rule.limits, inner_zone(rule, measure_zone(rule, context))
    from_low = "below" in rule.failure_modes() and (high == math.inf or rng.random() < 0.5)
    max_distance = (high - low) / 2
    if not from_low and "below" not in rule.failure_modes():
        max_distance = 0.6 * high
    elif high == math.inf:
        max_distance = max(0.3 * low, 4 * zone)
    reach = sample_distance(zone, max_distance, rng)
    return low + reach if from_low else high - reach


def _change_value(
    rule: Measure, context: EvaluationContext, target: Instance, location: str, value: float, rng: Rng
) -> Iterator[Edits]:
    """The edit after which the target measures so much."""
    if location:
        yield (_move(rule, context, target, location, value, rng),)
        return
    if (
        rule.kind in ("height", "width")
        and target.component not in context.vocabulary.fills
        and rng.random() < ROTATION_SHARE
    ):
        yield (Rotate(target.id, float(rng.uniform(15, 90)) * (1 if rng.random() < 0.5 else -1)),)
    new = _resize(rule, context, target, value)
    if new is not None and min(new.width, new.height) >= 2:
        yield (Resize(target.id, new),)


def _move(rule: Measure, context: EvaluationContext, target: Instance, location: str, value: float, rng: Rng) -> Move:
    """The target on the same line at another distance, or at the same distance in another direction.

    Where that may leave the photo, half of the time in any direction, or nearer.
    """
    box, start = target.box, context.nearest_location(location, target.box).centre
    x, y = box.centre[0] - start[0], box.centre[1] - start[1]
    if rule.kind == "angle":
        # Seen from the second of the two, the first lies the other way.
        reach = math.hypot(x, y) * (-1 if location == rule.other else 1)
        reach *= 1.0 if rng.random() < 0.5 else 0.3 + 0.7 * float(rng.random())
        dx, dy = math.cos(math.radians(value)) * reach, -math.sin(math.radians(value)) * reach
    else:
        same = math.hypot(x, y) > 1 and rng.random() < 0.5
        angle = math.atan2(y, x) if same else float(rng.random()) * 2 * math.pi
        reach = value * rule.unit_px(context, box)
        dx, dy = math.cos(angle) * reach, math.sin(angle) * reach
    return Move(target.id, start[0] + dx - box.centre[0], start[1] + dy - box.centre[1])


def _resize(rule: Measure, context: EvaluationContext, target: Instance, value: float) -> Box | None:
    """The target's box with another size. A filling changes at its top, a height keeps its foot."""
    box, size = target.box, value * rule.unit_px(context, target.box)
    if rule.kind == "height":
        return Box(box.x1, box.y2 - size, box.x2, box.y2)
    if rule.kind == "width":
        return Box(box.centre[0] - size / 2, box.y1, box.centre[0] + size / 2, box.y2)
    present = rule.measure_box(box)
    if rule.kind == "fill":
        present = rule.measure_values(context)[0] * rule.unit_px(context, box)
    if min(present, size) <= 0:
        return None
    factor = size / present
    if target.component in context.vocabulary.fills:
        return Box(box.x1, box.y2 - box.height * factor, box.x2, box.y2)
    factor = factor if rule.kind == "length" else math.sqrt(factor)
    (x, y), width, height = box.centre, box.width * factor / 2, box.height * factor / 2
    return Box(x - width, y - height, x + width, y + height)
