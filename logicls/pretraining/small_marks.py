"""Small marks on made things: pips, digits, letters, signs, screw drives; each may be told only from near.

Made photos of one marked thing each (`logicls.pretraining.small_marks`), among others of its kind.

What looks at things closely (`logicls.models.nano.crop_encoder`) learns from them what marks are made of, before there
is a product. A mark is painted on a body, in photos of `SIDE` pixels; the body is 14 to 44 pixels wide, like a die or a
token on a photo of a whole product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from logicls.pretraining.camera import expose, photograph
from logicls.pretraining.component_kinds import Look, darker, lit
from logicls.pretraining.drawing import (
    SCALE,
    Canvas,
    Points,
    Pose,
    about,
    arrow,
    block,
    cog,
    cross,
    drop,
    ellipse,
    fill,
    heart,
    leaf,
    moon,
    polygon,
    scale_inside,
    stroke,
)
from logicls.pretraining.printed_parts import FRUIT
from logicls.pretraining.surfaces import COLOURS, Rgb, Rng, ground, shade_of

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
_DIGITS = "0123456789"
_MOST_PIPS, _MOST_BARS = 9, 6
_SIGNS: Mapping[str, Points] = {
    "disc": ellipse(1, 1), "triangle": polygon(3), "square": block(1, 1), "pentagon": polygon(5),
    "hexagon": polygon(6), "star": polygon(5, 0.4), "cross": cross(0.3), "arrow": arrow(), "heart": heart(),
    "drop": drop(), "moon": moon(), "leaf": leaf(), "gear": cog(8), "bar": block(1, 0.22),
}  # fmt: skip
_HOLLOW = ("disc", "triangle", "square", "star")
_DRIVES: Mapping[str, Points] = {
    "slot": block(1.6, 0.22), "phillips": cross(0.24), "hex": polygon(6), "torx": polygon(6, 0.62),
    "square_drive": block(0.8, 0.8), "three_sided": polygon(3),
}  # fmt: skip
_WAYS = ("up", "right", "down", "left")
_NEEDLES = 8


@dataclass(frozen=True, slots=True)
class Mark:
    """What is to be told of a thing."""

    name: str
    paint: Callable[[Canvas, Pose, Rgb, Rng], None]
    """Onto a body in that pose, in that ink."""
    upright: bool = False
    """It is another one, or none, when it is turned."""


@cache
def marks() -> tuple[Mark, ...]:
    """All there are."""
    pips = [Mark(f"pips_{count}", _pips(count)) for count in range(_MOST_PIPS + 1)]
    bars = [Mark(f"bars_{count}", _bars(count)) for count in range(1, _MOST_BARS + 1)]
    signs = [Mark(name, _sign(outline)) for name, outline in _SIGNS.items()]
    rings = [Mark(f"{name}_outline", _sign(_SIGNS[name], hollow=True)) for name in _HOLLOW]
    drives = [Mark(name, _drive(outline)) for name, outline in _DRIVES.items()]
    pictures = [Mark(kind.value, _picture(number)) for number, kind in enumerate(FRUIT)]
    glyphs = [Mark(text, _glyph(text), upright=True) for text in (*_DIGITS, *_LETTERS)]
    ways = [Mark(f"arrow_{way}", _sign(arrow(), turn=90.0 * number), upright=True) for number, way in enumerate(_WAYS)]
    needles = [Mark(f"needle_{number}", _needle(45.0 * number), upright=True) for number in range(_NEEDLES)]
    return (*pips, *bars, *signs, *rings, *drives, *pictures, *glyphs, *ways, *needles)


def _pips(count: int) -> Callable[[Canvas, Pose, Rgb, Rng], None]:
    def paint(canvas: Canvas, pose: Pose, ink: Rgb, rng: Rng) -> None:
        places, room = _layout(count, rng)
        size = min(float(rng.uniform(0.1, 0.24)), room)
        dot = size * (block(1, 1) if rng.random() < 0.12 else ellipse())
        for x, y in places:
            fill(canvas, pose.put(dot + np.array((x, y))), ink)

    return paint


def _layout(count: int, rng: Rng) -> tuple[list[tuple[float, float]], float]:
    """Places of so many pips in the unit frame, and how large each may be: as on dice, in a ring, or anyhow."""
    kind, step = rng.random(), float(rng.uniform(0.2, 0.29))
    on_dice = [(step * x, step * y) for x, y in _as_on_dice(count)]
    if kind < 0.6:
        return on_dice, 0.85 * step
    if kind < 0.75 and count > 2:
        turn = rng.uniform(0, 2 * np.pi) + np.arange(count) * 2 * np.pi / count
        around = [(0.3 * float(np.cos(a)), 0.3 * float(np.sin(a))) for a in turn]
        return around, 0.45 * float(np.sin(np.pi / count))
    places: list[tuple[float, float]] = []
    for _ in range(200):
        x, y = rng.uniform(-0.34, 0.34, 2).tolist()
        if len(places) < count and all((x - p) ** 2 + (y - q) ** 2 > 0.04 for p, q in places):
            places.append((x, y))
    return (places, 0.15) if len(places) == count else (on_dice, 0.85 * step)


def _as_on_dice(count: int) -> list[tuple[int, int]]:
    corners, middles = [(-1, -1), (1, 1), (-1, 1), (1, -1)], [(-1, 0), (1, 0), (0, -1), (0, 1)]
    even = count - count % 2
    places = corners[:even] + middles[: max(even - 4, 0)]
    return [*places, (0, 0)] if count % 2 else places


def _bars(count: int) -> Callable[[Canvas, Pose, Rgb, Rng], None]:
    def paint(canvas: Canvas, pose: Pose, ink: Rgb, rng: Rng) -> None:
        pitch = float(rng.uniform(0.1, min(0.2, 0.66 / count)))
        long = float(rng.uniform(0.35, 0.6))
        for number in range(count):
            y = (number - (count - 1) / 2) * pitch
            fill(canvas, pose.put(block(1, 1) * (long, 0.5 * pitch) + (0, y)), ink)

    return paint


def _sign(outline: Points, *, hollow: bool = False, turn: float = 0.0) -> Callable[[Canvas, Pose, Rgb, Rng], None]:
    def paint(canvas: Canvas, pose: Pose, ink: Rgb, rng: Rng) -> None:
        size = float(rng.uniform(0.35, 0.62)) * pose.size
        placed = Pose(pose.x, pose.y, size, pose.degrees + turn).put(outline)
        if hollow:
            stroke(canvas, placed, ink, max(0.14 * size, 0.8), closed=True)
        else:
            fill(canvas, placed, ink)

    return paint


def _drive(outline: Points) -> Callable[[Canvas, Pose, Rgb, Rng], None]:
    def paint(canvas: Canvas, pose: Pose, ink: Rgb, rng: Rng) -> None:
        head = float(rng.uniform(0.55, 0.85)) * pose.size
        rim = Pose(pose.x, pose.y, head, pose.degrees).put(ellipse())
        grey = float(rng.uniform(0.45, 0.85))
        fill(canvas, rim, (0.6 * grey,) * 3)
        fill(canvas, about(rim, 0.88), (grey,) * 3, 1.0, 0.3)
        fill(canvas, Pose(pose.x, pose.y, 0.52 * head, pose.degrees).put(outline), (0.25 * grey,) * 3, inside=rim)

    return paint


def _picture(number: int) -> Callable[[Canvas, Pose, Rgb, Rng], None]:
    def paint(canvas: Canvas, pose: Pose, ink: Rgb, rng: Rng) -> None:
        kind, look = FRUIT[number], Look(ink, ink, (0.6, -0.8))
        placed = Pose(pose.x, pose.y, float(rng.uniform(0.5, 0.75)) * pose.size, pose.degrees)
        fill(canvas, placed.put(ellipse(1.15, 1.15)), (0.93, 0.92, 0.88))
        kind.paint(canvas, placed, look, placed.put(kind.outline(look)))

    return paint


def _glyph(text: str) -> Callable[[Canvas, Pose, Rgb, Rng], None]:
    def paint(canvas: Canvas, pose: Pose, ink: Rgb, rng: Rng) -> None:
        mask = _inked(text, int(rng.integers(len(_FONTS))), int(rng.integers(8, 18)))
        high = float(rng.uniform(0.45, 0.72)) * pose.size * SCALE
        middle = ((mask.shape[1] - 1) / 2, (mask.shape[0] - 1) / 2)
        matrix = cv2.getRotationMatrix2D(middle, -pose.degrees, high / mask.shape[0])
        matrix[:, 2] += np.array([pose.x * SCALE - 0.5, pose.y * SCALE - 0.5]) - middle
        shrunk = cv2.blur(mask, (max(round(mask.shape[0] / high), 1),) * 2)
        weight = cv2.warpAffine(shrunk, matrix, (canvas.shape[2], canvas.shape[1]))
        canvas += (np.asarray(ink, np.float32)[:, None, None] - canvas) * weight

    return paint


@cache
def _inked(text: str, font: int, thick: int) -> Canvas:
    """Coverage of a character, its own box, about 100 pixels high."""
    (wide, tall), _ = cv2.getTextSize(text, _FONTS[font], 4.0, thick)
    mask = np.zeros((tall + 48, wide + 48), dtype=np.uint8)
    cv2.putText(mask, text, (24, tall + 24), _FONTS[font], 4.0, (255,), thick, cv2.LINE_AA)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    inked = mask[rows[0] - 8 : rows[-1] + 9, columns[0] - 8 : columns[-1] + 9]
    return np.asarray(inked, dtype=np.float32) / np.float32(255)


def _needle(degrees: float) -> Callable[[Canvas, Pose, Rgb, Rng], None]:
    def paint(canvas: Canvas, pose: Pose, ink: Rgb, rng: Rng) -> None:
        long, turned = float(rng.uniform(0.3, 0.42)), pose.degrees + degrees + float(rng.uniform(-12, 12))
        placed = Pose(pose.x, pose.y, pose.size, turned)
        stroke(canvas, placed.put(np.array([(0.0, 0.04), (0.0, -long)])), ink, max(0.07 * pose.size, 0.8))
        fill(canvas, placed.put(ellipse(0.14, 0.14)), ink)

    return paint


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
