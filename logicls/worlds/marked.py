"""Made photos of one marked thing each (`logicls.worlds.marks`), among others of its kind.

What looks at things closely (`logicls.models.nano.glimpse`) learns from them what marks are made of, before there is a
product. A mark is painted on a body, in photos of `SIDE` pixels; the body is 14 to 44 pixels wide, as many as a die or
a token has on a photo of a whole product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from logicls.worlds.camera import expose, photograph
from logicls.worlds.canvas import Canvas, Points, fill, scale_inside
from logicls.worlds.colours import COLOURS, Rgb, Rng, shade_of
from logicls.worlds.kind import Look, darker, lit
from logicls.worlds.marks import marks
from logicls.worlds.shapes import Pose, about, block, ellipse, polygon
from logicls.worlds.textures import ground

SIDE = 64
"""Pixels of a made photo on a side."""
SMALLEST, LARGEST = 14.0, 44.0
"""Pixels of a body on its longer side."""
_MARBLED, _SHINY, _FADED = 0.25, 0.25, 0.5
"""Shares of bodies; the last one of those whose ink has faded."""
_STANDS_OUT = 0.16
"""Least difference of an ink from what it is on, in red, green or blue (0 to 1)."""
_SIDE = 0.1
"""Thicker bodies, in their size, show a mark on their side."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A made photo with one marked thing in its middle."""

    pixels: NDArray[np.uint8]
    """[SIDE, SIDE, 3], red, green, blue."""
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 of the body, as shares of the photo's side."""
    mark: int
    """Number of its mark among all (`marks`)."""


def look_closely(rng: Rng, *, upright: bool) -> Seen:
    """A made photo of a thing with any mark. `upright`: of those as well that may not be turned."""
    allowed = [number for number, mark in enumerate(marks()) if upright or not mark.upright]
    number = int(rng.choice(allowed))
    canvas, colour = ground(rng, SIDE, SIDE)
    angle = rng.uniform(0, 2 * np.pi)
    look = Look(_paint_colour(rng), _paint_colour(rng), (float(np.cos(angle)), float(np.sin(angle))))
    size = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST))))
    turned = 0.0 if upright else float(rng.uniform(0, 360))
    pose = Pose(SIDE / 2 + float(rng.uniform(-4, 4)), SIDE / 2 + float(rng.uniform(-4, 4)), size, turned)
    marbled = rng.random() < _MARBLED
    body, ink = _body(rng), _ink((look.rgb, look.second) if marbled else (look.rgb,), rng)
    thick, bare = float(rng.uniform(0, 0.25)) * size * (rng.random() < 0.5), rng.random() < 0.08
    if bare:
        look, ink, marbled = Look(colour, look.second, look.light), _ink((colour,), rng), False
    for around in _beside(pose, rng):
        _put(canvas, around, look, body, thick)
        marks()[int(rng.choice(allowed))].paint(canvas, around, ink, rng)
    outline = pose.put(body)
    if not bare:
        _put(
            canvas,
            pose,
            look,
            body,
            thick,
            lambda side: marks()[int(rng.choice(allowed))].paint(canvas, side, ink, rng),
        )
    if marbled:
        _marble(canvas, pose, look.second, outline, rng)
    marks()[number].paint(canvas, pose, ink, rng)
    if rng.random() < _SHINY:
        _shine(canvas, pose, outline, rng)
    pixels = expose(photograph(canvas, None), rng)
    (x1, y1), (x2, y2) = outline.min(0) / SIDE, outline.max(0) / SIDE
    return Seen(pixels, (float(x1), float(y1), float(x2), float(y2)), number)


