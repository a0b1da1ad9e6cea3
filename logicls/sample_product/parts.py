"""How the sample product's parts are drawn: outlines, boards, and paint with light on it.

Outlines are (n, 2) arrays, x and y in pixels of the photo before the camera's warp, continuous coordinates (a pixel's
middle is at .5). Canvases are (h, w, 3) float32 RGB, 0 to 1, `SCALE` times the photo's size.

The camera over the sample product: how it is aimed, what its light and its sensor do, where it sees things.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from logicls.records import Box

QUALITY = 85
"""Of the JPEG files, 0 to 100."""


def sample_homography(rng: np.random.Generator) -> NDArray[np.float64]:
    """A homography, photo pixels to photo pixels: a turn of up to 2 degrees, a shift and a slight tilt."""
    corners = np.array([(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)], dtype=np.float64)
    middle = corners.mean(axis=0)
    moved = rotate(corners - middle, WIDTH / 2, HEIGHT / 2, float(rng.uniform(-2, 2)))
    moved = moved + rng.uniform(-2.5, 2.5, 2) + rng.uniform(-1.8, 1.8, (4, 2))
    source, target = corners.astype(np.float32), moved.astype(np.float32)
    return np.asarray(cv2.getPerspectiveTransform(source, target), dtype=np.float64)


def project_box(outlines: Sequence[Points], warp: NDArray[np.float64]) -> Box:
    """The box round the outlines after the warp."""
    points = np.concatenate(outlines)
    moved = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ warp.T
    moved = moved[:, :2] / moved[:, 2:]
    (x1, y1), (x2, y2) = moved.min(axis=0).tolist(), moved.max(axis=0).tolist()
    return Box(round(x1, 2), round(y1, 2), round(x2, 2), round(y2, 2))


def apply_homography(canvas: Canvas, warp: NDArray[np.float64]) -> Canvas:
    """The canvas through the camera, at the photo's size."""
    grid = np.array([(SCALE, 0, -0.5), (0, SCALE, -0.5), (0, 0, 1)], dtype=np.float64)
    full = grid @ warp @ np.linalg.inv(grid)
    size = (WIDTH * SCALE, HEIGHT * SCALE)
    moved = cv2.warpPerspective(canvas, full, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(moved, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), dtype=np.float32)


def simulate_exposure(picture: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Uneven light, a colour cast, a slight blur and the sensor's noise."""
    down = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None]
    right = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None, :]
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.16)
    light = 1 + slope * (np.cos(angle) * right + np.sin(angle) * down) - 0.07 * (right**2 + down**2)
    cast = rng.uniform(0.975, 1.025, 3) * rng.uniform(0.97, 1.10)
    lit = picture * light[..., None].astype(np.float32) * cast.astype(np.float32)
    lit = np.asarray(cv2.GaussianBlur(lit, (0, 0), float(rng.uniform(0.35, 0.6))), dtype=np.float32)
    noise = rng.standard_normal(lit.shape, dtype=np.float32) * np.float32(rng.uniform(0.006, 0.011))
    lit = lit + noise * (0.6 + lit)
    return np.asarray(np.clip(lit * 255 + 0.5, 0, 255), dtype=np.uint8)


