"""Measure family: sizes, distances and angles within limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import ClassVar, Literal, Self

from pydantic import ConfigDict, model_validator

from logicls.constraints.families.context import (
    HOLDS,
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    Vocabulary,
    centre_distance,
    name_to_text,
)
from logicls.constraints.families.dead_zone import ANGLE_ZONE, ASPECT_ZONE, SIZE_ZONE, sample_distance
from logicls.constraints.families.edits import Edits, Move, Resize, Rng, Rotate
from logicls.constraints.families.placement import choose_instance, find_instances
from logicls.constraints.families.protocol import (
    Comparison,
    Family,
    Fault,
    Invariances,
    LimitReading,
    RuleModel,
    compare_limits,
    exactly_one_of,
)
from logicls.constraints.families.queries import Reference
from logicls.records import Box, Instance, Scene

KINDS = ("height", "width", "length", "area", "aspect", "fill", "distance", "angle")
Pair = tuple[str, str]
ROTATION_SHARE = 0.25
"""Share of edits of a height or a width that try a rotation first."""
MAX_GROWTH = 0.6
"""Largest excess of a size that an edit makes, share of the limit; of a liquid's level, what fits in the photo."""
MAX_ATTEMPTS = 20


class Measure(RuleModel):
    """A size, a distance or an angle is within limits."""

    key: ClassVar[str] = "measure"
    summary: ClassVar[str] = "Sizes, distances and angles."
    model_config = ConfigDict(
        json_schema_extra={"allOf": [exactly_one_of(*KINDS), exactly_one_of("between", "at_least", "at_most")]}
    )

    height: str | None = None
    """Component whose height is measured."""
    width: str | None = None
    """Component whose width is measured."""
    length: str | None = None
    """Component whose diagonal is measured: the length of a thin straight object at any angle."""
    area: str | None = None
    """Component whose area is measured."""
    aspect: str | None = None
    """Component whose width is divided by its height: a ratio without a unit."""
    fill: str | None = None
    """Component whose boxes cover a share of `relative_to`, or of the component that it fills."""
    distance: Pair | None = None
    """Two components or regions: from the centre of the first to the nearest centre of the second."""
    angle: Pair | None = None
    """Two components or regions: direction from the first to the nearest second, degrees, 0 to the right, 90 up."""
    relative_to: str | None = None
    """Component or region whose size is 1; the photo by default."""
    unit: Literal["px", "mm"] | None = None
    """Unit of an absolute size: pixels of the photo, or millimetres by `product: px_per_mm`."""
    between: tuple[float, float] | None = None
    """Smallest and largest allowed value."""
    at_least: float | None = None
    """Smallest allowed value."""
    at_most: float | None = None
    """Largest allowed value."""

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
        if self.kind in ("angle", "fill", "area", "aspect") and self.unit:
            raise ValueError(f"{self.kind} has no unit")
        if self.kind == "aspect" and self.relative_to:
            raise ValueError("aspect is a ratio of two sides, and is relative to nothing")
        if self.kind == "angle" and (self.relative_to or not self.between):
            raise ValueError("angle takes between: [from, to] in degrees, and is relative to nothing")
        if self.kind == "angle" and self.between and self.between[1] - self.between[0] >= 360:
            raise ValueError("between: contains every angle")
        return self

    @cached_property
    def kind(self) -> str:
        """The measured quantity: the key that is written."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @cached_property
    def of(self) -> str:
        """The measured component; the first of two."""
        names = getattr(self, self.kind)
        return names if isinstance(names, str) else names[0]

    @cached_property
    def other(self) -> str:
        """The second of two components; empty if there is one."""
        names = getattr(self, self.kind)
        return "" if isinstance(names, str) else names[1]

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest allowed value: fractions of the reference, pixels, millimetres or degrees."""
        if self.between:
            return self.between
        return self.at_least or 0.0, math.inf if self.at_most is None else self.at_most

    def references(self) -> Iterator[Reference]:
        """Yield the measured components and the reference."""
        if self.other:
            yield Reference((self.kind, 0), self.of, "location")
            yield Reference((self.kind, 1), self.other, "location")
        else:
            yield Reference(
                (self.kind,), self.of, "liquid" if self.kind == "fill" and not self.relative_to else "component"
            )
        if self.relative_to:
            yield Reference(("relative_to",), self.relative_to, "location")

    def failure_kinds(self) -> tuple[str, ...]:
        """Return `below`, `above` or both."""
        low, high = self.limits
        return (*(("below",) if low > 0 or self.kind == "angle" else ()), *(("above",) if high < math.inf else ()))

    def to_text(self) -> str:
        """Return the rule in plain English."""
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
        if self.unit or self.kind in ("angle", "aspect"):
            reference = ""
        elif self.kind == "fill" and not self.relative_to:
            reference = " of what it fills"
        return f"{self.kind} {subject} {limit}{reference}"

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Measure every instance and compare the values with the limits."""
        low, high = self.limits
        values = self._normalized_values(context)
        wrong = next((value for value in values if not low <= value <= high), None)
        if wrong is None:
            return HOLDS if context.status_only else RuleResult("holds", self._value_text(values[0]))
        return RuleResult("broken", self._value_text(wrong), (FailureMode(self._mode_kind(wrong)),))

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield changes of size or position beyond the limit, mostly near it."""
        for _ in range(MAX_ATTEMPTS):
            target, location = _choose_subject(self, scene, context, rng)
            value = _sample_violating_value(self, context, mode, rng)
            yield from _change_value(self, context, target, location, value, rng)

    def describe_edit(self, mode: FailureMode) -> str:
        """Describe the edits in plain English."""
        if self.other:
            verb = "moved towards" if mode.kind == "below" else "moved away from"
            verb = "rotated about" if self.kind == "angle" else verb
            return f"{name_to_text(self.of)} {verb} {name_to_text(self.other)}"
        verbs = ("made narrower", "made wider") if self.kind == "aspect" else ("shrunk", "enlarged")
        verb = verbs[mode.kind == "above"]
        return f"{name_to_text(self.of)} {verb}, mostly by little more than is allowed"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield changes within the limits, then an instance removed and put back."""
        target, location = _choose_subject(self, scene, context, rng)
        for _ in range(MAX_ATTEMPTS // 2):
            value = _sample_allowed_value(self, context, rng)
            yield from _change_value(self, context, target, location, value, rng)
        yield (Move(target.id, 0.0, 0.0),)

    def margin(self, context: EvaluationContext) -> float | None:
        """Return the smallest distance of a value to its limit; the zone within the limits may be narrower."""
        low, high = self.limits
        zone = self.dead_zone(context)
        values = self._normalized_values(context)
        below = [value - low for value in values] if "below" in self.failure_kinds() else []
        distances = [*below, *(high - value for value in values)]
        return min(distance / (self.inner_zone(zone) if distance > 0 else zone) for distance in distances)

    def nearest_failure_mode(self, context: EvaluationContext) -> FailureMode:
        """Return the limit nearest to a value."""
        kinds = self.failure_kinds()
        if len(kinds) < 2:
            return FailureMode(kinds[0])
        (low, high), values = self.limits, self._normalized_values(context)
        is_below = min(value - low for value in values) < min(high - value for value in values)
        return FailureMode("below" if is_below else "above")

    @property
    def needs_boxes(self) -> bool:
        """Always true."""
        return True

    @property
    def uses_absolute_units(self) -> bool:
        """True if the limits are in pixels or millimetres."""
        return self.unit is not None

    def invariances(self) -> Invariances:
        """Return the quantity as the reason; flips change an angle only."""
        flip = "measures an angle" if self.kind == "angle" else ""
        return Invariances(f"measures {self.kind}", flip, flip)

    def check_references(self, vocabulary: Vocabulary) -> Iterator[Fault]:
        """Yield a fault for millimetres without a scale, and for a fill level without a container."""
        if self.unit == "mm" and not vocabulary.px_per_mm:
            message = "unit: mm needs the scale of the photo"
            yield Fault(("unit",), message, "Write px_per_mm under product.", "LC035")
        component = vocabulary.component(self.of)
        is_declared = component in vocabulary.attribute_values
        if self.kind == "fill" and not self.relative_to and is_declared and not vocabulary.fills.get(component):
            message = f'"{self.of}" fills nothing'
            yield Fault(("fill",), message, "Write relative_to here, or fills under its component.", "LC035")

    def compare(self, other: Family, vocabulary: Vocabulary) -> Comparison | None:
        """Compare the limits of two measures of the same quantity; angles are not compared."""
        if not isinstance(other, Measure) or self.kind == "angle" or self._quantity != other._quantity:
            return None
        return compare_limits(self, other, (self.limits, other.limits))

    @cached_property
    def _quantity(self) -> tuple[str | None, ...]:
        return self.kind, self.of, self.other, self.relative_to, self.unit

    def dead_zone(self, context: EvaluationContext) -> float:
        """Return the dead zone beyond the limits, in the unit of the measure."""
        if self.kind == "angle":
            return ANGLE_ZONE
        if self.kind == "aspect":
            return self._aspect_zone
        if not self.unit:
            return SIZE_ZONE
        size = context.photo_box.height if self.kind == "height" else context.photo_box.width
        return SIZE_ZONE * size / self.unit_px(context, context.photo_box)

    def zone_size(self) -> float | None:
        """Return the dead zone between the limits; None for an absolute size, whose zone depends on the photo."""
        if self.unit:
            return None
        zones = {"angle": ANGLE_ZONE, "aspect": self._aspect_zone}
        return self.inner_zone(zones.get(self.kind, SIZE_ZONE))

    def limit_readings(self, context: EvaluationContext) -> tuple[LimitReading, ...]:
        """Return the smallest and the largest value on the photo, for the limits that the rule has."""
        values, (low, high) = self._normalized_values(context), self.limits
        minimum = None if self.kind == "angle" else 0.0
        unit = "°" if self.kind == "angle" else self.unit or ""
        lower, upper = (("between", 0), ("between", 1)) if self.between else (("at_least",), ("at_most",))
        readings = []
        if self.between or self.at_least is not None:
            readings.append(LimitReading(lower, "lower", low, min(values), unit, minimum))
        if high < math.inf:
            readings.append(LimitReading(upper, "upper", high, max(values), unit, minimum))
        return tuple(readings)

    @cached_property
    def _aspect_zone(self) -> float:
        """Dead zone of a ratio of two sides, which grows with the ratio."""
        low, high = self.limits
        return ASPECT_ZONE * (low if high == math.inf else high)

    def inner_zone(self, zone: float) -> float:
        """Return the dead zone between the limits: at most a quarter of the interval."""
        low, high = self.limits
        return min(zone, (high - low) / 4)

    def _normalized_values(self, context: EvaluationContext) -> list[float]:
        values = self.measure_values(context)
        return [self.normalize_angle(value) for value in values] if self.kind == "angle" else values

    def measure_values(self, context: EvaluationContext) -> list[float]:
        """Return the measured values of all instances in reading order.

        Raises:
            NotApplicable: A component or region is not on the photo.
            UnreadableAnswer: A needed answer is missing.
        """
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
        """Return the share of each container that is covered."""
        locations = context.locations(self._reference_name(context))
        if not locations:
            raise NotApplicable(f"no {name_to_text(self._reference_name(context))}")
        return [sum(box.intersection(location) for box in boxes) / max(location.area, 1e-6) for location in locations]

    def _reference_name(self, context: EvaluationContext) -> str:
        return self.relative_to or context.vocabulary.fills.get(context.vocabulary.component(self.of), "")

    def unit_px(self, context: EvaluationContext, box: Box) -> float:
        """Return the pixels, or square pixels, of one unit for an instance."""
        if self.kind == "aspect":
            return 1.0
        if self.unit:
            return 1.0 if self.unit == "px" else max(context.vocabulary.px_per_mm, 1e-6)
        name = self._reference_name(context) if self.kind == "fill" else self.relative_to
        return max(self.measure_box(context.nearest_location(name, box) if name else context.photo_box), 1e-6)

    def measure_box(self, box: Box) -> float:
        """Return the measured size of a box, pixels or square pixels."""
        match self.kind:
            case "height":
                return box.height
            case "width":
                return box.width
            case "area" | "fill":
                return box.area
            case "aspect":
                return box.width / max(box.height, 1e-6)
            case _:
                return math.hypot(box.width, box.height)

    def normalize_angle(self, value: float) -> float:
        """Return the angle within 180 degrees of the middle of the limits."""
        low, high = self.limits
        start = (low + high) / 2 - 180
        return (value - start) % 360 + start

    def _mode_kind(self, value: float) -> str:
        return "below" if value < self.limits[0] else "above"

    def _value_text(self, value: float) -> str:
        if self.kind == "angle":
            return f"{value:.1f}°"
        if self.kind == "aspect":
            return f"{value:.2f}"
        return f"{value:.1f} {self.unit}" if self.unit else f"{value:.1%}"


def _choose_subject(rule: Measure, scene: Scene, context: EvaluationContext, rng: Rng) -> tuple[Instance, str]:
    """Choose an instance to change; return it with the name of the location that it is measured from."""
    for name, other in ((rule.of, rule.other), (rule.other, rule.of)):
        if name and name not in context.vocabulary.regions:
            found = find_instances(scene, context, name)
            if found:
                return choose_instance(rng, found), other
    raise NotApplicable(f"no {name_to_text(rule.of)}")


def _sample_violating_value(rule: Measure, context: EvaluationContext, mode: FailureMode, rng: Rng) -> float:
    """Sample a value beyond the limit of that mode."""
    (low, high), zone = rule.limits, rule.dead_zone(context)
    if rule.kind == "angle":
        max_distance = max(360.0 - (high - low), 0.0) / 2
    elif mode.kind == "below":
        max_distance = zone + (low - zone) * 0.6
    elif rule.kind in ("height", "width") and not rule.unit:
        room = 0.99 - high - zone
        # A liquid may rise to the brim; a solid thing several times its size would cover the photo.
        room = room if rule.of in context.vocabulary.fills else min(room, MAX_GROWTH * high)
        max_distance = zone + max(room, 0.3 * high if high >= 0.9 else 0.02)
    else:
        max_distance = zone + max(0.6 * high, 4 * zone)
    distance = sample_distance(zone, max_distance, rng)
    return low - distance if mode.kind == "below" else high + distance


def _sample_allowed_value(rule: Measure, context: EvaluationContext, rng: Rng) -> float:
    """Sample a value within the limits, mostly near one of them."""
    (low, high), zone = rule.limits, rule.inner_zone(rule.dead_zone(context))
    from_low = "below" in rule.failure_kinds() and (high == math.inf or rng.random() < 0.5)
    max_distance = (high - low) / 2
    if not from_low and "below" not in rule.failure_kinds():
        max_distance = 0.6 * high
    elif high == math.inf:
        max_distance = max(0.3 * low, 4 * zone)
    distance = sample_distance(zone, max_distance, rng)
    return low + distance if from_low else high - distance


def _change_value(
    rule: Measure, context: EvaluationContext, target: Instance, location: str, value: float, rng: Rng
) -> Iterator[Edits]:
    """Yield the edits after which the target has that value; a rotation may come first."""
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
    """Move the target to another distance on the same line, or to another direction at the same distance.

    Half of the moves go in a random direction, or nearer, because the others may leave the photo.
    """
    box, start = target.box, context.nearest_location(location, target.box).centre
    x, y = box.centre[0] - start[0], box.centre[1] - start[1]
    if rule.kind == "angle":
        # The angle points from the first component to the second; from the second, the sign is reversed.
        reach = math.hypot(x, y) * (-1 if location == rule.other else 1)
        reach *= 1.0 if rng.random() < 0.5 else 0.3 + 0.7 * float(rng.random())
        dx, dy = math.cos(math.radians(value)) * reach, -math.sin(math.radians(value)) * reach
    else:
        is_same_line = math.hypot(x, y) > 1 and rng.random() < 0.5
        angle = math.atan2(y, x) if is_same_line else float(rng.random()) * 2 * math.pi
        reach = value * rule.unit_px(context, box)
        dx, dy = math.cos(angle) * reach, math.sin(angle) * reach
    return Move(target.id, start[0] + dx - box.centre[0], start[1] + dy - box.centre[1])


def _resize(rule: Measure, context: EvaluationContext, target: Instance, value: float) -> Box | None:
    """Return the target's box with another size; a liquid changes at its top, a height keeps its bottom edge."""
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
        stretch = 1 / factor if rule.kind == "aspect" else factor
        return Box(box.x1, box.y2 - box.height * stretch, box.x2, box.y2)
    if rule.kind == "aspect":
        (x, y), width, height = box.centre, box.width * math.sqrt(factor) / 2, box.height / math.sqrt(factor) / 2
        return Box(x - width, y - height, x + width, y + height)
    factor = factor if rule.kind == "length" else math.sqrt(factor)
    (x, y), width, height = box.centre, box.width * factor / 2, box.height * factor / 2
    return Box(x - width, y - height, x + width, y + height)
