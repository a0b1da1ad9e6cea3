"""How much: the measure family."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from logicls.constraints.family import Named, Plans
from logicls.constraints.plan import Rng
from logicls.constraints.reading import HOLDS, Absent, Check, Reading, Side, apart, words
from logicls.records import Box, Scene

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
    def _complete(self) -> Self:
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
        named = getattr(self, self.kind)
        return named if isinstance(named, str) else named[0]

    @cached_property
    def other(self) -> str:
        """The second of two; empty where there is one."""
        named = getattr(self, self.kind)
        return "" if isinstance(named, str) else named[1]

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Least and most that are allowed: fractions of the reference, pixels, millimetres or degrees."""
        if self.between:
            return self.between
        return self.at_least or 0.0, math.inf if self.at_most is None else self.at_most

    def names(self) -> Iterator[Named]:
        """Everything that it speaks about."""
        if self.other:
            yield Named((self.kind, 0), self.of, "place")
            yield Named((self.kind, 1), self.other, "place")
        else:
            yield Named((self.kind,), self.of, "filling" if self.kind == "fill" and not self.relative_to else "thing")
        if self.relative_to:
            yield Named(("relative_to",), self.relative_to, "place")

    def sides(self) -> tuple[str, ...]:
        """The kinds of side on which it can be broken."""
        low, high = self.limits
        return (*(("below",) if low > 0 or self.kind == "angle" else ()), *(("above",) if high < math.inf else ()))

    def say(self) -> str:
        """The rule in plain English."""
        low, high = self.limits
        limit = f"{self._told(low)} to {self._told(high)}"
        if high == math.inf:
            limit = f"at least {self._told(low)}"
        elif low == 0:
            limit = f"at most {self._told(high)}"
        what = f"from {words(self.of)} to {words(self.other)}" if self.other else f"of the {words(self.of)}"
        reference = f" of the {words(self.relative_to or 'photo')}"
        if self.unit or self.kind == "angle":
            reference = ""
        elif self.kind == "fill" and not self.relative_to:
            reference = " of what it fills"
        return f"{self.kind} {what} {limit}{reference}"

    def check(self, reading: Reading) -> Check:
        """Measure every instance, and compare. Raises `Absent`, `Unreadable`."""
        low, high = self.limits
        values = self.values(reading)
        if self.kind == "angle":
            values = [self.in_turn(value) for value in values]
        wrong = next((value for value in values if not low <= value <= high), None)
        if wrong is None:
            return HOLDS if reading.quiet else Check("holds", self._told(values[0]))
        return Check("broken", self._told(wrong), (Side(self._side(wrong)),))

    def plans(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """Shrink or grow, or move, beyond the limit; how far is drawn with more weight near it."""
        from logicls.constraints.measure_moves import breaking

        yield from breaking(self, scene, reading, side, rng)

    def how(self, side: Side) -> str:
        """What those edits do, in plain English."""
        if self.other:
            way = "towards" if side.kind == "below" else "away from"
            return f"{words(self.of)} {'turned about' if self.kind == 'angle' else f'moved {way}'} {words(self.other)}"
        way = "shrunk" if side.kind == "below" else "grown"
        return f"{words(self.of)} {way}, mostly by little more than is allowed"

    def keep(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """The twin: another size within the limits."""
        from logicls.constraints.measure_moves import keeping

        yield from keeping(self, scene, reading, rng)

    def values(self, reading: Reading) -> list[float]:
        """Measures of all instances, in reading order. Raises `Absent`."""
        if self.other:
            ones, others = reading.places(self.of), reading.places(self.other)
            rests = [(one, [box for box in others if box is not one]) for one in ones]
            values = [self._between(one, rest, reading) for one, rest in rests if rest]
            if not values:
                raise Absent(f"no {words(self.other if ones else self.of)}")
            return values
        boxes = reading.boxes(self.of)
        if not boxes:
            raise Absent(f"no {words(self.of)}")
        if self.kind == "fill":
            return self._fills(boxes, reading)
        if self.relative_to is None:
            unit = self.unit_px(reading, boxes[0])
            return [self.size_of(box) / unit for box in boxes]
        return [self.size_of(box) / self.unit_px(reading, box) for box in boxes]

    def _between(self, one: Box, others: Sequence[Box], reading: Reading) -> float:
        other = min(others, key=lambda box: apart(one, box))
        if self.kind == "distance":
            return apart(one, other) / self.unit_px(reading, one)
        (x1, y1), (x2, y2) = one.centre, other.centre
        return math.degrees(math.atan2(y1 - y2, x2 - x1))

    def _fills(self, boxes: Sequence[Box], reading: Reading) -> list[float]:
        """Share that is covered, of each place that holds something."""
        places = reading.places(self._parent(reading))
        if not places:
            raise Absent(f"no {words(self._parent(reading))}")
        return [sum(box.overlap(place) for box in boxes) / max(place.area, 1e-6) for place in places]

    def _parent(self, reading: Reading) -> str:
        return self.relative_to or reading.world.fills.get(reading.world.component(self.of), "")

    def unit_px(self, reading: Reading, box: Box) -> float:
        """Pixels, or square pixels, of 1."""
        if self.unit:
            return 1.0 if self.unit == "px" else max(reading.world.px_per_mm, 1e-6)
        name = self._parent(reading) if self.kind == "fill" else self.relative_to
        return max(self.size_of(reading.partner(name, box) if name else reading.photo), 1e-6)

    def size_of(self, box: Box) -> float:
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

    def in_turn(self, value: float) -> float:
        """An angle in the turn that begins half of the free part below the lower limit."""
        low, high = self.limits
        start = (low + high) / 2 - 180
        return (value - start) % 360 + start

    def _side(self, value: float) -> str:
        return "below" if value < self.limits[0] else "above"

    def _told(self, value: float) -> str:
        if self.kind == "angle":
            return f"{value:.1f}°"
        return f"{value:.1f} {self.unit}" if self.unit else f"{value:.1%}"
