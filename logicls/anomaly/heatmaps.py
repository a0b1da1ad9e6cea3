"""Heatmaps: their transform to pixels of photos, and the region around their maximum."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from logicls.data.image_io import letterbox_transform
from logicls.records import Box

REGION_SHARE = 0.5
"""Neighbouring cells belong to the flaw if they reach this share of the maximum, above the median."""


@dataclass(frozen=True, slots=True)
class HeatmapFrame:
    """Transform from cells of a heatmap to pixels of photos."""

    size: tuple[int, int]
    """(height, width) of the encoder's input, to which photos are letterboxed, pixels."""
    cell: int
    """Pixels of the input for each cell, on each axis."""

    def to_photo(self, box: Box, width: int, height: int) -> Box:
        """Convert a box in cells to pixels of a photo of that size, clipped to it."""
        scale, left, top = letterbox_transform(self.size, width, height)
        x1, x2 = ((edge * self.cell - left) / scale for edge in (box.x1, box.x2))
        y1, y2 = ((edge * self.cell - top) / scale for edge in (box.y1, box.y2))
        return Box(x1, y1, x2, y2).clip(width, height)


def connected_region(heatmap: Float[np.ndarray, "rows columns"], peak: int) -> Bool[np.ndarray, "rows columns"]:
    """Return the connected component around a cell of all cells above the half maximum, measured from the median."""
    row, column = divmod(peak, heatmap.shape[1])
    median = float(np.median(heatmap))
    is_high = (heatmap > median + REGION_SHARE * (float(heatmap[row, column]) - median)).astype(np.uint8)
    is_high[row, column] = 1
    _, labels = cv2.connectedComponents(is_high, connectivity=8)
    return np.asarray(labels == labels[row, column])


def bounding_box(mask: Bool[np.ndarray, "rows columns"]) -> Box:
    """Return the box around the cells of a mask, in cells."""
    rows, columns = np.nonzero(mask)
    return Box(float(columns.min()), float(rows.min()), float(columns.max()) + 1, float(rows.max()) + 1)
