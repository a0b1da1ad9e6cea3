"""What something is like: the attribute family."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.families.context import Absent, Check, Reading, Side, listed, words
from logicls.constraints.families.edits import Rng, another, spoken, with_value
from logicls.constraints.families.match import What
from logicls.constraints.families.placement import instances, some_of
from logicls.constraints.families.protocol import Named, Plans
from logicls.records import Scene

Values = str | Annotated[list[str], Field(min_length=1)]


class Attribute(BaseModel):
    """An attribute has the value that it must have, on every instance."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    of: What
    """thing.attribute"""
    is_: Values | None = Field(None, alias="is")
    """The value, or the values, that are right."""
    is_not: Values | None = None
    """The value, or the values, that are wrong."""
    same: bool = False
    """All instances are alike, whatever they are."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.is_ is not None) + (self.is_not is not None) + self.same != 1:
            raise ValueError("write exactly one of: is, is_not, same: true")
        return self

    @cached_property
    def listed(self) -> tuple[str, ...]:
        """The values that are written down."""
        given = self.is_ if self.is_ is not None else self.is_not
        return () if given is None else (given,) if isinstance(given, str) else tuple(given)

    def names(self) -> Iterator[Named]:
        """Everything that it speaks about."""
        yield Named(("of",), self.of, "attribute")

    def sides(self) -> tuple[str, ...]:
        """There is one way to be broken."""
        return ("",)

    def say(self) -> str:
        """The rule in plain English."""
        if self.same:
            return f"every {spoken(self.of)} is the same"
        values = listed([words(value) for value in self.listed], "or")
        return f"{spoken(self.of)} is {'' if self.is_ is not None else 'not '}{values}"

    def check(self, reading: Reading) -> Check:
        """Compare each value. Raises `Absent`, `Unreadable`."""
        thing, attribute = self.of.split(".")
        values = reading.values(thing, attribute)
        if len(values) < (2 if self.same else 1):
            raise Absent(f"{len(values) or 'no'} {words(thing)}")
        told = ", ".join(words(value) for value in values)
        return Check("holds", told) if self._allows(values) else Check("broken", told, (Side(),))

    def plans(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """Replace one instance by one with a wrong value."""
        thing, attribute = self.of.split(".")
        known = reading.world.values(thing, attribute)
        wrong = list(known) if self.same else [value for value in known if not self._allows((value,))]
        for target in some_of(rng, instances(scene, reading, thing), 4):
            yield from another(target, attribute, wrong, rng)

    def how(self, side: Side) -> str:
        """What those edits do, in plain English."""
        thing, attribute = self.of.split(".")
        return f"one {words(thing)} replaced by one with {'another' if self.same else 'a wrong'} {words(attribute)}"

    def keep(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """The twin: replaced by another instance of the same kind."""
        thing, attribute = self.of.split(".")
        for target in some_of(rng, instances(scene, reading, thing), 1):
            yield (with_value(target, attribute, target.attribute(attribute) or ""),)

    def _allows(self, values: tuple[str, ...]) -> bool:
        if self.same:
            return len(set(values)) == 1
        return all((value in self.listed) == (self.is_ is not None) for value in values)
