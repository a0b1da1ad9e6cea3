"""Random numbers by the million, drawn once: drawn anew they took longer than all else that is done to a photo."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from jaxtyping import Int8, UInt16

DRAWS = 1 << 22
"""So many of each kind."""
UNIT = 32
"""Standard deviation of the normal ones."""
BELOW = 4096
"""The even ones are smaller."""


def noise(shape: tuple[int, ...], place: float) -> Int8[np.ndarray, "*shape"]:
    """Normal numbers of standard deviation `UNIT`, cut off at four of them; which ones, `place` (0 to 1) tells."""
    return _slice(_normal(), shape, place)


def scattered(shape: tuple[int, ...], place: float) -> UInt16[np.ndarray, "*shape"]:
    """Whole numbers from 0 up to `BELOW`, each as likely; which ones, `place` (0 to 1) tells."""
    return _slice(_even(), shape, place)


def _slice(drawn: np.ndarray, shape: tuple[int, ...], place: float) -> np.ndarray:
    size, start = math.prod(shape), int(place * DRAWS)
    if start + size <= DRAWS:
        return drawn[start : start + size].reshape(shape)
    return np.take(drawn, np.arange(start, start + size), mode="wrap").reshape(shape)


@cache
def _normal() -> Int8[np.ndarray, " draws"]:
    normal = np.random.default_rng(0).standard_normal(DRAWS, np.float32)
    return np.clip(np.round(normal * UNIT), -4 * UNIT + 1, 4 * UNIT - 1).astype(np.int8)


@cache
def _even() -> UInt16[np.ndarray, " draws"]:
    return np.random.default_rng(1).integers(BELOW, size=DRAWS, dtype=np.uint16)
