"""Traces that an edit leaves on a photo, and light that falls on it: they say nothing about any answer."""

from __future__ import annotations

import cv2
import numpy as np

from logicls.worlds.canvas import SCALE, Canvas, Points, scale_inside
from logicls.worlds.colours import Rng
from logicls.worlds.shapes import Pose, about, block, cloud, ellipse, polygon

_OUTLINES = (ellipse(1, 1), block(1, 1), block(0.5, 1), polygon(5), cloud(5, 0.12))


def patch(canvas: Canvas, rng: Rng, outline: Points) -> None:
    """Cover the outline with a piece of the canvas from elsewhere, feathered, a little brighter or darker."""
    high, wide = canvas.shape[1:]
    rows, columns = _place(canvas, outline)
    tall, broad = rows.stop - rows.start, columns.stop - columns.start
    if tall < 4 or broad < 4:
        return
    y, x = int(rng.integers(high - tall + 1)), int(rng.integers(wide - broad + 1))
    source = canvas[:, y : y + tall, x : x + broad] * np.float32(rng.uniform(0.93, 1.07))
    part = canvas[:, rows, columns]
    part += (source - part) * _weight(rng, outline, rows, columns)


def _place(canvas: Canvas, outline: Points) -> tuple[slice, slice]:
    """Rows and columns around the outline, some pixels wider."""
    high, wide = canvas.shape[1:]
    (x1, y1), (x2, y2) = (outline.min(axis=0) * SCALE).astype(int), (outline.max(axis=0) * SCALE).astype(int)
    return slice(max(y1 - 8, 0), max(min(y2 + 8, high), 0)), slice(max(x1 - 8, 0), max(min(x2 + 8, wide), 0))


def _weight(rng: Rng, outline: Points, rows: slice, columns: slice) -> Canvas:
    """1 inside the outline, feathered towards 0."""
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), dtype=np.uint8)
    cv2.fillPoly(mask, [np.rint(outline * SCALE - (columns.start, rows.start)).astype(np.int32)], (255,))
    size = 2 * int(rng.integers(1, 5)) + 1
    return np.asarray(cv2.stackBlur(mask, (size, size)), dtype=np.float32) / np.float32(255)


def patches(canvas: Canvas, rng: Rng) -> None:
    """A few patches anywhere on a ground that holds nothing yet: where something was taken away."""
    high, wide = canvas.shape[1] / SCALE, canvas.shape[2] / SCALE
    for _ in range(int(rng.integers(1, 4))):
        size = float(rng.uniform(0.08, 0.4)) * min(high, wide)
        pose = Pose(float(rng.uniform(0, wide)), float(rng.uniform(0, high)), size, float(rng.uniform(0, 90)))
        patch(canvas, rng, pose.put(_OUTLINES[int(rng.integers(len(_OUTLINES)))]))


def halo(canvas: Canvas, rng: Rng, outline: Points) -> None:
    """Smoothed ground, a little wider than what will be drawn on it: where something was put in."""
    wider = about(outline, float(rng.uniform(1.1, 1.4)))
    rows, columns = _place(canvas, wider)
    if rows.stop - rows.start < 4 or columns.stop - columns.start < 4:
        return
    part = canvas[:, rows, columns]
    gain = np.float32(rng.uniform(0.94, 1.06))
    smooth = np.stack([cv2.blur(np.ascontiguousarray(plane), (9, 9)) for plane in part]) * gain
    part += (smooth - part) * _weight(rng, wider, rows, columns)


def cast_light(canvas: Canvas, rng: Rng) -> None:
    """A shadow with a soft edge, as of a window frame or an arm, over a part of the photo."""
    high, wide = canvas.shape[1] / SCALE, canvas.shape[2] / SCALE
    x, y = float(rng.uniform(0, wide)), float(rng.uniform(0, high))
    bar = Pose(x, y, 2.5 * max(high, wide), float(rng.uniform(0, 180))).put(block(float(rng.uniform(0.05, 0.3)), 1))
    scale_inside(canvas, bar, float(rng.uniform(0.6, 0.85)), float(rng.uniform(1, 8)))
