"""Synthetic flaws by type, painted on good photos or on one instance: they train experts and test appearance rules.

Follows CutPaste (Li et al., CVPR 2021) and DRAEM (Zavrtanik et al., ICCV 2021): synthetic flaws need not be realistic
for a model to generalise to real ones. They are at random positions and independent of the product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

Pixels = UInt8[np.ndarray, "h w 3"]
Mask = Bool[np.ndarray, "h w"]
MIN_CHANGE = 12
"""Least change of a pixel's level to belong to the flaw."""


def add_scratch(photo: Pixels, rng: np.random.Generator, scale: float = 1.0) -> Pixels:
    """Add a scratch: a thin curved line, light or dark."""
    out, side = photo.copy(), min(photo.shape[:2])
    start = _random_point(photo, rng)
    length = scale * side * rng.uniform(0.04, 0.2)
    direction, curvature = rng.uniform(0, 2 * np.pi), rng.uniform(-1.5, 1.5)
    along = np.linspace(0, 1, 20)
    angle = direction + curvature * along
    points = start + length * np.cumsum(np.stack([np.cos(angle), np.sin(angle)], 1), 0) / 20
    tone = int(rng.integers(190, 256)) if rng.random() < 0.5 else int(rng.integers(0, 70))
    width = max(1, round(scale * side * rng.uniform(0.003, 0.008)))
    cv2.polylines(out, [np.round(points * 8).astype(np.int32)], False, (tone, tone, tone), width, cv2.LINE_AA, 3)
    return _blend(photo, out, rng.uniform(0.5, 1.0))


def add_hole(photo: Pixels, rng: np.random.Generator, scale: float = 1.0) -> Pixels:
    """Add a hole or chip: a small ragged region that is nearly black."""
    tone = rng.uniform(0, 60, 3)
    return _fill_region(
        photo, rng, np.broadcast_to(tone, photo.shape), size=(0.01 * scale, 0.035 * scale), strength=(0.75, 1.0)
    )


def add_stain(photo: Pixels, rng: np.random.Generator, scale: float = 1.0) -> Pixels:
    """Add a stain: a translucent region of some colour."""
    return _fill_region(
        photo, rng, photo * rng.uniform(0.25, 1.0, 3), size=(0.015 * scale, 0.06 * scale), strength=(0.4, 0.9)
    )


