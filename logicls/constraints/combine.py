"""Rules made of rules: all, any, not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from logicls.constraints import logic
from logicls.constraints.family import Family, Named, Plans
from logicls.constraints.plan import Rng
from logicls.constraints.reading import Absent, Check, Reading, Side, Unreadable
from logicls.records import Scene, Status

Member = tuple[str, Family]
"""A family's key, and the rule."""


@dataclass(frozen=True)
class AllOf:
    """Every one of the rules holds."""

    members: tuple[Member, ...]

    def names(self) -> Iterator[Named]:
        """Everything that it speaks about."""
        yield from _names(self.members)

    def sides(self) -> tuple[str, ...]:
        """There is one way to be broken, if there is a member that can be."""
        return ("",) if any(rule.sides() for _, rule in self.members) else ()

    def say(self) -> str:
        """The rule in plain English."""
        return "; and ".join(rule.say() for _, rule in self.members)

    def check(self, reading: Reading) -> Check:
        """Broken if one is."""
        return _combined(logic.every, [attempt(rule, reading) for _, rule in self.members], "broken")

    def plans(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """One of the rules broken, or all of the side's kinds in turn."""
        for index in rng.permutation(len(self.members)):
            yield from broken_plans(self.members[index][1], scene, reading, rng)

    def how(self, side: Side) -> str:
        """What those edits do, in plain English."""
        return "one of the rules broken: " + "; ".join(_hows(rule) for _, rule in self.members)

    def keep(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """The twin of one of the rules."""
        yield from _kept(self.members, scene, reading, rng)


@dataclass(frozen=True)
class AnyOf:
    """At least one of the rules holds."""

    members: tuple[Member, ...]

    def names(self) -> Iterator[Named]:
        """Everything that it speaks about."""
        yield from _names(self.members)

    def sides(self) -> tuple[str, ...]:
        """There is one way to be broken, unless a member cannot be."""
        return ("",) if all(rule.sides() for _, rule in self.members) else ()

    def say(self) -> str:
        """The rule in plain English."""
        return "; or ".join(rule.say() for _, rule in self.members)

    def check(self, reading: Reading) -> Check:
        """Holds if one does."""
        return _combined(logic.some, [attempt(rule, reading) for _, rule in self.members], "holds")

    def plans(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """Every rule that holds broken, one after the other."""
        holding = [rule for _, rule in self.members if attempt(rule, reading).status == "holds"]
        known = [list(islice(broken_plans(rule, scene, reading, rng), 12)) for rule in holding]
        for _ in range(40 if known and all(known) else 0):
            steps = [plans[int(rng.integers(len(plans)))] for plans in known]
            yield tuple(plan for step in steps for plan in step)

    def how(self, side: Side) -> str:
        """What those edits do, in plain English."""
        return "all of the rules broken: " + "; ".join(_hows(rule) for _, rule in self.members)

    def keep(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """The twin of one of the rules."""
        yield from _kept(self.members, scene, reading, rng)


@dataclass(frozen=True)
class Not:
    """The rule does not hold."""

    member: Member

    def names(self) -> Iterator[Named]:
        """Everything that it speaks about."""
        key, rule = self.member
        yield from (Named((key, *named.path), named.name, named.role) for named in rule.names())

    def sides(self) -> tuple[str, ...]:
        """There is one way to be broken."""
        return ("",)

    def say(self) -> str:
        """The rule in plain English."""
        return f"not: {self.member[1].say()}"

    def check(self, reading: Reading) -> Check:
        """Broken if the rule holds."""
        inner = self.member[1].check(reading)
        status = logic.opposite(inner.status)
        return Check(status, inner.found, (Side(),) if status == "broken" else ())

    def plans(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """Random edits of what the rule speaks about, until it holds."""
        from logicls.constraints.stir import stirred

        for _ in range(60):
            yield from stirred(self.member[1], scene, reading, rng)

    def how(self, side: Side) -> str:
        """What those edits do, in plain English."""
        return f"made to hold: {self.member[1].say()}"

    def keep(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """The twin of the rule."""
        yield from _kept((self.member,), scene, reading, rng)


def _hows(rule: Family) -> str:
    return " or ".join(rule.how(Side(kind)) for kind in rule.sides())


def attempt(rule: Family, reading: Reading) -> Check:
    """What the rule comes to, with what it cannot read or does not find as statuses."""
    try:
        return rule.check(reading)
    except Unreadable as missing:
        return Check("unknown", f"no readable answer to {missing}")
    except Absent as absent:
        return Check("not_applicable", str(absent))


def broken_plans(rule: Family, scene: Scene, reading: Reading, rng: Rng) -> Iterator[Plans]:
    """Plans that may break the rule on any side."""
    sides = rule.sides()
    for index in rng.permutation(len(sides)):
        try:
            yield from rule.plans(scene, reading, Side(sides[index]), rng)
        except (Absent, Unreadable):
            continue


def _names(members: tuple[Member, ...]) -> Iterator[Named]:
    for position, (key, rule) in enumerate(members):
        yield from (Named((position, key, *named.path), named.name, named.role) for named in rule.names())


def _kept(members: tuple[Member, ...], scene: Scene, reading: Reading, rng: Rng) -> Iterator[Plans]:
    for index in rng.permutation(len(members)):
        rule = members[index][1]
        for kind in rule.sides()[:1]:
            try:
                yield from rule.keep(scene, reading, Side(kind), rng)
            except (Absent, Unreadable):
                continue


def _combined(how: object, checks: list[Check], telling: Status) -> Check:
    status = how([check.status for check in checks])  # type: ignore[operator]
    told = [check.found for check in checks if check.status == status] or [checks[0].found]
    found = told[0] if status == telling else "; ".join(told)
    return Check(status, found, (Side(),) if status == "broken" else ())
