"""How many: the quantity family."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.plan import ON_TOP, Add, Move, Plan, Remove, Rng
from logicls.constraints.reading import Absent, Check, Reading, Side, locate, words
from logicls.records import Box, Instance, Scene, Subquery

BESIDE = 0.6
"""Share of additional instances that lie beside a present one; the others may lie anywhere on the same ground."""


class Quantity(BaseModel):
    """So many of a component, on the whole photo or in a place."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    of: str
    """Component that is counted."""
    exactly: int | None = Field(None, ge=0, le=99)
    at_least: int | None = Field(None, ge=0, le=99)
    at_most: int | None = Field(None, ge=0, le=99)
    between: tuple[int, int] | None = None
    in_: str | None = Field(None, alias="in")
    """Component or region; an instance counts as in it when its centre is."""

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        limits = (self.exactly, self.at_least, self.at_most, self.between)
        if sum(limit is not None for limit in limits) != 1:
            raise ValueError("write exactly one of: exactly, at_least, at_most, between")
        if self.between and self.between[0] > self.between[1]:
            raise ValueError(f"between: {self.between[0]} is more than {self.between[1]}")
        return self

    @property
    def limits(self) -> tuple[int, int]:
        """Fewest and most that are allowed."""
        if self.exactly is not None:
            return self.exactly, self.exactly
        if self.between is not None:
            return self.between
        return self.at_least or 0, 99 if self.at_most is None else self.at_most

    def names(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """YAML key path and name of everything it speaks about."""
        yield ("of",), self.of
        if self.in_:
            yield ("in",), self.in_

    def sides(self) -> tuple[Side, ...]:
        """The ways in which it can be broken."""
        low, high = self.limits
        return (*(("below",) if low > 0 else ()), *(("above",) if high < 99 else ()))

    def say(self) -> str:
        """The rule in plain English."""
        low, high = self.limits
        number = str(low) if low == high else f"{low} to {high}"
        if high == 99:
            number = f"at least {low}"
        elif low == 0 and high > 0:
            number = f"at most {high}"
        where = f" in the {words(self.in_)}" if self.in_ else ""
        return f"{number} {words(self.of)}{where}"

    def ask(self) -> tuple[Subquery, ...]:
        """The questions it rests on, but for the region's frame."""
        return (locate(self.of),)

    def check(self, reading: Reading) -> Check:
        """Count, and compare. Raises `Absent`, `Unreadable`."""
        boxes = reading.boxes(self.of)
        if self.in_:
            places = reading.places(self.in_)
            if not places:
                raise Absent(f"no {words(self.in_)}")
            boxes = tuple(b for b in boxes if any(_holds(place, b) for place in places))
        low, high = self.limits
        side: Side = "below" if len(boxes) < low else "above" if len(boxes) > high else ""
        return Check("broken" if side else "holds", self.say(), f"{len(boxes)} {words(self.of)}", side)

    def plans(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Plan | None:
        """One edit that breaks it on that side; None where it cannot be done on this scene."""
        inside = self._counted(scene, reading)
        if side == "below":
            if len(inside) != self.limits[0]:
                return None
            return Remove(inside[int(rng.integers(len(inside)))].id)
        if len(inside) != self.limits[1]:
            return None
        box = self._free_place(scene, reading, rng)
        return Add(self.of, box) if box else None

    def keep(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Plan | None:
        """The twin: an instance taken up and put down where it was, or a hand's breadth from it."""
        inside = self._counted(scene, reading)
        return Move(inside[int(rng.integers(len(inside)))].id, 0.0, 0.0) if inside else None

    def _counted(self, scene: Scene, reading: Reading) -> list[Instance]:
        places = reading.places(self.in_) if self.in_ else None
        return [i for i in scene.of(self.of) if places is None or any(_holds(place, i.box) for place in places)]

    def _free_place(self, scene: Scene, reading: Reading, rng: Rng) -> Box | None:
        """A box for one more: the size of a present one, on the same ground, clear of everything that is in front."""
        present = scene.of(self.of)
        if not present:
            return None
        model = present[int(rng.integers(len(present)))]
        grounds = [i for i in scene.instances if i.id != model.id and model.box.covered_by(i.box) >= ON_TOP]
        obstacles = [i for i in scene.instances if i not in grounds]
        frame = min((g.box for g in grounds), key=lambda b: b.area, default=Box(0, 0, scene.width, scene.height))
        if self.in_:
            places = reading.places(self.in_)
            if not places:
                return None
            frame = places[0]
        for _ in range(40):
            box = _beside(model.box, frame, rng) if rng.random() < BESIDE else _dropped(model.box, frame, rng)
            if box and all(o.box.overlap(box) <= 0.05 * min(o.box.area, box.area) for o in obstacles):
                return box
        return None


def _dropped(size: Box, frame: Box, rng: Rng) -> Box | None:
    room_x, room_y = frame.width - size.width, frame.height - size.height
    if room_x < 0 or room_y < 0:
        return None
    x, y = frame.x1 + room_x * float(rng.random()), frame.y1 + room_y * float(rng.random())
    return Box(x, y, x + size.width, y + size.height)


def _beside(model: Box, frame: Box, rng: Rng) -> Box | None:
    """A place a little more than a size away from the model, in any direction."""
    angle, reach = 2 * math.pi * float(rng.random()), 1.0 + 0.8 * float(rng.random())
    box = model.moved(math.cos(angle) * reach * model.width, math.sin(angle) * reach * model.height)
    return box if box.covered_by(frame) >= 0.999 else None


def _holds(place: Box, box: Box) -> bool:
    x, y = box.centre
    return place.x1 <= x <= place.x2 and place.y1 <= y <= place.y2
