"""Printed kinds: pictures of fruit, symbols, letters, numbers, bar codes, lines of text, stickers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from logicls.pretraining.component_kinds import (
    ComponentKind,
    ComponentStyle,
    Painter,
    darken,
    directional_shade,
    draw_highlight,
    lighten,
    paint_flat,
)
from logicls.pretraining.devices import contrasting_ink
from logicls.pretraining.drawing import (
    SCALE,
    Canvas,
    Points,
    Pose,
    banana,
    drop,
    ellipse,
    fill,
    leaf,
    lobed_disc,
    normalize_points,
    polygon,
    rectangle,
    scale_points,
    stroke,
)
from logicls.pretraining.hardware import constant_contour
from logicls.pretraining.surfaces import Rgb

_GREEN = (0.2, 0.5, 0.15)
_STEM = (0.3, 0.2, 0.1)
_DIGITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_GLYPHS = {word: str(number) for number, word in enumerate(_DIGITS, 1)}


def _draw_stalk(canvas: Canvas, pose: Pose, points: tuple[tuple[float, float], ...]) -> None:
    stroke(canvas, pose.transform(np.array(points)), _GREEN, max(0.07 * pose.size, 0.8))


def _cherry_contour(style: ComponentStyle) -> Points:
    return np.concatenate([ellipse(0.46, 0.44, -0.25, 0.24), ellipse(0.46, 0.44, 0.25, 0.28), np.array([(0.1, -0.5)])])


def _paint_cherry(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    _draw_stalk(canvas, pose, ((-0.22, 0.1), (0.1, -0.47), (0.24, 0.15)))
    for x, y in ((-0.25, 0.24), (0.25, 0.28)):
        berry = pose.transform(ellipse(0.46, 0.44, x, y))
        fill(canvas, berry, (0.75, 0.05, 0.12), shade=directional_shade(style, 0.4))
        fill(canvas, pose.transform(ellipse(0.1, 0.1, x - 0.08, y - 0.08)), (1, 0.8, 0.8), 0.7)
    fill(canvas, pose.transform(leaf(0.5) * 0.3 + (0.24, -0.34)), _GREEN)


def _paint_fruit(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, darken(style.rgb, 0.7), shade=directional_shade(style, 0.3))
    fill(canvas, scale_points(contour, 0.82), style.rgb, 1.0, 0.04 * pose.size)
    draw_highlight(canvas, pose, style, contour, 0.2, strength=0.6)


def _fruit_painter(rgb: Rgb, *, has_stalk: bool = True) -> Painter:
    def paint(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
        own = ComponentStyle(rgb, rgb, style.light_direction)
        _paint_fruit(canvas, pose, own, contour)
        if has_stalk:
            stroke(canvas, pose.transform(np.array([(0, -0.3), (0.04, -0.46)])), _STEM, max(0.06 * pose.size, 0.8))
            fill(canvas, pose.transform(leaf(0.5)[:, ::-1] * 0.3 + (0.17, -0.4)), _GREEN)

    return paint


def _paint_banana(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, (0.95, 0.8, 0.15), shade=directional_shade(style, 0.2))
    ends = contour[[0, 23]].mean(axis=0), contour[[23, 24]].mean(axis=0)
    for end in (contour[[0, -1]].mean(axis=0), ends[1]):
        fill(
            canvas, Pose(float(end[0]), float(end[1]), 0.05 * pose.size).transform(ellipse(1, 1)), _STEM, inside=contour
        )
    stroke(
        canvas, 0.8 * contour[4:20] + 0.2 * contour[:23:-1][4:20], (0.6, 0.45, 0.08), max(0.02 * pose.size, 0.5), 0.7
    )


def _paint_grapes(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    _draw_stalk(canvas, pose, ((0, -0.3), (0.04, -0.48)))
    for row, count in enumerate((3, 4, 3, 2, 1)):
        for number in range(count):
            x, y = (number - (count - 1) / 2) * 0.21, -0.26 + row * 0.16
            fill(
                canvas,
                pose.transform(ellipse(0.23, 0.23, x, y)),
                (0.42, 0.15, 0.55),
                shade=directional_shade(style, 0.5),
            )


def _grape_contour(style: ComponentStyle) -> Points:
    rows = [
        ellipse(0.23, 0.23, x, -0.26 + row * 0.16)
        for row, x in ((0, -0.2), (0, 0.2), (1, 0.315), (1, -0.315), (4, 0.0))
    ]
    points = np.concatenate([*rows, np.array([(0.04, -0.5)])])
    return np.asarray(points, dtype=np.float64)


def _paint_strawberry(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, (0.85, 0.1, 0.12), shade=directional_shade(style, 0.25))
    for x, y in ((-0.15, -0.1), (0.13, -0.12), (0, 0.08), (-0.08, 0.26), (0.1, 0.24)):
        fill(canvas, pose.transform(ellipse(0.05, 0.07, x, y)), (0.98, 0.85, 0.4))
    fill(canvas, pose.transform(polygon(5, 0.4) * (0.6, 0.3) + (0, -0.36)), _GREEN)


def _strawberry_contour(style: ComponentStyle) -> Points:
    return normalize_points(drop() * (1, -1))


def _paint_sun(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, style.rgb)
    fill(canvas, pose.transform(ellipse(0.56, 0.56)), lighten(style.rgb, 0.35))


def _paint_leaf(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, style.rgb, shade=directional_shade(style, 0.2))
    stroke(
        canvas, pose.transform(np.array([(0, -0.4), (0, 0.48)])), lighten(style.rgb, 0.5), max(0.04 * pose.size, 0.6)
    )


def _pear_contour(style: ComponentStyle) -> Points:
    low, top = ellipse(0.72, 0.66, 0, 0.17), ellipse(0.36, 0.5, 0, -0.2)
    return normalize_points(_convex_hull(low, top))


def _convex_hull(*loops: Points) -> Points:
    points = np.concatenate(loops).astype(np.float32)
    return np.asarray(cv2.convexHull(points)[:, 0], dtype=np.float64)


def draw_glyph(canvas: Canvas, pose: Pose, text: str, rgb: Rgb, high: float) -> None:
    """Draw an upright letter or number at the pose's centre, `high` times its size."""
    mask = _glyph_mask(text, max(int(pose.size * SCALE * high), 4))
    tall, wide = mask.shape[:2]
    top, left = int(pose.y * SCALE - tall / 2), int(pose.x * SCALE - wide / 2)
    part = canvas[:, max(top, 0) : top + tall, max(left, 0) : left + wide]
    weight = mask[max(-top, 0) :, max(-left, 0) :][: part.shape[1], : part.shape[2]]
    part += (np.asarray(rgb, dtype=np.float32)[:, None, None] - part) * weight


