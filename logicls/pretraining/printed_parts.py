"""Kinds that are printed or stuck on: pictures of fruit, letters, numbers, bar codes, lines of text, labels."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from logicls.pretraining.component_kinds import Kind, Look, darker, flat, glint, lit, paler
from logicls.pretraining.devices import ink_on
from logicls.pretraining.drawing import (
    SCALE,
    Canvas,
    Points,
    Pose,
    about,
    banana,
    block,
    cloud,
    drop,
    ellipse,
    fill,
    fitted,
    leaf,
    polygon,
    stroke,
)
from logicls.pretraining.hardware import fixed
from logicls.pretraining.surfaces import Rgb

_GREEN = (0.2, 0.5, 0.15)
_STEM = (0.3, 0.2, 0.1)
_DIGITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_GLYPHS = {word: str(number) for number, word in enumerate(_DIGITS, 1)}


def _stalk(canvas: Canvas, pose: Pose, points: tuple[tuple[float, float], ...]) -> None:
    stroke(canvas, pose.put(np.array(points)), _GREEN, max(0.07 * pose.size, 0.8))


def _cherries(look: Look) -> Points:
    return np.concatenate([ellipse(0.46, 0.44, -0.25, 0.24), ellipse(0.46, 0.44, 0.25, 0.28), np.array([(0.1, -0.5)])])


def _cherry(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    _stalk(canvas, pose, ((-0.22, 0.1), (0.1, -0.47), (0.24, 0.15)))
    for x, y in ((-0.25, 0.24), (0.25, 0.28)):
        berry = pose.put(ellipse(0.46, 0.44, x, y))
        fill(canvas, berry, (0.75, 0.05, 0.12), shade=lit(look, 0.4))
        fill(canvas, pose.put(ellipse(0.1, 0.1, x - 0.08, y - 0.08)), (1, 0.8, 0.8), 0.7)
    fill(canvas, pose.put(leaf(0.5) * 0.3 + (0.24, -0.34)), _GREEN)


def _fruit(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, darker(look.rgb, 0.7), shade=lit(look, 0.3))
    fill(canvas, about(outline, 0.82), look.rgb, 1.0, 0.04 * pose.size)
    glint(canvas, pose, look, outline, 0.2, strength=0.6)


def _tinted(rgb: Rgb, foot: bool = True) -> object:
    def paint(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
        own = Look(rgb, rgb, look.light)
        _fruit(canvas, pose, own, outline)
        if foot:
            stroke(canvas, pose.put(np.array([(0, -0.3), (0.04, -0.46)])), _STEM, max(0.06 * pose.size, 0.8))
            fill(canvas, pose.put(leaf(0.5)[:, ::-1] * 0.3 + (0.17, -0.4)), _GREEN)

    return paint


def _banana(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, (0.95, 0.8, 0.15), shade=lit(look, 0.2))
    ends = outline[[0, 23]].mean(axis=0), outline[[23, 24]].mean(axis=0)
    for end in (outline[[0, -1]].mean(axis=0), ends[1]):
        fill(canvas, Pose(float(end[0]), float(end[1]), 0.05 * pose.size).put(ellipse(1, 1)), _STEM, inside=outline)
    stroke(
        canvas, 0.8 * outline[4:20] + 0.2 * outline[:23:-1][4:20], (0.6, 0.45, 0.08), max(0.02 * pose.size, 0.5), 0.7
    )


def _grapes(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    _stalk(canvas, pose, ((0, -0.3), (0.04, -0.48)))
    for row, count in enumerate((3, 4, 3, 2, 1)):
        for number in range(count):
            x, y = (number - (count - 1) / 2) * 0.21, -0.26 + row * 0.16
            fill(canvas, pose.put(ellipse(0.23, 0.23, x, y)), (0.42, 0.15, 0.55), shade=lit(look, 0.5))


def _grape_edge(look: Look) -> Points:
    rows = [
        ellipse(0.23, 0.23, x, -0.26 + row * 0.16)
        for row, x in ((0, -0.2), (0, 0.2), (1, 0.315), (1, -0.315), (4, 0.0))
    ]
    points = np.concatenate([*rows, np.array([(0.04, -0.5)])])
    return np.asarray(points, dtype=np.float64)


def _strawberry(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, (0.85, 0.1, 0.12), shade=lit(look, 0.25))
    for x, y in ((-0.15, -0.1), (0.13, -0.12), (0, 0.08), (-0.08, 0.26), (0.1, 0.24)):
        fill(canvas, pose.put(ellipse(0.05, 0.07, x, y)), (0.98, 0.85, 0.4))
    fill(canvas, pose.put(polygon(5, 0.4) * (0.6, 0.3) + (0, -0.36)), _GREEN)


def _strawberry_edge(look: Look) -> Points:
    return fitted(drop() * (1, -1))


def _sun(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, look.rgb)
    fill(canvas, pose.put(ellipse(0.56, 0.56)), paler(look.rgb, 0.35))


def _leaf(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, look.rgb, shade=lit(look, 0.2))
    stroke(canvas, pose.put(np.array([(0, -0.4), (0, 0.48)])), paler(look.rgb, 0.5), max(0.04 * pose.size, 0.6))


def _pear_edge(look: Look) -> Points:
    low, top = ellipse(0.72, 0.66, 0, 0.17), ellipse(0.36, 0.5, 0, -0.2)
    return fitted(_hull(low, top))


def _hull(*loops: Points) -> Points:
    points = np.concatenate(loops).astype(np.float32)
    return np.asarray(cv2.convexHull(points)[:, 0], dtype=np.float64)


def glyph(canvas: Canvas, pose: Pose, text: str, rgb: Rgb, high: float) -> None:
    """A letter or number in the middle of the pose, `high` times its size; upright."""
    mask = _glyph(text, max(int(pose.size * SCALE * high), 4))
    tall, wide = mask.shape[:2]
    top, left = int(pose.y * SCALE - tall / 2), int(pose.x * SCALE - wide / 2)
    part = canvas[:, max(top, 0) : top + tall, max(left, 0) : left + wide]
    weight = mask[max(-top, 0) :, max(-left, 0) :][: part.shape[1], : part.shape[2]]
    part += (np.asarray(rgb, dtype=np.float32)[:, None, None] - part) * weight


@cache
def _glyph(text: str, high: int) -> Canvas:
    """Coverage of a character, about `high` canvas pixels tall."""
    (wide, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 4.0, 12)
    mask = np.zeros((tall + 16, wide + 16), dtype=np.uint8)
    cv2.putText(mask, text, (8, tall + 8), cv2.FONT_HERSHEY_SIMPLEX, 4.0, (255,), 12, cv2.LINE_AA)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    inked = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    size = max(round(inked.shape[1] * high / inked.shape[0]), 1), high
    return np.asarray(cv2.resize(inked, size, interpolation=cv2.INTER_AREA), dtype=np.float32) / np.float32(255)


def _tile(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, darker(look.rgb, 0.8), shade=lit(look, 0.2))
    fill(canvas, about(outline, 0.9), look.rgb, 1.0, 0.3)
    glyph(canvas, pose, _GLYPHS.get(look.value, look.value), ink_on(look.rgb), 0.55)


def text_lines(canvas: Canvas, outline: Points, rgb: Rgb, rows: int, form: float) -> None:
    """Rows of strokes that look like small print inside the outline's box."""
    (x1, y1), (x2, y2) = outline.min(axis=0).tolist(), outline.max(axis=0).tolist()
    pitch = (y2 - y1) / (rows - 0.4)
    rng = np.random.default_rng(int(form * 1e6))
    for row in range(rows):
        y, x = y1 + (row + 0.3) * pitch, x1 + 0.3 * pitch
        while x < x2 - 0.5 * pitch:
            wide = min(float(rng.uniform(0.6, 2.4)) * pitch, x2 - 0.3 * pitch - x)
            stroke(canvas, np.array([(x, y), (x + wide, y)]), rgb, 0.6 * pitch, 0.9)
            x += wide + 0.5 * pitch


