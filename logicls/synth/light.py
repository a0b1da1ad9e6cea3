"""Light, lens and sensor: changes of a photo's pixels that move nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from logicls.records import Box
from logicls.synth.pixels import Photo

Rng = np.random.Generator
GRAIN = 256
"""Side of the tile of noise that covers a photo."""
BURNT, WASHED = (6, 249), 0.1
"""Grey levels beyond which nothing is to be seen, and the share of a box that may newly come to lie there."""


@dataclass(frozen=True, slots=True)
class Light:
    """One draw of everything, to be applied to any number of photos."""

    tones: UInt8[np.ndarray, "1 256 3"]
    """Grey level → grey level, for each channel: brightness, contrast, cast."""
    slope: tuple[float, float] = (0.0, 0.0)
    """By which the right and the lower edge are brighter than the middle."""
    vignette: float = 0.0
    hue: int = 0
    blur: bool = False
    noise: Float[np.ndarray, "side side 3"] | None = None


def drawn_light(
    rng: Rng, *, brightness: float, contrast: float, cast: float, hue: int, slope: float, vignette: float
) -> Light:
    """Random light of at most these strengths; as in `synth/augment.yaml`."""
    bright, strong = 255 * brightness * _either(rng), 1 + contrast * _either(rng)
    casts = rng.uniform(-cast, cast, 3) * (rng.random() < 0.5)
    levels = (np.arange(256)[:, None] - 128) * strong + 128 + bright + casts
    tones = np.clip(np.rint(levels), 0, 255).astype(np.uint8)[None]
    angle = 2 * math.pi * float(rng.random())
    steep = slope * float(rng.random())
    turned = round(hue * _either(rng))
    return Light(tones, (steep * math.cos(angle), steep * math.sin(angle)), vignette * float(rng.random()), hue=turned)


def drawn_noise(rng: Rng) -> Float[np.ndarray, "side side 3"]:
    """Sensor noise, grey levels, of 1 to 3 % of white."""
    return rng.standard_normal((GRAIN, GRAIN, 3), np.float32) * np.float32(255 * rng.uniform(0.01, 0.03))


def lit(photo: Photo, light: Light) -> Photo:
    """The photo in that light."""
    out = photo
    if light.hue:
        colours = cv2.cvtColor(out, cv2.COLOR_RGB2HSV)
        colours[..., 0] = (colours[..., 0].astype(np.int16) + light.hue) % 180
        out = cv2.cvtColor(colours, cv2.COLOR_HSV2RGB)
    out = cv2.LUT(out, light.tones)
    if any(light.slope) or light.vignette:
        gain = _gain(light.slope, light.vignette, out.shape[0], out.shape[1])
        out = cv2.multiply(out, cv2.merge([gain, gain, gain]), dtype=cv2.CV_8U)
    if light.blur:
        out = cv2.GaussianBlur(out, (3, 3), 0)
    if light.noise is not None:
        repeats = -(-out.shape[0] // GRAIN), -(-out.shape[1] // GRAIN), 1
        tile = np.tile(light.noise, repeats)[: out.shape[0], : out.shape[1]]
        out = cv2.add(out, tile, dtype=cv2.CV_8U)
    return np.asarray(out)


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
    red, green, blue = cv2.split(np.ascontiguousarray(photo[::2, ::2]))
    low, high = BURNT
    darkest, lightest = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    return np.asarray((darkest <= low) | (lightest >= high))


def _gain(slope: tuple[float, float], vignette: float, height: int, width: int) -> Float[np.ndarray, "height width"]:
    x, y, distance = _places(height, width)
    return np.asarray(1 + slope[0] * x + slope[1] * y - vignette * distance, np.float32)


@lru_cache(maxsize=4)
def _places(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns [1, width] and rows [height, 1], -1 to 1, and the squared distance from the middle, 1 in corners."""
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    return x, y, (x * x + y * y) / 2


def _either(rng: Rng) -> float:
    """Uniform from -1 to 1."""
    return 2 * float(rng.random()) - 1
