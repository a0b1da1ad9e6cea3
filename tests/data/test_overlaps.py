"""The sweep finds the same overlaps as a comparison of all pairs."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logicls.data import overlaps as overlaps_module
from logicls.data.overlaps import Overlap, find_overlaps
from logicls.records import Box


def find_overlaps_naively(groups: list[int], boxes: list[Box]) -> list[Overlap]:
    """Compare all pairs, as in the definition."""
    overlaps = []
    for i, j in combinations(range(len(boxes)), 2):
        a, b = boxes[i], boxes[j]
        if groups[i] != groups[j] or not a.intersection(b):
            continue
        edges = ((a.x1, b.x1), (a.y1, b.y1), (a.x2, b.x2), (a.y2, b.y2))
        if all(abs(edge_a - edge_b) <= 1 for edge_a, edge_b in edges) or a.iou(b) >= 0.95:
            overlaps.append(Overlap(i, j, "duplicate", a.iou(b)))
        elif a.ioa(b) == 1 or b.ioa(a) == 1:
            overlaps.append(Overlap(i, j, "inside", a.iou(b)))
        elif a.iou(b) >= 0.5:
            overlaps.append(Overlap(i, j, "suspicious", a.iou(b)))
    return overlaps


corners = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 30), st.integers(1, 30))
boxes = st.builds(lambda c: Box(c[0], c[1], c[0] + c[2], c[1] + c[3]), corners)


@given(
    grouped_boxes=st.lists(st.tuples(st.integers(0, 2), boxes), max_size=20), block_size=st.sampled_from([1, 7, 1000])
)
def test_sweep_equals_comparison_of_all_pairs(grouped_boxes: list[tuple[int, Box]], block_size: int) -> None:
    """The number of pairs in memory does not matter."""
    groups, plain_boxes = [group for group, _ in grouped_boxes], [box for _, box in grouped_boxes]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlaps_module, "_BLOCK_SIZE", block_size)
        result = find_overlaps(groups, plain_boxes)

    assert result == find_overlaps_naively(groups, plain_boxes)
