"""Where: the layout family."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, Self, assert_never

from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.plan import ON_TOP, Move, Plan, Rng, Swap
from logicls.constraints.reading import Absent, Check, Reading, Side, locate, words
from logicls.records import Box, Scene, Subquery

Relation = Literal["above", "below", "left_of", "right_of", "inside", "centred_in"]
DEAD_ZONE = 0.35
"""Synthesis moves things to under 1 - this, or to over 1 + this, of the tolerance: nobody can say in between."""


class Layout(BaseModel):
    """A component stands in a relation to another component or to a region."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subject: str
    relation: Relation
    object: str
    """Component or region."""
    tolerance: float | tuple[float, float] | None = None
    """Fraction of the object's width and height (one number, or [x, y]) by which a centre may be off (centred_in), or
    an edge may stick out (inside). Not for the other relations, which compare centres."""
    axis: Literal["both", "x", "y"] = Field("both")
    """For centred_in: the direction that counts."""

    @model_validator(mode="after")
    def _tolerance_fits(self) -> Self:
        if self.relation == "centred_in" and self.tolerance is None:
            raise ValueError("centred_in needs a tolerance")
        if self.relation in ("above", "below", "left_of", "right_of") and self.tolerance is not None:
            raise ValueError(f"{self.relation} compares centres and takes no tolerance")
        if self.tolerance is not None and min(self.slack) < 0:
            raise ValueError("tolerance must not be negative")
        return self

    @property
    def slack(self) -> tuple[float, float]:
        """Tolerance in x and in y, fractions of the object's width and height."""
        if isinstance(self.tolerance, tuple):
            return self.tolerance
        return (self.tolerance or 0.0,) * 2

    def names(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """YAML key path and name of everything it speaks about."""
        yield ("subject",), self.subject
        yield ("object",), self.object

    def sides(self) -> tuple[Side, ...]:
        """The ways in which it can be broken."""
        return ("",)

    def say(self) -> str:
        """The rule in plain English."""
        relation = {"centred_in": "centred in", "inside": "inside"}.get(self.relation, words(self.relation))
        return f"{words(self.subject)} {relation} the {words(self.object)}"

    def ask(self) -> tuple[Subquery, ...]:
        """The questions it rests on, but for the region's frame."""
        return (locate(self.subject), locate(self.object))

    def check(self, reading: Reading) -> Check:
        """Compare two boxes. Raises `Absent`, `Unreadable`."""
        subject, target = reading.one(self.subject), reading.one(self.object)
        holds, found = self._compare(subject, target)
        return Check("holds" if holds else "broken", self.say(), found)

    def plans(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Plan | None:
        """One edit that breaks it; None where it cannot be done on this scene."""
        subject, target = self._pair(scene, reading)
        match self.relation:
            case "above" | "below" | "left_of" | "right_of":
                others = scene.of(self.object)
                return Swap(subject, others[0].id) if others else None
            case "inside" | "centred_in":
                return self._moved_off(scene, subject, target, rng, (1 + DEAD_ZONE, 4.0))
            case _:
                assert_never(self.relation)

    def keep(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Plan | None:
        """The twin: the same move, within the tolerance."""
        subject, target = self._pair(scene, reading)
        if self.relation in ("inside", "centred_in") and min(self.slack) > 0:
            return self._moved_off(scene, subject, target, rng, (0.0, 1 - DEAD_ZONE))
        return Move(subject, 0.0, 0.0)

    def _pair(self, scene: Scene, reading: Reading) -> tuple[int, Box]:
        subjects = scene.of(self.subject)
        if len(subjects) != 1:
            raise Absent(self.subject)
        return subjects[0].id, reading.one(self.object)

    def _compare(self, subject: Box, target: Box) -> tuple[bool, str]:
        (sx, sy), (tx, ty) = subject.centre, target.centre
        match self.relation:
            case "above" | "below":
                return (sy < ty) == (self.relation == "above"), "above" if sy < ty else "below"
            case "left_of" | "right_of":
                return (sx < tx) == (self.relation == "left_of"), "left" if sx < tx else "right"
            case "centred_in":
                off = (sx - tx) / max(target.width, 1e-6), (sy - ty) / max(target.height, 1e-6)
                return self._excess(off) <= 1, f"off by {off[0]:+.1%} of its width, {off[1]:+.1%} of its height"
            case "inside":
                out = self._sticks_out(subject, target)
                return out == 0, f"sticks out by {out:.0f} px" if out else "inside"
            case _:
                assert_never(self.relation)

    def _excess(self, off: tuple[float, float]) -> float:
        """How many tolerances it is off; the larger of the axes that count."""
        shares = [abs(o) / max(s, 1e-6) for o, s in zip(off, self.slack, strict=True)]
        return max(shares) if self.axis == "both" else shares["xy".index(self.axis)]

    def _sticks_out(self, subject: Box, target: Box) -> float:
        dx, dy = self.slack[0] * target.width, self.slack[1] * target.height
        beyond = target.x1 - dx - subject.x1, subject.x2 - target.x2 - dx, target.y1 - dy - subject.y1
        return max(0.0, *beyond, subject.y2 - target.y2 - dy)

    def _moved_off(self, scene: Scene, subject: int, target: Box, rng: Rng, reach: tuple[float, float]) -> Plan | None:
        """A move to `reach` tolerances from the object's centre, on the same ground and in the photo.

        How far is drawn with more weight near the limit: a quadratic of a uniform number.
        """
        box = next(i.box for i in scene.instances if i.id == subject)
        ground = _ground(scene, subject, box)
        unit = max(self.slack[0], 0.02) * target.width, max(self.slack[1], 0.02) * target.height
        for _ in range(30):
            distance = reach[0] + (reach[1] - reach[0]) * float(rng.random()) ** 2
            angle = float(rng.random()) * 2 * math.pi
            direction = math.cos(angle), math.sin(angle)
            longest = max(abs(d) for d in direction) if self.axis == "both" else abs(direction["xy".index(self.axis)])
            scale = distance / max(longest, 1e-3)
            x, y = (c + d * scale * u for c, d, u in zip(target.centre, direction, unit, strict=True))
            moved = box.moved(x - box.centre[0], y - box.centre[1])
            if moved.covered_by(ground) >= 0.999:
                return Move(subject, x - box.centre[0], y - box.centre[1])
        return None


def _ground(scene: Scene, subject: int, box: Box) -> Box:
    """The smallest box that the subject lies on; the photo where there is none."""
    under = [i.box for i in scene.instances if i.id != subject and box.covered_by(i.box) >= ON_TOP]
    return min(under, key=lambda b: b.area, default=Box(0, 0, scene.width, scene.height))
