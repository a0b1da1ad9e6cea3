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
from logicls.synth.image_ops import UNIT, Photo, noise
from logicls.synth.torchless import albumentations

BURNT, WASHED = (6, 249), 0.1
"""Grey levels beyond which nothing is to be seen, and the share of a box that may newly come to lie there."""
COARSE = 32
"""Points along each side of the small map from which a fall-off of light is scaled up."""
STD = (0.01, 0.03)
"""Shares of white between which the noise of a sensor lies, standard deviation."""


class Exposure(albumentations.ImageOnlyTransform):  # type: ignore[misc]
    """Contrast, brightness (shares of white) and white balance (grey levels), at most so far either way."""

    def __init__(self, brightness: float, contrast: float, cast: float) -> None:
        super().__init__(p=1)
        self.brightness, self.contrast, self.cast = brightness, contrast, cast

    def get_params(self) -> dict[str, Any]:
        """Draw one."""
        either = self.py_random.uniform
        casts = [either(-self.cast, self.cast) for _ in range(3)] if self.py_random.random() < 0.5 else [0.0] * 3
        offset = 255 * either(-self.brightness, self.brightness)
        return {"gain": 1 + either(-self.contrast, self.contrast), "offsets": [offset + cast for cast in casts]}

    def apply(self, img: Photo, *, gain: float, offsets: list[float], **_: Any) -> Photo:
        """To every pixel alike."""
        return np.asarray(cv2.transform(img, np.column_stack([gain * np.eye(3), offsets])))


class FallOff(albumentations.ImageOnlyTransform):  # type: ignore[misc]
    """Light that is weaker on one side and stronger on the other, or (`is_vignette`) weaker towards the corners."""

    def __init__(self, most: float, share: float, *, is_vignette: bool) -> None:
        super().__init__(p=share)
        self.most, self.is_vignette = most, is_vignette

    def get_params(self) -> dict[str, Any]:
        """Draw one."""
        return {"strength": self.py_random.uniform(0, self.most), "angle": self.py_random.uniform(0, 2 * math.pi)}

    def apply(self, img: Photo, *, strength: float, angle: float, **_: Any) -> Photo:
        """Each pixel is multiplied by the light at its place."""
        x, y = np.meshgrid(*[np.linspace(-1, 1, COARSE, dtype=np.float32)] * 2)
        if self.is_vignette:
            light = 1 - strength * (x**2 + y**2) / 2
        else:
            across, down = math.cos(angle), math.sin(angle)
            light = 1 + strength * (across * x + down * y) / (abs(across) + abs(down))
        return np.asarray(cv2.multiply(img, _scaled_up(light, img), dtype=cv2.CV_8U))


class SensorNoise(albumentations.ImageOnlyTransform):  # type: ignore[misc]
    """Normal noise, independent from pixel to pixel and channel to channel."""

    def __init__(self, share: float) -> None:
        super().__init__(p=share)

    def get_params(self) -> dict[str, Any]:
        """Draw one."""
        return {"std": 255 * self.py_random.uniform(*STD), "place": self.py_random.random()}

    def apply(self, img: Photo, *, std: float, place: float, **_: Any) -> Photo:
        """Added, in grey levels."""
        drawn = noise(img.shape, place).view(np.uint8)
        levels = np.round(np.arange(256, dtype=np.uint8).view(np.int8) * (std / UNIT)).astype(np.int8)
        return np.asarray(cv2.add(img, cv2.LUT(drawn, levels.view(np.uint8)).view(np.int8), dtype=cv2.CV_8U))


@lru_cache(maxsize=16)
def lighting(
    *, brightness: float, contrast: float, cast: float, hue: int, uneven: float, gradient: float, vignette: float,
    blur: float, noise: float,
) -> albumentations.Compose:  # fmt: skip
    """Random light of at most these strengths; as in `synth/augment.yaml`."""
    changes: list[Any] = [
        Exposure(brightness, contrast, cast),
        albumentations.HueSaturationValue((-hue, hue), (0, 0), (0, 0), p=1 if hue else 0),
        FallOff(gradient, uneven / 2, is_vignette=False),
        FallOff(vignette, uneven / 2, is_vignette=True),
        albumentations.GaussianBlur((3, 3), p=blur),
        SensorNoise(noise),
    ]
    return albumentations.Compose(changes)


def lit(photo: Photo, light: albumentations.Compose, seed: int) -> Photo:
    """The photo in the light that `seed` draws: the same for every photo of that size."""
    light.set_random_state(np.random.default_rng(seed), random.Random(seed))
    return np.asarray(light(image=photo)["image"])


def _scaled_up(light: Float[np.ndarray, "coarse coarse"], photo: Photo) -> Float[np.ndarray, "height width 3"]:
    size = photo.shape[1], photo.shape[0]
    return np.asarray(cv2.resize(cv2.merge([light] * 3), size, interpolation=cv2.INTER_LINEAR))


def is_washed(before: Photo, after: Photo, boxes: Iterable[Box], *, shrunk: int = 1) -> bool:
    """Whether a thing has newly drowned in white or in black, where nobody could read it any more.

    The boxes are those of a photo that is `shrunk` times as large on each side as the two given.
    """
    then, now = _extreme(before), _extreme(after)
    step = 2 * shrunk
    for box in boxes:
        x1, y1 = max(int(box.x1) // step, 0), max(int(box.y1) // step, 0)
        part = slice(y1, max(int(box.y2) // step, y1 + 1)), slice(x1, max(int(box.x2) // step, x1 + 1))
        pixels = now[part].size
        if pixels and cv2.countNonZero(now[part]) - cv2.countNonZero(then[part]) > WASHED * pixels:
            return True
    return False


def thinned(photo: Photo, step: int) -> Photo:
    """Every so many-th pixel of both sides, without what is left over at the right and at the bottom."""
    across, down = max(photo.shape[1] // step, 1), max(photo.shape[0] // step, 1)
    whole = photo[: down * step, : across * step]
    return np.asarray(cv2.resize(whole, (across, down), interpolation=cv2.INTER_NEAREST))


def _extreme(photo: Photo) -> np.ndarray:
    """Not 0 where every channel is all but white or all but black, at half the size."""
    small = thinned(photo, 2)
    low, high = BURNT
    dark, bright = cv2.inRange(small, (0, 0, 0), (low, low, low)), cv2.inRange(small, (high, high, high), (255,) * 3)
    return np.asarray(cv2.bitwise_or(dark, bright))
