"""Colours by name, each a range of shades that a person would call so."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np

Rng = np.random.Generator
Rgb = tuple[float, float, float]

_RANGES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
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
COLOURS = tuple(_RANGES)
PAINTS = ("red", "orange", "yellow", "green", "turquoise", "blue", "purple", "pink", "brown", "black", "grey", "white")
METALS = ("silver", "gold", "copper")
_ALIKE = (
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
"""Pairs that one photo does not hold together, since light and shade may make them one."""


def shade_of(name: str, rng: Rng) -> Rgb:
    """One shade of the colour, RGB 0 to 1."""
    hue, saturation, value = (float(rng.uniform(*span)) for span in _RANGES[name])
    return colorsys.hsv_to_rgb(hue % 360 / 360, saturation, value)


def varied(rgb: Rgb, rng: Rng, amount: float = 0.04) -> Rgb:
    """A shade close to that one."""
    low = np.clip(np.asarray(rgb) * rng.uniform(1 - amount, 1 + amount, 3), 0, 1)
    return float(low[0]), float(low[1]), float(low[2])


def alike(one: str, other: str) -> bool:
    """Whether two names may be taken for each other."""
    return one != other and ((one, other) in _ALIKE or (other, one) in _ALIKE)


def palette(rng: Rng, count: int, ground: Rgb, allowed: Sequence[str] = PAINTS) -> list[str]:
    """Up to `count` names that differ from one another and from the ground."""
    chosen: list[str] = []
    for name in rng.permutation(np.asarray(allowed)).tolist():
        if len(chosen) < count and stands_out(name, ground) and not any(alike(name, other) for other in chosen):
            chosen.append(name)
    return chosen


def stands_out(name: str, ground: Rgb) -> bool:
    """Whether the colour is far from the ground's."""
    hue, saturation, value = (sum(span) / 2 for span in _RANGES[name])
    middle = colorsys.hsv_to_rgb(hue % 360 / 360, saturation, value)
    return float(np.linalg.norm(np.subtract(middle, ground))) > 0.32
