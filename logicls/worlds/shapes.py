"""Outlines of unit size: the longer side is 1, the box's middle is (0, 0)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from logicls.worlds.canvas import Points


class Pose(NamedTuple):
    """Where a unit outline goes: middle and longer side in pixels of the photo, turned clockwise."""

    x: float
    y: float
    size: float
    degrees: float = 0.0

    def put(self, unit: Points) -> Points:
        """The outline on the photo."""
        a = np.deg2rad(self.degrees)
        spin = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) * self.size
        return np.asarray(unit @ spin + (self.x, self.y), dtype=np.float64)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A unit point on the photo."""
        (px, py) = self.put(np.array([[x, y]]))[0].tolist()
        return px, py


def fitted(points: Points) -> Points:
    """The outline scaled to unit size, proportions kept."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.asarray((points - (low + high) / 2) / (high - low).max(), dtype=np.float64)


def about(points: Points, factor: float, x: float = 0.0, y: float = 0.0, *, tall: float = 1.0) -> Points:
    """The outline scaled about its box's middle (its height by `tall` once more) and moved by (x, y)."""
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    return np.asarray(middle + (points - middle) * (factor, factor * tall) + (x, y), dtype=np.float64)


@cache
def ellipse(wide: float = 1.0, high: float = 1.0, x: float = 0.0, y: float = 0.0) -> Points:
    """An upright ellipse around (x, y)."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([x + wide / 2 * np.cos(turn), y + high / 2 * np.sin(turn)], axis=1)


@cache
def block(wide: float, high: float, round_by: float = 0.0, x: float = 0.0, y: float = 0.0) -> Points:
    """An upright rectangle around (x, y) with corners of radius `round_by`."""
    if not round_by:
        return np.array([(-wide, -high), (wide, -high), (wide, high), (-wide, high)]) / 2 + (x, y)
    turn = np.linspace(0, np.pi / 2, 6)
    arc = np.stack([np.cos(turn), np.sin(turn)], axis=1) * round_by + (wide / 2 - round_by, high / 2 - round_by)
    right = np.concatenate([arc[::-1] * (1, -1), arc])
    return np.asarray(np.concatenate([right, right[::-1] * (-1, 1)]) + np.array((x, y)), dtype=np.float64)


@cache
def polygon(corners: int, inner: float = 0.0) -> Points:
    """A regular polygon with a corner on top; a star where `inner` gives the radius between its points."""
    count = corners * 2 if inner else corners
    turn = np.arange(count) * 2 * np.pi / count
    radius = np.where(np.arange(count) % 2 == 1, inner, 1.0) if inner else np.ones(count)
    return fitted(np.stack([radius * np.sin(turn), -radius * np.cos(turn)], axis=1))


@cache
def cog(teeth: int) -> Points:
    """A gear wheel."""
    turn = np.arange(teeth * 4) * 2 * np.pi / (teeth * 4)
    radius = np.where(np.arange(teeth * 4) % 4 < 2, 1.0, 0.8)
    return fitted(np.stack([radius * np.sin(turn), -radius * np.cos(turn)], axis=1))


@cache
def cross(arm: float) -> Points:
    """A plus whose arms are `arm` wide."""
    a, b = arm / 2, 0.5
    quarter = [(a, -b), (a, -a), (b, -a)]
    return np.array(
        [
            *quarter,
            *[(x, -y) for x, y in quarter[::-1]],
            *[(-x, -y) for x, y in quarter],
            *[(-x, y) for x, y in quarter[::-1]],
        ]
    )


@cache
def arrow() -> Points:
    """An arrow that points up."""
    half = [(0, -0.5), (0.38, -0.08), (0.15, -0.08), (0.15, 0.5)]
    return np.array([*half, *[(-x, y) for x, y in half[:0:-1]]])


@cache
def heart() -> Points:
    """A heart."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x, y = 16 * np.sin(t) ** 3, -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return fitted(np.stack([x, y], axis=1))


@cache
def drop() -> Points:
    """A drop, its tip on top."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return fitted(np.stack([0.8 * np.sin(t) * np.sin(t / 2) ** 1.5, -np.cos(t)], axis=1))


@cache
def leaf(wide: float = 0.5) -> Points:
    """A leaf along the vertical."""
    half = np.linspace(-0.5, 0.5, 20)
    bow = wide / 2 * np.cos(half * np.pi)
    return np.concatenate([np.stack([bow, half], 1), np.stack([-bow, half], 1)[::-1]])


@cache
def moon(bite: float = 0.62) -> Points:
    """A crescent, open to the right."""
    outer = np.linspace(np.pi / 3, 5 * np.pi / 3, 30)
    edge = np.stack([np.cos(outer), np.sin(outer)], axis=1)
    top, low = edge[-1], edge[0]
    line = np.linspace(0, 1, 20)[:, None]
    back = top + (low - top) * line - np.sin(line * np.pi) * (bite, 0)
    return fitted(np.concatenate([edge, back[1:-1]]))


@cache
def banana() -> Points:
    """A banana, bent downwards."""
    turn = np.linspace(np.pi * 0.12, np.pi * 0.88, 24)
    thick = 0.17 * np.sin((turn - turn[0]) / (turn[-1] - turn[0]) * np.pi) ** 0.6 + 0.03
    ray = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return fitted(np.concatenate([ray * (1 + thick)[:, None], (ray * (1 - thick)[:, None])[::-1]]))


@cache
def cloud(lobes: int, depth: float) -> Points:
    """A disc whose edge goes in and out: flowers, clouds, biscuits."""
    t = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    radius = 1 + depth * np.cos(lobes * t)
    return fitted(np.stack([radius * np.sin(t), -radius * np.cos(t)], axis=1))


def ribbon(middle: Points, width: float) -> Points:
    """The outline of a band of that width along a line."""
    along = np.gradient(middle, axis=0)
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * (width / 2)
    return np.concatenate([middle + across, (middle - across)[::-1]])
