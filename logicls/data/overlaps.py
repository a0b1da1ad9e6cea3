"""Find overlapping boxes among thousands by a sweep along x, without comparing all pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from logicls.records import Box

DUPLICATE_IOU = 0.95
"""Minimum IoU of duplicates."""
DUPLICATE_PIXELS = 1.0
"""Maximum difference of each edge of duplicates, pixels; an alternative to the IoU."""
SUSPICIOUS_IOU = 0.5
"""Minimum IoU of boxes that probably annotate one object twice."""

_BLOCK_SIZE = 1 << 20
"""Candidate pairs in memory at once."""

Indices = Int[np.ndarray, " pairs"]


class Overlap(NamedTuple):
    """Two overlapping boxes of one group, by their indices; `first` is the smaller index."""

    first: int
    second: int
    kind: Literal["duplicate", "inside", "suspicious"]
    """`duplicate`: nearly equal; `inside`: one contains the other; `suspicious`: IoU of `SUSPICIOUS_IOU` or more."""
    iou: float


def find_overlaps(groups: Sequence[int], boxes: Sequence[Box]) -> list[Overlap]:
    """Return all pairs of boxes of one group that may annotate one object twice, sorted.

    Args:
        groups: Group number of each box; boxes of different groups are not compared.
        boxes: Boxes with x1 <= x2 and y1 <= y2.
    """
    if len(boxes) < 2:
        return []
    corners = np.array([(box.x1, box.y1, box.x2, box.y2) for box in boxes])
    blocks = _candidate_pairs(np.asarray(groups), corners)
    return sorted(overlap for block in blocks for overlap in _classify_pairs(corners, *block))


def _candidate_pairs(
    groups: Int[np.ndarray, " boxes"], corners: Float[np.ndarray, "boxes 4"]
) -> Iterator[tuple[Indices, Indices]]:
    """Yield blocks of pairs of one group that overlap along x, each pair once.

    One sweep handles all groups: each group is shifted to an x range of its own.
    """
    order = np.lexsort((corners[:, 0], groups))
    ranks = np.unique(groups[order], return_inverse=True)[1]
    offset = ranks * (corners[:, 2].max() - corners[:, 0].min() + 1.0)
    left, right = corners[order, 0] + offset, corners[order, 2] + offset
    position = np.arange(len(order))
    counts = np.searchsorted(left, right) - position - 1
    ends = np.cumsum(counts)
    start = 0
    while start < len(order):
        done = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _BLOCK_SIZE, side="right")))
        part = counts[start:stop]
        first = np.repeat(position[start:stop], part)
        second = first + 1 + np.arange(len(first)) - np.repeat(ends[start:stop] - part - done, part)
        yield order[first], order[second]
        start = stop


def _classify_pairs(corners: Float[np.ndarray, "boxes 4"], a: Indices, b: Indices) -> Iterator[Overlap]:
    """Yield the pairs that overlap enough."""
    box_a, box_b = corners[a], corners[b]
    sides = np.minimum(box_a[:, 2:], box_b[:, 2:]) - np.maximum(box_a[:, :2], box_b[:, :2])
    intersection = np.maximum(sides, 0.0).prod(axis=1)
    areas = [(box[:, 2:] - box[:, :2]).prod(axis=1) for box in (box_a, box_b)]
    iou = intersection / np.maximum(areas[0] + areas[1] - intersection, np.finfo(float).tiny)
    duplicate = (np.abs(box_a - box_b).max(axis=1) <= DUPLICATE_PIXELS) | (iou >= DUPLICATE_IOU)
    inside = _contains(box_a, box_b) | _contains(box_b, box_a)
    selected = (intersection > 0) & (duplicate | inside | (iou >= SUSPICIOUS_IOU))
    for index in np.flatnonzero(selected):
        first, second = sorted((int(a[index]), int(b[index])))
        kind: Literal["duplicate", "inside", "suspicious"]
        kind = "duplicate" if duplicate[index] else "inside" if inside[index] else "suspicious"
        yield Overlap(first, second, kind, float(iou[index]))


def _contains(outer: Float[np.ndarray, "pairs 4"], inner: Float[np.ndarray, "pairs 4"]) -> Bool[np.ndarray, " pairs"]:
    """Return True for pairs whose `outer` box contains the `inner` one."""
    return np.asarray(((outer[:, :2] <= inner[:, :2]) & (outer[:, 2:] >= inner[:, 2:])).all(axis=1))
