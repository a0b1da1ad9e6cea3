"""Painting with outlines: anti-aliased, shaded, soft or see-through.

Outlines are (n, 2) arrays, x and y in pixels of the photo, continuous coordinates (a pixel's middle is at .5). Canvases
are (3, h, w) float32, red, green and blue, 0 to 1, `SCALE` times the photo's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Canvas = NDArray[np.float32]
Points = NDArray[np.float64]
Colour = NDArray[np.float32] | tuple[float, float, float]

SCALE = 2
"""Canvas pixels per pixel of the photo."""
_FIXED = 4
"""Fractional bits of the coordinates handed to OpenCV."""
_EDGE = 1.0
"""Canvas pixels that `cv2.fillPoly` with anti-aliasing adds to the width and height of what it fills."""


class Shade(NamedTuple):
    """How brightness changes across an outline, along the direction (x, y)."""

    x: float
    y: float
    amount: float
    """Share of the brightness by which the far ends differ from the middle."""
    bulge: bool = False
    """A cylinder whose sides are dark, in place of a plain slope."""


class Window(NamedTuple):
    """A rectangle of canvas pixels, ends excluded."""

    left: int
    top: int
    right: int
    bottom: int


def fill(
    canvas: Canvas,
    outline: Points | Sequence[Points],
    colour: Colour,
    opacity: float = 1.0,
    soft: float = 0.0,
    *,
    shade: Shade | None = None,
    grain: Canvas | None = None,
    inside: Points | None = None,
) -> None:
    """Paint inside the outline (outer one first, then holes).

    `soft`: blur of the edge, pixels; `grain`: (h, w) factors, as large as the canvas; `inside`: where paint may go.
    """
    loops = [outline] if isinstance(outline, np.ndarray) else list(outline)
    points = [loop * SCALE - 0.5 for loop in loops]
    window = _window(points[0], 2.5 * soft * SCALE, canvas)
    if window is None:
        return
    mask = _mask(points, window, soft * SCALE)
    if inside is not None:
        mask = np.minimum(mask, _mask([inside * SCALE - 0.5], window, 0))
    part = canvas[:, window.top : window.bottom, window.left : window.right]
    paint = np.asarray(colour, dtype=np.float32)[:, None, None]
    if shade is not None:
        paint = paint * _factor(shade, points[0], window)
    if grain is not None:
        paint = paint * grain[window.top : window.bottom, window.left : window.right]
    part += (paint - part) * (mask * np.float32(opacity / 255))


def scale_inside(canvas: Canvas, outline: Points, factor: float, soft: float = 0.0) -> None:
    """Multiply the brightness inside the outline: shadows, and glass."""
    points = outline * SCALE - 0.5
    window = _window(points, 2.5 * soft * SCALE, canvas)
    if window is None:
        return
    weight = _mask([points], window, soft * SCALE) * np.float32((1 - factor) / 255)
    canvas[:, window.top : window.bottom, window.left : window.right] *= 1 - weight


def stroke(
    canvas: Canvas, points: Points, colour: Colour, width: float, opacity: float = 1.0, *, closed: bool = False
) -> None:
    """Paint a line of that width, pixels, along the points."""
    thick = max(round(width * SCALE), 1)
    places = points * SCALE - 0.5
    window = _window(places, thick, canvas)
    if window is None:
        return
    mask = np.zeros((window.bottom - window.top, window.right - window.left), dtype=np.uint8)
    cv2.polylines(mask, [_fixed(places, window)], closed, (255,), thick, cv2.LINE_AA, _FIXED)
    part = canvas[:, window.top : window.bottom, window.left : window.right]
    weight = mask * np.float32(opacity * min(width * SCALE, 1.0) / 255)
    part += (np.asarray(colour, dtype=np.float32)[:, None, None] - part) * weight


def _window(points: Points, margin: float, canvas: Canvas) -> Window | None:
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    left, top = max(int(x1 - margin) - 1, 0), max(int(y1 - margin) - 1, 0)
    right, bottom = min(int(x2 + margin) + 3, canvas.shape[2]), min(int(y2 + margin) + 3, canvas.shape[1])
    return Window(left, top, right, bottom) if left < right and top < bottom else None


def _fixed(points: Points, window: Window) -> NDArray[np.int32]:
    return np.rint((points - (window.left, window.top)) * (1 << _FIXED)).astype(np.int32)


def _mask(loops: Sequence[Points], window: Window, soft: float) -> NDArray[np.uint8]:
    mask = np.zeros((window.bottom - window.top, window.right - window.left), dtype=np.uint8)
    fixed = [_fixed(_drawn_in(loop, 1 if number == 0 else -1), window) for number, loop in enumerate(loops)]
    cv2.fillPoly(mask, fixed, (255,), cv2.LINE_AA, _FIXED)
    return np.asarray(cv2.stackBlur(mask, (2 * round(1.3 * soft) + 3,) * 2), dtype=np.uint8) if soft else mask


def _drawn_in(points: Points, sign: int) -> Points:
    """The outline made smaller by what the anti-aliasing adds (a hole: larger)."""
    low, high = points.min(axis=0), points.max(axis=0)
    extent = np.maximum(high - low, 1e-6)
    factor = np.maximum(extent - sign * _EDGE, 0.1) / extent
    middle = (low + high) / 2
    return np.asarray(middle + (points - middle) * factor, dtype=np.float64)


def _factor(shade: Shade, points: Points, window: Window) -> Canvas:
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    half = float(max(abs(np.dot((points - middle), (shade.x, shade.y))).max(), 1.0))
    right = (np.arange(window.left, window.right, dtype=np.float32) - np.float32(middle[0])) * np.float32(
        shade.x / half
    )
    down = (np.arange(window.top, window.bottom, dtype=np.float32) - np.float32(middle[1])) * np.float32(shade.y / half)
    along = down[:, None] + right[None, :]
    if shade.bulge:
        along = 0.45 * along + 0.35 - along * along
    return np.asarray(1 + np.float32(shade.amount) * along, dtype=np.float32)
