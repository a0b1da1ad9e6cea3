"""Drawing of contours on a canvas (anti-aliased, shaded, soft, translucent), and contours of unit size.

A contour is an (n, 2) array, x and y in pixels of the photo, continuous coordinates (a pixel's centre is at .5). A
canvas is a (3, h, w) float32 array, red, green and blue, 0 to 1, `SCALE` times the photo's size. Contours of unit size
have a longer side of 1 and a bounding box centred at (0, 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Canvas = NDArray[np.float32]
Points = NDArray[np.float64]
Colour = NDArray[np.float32] | tuple[float, float, float]

SCALE = 2
"""Canvas pixels per pixel of the photo."""
_FRACTION_BITS = 4
"""Fractional bits of coordinates passed to OpenCV."""
_ANTIALIAS_GROWTH = 1.0
"""Canvas pixels that anti-aliased `cv2.fillPoly` adds to width and height."""


class Shade(NamedTuple):
    """Change of brightness across a contour, along the direction (x, y)."""

    x: float
    y: float
    amount: float
    """Relative change from the centre to the far ends."""
    is_cylinder: bool = False
    """Shading of a cylinder with dark sides instead of a linear one."""


class CanvasWindow(NamedTuple):
    """Rectangle of canvas pixels, end exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def fill(
    canvas: Canvas,
    contour: Points | Sequence[Points],
    colour: Colour,
    opacity: float = 1.0,
    softness: float = 0.0,
    *,
    shade: Shade | None = None,
    grain: Canvas | None = None,
    inside: Points | None = None,
) -> None:
    """Fill a contour, or a contour with holes (outer contour first).

    `softness`: blur of the edge, pixels; `grain`: (h, w) brightness factors, the size of the canvas; `inside`: clipping
    contour.
    """
    loops = [contour] if isinstance(contour, np.ndarray) else list(contour)
    points = [loop * SCALE - 0.5 for loop in loops]
    window = _window_of(points[0], 2.5 * softness * SCALE, canvas)
    if window is None:
        return
    mask = _rasterize(points, window, softness * SCALE)
    if inside is not None:
        mask = np.minimum(mask, _rasterize([inside * SCALE - 0.5], window, 0))
    part = canvas[:, window.top : window.bottom, window.left : window.right]
    colours = np.asarray(colour, dtype=np.float32)[:, None, None]
    if shade is not None:
        colours = colours * _shade_factors(shade, points[0], window)
    if grain is not None:
        colours = colours * grain[window.top : window.bottom, window.left : window.right]
    part += (colours - part) * (mask * np.float32(opacity / 255))


def scale_inside(canvas: Canvas, contour: Points, factor: float, softness: float = 0.0) -> None:
    """Scale the brightness inside a contour, for shadows and glass."""
    points = contour * SCALE - 0.5
    window = _window_of(points, 2.5 * softness * SCALE, canvas)
    if window is None:
        return
    weight = _rasterize([points], window, softness * SCALE) * np.float32((1 - factor) / 255)
    canvas[:, window.top : window.bottom, window.left : window.right] *= 1 - weight


def stroke(
    canvas: Canvas, points: Points, colour: Colour, width: float, opacity: float = 1.0, *, closed: bool = False
) -> None:
    """Draw a line of that width, pixels, along points."""
    thickness = max(round(width * SCALE), 1)
    canvas_points = points * SCALE - 0.5
    window = _window_of(canvas_points, thickness, canvas)
    if window is None:
        return
    mask = np.zeros((window.bottom - window.top, window.right - window.left), dtype=np.uint8)
    cv2.polylines(
        mask, [_to_fixed_point(canvas_points, window)], closed, (255,), thickness, cv2.LINE_AA, _FRACTION_BITS
    )
    part = canvas[:, window.top : window.bottom, window.left : window.right]
    weight = mask * np.float32(opacity * min(width * SCALE, 1.0) / 255)
    part += (np.asarray(colour, dtype=np.float32)[:, None, None] - part) * weight