def save(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write an RGB photo as JPEG, making the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _, coded = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    path.write_bytes(coded.tobytes())


Canvas = NDArray[np.float32]
Points = NDArray[np.float64]
Colour = tuple[float, float, float]

WIDTH = 256
"""Of a photo, pixels."""
HEIGHT = 320
"""Of a photo, pixels."""
SCALE = 2
"""Canvas pixels per pixel of the photo."""
BOARDS = ("wood", "brushed", "fabric")
LIQUIDS: dict[str, Colour] = {"red": (0.72, 0.07, 0.10), "yellow": (0.93, 0.70, 0.08), "blue": (0.10, 0.28, 0.72)}
PAPER: Colour = (0.93, 0.91, 0.86)
INK: Colour = (0.13, 0.14, 0.17)
_FIXED = 4
"""Fractional bits of the coordinates handed to OpenCV."""


def ellipse(x: float, y: float, rx: float, ry: float) -> Points:
    """The outline of an upright ellipse around (x, y)."""
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return np.stack([x + rx * np.cos(turn), y + ry * np.sin(turn)], axis=1)


def block(x1: float, y1: float, x2: float, y2: float, *, round_by: float = 0.0) -> Points:
    """The outline of an upright rectangle with corners of radius `round_by`, pixels."""
    turn = np.linspace(0, np.pi / 2, 8)
    corners = [(x2, y2, 0), (x1, y2, 1), (x1, y1, 2), (x2, y1, 3)]
    parts = []
    for cx, cy, quarter in corners:
        inward = np.array([cx - round_by * np.sign(2 * cx - x1 - x2), cy - round_by * np.sign(2 * cy - y1 - y2)])
        angle = turn + quarter * np.pi / 2
        parts.append(inward + round_by * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    return np.concatenate(parts)


def rotate(outline: Points, x: float, y: float, degrees: float) -> Points:
    """The outline, drawn around (0, 0), turned clockwise and carried to (x, y)."""
    a = np.deg2rad(degrees)
    spin = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    return np.asarray(outline @ spin + (x, y), dtype=np.float64)


def vial_outline(x: float, y: float, width: float, height: float, *, wall: float = 0.0) -> Points:
    """A straight vial with a shoulder, a neck and a lip around (x, y); `wall` pixels further in all round."""
    half, neck = width / 2 - wall, 0.34 * width - wall
    top, bottom = y - height / 2 + wall, y + height / 2 - wall
    lip = min(0.045 * height, 9.0)
    foot = block(x - half, bottom - 24, x + half, bottom, round_by=9.0)[:16]
    right = [(x + half, y - 0.37 * height), (x + neck + 6, y - 0.415 * height), (x + neck, y - 0.43 * height)]
    rim = [(x + neck, top + lip), (x + neck + 4, top + lip), (x + neck + 4, top)]
    side = np.array(right + rim)
    return np.concatenate([foot, side * (-1, 1) + (2 * x, 0), side[::-1]])


def shape_outline(shape: str, x: float, y: float, size: float) -> Points:
    """The printed drop, leaf or star, `size` pixels high, its bounding box centred on (x, y)."""
    turn = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    if shape == "drop":
        points = np.stack([0.80 * np.sin(turn) * np.sin(turn / 2) ** 1.5, -np.cos(turn)], axis=1)
    elif shape == "leaf":
        half = np.linspace(-1, 1, 40)
        wide = 0.52 * np.cos(half * np.pi / 2)
        upright = np.concatenate([np.stack([wide, half], 1), np.stack([-wide, half], 1)[::-1]])
        points = rotate(upright, 0, 0, 38)
    else:
        spikes = np.arange(10) * np.pi / 5
        radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
        points = np.stack([radius * np.sin(spikes), -radius * np.cos(spikes)], axis=1)
    low, high = points.min(axis=0), points.max(axis=0)
    return np.asarray((points - (low + high) / 2) * (size / (high[1] - low[1])) + (x, y), dtype=np.float64)


def spoon_outlines(x: float, y: float, degrees: float) -> tuple[Points, Points]:
    """The bowl and the handle of a spoon 146 pixels long, its middle at (x, y), the bowl up at 0 degrees."""
    bowl = ellipse(0, -48, 16, 25)
    side = np.array([(3.2, -26), (3.4, 0), (5.6, 62), (4.2, 70), (0, 73)])
    handle = np.concatenate([side, side[::-1] * (-1, 1)])
    return rotate(bowl, x, y, degrees), rotate(handle, x, y, degrees)


def fill(canvas: Canvas, outline: Points, colour: Canvas | Colour, opacity: float = 1.0, soft: float = 0.0) -> None:
    """Paint inside the outline. A `colour` array covers `around(outline)`; `soft` is the edge's blur, pixels."""
    rows, columns = canvas_slices(outline, 2.5 * soft)
    part = canvas[rows, columns]
    mask = np.zeros(part.shape[:2], dtype=np.uint8)
    _rasterize(mask, outline * SCALE - 0.5 - (columns.start, rows.start))
    if soft:
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), soft * SCALE), dtype=np.uint8)
    weight = mask[..., None].astype(np.float32) * np.float32(opacity / 255)
    part += (np.asarray(colour, dtype=np.float32) - part) * weight


