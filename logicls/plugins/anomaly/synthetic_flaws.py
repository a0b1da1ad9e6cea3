"""Flaws made on good photos, by type: what negative prototypes and prompts are learned from.

After the idea of CutPaste (Li et al., CVPR 2021) and DRAEM (Zavrtanik et al., ICCV 2021): no made flaw looks like a
real one, but a model that tells many of them from good patches tells real ones too. Made on the photo's pixels, at
random places; nothing is known of the product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

Pixels = UInt8[np.ndarray, "h w 3"]
Mask = Bool[np.ndarray, "h w"]
LEAST_CHANGE = 12
"""Levels by which a pixel must differ to belong to the flaw."""


def line(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """Scratch: thin bent lines, light or dark."""
    out, side = photo.copy(), min(photo.shape[:2])
    start = _place(photo, rng)
    reach = side * rng.uniform(0.04, 0.2)
    turn, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-1.5, 1.5)
    along = np.linspace(0, 1, 20)
    angle = turn + bend * along
    points = start + reach * np.cumsum(np.stack([np.cos(angle), np.sin(angle)], 1), 0) / 20
    tone = int(rng.integers(190, 256)) if rng.random() < 0.5 else int(rng.integers(0, 70))
    width = max(1, round(side * rng.uniform(0.003, 0.008)))
    cv2.polylines(out, [np.round(points * 8).astype(np.int32)], False, (tone, tone, tone), width, cv2.LINE_AA, 3)
    return _blend(photo, out, rng.uniform(0.5, 1.0))


def hole(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """Hole or chip: a small ragged place that is nearly black, with a lighter rim at times."""
    tone = rng.uniform(0, 60, 3)
    return _filled(photo, rng, np.broadcast_to(tone, photo.shape), size=(0.01, 0.035), strength=(0.75, 1.0))


def stain(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """Stain: a see-through blot of some colour."""
    return _filled(photo, rng, photo * rng.uniform(0.25, 1.0, 3), size=(0.015, 0.06), strength=(0.4, 0.9))


def bent(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """Bent or dented: what is there is drawn aside, and the light on it changes from one side to the other."""
    x, y = _place(photo, rng)
    radius = min(photo.shape[:2]) * rng.uniform(0.02, 0.06)
    down, right = np.mgrid[: photo.shape[0], : photo.shape[1]].astype(np.float32)
    u, v = (right - np.float32(x)) / np.float32(radius), (down - np.float32(y)) / np.float32(radius)
    fall = np.exp(-(u**2 + v**2)).astype(np.float32)
    turn, push = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.6) * radius
    aside, below = (np.float32(push * way) * fall for way in (np.cos(turn), np.sin(turn)))
    moved = cv2.remap(photo, right - aside, down - below, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    slope = 1 + rng.uniform(0.3, 0.9) * fall * (u * np.cos(turn) + v * np.sin(turn))
    return np.asarray(np.clip(moved * slope[..., None], 0, 255), np.uint8)


def missing(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """Missing or misplaced piece: a place is covered with another part of the same photo."""
    away = rng.integers(-min(photo.shape[:2]) // 3, min(photo.shape[:2]) // 3, 2)
    return _filled(photo, rng, np.roll(photo, away, (0, 1)), size=(0.015, 0.05), strength=(0.9, 1.0))


def foreign(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """Foreign body: a small thing of a colour of its own, light on one side."""
    down, right = np.mgrid[: photo.shape[0], : photo.shape[1]]
    turn = rng.uniform(0, 2 * np.pi)
    shade = 1 + 0.4 * np.sin(2 * np.pi * (right * np.cos(turn) + down * np.sin(turn)) / rng.uniform(8, 40))
    colour = np.clip(rng.uniform(0, 255, 3) * shade[..., None], 0, 255)
    return _filled(photo, rng, colour, size=(0.01, 0.04), strength=(0.85, 1.0))


TYPES: Mapping[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    "scratch": line,
    "hole": hole,
    "stain": stain,
    "bent": bent,
    "missing piece": missing,
    "foreign body": foreign,
}


def damaged(photo: Pixels, kind: str, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """A photo with a flaw of that type and where it is; tried anew where nothing is to be seen of it."""
    for _ in range(20):
        made = TYPES[kind](photo, rng)
        where = np.abs(made.astype(np.int16) - photo).max(-1) >= LEAST_CHANGE
        if where.sum() >= 12:
            return made, where
    return photo, np.zeros(photo.shape[:2], bool)


def _place(photo: Pixels, rng: np.random.Generator) -> np.ndarray:
    height, width = photo.shape[:2]
    return rng.uniform((0.04 * width, 0.04 * height), (0.96 * width, 0.96 * height))


def _blend(photo: Pixels, over: np.ndarray, strength: float, mask: np.ndarray | None = None) -> Pixels:
    share = strength if mask is None else strength * mask[..., None]
    return np.asarray(np.clip(photo + (over.astype(np.float32) - photo) * share, 0, 255), np.uint8)


def _filled(
    photo: Pixels, rng: np.random.Generator, over: np.ndarray, *, size: tuple[float, float],
    strength: tuple[float, float],
) -> Pixels:  # fmt: skip
    """Inside a ragged outline, so large as a share of the photo's shorter side, something else is seen."""
    x, y = _place(photo, rng)
    radius = min(photo.shape[:2]) * rng.uniform(*size)
    turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    waves = sum(rng.uniform(-0.25, 0.25) * np.sin(k * turn + rng.uniform(0, 7)) for k in (1, 2, 3, 5))
    reach = radius * (1 + waves) * np.hypot(np.cos(turn), rng.uniform(0.5, 1.0) * np.sin(turn))
    points = np.stack([x + reach * np.cos(turn), y + reach * np.sin(turn)], 1)
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(points * 8).astype(np.int32)], (255,), cv2.LINE_AA, 3)
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.4, 1.5)), np.float32) / 255
    return _blend(photo, over, rng.uniform(*strength), soft)
