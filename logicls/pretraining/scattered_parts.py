"""Many components of a few kinds and colours on one area.

Where things go: scattered, in rows, on a grid, on a circle, in a heap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from logicls.pretraining.catalogue import KINDS, free_beside, together
from logicls.pretraining.component_kinds import Kind, Look
from logicls.pretraining.drawing import Pose
from logicls.pretraining.hardware import SHAPES
from logicls.pretraining.scene_builder import Stage
from logicls.pretraining.surfaces import Rgb, Rng, palette


class Area(NamedTuple):
    """An upright rectangle on the photo, pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> tuple[float, float]:
        """Its centre."""
        return self.x + self.width / 2, self.y + self.height / 2

    def inset(self, by: float) -> Area:
        """The area without a border of that width."""
        return Area(self.x + by, self.y + by, max(self.width - 2 * by, 1), max(self.height - 2 * by, 1))


Centres = list[tuple[float, float]]


def scattered(
    rng: Rng, area: Area, radii: list[float], gap: float, *, heaped: bool = False
) -> list[tuple[float, float] | None]:
    """A place for each circle, `gap` times their radii apart (below 1 they may overlap); None where none was found.

    `heaped`: they keep to the middle.
    """
    found: list[tuple[float, float] | None] = []
    taken = np.zeros((0, 3))
    for radius in radii:
        room = area.inset(radius * 1.02)
        share = rng.random((14, 2)) if not heaped else np.clip(0.5 + 0.16 * rng.standard_normal((14, 2)), 0, 1)
        tries = share * (room.width, room.height) + (room.x, room.y)
        far = np.hypot(tries[:, :1] - taken[:, 0], tries[:, 1:] - taken[:, 1]) >= gap * (taken[:, 2] + radius)
        good = np.flatnonzero(far.all(axis=1))
        fits = area.width > 2 * radius and area.height > 2 * radius
        if not len(good) or not fits:
            found.append(None)
            continue
        x, y = tries[good[0]].tolist()
        found.append((x, y))
        taken = np.concatenate([taken, [(x, y, radius)]])
    return found


def grid(rng: Rng, area: Area, rows: int, columns: int, jitter: float) -> Centres:
    """The middles of the cells, row by row, each off by up to `jitter` of a cell."""
    wide, high = area.width / columns, area.height / rows
    off = rng.uniform(-jitter, jitter, (rows * columns, 2))
    return [
        (
            area.x + (c + 0.5) * wide + off[r * columns + c, 0] * wide,
            area.y + (r + 0.5) * high + off[r * columns + c, 1] * high,
        )
        for r in range(rows)
        for c in range(columns)
    ]


def circle(rng: Rng, area: Area, count: int, radius: float) -> Centres:
    """Evenly on a circle around the area's middle."""
    (x, y), start = area.middle, rng.uniform(0, 2 * np.pi)
    turn = start + np.arange(count) * 2 * np.pi / count
    return [(float(x + radius * np.cos(t)), float(y + radius * np.sin(t))) for t in turn]


RATIO = 1.75
"""Of a large component's size to a small one's."""


@dataclass(frozen=True, slots=True)
class Group:
    """Components that look the same."""

    kind: Kind
    colour: str
    look: Look
    size: str
    pixels: float
    lying: str
    """`horizontal` or `vertical` where each lies so; empty: turned any way."""


def crowd(stage: Stage, area: Area, ground: Rgb, kinds: tuple[Kind, ...] = KINDS, *, most: int = 30) -> list[int]:
    """Fill the area; returns the numbers of what was added."""
    rng = stage.rng
    count = min(_count(rng), most)
    if not count:
        return []
    kinds = SHAPES if rng.random() < 0.15 else kinds
    size = _size(rng, area, count)
    groups = _groups(stage, kinds, size, count, ground)
    if not groups:
        return []
    order = sorted(int(number) for number in rng.integers(len(groups), size=count))
    if rng.random() < 0.7:
        rng.shuffle(order)
    members = [groups[number] for number in order]
    return [
        _put(stage, group, *place) for group, place in zip(members, _places(rng, area, members), strict=False) if place
    ]


def _count(rng: Rng) -> int:
    draw = rng.random()
    if draw < 0.42:
        return int(rng.choice(6, p=(0.07, 0.2, 0.2, 0.2, 0.18, 0.15)))
    return int(rng.integers(5, 13)) if draw < 0.8 else int(rng.integers(12, 31))


