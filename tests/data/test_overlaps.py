"""The sweep finds what holding each box against each finds."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logicls.data import overlaps as overlap
from logicls.data.overlaps import Overlap, find_overlaps
from logicls.records import Box


def one_by_one(groups: list[int], boxes: list[Box]) -> list[Overlap]:
    """The definition, as slow as it reads."""
    found = []
    for i, j in combinations(range(len(boxes)), 2):
        a, b = boxes[i], boxes[j]
        if groups[i] != groups[j] or not a.intersection(b):
            continue
        edges = ((a.x1, b.x1), (a.y1, b.y1), (a.x2, b.x2), (a.y2, b.y2))
        if all(abs(one - other) <= 1 for one, other in edges) or a.iou(b) >= 0.95:
            found.append(Overlap(i, j, "same", a.iou(b)))
        elif a.ioa(b) == 1 or b.ioa(a) == 1:
            found.append(Overlap(i, j, "inside", a.iou(b)))
        elif a.iou(b) >= 0.5:
            found.append(Overlap(i, j, "likely", a.iou(b)))
    return found


corners = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 30), st.integers(1, 30))
boxes = st.builds(lambda c: Box(c[0], c[1], c[0] + c[2], c[1] + c[3]), corners)


@given(given_boxes=st.lists(st.tuples(st.integers(0, 2), boxes), max_size=20), at_a_time=st.sampled_from([1, 7, 1000]))
def test_the_sweep_misses_nothing(given_boxes: list[tuple[int, Box]], at_a_time: int) -> None:
    """However many pairs are held in memory at once."""
    groups, found = [group for group, _ in given_boxes], [box for _, box in given_boxes]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "_AT_A_TIME", at_a_time)
        swept = find_overlaps(groups, found)

    assert swept == one_by_one(groups, found)
