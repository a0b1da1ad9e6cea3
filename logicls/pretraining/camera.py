"""Simulated camera (perspective, illumination, blur, noise, JPEG), and distractors that change no answer.

Distractors are traces of image editing, as synthesis leaves them, and cast shadows.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from logicls.pretraining.drawing import (
    SCALE,
    Canvas,
    Points,
    Pose,
    ellipse,
    lobed_disc,
    polygon,
    rectangle,
    scale_inside,
    scale_points,
)
from logicls.pretraining.surfaces import Rng

_PATCH_SHAPES = (ellipse(1, 1), rectangle(1, 1), rectangle(0.5, 1), polygon(5), lobed_disc(5, 0.12))


def paste_patch(canvas: Canvas, rng: Rng, contour: Points) -> None:
    """Cover a contour with a feathered patch from elsewhere on the canvas, slightly brighter or darker."""
    canvas_height, canvas_width = canvas.shape[1:]
    rows, columns = _window_around(canvas, contour)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if height < 4 or width < 4:
        return
    y, x = int(rng.integers(canvas_height - height + 1)), int(rng.integers(canvas_width - width + 1))
    source = canvas[:, y : y + height, x : x + width] * np.float32(rng.uniform(0.93, 1.07))
    part = canvas[:, rows, columns]
    part += (source - part) * _feather_mask(rng, contour, rows, columns)


def _window_around(canvas: Canvas, contour: Points) -> tuple[slice, slice]:
    """Return rows and columns around a contour with a margin of 8 canvas pixels."""
    high, wide = canvas.shape[1:]
    (x1, y1), (x2, y2) = (contour.min(axis=0) * SCALE).astype(int), (contour.max(axis=0) * SCALE).astype(int)
    return slice(max(y1 - 8, 0), max(min(y2 + 8, high), 0)), slice(max(x1 - 8, 0), max(min(x2 + 8, wide), 0))


def _feather_mask(rng: Rng, contour: Points, rows: slice, columns: slice) -> Canvas:
    """Return a mask of the contour, feathered from 1 inside to 0."""
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), dtype=np.uint8)
    cv2.fillPoly(mask, [np.rint(contour * SCALE - (columns.start, rows.start)).astype(np.int32)], (255,))
    size = 2 * int(rng.integers(1, 5)) + 1
    return np.asarray(cv2.stackBlur(mask, (size, size)), dtype=np.float32) / np.float32(255)


def paste_patches(canvas: Canvas, rng: Rng) -> None:
    """Paste a few patches on an empty background, as inpainting leaves them."""
    high, wide = canvas.shape[1] / SCALE, canvas.shape[2] / SCALE
    for _ in range(int(rng.integers(1, 4))):
        size = float(rng.uniform(0.08, 0.4)) * min(high, wide)
        pose = Pose(float(rng.uniform(0, wide)), float(rng.uniform(0, high)), size, float(rng.uniform(0, 90)))
        paste_patch(canvas, rng, pose.transform(_PATCH_SHAPES[int(rng.integers(len(_PATCH_SHAPES)))]))


def blur_halo(canvas: Canvas, rng: Rng, contour: Points) -> None:
    """Blur the background slightly beyond a contour before it is drawn, as compositing leaves it."""
    wider = scale_points(contour, float(rng.uniform(1.1, 1.4)))
    rows, columns = _window_around(canvas, wider)
    if rows.stop - rows.start < 4 or columns.stop - columns.start < 4:
        return
    part = canvas[:, rows, columns]
    gain = np.float32(rng.uniform(0.94, 1.06))
    smoothed = np.stack([cv2.blur(np.ascontiguousarray(plane), (9, 9)) for plane in part]) * gain
    part += (smoothed - part) * _feather_mask(rng, wider, rows, columns)


def cast_shadow(canvas: Canvas, rng: Rng) -> None:
    """Draw a soft shadow across a part of the photo, as of a window frame or an arm."""
    high, wide = canvas.shape[1] / SCALE, canvas.shape[2] / SCALE
    x, y = float(rng.uniform(0, wide)), float(rng.uniform(0, high))
    bar = Pose(x, y, 2.5 * max(high, wide), float(rng.uniform(0, 180))).transform(
        rectangle(float(rng.uniform(0.05, 0.3)), 1)
    )
    scale_inside(canvas, bar, float(rng.uniform(0.6, 0.85)), float(rng.uniform(1, 8)))


AffineMatrix = NDArray[np.float64]
RgbImage = NDArray[np.uint8]


def sample_warp(rng: Rng, height: int, width: int) -> AffineMatrix | None:
    """Sample an affine map from photo pixels to photo pixels (rotation, zoom, shear), or None for an aligned camera."""
    if rng.random() < 0.45:
        return None
    a, zoom, shear = np.deg2rad(rng.normal(0, 2.5)), rng.uniform(0.96, 1.06), rng.normal(0, 0.015)
    turn = zoom * np.array([[np.cos(a), -np.sin(a) + shear], [np.sin(a), np.cos(a)]])
    centre = np.array([width / 2, height / 2])
    shift = centre - turn @ centre + rng.uniform(-0.012, 0.012, 2) * (width, height)
    return np.concatenate([turn, shift[:, None]], axis=1)


def warp_points(contour: Points, warp: AffineMatrix | None) -> Points:
    """Transform points by the camera's warp."""
    return contour if warp is None else np.asarray(contour @ warp[:, :2].T + warp[:, 2], dtype=np.float64)


