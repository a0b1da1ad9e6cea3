"""What is joined to what: the connection family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from logicls.constraints.families.context import Absent, Check, Reading, Side, apart, gap, listed, words
from logicls.constraints.families.edits import Move, Reroute, Rng
from logicls.constraints.families.match import What
from logicls.constraints.families.placement import instances, one_of, some_of
from logicls.constraints.families.protocol import Named, Plans
from logicls.records import Box, Scene


class Connection(BaseModel):
    """A cable joins the same slots: each of its ends sits in a slot, and the slots have the same number."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    ends: str
    """Thing at either end of a cable."""
    sockets: str
    """Things that have the slots; an end belongs to the nearest one."""
    slots: Annotated[int, Field(ge=1, le=1000)] | What
    """How many slots lie side by side: a number, or the thing.attribute of the sockets that tells it."""
    axis: Literal["x", "y"] = "y"
    """Along which the slots lie; they are counted from the left, or from the top."""

    def names(self) -> Iterator[Named]:
        """Everything that it speaks about."""
        yield Named(("ends",), self.ends, "thing")
        yield Named(("sockets",), self.sockets, "thing")
        if isinstance(self.slots, str):
            yield Named(("slots",), self.slots, "attribute")

    def sides(self) -> tuple[str, ...]:
        """There is one way to be broken."""
        return ("",)

    def say(self) -> str:
        """The rule in plain English."""
        return f"the {words(self.ends)}s sit in the same slots of every {words(self.sockets)}"

    def check(self, reading: Reading) -> Check:
        """Find the slot of each end, and compare the sockets. Raises `Absent`, `Unreadable`."""
        taken = self._taken(reading)
        found = ", ".join(f"slot {listed([str(n) for n in numbers])}" for numbers in taken)
        same = all(numbers == taken[0] for numbers in taken)
        return Check("holds", found) if same else Check("broken", found, (Side(),))

    def plans(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """An end put into another slot of its socket."""
        sockets, counts = reading.boxes(self.sockets), self._counts(reading)
        if not sockets:
            raise Absent(f"no {words(self.sockets)}")
        for end in some_of(rng, instances(scene, reading, self.ends), 4):
            index = _nearest(end.box, sockets)
            frame = sockets[index]
            pitch = (frame.width if self.axis == "x" else frame.height) / counts[index]
            own = self._slot(end.box, frame, counts[index])
            for step in rng.permutation(counts[index]) + 1 - own:
                if step:
                    far = float(step) * pitch
                    yield (Reroute(end.id, far if self.axis == "x" else 0.0, far if self.axis == "y" else 0.0),)

    def how(self, side: Side) -> str:
        """What those edits do, in plain English."""
        return f"one {words(self.ends)} put into another slot of its {words(self.sockets)}"

    def keep(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """The twin: an end taken out and put back."""
        ends = instances(scene, reading, self.ends)
        if ends:
            yield (Move(one_of(rng, ends).id, 0.0, 0.0),)

    def _taken(self, reading: Reading) -> list[list[int]]:
        """For each socket the numbers of the slots in which ends sit, sorted."""
        sockets, counts = reading.boxes(self.sockets), self._counts(reading)
        if len(sockets) < 2:
            raise Absent(f"{len(sockets)} {words(self.sockets)}")
        taken: list[list[int]] = [[] for _ in sockets]
        for end in reading.boxes(self.ends):
            index = _nearest(end, sockets)
            taken[index].append(self._slot(end, sockets[index], counts[index]))
        if not all(taken):
            raise Absent(f"a {words(self.sockets)} without {words(self.ends)}")
        return [sorted(numbers) for numbers in taken]

    def _counts(self, reading: Reading) -> list[int]:
        """Slots of each socket."""
        sockets = reading.boxes(self.sockets)
        if isinstance(self.slots, int):
            return [self.slots] * len(sockets)
        values = reading.values(*self.slots.split("."))
        told = [int(value) if value.isdecimal() else 1 for value in values]
        return told if len(told) == len(sockets) else [max(told, default=1)] * len(sockets)

    def _slot(self, end: Box, frame: Box, count: int) -> int:
        """The slot, from 1, that the end's centre is nearest to."""
        x, y = end.centre
        share = (
            (x - frame.x1) / max(frame.width, 1e-6) if self.axis == "x" else (y - frame.y1) / max(frame.height, 1e-6)
        )
        return min(max(int(share * count), 0), count - 1) + 1


def _nearest(end: Box, sockets: Sequence[Box]) -> int:
    return min(range(len(sockets)), key=lambda i: (max(gap(end, sockets[i]), 0.0), apart(end, sockets[i])))
