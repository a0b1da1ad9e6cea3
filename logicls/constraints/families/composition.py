"""What belongs together: the composition family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.families.context import (
    EvaluationContext,
    FailureMode,
    NotApplicable,
    RuleResult,
    contains_centre,
    join_names,
    name_to_text,
)
from logicls.constraints.families.edits import Edit, Move, Rng
from logicls.constraints.families.placement import (
    MAX_EDITS,
    add_instances,
    choose_instance,
    find_instances,
    remove_instances,
    replace_instance,
    sample_instances,
)
from logicls.constraints.families.protocol import Edits, Reference
from logicls.records import Box, Instance, Scene

ComponentSet = (
    Annotated[list[str], Field(min_length=1)]
    | Annotated[dict[str, Annotated[int, Field(ge=0, le=1000)]], Field(min_length=1)]
)
"""Things of which there is at least one each; or thing → exact number."""
Counts = Mapping[str, int]


class Composition(BaseModel):
    """A set of things is complete, is one of several sets, or goes with another one."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    required: ComponentSet | None = None
    """What must all be there."""
    one_of: Annotated[list[ComponentSet], Field(min_length=1)] | None = None
    """Sets of which one must be there."""
    if_: ComponentSet | None = Field(None, alias="if")
    """Where this set is there ..."""
    then: ComponentSet | None = None
    """... this one must be, too."""
    exclusive: Annotated[list[str], Field(min_length=2)] | None = None
    """Things of which only one kind may be there."""
    in_: str | None = Field(None, alias="in")
    """Thing or region; what has its centre elsewhere is not counted."""
    wrong: dict[str, ComponentSet] = {}
    """Violation → the wrong set that it stands for; the constraint's violation stands for any other."""

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        ways = (self.required, self.one_of, self.if_, self.exclusive)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("write exactly one of: required, one_of, if with then, exclusive")
        if (self.if_ is None) != (self.then is None):
            raise ValueError("if and then go together")
        return self

    @cached_property
    def components(self) -> tuple[str, ...]:
        """Everything that is counted."""
        sets = [self.required or [], *(self.one_of or []), self.if_ or [], self.then or [], self.exclusive or []]
        return tuple(dict.fromkeys(thing for group in (*sets, *self.wrong.values()) for thing in group))

    def references(self) -> Iterator[Reference]:
        """Everything that it speaks about."""
        for key, group in (("required", self.required), ("if", self.if_), ("then", self.then)):
            yield from _set_references((key,), group or [])
        for position, group in enumerate(self.one_of or []):
            yield from _set_references(("one_of", position), group)
        yield from _set_references(("exclusive",), self.exclusive or [])
        for violation, group in self.wrong.items():
            yield from _set_references(("wrong", violation), group)
        if self.in_:
            yield Reference(("in",), self.in_, "place")

    def failure_modes(self) -> tuple[str, ...]:
        """The named wrong sets, and any other one."""
        return (*self.wrong, "")

    def to_text(self) -> str:
        """The rule in plain English."""
        where = f" in the {name_to_text(self.in_)}" if self.in_ else ""
        if self.required is not None:
            return f"there must be {_set_to_text(self.required)}{where}"
        if self.if_ is not None:
            return f"where there is {_set_to_text(self.if_)}{where}, there must be {_set_to_text(self.then or [])}"
        if self.exclusive is not None:
            return f"at most one kind of {join_names([name_to_text(thing) for thing in self.exclusive])}{where}"
        return f"one of these sets{where}: {'; '.join(_set_to_text(group) for group in self.one_of or [])}"

    def evaluate(self, reading: EvaluationContext) -> RuleResult:
        """Count, and compare with the sets. Raises `Absent`, `Unreadable`."""
        places = self._locations(reading)
        counts = {thing: len(_select_inside(reading.boxes(thing), places)) for thing in self.components}
        found = ", ".join(f"{count} {name_to_text(thing)}" for thing, count in counts.items())
        if self.if_ is not None and not _matches_set(self.if_, counts):
            raise NotApplicable(found)
        if self._is_allowed(counts):
            return RuleResult("holds", found)
        named = next((violation for violation, group in self.wrong.items() if _matches_set(group, counts)), "")
        return RuleResult("broken", found, (FailureMode(named),))

    def edits(self, scene: Scene, reading: EvaluationContext, side: FailureMode, rng: Rng) -> Iterator[Edits]:
        """Go from the counts that are there to wrong ones: replace first, then take away and add."""
        present = self._group_instances(scene, reading)
        counts = {thing: len(found) for thing, found in present.items()}
        for _ in range(16):
            target = self._sample_wrong_counts(counts, side, rng)
            if target is not None:
                yield from self._reach_counts(scene, reading, present, target, rng)

    def describe_edit(self, side: FailureMode) -> str:
        """What those edits do, in plain English."""
        if side.kind:
            return f"replaced, taken away and added until there is {_set_to_text(self.wrong[side.kind])}"
        return f"one of {join_names([name_to_text(thing) for thing in self.components])} replaced, taken away or added"

    def control_edits(self, scene: Scene, reading: EvaluationContext, side: FailureMode, rng: Rng) -> Iterator[Edits]:
        """The twin: one of the things taken up and put down where it was."""
        present = [i for found in self._group_instances(scene, reading).values() for i in found]
        if present:
            yield (Move(choose_instance(rng, present).id, 0.0, 0.0),)

    def _locations(self, reading: EvaluationContext) -> tuple[Box, ...] | None:
        places = reading.locations(self.in_) if self.in_ else None
        if places is not None and not places:
            raise NotApplicable(f"no {name_to_text(self.in_ or '')}")
        return places

    def _group_instances(self, scene: Scene, reading: EvaluationContext) -> dict[str, list[Instance]]:
        places = self._locations(reading)
        return {
            thing: [i for i in find_instances(scene, reading, thing) if _select_inside((i.box,), places)]
            for thing in self.components
        }

    def _is_allowed(self, counts: Counts) -> bool:
        if self.required is not None:
            return _matches_set(self.required, counts)
        if self.one_of is not None:
            return any(_matches_set(group, counts) for group in self.one_of)
        if self.exclusive is not None:
            return sum(counts[thing] > 0 for thing in self.exclusive) <= 1
        return not _matches_set(self.if_ or [], counts) or _matches_set(self.then or [], counts)

    def _sample_wrong_counts(self, counts: Counts, side: FailureMode, rng: Rng) -> Counts | None:
        """Wrong counts near the present ones; None where this draw is none."""
        target = dict(counts)
        if side.kind:
            group = self.wrong[side.kind]
            wanted = group if isinstance(group, dict) else {thing: max(counts[thing], 1) for thing in group}
            return {**target, **wanted}
        for _ in range(3):
            target = self._change_count(target, rng)
            named = any(_matches_set(group, target) for group in self.wrong.values())
            if not named and not self._is_allowed(target):
                return target
        return None

    def _change_count(self, counts: Counts, rng: Rng) -> dict[str, int]:
        """One of the things more or fewer, or none of it; where a set has to be there, with that one."""
        target = dict(counts)
        thing = list(target)[int(rng.integers(len(target)))]
        target[thing] = 0 if rng.random() < 0.3 else max(target[thing] + (1 if rng.random() < 0.5 else -1), 0)
        if self.if_ is not None and not _matches_set(self.if_, target):
            forced = self.if_ if isinstance(self.if_, dict) else dict.fromkeys(self.if_, 1)
            target |= {name: max(number, target[name]) for name, number in forced.items()}
            target |= {name: 0 for name in self.then or [] if name not in forced and rng.random() < 0.5}
        return target

    def _reach_counts(
        self, scene: Scene, reading: EvaluationContext, present: Mapping[str, list[Instance]], target: Counts, rng: Rng
    ) -> Iterator[Edits]:
        """Edits that lead to the target counts."""
        surplus = [
            i for t, found in present.items() for i in sample_instances(rng, found, max(len(found) - target[t], 0))
        ]
        lacking = [t for t, found in present.items() for _ in range(target[t] - len(found))]
        if not 0 < max(len(surplus), len(lacking)) <= MAX_EDITS:
            return
        exchanged = min(len(surplus), len(lacking))
        plans: list[Edit] = [
            replace_instance(scene, reading, i, t, rng) for i, t in zip(surplus[:exchanged], lacking, strict=False)
        ]
        plans += remove_instances(surplus[exchanged:])
        places = self._locations(reading)
        rest = lacking[exchanged:]
        for thing in dict.fromkeys(rest):
            place = places[int(rng.integers(len(places)))] if places else None
            more = add_instances(scene, reading, thing, rng, count=rest.count(thing), place=place)
            if more is None:
                return
            plans += more
        yield tuple(plans)


def _set_references(path: tuple[str | int, ...], group: ComponentSet) -> Iterator[Reference]:
    for position, thing in enumerate(group):
        yield Reference((*path, thing if isinstance(group, dict) else position), thing, "thing")


def _select_inside(boxes: tuple[Box, ...], places: tuple[Box, ...] | None) -> tuple[Box, ...]:
    return boxes if places is None else tuple(b for b in boxes if any(contains_centre(place, b) for place in places))


def _matches_set(group: ComponentSet, counts: Counts) -> bool:
    if isinstance(group, dict):
        return all(counts[thing] == number for thing, number in group.items())
    return all(counts[thing] > 0 for thing in group)


def _set_to_text(group: ComponentSet) -> str:
    if isinstance(group, dict):
        return join_names([f"{number} {name_to_text(thing)}" for thing, number in group.items()])
    return join_names([name_to_text(thing) for thing in group])
