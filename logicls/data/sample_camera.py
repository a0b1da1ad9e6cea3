"""The camera over the sample product: how it is aimed, what its light and its sensor do, where it sees things."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from logicls.data.sample_parts import HEIGHT, SCALE, WIDTH, Canvas, Points, turned
from logicls.records import Box

QUALITY = 85
"""Of the JPEG files, 0 to 100."""


def aim(rng: np.random.Generator) -> NDArray[np.float64]:
    """A homography, photo pixels to photo pixels: a turn of up to 2 degrees, a shift and a slight tilt."""
    corners = np.array([(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)], dtype=np.float64)
    middle = corners.mean(axis=0)
    moved = turned(corners - middle, WIDTH / 2, HEIGHT / 2, float(rng.uniform(-2, 2)))
    moved = moved + rng.uniform(-2.5, 2.5, 2) + rng.uniform(-1.8, 1.8, (4, 2))
    source, target = corners.astype(np.float32), moved.astype(np.float32)
    return np.asarray(cv2.getPerspectiveTransform(source, target), dtype=np.float64)


def seen(outlines: Sequence[Points], warp: NDArray[np.float64]) -> Box:
    """The box round the outlines after the warp."""
    points = np.concatenate(outlines)
    moved = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ warp.T
    moved = moved[:, :2] / moved[:, 2:]
    (x1, y1), (x2, y2) = moved.min(axis=0).tolist(), moved.max(axis=0).tolist()
    return Box(round(x1, 2), round(y1, 2), round(x2, 2), round(y2, 2))


def photograph(canvas: Canvas, warp: NDArray[np.float64]) -> Canvas:
    """The canvas through the camera, at the photo's size."""
    grid = np.array([(SCALE, 0, -0.5), (0, SCALE, -0.5), (0, 0, 1)], dtype=np.float64)
    full = grid @ warp @ np.linalg.inv(grid)
    size = (WIDTH * SCALE, HEIGHT * SCALE)
    moved = cv2.warpPerspective(canvas, full, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(moved, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), dtype=np.float32)


def expose(picture: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Uneven light, a colour cast, a slight blur and the sensor's noise."""
    down = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None]
    right = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None, :]
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.16)
    light = 1 + slope * (np.cos(angle) * right + np.sin(angle) * down) - 0.07 * (right**2 + down**2)
    cast = rng.uniform(0.975, 1.025, 3) * rng.uniform(0.97, 1.10)
    lit = picture * light[..., None].astype(np.float32) * cast.astype(np.float32)
    lit = np.asarray(cv2.GaussianBlur(lit, (0, 0), float(rng.uniform(0.35, 0.6))), dtype=np.float32)
    noise = rng.standard_normal(lit.shape, dtype=np.float32) * np.float32(rng.uniform(0.006, 0.011))
    lit = lit + noise * (0.6 + lit)
    return np.asarray(np.clip(lit * 255 + 0.5, 0, 255), dtype=np.uint8)


def save(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write an RGB photo as JPEG, making the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _, coded = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    path.write_bytes(coded.tobytes())
