"""Photos on which a region is not to be seen, or nothing but it.

A region is blanked with the ground around it, as synthesis takes things away: an eighth of its size beyond the box goes
with it. A flat patch of the colours beside the box was tried, and was itself something to see: a dark red block in a
bottle is read as red juice. What is kept stands sharp in its photo out of focus: so much that no thing can be told any
more, while light and colours stay those of the photo.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from logicls.records import Box
from logicls.synth.ground import cleared
from logicls.synth.pixels import Photo, feathered, whole

MARGIN, LEAST = 0.08, 4
"""Share of a box's sides, and pixels at the least, that are kept around it: an edge is seen from both of its sides."""
BLUR = 0.15
"""Standard deviation of the blur, share of the photo's smaller side."""
COARSE = 128
"""Pixels of the smaller side of the copy that is blurred: more would look the same."""


def blanked(photo: Photo, boxes: Sequence[Box], others: Sequence[Box], rng: np.random.Generator) -> Photo:
    """The photo without what the boxes show. Nothing is learned about the ground from `others`.

    Boxes that the blanked ones lie in are not others: the ground is inside them.
    """
    for box in boxes:
        x1, y1, x2, y2 = whole(box, photo)
        around = [other for other in others if box.covered_by(other) < 0.5]
        photo = cleared(photo, box, np.ones((y2 - y1, x2 - x1), np.float32), rng, others=around)
    return photo


def kept(photo: Photo, boxes: Sequence[Box]) -> Photo:
    """The photo in which only the boxes are in focus."""
    height, width = photo.shape[:2]
    share = np.zeros((height, width), np.float32)
    for box in boxes:
        dx, dy = max(MARGIN * box.width, LEAST), max(MARGIN * box.height, LEAST)
        x1, y1, x2, y2 = whole(Box(box.x1 - dx, box.y1 - dy, box.x2 + dx, box.y2 + dy), photo)
        share[y1:y2, x1:x2] = 1
    soft = cv2.GaussianBlur(share, (0, 0), LEAST / 3)
    return feathered(_out_of_focus(photo), photo, soft)


def _out_of_focus(photo: Photo) -> Photo:
    height, width = photo.shape[:2]
    shrink = min(COARSE / min(height, width), 1.0)
    size = max(round(width * shrink), 1), max(round(height * shrink), 1)
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), BLUR * min(size))
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
