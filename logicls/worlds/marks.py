"""Small marks on made things: pips, digits, letters, signs, screw drives; each may be told only from near."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from logicls.worlds.canvas import SCALE, Canvas, Points, fill, stroke
from logicls.worlds.colours import Rgb, Rng
from logicls.worlds.kind import Look
from logicls.worlds.printed import FRUIT
from logicls.worlds.shapes import Pose, about, arrow, block, cog, cross, drop, ellipse, heart, leaf, moon, polygon

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