def _size(rng: Rng, area: Area, count: int) -> float:
    """The longer side of most of them, pixels."""
    short = min(area.width, area.height)
    roomy = np.sqrt(area.width * area.height / count) * 0.72
    highest = min(roomy, 0.9 * short)
    if rng.random() < 0.14:
        return float(np.exp(rng.uniform(np.log(max(0.016 * short, 2.0)), np.log(max(0.07 * short, 7)))))
    lowest = min(max(0.016 * short, 2.6), highest)
    return (
        float(np.exp(rng.uniform(np.log(max(lowest, 0.25 * highest)), np.log(highest))))
        if rng.random() < 0.85
        else float(rng.uniform(lowest, highest))
    )


def _groups(stage: Stage, kinds: tuple[Kind, ...], size: float, count: int, ground: Rgb) -> list[Group]:
    rng = stage.rng
    chosen = together(rng, int(rng.integers(1, min(4, count) + 1)), free_beside(stage.kinds, kinds), size)
    stage.kinds.extend(chosen)
    shared = palette(rng, int(rng.integers(1, 4)), ground)
    groups: list[Group] = []
    for kind in chosen:
        colours = (
            [c for c in shared if c in kind.colours]
            or palette(rng, int(rng.integers(1, 3)), ground, kind.colours or ("",))
            if kind.colours
            else [""]
        )
        if kind.colours and not colours:
            continue
        form = tuple(rng.random(3).tolist())
        lying = str(rng.choice(("horizontal", "vertical", "either"))) if kind.long and rng.random() < 0.5 else ""
        both = rng.random() < 0.3 and size / RATIO >= kind.smallest
        for colour in colours:
            look = stage.look(kind, colour, (form[0], form[1], form[2]))
            sizes = (("large", size), ("small", size / RATIO)) if both else (("", size),)
            groups += [Group(kind, colour, look, name, pixels, lying) for name, pixels in sizes]
    return groups


def _places(rng: Rng, area: Area, members: list[Group]) -> Sequence[tuple[float, float] | None]:
    widest = max(group.pixels for group in members)
    how = str(rng.choice(("scatter", "scatter", "heap", "grid", "row", "circle")))
    count, around = len(members), min(area.width, area.height)
    if how == "grid" and count > 2:
        columns = max(round(np.sqrt(count * area.width / area.height)), 1)
        rows = -(-count // columns)
        if widest * 1.05 < min(area.width / columns, area.height / rows):
            places = grid(rng, area, rows, columns, 0.06 * rng.random())
            return [
                places[int(k)] for k in (rng.permutation(len(places)) if rng.random() < 0.4 else range(len(places)))
            ][:count]
    if how == "row" and count < 9:
        across = widest * count * 1.1 < area.width
        if across or widest * count * 1.1 < area.height:
            return list(grid(rng, area, 1, count, 0.04) if across else grid(rng, area, count, 1, 0.04))
    if how == "circle" and 2 < count < 13 and widest < 0.4 * around:
        radius = float(rng.uniform(0.6, 1)) * (around - widest) / 2
        if 2 * radius * np.sin(np.pi / count) > widest * 1.02:
            return list(circle(rng, area, count, radius))
    gap = float(rng.choice((1.2, 1.05, 0.95, 0.84)))
    return scattered(rng, area, [0.56 * group.pixels for group in members], gap, heaped=how == "heap")


def _put(stage: Stage, group: Group, x: float, y: float) -> int:
    rng, kind = stage.rng, group.kind
    look = stage.vary(group.look)
    value = str(rng.choice(kind.values)) if kind.values else ""
    look = Look(look.rgb, look.second, look.light, look.form, value, look.wood)
    degrees = {"any": rng.uniform(0, 360), "slight": rng.uniform(-9, 9), "none": 0.0}[kind.turn]
    extra: tuple[tuple[str, str], ...] = ()
    if group.lying:
        way = group.lying if group.lying != "either" else str(rng.choice(("horizontal", "vertical")))
        degrees = float(rng.normal(90 if way == "horizontal" else 0, 4)) + 180 * int(rng.integers(2))
        extra = (("orientation", way),)
    if kind.attribute == "direction":
        degrees = kind.values.index(value) * 90 + rng.uniform(-9, 9)
    size = group.pixels * float(rng.uniform(0.95, 1.05))
    return stage.add(kind, Pose(x, y, size, float(degrees)), look, colour=group.colour, size=group.size, extra=extra)