@cache
def _glyph_mask(text: str, high: int) -> Canvas:
    """Return the coverage mask of a character, about `high` canvas pixels tall."""
    (wide, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 4.0, 12)
    mask = np.zeros((tall + 16, wide + 16), dtype=np.uint8)
    cv2.putText(mask, text, (8, tall + 8), cv2.FONT_HERSHEY_SIMPLEX, 4.0, (255,), 12, cv2.LINE_AA)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    cropped = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    size = max(round(cropped.shape[1] * high / cropped.shape[0]), 1), high
    return np.asarray(cv2.resize(cropped, size, interpolation=cv2.INTER_AREA), dtype=np.float32) / np.float32(255)


def _paint_tile(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, darken(style.rgb, 0.8), shade=directional_shade(style, 0.2))
    fill(canvas, scale_points(contour, 0.9), style.rgb, 1.0, 0.3)
    draw_glyph(canvas, pose, _GLYPHS.get(style.value, style.value), contrasting_ink(style.rgb), 0.55)


def draw_text_lines(canvas: Canvas, contour: Points, rgb: Rgb, rows: int, form: float) -> None:
    """Draw rows of strokes that resemble small print inside the contour's box."""
    (x1, y1), (x2, y2) = contour.min(axis=0).tolist(), contour.max(axis=0).tolist()
    pitch = (y2 - y1) / (rows - 0.4)
    rng = np.random.default_rng(int(form * 1e6))
    for row in range(rows):
        y, x = y1 + (row + 0.3) * pitch, x1 + 0.3 * pitch
        while x < x2 - 0.5 * pitch:
            wide = min(float(rng.uniform(0.6, 2.4)) * pitch, x2 - 0.3 * pitch - x)
            stroke(canvas, np.array([(x, y), (x + wide, y)]), rgb, 0.6 * pitch, 0.9)
            x += wide + 0.5 * pitch


