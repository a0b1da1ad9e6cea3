"""Detections of photos in one batch: each photo has its own, whatever the others contain."""

from __future__ import annotations

import numpy as np
import torch

from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.detection_head import CELL_PIXELS, DetectionHead
from logicls.predict.readers.detections import BOXES_PER_PASS, detect
from logicls.predict.readers.protocol import Detection

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
