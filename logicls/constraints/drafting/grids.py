"""Places in columns and rows, as the compartments of a box: one region says what a list of places would."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from logicls.constraints.drafting.spans import DIGITS, MARGIN

Box = tuple[float, float, float, float]
OFF = 0.25
"""A place is off the middle of its cell by no more than this share of the cell."""
Divided = tuple[Box, tuple[int, int]]
"""A box, and its columns and rows."""


def gridded(centre: Float[np.ndarray, "rows 2"], slot: Int[np.ndarray, " rows"], cover: Box) -> Divided | None:
    """The box whose cells hold one place each; None where there is none.

    Args:
        centre: Where the instances lie, fractions of the frame.
        slot: In which of the places each lies.
        cover: What all of them cover together.
    """
    count = int(slot.max()) + 1
    middle = np.array([centre[slot == place].mean(axis=0) for place in range(count)])
    for columns in (c for c in range(1, count + 1) if count % c == 0):
        numbers = columns, count // columns
        # Of so many in a column, the first so many from the left are in the first.
        cells = np.stack([_ranks(middle[:, axis]) * numbers[axis] // count for axis in (0, 1)], axis=1)
        box = _spanned(middle, numbers, cover)
        if box and _regular(middle, cells, box, numbers) and _fits(centre, cells[slot], box, numbers):
            return box, numbers
    return None


def _ranks(values: Float[np.ndarray, " places"]) -> Int[np.ndarray, " places"]:
    ranks = np.empty(len(values), dtype=int)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks


def _spanned(middle: Float[np.ndarray, "places 2"], numbers: tuple[int, int], cover: Box) -> Box | None:
    """From half a pitch before the first places to half a pitch behind the last; the cover where there is one only."""
    low, high = list(cover[:2]), list(cover[2:])
    for axis in (0, 1):
        if numbers[axis] > 1:
            ordered = np.sort(middle[:, axis]).reshape(numbers[axis], -1).mean(axis=1)
            half = float(ordered[-1] - ordered[0]) / (numbers[axis] - 1) / 2
            low[axis], high[axis] = float(ordered[0]) - half, float(ordered[-1]) + half
    x1, y1, x2, y2 = (round(min(max(edge, 0.0), 1.0), DIGITS) for edge in (*low, *high))
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _regular(
    middle: Float[np.ndarray, "places 2"], cells: Int[np.ndarray, "places 2"], box: Box, numbers: tuple[int, int]
) -> bool:
    """Whether the places lie about the middles of their cells, and no two share one."""
    corner, size = np.array(box[:2]), (np.array(box[2:]) - np.array(box[:2])) / np.array(numbers)
    off = np.abs((middle - corner) / size - cells - 0.5).max()
    return bool(off <= OFF and len(np.unique(cells, axis=0)) == len(middle))


def _fits(
    centre: Float[np.ndarray, "rows 2"], cells: Int[np.ndarray, "rows 2"], box: Box, numbers: tuple[int, int]
) -> bool:
    """Whether every centre lies in its own cell."""
    corner, size = np.array(box[:2]), (np.array(box[2:]) - np.array(box[:2])) / np.array(numbers)
    inside = (centre - corner) / size - cells
    margin = MARGIN / size
    return bool((inside > margin).all() and (inside < 1 - margin).all())
