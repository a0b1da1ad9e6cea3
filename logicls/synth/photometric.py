"""Photometric transforms (exposure, illumination, hue, blur, sensor noise), composed by albumentations.

Albumentations' own brightness, illumination and noise work on float images or fresh random numbers, and took half the
time of an example; those here do the same in one pass over bytes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import albumentations
import cv2
import numpy as np
from jaxtyping import Float

from logicls.records import Box
from logicls.synth.image_ops import NOISE_UNIT, Photo, sample_noise

CLIPPING_LEVELS, MAX_CLIPPED_SHARE = (6, 249), 0.1
"""Grey levels beyond which a pixel is clipped, and the share of a box's pixels that may become clipped."""
MAP_SIZE = 32
"""Side of the coarse illumination map, which is upscaled."""
NOISE_STD = (0.01, 0.03)
"""Range of the standard deviation of sensor noise, shares of white."""


class Exposure(albumentations.ImageOnlyTransform):  # type: ignore[misc]
    """Random contrast, brightness (shares of white) and white balance (grey levels), up to the given strengths."""

    def __init__(self, brightness: float, contrast: float, colour_cast: float) -> None:
        super().__init__(p=1)
        self.brightness, self.contrast, self.colour_cast = brightness, contrast, colour_cast

    def get_params(self) -> dict[str, Any]:
        """Sample gain and offsets."""
        uniform = self.py_random.uniform
        casts = (
            [uniform(-self.colour_cast, self.colour_cast) for _ in range(3)]
            if self.py_random.random() < 0.5
            else [0.0] * 3
        )
        offset = 255 * uniform(-self.brightness, self.brightness)
        return {"gain": 1 + uniform(-self.contrast, self.contrast), "offsets": [offset + cast for cast in casts]}

    def apply(self, img: Photo, *, gain: float, offsets: list[float], **_: Any) -> Photo:
        """Apply to every pixel alike."""
        return np.asarray(cv2.transform(img, np.column_stack([gain * np.eye(3), offsets])))


class IlluminationGradient(albumentations.ImageOnlyTransform):  # type: ignore[misc]
    """Linear illumination gradient across the photo, or (`is_vignette`) fall-off towards the corners."""

    def __init__(self, max_strength: float, p: float, *, is_vignette: bool) -> None:
        super().__init__(p=p)
        self.max_strength, self.is_vignette = max_strength, is_vignette

    def get_params(self) -> dict[str, Any]:
        """Sample strength and direction."""
        return {
            "strength": self.py_random.uniform(0, self.max_strength),
            "angle": self.py_random.uniform(0, 2 * math.pi),
        }

    def apply(self, img: Photo, *, strength: float, angle: float, **_: Any) -> Photo:
        """Multiply each pixel by the illumination at its position."""
        x, y = np.meshgrid(*[np.linspace(-1, 1, MAP_SIZE, dtype=np.float32)] * 2)
        if self.is_vignette:
            gain_map = 1 - strength * (x**2 + y**2) / 2
        else:
            direction_x, direction_y = math.cos(angle), math.sin(angle)
            gain_map = 1 + strength * (direction_x * x + direction_y * y) / (abs(direction_x) + abs(direction_y))
        return np.asarray(cv2.multiply(img, _upscale(gain_map, img), dtype=cv2.CV_8U))


class SensorNoise(albumentations.ImageOnlyTransform):  # type: ignore[misc]
    """Normal noise, independent between pixels and channels."""

    def __init__(self, p: float) -> None:
        super().__init__(p=p)

    def get_params(self) -> dict[str, Any]:
        """Sample the standard deviation and the offset in the pool of noise."""
        return {"std": 255 * self.py_random.uniform(*NOISE_STD), "offset": self.py_random.random()}

    def apply(self, img: Photo, *, std: float, offset: float, **_: Any) -> Photo:
        """Add noise, in grey levels."""
        noise = sample_noise(img.shape, offset).view(np.uint8)
        levels = np.round(np.arange(256, dtype=np.uint8).view(np.int8) * (std / NOISE_UNIT)).astype(np.int8)
        return np.asarray(cv2.add(img, cv2.LUT(noise, levels.view(np.uint8)).view(np.int8), dtype=cv2.CV_8U))


@lru_cache(maxsize=16)
def build_photometric_transform(
    *,
    brightness: float,
    contrast: float,
    colour_cast: float,
    hue: int,
    illumination: float,
    gradient: float,
    vignette: float,
    blur: float,
    noise: float,
) -> albumentations.Compose:
    """Build the transform; parameters are those of `synth/augment.yaml`."""
    transforms: list[Any] = [
        Exposure(brightness, contrast, colour_cast),
        albumentations.HueSaturationValue((-hue, hue), (0, 0), (0, 0), p=1 if hue else 0),
        IlluminationGradient(gradient, illumination / 2, is_vignette=False),
        IlluminationGradient(vignette, illumination / 2, is_vignette=True),
        albumentations.GaussianBlur((3, 3), p=blur),
        SensorNoise(noise),
    ]
    return albumentations.Compose(transforms)


def apply_photometric_transform(photo: Photo, transform: albumentations.Compose, seed: int) -> Photo:
    """Apply the transform with the parameters that `seed` samples: the same for every photo of that size."""
    transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
    return np.asarray(transform(image=photo)["image"])


def _upscale(gain_map: Float[np.ndarray, "coarse coarse"], photo: Photo) -> Float[np.ndarray, "height width 3"]:
    size = photo.shape[1], photo.shape[0]
    return np.asarray(cv2.resize(cv2.merge([gain_map] * 3), size, interpolation=cv2.INTER_LINEAR))


def is_newly_clipped(before: Photo, after: Photo, boxes: Iterable[Box], *, subsampling: int = 1) -> bool:
    """Check whether a component is newly clipped to black or white, so that it cannot be recognised.

    The boxes belong to a photo `subsampling` times as large on each side as the two photos.
    """
    clipped_before, clipped_after = _find_clipped(before), _find_clipped(after)
    step = 2 * subsampling
    for box in boxes:
        x1, y1 = max(int(box.x1) // step, 0), max(int(box.y1) // step, 0)
        part = slice(y1, max(int(box.y2) // step, y1 + 1)), slice(x1, max(int(box.x2) // step, x1 + 1))
        pixels = clipped_after[part].size
        if (
            pixels
            and cv2.countNonZero(clipped_after[part]) - cv2.countNonZero(clipped_before[part])
            > MAX_CLIPPED_SHARE * pixels
        ):
            return True
    return False


def subsample(photo: Photo, step: int) -> Photo:
    """Take every `step`-th pixel of both sides; the remainder at the right and at the bottom is dropped."""
    columns, rows = max(photo.shape[1] // step, 1), max(photo.shape[0] // step, 1)
    cropped = photo[: rows * step, : columns * step]
    return np.asarray(cv2.resize(cropped, (columns, rows), interpolation=cv2.INTER_NEAREST))


def _find_clipped(photo: Photo) -> np.ndarray:
    """Non-zero where all channels are nearly white or nearly black, at half the size."""
    subsampled = subsample(photo, 2)
    low, high = CLIPPING_LEVELS
    dark, bright = (
        cv2.inRange(subsampled, (0, 0, 0), (low, low, low)),
        cv2.inRange(subsampled, (high, high, high), (255,) * 3),
    )
    return np.asarray(cv2.bitwise_or(dark, bright))
