"""Moves that break a layout rule, and moves that leave it whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, TypeVar

from logicls.constraints.dead_zone import TOLERANCE_ZONE, distance, group_unit, place_units
from logicls.constraints.family import Plans
from logicls.constraints.plan import Move, Rng, Swap
from logicls.constraints.reading import Absent, Reading, words
from logicls.constraints.room import MAX_STEPS, ground, instances, one_of, spots
from logicls.records import Box, Instance, Scene

if TYPE_CHECKING:
    from logicls.constraints.layout import Layout

T = TypeVar("T")
FARTHEST = 4.0
"""Tolerances by which a thing is moved off at the most."""
TRIES = 30


def breaking(rule: Layout, scene: Scene, reading: Reading, rng: Rng) -> Iterator[Plans]:
    """Plans that may break the rule."""
    subject = _subject(rule, scene, reading, rng)
    match rule.relation:
        case "above" | "below" | "left_of" | "right_of":
            yield from _sides_changed(rule, scene, reading)
            yield from _swaps(scene, reading, [subject], rule.object or "", rng)
            yield from _past(rule, scene, reading, subject, rng)
            yield from ((move,) for move in spots(scene, subject, _room(scene, reading), rng))
        case "in_order":
            for one, other in _shuffled(list(pairwise(rule.things)), rng):
                yield from _swaps(scene, reading, instances(scene, reading, one), other, rng)
            yield from ((move,) for move in spots(scene, subject, _room(scene, reading), rng))
        case "centred_in" | "inside":
            target = reading.partner(rule.object or "", subject.box)
            for _ in range(TRIES):
                yield from _off(rule, scene, reading, subject, target, _too_far(rng), rng)
        case "aligned" | "evenly_spaced":
            for _ in range(TRIES):
                yield from _out_of_line(rule, scene, reading, rng, _too_far(rng))
        case "not_touching":
            yield from _against(scene, reading, subject, rule.object or "", rng)
        case _:
            near = spots(scene, subject, ground(scene, subject), rng)
            far = spots(scene, subject, _room(scene, reading), rng)
            yield from ((move,) for pair in zip_longest(near, far) for move in pair if move is not None)


def keeping(rule: Layout, scene: Scene, reading: Reading, rng: Rng) -> Iterator[Plans]:
    """Plans that go through the same motions and break nothing."""
    subject = _subject(rule, scene, reading, rng)
    if min(rule.slack) > 0:
        for _ in range(TRIES // 3):
            if rule.relation in ("inside", "centred_in"):
                target = reading.partner(rule.object or "", subject.box)
                yield from _off(rule, scene, reading, subject, target, _near_enough(rng), rng)
            elif rule.relation in ("aligned", "evenly_spaced"):
                yield from _out_of_line(rule, scene, reading, rng, _near_enough(rng))
    yield (Move(subject.id, 0.0, 0.0),)


def _too_far(rng: Rng) -> float:
    """Tolerances off that break a rule."""
    return 1 + distance(TOLERANCE_ZONE, FARTHEST - 1, rng)


def _near_enough(rng: Rng) -> float:
    """Tolerances off that do not."""
    return 1 - distance(TOLERANCE_ZONE, 1.0, rng)


def _subject(rule: Layout, scene: Scene, reading: Reading, rng: Rng) -> Instance:
    found = [i for thing in rule.things for i in instances(scene, reading, thing)]
    if not found or (rule.object and not reading.places(rule.object)):
        raise Absent(words(rule.things[0]))
    return one_of(rng, found)


def _swaps(scene: Scene, reading: Reading, ones: list[Instance], other: str, rng: Rng) -> Iterator[Plans]:
    """Two things change places."""
    if other in reading.world.areas:
        return
    pairs = [(one.id, two.id) for one in ones for two in instances(scene, reading, other) if one.id != two.id]
    yield from ((Swap(one, two),) for one, two in _shuffled(pairs, rng)[:4])


def _sides_changed(rule: Layout, scene: Scene, reading: Reading) -> Iterator[Plans]:
    """All the subjects change places with all the objects: the largest goes first, and takes along what lies on it."""
    other = rule.object or ""
    if other in reading.world.areas:
        return
    ones, others = instances(scene, reading, rule.things[0]), instances(scene, reading, other)
    if not 2 < len(ones) + len(others) <= MAX_STEPS or not ones or not others:
        return
    (x1, y1), (x2, y2) = _around(ones).centre, _around(others).centre
    ways = {i.id: (x2 - x1, y2 - y1) for i in ones} | {i.id: (x1 - x2, y1 - y2) for i in others}
    yield tuple(Move(i.id, *ways[i.id]) for i in sorted([*ones, *others], key=lambda i: -i.box.area))


def _around(found: list[Instance]) -> Box:
    """The smallest box that holds them all."""
    boxes = [i.box for i in found]
    return Box(min(b.x1 for b in boxes), min(b.y1 for b in boxes), max(b.x2 for b in boxes), max(b.y2 for b in boxes))


def _past(rule: Layout, scene: Scene, reading: Reading, subject: Instance, rng: Rng) -> Iterator[Plans]:
    """The subject on the wrong side of an object, beyond the tolerance, as far across as it was."""
    room, (x, y) = _room(scene, reading), subject.box.centre
    for target in _shuffled([b for b in reading.places(rule.object or "") if b != subject.box], rng):
        slack = rule.slack_px(reading, target)
        for _ in range(4):
            if rule.relation in ("above", "below"):
                low, high = target.centre[1] + slack[1], room.y2 - subject.box.height / 2
                if rule.relation == "below":
                    low, high = target.centre[1] - slack[1], room.y1 + subject.box.height / 2
                yield (Move(subject.id, 0.0, low + (high - low) * (0.05 + 0.95 * float(rng.random())) - y),)
            else:
                low, high = target.centre[0] + slack[0], room.x2 - subject.box.width / 2
                if rule.relation == "right_of":
                    low, high = target.centre[0] - slack[0], room.x1 + subject.box.width / 2
                yield (Move(subject.id, low + (high - low) * (0.05 + 0.95 * float(rng.random())) - x, 0.0),)


def _off(
    rule: Layout, scene: Scene, reading: Reading, subject: Instance, target: Box, off: float, rng: Rng
) -> Iterator[Plans]:
    if rule.relation == "inside":
        return _over_edge(rule, reading, subject, target, off, rng)
    return _off_centre(rule, scene, reading, subject, target, off, rng)


def _off_centre(
    rule: Layout, scene: Scene, reading: Reading, subject: Instance, target: Box, off: float, rng: Rng
) -> Iterator[Plans]:
    """A move to `off` tolerances from the target's centre, on the same ground."""
    unit = place_units(rule, reading, target)
    angle = float(rng.random()) * 2 * math.pi
    direction = math.cos(angle), math.sin(angle)
    longest = max(abs(d) for d in direction) if rule.axis == "both" else abs(direction["xy".index(rule.axis)])
    scale = off / max(longest, 1e-3)
    x, y = (c + d * scale * u for c, d, u in zip(target.centre, direction, unit, strict=True))
    move = Move(subject.id, x - subject.box.centre[0], y - subject.box.centre[1])
    if subject.box.moved(move.dx, move.dy).covered_by(ground(scene, subject)) >= 0.999:
        yield (move,)


