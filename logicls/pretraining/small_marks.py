"""Small marks for crop-encoder pretraining: pips, digits, letters, signs, screw drives.

A photo has `PHOTO_SIDE` pixels and shows one marked body among others of its kind. The body is 14 to 44 pixels wide,
like a die or a token on the photo of a whole product, so its mark is legible only at high resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from logicls.pretraining.camera import render_photo, simulate_camera
from logicls.pretraining.component_kinds import ComponentStyle, darken, directional_shade
from logicls.pretraining.drawing import (
    SCALE,
    Canvas,
    Points,
    Pose,
    arrow,
    crescent,
    cross,
    drop,
    ellipse,
    fill,
    gear,
    heart,
    leaf,
    polygon,
    rectangle,
    scale_inside,
    scale_points,
    stroke,
)
from logicls.pretraining.printed_parts import FRUIT_KINDS
from logicls.pretraining.surfaces import COLOURS, Rgb, Rng, draw_background, sample_shade

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
_DIGITS = "0123456789"
_MAX_PIPS, _MAX_BARS = 9, 6
_SIGNS: Mapping[str, Points] = {
    "disc": ellipse(1, 1), "triangle": polygon(3), "square": rectangle(1, 1), "pentagon": polygon(5),
    "hexagon": polygon(6), "star": polygon(5, 0.4), "cross": cross(0.3), "arrow": arrow(), "heart": heart(),
    "drop": drop(), "moon": crescent(), "leaf": leaf(), "gear": gear(8), "bar": rectangle(1, 0.22),
}  # fmt: skip
_HOLLOW = ("disc", "triangle", "square", "star")
_DRIVES: Mapping[str, Points] = {
    "slot": rectangle(1.6, 0.22), "phillips": cross(0.24), "hex": polygon(6), "torx": polygon(6, 0.62),
    "square_drive": rectangle(0.8, 0.8), "three_sided": polygon(3),
}  # fmt: skip
_DIRECTIONS = ("up", "right", "down", "left")
_NEEDLES = 8


@dataclass(frozen=True, slots=True)
class MarkKind:
    """Class of mark."""

    name: str
    paint: Callable[[Canvas, Pose, Rgb, Rng], None]
    """Paint the mark onto a body in that pose, in that ink."""
    is_orientation_bound: bool = False
    """Whether rotation makes it another mark, or none."""


@cache
def mark_kinds() -> tuple[MarkKind, ...]:
    """Return all kinds of mark; their order defines the class numbers."""
    pips = [MarkKind(f"pips_{count}", _pip_painter(count)) for count in range(_MAX_PIPS + 1)]
    bars = [MarkKind(f"bars_{count}", _bar_painter(count)) for count in range(1, _MAX_BARS + 1)]
    signs = [MarkKind(name, _sign_painter(contour)) for name, contour in _SIGNS.items()]
    rings = [MarkKind(f"{name}_outline", _sign_painter(_SIGNS[name], is_hollow=True)) for name in _HOLLOW]
    drives = [MarkKind(name, _drive_painter(contour)) for name, contour in _DRIVES.items()]
    pictograms = [MarkKind(kind.value, _pictogram_painter(number)) for number, kind in enumerate(FRUIT_KINDS)]
    glyphs = [MarkKind(text, _glyph_painter(text), is_orientation_bound=True) for text in (*_DIGITS, *_LETTERS)]
    arrows = [
        MarkKind(f"arrow_{direction}", _sign_painter(arrow(), turn=90.0 * number), is_orientation_bound=True)
        for number, direction in enumerate(_DIRECTIONS)
    ]
    needles = [
        MarkKind(f"needle_{number}", _needle_painter(45.0 * number), is_orientation_bound=True)
        for number in range(_NEEDLES)
    ]
    return (*pips, *bars, *signs, *rings, *drives, *pictograms, *glyphs, *arrows, *needles)


def _pip_painter(count: int) -> Callable[[Canvas, Pose, Rgb, Rng], None]:
    def paint(canvas: Canvas, pose: Pose, ink: Rgb, rng: Rng) -> None:
        centres, max_size = _pip_layout(count, rng)
        size = min(float(rng.uniform(0.1, 0.24)), max_size)
        dot = size * (rectangle(1, 1) if rng.random() < 0.12 else ellipse())
        for x, y in centres:
            fill(canvas, pose.transform(dot + np.array((x, y))), ink)

    return paint


def _pip_layout(count: int, rng: Rng) -> tuple[list[tuple[float, float]], float]:
    """Sample pip positions in the unit frame and the largest pip size: as on dice, in a ring, or random."""
    kind, step = rng.random(), float(rng.uniform(0.2, 0.29))
    on_dice = [(step * x, step * y) for x, y in _die_layout(count)]
    if kind < 0.6:
        return on_dice, 0.85 * step
    if kind < 0.75 and count > 2:
        turn = rng.uniform(0, 2 * np.pi) + np.arange(count) * 2 * np.pi / count
        around = [(0.3 * float(np.cos(a)), 0.3 * float(np.sin(a))) for a in turn]
        return around, 0.45 * float(np.sin(np.pi / count))
    centres: list[tuple[float, float]] = []
    for _ in range(200):
        x, y = rng.uniform(-0.34, 0.34, 2).tolist()
        if len(centres) < count and all((x - p) ** 2 + (y - q) ** 2 > 0.04 for p, q in centres):
            centres.append((x, y))
    return (centres, 0.15) if len(centres) == count else (on_dice, 0.85 * step)


def _die_layout(count: int) -> list[tuple[int, int]]:
    corners, middles = [(-1, -1), (1, 1), (-1, 1), (1, -1)], [(-1, 0), (1, 0), (0, -1), (0, 1)]
    even = count - count % 2
    positions = corners[:even] + middles[: max(even - 4, 0)]
    return [*positions, (0, 0)] if count % 2 else positions


def _bar_painter(count: int) -> Callable[[Canvas, Pose, Rgb, Rng], None]:
    def paint(canvas: Canvas, pose: Pose, ink: Rgb, rng: Rng) -> None:
        pitch = float(rng.uniform(0.1, min(0.2, 0.66 / count)))
        length = float(rng.uniform(0.35, 0.6))
        for number in range(count):
            y = (number - (count - 1) / 2) * pitch
            fill(canvas, pose.transform(rectangle(1, 1) * (length, 0.5 * pitch) + (0, y)), ink)

    return paint


def _sign_painter(
    contour: Points, *, is_hollow: bool = False, turn: float = 0.0
) -> Callable[[Canvas, Pose, Rgb, Rng], None]:
    def paint(canvas: Canvas, pose: Pose, ink: Rgb, rng: Rng) -> None:
        size = float(rng.uniform(0.35, 0.62)) * pose.size
        placed = Pose(pose.x, pose.y, size, pose.degrees + turn).transform(contour)
        if is_hollow:
            stroke(canvas, placed, ink, max(0.14 * size, 0.8), closed=True)
        else:
            fill(canvas, placed, ink)

    return paint


def _drive_painter(contour: Points) -> Callable[[Canvas, Pose, Rgb, Rng], None]:
    def paint(canvas: Canvas, pose: Pose, ink: Rgb, rng: Rng) -> None:
        head = float(rng.uniform(0.55, 0.85)) * pose.size
        rim = Pose(pose.x, pose.y, head, pose.degrees).transform(ellipse())
        grey = float(rng.uniform(0.45, 0.85))
        fill(canvas, rim, (0.6 * grey,) * 3)
        fill(canvas, scale_points(rim, 0.88), (grey,) * 3, 1.0, 0.3)
        fill(canvas, Pose(pose.x, pose.y, 0.52 * head, pose.degrees).transform(contour), (0.25 * grey,) * 3, inside=rim)

    return paint


def _pictogram_painter(number: int) -> Callable[[Canvas, Pose, Rgb, Rng], None]:
    def paint(canvas: Canvas, pose: Pose, ink: Rgb, rng: Rng) -> None:
        kind, style = FRUIT_KINDS[number], ComponentStyle(ink, ink, (0.6, -0.8))
        placement = Pose(pose.x, pose.y, float(rng.uniform(0.5, 0.75)) * pose.size, pose.degrees)
        fill(canvas, placement.transform(ellipse(1.15, 1.15)), (0.93, 0.92, 0.88))
        kind.paint(canvas, placement, style, placement.transform(kind.contour(style)))

    return paint


def _glyph_painter(text: str) -> Callable[[Canvas, Pose, Rgb, Rng], None]:
    def paint(canvas: Canvas, pose: Pose, ink: Rgb, rng: Rng) -> None:
        mask = _character_mask(text, int(rng.integers(len(_FONTS))), int(rng.integers(8, 18)))
        high = float(rng.uniform(0.45, 0.72)) * pose.size * SCALE
        centre = ((mask.shape[1] - 1) / 2, (mask.shape[0] - 1) / 2)
        matrix = cv2.getRotationMatrix2D(centre, -pose.degrees, high / mask.shape[0])
        matrix[:, 2] += np.array([pose.x * SCALE - 0.5, pose.y * SCALE - 0.5]) - centre
        shrunk = cv2.blur(mask, (max(round(mask.shape[0] / high), 1),) * 2)
        weight = cv2.warpAffine(shrunk, matrix, (canvas.shape[2], canvas.shape[1]))
        canvas += (np.asarray(ink, np.float32)[:, None, None] - canvas) * weight

    return paint


@cache
def _character_mask(text: str, font: int, thick: int) -> Canvas:
    """Return the coverage mask of a character, cropped to its box, about 100 pixels high."""
    (wide, tall), _ = cv2.getTextSize(text, _FONTS[font], 4.0, thick)
    mask = np.zeros((tall + 48, wide + 48), dtype=np.uint8)
    cv2.putText(mask, text, (24, tall + 24), _FONTS[font], 4.0, (255,), thick, cv2.LINE_AA)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    cropped = mask[rows[0] - 8 : rows[-1] + 9, columns[0] - 8 : columns[-1] + 9]
    return np.asarray(cropped, dtype=np.float32) / np.float32(255)


def _needle_painter(degrees: float) -> Callable[[Canvas, Pose, Rgb, Rng], None]:
    def paint(canvas: Canvas, pose: Pose, ink: Rgb, rng: Rng) -> None:
        length, degrees_total = float(rng.uniform(0.3, 0.42)), pose.degrees + degrees + float(rng.uniform(-12, 12))
        placement = Pose(pose.x, pose.y, pose.size, degrees_total)
        stroke(canvas, placement.transform(np.array([(0.0, 0.04), (0.0, -length)])), ink, max(0.07 * pose.size, 0.8))
        fill(canvas, placement.transform(ellipse(0.14, 0.14)), ink)

    return paint


PHOTO_SIDE = 64
"""Side of a photo, pixels."""
MIN_BODY_SIZE, MAX_BODY_SIZE = 14.0, 44.0
"""Smallest and largest longer side of a body, pixels."""
_MARBLED_SHARE, _SHINY_SHARE, _FADED_SHARE = 0.25, 0.25, 0.5
"""Shares of bodies; the last of bodies with faded ink."""
_MIN_CONTRAST = 0.16
"""Least difference of ink from its background, in red, green or blue (0 to 1)."""
_MIN_MARKED_THICKNESS = 0.1
"""Least thickness of a body with a mark on its side, relative to its size."""


@dataclass(frozen=True, slots=True)
class MarkedPhoto:
    """Rendered photo with a marked body in its centre."""

    pixels: NDArray[np.uint8]
    """[PHOTO_SIDE, PHOTO_SIDE, 3], red, green, blue."""
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 of the body, as shares of the photo's side."""
    mark: int
    """Number of its mark in `mark_kinds`."""


