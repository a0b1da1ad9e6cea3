"""Light, lens and sensor: changes of a photo's pixels that move nothing, drawn and put in a row by albumentations.

Its own brightness, fall-off and noise work on whole photos of floats or random numbers, and took half of what an
example costs; those here do the same in one pass over bytes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

from logicls.records import Box
from logicls.synth.image_ops import NOISE_UNIT, Photo, sample_noise
from logicls.synth.torchless import albumentations

CLIPPING_LEVELS, MAX_CLIPPED_SHARE = (6, 249), 0.1
"""Grey levels beyond which nothing is to be seen, and the share of a box that may newly come to lie there."""
MAP_SIZE = 32
"""Points along each side of the small map from which a fall-off of light is scaled up."""
NOISE_STD = (0.01, 0.03)
"""Shares of white between which the noise of a sensor lies, standard deviation."""


class Exposure(albumentations.ImageOnlyTransform):  # type: ignore[misc]
    """Contrast, brightness (shares of white) and white balance (grey levels), at most so far either way."""

    def __init__(self, brightness: float, contrast: float, colour_cast: float) -> None:
        super().__init__(p=1)
        self.brightness, self.contrast, self.colour_cast = brightness, contrast, colour_cast

    def get_params(self) -> dict[str, Any]:
        """Draw one."""
        either = self.py_random.uniform
        casts = (
            [either(-self.colour_cast, self.colour_cast) for _ in range(3)]
            if self.py_random.random() < 0.5
            else [0.0] * 3
        )
        offset = 255 * either(-self.brightness, self.brightness)
        return {"gain": 1 + either(-self.contrast, self.contrast), "offsets": [offset + cast for cast in casts]}

    def apply(self, img: Photo, *, gain: float, offsets: list[float], **_: Any) -> Photo:
        """To every pixel alike."""
        return np.asarray(cv2.transform(img, np.column_stack([gain * np.eye(3), offsets])))


class IlluminationGradient(albumentations.ImageOnlyTransform):  # type: ignore[misc]
    """Light that is weaker on one side and stronger on the other, or (`is_vignette`) weaker towards the corners."""

    def __init__(self, max_strength: float, p: float, *, is_vignette: bool) -> None:
        super().__init__(p=p)
        self.max_strength, self.is_vignette = max_strength, is_vignette

    def get_params(self) -> dict[str, Any]:
        """Draw one."""
        return {
            "strength": self.py_random.uniform(0, self.max_strength),
            "angle": self.py_random.uniform(0, 2 * math.pi),
        }

    def apply(self, img: Photo, *, strength: float, angle: float, **_: Any) -> Photo:
        """Each pixel is multiplied by the light at its place."""
        x, y = np.meshgrid(*[np.linspace(-1, 1, MAP_SIZE, dtype=np.float32)] * 2)
        if self.is_vignette:
            light = 1 - strength * (x**2 + y**2) / 2
        else:
            across, down = math.cos(angle), math.sin(angle)
            light = 1 + strength * (across * x + down * y) / (abs(across) + abs(down))
        return np.asarray(cv2.multiply(img, _upscale(light, img), dtype=cv2.CV_8U))


class SensorNoise(albumentations.ImageOnlyTransform):  # type: ignore[misc]
    """Normal noise, independent from pixel to pixel and channel to channel."""

    def __init__(self, p: float) -> None:
        super().__init__(p=p)

    def get_params(self) -> dict[str, Any]:
        """Draw one."""
        return {"std": 255 * self.py_random.uniform(*NOISE_STD), "place": self.py_random.random()}

    def apply(self, img: Photo, *, std: float, place: float, **_: Any) -> Photo:
        """Added, in grey levels."""
        drawn = sample_noise(img.shape, place).view(np.uint8)
        levels = np.round(np.arange(256, dtype=np.uint8).view(np.int8) * (std / NOISE_UNIT)).astype(np.int8)
        return np.asarray(cv2.add(img, cv2.LUT(drawn, levels.view(np.uint8)).view(np.int8), dtype=cv2.CV_8U))


@lru_cache(maxsize=16)
def build_photometric_transform(
    *, brightness: float, contrast: float, colour_cast: float, hue: int, illumination: float, gradient: float, vignette: float,
    blur: float, noise: float,
) -> albumentations.Compose:  # fmt: skip
    """Random light of at most these strengths; as in `synth/augment.yaml`."""
    changes: list[Any] = [
        Exposure(brightness, contrast, colour_cast),
        albumentations.HueSaturationValue((-hue, hue), (0, 0), (0, 0), p=1 if hue else 0),
        IlluminationGradient(gradient, illumination / 2, is_vignette=False),
        IlluminationGradient(vignette, illumination / 2, is_vignette=True),
        albumentations.GaussianBlur((3, 3), p=blur),
        SensorNoise(noise),
    ]
    return albumentations.Compose(changes)


def apply_photometric_transform(photo: Photo, transform: albumentations.Compose, seed: int) -> Photo:
    """The photo in the light that `seed` draws: the same for every photo of that size."""
    transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
    return np.asarray(transform(image=photo)["image"])


def _upscale(light: Float[np.ndarray, "coarse coarse"], photo: Photo) -> Float[np.ndarray, "height width 3"]:
    size = photo.shape[1], photo.shape[0]
    return np.asarray(cv2.resize(cv2.merge([light] * 3), size, interpolation=cv2.INTER_LINEAR))


def is_newly_clipped(before: Photo, after: Photo, boxes: Iterable[Box], *, subsampling: int = 1) -> bool:
    """Whether a thing has newly drowned in white or in black, where nobody could read it any more.

    The boxes are those of a photo that is `shrunk` times as large on each side as the two given.
    """
    then, now = _find_clipped(before), _find_clipped(after)
    step = 2 * subsampling
    for box in boxes:
        x1, y1 = max(int(box.x1) // step, 0), max(int(box.y1) // step, 0)
        part = slice(y1, max(int(box.y2) // step, y1 + 1)), slice(x1, max(int(box.x2) // step, x1 + 1))
        pixels = now[part].size
        if pixels and cv2.countNonZero(now[part]) - cv2.countNonZero(then[part]) > MAX_CLIPPED_SHARE * pixels:
            return True
    return False


def subsample(photo: Photo, step: int) -> Photo:
    """Every so many-th pixel of both sides, without what is left over at the right and at the bottom."""
    across, down = max(photo.shape[1] // step, 1), max(photo.shape[0] // step, 1)
    whole = photo[: down * step, : across * step]
    return np.asarray(cv2.resize(whole, (across, down), interpolation=cv2.INTER_NEAREST))


def _find_clipped(photo: Photo) -> np.ndarray:
    """Not 0 where every channel is all but white or all but black, at half the size."""
    small = subsample(photo, 2)
    low, high = CLIPPING_LEVELS
    dark, bright = cv2.inRange(small, (0, 0, 0), (low, low, low)), cv2.inRange(small, (high, high, high), (255,) * 3)
    return np.asarray(cv2.bitwise_or(dark, bright))
