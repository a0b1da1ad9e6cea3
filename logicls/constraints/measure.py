"""How much: the measure family."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from logicls.constraints.plan import Plan, Resize, Rng
from logicls.constraints.reading import Check, Reading, Side, locate, words
from logicls.records import Box, Scene, Subquery

DEAD_ZONE = 0.008
"""Fraction of the reference's size on both sides of a limit that synthesis leaves out: nobody can read it there."""


class Measure(BaseModel):
    """The height or the width of a component, relative to another one or in fractions of the photo."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    height: str | None = None
    width: str | None = None
    relative_to: str | None = None
    """Component or region whose size on the same axis is 1; the photo where it is left out."""
    between: tuple[float, float] | None = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.height is None) == (self.width is None):
            raise ValueError("write exactly one of: height, width")
        if sum(limit is not None for limit in (self.between, self.at_least, self.at_most)) != 1:
            raise ValueError("write exactly one of: between, at_least, at_most")
        if self.between and self.between[0] >= self.between[1]:
            raise ValueError(f"between: {self.between[0]} is not less than {self.between[1]}")
        return self

    @property
    def of(self) -> str:
        """The component that is measured."""
        return self.height or self.width or ""

    @property
    def axis(self) -> str:
        """`height` or `width`."""
        return "height" if self.height else "width"

    @property
    def limits(self) -> tuple[float, float]:
        """Least and most that are allowed, fractions of the reference."""
        if self.between:
            return self.between
        return self.at_least or 0.0, float("inf") if self.at_most is None else self.at_most

    def names(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """YAML key path and name of everything it speaks about."""
        yield (self.axis,), self.of
        if self.relative_to:
            yield ("relative_to",), self.relative_to

    def sides(self) -> tuple[Side, ...]:
        """The ways in which it can be broken."""
        low, high = self.limits
        return (*(("below",) if low > 0 else ()), *(("above",) if high < float("inf") else ()))

    def say(self) -> str:
        """The rule in plain English."""
        low, high = self.limits
        limit = f"{low:.1%} to {high:.1%}"
        if high == float("inf"):
            limit = f"at least {low:.1%}"
        elif low == 0:
            limit = f"at most {high:.1%}"
        return f"{self.axis} of the {words(self.of)} {limit} of the {words(self.relative_to or 'photo')}"

    def ask(self) -> tuple[Subquery, ...]:
        """The questions it rests on, but for the region's frame."""
        return (locate(self.of), *([locate(self.relative_to)] if self.relative_to else []))

    def check(self, reading: Reading) -> Check:
        """Divide, and compare. Raises `Absent`, `Unreadable`."""
        ratio = self._size(reading.one(self.of)) / max(self._size(self._reference(reading)), 1e-6)
        low, high = self.limits
        side: Side = "below" if ratio < low else "above" if ratio > high else ""
        return Check("broken" if side else "holds", self.say(), f"{ratio:.1%}", side)

    def plans(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Plan | None:
        """Shrink or grow beyond the limit; how far is drawn with more weight near it."""
        low, high = self.limits
        far = float(rng.random()) ** 2
        if side == "below":
            ratio = low - DEAD_ZONE - far * (low - DEAD_ZONE) * 0.6
        else:
            ratio = high + DEAD_ZONE + far * max(0.99 - high - DEAD_ZONE, 0.3 * high if high >= 0.9 else 0.02)
        return self._resized(scene, reading, ratio)

    def keep(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Plan | None:
        """The twin: another size within the limits."""
        low, high = self.limits
        if high == float("inf") or low == 0:
            ratio = self._size(reading.one(self.of)) / max(self._size(self._reference(reading)), 1e-6)
            return self._resized(scene, reading, ratio)
        margin = min(DEAD_ZONE, (high - low) / 4)
        return self._resized(scene, reading, low + margin + float(rng.random()) * (high - low - 2 * margin))

    def _resized(self, scene: Scene, reading: Reading, ratio: float) -> Plan | None:
        present = scene.of(self.of)
        if len(present) != 1:
            return None
        box, size = present[0].box, ratio * self._size(self._reference(reading))
        if self.axis == "height":
            new = Box(box.x1, box.y2 - size, box.x2, box.y2)
        else:
            new = Box(box.centre[0] - size / 2, box.y1, box.centre[0] + size / 2, box.y2)
        fits = new.clipped(scene.width, scene.height) == new and size >= 2
        return Resize(present[0].id, new) if fits else None

    def _reference(self, reading: Reading) -> Box:
        return reading.one(self.relative_to) if self.relative_to else Box(0, 0, reading.width, reading.height)

    def _size(self, box: Box) -> float:
        return box.height if self.axis == "height" else box.width