def _paint_text(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    high = float(np.ptp(contour[:, 1]))
    draw_text_lines(
        canvas,
        scale_points(contour, 1.0),
        style.rgb,
        max(int(1 + style.form[0] * 3 * min(high / 12, 1)), 1),
        style.form[1],
    )


def _paint_barcode(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, (0.96, 0.96, 0.95))
    rng, x = np.random.default_rng(int(style.form[1] * 1e6)), -0.44
    while x < 0.43:
        wide = min(float(rng.choice((0.02, 0.04, 0.06))), 0.45 - x)
        fill(canvas, pose.transform(rectangle(wide, 0.46, 0, x + wide / 2, 0)), (0.05, 0.05, 0.06))
        x += wide + float(rng.choice((0.025, 0.05)))


def paint_label(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    """Paint paper with a printed frame."""
    fill(canvas, contour, style.rgb, shade=directional_shade(style, 0.12))
    if style.form[2] < 0.6:
        trim = 1 - 3.5 / max(float(np.ptp(contour, axis=0).min()), 8)
        stroke(canvas, scale_points(contour, trim), style.second, 0.7, 0.8, closed=True)


def _paint_sticker(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    paint_label(canvas, pose, style, contour)
    draw_text_lines(
        canvas, scale_points(contour, 0.66), contrasting_ink(style.rgb), 1 + int(style.form[0] * 3), style.form[1]
    )


def _paint_warning_sign(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, (0.08, 0.08, 0.08))
    fill(canvas, scale_points(contour, 0.8), (0.98, 0.82, 0.1))
    fill(canvas, pose.transform(rectangle(0.09, 0.32, 0, 0, 0.04)), (0.08, 0.08, 0.08))
    fill(canvas, pose.transform(ellipse(0.1, 0.1, 0, 0.3)), (0.08, 0.08, 0.08))


FRUITS = ("cherry", "banana", "orange", "apple", "lemon", "grape", "pear", "strawberry")


def _fruit_kind(
    name: str, contour: Callable[[ComponentStyle], Points], paint: Painter, min_size: float = 12, *, word: str = ""
) -> ComponentKind:
    return ComponentKind((name,), contour, paint, (), min_size, "slight", family="fruit", answer_word=word)


def _tile_kind(names: tuple[str, ...], attribute: str, values: tuple[str, ...]) -> ComponentKind:
    colours = ("white", "beige", "yellow", "blue", "red", "green", "black")
    return ComponentKind(
        names, constant_contour(rectangle(1, 1, 0.12)), _paint_tile, colours, 15, "none", attribute, values
    )


FRUIT_KINDS = (
    _fruit_kind("cherry pair", _cherry_contour, _paint_cherry, word="cherry"),
    _fruit_kind("banana", constant_contour(banana()), _paint_banana),
    _fruit_kind("orange", constant_contour(ellipse(1, 0.96)), _fruit_painter((0.98, 0.55, 0.05))),
    _fruit_kind("apple", constant_contour(lobed_disc(2, 0.06)), _fruit_painter((0.45, 0.72, 0.15))),
    _fruit_kind("lemon", constant_contour(leaf(0.78)[:, ::-1]), _fruit_painter((0.97, 0.87, 0.15), has_stalk=False)),
    _fruit_kind("bunch of grapes", _grape_contour, _paint_grapes, 14, word="grape"),
    _fruit_kind("pear", _pear_contour, _fruit_painter((0.72, 0.75, 0.2))),
    _fruit_kind("strawberry", _strawberry_contour, _paint_strawberry),
)
SYMBOL_KINDS = (
    ComponentKind(
        ("leaf",),
        constant_contour(leaf()),
        _paint_leaf,
        ("green", "red", "orange", "brown", "black", "blue"),
        10,
        family="shape",
    ),
    ComponentKind(
        ("drop", "droplet"), constant_contour(drop()), paint_flat, min_size=9, rotation="slight", family="shape"
    ),
    ComponentKind(
        ("sun",), constant_contour(polygon(12, 0.68)), _paint_sun, ("yellow", "orange", "red"), 14, family="shape"
    ),
)
PRINT_KINDS = (
    _tile_kind(("letter tile", "letter"), "letter", tuple("ABCDEHKLTX")),
    _tile_kind(("number tile", "number plate"), "number", _DIGITS),
    ComponentKind(("bar code", "barcode"), constant_contour(rectangle(1, 0.5)), _paint_barcode, (), 16, "none"),
    ComponentKind(
        ("line of text", "text", "print"),
        lambda style: rectangle(1, 0.12 + 0.2 * style.form[0]),
        _paint_text,
        ("black", "blue", "red", "green", "white"),
        20,
        "none",
    ),
    ComponentKind(
        ("sticker", "text label"),
        lambda style: rectangle(1, 0.45 + 0.4 * style.form[0], 0.05),
        _paint_sticker,
        ("white", "yellow", "beige", "blue", "red", "green", "orange"),
        18,
        "none",
    ),
    ComponentKind(
        ("warning sign", "warning triangle"), constant_contour(polygon(3)), _paint_warning_sign, (), 16, "none"
    ),
)