def add_dent(photo: Pixels, rng: np.random.Generator, scale: float = 1.0) -> Pixels:
    """Add a dent: a local displacement with shading from side to side."""
    x, y = _random_point(photo, rng)
    radius = scale * min(photo.shape[:2]) * rng.uniform(0.02, 0.06)
    rows, columns = np.mgrid[: photo.shape[0], : photo.shape[1]].astype(np.float32)
    u, v = (columns - np.float32(x)) / np.float32(radius), (rows - np.float32(y)) / np.float32(radius)
    fall = np.exp(-(u**2 + v**2)).astype(np.float32)
    direction, push = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.6) * radius
    shift_x, shift_y = (np.float32(push * component) * fall for component in (np.cos(direction), np.sin(direction)))
    warped = cv2.remap(photo, columns - shift_x, rows - shift_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    shading = 1 + rng.uniform(0.3, 0.9) * fall * (u * np.cos(direction) + v * np.sin(direction))
    return np.asarray(np.clip(warped * shading[..., None], 0, 255), np.uint8)


def add_missing_piece(photo: Pixels, rng: np.random.Generator, scale: float = 1.0) -> Pixels:
    """Add a missing or misplaced piece: a region covered by another part of the photo."""
    offset = rng.integers(-min(photo.shape[:2]) // 3, min(photo.shape[:2]) // 3, 2)
    return _fill_region(
        photo, rng, np.roll(photo, offset, (0, 1)), size=(0.015 * scale, 0.05 * scale), strength=(0.9, 1.0)
    )


def add_foreign_body(photo: Pixels, rng: np.random.Generator, scale: float = 1.0) -> Pixels:
    """Add a foreign body: a small object of its own colour, with shading."""
    rows, columns = np.mgrid[: photo.shape[0], : photo.shape[1]]
    direction = rng.uniform(0, 2 * np.pi)
    shade = 1 + 0.4 * np.sin(2 * np.pi * (columns * np.cos(direction) + rows * np.sin(direction)) / rng.uniform(8, 40))
    colour = np.clip(rng.uniform(0, 255, 3) * shade[..., None], 0, 255)
    return _fill_region(photo, rng, colour, size=(0.01 * scale, 0.04 * scale), strength=(0.85, 1.0))


FlawPainter = Callable[[Pixels, np.random.Generator, float], Pixels]
"""Adds a flaw to a photo. The last argument scales its size, which is a share of the photo's shorter side."""
FLAW_TYPES: Mapping[str, FlawPainter] = {
    "scratch": add_scratch,
    "hole": add_hole,
    "stain": add_stain,
    "bent": add_dent,
    "missing piece": add_missing_piece,
    "foreign body": add_foreign_body,
}


def add_flaw(photo: Pixels, kind: str, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """Add a flaw of a type, and return the photo and the flaw's mask; retried while no change is visible."""
    for _ in range(20):
        flawed = FLAW_TYPES[kind](photo, rng, 1.0)
        mask = np.abs(flawed.astype(np.int16) - photo).max(-1) >= MIN_CHANGE
        if mask.sum() >= 12:
            return flawed, mask
    return photo, np.zeros(photo.shape[:2], bool)


def deform(part: Pixels, rng: np.random.Generator, scale: float = 1.0) -> Pixels:
    """Deform a part: a smooth displacement that is strongest at a random point."""
    height, width = part.shape[:2]
    x, y = rng.uniform((0.2 * width, 0.2 * height), (0.8 * width, 0.8 * height))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    fall = np.exp(-(((columns - x) / (0.35 * width)) ** 2 + ((rows - y) / (0.35 * height)) ** 2)).astype(np.float32)
    direction, push = rng.uniform(0, 2 * np.pi), scale * rng.uniform(0.025, 0.05) * min(height, width)
    shift_x, shift_y = (np.float32(push * component) * fall for component in (np.cos(direction), np.sin(direction)))
    return np.asarray(
        cv2.remap(part, columns - shift_x, rows - shift_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def lift(part: Pixels, rng: np.random.Generator, scale: float = 1.0) -> Pixels:
    """Lift one side of a part, as if it were not fully seated: a perspective that narrows the opposite side."""
    height, width = part.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    side, share = int(rng.integers(4)), scale * rng.uniform(0.025, 0.05)
    moved = corners.copy()
    for corner, other in ((side, (side + 1) % 4), ((side + 1) % 4, side)):
        moved[corner] += share * (corners[other] - corners[corner])
    matrix = cv2.getPerspectiveTransform(corners, moved)
    warped = cv2.warpPerspective(part, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped)


PART_SCALE = 4.0
"""Size of a flaw on a part, in relation to one on a whole photo."""
PART_FLAWS: Mapping[str, FlawPainter] = {**FLAW_TYPES, "deformed": deform, "lifted": lift}
MIN_FLAW_SHARE = 0.01
"""Least share of a part that a flaw changes by `MIN_CHANGE` or more."""
MIN_FLAW_CONTRAST = 24.0
"""Least mean change of a flaw's pixels, levels."""


def damage_part(part: Pixels, surface: Mask, rng: np.random.Generator) -> Pixels:
    """Add a visible flaw of a random type to a part; the strongest of several if none is clearly visible.

    Args:
        part: Pixels of the part's box.
        surface: Pixels that belong to the part, and to nothing that lies on it.
        rng: Source of randomness.
    """
    best, best_strength = part, -1.0
    for _ in range(12):
        kind = tuple(PART_FLAWS)[int(rng.integers(len(PART_FLAWS)))]
        flawed = np.where(surface[..., None], PART_FLAWS[kind](part, rng, PART_SCALE), part)
        change = np.abs(flawed.astype(np.int16) - part).max(-1)
        is_flaw = change >= MIN_CHANGE
        share, contrast = float(is_flaw.mean()), float(change[is_flaw].mean()) if is_flaw.any() else 0.0
        strength = min(share / MIN_FLAW_SHARE, 1.0) * min(contrast / MIN_FLAW_CONTRAST, 1.0)
        if strength > best_strength:
            best, best_strength = flawed, strength
        if strength >= 1.0:
            break
    return best


def vary_part(part: Pixels, surface: Mask, rng: np.random.Generator) -> Pixels:
    """Vary a part as photos of good parts vary: its brightness by up to 4 %, and its sharpness slightly.

    Arguments are those of `damage_part`.
    """
    blurred = cv2.GaussianBlur(part, (0, 0), rng.uniform(0.3, 0.6)).astype(np.float32)
    varied = np.asarray(np.clip(blurred * rng.uniform(0.96, 1.04), 0, 255), np.uint8)
    return np.where(surface[..., None], varied, part)


def _random_point(photo: Pixels, rng: np.random.Generator) -> np.ndarray:
    height, width = photo.shape[:2]
    return rng.uniform((0.04 * width, 0.04 * height), (0.96 * width, 0.96 * height))


def _blend(photo: Pixels, content: np.ndarray, strength: float, mask: np.ndarray | None = None) -> Pixels:
    share = strength if mask is None else strength * mask[..., None]
    return np.asarray(np.clip(photo + (content.astype(np.float32) - photo) * share, 0, 255), np.uint8)


def _fill_region(
    photo: Pixels, rng: np.random.Generator, content: np.ndarray, *, size: tuple[float, float],
    strength: tuple[float, float],
) -> Pixels:  # fmt: skip
    """Blend `content` into a ragged region; `size` is its radius as a share of the photo's shorter side."""
    x, y = _random_point(photo, rng)
    radius = min(photo.shape[:2]) * rng.uniform(*size)
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    waves = sum(rng.uniform(-0.25, 0.25) * np.sin(k * angles + rng.uniform(0, 7)) for k in (1, 2, 3, 5))
    radii = radius * (1 + waves) * np.hypot(np.cos(angles), rng.uniform(0.5, 1.0) * np.sin(angles))
    points = np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], 1)
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(points * 8).astype(np.int32)], (255,), cv2.LINE_AA, 3)
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.4, 1.5)), np.float32) / 255
    return _blend(photo, content, rng.uniform(*strength), soft)