def canvas_slices(outline: Points, margin: float = 0.0) -> tuple[slice, slice]:
    """Rows and columns of the canvas that hold the outline and `margin` photo pixels more."""
    low = np.floor((outline.min(axis=0) - margin) * SCALE).astype(int) - 1
    high = np.ceil((outline.max(axis=0) + margin) * SCALE).astype(int) + 2
    return slice(max(low[1], 0), min(high[1], HEIGHT * SCALE)), slice(max(low[0], 0), min(high[0], WIDTH * SCALE))


def horizontal_offset(outline: Points) -> Canvas:
    """How far each canvas column of `around(outline)` lies from the outline's middle, -1 to 1, shape (1, w, 1)."""
    columns = canvas_slices(outline)[1]
    low, high = outline[:, 0].min(), outline[:, 0].max()
    place = ((np.arange(columns.start, columns.stop) + 0.5) / SCALE - low) / (high - low)
    return np.asarray(np.clip(2 * place - 1, -1, 1), dtype=np.float32)[None, :, None]


def _rasterize(mask: NDArray[np.uint8], points: Points) -> None:
    fixed = np.round(points * (1 << _FIXED)).astype(np.int32)
    cv2.fillPoly(mask, [fixed], (255,), cv2.LINE_AA, _FIXED)


