"""Detections of photos in one batch: each photo has its own, whatever the others contain."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.detection_head import CELL_PIXELS, DetectionHead
from logicls.predict.readers.detections import (
    BOXES_PER_PASS,
    answer_location,
    detect,
    select_detections,
    suppress_rivals,
)
from logicls.predict.readers.protocol import Detection
from logicls.records import Box, Subquery

ROWS, COLUMNS = 12, 10


class FakeHead(DetectionHead):
    """Takes the feature map's channels as heatmaps, one per query, and regresses boxes from the cells alone."""

    def __init__(self) -> None:
        super().__init__(8, 8, 8)
        self.box_counts: list[int] = []

    def score_centres(self, feature_map, queries):
        """Return the channels."""
        return feature_map

    def regress_boxes(self, feature_map, queries, rows, columns):
        """Return boxes half a cell high, and as wide as half the query's value."""
        self.box_counts.append(rows.numel())
        box = torch.stack([columns, rows, columns + 0.5 * queries[..., 0], rows + 0.5], -1).float()
        return box, box


class IdentityCodec(NanoAnswerCodec):
    """Leaves boxes in pixels of the input."""

    def __init__(self) -> None:
        pass

    def boxes_to_photo(self, edges, size):
        """Return the boxes."""
        return edges


def make_heatmaps(*counts):
    """Make heatmaps of two queries with that many maxima, in cells that do not touch, with different logits."""
    out = torch.full((len(counts), 2, ROWS, COLUMNS), -9.0)
    for photo, count in enumerate(counts):
        for number in range(count):
            row, column = divmod(number // 2, COLUMNS // 2)
            out[photo, number % 2, 2 * row, 2 * column] = 3.0 - 0.1 * ((7 * number) % 41)
    return out


def detect_in(heatmaps):
    """Detect in heatmaps; returns the detections and the head."""
    queries = torch.tensor([1.0, 2.0])[None, :, None].expand(len(heatmaps), -1, 3)
    head = FakeHead()
    return detect(head, IdentityCodec(), heatmaps, queries, [(80, 96)] * len(heatmaps)), head


def test_a_photo_has_the_same_detections_alone_and_in_a_batch():
    """Photos without detections, with a few, and with more than one pass regresses."""
    heatmaps = make_heatmaps(3, 0, 4 * BOXES_PER_PASS + 5, BOXES_PER_PASS)

    batch, _ = detect_in(heatmaps)

    assert batch == [detect_in(heatmaps[n : n + 1])[0][0] for n in range(len(heatmaps))]
    assert [[len(found) for found in photo] for photo in batch] == [[2, 1], [0, 0], [19, 18], [4, 4]]


def test_detections_of_a_query_are_its_own_by_descending_probability():
    """The box is that of the cell, with the width of the query, in pixels."""
    ((_, second),), _ = detect_in(make_heatmaps(7))

    assert [one.probability for one in second] == sorted((one.probability for one in second), reverse=True)
    assert isinstance(second[0], Detection)
    for one in second:
        assert one.cell_box[2] - one.cell_box[0] == 1.0
        assert np.allclose((one.box.x1, one.box.y1), np.multiply(one.cell_box[:2], CELL_PIXELS))


def test_photos_with_few_detections_are_not_regressed_again():
    """A photo full of detections costs the others nothing."""
    _, head = detect_in(make_heatmaps(2, 2, 2, 5 * BOXES_PER_PASS))

    assert head.box_counts == [4 * BOXES_PER_PASS, BOXES_PER_PASS, BOXES_PER_PASS, BOXES_PER_PASS, BOXES_PER_PASS]


def detection(probability, box):
    """Make a detection."""
    return Detection(probability, (0.0,) * 4, box)


def test_components_that_exclude_one_another_suppress_their_duplicates():
    """The more probable of a long and a medium screw at one place counts; a label on a bottle is left alone."""
    screw, other = Box(0, 0, 10, 30), Box(50, 0, 60, 30)
    found = {
        "long": [detection(0.9, screw), detection(0.6, other)],
        "medium": [detection(0.8, Box(0, 0, 10, 28))],
        "bag": [detection(0.7, screw)],
    }

    marked = suppress_rivals(found, frozenset({frozenset({"long", "medium"})}))

    assert marked["bag"] == found["bag"]
    assert marked["long"][1] == found["long"][1]
    [winner, _], [loser] = marked["long"], marked["medium"]
    assert (winner.place, winner.rivals, winner.is_suppressed) == (loser.place, (0.8,), False)
    assert (loser.place, loser.rivals, loser.is_suppressed) == (winner.place, (0.9,), True)
    assert [len(select_detections(one, (100, 100))) for one in marked.values()] == [2, 0, 1]


def test_a_detection_far_from_those_of_excluded_components_is_no_rival():
    """Boxes that hardly overlap are different instances, as of crossing screws."""
    found = {"long": [detection(0.9, Box(0, 0, 10, 30))], "medium": [detection(0.8, Box(0, 20, 10, 50))]}

    assert suppress_rivals(found, frozenset({frozenset({"long", "medium"})})) == found


def test_the_confidence_of_boxes_counts_rivals_once():
    """Odds of 9 for long, 4 for medium and 1 for none: long with 9/14, medium with 4/14."""
    found = {"long": [detection(0.9, Box(0, 0, 9, 9))], "medium": [detection(0.8, Box(0, 0, 9, 9))]}
    marked = suppress_rivals(found, frozenset({frozenset({"long", "medium"})}))

    answers = [
        answer_location(Subquery(f"locate:{name}", name, "locate"), marked[name], (10, 10)) for name in marked
    ]  # fmt: skip

    assert [answer.confidence for answer in answers] == pytest.approx([9 / 14, 10 / 14])
    assert [len(answer.boxes) for answer in answers] == [1, 0]
