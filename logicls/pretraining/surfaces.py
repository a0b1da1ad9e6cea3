"""Backgrounds with procedural textures, and named colours as ranges of shades."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

from logicls.pretraining.drawing import SCALE, Canvas

Rng = np.random.Generator
Rgb = tuple[float, float, float]

_HSV_RANGES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "red": ((-6, 6), (0.75, 1), (0.55, 0.92)),
    "orange": ((21, 30), (0.85, 1), (0.9, 1)),
    "yellow": ((49, 58), (0.75, 1), (0.88, 1)),
    "green": ((96, 138), (0.5, 1), (0.35, 0.75)),
    "turquoise": ((174, 186), (0.6, 1), (0.62, 0.9)),
    "blue": ((214, 234), (0.7, 1), (0.45, 0.95)),
    "purple": ((272, 290), (0.5, 0.85), (0.4, 0.72)),
    "pink": ((326, 344), (0.32, 0.55), (0.92, 1)),
    "brown": ((18, 28), (0.55, 0.75), (0.3, 0.46)),
    "black": ((0, 360), (0, 0.2), (0.04, 0.13)),
    "grey": ((200, 240), (0, 0.06), (0.42, 0.58)),
    "white": ((40, 60), (0, 0.06), (0.91, 1)),
    "silver": ((200, 230), (0.02, 0.06), (0.68, 0.8)),
    "gold": ((42, 47), (0.5, 0.65), (0.75, 0.88)),
    "copper": ((17, 22), (0.48, 0.58), (0.72, 0.82)),
    "beige": ((34, 42), (0.2, 0.28), (0.82, 0.9)),
}
"""Hue in degrees, saturation and value 0 to 1."""
COLOURS = tuple(_HSV_RANGES)
PAINT_COLOURS = (
    "red",
    "orange",
    "yellow",
    "green",
    "turquoise",
    "blue",
    "purple",
    "pink",
    "brown",
    "black",
    "grey",
    "white",
)
METAL_COLOURS = ("silver", "gold", "copper")
_CONFUSABLE = (
    ("yellow", "gold"),
    ("grey", "silver"),
    ("copper", "orange"),
    ("copper", "brown"),
    ("gold", "copper"),
    ("white", "silver"),
    ("gold", "orange"),
    ("brown", "black"),
    ("beige", "white"),
    ("beige", "gold"),
    ("beige", "yellow"),
    ("beige", "silver"),
    ("red", "orange"),
    ("orange", "yellow"),
    ("purple", "pink"),
    ("turquoise", "green"),
    ("turquoise", "blue"),
    ("blue", "purple"),
    ("grey", "black"),
    ("brown", "red"),
    ("copper", "gold"),
    ("brown", "gold"),
    ("beige", "pink"),
    ("red", "pink"),
    ("beige", "brown"),
    ("red", "copper"),
    ("purple", "black"),
    ("orange", "brown"),
    ("grey", "white"),
)
"""Pairs that one photo does not hold together, since illumination may make them equal."""


def sample_shade(name: str, rng: Rng) -> Rgb:
    """Sample a shade of the colour, RGB 0 to 1."""
    hue, saturation, value = (float(rng.uniform(*span)) for span in _HSV_RANGES[name])
    return colorsys.hsv_to_rgb(hue % 360 / 360, saturation, value)


def vary_shade(rgb: Rgb, rng: Rng, amount: float = 0.04) -> Rgb:
    """Sample a shade close to that one."""
    low = np.clip(np.asarray(rgb) * rng.uniform(1 - amount, 1 + amount, 3), 0, 1)
    return float(low[0]), float(low[1]), float(low[2])


def are_similar(one: str, other: str) -> bool:
    """Return whether two colour names may be confused."""
    return one != other and ((one, other) in _CONFUSABLE or (other, one) in _CONFUSABLE)


def sample_palette(rng: Rng, count: int, background: Rgb, allowed: Sequence[str] = PAINT_COLOURS) -> list[str]:
    """Sample up to `count` colour names that differ from one another and from the background."""
    selected: list[str] = []
    for name in rng.permutation(np.asarray(allowed)).tolist():
        if (
            len(selected) < count
            and has_contrast(name, background)
            and not any(are_similar(name, other) for other in selected)
        ):
            selected.append(name)
    return selected


def has_contrast(name: str, background: Rgb) -> bool:
    """Return whether the colour is far from the background's."""
    hue, saturation, value = (sum(span) / 2 for span in _HSV_RANGES[name])
    mean_colour = colorsys.hsv_to_rgb(hue % 360 / 360, saturation, value)
    return float(np.linalg.norm(np.subtract(mean_colour, background))) > 0.32


TEXTURE_SIDE = 1100
"""Side of a cached texture, canvas pixels; backgrounds are crops of it."""
BACKGROUNDS = ("plain", "slope", "cloudy", "brushed", "wood", "cloth", "cardboard", "belt", "speckled", "dark", "paper")


