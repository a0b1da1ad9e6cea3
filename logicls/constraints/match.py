"""What goes with what: the match family."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from logicls.constraints.plan import Plan, Replace, Rng
from logicls.constraints.reading import Absent, Check, Reading, Side, words
from logicls.records import Scene, Subquery


class Match(BaseModel):
    """The attributes of two components belong together: read both, compare."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    left: str = Field(pattern=r"^[^.\s]+\.[^.\s]+$")
    """`component.attribute`"""
    right: str = Field(pattern=r"^[^.\s]+\.[^.\s]+$")
    pairs: dict[str, str] = Field(min_length=1)
    """Left value → the right value that goes with it."""

    def names(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """YAML key path and name of everything it speaks about."""
        yield ("left",), self.left
        yield ("right",), self.right

    def sides(self) -> tuple[Side, ...]:
        """The ways in which it can be broken."""
        return ("",)

    def say(self) -> str:
        """The rule in plain English."""
        pairs = ", ".join(f"{words(a)} with {words(b)}" for a, b in self.pairs.items())
        return f"{_spoken(self.left)} goes with {_spoken(self.right)}: {pairs}"

    def ask(self) -> tuple[Subquery, ...]:
        """Two independent readings."""
        return tuple(_ask(*side.split(".")) for side in (self.left, self.right))

    def check(self, reading: Reading) -> Check:
        """Compare two readings. Raises `Absent`, `Unreadable`."""
        left, right = _only(reading, self.left), _only(reading, self.right)
        expected = self.pairs.get(left)
        holds = expected == right
        told = f"{_spoken(self.left)} {words(left)}, {_spoken(self.right)} {words(right)}"
        return Check("holds" if holds else "broken", self.say(), told)

    def plans(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Plan | None:
        """Replace one of the two by a variant that does not go with the other."""
        left, right = _only(reading, self.left), _only(reading, self.right)
        if rng.random() < 0.7:
            wrong = [value for value, partner in self.pairs.items() if partner != right]
            return self._replaced(scene, self.left, wrong, rng)
        wrong = [value for value in self.pairs.values() if value != self.pairs.get(left)]
        return self._replaced(scene, self.right, sorted(set(wrong)), rng)

    def keep(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Plan | None:
        """The twin: replaced by another instance of the same variant."""
        pick = self.left if rng.random() < 0.7 else self.right
        return self._replaced(scene, pick, [_only(reading, pick)], rng)

    def _replaced(self, scene: Scene, what: str, values: list[str], rng: Rng) -> Plan | None:
        component, attribute = what.split(".")
        present = scene.of(component)
        if not present or not values:
            return None
        return Replace(present[0].id, attribute, values[int(rng.integers(len(values)))])


def _ask(component: str, attribute: str) -> Subquery:
    return Subquery(f"attribute:{component}.{attribute}", "attribute", component, attribute)


def _only(reading: Reading, what: str) -> str:
    component, attribute = what.split(".")
    values = reading.values(component, attribute)
    if len(values) != 1:
        raise Absent(f"{len(values)} {words(component)}")
    return values[0]


def _spoken(what: str) -> str:
    component, attribute = what.split(".")
    return f"{words(component)}'s {words(attribute)}"
