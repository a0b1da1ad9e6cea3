"""Crowds: many components of a few kinds and colours, scattered, in rows, on a grid, on a circle or in a heap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from logicls.pretraining.catalogue import KINDS, find_absent_kinds, sample_kinds
from logicls.pretraining.component_kinds import ComponentKind, ComponentStyle
from logicls.pretraining.drawing import Pose
from logicls.pretraining.hardware import SHAPE_KINDS
from logicls.pretraining.scene_builder import SceneBuilder
from logicls.pretraining.surfaces import Rgb, Rng, sample_palette


class SceneArea(NamedTuple):
    """Axis-aligned rectangle on the photo, pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def centre(self) -> tuple[float, float]:
        """Its centre."""
        return self.x + self.width / 2, self.y + self.height / 2

    def inset(self, by: float) -> SceneArea:
        """Return the area without a border of that width."""
        return SceneArea(self.x + by, self.y + by, max(self.width - 2 * by, 1), max(self.height - 2 * by, 1))


Points2d = list[tuple[float, float]]


def scatter(
    rng: Rng, area: SceneArea, radii: list[float], gap: float, *, is_heap: bool = False
) -> list[tuple[float, float] | None]:
    """Sample a centre for each circle; None if there is no space for it.

    Circles are `gap` times their radii apart (below 1 they may overlap). `is_heap`: centres are concentrated in the
    middle.
    """
    centres: list[tuple[float, float] | None] = []
    placed = np.zeros((0, 3))
    for radius in radii:
        inner = area.inset(radius * 1.02)
        share = rng.random((14, 2)) if not is_heap else np.clip(0.5 + 0.16 * rng.standard_normal((14, 2)), 0, 1)
        candidates = share * (inner.width, inner.height) + (inner.x, inner.y)
        is_apart = np.hypot(candidates[:, :1] - placed[:, 0], candidates[:, 1:] - placed[:, 1]) >= gap * (
            placed[:, 2] + radius
        )
        valid = np.flatnonzero(is_apart.all(axis=1))
        is_large_enough = area.width > 2 * radius and area.height > 2 * radius
        if not len(valid) or not is_large_enough:
            centres.append(None)
            continue
        x, y = candidates[valid[0]].tolist()
        centres.append((x, y))
        placed = np.concatenate([placed, [(x, y, radius)]])
    return centres


def grid_centres(rng: Rng, area: SceneArea, rows: int, columns: int, jitter: float) -> Points2d:
    """Return the centres of a grid's cells, row by row, each shifted by up to `jitter` of a cell."""
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


def circle_centres(rng: Rng, area: SceneArea, count: int, radius: float) -> Points2d:
    """Return points evenly spaced on a circle around the area's centre."""
    (x, y), start = area.centre, rng.uniform(0, 2 * np.pi)
    turn = start + np.arange(count) * 2 * np.pi / count
    return [(float(x + radius * np.cos(t)), float(y + radius * np.sin(t))) for t in turn]


SIZE_RATIO = 1.75
"""Size of a large component relative to a small one."""


@dataclass(frozen=True, slots=True)
class ComponentGroup:
    """Components of the same appearance."""

    kind: ComponentKind
    colour: str
    style: ComponentStyle
    size: str
    pixels: float
    orientation: str
    """`horizontal` or `vertical` if all have it, `either` if each has one of them; empty: any rotation."""


def draw_crowd(
    scene: SceneBuilder,
    area: SceneArea,
    background: Rgb,
    kinds: tuple[ComponentKind, ...] = KINDS,
    *,
    max_count: int = 30,
) -> list[int]:
    """Fill the area with a crowd, and return the numbers of the components added."""
    rng = scene.rng
    count = min(_sample_count(rng), max_count)
    if not count:
        return []
    kinds = SHAPE_KINDS if rng.random() < 0.15 else kinds
    size = _sample_size(rng, area, count)
    groups = _sample_groups(scene, kinds, size, count, background)
    if not groups:
        return []
    order = sorted(int(number) for number in rng.integers(len(groups), size=count))
    if rng.random() < 0.7:
        rng.shuffle(order)
    members = [groups[number] for number in order]
    return [
        _add_component(scene, group, *centre)
        for group, centre in zip(members, _arrange(rng, area, members), strict=False)
        if centre
    ]


