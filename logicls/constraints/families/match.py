"""What goes with what: the match family."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from logicls.constraints.families.context import HOLDS, Absent, Check, Reading, Side, listed, words
from logicls.constraints.families.edits import Rng, another, spoken, with_value
from logicls.constraints.families.placement import instances, some_of
from logicls.constraints.families.protocol import Named, Plans
from logicls.records import Scene

What = Annotated[str, Field(pattern=r"^[^.\s]+\.[^.\s]+$")]
"""`thing.attribute`"""
REPLACED = 0.7
"""Share of edits that replace the left one."""


class Match(BaseModel):
    """The attributes of two things belong together: read both, compare."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    left: What
    """thing.attribute"""
    right: What
    """thing.attribute"""
    pairs: dict[str, str | Annotated[list[str], Field(min_length=1)]] = Field({}, min_length=1)
    """Left value → the right value, or values, that go with it; both must be equal where it is left out."""

    def names(self) -> Iterator[Named]:
        """Everything that it speaks about."""
        yield Named(("left",), self.left, "attribute")
        yield Named(("right",), self.right, "attribute")

    def sides(self) -> tuple[str, ...]:
        """There is one way to be broken."""
        return ("",)

    @cached_property
    def _partners(self) -> dict[str, tuple[str, ...]]:
        return {left: (right,) if isinstance(right, str) else tuple(right) for left, right in self.pairs.items()}

    def partners(self, left: str) -> tuple[str, ...]:
        """The right values that go with a left one."""
        return self._partners.get(left, ()) if self.pairs else (left,)

    def say(self) -> str:
        """The rule in plain English."""
        if not self.pairs:
            return f"{spoken(self.left)} is the same as {spoken(self.right)}"
        pairs = ", ".join(f"{words(a)} with {listed([words(b) for b in self.partners(a)], 'or')}" for a in self.pairs)
        return f"{spoken(self.left)} goes with {spoken(self.right)}: {pairs}"

    def check(self, reading: Reading) -> Check:
        """Compare two readings, every left one with every right one. Raises `Absent`, `Unreadable`."""
        lefts, rights = _values(reading, self.left), _values(reading, self.right)
        wrong = next(((a, b) for a in dict.fromkeys(lefts) for b in rights if b not in self.partners(a)), None)
        if wrong is None and reading.quiet:
            return HOLDS
        left, right = wrong or (lefts[0], rights[0])
        told = f"{spoken(self.left)} {words(left)}, {spoken(self.right)} {words(right)}"
        return Check("broken", told, (Side(),)) if wrong else Check("holds", told)

    def plans(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """Replace one of the two by a variant that does not go with the other."""
        lefts, rights = _values(reading, self.left), _values(reading, self.right)
        known = list(self.pairs) or list(reading.world.values(*self.left.split(".")))
        wrong = {
            self.left: [a for a in known if not set(rights) <= set(self.partners(a))],
            self.right: sorted({b for a in known for b in self.partners(a)} - set(self.partners(lefts[0]))),
        }
        for _ in range(8):
            what = self.left if rng.random() < REPLACED else self.right
            thing, attribute = what.split(".")
            for target in some_of(rng, instances(scene, reading, thing), 1):
                yield from another(target, attribute, wrong[what], rng)

    def how(self, side: Side) -> str:
        """What those edits do, in plain English."""
        left, right = (words(what.split(".")[0]) for what in (self.left, self.right))
        return f"{left} replaced by one that does not go with the {right}, or the other way round"

    def keep(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """The twin: replaced by another instance of the same variant."""
        what = self.left if rng.random() < REPLACED else self.right
        thing, attribute = what.split(".")
        for target in some_of(rng, instances(scene, reading, thing), 1):
            yield (with_value(target, attribute, target.attribute(attribute) or ""),)


def _values(reading: Reading, what: str) -> tuple[str, ...]:
    thing, _, attribute = what.partition(".")
    values = reading.values(thing, attribute)
    if not values:
        raise Absent(f"no {words(thing)}")
    return values
