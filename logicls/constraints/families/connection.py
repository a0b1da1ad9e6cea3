"""What is joined to what: the connection family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from logicls.constraints.families.context import (
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    box_gap,
    centre_distance,
    join_names,
    name_to_text,
)
from logicls.constraints.families.edits import Move, Reroute, Rng
from logicls.constraints.families.match import AttributePath
from logicls.constraints.families.placement import choose_instance, find_instances, sample_instances
from logicls.constraints.families.protocol import Edits, Reference
from logicls.records import Box, Scene


class Connection(BaseModel):
    """A cable joins the same slots: each of its ends sits in a slot, and the slots have the same number."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    ends: str
    """Thing at either end of a cable."""
    sockets: str
    """Things that have the slots; an end belongs to the nearest one."""
    slots: Annotated[int, Field(ge=1, le=1000)] | AttributePath
    """How many slots lie side by side: a number, or the thing.attribute of the sockets that tells it."""
    axis: Literal["x", "y"] = "y"
    """Along which the slots lie; they are counted from the left, or from the top."""

    def references(self) -> Iterator[Reference]:
        """Everything that it speaks about."""
        yield Reference(("ends",), self.ends, "thing")
        yield Reference(("sockets",), self.sockets, "thing")
        if isinstance(self.slots, str):
            yield Reference(("slots",), self.slots, "attribute")

    def failure_modes(self) -> tuple[str, ...]:
        """There is one way to be broken."""
        return ("",)

    def to_text(self) -> str:
        """The rule in plain English."""
        return f"the {name_to_text(self.ends)}s sit in the same slots of every {name_to_text(self.sockets)}"

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Find the slot of each end, and compare the sockets. Raises `Absent`, `Unreadable`."""
        occupied = self._occupied_slots(context)
        found = ", ".join(f"slot {join_names([str(n) for n in numbers])}" for numbers in occupied)
        same = all(numbers == occupied[0] for numbers in occupied)
        return RuleResult("holds", found) if same else RuleResult("broken", found, (FailureMode(),))

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """An end put into another slot of its socket."""
        sockets, counts = context.boxes(self.sockets), self._slot_counts(context)
        if not sockets:
            raise NotApplicable(f"no {name_to_text(self.sockets)}")
        for end in sample_instances(rng, find_instances(scene, context, self.ends), 4):
            index = _nearest_socket(end.box, sockets)
            frame = sockets[index]
            pitch = (frame.width if self.axis == "x" else frame.height) / counts[index]
            own = self._slot_number(end.box, frame, counts[index])
            for step in rng.permutation(counts[index]) + 1 - own:
                if step:
                    offset = float(step) * pitch
                    yield (Reroute(end.id, offset if self.axis == "x" else 0.0, offset if self.axis == "y" else 0.0),)

    def describe_edit(self, mode: FailureMode) -> str:
        """What those edits do, in plain English."""
        return f"one {name_to_text(self.ends)} put into another slot of its {name_to_text(self.sockets)}"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """The twin: an end taken out and put back."""
        ends = find_instances(scene, context, self.ends)
        if ends:
            yield (Move(choose_instance(rng, ends).id, 0.0, 0.0),)

    def _occupied_slots(self, context: EvaluationContext) -> list[list[int]]:
        """For each socket the numbers of the slots in which ends sit, sorted."""
        sockets, counts = context.boxes(self.sockets), self._slot_counts(context)
        if len(sockets) < 2:
            raise NotApplicable(f"{len(sockets)} {name_to_text(self.sockets)}")
        occupied: list[list[int]] = [[] for _ in sockets]
        for end in context.boxes(self.ends):
            index = _nearest_socket(end, sockets)
            occupied[index].append(self._slot_number(end, sockets[index], counts[index]))
        if not all(occupied):
            raise NotApplicable(f"a {name_to_text(self.sockets)} without {name_to_text(self.ends)}")
        return [sorted(numbers) for numbers in occupied]

    def _slot_counts(self, context: EvaluationContext) -> list[int]:
        """Slots of each socket."""
        sockets = context.boxes(self.sockets)
        if isinstance(self.slots, int):
            return [self.slots] * len(sockets)
        values = context.values(*self.slots.split("."))
        counts = [int(value) if value.isdecimal() else 1 for value in values]
        return counts if len(counts) == len(sockets) else [max(counts, default=1)] * len(sockets)

    def _slot_number(self, end: Box, frame: Box, count: int) -> int:
        """The slot, from 1, that the end's centre is nearest to."""
        x, y = end.centre
        share = (
            (x - frame.x1) / max(frame.width, 1e-6) if self.axis == "x" else (y - frame.y1) / max(frame.height, 1e-6)
        )
        return min(max(int(share * count), 0), count - 1) + 1


def _nearest_socket(end: Box, sockets: Sequence[Box]) -> int:
    return min(
        range(len(sockets)), key=lambda i: (max(box_gap(end, sockets[i]), 0.0), centre_distance(end, sockets[i]))
    )
