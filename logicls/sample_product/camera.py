"""Camera model of the sample product: viewpoint, lighting, sensor noise, projection of outlines, and masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from logicls.records import Box
from logicls.sample_product.parts import HEIGHT, SCALE, WIDTH, Canvas, Points, rotate

JPEG_QUALITY = 85
"""Quality of the JPEG files, 0 to 100."""


def sample_homography(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a homography of photo pixels: a rotation of up to 2 degrees, a shift and a slight tilt."""
    corners = np.array([(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)], dtype=np.float64)
    centre = corners.mean(axis=0)
    warped = rotate(corners - centre, WIDTH / 2, HEIGHT / 2, float(rng.uniform(-2, 2)))
    warped = warped + rng.uniform(-2.5, 2.5, 2) + rng.uniform(-1.8, 1.8, (4, 2))
    source, target = corners.astype(np.float32), warped.astype(np.float32)
    return np.asarray(cv2.getPerspectiveTransform(source, target), dtype=np.float64)


def project(contour: Points, homography: NDArray[np.float64]) -> Points:
    """Return the contour after the homography."""
    projected = np.concatenate([contour, np.ones((len(contour), 1))], axis=1) @ homography.T
    return np.asarray(projected[:, :2] / projected[:, 2:], dtype=np.float64)


def bounding_box(contours: Sequence[Points]) -> Box:
    """Return the bounding box of all the contours, rounded to hundredths of a pixel."""
    points = np.concatenate(contours)
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return Box(round(x1, 2), round(y1, 2), round(x2, 2), round(y2, 2))


def rasterize_mask(contours: Sequence[Points]) -> NDArray[np.bool_]:
    """Return the pixels of the photo that lie mostly inside one of the contours, (h, w)."""
    mask = np.zeros((HEIGHT * SCALE, WIDTH * SCALE), np.uint8)
    for contour in contours:
        cv2.fillPoly(mask, [np.round((contour * SCALE - 0.5) * 16).astype(np.int32)], (255,), shift=4)
    return np.asarray(cv2.resize(mask, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) > 127)


def apply_homography(canvas: Canvas, homography: NDArray[np.float64]) -> Canvas:
    """Warp the canvas and reduce it to the photo's size."""
    grid = np.array([(SCALE, 0, -0.5), (0, SCALE, -0.5), (0, 0, 1)], dtype=np.float64)
    matrix = grid @ homography @ np.linalg.inv(grid)
    size = (WIDTH * SCALE, HEIGHT * SCALE)
    warped = cv2.warpPerspective(canvas, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(warped, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), dtype=np.float32)


def simulate_exposure(image: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add uneven lighting, a colour cast, a slight blur and sensor noise, and convert to 8 bits."""
    down = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None]
    right = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None, :]
    angle, gradient = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.16)
    illumination = 1 + gradient * (np.cos(angle) * right + np.sin(angle) * down) - 0.07 * (right**2 + down**2)
    cast = rng.uniform(0.975, 1.025, 3) * rng.uniform(0.97, 1.10)
    exposed = image * illumination[..., None].astype(np.float32) * cast.astype(np.float32)
    exposed = np.asarray(cv2.GaussianBlur(exposed, (0, 0), float(rng.uniform(0.35, 0.6))), dtype=np.float32)
    noise = rng.standard_normal(exposed.shape, dtype=np.float32) * np.float32(rng.uniform(0.006, 0.011))
    exposed = exposed + noise * (0.6 + exposed)
    return np.asarray(np.clip(exposed * 255 + 0.5, 0, 255), dtype=np.uint8)


def save_jpeg(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an RGB image as JPEG; create missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    path.write_bytes(data.tobytes())


def save_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    """Write a mask as PNG, 255 where it is true and 0 elsewhere; create missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes())
