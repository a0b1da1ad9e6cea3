"""The camera: a slight turn, light, blur, noise, JPEG."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from logicls.worlds.canvas import SCALE, Canvas, Points
from logicls.worlds.colours import Rng

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