def generate_mark(rng: Rng, *, upright: bool) -> MarkedPhoto:
    """Generate a photo with a random mark; `upright`: not rotated, so orientation-bound marks are included."""
    allowed = [number for number, mark in enumerate(mark_kinds()) if upright or not mark.is_orientation_bound]
    number = int(rng.choice(allowed))
    canvas, colour = draw_background(rng, PHOTO_SIDE, PHOTO_SIDE)
    angle = rng.uniform(0, 2 * np.pi)
    style = ComponentStyle(_sample_colour(rng), _sample_colour(rng), (float(np.cos(angle)), float(np.sin(angle))))
    size = float(np.exp(rng.uniform(np.log(MIN_BODY_SIZE), np.log(MAX_BODY_SIZE))))
    degrees = 0.0 if upright else float(rng.uniform(0, 360))
    pose = Pose(PHOTO_SIDE / 2 + float(rng.uniform(-4, 4)), PHOTO_SIDE / 2 + float(rng.uniform(-4, 4)), size, degrees)
    is_marbled = rng.random() < _MARBLED_SHARE
    body, ink = _sample_body(rng), _sample_ink((style.rgb, style.second) if is_marbled else (style.rgb,), rng)
    thickness, is_bodiless = float(rng.uniform(0, 0.25)) * size * (rng.random() < 0.5), rng.random() < 0.08
    if is_bodiless:
        style, ink, is_marbled = (
            ComponentStyle(colour, style.second, style.light_direction),
            _sample_ink((colour,), rng),
            False,
        )
    for neighbour in _neighbour_poses(pose, rng):
        _draw_body(canvas, neighbour, style, body, thickness)
        mark_kinds()[int(rng.choice(allowed))].paint(canvas, neighbour, ink, rng)
    contour = pose.transform(body)
    if not is_bodiless:
        _draw_body(
            canvas,
            pose,
            style,
            body,
            thickness,
            lambda side: mark_kinds()[int(rng.choice(allowed))].paint(canvas, side, ink, rng),
        )
    if is_marbled:
        _draw_marbling(canvas, pose, style.second, contour, rng)
    mark_kinds()[number].paint(canvas, pose, ink, rng)
    if rng.random() < _SHINY_SHARE:
        _draw_reflection(canvas, pose, contour, rng)
    pixels = simulate_camera(render_photo(canvas, None), rng)
    (x1, y1), (x2, y2) = contour.min(0) / PHOTO_SIDE, contour.max(0) / PHOTO_SIDE
    return MarkedPhoto(pixels, (float(x1), float(y1), float(x2), float(y2)), number)