@cache
def _noise(rows: int, columns: int, seed: int) -> Canvas:
    """Return smooth noise with that many knots, standard deviation about 1, (TEXTURE_SIDE, TEXTURE_SIDE)."""
    knots = np.random.default_rng(seed).standard_normal((rows, columns), dtype=np.float32)
    return np.asarray(cv2.resize(knots, (TEXTURE_SIDE, TEXTURE_SIDE), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


@cache
def texture(name: str) -> Canvas:
    """Return the brightness texture of a material around 0, (TEXTURE_SIDE, TEXTURE_SIDE)."""
    coordinates = np.arange(TEXTURE_SIDE, dtype=np.float32)
    if name == "wood":
        bend = _noise(8, 4, 1) * 4 + coordinates[:, None] * 0.12
        return np.asarray(
            0.07 * np.sin(bend) + 0.07 * _noise(TEXTURE_SIDE // 3, 7, 2) + 0.05 * _noise(TEXTURE_SIDE, 40, 3),
            dtype=np.float32,
        )
    if name == "brushed":
        return np.asarray(
            0.06 * _noise(TEXTURE_SIDE // 2, 8, 4) + 0.04 * _noise(TEXTURE_SIDE, 30, 5) + 0.05 * _noise(5, 5, 6),
            dtype=np.float32,
        )
    if name == "cloth":
        wave = np.sin(coordinates * 0.75)
        weave = 0.09 * wave[:, None] * wave[None, :] + 0.04 * _noise(TEXTURE_SIDE // 5, TEXTURE_SIDE // 5, 7)
        return np.asarray(weave + 0.04 * _noise(6, 6, 8), dtype=np.float32)
    if name == "cardboard":
        flutes = 0.025 * np.sin(coordinates * 0.35)[None, :]
        return np.asarray(
            flutes + 0.035 * _noise(TEXTURE_SIDE // 3, TEXTURE_SIDE // 3, 9) + 0.04 * _noise(9, 9, 10), dtype=np.float32
        )
    if name == "belt":
        ribs = 0.08 * np.sign(np.sin(coordinates * 0.2))[None, :]
        return np.asarray(
            ribs + 0.04 * _noise(TEXTURE_SIDE // 2, TEXTURE_SIDE // 2, 11) + 0.06 * _noise(7, 3, 12), dtype=np.float32
        )
    if name == "speckled":
        return np.asarray(
            0.07 * _noise(TEXTURE_SIDE // 2, TEXTURE_SIDE // 2, 13)
            + 0.06 * _noise(TEXTURE_SIDE // 9, TEXTURE_SIDE // 9, 14),
            dtype=np.float32,
        )
    if name == "cloudy":
        cloud = 0.10 * _noise(6, 6, 15) + 0.06 * _noise(20, 20, 16) + 0.04 * _noise(70, 70, 17)
        return np.asarray(cloud + 0.02 * _noise(250, 250, 18), dtype=np.float32)
    return np.asarray(
        0.012 * _noise(TEXTURE_SIDE // 2, TEXTURE_SIDE // 2, 19) + 0.02 * _noise(4, 4, 20), dtype=np.float32
    )


def crop_texture(name: str, high: int, wide: int, rng: Rng) -> Canvas:
    """Return a random crop of a texture, (high, wide) canvas pixels, transposed at random."""
    material = texture(name)
    if rng.random() < 0.5:
        material = material.T
    top, left = int(rng.integers(TEXTURE_SIDE - high + 1)), int(rng.integers(TEXTURE_SIDE - wide + 1))
    return np.ascontiguousarray(material[top : top + high, left : left + wide])


def draw_background(rng: Rng, height: int, width: int, name: str = "") -> tuple[Canvas, Rgb]:
    """Return a canvas for a photo of that size covered with a background, and the background's mean colour."""
    material = name or str(rng.choice(BACKGROUNDS))
    rgb = _background_colour(material, rng)
    high, wide = height * SCALE, width * SCALE
    tone = 1 + crop_texture(material, high, wide, rng) * float(rng.uniform(0.6, 1.8))
    if material in ("slope", "dark") or rng.random() < 0.2:
        tone = tone + _brightness_gradient(rng, high, wide)
    return np.stack([tone * np.float32(part) for part in rgb]), rgb


def _brightness_gradient(rng: Rng, high: int, wide: int) -> Canvas:
    angle, steep = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.35)
    down = np.linspace(-1, 1, high, dtype=np.float32)[:, None] * np.float32(np.sin(angle) * steep)
    return np.asarray(down + np.linspace(-1, 1, wide, dtype=np.float32)[None, :] * np.float32(np.cos(angle) * steep))


def _background_colour(name: str, rng: Rng) -> Rgb:
    draw = rng.uniform
    if name == "wood":
        hue, saturation, value = draw(20, 38), draw(0.25, 0.65), draw(0.35, 0.8)
    elif name == "cardboard":
        hue, saturation, value = draw(28, 36), draw(0.3, 0.45), draw(0.55, 0.75)
    elif name in ("brushed", "belt"):
        hue, saturation, value = draw(190, 250), draw(0, 0.12), draw(0.15 if name == "belt" else 0.35, 0.65)
    elif name == "dark":
        hue, saturation, value = draw(0, 360), draw(0, 0.4), draw(0.02, 0.12)
    elif name == "paper":
        hue, saturation, value = draw(30, 60), draw(0, 0.08), draw(0.8, 0.97)
    else:
        hue, saturation, value = draw(0, 360), draw(0, 0.7) * draw(0, 1), draw(0.08, 0.95)
    return colorsys.hsv_to_rgb(hue / 360, saturation, value)
