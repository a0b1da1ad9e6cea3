"""What every rule can do: name what it speaks about, be said, be checked, and be broken on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from logicls.constraints.plan import Plan, Rng
from logicls.constraints.reading import Check, Reading, Side
from logicls.records import Scene

Role = Literal["thing", "place", "attribute", "filling"]
Plans = tuple[Plan, ...]
"""Edits to be carried out one after the other."""


class Named(NamedTuple):
    """A name that a rule uses."""

    path: tuple[str | int, ...]
    """Keys from the rule's body to where it is written."""
    name: str
    role: Role
    """`thing`; `place`, a thing or a region; `attribute`, thing.attribute; `filling`, a thing and what it fills."""


@runtime_checkable
class Family(Protocol):
    """A rule of any family. What it asks follows from its names: see `decompose`."""

    def names(self) -> Iterator[Named]:
        """Everything that it speaks about."""

    def sides(self) -> tuple[str, ...]:
        """The kinds of `Side` on which it can be broken; empty where nothing breaks it."""

    def say(self) -> str:
        """The rule in plain English."""

    def check(self, reading: Reading) -> Check:
        """What it comes to. Raises `Absent`, `Unreadable`."""

    def plans(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """Edits that may break it on that side, the plainest first. The caller looks at what comes out."""

    def how(self, side: Side) -> str:
        """What those edits do, in plain English."""

    def keep(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """Twins: edits that go through the same motions and may leave it as it is."""