def draw_board(board: str, rng: np.random.Generator) -> Canvas:
    """A board of that material that fills the canvas, with a tray's rim around it."""
    wide, high = WIDTH * SCALE, HEIGHT * SCALE
    if board == "wood":
        bend = _noise(rng, 6, 3) * 5 + np.arange(high, dtype=np.float32)[:, None] * 0.11
        tone = 0.03 * np.sin(bend) + 0.05 * _noise(rng, high // 2, 5) + 0.03 * _noise(rng, high, 40)
        base: Colour = (0.56, 0.40, 0.26)
    elif board == "brushed":
        tone = 0.035 * _noise(rng, high // 2, 7) + 0.025 * _noise(rng, high, 30) + 0.03 * _noise(rng, 4, 4)
        base = (0.43, 0.45, 0.47)
    else:
        across_, down = np.arange(wide) * (2 * np.pi / 9), np.arange(high) * (2 * np.pi / 9)
        weave = np.sin(across_)[None, :] * np.sin(down)[:, None]
        tone = 0.045 * weave.astype(np.float32) + 0.03 * _noise(rng, high // 6, wide // 6) + 0.02 * _noise(rng, 5, 4)
        base = (0.33, 0.42, 0.43)
    shade = ((1 + 2 * tone) * _rim()).astype(np.float32)
    return np.asarray(np.asarray(base, dtype=np.float32) * shade[..., None], dtype=np.float32)


def _noise(rng: np.random.Generator, rows: int, columns: int) -> Canvas:
    grain = rng.standard_normal((rows, columns), dtype=np.float32)
    size = (WIDTH * SCALE, HEIGHT * SCALE)
    return np.asarray(cv2.resize(grain, size, interpolation=cv2.INTER_CUBIC), dtype=np.float32)


@cache
def _rim() -> Canvas:
    """Brightness of the tray, (h, w): 1 inside, darker on the raised rim."""
    inner = np.zeros((HEIGHT * SCALE, WIDTH * SCALE), dtype=np.uint8)
    _rasterize(inner, block(9, 9, WIDTH - 9, HEIGHT - 9, round_by=10) * SCALE)
    inside = np.asarray(cv2.GaussianBlur(inner, (0, 0), 2.0), dtype=np.float32) / 255
    edge = np.asarray(cv2.Sobel(inside, cv2.CV_32F, 0, 1, ksize=3), dtype=np.float32)
    return np.asarray(0.72 + 0.28 * inside - 0.06 * edge, dtype=np.float32)


def cast_shadows(canvas: Canvas, outlines: list[Points], light: tuple[float, float]) -> None:
    """Darken the board beside the outlines: a wide shadow, thrown `light` pixels far, and a tight one."""
    small = (HEIGHT // 2, WIDTH // 2)
    shade = np.zeros(small, dtype=np.float32)
    for throw, soft, strength in ((1.0, 2.6, 0.42), (0.3, 0.9, 0.34)):
        mask = np.zeros(small, dtype=np.uint8)
        for outline in outlines:
            _rasterize(mask, (outline + np.asarray(light) * throw) / 2 - 0.5)
        blurred = np.asarray(cv2.GaussianBlur(mask, (0, 0), soft), dtype=np.float32)
        shade = 1 - (1 - shade) * (1 - blurred * (strength / 255))
    canvas *= 1 - np.asarray(cv2.resize(shade, (WIDTH * SCALE, HEIGHT * SCALE)), dtype=np.float32)[..., None]


def draw_glass(canvas: Canvas, outline: Points) -> None:
    """The back of the vial: glass that brightens the board a little, with darker sides."""
    sides = horizontal_offset(outline) ** 6
    rows, columns = canvas_slices(outline)
    fill(canvas, outline, canvas[rows, columns] * (1.50 - 0.60 * sides) + np.float32(0.11))


def draw_liquid(canvas: Canvas, outline: Points, colour: str) -> None:
    """The liquid inside its outline, with the meniscus at its top."""
    place = horizontal_offset(outline)
    rows, _ = canvas_slices(outline)
    down = np.linspace(1.08, 0.82, rows.stop - rows.start, dtype=np.float32)[:, None, None]
    light = down * (0.98 - 0.42 * np.abs(place) ** 3 + 0.14 * np.exp(-(((place - 0.25) / 0.3) ** 2)))
    base = np.asarray(LIQUIDS[colour], dtype=np.float32)
    fill(canvas, outline, np.asarray(base * light, dtype=np.float32), 0.90)
    low, high = outline.min(axis=0), outline.max(axis=0)
    top = ellipse((low[0] + high[0]) / 2, low[1] + 3.2, (high[0] - low[0]) / 2, 3.2)
    paler = tuple(base * 0.72 + 0.26)
    fill(canvas, top, np.asarray(paler, dtype=np.float32), 0.85)


def draw_shine(canvas: Canvas, outline: Points) -> None:
    """The front of the vial: bright streaks, the rim, the thick bottom and a dark contour."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    wide, tall = high - low
    shoulder = low[1] + 0.15 * tall
    rows, columns = canvas_slices(outline, 1)
    part = canvas[rows, columns]
    line = np.zeros(part.shape[:2], dtype=np.uint8)
    fixed = np.round((outline * SCALE - 0.5 - (columns.start, rows.start)) * (1 << _FIXED)).astype(np.int32)
    cv2.polylines(line, [fixed], True, (255,), 3, cv2.LINE_AA, _FIXED)
    part *= 1 - line[..., None] * np.float32(0.36 / 255)
    left = block(low[0] + 0.09 * wide, shoulder, low[0] + 0.16 * wide, high[1] - 14, round_by=2)
    right = block(high[0] - 0.10 * wide, shoulder + 6, high[0] - 0.07 * wide, high[1] - 20)
    rim = block(low[0] + 0.21 * wide, low[1] + 2, high[0] - 0.21 * wide, low[1] + 6, round_by=2)
    foot = block(low[0] + 8, high[1] - 3.4, high[0] - 8, high[1] - 1.4, round_by=1)
    for streak, opacity, soft in ((left, 0.62, 1.0), (right, 0.40, 0.8), (rim, 0.5, 0.6), (foot, 0.38, 0.5)):
        fill(canvas, streak, (1, 1, 1), opacity, soft)


def draw_label(canvas: Canvas, outline: Points, rng: np.random.Generator) -> None:
    """A paper label that bends round the vial, with a thin printed frame."""
    place = horizontal_offset(outline)
    rows, columns = canvas_slices(outline)
    fibre = rng.standard_normal((rows.stop - rows.start, columns.stop - columns.start, 1), dtype=np.float32) * 0.012
    light = 1.0 - 0.20 * np.abs(place) ** 2.5 - 0.05 * place + fibre
    fill(canvas, outline + np.array((0.8, 1.2)), (0.05, 0.05, 0.05), 0.40, 0.9)
    paper = np.asarray(np.asarray(PAPER, dtype=np.float32) * light, dtype=np.float32)
    fill(canvas, outline, paper)
    low, high = outline.min(axis=0), outline.max(axis=0)
    for y in (low[1] + 4, high[1] - 5):
        fill(canvas, block(low[0] + 5, y, high[0] - 5, y + 1), INK, 0.35)


def draw_mark(canvas: Canvas, outline: Points, shape: str) -> None:
    """The printed mark; a leaf shows its vein."""
    fill(canvas, outline, INK, 0.93)
    if shape == "leaf":
        middle = outline.mean(axis=0)
        size = float(np.ptp(outline[:, 1]))
        fill(canvas, rotate(block(-0.6, -0.42 * size, 0.6, 0.5 * size), middle[0], middle[1], 38), PAPER, 0.85)


def draw_tablet(canvas: Canvas, outline: Points, degrees: float) -> None:
    """A pale round tablet with a bevel and a score line at that angle."""
    x, y = outline.mean(axis=0)
    radius = float(np.ptp(outline[:, 0])) / 2
    fill(canvas, outline, (0.74, 0.73, 0.71))
    fill(canvas, ellipse(x - 0.6, y - 0.6, radius - 1.3, radius - 1.3), (0.96, 0.955, 0.94), 1.0, 0.5)
    fill(canvas, ellipse(x + 0.3, y + 0.3, radius - 3.2, radius - 3.2), (0.89, 0.885, 0.87), 0.9, 0.8)
    reach = radius - 2.4
    fill(canvas, rotate(block(-reach, 0.2, reach, 1.5), x, y, degrees), (1, 1, 1), 0.8)
    fill(canvas, rotate(block(-reach, -0.9, reach, 0.5), x, y, degrees), (0.45, 0.44, 0.43), 0.85)


def draw_spoon(canvas: Canvas, bowl: Points, handle: Points) -> None:
    """A steel spoon: a hollow bowl that mirrors the light, and its handle."""
    fill(canvas, handle, (0.55, 0.56, 0.58))
    spine = handle.mean(axis=0)
    fill(canvas, (handle - spine) * 0.80 + spine - (0.5, 0.4), (0.90, 0.91, 0.92), 0.9, 0.6)
    middle = bowl.mean(axis=0)
    fill(canvas, bowl, (0.86, 0.87, 0.88))
    for grow, down, tone, soft in ((0.86, 0.0, 0.42, 0.6), (0.72, 2.0, 0.62, 1.6), (0.40, 5.0, 0.92, 2.2)):
        inner = (bowl - middle) * grow + middle + np.array((down / 2, down))
        fill(canvas, inner, (tone, tone, tone + 0.015), 0.9, soft)