def _window_of(points: Points, margin: float, canvas: Canvas) -> CanvasWindow | None:
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    left, top = max(int(x1 - margin) - 1, 0), max(int(y1 - margin) - 1, 0)
    right, bottom = min(int(x2 + margin) + 3, canvas.shape[2]), min(int(y2 + margin) + 3, canvas.shape[1])
    return CanvasWindow(left, top, right, bottom) if left < right and top < bottom else None


def _to_fixed_point(points: Points, window: CanvasWindow) -> NDArray[np.int32]:
    return np.rint((points - (window.left, window.top)) * (1 << _FRACTION_BITS)).astype(np.int32)


def _rasterize(loops: Sequence[Points], window: CanvasWindow, softness: float) -> NDArray[np.uint8]:
    mask = np.zeros((window.bottom - window.top, window.right - window.left), dtype=np.uint8)
    fixed = [_to_fixed_point(_shrink(loop, 1 if number == 0 else -1), window) for number, loop in enumerate(loops)]
    cv2.fillPoly(mask, fixed, (255,), cv2.LINE_AA, _FRACTION_BITS)
    return np.asarray(cv2.stackBlur(mask, (2 * round(1.3 * softness) + 3,) * 2), dtype=np.uint8) if softness else mask


def _shrink(points: Points, sign: int) -> Points:
    """Shrink a contour by the growth of anti-aliasing (enlarge a hole)."""
    low, high = points.min(axis=0), points.max(axis=0)
    extent = np.maximum(high - low, 1e-6)
    factor = np.maximum(extent - sign * _ANTIALIAS_GROWTH, 0.1) / extent
    centre = (low + high) / 2
    return np.asarray(centre + (points - centre) * factor, dtype=np.float64)


def _shade_factors(shade: Shade, points: Points, window: CanvasWindow) -> Canvas:
    low, high = points.min(axis=0), points.max(axis=0)
    centre = (low + high) / 2
    half = float(max(abs(np.dot((points - centre), (shade.x, shade.y))).max(), 1.0))
    right = (np.arange(window.left, window.right, dtype=np.float32) - np.float32(centre[0])) * np.float32(
        shade.x / half
    )
    down = (np.arange(window.top, window.bottom, dtype=np.float32) - np.float32(centre[1])) * np.float32(shade.y / half)
    along = down[:, None] + right[None, :]
    if shade.is_cylinder:
        along = 0.45 * along + 0.35 - along * along
    return np.asarray(1 + np.float32(shade.amount) * along, dtype=np.float32)


class Pose(NamedTuple):
    """Position of a unit contour: centre and longer side in pixels of the photo, rotated clockwise."""

    x: float
    y: float
    size: float
    degrees: float = 0.0

    def transform(self, points: Points) -> Points:
        """Transform points of the unit frame to the photo."""
        a = np.deg2rad(self.degrees)
        rotation = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) * self.size
        return np.asarray(points @ rotation + (self.x, self.y), dtype=np.float64)

    def transform_point(self, x: float, y: float) -> tuple[float, float]:
        """Transform one point of the unit frame to the photo."""
        (px, py) = self.transform(np.array([[x, y]]))[0].tolist()
        return px, py


def normalize_points(points: Points) -> Points:
    """Scale a contour to unit size, keeping its proportions."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.asarray((points - (low + high) / 2) / (high - low).max(), dtype=np.float64)


def scale_points(
    points: Points, factor: float, x: float = 0.0, y: float = 0.0, *, height_factor: float = 1.0
) -> Points:
    """Scale a contour about its box's centre (its height by `height_factor` as well), and translate it by (x, y)."""
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    return np.asarray(centre + (points - centre) * (factor, factor * height_factor) + (x, y), dtype=np.float64)


