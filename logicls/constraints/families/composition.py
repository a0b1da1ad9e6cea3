"""What belongs together: the composition family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.families.context import Absent, Check, Reading, Side, holds, listed, words
from logicls.constraints.families.edits import Move, Plan, Rng
from logicls.constraints.families.placement import (
    MAX_STEPS,
    additions,
    instances,
    one_of,
    removal,
    replacement,
    some_of,
)
from logicls.constraints.families.protocol import Named, Plans
from logicls.records import Box, Instance, Scene

Set = (
    Annotated[list[str], Field(min_length=1)]
    | Annotated[dict[str, Annotated[int, Field(ge=0, le=1000)]], Field(min_length=1)]
)
"""Things of which there is at least one each; or thing → exact number."""
Counts = Mapping[str, int]


class Composition(BaseModel):
    """A set of things is complete, is one of several sets, or goes with another one."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    required: Set | None = None
    """What must all be there."""
    one_of: Annotated[list[Set], Field(min_length=1)] | None = None
    """Sets of which one must be there."""
    if_: Set | None = Field(None, alias="if")
    """Where this set is there ..."""
    then: Set | None = None
    """... this one must be, too."""
    exclusive: Annotated[list[str], Field(min_length=2)] | None = None
    """Things of which only one kind may be there."""
    in_: str | None = Field(None, alias="in")
    """Thing or region; what has its centre elsewhere is not counted."""
    wrong: dict[str, Set] = {}
    """Violation → the wrong set that it stands for; the constraint's violation stands for any other."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = (self.required, self.one_of, self.if_, self.exclusive)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("write exactly one of: required, one_of, if with then, exclusive")
        if (self.if_ is None) != (self.then is None):
            raise ValueError("if and then go together")
        return self

    @cached_property
    def things(self) -> tuple[str, ...]:
        """Everything that is counted."""
        sets = [self.required or [], *(self.one_of or []), self.if_ or [], self.then or [], self.exclusive or []]
        return tuple(dict.fromkeys(thing for group in (*sets, *self.wrong.values()) for thing in group))

    def names(self) -> Iterator[Named]:
        """Everything that it speaks about."""
        for key, group in (("required", self.required), ("if", self.if_), ("then", self.then)):
            yield from _named((key,), group or [])
        for position, group in enumerate(self.one_of or []):
            yield from _named(("one_of", position), group)
        yield from _named(("exclusive",), self.exclusive or [])
        for violation, group in self.wrong.items():
            yield from _named(("wrong", violation), group)
        if self.in_:
            yield Named(("in",), self.in_, "place")

    def sides(self) -> tuple[str, ...]:
        """The named wrong sets, and any other one."""
        return (*self.wrong, "")

    def say(self) -> str:
        """The rule in plain English."""
        where = f" in the {words(self.in_)}" if self.in_ else ""
        if self.required is not None:
            return f"there must be {_told(self.required)}{where}"
        if self.if_ is not None:
            return f"where there is {_told(self.if_)}{where}, there must be {_told(self.then or [])}"
        if self.exclusive is not None:
            return f"at most one kind of {listed([words(thing) for thing in self.exclusive])}{where}"
        return f"one of these sets{where}: {'; '.join(_told(group) for group in self.one_of or [])}"

    def check(self, reading: Reading) -> Check:
        """Count, and compare with the sets. Raises `Absent`, `Unreadable`."""
        places = self._places(reading)
        counts = {thing: len(_inside(reading.boxes(thing), places)) for thing in self.things}
        found = ", ".join(f"{count} {words(thing)}" for thing, count in counts.items())
        if self.if_ is not None and not _fits(self.if_, counts):
            raise Absent(found)
        if self._allows(counts):
            return Check("holds", found)
        named = next((violation for violation, group in self.wrong.items() if _fits(group, counts)), "")
        return Check("broken", found, (Side(named),))

    def plans(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """Go from the counts that are there to wrong ones: replace first, then take away and add."""
        present = self._present(scene, reading)
        counts = {thing: len(found) for thing, found in present.items()}
        for _ in range(16):
            target = self._target(counts, side, rng)
            if target is not None:
                yield from self._towards(scene, reading, present, target, rng)

    def how(self, side: Side) -> str:
        """What those edits do, in plain English."""
        if side.kind:
            return f"replaced, taken away and added until there is {_told(self.wrong[side.kind])}"
        return f"one of {listed([words(thing) for thing in self.things])} replaced, taken away or added"

    def keep(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """The twin: one of the things taken up and put down where it was."""
        present = [i for found in self._present(scene, reading).values() for i in found]
        if present:
            yield (Move(one_of(rng, present).id, 0.0, 0.0),)

    def _places(self, reading: Reading) -> tuple[Box, ...] | None:
        places = reading.places(self.in_) if self.in_ else None
        if places is not None and not places:
            raise Absent(f"no {words(self.in_ or '')}")
        return places

    def _present(self, scene: Scene, reading: Reading) -> dict[str, list[Instance]]:
        places = self._places(reading)
        return {
            thing: [i for i in instances(scene, reading, thing) if _inside((i.box,), places)] for thing in self.things
        }

    def _allows(self, counts: Counts) -> bool:
        if self.required is not None:
            return _fits(self.required, counts)
        if self.one_of is not None:
            return any(_fits(group, counts) for group in self.one_of)
        if self.exclusive is not None:
            return sum(counts[thing] > 0 for thing in self.exclusive) <= 1
        return not _fits(self.if_ or [], counts) or _fits(self.then or [], counts)

    def _target(self, counts: Counts, side: Side, rng: Rng) -> Counts | None:
        """Wrong counts near the present ones; None where this draw is none."""
        target = dict(counts)
        if side.kind:
            group = self.wrong[side.kind]
            wanted = group if isinstance(group, dict) else {thing: max(counts[thing], 1) for thing in group}
            return {**target, **wanted}
        for _ in range(3):
            target = self._changed(target, rng)
            named = any(_fits(group, target) for group in self.wrong.values())
            if not named and not self._allows(target):
                return target
        return None

    def _changed(self, counts: Counts, rng: Rng) -> dict[str, int]:
        """One of the things more or fewer, or none of it; where a set has to be there, with that one."""
        target = dict(counts)
        thing = list(target)[int(rng.integers(len(target)))]
        target[thing] = 0 if rng.random() < 0.3 else max(target[thing] + (1 if rng.random() < 0.5 else -1), 0)
        if self.if_ is not None and not _fits(self.if_, target):
            forced = self.if_ if isinstance(self.if_, dict) else dict.fromkeys(self.if_, 1)
            target |= {name: max(number, target[name]) for name, number in forced.items()}
            target |= {name: 0 for name in self.then or [] if name not in forced and rng.random() < 0.5}
        return target

    def _towards(
        self, scene: Scene, reading: Reading, present: Mapping[str, list[Instance]], target: Counts, rng: Rng
    ) -> Iterator[Plans]:
        """Edits that lead to the target counts."""
        surplus = [i for t, found in present.items() for i in some_of(rng, found, max(len(found) - target[t], 0))]
        lacking = [t for t, found in present.items() for _ in range(target[t] - len(found))]
        if not 0 < max(len(surplus), len(lacking)) <= MAX_STEPS:
            return
        exchanged = min(len(surplus), len(lacking))
        plans: list[Plan] = [
            replacement(scene, reading, i, t, rng) for i, t in zip(surplus[:exchanged], lacking, strict=False)
        ]
        plans += removal(surplus[exchanged:])
        places = self._places(reading)
        rest = lacking[exchanged:]
        for thing in dict.fromkeys(rest):
            place = places[int(rng.integers(len(places)))] if places else None
            more = additions(scene, reading, thing, rng, count=rest.count(thing), place=place)
            if more is None:
                return
            plans += more
        yield tuple(plans)


def _named(path: tuple[str | int, ...], group: Set) -> Iterator[Named]:
    for position, thing in enumerate(group):
        yield Named((*path, thing if isinstance(group, dict) else position), thing, "thing")


def _inside(boxes: tuple[Box, ...], places: tuple[Box, ...] | None) -> tuple[Box, ...]:
    return boxes if places is None else tuple(b for b in boxes if any(holds(place, b) for place in places))


def _fits(group: Set, counts: Counts) -> bool:
    if isinstance(group, dict):
        return all(counts[thing] == number for thing, number in group.items())
    return all(counts[thing] > 0 for thing in group)


def _told(group: Set) -> str:
    if isinstance(group, dict):
        return listed([f"{number} {words(thing)}" for thing, number in group.items()])
    return listed([words(thing) for thing in group])