def _over_edge(rule: Layout, reading: Reading, subject: Instance, target: Box, off: float, rng: Rng) -> Iterator[Plans]:
    """A move to where the subject sticks out of the target by `off` tolerances on one side."""
    unit, box = place_units(rule, reading, target), subject.box
    room = max(target.width - box.width, 0.0) / 2, max(target.height - box.height, 0.0) / 2
    offset = [(2 * float(rng.random()) - 1) * r for r in room]
    axis, sign = int(rng.integers(2)), 1 if rng.random() < 0.5 else -1
    offset[axis] = sign * (room[axis] + off * unit[axis])
    x, y = (c + o for c, o in zip(target.centre, offset, strict=True))
    yield (Move(subject.id, x - box.centre[0], y - box.centre[1]),)


def _out_of_line(rule: Layout, scene: Scene, reading: Reading, rng: Rng, off: float) -> Iterator[Plans]:
    """One of a group shifted across the row, or along it, so that the group is `off` tolerances off."""
    group = list({i.id: i for thing in rule.things for i in instances(scene, reading, thing)}.values())
    if len(group) < (2 if rule.relation == "aligned" else 3):
        return
    across = (rule.axis == "x") == (rule.relation == "aligned")
    sign = 1 if rng.random() < 0.5 else -1
    direction = (0, sign) if across else (sign, 0)
    index = int(rng.integers(len(group)))
    shift = _shift_to(rule, reading, [i.box for i in group], index, direction, off)
    yield (Move(group[index].id, direction[0] * shift, direction[1] * shift),)


def _shift_to(
    rule: Layout, reading: Reading, boxes: list[Box], index: int, direction: tuple[int, int], off: float
) -> float:
    """Pixels to move one box by, so that its group is `off` tolerances off; found by halving."""

    def so_far(shift: float) -> float:
        moved = boxes[index].moved(direction[0] * shift, direction[1] * shift)
        found, allowed = rule.spread([*boxes[:index], moved, *boxes[index + 1 :]], reading)
        return found / group_unit(allowed, reading)

    low, high = 0.0, 1.0
    while so_far(high) < off and high < reading.width + reading.height:
        low, high = high, 2 * high
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if so_far(middle) < off else (low, middle)
    return high


def _against(scene: Scene, reading: Reading, subject: Instance, other: str, rng: Rng) -> Iterator[Plans]:
    """The subject pushed against another one, so that they overlap a little."""
    for target in _shuffled([b for b in reading.places(other) if b != subject.box], rng):
        for _ in range(8):
            angle, deep = float(rng.random()) * 2 * math.pi, 0.5 + 0.45 * float(rng.random())
            reach = (subject.box.width + target.width) / 2, (subject.box.height + target.height) / 2
            x, y = math.cos(angle), math.sin(angle)
            stretch = deep / max(abs(x), abs(y))
            centre = target.centre[0] + x * stretch * reach[0], target.centre[1] + y * stretch * reach[1]
            yield (Move(subject.id, centre[0] - subject.box.centre[0], centre[1] - subject.box.centre[1]),)


def _shuffled(items: list[T], rng: Rng) -> list[T]:
    return [items[int(i)] for i in rng.permutation(len(items))]


def _room(scene: Scene, reading: Reading) -> Box:
    """The place that the rule is checked in, as far as it is on the photo; the photo where it is checked as a whole."""
    return reading.frame.clipped(scene.width, scene.height) if reading.frame else reading.photo