def render_photo(canvas: Canvas, warp: AffineMatrix | None) -> Canvas:
    """Render the canvas at the photo's size, 0 to 255, float32."""
    high, wide = canvas.shape[1:]
    planes = np.clip(canvas * np.float32(255), 0, 255).astype(np.uint8)
    image = cv2.merge([planes[0], planes[1], planes[2]])
    size = wide // SCALE, high // SCALE
    if warp is None:
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    averaged = cv2.blur(image, (SCALE, SCALE), anchor=(0, 0))
    # From a pixel's middle on the photo to its place among the canvas pixels, which the blur moved by half a one.
    out = np.array([(SCALE, 0, -1.0), (0, SCALE, -1.0), (0, 0, 1)], dtype=np.float64)
    back = np.linalg.inv(np.concatenate([warp, [(0, 0, 1)]]))
    middle = np.array([(1, 0, 0.5), (0, 1, 0.5), (0, 0, 1)], dtype=np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(averaged, (out @ back @ middle)[:2], size, flags=flags, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(warped, dtype=np.float32)


@cache
def _noise_field() -> NDArray[np.float32]:
    return np.random.default_rng(99).standard_normal((700, 700, 3), dtype=np.float32)


def simulate_camera(image: Canvas, rng: Rng) -> RgbImage:
    """Apply uneven illumination, a colour cast, contrast, blur, sensor noise and JPEG compression."""
    high, wide = image.shape[:2]
    exposed = image
    if rng.random() < 0.6:
        exposed = exposed * _illumination(rng, high, wide)
    gain = rng.uniform(0.8, 1.15) * rng.uniform(0.95, 1.05, 3)
    flat = rng.uniform(0.55, 0.9) if rng.random() < 0.2 else 1.0
    exposed = exposed * (gain * flat).astype(np.float32) + np.float32(255 * (1 - flat) * rng.uniform(0.2, 0.6))
    if rng.random() < 0.6:
        exposed = np.asarray(cv2.GaussianBlur(exposed, (0, 0), float(rng.uniform(0.3, 0.85))), dtype=np.float32)
    if rng.random() < 0.8:
        top, left = (
            int(rng.integers(700 - high)) if high < 700 else 0,
            int(rng.integers(700 - wide)) if wide < 700 else 0,
        )
        exposed = exposed + _noise_field()[top : top + high, left : left + wide] * np.float32(rng.uniform(0.5, 6))
    pixels = np.asarray(np.clip(exposed + 0.5, 0, 255), dtype=np.uint8)
    if rng.random() < 0.6:
        _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(55, 96))])
        pixels = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return pixels


def _illumination(rng: Rng, high: int, wide: int) -> Canvas:
    angle, gradient, vignette = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.25), rng.uniform(0, 0.16)
    down = np.linspace(-1, 1, high, dtype=np.float32)[:, None]
    right = np.linspace(-1, 1, wide, dtype=np.float32)[None, :]
    brightness = (
        1 + gradient * (np.sin(angle) * down + np.cos(angle) * right) - vignette * (down * down + right * right)
    )
    return np.asarray(brightness, dtype=np.float32)[..., None]
