"""Rules made of rules: all, any, not.

Kleene's three-valued logic, with a fourth value for what does not apply: that one is left out.

S. C. Kleene, Introduction to Metamathematics (1952), section 64, the strong tables.

Random edits of what a rule speaks about: for rules that say what must not be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from logicls.constraints.families.context import Absent, Check, Reading, Side, Unreadable
from logicls.constraints.families.edits import Move, Rng, Swap, another
from logicls.constraints.families.placement import MAX_STEPS, additions, instances, moves_into, one_of, removal, spots
from logicls.constraints.families.protocol import Family, Named, Plans
from logicls.records import Box, Instance, Scene, Status


def every(statuses: Iterable[Status]) -> Status:
    """Broken if one is broken, else unknown if one is, else holds; not applicable where none applies."""
    found = set(statuses)
    for status in ("broken", "unknown", "holds"):
        if status in found:
            return status
    return "not_applicable"


def some(statuses: Iterable[Status]) -> Status:
    """Holds if one holds, else unknown if one is, else broken; not applicable where none applies."""
    return opposite(every(opposite(status) for status in statuses))


def opposite(status: Status) -> Status:
    """Holds for broken and the other way round."""
    turned: dict[Status, Status] = {"holds": "broken", "broken": "holds"}
    return turned.get(status, status)


def given(condition: Status, status: Status) -> Status:
    """What a rule comes to under a condition: it does not apply unless that holds.

    Where the condition is unknown, only a rule that is not broken in either case is known.
    """
    if condition in ("broken", "not_applicable"):
        return "not_applicable"
    if condition == "unknown":
        return status if status in ("holds", "not_applicable") else "unknown"
    return status


def stirred(rule: Family, scene: Scene, reading: Reading, rng: Rng) -> Iterator[Plans]:
    """One random edit of a random thing that the rule names."""
    named = [n for n in rule.names() if n.role != "place" or n.name not in reading.world.areas]
    if not named:
        return
    thing, _, attribute = named[int(rng.integers(len(named)))].name.partition(".")
    try:
        present = instances(scene, reading, thing)
        if attribute and present:
            targets = present if len(present) <= MAX_STEPS and rng.random() < 0.5 else [one_of(rng, present)]
            values = reading.world.values(thing, attribute)
            edits = [next(another(target, attribute, values, rng), ()) for target in targets]
            yield tuple(plan for edit in edits for plan in edit)
        else:
            yield from _shaken(rule, scene, reading, thing, present, rng)
    except (Absent, Unreadable):
        return


def _shaken(
    rule: Family, scene: Scene, reading: Reading, thing: str, present: list[Instance], rng: Rng
) -> Iterator[Plans]:
    """Taken away, added, moved anywhere, moved to a place that the rule names, or swapped."""
    way = int(rng.integers(5))
    if way == 0 or not present:
        more = additions(scene, reading, thing, rng)
        if more:
            yield more
        return
    target = one_of(rng, present)
    places = [box for n in rule.names() if n.role == "place" for box in reading.places(n.name)]
    if way == 1:
        yield removal([target])
    elif way == 2 and places:
        place = places[int(rng.integers(len(places)))]
        if rng.random() < 0.5:
            yield from ((move,) for move in islice(moves_into(scene, target, place, rng), 1))
        else:
            yield tuple(_onto(i, place, rng) for i in present[:MAX_STEPS] if i.box != place)
    elif way == 3:
        others = [i for i in scene.instances if i.id != target.id and i.component in {n.name for n in rule.names()}]
        if others:
            yield (Swap(target.id, one_of(rng, others).id),)
    else:
        yield from ((m,) for m in islice(spots(scene, target, Box(0, 0, scene.width, scene.height), rng), 1))


def _onto(subject: Instance, place: Box, rng: Rng) -> Move:
    """The subject's centre anywhere in the place, whatever is there."""
    x, y = place.x1 + place.width * float(rng.random()), place.y1 + place.height * float(rng.random())
    return Move(subject.id, x - subject.box.centre[0], y - subject.box.centre[1])


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
        return _combined(every, [attempt(rule, reading) for _, rule in self.members], "broken")

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
        return _combined(some, [attempt(rule, reading) for _, rule in self.members], "holds")

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
        status = opposite(inner.status)
        return Check(status, inner.found, (Side(),) if status == "broken" else ())

    def plans(self, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
        """Random edits of what the rule speaks about, until it holds."""
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