def _draw_body(
    canvas: Canvas,
    pose: Pose,
    style: ComponentStyle,
    body: Points,
    thickness: float,
    mark_side: Callable[[Pose], None] | None = None,
) -> None:
    """Draw a body with its shadow, and if it is thick its side, with a mark of its own."""
    contour = pose.transform(body)
    scale_inside(
        canvas, scale_points(contour, 1.06, -style.light_direction[0] * 1.5, -style.light_direction[1] * 1.5), 0.6, 1.0
    )
    if thickness > 0.5:
        side = scale_points(contour, 1.0, -style.light_direction[0] * thickness, -style.light_direction[1] * thickness)
        hull = cv2.convexHull(np.concatenate([contour, side]).astype(np.float32))[:, 0].astype(np.float64)
        fill(canvas, hull, darken(style.rgb, 0.6))
        if mark_side is not None and thickness > _MIN_MARKED_THICKNESS * pose.size:
            distance = 0.5 * pose.size + 0.4 * thickness
            mark_side(
                Pose(
                    pose.x - distance * style.light_direction[0],
                    pose.y - distance * style.light_direction[1],
                    1.5 * thickness,
                    pose.degrees,
                )
            )
    fill(canvas, contour, darken(style.rgb, 0.78), shade=directional_shade(style, 0.3))
    fill(canvas, scale_points(contour, 0.88), style.rgb, 1.0, 0.03 * pose.size, shade=directional_shade(style, 0.15))


