"""Boxes that lie on one another, among thousands, without holding each against each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from logicls.records import Box

DUPLICATE_IOU = 0.95
"""Boxes that share so much are one box drawn twice."""
DUPLICATE_PIXELS = 1.0
"""So are boxes no edge of which differs by more."""
LIKELY_IOU = 0.5
"""Boxes that share so much are probably one thing annotated twice."""

_AT_A_TIME = 1 << 20
"""Pairs held in memory at once."""

Indices = Int[np.ndarray, " pairs"]


class Overlap(NamedTuple):
    """Two boxes of one group, `first` before `second` in the order in which they were given."""

    first: int
    second: int
    kind: Literal["same", "inside", "likely"]
    """The same box twice; one wholly inside the other; or sharing at least `LIKELY_IOU`."""
    iou: float


def find_overlaps(groups: Sequence[int], boxes: Sequence[Box]) -> list[Overlap]:
    """Every two boxes of one group that may be one thing annotated twice, in order.

    Args:
        groups: A number for each box; boxes of different groups never overlap.
        boxes: The boxes; none is inverted.
    """
    if len(boxes) < 2:
        return []
    corners = np.array([(box.x1, box.y1, box.x2, box.y2) for box in boxes])
    found = [pair for block in _candidates(np.asarray(groups), corners) for pair in _kinds(corners, *block)]
    return sorted(found)


def _candidates(
    groups: Int[np.ndarray, " boxes"], corners: Float[np.ndarray, "boxes 4"]
) -> Iterator[tuple[Indices, Indices]]:
    """Pairs of one group that share some width, each once: a sweep along x, the groups laid side by side."""
    order = np.lexsort((corners[:, 0], groups))
    ranks = np.unique(groups[order], return_inverse=True)[1]
    offset = ranks * (corners[:, 2].max() - corners[:, 0].min() + 1.0)
    left, right = corners[order, 0] + offset, corners[order, 2] + offset
    place = np.arange(len(order))
    counts = np.searchsorted(left, right) - place - 1
    ends = np.cumsum(counts)
    start = 0
    while start < len(order):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _AT_A_TIME, side="right")))
        part = counts[start:stop]
        first = np.repeat(place[start:stop], part)
        second = first + 1 + np.arange(len(first)) - np.repeat(ends[start:stop] - part - done, part)
        yield order[first], order[second]
        start = stop


def _kinds(corners: Float[np.ndarray, "boxes 4"], a: Indices, b: Indices) -> Iterator[Overlap]:
    """Those of the pairs that share enough."""
    one, other = corners[a], corners[b]
    sides = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    shared = np.maximum(sides, 0.0).prod(axis=1)
    areas = [(box[:, 2:] - box[:, :2]).prod(axis=1) for box in (one, other)]
    iou = shared / np.maximum(areas[0] + areas[1] - shared, np.finfo(float).tiny)
    same = (np.abs(one - other).max(axis=1) <= DUPLICATE_PIXELS) | (iou >= DUPLICATE_IOU)
    inside = _holds(one, other) | _holds(other, one)
    found = (shared > 0) & (same | inside | (iou >= LIKELY_IOU))
    for index in np.flatnonzero(found):
        first, second = sorted((int(a[index]), int(b[index])))
        kind: Literal["same", "inside", "likely"] = "same" if same[index] else "inside" if inside[index] else "likely"
        yield Overlap(first, second, kind, float(iou[index]))


def _holds(outer: Float[np.ndarray, "pairs 4"], inner: Float[np.ndarray, "pairs 4"]) -> Bool[np.ndarray, " pairs"]:
    """True where `inner` does not leave `outer`."""
    return np.asarray(((outer[:, :2] <= inner[:, :2]) & (outer[:, 2:] >= inner[:, 2:])).all(axis=1))
