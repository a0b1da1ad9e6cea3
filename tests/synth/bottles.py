"""Generated photos of a bottling line: bottles side by side that overlap, with caps, labels and fillings."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from logicls.records import Box, Instance, Scene

WIDTH, HEIGHT = 420, 320
"""Size of a photo, pixels."""
BODY, NECK = 92, 36
"""Width of a bottle's body and neck, pixels."""
TOP, SHOULDER, BODY_TOP, BOTTOM = 40, 86, 122, 292
"""Rows of the mouth, where the neck widens, where the body begins, and of the bottom."""
CAP_HEIGHT = 26
"""Rows that a cap covers."""
JUICE, GLASS, CAP, LABEL = (188, 96, 28), (206, 214, 208), (196, 24, 30), (240, 236, 220)
SPEC = """
logicls: 1
product: {name: bottling_line, version: "1"}
components:
  bottle: {}
  filling: {fills: bottle}
  cap: {leaves: mouth}
  mouth: {optional: true}
  label: {}
constraints:
  - id: caps
    quantity: {of: cap, exactly: 3}
    violation: missing_cap
"""
"""Rules of the line."""


@dataclass(frozen=True)
class Bottle:
    """One bottle."""

    x: int
    """Column of its centre."""
    level: int = 130
    """Row of the surface of its filling."""
    has_cap: bool = True


def half_width(row: int) -> float:
    """Half of a bottle's width in a row."""
    share = np.clip((row - SHOULDER) / (BODY_TOP - SHOULDER), 0, 1)
    return float(NECK + (BODY - NECK) * (share * share * (3 - 2 * share))) / 2


def draw_silhouette(x: int) -> np.ndarray:
    """Region of a bottle, without its cap, over the photo."""
    region = np.zeros((HEIGHT, WIDTH), bool)
    for row in range(TOP, BOTTOM):
        half = half_width(row)
        region[row, max(round(x - half), 0) : max(round(x + half), 0)] = True
    return region


def draw_line(bottles: tuple[Bottle, ...], seed: int = 0) -> tuple[np.ndarray, Scene]:
    """Draw bottles, the first behind the others, and their annotations: bottle, filling, cap or mouth, label."""
    rng = np.random.default_rng(seed)
    shade = np.linspace(150, 120, HEIGHT)[:, None, None] + np.linspace(-12, 12, WIDTH)[None, :, None]
    photo = np.broadcast_to(shade, (HEIGHT, WIDTH, 3)).copy()
    instances: list[Instance] = []

    def annotate(component: str, box: Box) -> None:
        instances.append(Instance(len(instances) + 1, component, box.clip(WIDTH, HEIGHT)))

    for bottle in bottles:
        _draw_bottle(photo, bottle)
        x, neck, level = bottle.x, NECK / 2, bottle.level
        half = half_width(level)
        annotate("bottle", Box(x - BODY / 2, TOP - 6, x + BODY / 2, BOTTOM))
        half = max(half_width(row) for row in range(level, BOTTOM))
        annotate("filling", Box(x - half + 3, level, x + half - 3, BOTTOM - 4))
        annotate("label", Box(x - 33, 190, x + 33, 250))
        if bottle.has_cap:
            annotate("cap", Box(x - neck - 4, TOP - 6, x + neck + 4, TOP - 6 + CAP_HEIGHT))
        else:
            annotate("mouth", Box(x - neck - 4, TOP - 6, x + neck + 4, TOP - 6 + CAP_HEIGHT))
    noisy = photo + rng.normal(0, 2, photo.shape)
    return noisy.clip(0, 255).astype(np.uint8), Scene(f"line_{seed}.png", WIDTH, HEIGHT, tuple(instances))


def _draw_bottle(photo: np.ndarray, bottle: Bottle) -> None:
    """Draw one bottle onto the photo, in place."""
    region = draw_silhouette(bottle.x)
    walls = region & ~cv2.erode(region.astype(np.uint8), np.ones((3, 7), np.uint8)).astype(bool)
    photo[region] = 0.45 * photo[region] + 0.55 * np.array(GLASS, float)
    filled = region.copy()
    filled[: bottle.level] = False
    photo[filled & ~walls] = JUICE
    photo[walls] = (96, 108, 104)
    x, neck = bottle.x, NECK // 2
    photo[190:250, max(x - 33, 0) : max(x + 33, 0)] = LABEL
    if bottle.has_cap:
        photo[TOP - 6 : TOP - 6 + CAP_HEIGHT, max(x - neck - 4, 0) : max(x + neck + 4, 0)] = CAP
    else:
        cv2.ellipse(photo, (x, TOP + 3), (neck, 4), 0, 0, 360, (60.0, 66.0, 64.0), -1)