def _draw_marbling(canvas: Canvas, pose: Pose, rgb: Rgb, contour: Points, rng: Rng) -> None:
    """Draw clouds of another colour on a body."""
    for _ in range(int(rng.integers(1, 4))):
        width, height, x, y = rng.uniform((0.2, 0.15, -0.4, -0.4), (0.7, 0.5, 0.4, 0.4)).tolist()
        cloud = pose.transform(_oval(width, height, float(rng.uniform(0, np.pi)), x, y))
        fill(canvas, cloud, rgb, float(rng.uniform(0.4, 1)), 0.05 * pose.size, inside=contour)


def _draw_reflection(canvas: Canvas, pose: Pose, contour: Points, rng: Rng) -> None:
    """Draw the reflection of a lamp across a body and its mark."""
    height, x, y = rng.uniform((0.02, -0.3, -0.3), (0.09, 0.3, 0.3)).tolist()
    bar = pose.transform(_oval(float(rng.uniform(0.1, 0.6)), height, float(rng.uniform(0, np.pi)), x, y))
    fill(canvas, bar, (1.0, 1.0, 1.0), float(rng.uniform(0.3, 0.9)), 0.02 * pose.size, inside=contour)


def _oval(width: float, height: float, angle: float, x: float, y: float) -> Points:
    """Return an ellipse around (x, y), rotated by that angle in radians."""
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    rotated = (ellipse() * (width, height)) @ np.array([[cos, sin], [-sin, cos]])
    return np.asarray(rotated + np.array((x, y)), dtype=np.float64)


def _neighbour_poses(pose: Pose, rng: Rng) -> list[Pose]:
    """Sample poses of close neighbours."""
    poses = []
    for _ in range(int(rng.integers(0, 4))):
        a, far = rng.uniform(0, 2 * np.pi), pose.size * rng.uniform(1.15, 1.6)
        degrees = pose.degrees + (float(rng.uniform(0, 360)) if pose.degrees else 0.0)
        poses.append(Pose(pose.x + far * float(np.cos(a)), pose.y + far * float(np.sin(a)), pose.size, degrees))
    return poses


def _sample_body(rng: Rng) -> Points:
    kind = rng.random()
    if kind < 0.55:
        return rectangle(1, 1, round(float(rng.uniform(0, 0.3)), 2))
    if kind < 0.85:
        return ellipse()
    return polygon(6) if kind < 0.92 else rectangle(1, round(float(rng.uniform(0.6, 0.9)), 2), 0.05)


def _sample_colour(rng: Rng) -> Rgb:
    return sample_shade(str(rng.choice(COLOURS)), rng)


def _sample_ink(surfaces: Sequence[Rgb], rng: Rng) -> Rgb:
    """Sample a colour that contrasts with all surfaces in at least one channel."""
    for _ in range(12):
        full, share = _sample_colour(rng), float(rng.uniform(0.3, 1)) if rng.random() < _FADED_SHARE else 1.0
        r, g, b = (surfaces[0][k] + share * (full[k] - surfaces[0][k]) for k in range(3))
        ink = (r, g, b)
        if min(np.abs(np.subtract(ink, rgb)).max() for rgb in surfaces) > _MIN_CONTRAST:
            return ink
    return (0.95, 0.95, 0.93) if sum(surfaces[0]) < 1.5 else (0.07, 0.07, 0.08)
