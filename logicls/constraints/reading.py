"""What the answers say about a photo, looked up by name, so that a constraint need not know about subqueries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from logicls.records import Answer, Box, Status, Subquery

Side = Literal["", "below", "above"]
"""On which side of its limits a constraint is broken; empty where it has no sides."""


class Unreadable(Exception):
    """An answer that the constraint needs could not be read, or was never given."""


class Absent(Exception):
    """Something that the constraint speaks about is not on the photo: the constraint does not apply."""


@dataclass(frozen=True, slots=True)
class Check:
    """What one constraint came to."""

    status: Status
    expected: str
    found: str
    side: Side = ""


@dataclass(frozen=True, slots=True)
class Area:
    """A named place: fractions of the photo, or of a component's box (`of`)."""

    box: tuple[float, float, float, float]
    of: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Answers of one photo, by subquery id."""

    answers: Mapping[str, Answer]
    width: int
    height: int
    areas: Mapping[str, Area] = field(default_factory=dict)

    def boxes(self, component: str) -> tuple[Box, ...]:
        """Where the component is; empty where there is none. Raises `Unreadable`."""
        return self._answer(f"locate:{component}").boxes

    def values(self, component: str, attribute: str) -> tuple[str, ...]:
        """The attribute of each instance in reading order. Raises `Unreadable`."""
        return self._answer(f"attribute:{component}.{attribute}").values

    def places(self, name: str) -> tuple[Box, ...]:
        """The boxes of a component, or of a region. Raises `Unreadable`."""
        area = self.areas.get(name)
        if area is None:
            return self.boxes(name)
        frames = self.boxes(area.of) if area.of else (Box(0, 0, self.width, self.height),)
        return tuple(_part(frame, area.box) for frame in frames)

    def one(self, name: str) -> Box:
        """The only box of a component or region. Raises `Absent` unless there is exactly one."""
        found = self.places(name)
        if len(found) != 1:
            raise Absent(f"{len(found)} {words(name)}")
        return found[0]

    def _answer(self, query: str) -> Answer:
        answer = self.answers.get(query)
        if answer is None or not answer.readable:
            raise Unreadable(query)
        return answer


def _part(frame: Box, part: tuple[float, float, float, float]) -> Box:
    x1, y1, x2, y2 = part
    return Box(
        frame.x1 + x1 * frame.width,
        frame.y1 + y1 * frame.height,
        frame.x1 + x2 * frame.width,
        frame.y1 + y2 * frame.height,
    )


def locate(component: str) -> Subquery:
    """The question where every instance of a component is."""
    return Subquery(f"locate:{component}", "locate", component)


def words(name: str) -> str:
    """A YAML name as people say it."""
    return name.replace("_", " ")