def _text(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    high = float(np.ptp(outline[:, 1]))
    text_lines(
        canvas, about(outline, 1.0), look.rgb, max(int(1 + look.form[0] * 3 * min(high / 12, 1)), 1), look.form[1]
    )


def _barcode(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, (0.96, 0.96, 0.95))
    rng, x = np.random.default_rng(int(look.form[1] * 1e6)), -0.44
    while x < 0.43:
        wide = min(float(rng.choice((0.02, 0.04, 0.06))), 0.45 - x)
        fill(canvas, pose.put(block(wide, 0.46, 0, x + wide / 2, 0)), (0.05, 0.05, 0.06))
        x += wide + float(rng.choice((0.025, 0.05)))


def label(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    """Paper with a printed frame."""
    fill(canvas, outline, look.rgb, shade=lit(look, 0.12))
    if look.form[2] < 0.6:
        trim = 1 - 3.5 / max(float(np.ptp(outline, axis=0).min()), 8)
        stroke(canvas, about(outline, trim), look.second, 0.7, 0.8, closed=True)


def _sticker(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    label(canvas, pose, look, outline)
    text_lines(canvas, about(outline, 0.66), ink_on(look.rgb), 1 + int(look.form[0] * 3), look.form[1])


def _warning(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, (0.08, 0.08, 0.08))
    fill(canvas, about(outline, 0.8), (0.98, 0.82, 0.1))
    fill(canvas, pose.put(block(0.09, 0.32, 0, 0, 0.04)), (0.08, 0.08, 0.08))
    fill(canvas, pose.put(ellipse(0.1, 0.1, 0, 0.3)), (0.08, 0.08, 0.08))


FRUITS = ("cherry", "banana", "orange", "apple", "lemon", "grape", "pear", "strawberry")


def _pictured(name: str, outline: object, paint: object, smallest: float = 12, *, word: str = "") -> Kind:
    return Kind((name,), outline, paint, (), smallest, "slight", family="fruit", word=word)  # type: ignore[arg-type]


def _tiled(names: tuple[str, ...], attribute: str, values: tuple[str, ...]) -> Kind:
    colours = ("white", "beige", "yellow", "blue", "red", "green", "black")
    return Kind(names, fixed(block(1, 1, 0.12)), _tile, colours, 15, "none", attribute, values)


FRUIT = (
    _pictured("cherry pair", _cherries, _cherry, word="cherry"),
    _pictured("banana", fixed(banana()), _banana),
    _pictured("orange", fixed(ellipse(1, 0.96)), _tinted((0.98, 0.55, 0.05))),
    _pictured("apple", fixed(cloud(2, 0.06)), _tinted((0.45, 0.72, 0.15))),
    _pictured("lemon", fixed(leaf(0.78)[:, ::-1]), _tinted((0.97, 0.87, 0.15), foot=False)),
    _pictured("bunch of grapes", _grape_edge, _grapes, 14, word="grape"),
    _pictured("pear", _pear_edge, _tinted((0.72, 0.75, 0.2))),
    _pictured("strawberry", _strawberry_edge, _strawberry),
)
MARKS = (
    Kind(("leaf",), fixed(leaf()), _leaf, ("green", "red", "orange", "brown", "black", "blue"), 10, family="shape"),
    Kind(("drop", "droplet"), fixed(drop()), flat, smallest=9, turn="slight", family="shape"),
    Kind(("sun",), fixed(polygon(12, 0.68)), _sun, ("yellow", "orange", "red"), 14, family="shape"),
)
PRINT = (
    _tiled(("letter tile", "letter"), "letter", tuple("ABCDEHKLTX")),
    _tiled(("number tile", "number plate"), "number", _DIGITS),
    Kind(("bar code", "barcode"), fixed(block(1, 0.5)), _barcode, (), 16, "none"),
    Kind(
        ("line of text", "text", "print"),
        lambda look: block(1, 0.12 + 0.2 * look.form[0]),
        _text,
        ("black", "blue", "red", "green", "white"),
        20,
        "none",
    ),
    Kind(
        ("sticker", "text label"),
        lambda look: block(1, 0.45 + 0.4 * look.form[0], 0.05),
        _sticker,
        ("white", "yellow", "beige", "blue", "red", "green", "orange"),
        18,
        "none",
    ),
    Kind(("warning sign", "warning triangle"), fixed(polygon(3)), _warning, (), 16, "none"),
)
