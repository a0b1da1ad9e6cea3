"""The camera: a slight turn, light, blur, noise, JPEG.

Traces that an edit leaves on a photo, and light that falls on it: they say nothing about any answer.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from logicls.pretraining.drawing import SCALE, Canvas, Points, Pose, about, block, cloud, ellipse, polygon, scale_inside
from logicls.pretraining.surfaces import Rng

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


Matrix = NDArray[np.float64]
Pixels = NDArray[np.uint8]


def aim(rng: Rng, height: int, width: int) -> Matrix | None:
    """An affine map, photo pixels to photo pixels: a turn, a zoom, a shear; None for a camera that stands straight."""
    if rng.random() < 0.45:
        return None
    a, zoom, shear = np.deg2rad(rng.normal(0, 2.5)), rng.uniform(0.96, 1.06), rng.normal(0, 0.015)
    turn = zoom * np.array([[np.cos(a), -np.sin(a) + shear], [np.sin(a), np.cos(a)]])
    middle = np.array([width / 2, height / 2])
    shift = middle - turn @ middle + rng.uniform(-0.012, 0.012, 2) * (width, height)
    return np.concatenate([turn, shift[:, None]], axis=1)


def seen(outline: Points, warp: Matrix | None) -> Points:
    """Where the outline is on the photo."""
    return outline if warp is None else np.asarray(outline @ warp[:, :2].T + warp[:, 2], dtype=np.float64)


def photograph(canvas: Canvas, warp: Matrix | None) -> Canvas:
    """The canvas at the photo's size, 0 to 255, float32."""
    high, wide = canvas.shape[1:]
    planes = np.clip(canvas * np.float32(255), 0, 255).astype(np.uint8)
    picture = cv2.merge([planes[0], planes[1], planes[2]])
    size = wide // SCALE, high // SCALE
    if warp is None:
        return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    even = cv2.blur(picture, (SCALE, SCALE), anchor=(0, 0))
    # From a pixel's middle on the photo to its place among the canvas pixels, which the blur moved by half a one.
    out = np.array([(SCALE, 0, -1.0), (0, SCALE, -1.0), (0, 0, 1)], dtype=np.float64)
    back = np.linalg.inv(np.concatenate([warp, [(0, 0, 1)]]))
    middle = np.array([(1, 0, 0.5), (0, 1, 0.5), (0, 0, 1)], dtype=np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(even, (out @ back @ middle)[:2], size, flags=flags, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, dtype=np.float32)


@cache
def _grain() -> NDArray[np.float32]:
    return np.random.default_rng(99).standard_normal((700, 700, 3), dtype=np.float32)


def expose(picture: Canvas, rng: Rng) -> Pixels:
    """Uneven light, a colour cast, contrast, blur, the sensor's noise, JPEG."""
    high, wide = picture.shape[:2]
    lit = picture
    if rng.random() < 0.6:
        lit = lit * _light(rng, high, wide)
    gain = rng.uniform(0.8, 1.15) * rng.uniform(0.95, 1.05, 3)
    flat = rng.uniform(0.55, 0.9) if rng.random() < 0.2 else 1.0
    lit = lit * (gain * flat).astype(np.float32) + np.float32(255 * (1 - flat) * rng.uniform(0.2, 0.6))
    if rng.random() < 0.6:
        lit = np.asarray(cv2.GaussianBlur(lit, (0, 0), float(rng.uniform(0.3, 0.85))), dtype=np.float32)
    if rng.random() < 0.8:
        top, left = (
            int(rng.integers(700 - high)) if high < 700 else 0,
            int(rng.integers(700 - wide)) if wide < 700 else 0,
        )
        lit = lit + _grain()[top : top + high, left : left + wide] * np.float32(rng.uniform(0.5, 6))
    pixels = np.asarray(np.clip(lit + 0.5, 0, 255), dtype=np.uint8)
    if rng.random() < 0.6:
        _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(55, 96))])
        pixels = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return pixels


def _light(rng: Rng, high: int, wide: int) -> Canvas:
    angle, slope, dark = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.25), rng.uniform(0, 0.16)
    down = np.linspace(-1, 1, high, dtype=np.float32)[:, None]
    right = np.linspace(-1, 1, wide, dtype=np.float32)[None, :]
    light = 1 + slope * (np.sin(angle) * down + np.cos(angle) * right) - dark * (down * down + right * right)
    return np.asarray(light, dtype=np.float32)[..., None]
