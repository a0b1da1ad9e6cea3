"""Where things go: scattered, in rows, on a grid, on a circle, in a heap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from logicls.worlds.colours import Rng


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