@cache
def ellipse(wide: float = 1.0, high: float = 1.0, x: float = 0.0, y: float = 0.0) -> Points:
    """Return an axis-aligned ellipse around (x, y)."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([x + wide / 2 * np.cos(turn), y + high / 2 * np.sin(turn)], axis=1)


@cache
def rectangle(wide: float, high: float, radius: float = 0.0, x: float = 0.0, y: float = 0.0) -> Points:
    """Return an axis-aligned rectangle around (x, y) with corners of that radius."""
    if not radius:
        return np.array([(-wide, -high), (wide, -high), (wide, high), (-wide, high)]) / 2 + (x, y)
    turn = np.linspace(0, np.pi / 2, 6)
    arc = np.stack([np.cos(turn), np.sin(turn)], axis=1) * radius + (wide / 2 - radius, high / 2 - radius)
    right = np.concatenate([arc[::-1] * (1, -1), arc])
    return np.asarray(np.concatenate([right, right[::-1] * (-1, 1)]) + np.array((x, y)), dtype=np.float64)


@cache
def polygon(corners: int, inner: float = 0.0) -> Points:
    """Return a regular polygon with a corner on top, or a star if `inner` gives its inner radius."""
    count = corners * 2 if inner else corners
    turn = np.arange(count) * 2 * np.pi / count
    radius = np.where(np.arange(count) % 2 == 1, inner, 1.0) if inner else np.ones(count)
    return normalize_points(np.stack([radius * np.sin(turn), -radius * np.cos(turn)], axis=1))


@cache
def gear(teeth: int) -> Points:
    """Return a gear wheel."""
    turn = np.arange(teeth * 4) * 2 * np.pi / (teeth * 4)
    radius = np.where(np.arange(teeth * 4) % 4 < 2, 1.0, 0.8)
    return normalize_points(np.stack([radius * np.sin(turn), -radius * np.cos(turn)], axis=1))


@cache
def cross(arm: float) -> Points:
    """Return a plus sign with arms of that width."""
    a, b = arm / 2, 0.5
    quarter = [(a, -b), (a, -a), (b, -a)]
    return np.array(
        [
            *quarter,
            *[(x, -y) for x, y in quarter[::-1]],
            *[(-x, -y) for x, y in quarter],
            *[(-x, y) for x, y in quarter[::-1]],
        ]
    )


@cache
def arrow() -> Points:
    """Return an arrow that points up."""
    half = [(0, -0.5), (0.38, -0.08), (0.15, -0.08), (0.15, 0.5)]
    return np.array([*half, *[(-x, y) for x, y in half[:0:-1]]])


@cache
def heart() -> Points:
    """Return a heart."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x, y = 16 * np.sin(t) ** 3, -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return normalize_points(np.stack([x, y], axis=1))


@cache
def drop() -> Points:
    """Return a drop, its tip on top."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return normalize_points(np.stack([0.8 * np.sin(t) * np.sin(t / 2) ** 1.5, -np.cos(t)], axis=1))


@cache
def leaf(wide: float = 0.5) -> Points:
    """Return a vertical leaf."""
    half = np.linspace(-0.5, 0.5, 20)
    bow = wide / 2 * np.cos(half * np.pi)
    return np.concatenate([np.stack([bow, half], 1), np.stack([-bow, half], 1)[::-1]])


@cache
def crescent(bite: float = 0.62) -> Points:
    """Return a crescent, open to the right."""
    outer = np.linspace(np.pi / 3, 5 * np.pi / 3, 30)
    edge = np.stack([np.cos(outer), np.sin(outer)], axis=1)
    top, low = edge[-1], edge[0]
    line = np.linspace(0, 1, 20)[:, None]
    back = top + (low - top) * line - np.sin(line * np.pi) * (bite, 0)
    return normalize_points(np.concatenate([edge, back[1:-1]]))


@cache
def banana() -> Points:
    """Return a banana, curved downwards."""
    turn = np.linspace(np.pi * 0.12, np.pi * 0.88, 24)
    thick = 0.17 * np.sin((turn - turn[0]) / (turn[-1] - turn[0]) * np.pi) ** 0.6 + 0.03
    ray = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return normalize_points(np.concatenate([ray * (1 + thick)[:, None], (ray * (1 - thick)[:, None])[::-1]]))


@cache
def lobed_disc(lobes: int, depth: float) -> Points:
    """Return a disc with a sinusoidal edge: flowers, clouds, biscuits."""
    t = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    radius = 1 + depth * np.cos(lobes * t)
    return normalize_points(np.stack([radius * np.sin(t), -radius * np.cos(t)], axis=1))


def ribbon(centreline: Points, width: float) -> Points:
    """Return the contour of a band of that width along a line."""
    along = np.gradient(centreline, axis=0)
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * (width / 2)
    return np.concatenate([centreline + across, (centreline - across)[::-1]])