def _put(
    canvas: Canvas,
    pose: Pose,
    look: Look,
    body: Points,
    thick: float,
    mark_side: Callable[[Pose], None] | None = None,
) -> None:
    """A body with its shadow, and its side away from the light where it is thick, with a mark of its own on it."""
    outline = pose.put(body)
    scale_inside(canvas, about(outline, 1.06, -look.light[0] * 1.5, -look.light[1] * 1.5), 0.6, 1.0)
    if thick > 0.5:
        side = about(outline, 1.0, -look.light[0] * thick, -look.light[1] * thick)
        hull = cv2.convexHull(np.concatenate([outline, side]).astype(np.float32))[:, 0].astype(np.float64)
        fill(canvas, hull, darker(look.rgb, 0.6))
        if mark_side is not None and thick > _SIDE * pose.size:
            out = 0.5 * pose.size + 0.4 * thick
            mark_side(Pose(pose.x - out * look.light[0], pose.y - out * look.light[1], 1.5 * thick, pose.degrees))
    fill(canvas, outline, darker(look.rgb, 0.78), shade=lit(look, 0.3))
    fill(canvas, about(outline, 0.88), look.rgb, 1.0, 0.03 * pose.size, shade=lit(look, 0.15))


def _marble(canvas: Canvas, pose: Pose, rgb: Rgb, outline: Points, rng: Rng) -> None:
    """Clouds of another colour in a body."""
    for _ in range(int(rng.integers(1, 4))):
        wide, tall, x, y = rng.uniform((0.2, 0.15, -0.4, -0.4), (0.7, 0.5, 0.4, 0.4)).tolist()
        cloud = pose.put(_oval(wide, tall, float(rng.uniform(0, np.pi)), x, y))
        fill(canvas, cloud, rgb, float(rng.uniform(0.4, 1)), 0.05 * pose.size, inside=outline)


def _shine(canvas: Canvas, pose: Pose, outline: Points, rng: Rng) -> None:
    """A lamp mirrored in a body, across whatever is on it."""
    tall, x, y = rng.uniform((0.02, -0.3, -0.3), (0.09, 0.3, 0.3)).tolist()
    bar = pose.put(_oval(float(rng.uniform(0.1, 0.6)), tall, float(rng.uniform(0, np.pi)), x, y))
    fill(canvas, bar, (1.0, 1.0, 1.0), float(rng.uniform(0.3, 0.9)), 0.02 * pose.size, inside=outline)


def _oval(wide: float, tall: float, angle: float, x: float, y: float) -> Points:
    """An ellipse around (x, y), turned by so many radians."""
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    turned = (ellipse() * (wide, tall)) @ np.array([[cos, sin], [-sin, cos]])
    return np.asarray(turned + np.array((x, y)), dtype=np.float64)


def _beside(pose: Pose, rng: Rng) -> list[Pose]:
    """Where neighbours stand, close by."""
    found = []
    for _ in range(int(rng.integers(0, 4))):
        a, far = rng.uniform(0, 2 * np.pi), pose.size * rng.uniform(1.15, 1.6)
        turned = pose.degrees + (float(rng.uniform(0, 360)) if pose.degrees else 0.0)
        found.append(Pose(pose.x + far * float(np.cos(a)), pose.y + far * float(np.sin(a)), pose.size, turned))
    return found


def _body(rng: Rng) -> Points:
    kind = rng.random()
    if kind < 0.55:
        return block(1, 1, round(float(rng.uniform(0, 0.3)), 2))
    if kind < 0.85:
        return ellipse()
    return polygon(6) if kind < 0.92 else block(1, round(float(rng.uniform(0.6, 0.9)), 2), 0.05)


def _paint_colour(rng: Rng) -> Rgb:
    return shade_of(str(rng.choice(COLOURS)), rng)


def _ink(under: Sequence[Rgb], rng: Rng) -> Rgb:
    """A colour that stands out from those, be it in one of red, green and blue alone."""
    for _ in range(12):
        full, share = _paint_colour(rng), float(rng.uniform(0.3, 1)) if rng.random() < _FADED else 1.0
        r, g, b = (under[0][k] + share * (full[k] - under[0][k]) for k in range(3))
        ink = (r, g, b)
        if min(np.abs(np.subtract(ink, rgb)).max() for rgb in under) > _STANDS_OUT:
            return ink
    return (0.95, 0.95, 0.93) if sum(under[0]) < 1.5 else (0.07, 0.07, 0.08)
