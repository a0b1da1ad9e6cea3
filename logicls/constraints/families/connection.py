"""Connection family: cables that join the same slots of several sockets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from logicls.constraints.families.context import (
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    Vocabulary,
    box_gap,
    centre_distance,
    count_to_text,
    join_names,
    name_to_text,
    pluralize_name,
)
from logicls.constraints.families.edits import Edits, Move, Reroute, Rng
from logicls.constraints.families.match import AttributePath
from logicls.constraints.families.placement import choose_instance, find_instances, sample_instances
from logicls.constraints.families.protocol import Axis, Fault, Invariances, RuleModel
from logicls.constraints.families.queries import Reference
from logicls.records import Box, Scene


class Connection(RuleModel):
    """Cables join slots of the same number on all sockets."""

    key: ClassVar[str] = "connection"
    summary: ClassVar[str] = "Cables that join the same slots."

    ends: str
    """Component at either end of a cable."""
    sockets: str
    """Component that has the slots; an end belongs to the nearest instance."""
    slots: Annotated[int, Field(ge=1, le=1000)] | AttributePath
    """Number of slots per socket, or the component.attribute of the sockets that gives it."""
    axis: Axis = "y"
    """Axis along which the slots lie; they are counted from the left, or from the top."""

    def references(self) -> Iterator[Reference]:
        """Yield the ends, the sockets and the attribute with the number of slots."""
        yield Reference(("ends",), self.ends, "component")
        yield Reference(("sockets",), self.sockets, "component")
        if isinstance(self.slots, str):
            yield Reference(("slots",), self.slots, "attribute")

    def failure_kinds(self) -> tuple[str, ...]:
        """Return the single kind of failure."""
        return ("",)

    def to_text(self) -> str:
        """Return the rule in plain English."""
        return f"the {pluralize_name(self.ends)} sit in the same slots of every {name_to_text(self.sockets)}"

    def evaluate(self, context: EvaluationContext) -> RuleResult:
        """Find the slot of each end and compare the sockets."""
        occupied = self._occupied_slots(context)
        found = ", ".join(f"slot {join_names([str(n) for n in numbers])}" for numbers in occupied)
        is_same = all(numbers == occupied[0] for numbers in occupied)
        return RuleResult("holds", found) if is_same else RuleResult("broken", found, (FailureMode(),))

    def edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield moves of an end into another slot of its socket."""
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
        """Describe the edits in plain English."""
        return f"one {name_to_text(self.ends)} put into another slot of its {name_to_text(self.sockets)}"

    def control_edits(self, scene: Scene, context: EvaluationContext, mode: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Yield the removal of an end that is put back."""
        ends = find_instances(scene, context, self.ends)
        if ends:
            yield (Move(choose_instance(rng, ends).id, 0.0, 0.0),)

    def check_references(self, vocabulary: Vocabulary) -> Iterator[Fault]:
        """Yield a fault if the number of slots is given by an attribute whose values are not numbers."""
        if not isinstance(self.slots, str):
            return
        values = vocabulary.values(*self.slots.split("."))
        wrong = [value for value in values if not value.isdecimal() or not int(value)]
        if wrong:
            message = f'{self.slots} gives the number of slots, but may be "{wrong[0]}"'
            yield Fault(("slots",), message, 'Its values must be numbers in quotes: ["2", "3"].', "LC036")

    @property
    def needs_boxes(self) -> bool:
        """Always true."""
        return True

    def invariances(self) -> Invariances:
        """Return the order of the slots as the reason."""
        reason = "counts slots"
        is_horizontal = self.axis == "x"
        return Invariances(reason, reason if is_horizontal else "", "" if is_horizontal else reason)

    def _occupied_slots(self, context: EvaluationContext) -> list[list[int]]:
        """Return the sorted numbers of the occupied slots of each socket."""
        sockets, counts = context.boxes(self.sockets), self._slot_counts(context)
        if len(sockets) < 2:
            raise NotApplicable(count_to_text(len(sockets), self.sockets))
        occupied: list[list[int]] = [[] for _ in sockets]
        for end in context.boxes(self.ends):
            index = _nearest_socket(end, sockets)
            occupied[index].append(self._slot_number(end, sockets[index], counts[index]))
        if not all(occupied):
            raise NotApplicable(f"a {name_to_text(self.sockets)} without {name_to_text(self.ends)}")
        return [sorted(numbers) for numbers in occupied]

    def _slot_counts(self, context: EvaluationContext) -> list[int]:
        """Return the number of slots of each socket."""
        sockets = context.boxes(self.sockets)
        if isinstance(self.slots, int):
            return [self.slots] * len(sockets)
        values = context.values(*self.slots.split("."))
        counts = [int(value) if value.isdecimal() else 1 for value in values]
        return counts if len(counts) == len(sockets) else [max(counts, default=1)] * len(sockets)

    def _slot_number(self, end: Box, frame: Box, count: int) -> int:
        """Return the number, from 1, of the slot nearest to the end's centre."""
        x, y = end.centre
        share = (
            (x - frame.x1) / max(frame.width, 1e-6) if self.axis == "x" else (y - frame.y1) / max(frame.height, 1e-6)
        )
        return min(max(int(share * count), 0), count - 1) + 1


def _nearest_socket(end: Box, sockets: Sequence[Box]) -> int:
    return min(
        range(len(sockets)), key=lambda i: (max(box_gap(end, sockets[i]), 0.0), centre_distance(end, sockets[i]))
    )