def _sample_count(rng: Rng) -> int:
    draw = rng.random()
    if draw < 0.42:
        return int(rng.choice(6, p=(0.07, 0.2, 0.2, 0.2, 0.18, 0.15)))
    return int(rng.integers(5, 13)) if draw < 0.8 else int(rng.integers(12, 31))


def _sample_size(rng: Rng, area: SceneArea, count: int) -> float:
    """Sample the longer side of most components, pixels."""
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


def _sample_groups(
    scene: SceneBuilder, kinds: tuple[ComponentKind, ...], size: float, count: int, background: Rgb
) -> list[ComponentGroup]:
    rng = scene.rng
    selected = sample_kinds(rng, int(rng.integers(1, min(4, count) + 1)), find_absent_kinds(scene.kinds, kinds), size)
    scene.kinds.extend(selected)
    shared = sample_palette(rng, int(rng.integers(1, 4)), background)
    groups: list[ComponentGroup] = []
    for kind in selected:
        colours = (
            [c for c in shared if c in kind.colours]
            or sample_palette(rng, int(rng.integers(1, 3)), background, kind.colours or ("",))
            if kind.colours
            else [""]
        )
        if kind.colours and not colours:
            continue
        form = tuple(rng.random(3).tolist())
        orientation = (
            str(rng.choice(("horizontal", "vertical", "either"))) if kind.is_elongated and rng.random() < 0.5 else ""
        )
        has_both_sizes = rng.random() < 0.3 and size / SIZE_RATIO >= kind.min_size
        for colour in colours:
            style = scene.sample_style(kind, colour, (form[0], form[1], form[2]))
            sizes = (("large", size), ("small", size / SIZE_RATIO)) if has_both_sizes else (("", size),)
            groups += [ComponentGroup(kind, colour, style, name, pixels, orientation) for name, pixels in sizes]
    return groups


def _arrange(rng: Rng, area: SceneArea, members: list[ComponentGroup]) -> Sequence[tuple[float, float] | None]:
    widest = max(group.pixels for group in members)
    arrangement = str(rng.choice(("scatter", "scatter", "heap", "grid", "row", "circle")))
    count, around = len(members), min(area.width, area.height)
    if arrangement == "grid" and count > 2:
        columns = max(round(np.sqrt(count * area.width / area.height)), 1)
        rows = -(-count // columns)
        if widest * 1.05 < min(area.width / columns, area.height / rows):
            centres = grid_centres(rng, area, rows, columns, 0.06 * rng.random())
            return [
                centres[int(k)] for k in (rng.permutation(len(centres)) if rng.random() < 0.4 else range(len(centres)))
            ][:count]
    if arrangement == "row" and count < 9:
        across = widest * count * 1.1 < area.width
        if across or widest * count * 1.1 < area.height:
            return list(grid_centres(rng, area, 1, count, 0.04) if across else grid_centres(rng, area, count, 1, 0.04))
    if arrangement == "circle" and 2 < count < 13 and widest < 0.4 * around:
        radius = float(rng.uniform(0.6, 1)) * (around - widest) / 2
        if 2 * radius * np.sin(np.pi / count) > widest * 1.02:
            return list(circle_centres(rng, area, count, radius))
    gap = float(rng.choice((1.2, 1.05, 0.95, 0.84)))
    return scatter(rng, area, [0.56 * group.pixels for group in members], gap, is_heap=arrangement == "heap")


def _add_component(scene: SceneBuilder, group: ComponentGroup, x: float, y: float) -> int:
    rng, kind = scene.rng, group.kind
    style = scene.vary_style(group.style)
    value = str(rng.choice(kind.values)) if kind.values else ""
    style = ComponentStyle(style.rgb, style.second, style.light_direction, style.form, value, style.wood_grain)
    degrees = {"any": rng.uniform(0, 360), "slight": rng.uniform(-9, 9), "none": 0.0}[kind.rotation]
    extra: tuple[tuple[str, str], ...] = ()
    if group.orientation:
        orientation = (
            group.orientation if group.orientation != "either" else str(rng.choice(("horizontal", "vertical")))
        )
        degrees = float(rng.normal(90 if orientation == "horizontal" else 0, 4)) + 180 * int(rng.integers(2))
        extra = (("orientation", orientation),)
    if kind.attribute == "direction":
        degrees = kind.values.index(value) * 90 + rng.uniform(-9, 9)
    size = group.pixels * float(rng.uniform(0.95, 1.05))
    return scene.add(kind, Pose(x, y, size, float(degrees)), style, colour=group.colour, size=group.size, extra=extra)
