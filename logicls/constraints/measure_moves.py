"""Edits that take a measure over its limit, and edits that leave it within."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from logicls.constraints.dead_zone import distance, inner_zone, measure_zone
from logicls.constraints.family import Plans
from logicls.constraints.plan import Move, Resize, Rng, Rotate
from logicls.constraints.reading import Absent, Reading, Side, words
from logicls.constraints.room import instances, one_of
from logicls.records import Box, Instance, Scene

if TYPE_CHECKING:
    from logicls.constraints.measure import Measure

TURNED = 0.25
"""Share of edits of a height or a width that try to turn the thing first."""
TRIES = 20


def breaking(rule: Measure, scene: Scene, reading: Reading, side: Side, rng: Rng) -> Iterator[Plans]:
    """Plans that may break the rule on that side."""
    for _ in range(TRIES):
        target, place = _subject(rule, scene, reading, rng)
        yield from _changed(rule, reading, target, place, _beyond(rule, reading, side, rng), rng)


def keeping(rule: Measure, scene: Scene, reading: Reading, rng: Rng) -> Iterator[Plans]:
    """Plans that bring another value within the limits."""
    target, place = _subject(rule, scene, reading, rng)
    for _ in range(TRIES // 2):
        yield from _changed(rule, reading, target, place, _within(rule, reading, rng), rng)
    yield (Move(target.id, 0.0, 0.0),)


def _subject(rule: Measure, scene: Scene, reading: Reading, rng: Rng) -> tuple[Instance, str]:
    """A random instance that can be changed, and the name of what it is measured from."""
    for name, other in ((rule.of, rule.other), (rule.other, rule.of)):
        if name and name not in reading.world.areas:
            found = instances(scene, reading, name)
            if found:
                return one_of(rng, found), other
    raise Absent(f"no {words(rule.of)}")


def _beyond(rule: Measure, reading: Reading, side: Side, rng: Rng) -> float:
    """A value beyond the limit of that side."""
    (low, high), zone = rule.limits, measure_zone(rule, reading)
    if rule.kind == "angle":
        far = max(360.0 - (high - low), 0.0) / 2
    elif side.kind == "below":
        far = zone + (low - zone) * 0.6
    elif rule.kind in ("height", "width") and not rule.unit:
        far = zone + max(0.99 - high - zone, 0.3 * high if high >= 0.9 else 0.02)
    else:
        far = zone + max(0.6 * high, 4 * zone)
    reach = distance(zone, far, rng)
    return low - reach if side.kind == "below" else high + reach


def _within(rule: Measure, reading: Reading, rng: Rng) -> float:
    """A value within the limits, mostly near one of them."""
    (low, high), zone = rule.limits, inner_zone(rule, measure_zone(rule, reading))
    from_low = "below" in rule.sides() and (high == math.inf or rng.random() < 0.5)
    far = (high - low) / 2
    if not from_low and "below" not in rule.sides():
        far = 0.6 * high
    elif high == math.inf:
        far = max(0.3 * low, 4 * zone)
    reach = distance(zone, far, rng)
    return low + reach if from_low else high - reach


def _changed(rule: Measure, reading: Reading, target: Instance, place: str, value: float, rng: Rng) -> Iterator[Plans]:
    """The edit after which the target measures so much."""
    if place:
        yield (_moved(rule, reading, target, place, value, rng),)
        return
    if rule.kind in ("height", "width") and target.component not in reading.world.fills and rng.random() < TURNED:
        yield (Rotate(target.id, float(rng.uniform(15, 90)) * (1 if rng.random() < 0.5 else -1)),)
    new = _resized(rule, reading, target, value)
    if new is not None and min(new.width, new.height) >= 2:
        yield (Resize(target.id, new),)


def _moved(rule: Measure, reading: Reading, target: Instance, place: str, value: float, rng: Rng) -> Move:
    """The target on the same line at another distance, or at the same distance in another direction.

    Where that may leave the photo, half of the time in any direction, or nearer.
    """
    box, start = target.box, reading.partner(place, target.box).centre
    x, y = box.centre[0] - start[0], box.centre[1] - start[1]
    if rule.kind == "angle":
        # Seen from the second of the two, the first lies the other way.
        reach = math.hypot(x, y) * (-1 if place == rule.other else 1)
        reach *= 1.0 if rng.random() < 0.5 else 0.3 + 0.7 * float(rng.random())
        dx, dy = math.cos(math.radians(value)) * reach, -math.sin(math.radians(value)) * reach
    else:
        same = math.hypot(x, y) > 1 and rng.random() < 0.5
        angle = math.atan2(y, x) if same else float(rng.random()) * 2 * math.pi
        reach = value * rule.unit_px(reading, box)
        dx, dy = math.cos(angle) * reach, math.sin(angle) * reach
    return Move(target.id, start[0] + dx - box.centre[0], start[1] + dy - box.centre[1])


def _resized(rule: Measure, reading: Reading, target: Instance, value: float) -> Box | None:
    """The target's box with another size. A filling changes at its top, a height keeps its foot."""
    box, size = target.box, value * rule.unit_px(reading, target.box)
    if rule.kind == "height":
        return Box(box.x1, box.y2 - size, box.x2, box.y2)
    if rule.kind == "width":
        return Box(box.centre[0] - size / 2, box.y1, box.centre[0] + size / 2, box.y2)
    present = rule.size_of(box)
    if rule.kind == "fill":
        present = rule.values(reading)[0] * rule.unit_px(reading, box)
    if min(present, size) <= 0:
        return None
    factor = size / present
    if target.component in reading.world.fills:
        return Box(box.x1, box.y2 - box.height * factor, box.x2, box.y2)
    factor = factor if rule.kind == "length" else math.sqrt(factor)
    (x, y), width, height = box.centre, box.width * factor / 2, box.height * factor / 2
    return Box(x - width, y - height, x + width, y + height)
