"""Light, lens and sensor: changes of a photo's pixels that move nothing, drawn by albumentations."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from logicls.records import Box
from logicls.synth.pixels import Photo
from logicls.synth.torchless import albumentations

BURNT, WASHED = (6, 249), 0.1
"""Grey levels beyond which nothing is to be seen, and the share of a box that may newly come to lie there."""
FAINTEST = 0.01
"""The weakest unevenness that albumentations takes."""


@lru_cache(maxsize=16)
def lighting(
    *, brightness: float, contrast: float, cast: float, hue: int, uneven: float, gradient: float, vignette: float,
    blur: float, noise: float,
) -> albumentations.Compose:  # fmt: skip
    """Random light of at most these strengths; as in `synth/augment.yaml`."""
    changes: list[Any] = [
        albumentations.RandomBrightnessContrast(brightness, contrast, p=1),
        albumentations.RGBShift((-cast, cast), (-cast, cast), (-cast, cast), p=0.5),
        albumentations.HueSaturationValue((-hue, hue), (0, 0), (0, 0), p=1 if hue else 0),
        _falling_off("linear", "both", gradient, uneven / 2),
        _falling_off("corner", "darken", vignette, uneven / 2),
        albumentations.GaussianBlur((3, 3), p=blur),
        albumentations.GaussNoise(std_range=(0.01, 0.03), p=noise),
    ]
    return albumentations.Compose(changes)


def lit(photo: Photo, light: albumentations.Compose, seed: int) -> Photo:
    """The photo in the light that `seed` draws: the same for every photo of that size."""
    light.set_random_seed(seed)
    return np.asarray(light(image=photo)["image"])


def _falling_off(mode: Any, effect: Any, most: float, share: float) -> albumentations.Illumination:
    reach = FAINTEST, max(most, FAINTEST)
    return albumentations.Illumination(mode, reach, effect, p=share if most > 0 else 0)


def is_washed(before: Photo, after: Photo, boxes: Iterable[Box]) -> bool:
    """Whether a thing has newly drowned in white or in black, where nobody could read it any more."""
    then, now = _extreme(before), _extreme(after)
    for box in boxes:
        x1, y1 = max(int(box.x1) // 2, 0), max(int(box.y1) // 2, 0)
        part = slice(y1, max(int(box.y2) // 2, y1 + 1)), slice(x1, max(int(box.x2) // 2, x1 + 1))
        if now[part].size and now[part].mean() - then[part].mean() > WASHED:
            return True
    return False


def _extreme(photo: Photo) -> np.ndarray:
    """True where every channel is all but white or all but black, at half the size."""
    small = np.ascontiguousarray(photo[::2, ::2])
    low, high = BURNT
    dark, bright = cv2.inRange(small, (0, 0, 0), (low, low, low)), cv2.inRange(small, (high, high, high), (255,) * 3)
    return np.asarray(cv2.bitwise_or(dark, bright), dtype=bool)
