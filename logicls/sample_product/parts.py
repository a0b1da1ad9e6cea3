"""Contours of the sample product's parts, and the functions that paint them.

Contours are (n, 2) arrays of x and y in pixels of the photo before the camera's homography, continuous coordinates (the
centre of a pixel is at .5). Canvases are (h, w, 3) float32 RGB, 0 to 1, `SCALE` times the photo's size.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Canvas = NDArray[np.float32]
Points = NDArray[np.float64]
Colour = tuple[float, float, float]

WIDTH = 256
"""Width of a photo, pixels."""
HEIGHT = 320
"""Height of a photo, pixels."""
SCALE = 2
"""Canvas pixels per photo pixel, along each axis."""
BOARDS = ("wood", "brushed", "fabric")
LIQUIDS: dict[str, Colour] = {"red": (0.72, 0.07, 0.10), "yellow": (0.93, 0.70, 0.08), "blue": (0.10, 0.28, 0.72)}
PAPER: Colour = (0.93, 0.91, 0.86)
INK: Colour = (0.13, 0.14, 0.17)
TABLET_RADIUS = 14.0
"""Radius of a tablet, photo pixels."""
TABLET_DAMAGE = ("broken", "cracked", "stained")
"""Kinds of damage of a tablet."""
_FRACTION_BITS = 4
"""Fractional bits of the coordinates passed to OpenCV."""


def ellipse(x: float, y: float, rx: float, ry: float) -> Points:
    """Return the contour of an axis-parallel ellipse around (x, y)."""
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return np.stack([x + rx * np.cos(turn), y + ry * np.sin(turn)], axis=1)


def rectangle(x1: float, y1: float, x2: float, y2: float, *, radius: float = 0.0) -> Points:
    """Return the contour of an axis-parallel rectangle with corners of that radius, pixels."""
    turn = np.linspace(0, np.pi / 2, 8)
    corners = [(x2, y2, 0), (x1, y2, 1), (x1, y1, 2), (x2, y1, 3)]
    arcs = []
    for cx, cy, quarter in corners:
        inward = np.array([cx - radius * np.sign(2 * cx - x1 - x2), cy - radius * np.sign(2 * cy - y1 - y2)])
        angle = turn + quarter * np.pi / 2
        arcs.append(inward + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    return np.concatenate(arcs)


def rotate(contour: Points, x: float, y: float, degrees: float) -> Points:
    """Rotate a contour clockwise about (0, 0) and shift it to (x, y)."""
    angle = np.deg2rad(degrees)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(contour @ rotation + (x, y), dtype=np.float64)


def vial_contour(x: float, y: float, width: float, height: float, *, wall: float = 0.0) -> Points:
    """Return a straight vial with shoulder, neck and lip around (x, y), inset by `wall` pixels."""
    half, neck = width / 2 - wall, 0.34 * width - wall
    top, bottom = y - height / 2 + wall, y + height / 2 - wall
    lip = min(0.045 * height, 9.0)
    foot = rectangle(x - half, bottom - 24, x + half, bottom, radius=9.0)[:16]
    right = [(x + half, y - 0.37 * height), (x + neck + 6, y - 0.415 * height), (x + neck, y - 0.43 * height)]
    rim = [(x + neck, top + lip), (x + neck + 4, top + lip), (x + neck + 4, top)]
    side = np.array(right + rim)
    return np.concatenate([foot, side * (-1, 1) + (2 * x, 0), side[::-1]])


def shape_contour(shape: str, x: float, y: float, size: float) -> Points:
    """Return a drop, leaf or star, `size` pixels high, with its bounding box centred at (x, y)."""
    turn = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    if shape == "drop":
        points = np.stack([0.80 * np.sin(turn) * np.sin(turn / 2) ** 1.5, -np.cos(turn)], axis=1)
    elif shape == "leaf":
        half = np.linspace(-1, 1, 40)
        half_width = 0.52 * np.cos(half * np.pi / 2)
        upright = np.concatenate([np.stack([half_width, half], 1), np.stack([-half_width, half], 1)[::-1]])
        points = rotate(upright, 0, 0, 38)
    else:
        spikes = np.arange(10) * np.pi / 5
        radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
        points = np.stack([radius * np.sin(spikes), -radius * np.cos(spikes)], axis=1)
    low, high = points.min(axis=0), points.max(axis=0)
    return np.asarray((points - (low + high) / 2) * (size / (high[1] - low[1])) + (x, y), dtype=np.float64)


def spoon_contours(x: float, y: float, degrees: float) -> tuple[Points, Points]:
    """Return bowl and handle of a spoon 146 pixels long, centred at (x, y), with the bowl at the top at 0 degrees."""
    bowl = ellipse(0, -48, 16, 25)
    side = np.array([(3.2, -26), (3.4, 0), (5.6, 62), (4.2, 70), (0, 73)])
    handle = np.concatenate([side, side[::-1] * (-1, 1)])
    return rotate(bowl, x, y, degrees), rotate(handle, x, y, degrees)


def tablet_contour(x: float, y: float, damage: tuple[str, float] | None = None) -> Points:
    """Return the contour of a tablet around (x, y); a broken one, by kind and angle of its damage, lacks a piece."""
    contour = ellipse(x, y, TABLET_RADIUS, TABLET_RADIUS)
    if damage is None or damage[0] != "broken":
        return contour
    normal, excess = _beyond_fracture(contour, damage[1])
    return np.asarray(contour - np.maximum(excess, 0)[:, None] * normal, dtype=np.float64)


def damage_contour(x: float, y: float, kind: str, degrees: float) -> Points:
    """Return the contour of the damage of a tablet around (x, y): missing piece, gaping crack or stain.

    Args:
        x: Centre of the tablet.
        y: Centre of the tablet.
        kind: One of `TABLET_DAMAGE`.
        degrees: Direction from the tablet's centre to the damage, clockwise, 0 to the right.
    """
    if kind == "broken":
        contour = ellipse(x, y, TABLET_RADIUS, TABLET_RADIUS)
        excess = _beyond_fracture(contour, degrees)[1]
        remaining = tablet_contour(x, y, (kind, degrees))
        first = int(np.argmin(excess))  # opposite to the missing piece: the piece is one run of points after it
        order = np.roll(np.arange(len(contour)), -first)
        order = order[excess[order] > 0]
        return np.concatenate([contour[order], remaining[order][::-1]])
    if kind == "cracked":
        along = np.array([1.0, 0.6, 0.25, -0.2, -0.6, -0.85])
        middle = np.array([0.0, 1.9, -1.6, 1.8, -1.2, 0.6])
        half_width = np.array([2.6, 2.2, 1.9, 1.5, 1.0, 0.2])
        upper = np.stack([along * TABLET_RADIUS, middle - half_width], axis=1)
        lower = np.stack([along * TABLET_RADIUS, middle + half_width], axis=1)
        return rotate(np.concatenate([upper, lower[::-1]]), x, y, degrees)
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    distance = 6.0 * (1 + 0.14 * np.sin(2 * angle + 1) + 0.10 * np.sin(5 * angle))
    blot = np.stack([5.0 + distance * np.cos(angle), distance * np.sin(angle)], axis=1)
    return rotate(blot, x, y, degrees)


def _beyond_fracture(contour: Points, degrees: float) -> tuple[Points, Points]:
    """Return the fracture's outward normal, and how far each point of the contour is beyond its rough line, (n,)."""
    normal = np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
    offset = contour - contour.mean(axis=0)
    along = offset @ np.array([-normal[1], normal[0]])
    return normal, offset @ normal - (0.38 * TABLET_RADIUS + 0.9 * np.sin(0.9 * along) + 0.5 * np.sin(2.1 * along))


def fill(canvas: Canvas, contour: Points, colour: Canvas | Colour, opacity: float = 1.0, blur: float = 0.0) -> None:
    """Paint the inside of a contour.

    Args:
        canvas: The canvas to modify.
        contour: The region.
        colour: One colour, or an array that covers `canvas_slices(contour, 2.5 * blur)`.
        opacity: 0 to 1.
        blur: Standard deviation of the edge's blur, photo pixels.
    """
    rows, columns = canvas_slices(contour, 2.5 * blur)
    part = canvas[rows, columns]
    mask = np.zeros(part.shape[:2], dtype=np.uint8)
    _rasterize(mask, contour * SCALE - 0.5 - (columns.start, rows.start))
    if blur:
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), blur * SCALE), dtype=np.uint8)
    weight = mask[..., None].astype(np.float32) * np.float32(opacity / 255)
    part += (np.asarray(colour, dtype=np.float32) - part) * weight


def canvas_slices(contour: Points, margin: float = 0.0) -> tuple[slice, slice]:
    """Return the rows and columns of the canvas that contain the contour and a margin in photo pixels."""
    low = np.floor((contour.min(axis=0) - margin) * SCALE).astype(int) - 1
    high = np.ceil((contour.max(axis=0) + margin) * SCALE).astype(int) + 2
    return slice(max(low[1], 0), min(high[1], HEIGHT * SCALE)), slice(max(low[0], 0), min(high[0], WIDTH * SCALE))


def horizontal_offset(contour: Points) -> Canvas:
    """Return each column's offset from the contour's centre, -1 to 1, for `canvas_slices(contour)`; shape (1, w, 1)."""
    columns = canvas_slices(contour)[1]
    low, high = contour[:, 0].min(), contour[:, 0].max()
    position = ((np.arange(columns.start, columns.stop) + 0.5) / SCALE - low) / (high - low)
    return np.asarray(np.clip(2 * position - 1, -1, 1), dtype=np.float32)[None, :, None]


def _rasterize(mask: NDArray[np.uint8], points: Points) -> None:
    fixed_point = np.round(points * (1 << _FRACTION_BITS)).astype(np.int32)
    cv2.fillPoly(mask, [fixed_point], (255,), cv2.LINE_AA, _FRACTION_BITS)


def draw_board(board: str, rng: np.random.Generator) -> Canvas:
    """Return a canvas with a board of that material and the rim of a tray."""
    width, height = WIDTH * SCALE, HEIGHT * SCALE
    if board == "wood":
        phase = _noise(rng, 6, 3) * 5 + np.arange(height, dtype=np.float32)[:, None] * 0.11
        tone = 0.03 * np.sin(phase) + 0.05 * _noise(rng, height // 2, 5) + 0.03 * _noise(rng, height, 40)
        base: Colour = (0.56, 0.40, 0.26)
    elif board == "brushed":
        tone = 0.035 * _noise(rng, height // 2, 7) + 0.025 * _noise(rng, height, 30) + 0.03 * _noise(rng, 4, 4)
        base = (0.43, 0.45, 0.47)
    else:
        right, down = np.arange(width) * (2 * np.pi / 9), np.arange(height) * (2 * np.pi / 9)
        weave = np.sin(right)[None, :] * np.sin(down)[:, None]
        tone = 0.045 * weave.astype(np.float32) + 0.03 * _noise(rng, height // 6, width // 6) + 0.02 * _noise(rng, 5, 4)
        base = (0.33, 0.42, 0.43)
    shade = ((1 + 2 * tone) * _rim()).astype(np.float32)
    return np.asarray(np.asarray(base, dtype=np.float32) * shade[..., None], dtype=np.float32)


def _noise(rng: np.random.Generator, rows: int, columns: int) -> Canvas:
    """Return smooth noise of standard deviation 1 at its grid points, (h, w)."""
    grain = rng.standard_normal((rows, columns), dtype=np.float32)
    size = (WIDTH * SCALE, HEIGHT * SCALE)
    return np.asarray(cv2.resize(grain, size, interpolation=cv2.INTER_CUBIC), dtype=np.float32)


@cache
def _rim() -> Canvas:
    """Return the brightness of the tray, (h, w): 1 inside, darker on the raised rim."""
    inner = np.zeros((HEIGHT * SCALE, WIDTH * SCALE), dtype=np.uint8)
    _rasterize(inner, rectangle(9, 9, WIDTH - 9, HEIGHT - 9, radius=10) * SCALE)
    inside = np.asarray(cv2.GaussianBlur(inner, (0, 0), 2.0), dtype=np.float32) / 255
    edge = np.asarray(cv2.Sobel(inside, cv2.CV_32F, 0, 1, ksize=3), dtype=np.float32)
    return np.asarray(0.72 + 0.28 * inside - 0.06 * edge, dtype=np.float32)


def cast_shadows(canvas: Canvas, contours: list[Points], offset: tuple[float, float]) -> None:
    """Darken the board beside the contours with a soft shadow, shifted by `offset` photo pixels, and a sharp one."""
    small = (HEIGHT // 2, WIDTH // 2)
    shade = np.zeros(small, dtype=np.float32)
    for distance, blur, strength in ((1.0, 2.6, 0.42), (0.3, 0.9, 0.34)):
        mask = np.zeros(small, dtype=np.uint8)
        for contour in contours:
            _rasterize(mask, (contour + np.asarray(offset) * distance) / 2 - 0.5)
        blurred = np.asarray(cv2.GaussianBlur(mask, (0, 0), blur), dtype=np.float32)
        shade = 1 - (1 - shade) * (1 - blurred * (strength / 255))
    canvas *= 1 - np.asarray(cv2.resize(shade, (WIDTH * SCALE, HEIGHT * SCALE)), dtype=np.float32)[..., None]


def draw_glass(canvas: Canvas, contour: Points) -> None:
    """Paint the back of the vial: glass that brightens the board, with darker sides."""
    sides = horizontal_offset(contour) ** 6
    rows, columns = canvas_slices(contour)
    fill(canvas, contour, canvas[rows, columns] * (1.50 - 0.60 * sides) + np.float32(0.11))


def draw_liquid(canvas: Canvas, contour: Points, colour: str) -> None:
    """Paint the liquid inside its contour, with a meniscus at the top."""
    offset = horizontal_offset(contour)
    rows, _ = canvas_slices(contour)
    down = np.linspace(1.08, 0.82, rows.stop - rows.start, dtype=np.float32)[:, None, None]
    illumination = down * (0.98 - 0.42 * np.abs(offset) ** 3 + 0.14 * np.exp(-(((offset - 0.25) / 0.3) ** 2)))
    base = np.asarray(LIQUIDS[colour], dtype=np.float32)
    fill(canvas, contour, np.asarray(base * illumination, dtype=np.float32), 0.90)
    low, high = contour.min(axis=0), contour.max(axis=0)
    top = ellipse((low[0] + high[0]) / 2, low[1] + 3.2, (high[0] - low[0]) / 2, 3.2)
    meniscus = tuple(base * 0.72 + 0.26)
    fill(canvas, top, np.asarray(meniscus, dtype=np.float32), 0.85)


def draw_shine(canvas: Canvas, contour: Points) -> None:
    """Paint the front of the vial: highlights, the rim, the thick bottom and a dark contour."""
    low, high = contour.min(axis=0), contour.max(axis=0)
    width, height = high - low
    shoulder = low[1] + 0.15 * height
    rows, columns = canvas_slices(contour, 1)
    part = canvas[rows, columns]
    line = np.zeros(part.shape[:2], dtype=np.uint8)
    fixed_point = np.round((contour * SCALE - 0.5 - (columns.start, rows.start)) * (1 << _FRACTION_BITS)).astype(
        np.int32
    )
    cv2.polylines(line, [fixed_point], True, (255,), 3, cv2.LINE_AA, _FRACTION_BITS)
    part *= 1 - line[..., None] * np.float32(0.36 / 255)
    left = rectangle(low[0] + 0.09 * width, shoulder, low[0] + 0.16 * width, high[1] - 14, radius=2)
    right = rectangle(high[0] - 0.10 * width, shoulder + 6, high[0] - 0.07 * width, high[1] - 20)
    rim = rectangle(low[0] + 0.21 * width, low[1] + 2, high[0] - 0.21 * width, low[1] + 6, radius=2)
    foot = rectangle(low[0] + 8, high[1] - 3.4, high[0] - 8, high[1] - 1.4, radius=1)
    for highlight, opacity, blur in ((left, 0.62, 1.0), (right, 0.40, 0.8), (rim, 0.5, 0.6), (foot, 0.38, 0.5)):
        fill(canvas, highlight, (1, 1, 1), opacity, blur)


def draw_label(canvas: Canvas, contour: Points, rng: np.random.Generator) -> None:
    """Paint a paper label on the curved vial, with a thin printed frame."""
    offset = horizontal_offset(contour)
    rows, columns = canvas_slices(contour)
    fibre = rng.standard_normal((rows.stop - rows.start, columns.stop - columns.start, 1), dtype=np.float32) * 0.012
    illumination = 1.0 - 0.20 * np.abs(offset) ** 2.5 - 0.05 * offset + fibre
    fill(canvas, contour + np.array((0.8, 1.2)), (0.05, 0.05, 0.05), 0.40, 0.9)
    paper = np.asarray(np.asarray(PAPER, dtype=np.float32) * illumination, dtype=np.float32)
    fill(canvas, contour, paper)
    low, high = contour.min(axis=0), contour.max(axis=0)
    for y in (low[1] + 4, high[1] - 5):
        fill(canvas, rectangle(low[0] + 5, y, high[0] - 5, y + 1), INK, 0.35)


def draw_mark(canvas: Canvas, contour: Points, shape: str) -> None:
    """Paint the printed mark; a leaf has a vein."""
    fill(canvas, contour, INK, 0.93)
    if shape == "leaf":
        centre = contour.mean(axis=0)
        size = float(np.ptp(contour[:, 1]))
        fill(canvas, rotate(rectangle(-0.6, -0.42 * size, 0.6, 0.5 * size), centre[0], centre[1], 38), PAPER, 0.85)


def draw_tablet(canvas: Canvas, x: float, y: float, score: float, damage: tuple[str, float] | None = None) -> None:
    """Paint a pale round tablet around (x, y) with a bevel, a score line at the angle `score`, and its damage."""
    board = canvas.copy() if damage else canvas
    radius = TABLET_RADIUS
    fill(canvas, tablet_contour(x, y), (0.74, 0.73, 0.71))
    fill(canvas, ellipse(x - 0.6, y - 0.6, radius - 1.3, radius - 1.3), (0.96, 0.955, 0.94), 1.0, 0.5)
    fill(canvas, ellipse(x + 0.3, y + 0.3, radius - 3.2, radius - 3.2), (0.89, 0.885, 0.87), 0.9, 0.8)
    half_length = radius - 2.4
    fill(canvas, rotate(rectangle(-half_length, 0.2, half_length, 1.5), x, y, score), (1, 1, 1), 0.8)
    fill(canvas, rotate(rectangle(-half_length, -0.9, half_length, 0.5), x, y, score), (0.45, 0.44, 0.43), 0.85)
    if damage is not None:
        _draw_damage(canvas, board, damage_contour(x, y, *damage), *damage)


def _draw_damage(canvas: Canvas, board: Canvas, contour: Points, kind: str, degrees: float) -> None:
    """Paint the damage of a tablet: `board`, the canvas without the tablet, shows where a piece is missing."""
    if kind == "stained":
        centre = contour.mean(axis=0)
        fill(canvas, contour, (0.30, 0.17, 0.07), 0.72, 0.6)
        fill(canvas, (contour - centre) * 0.7 + centre, (0.42, 0.26, 0.12), 0.6, 0.8)
        return
    if kind == "broken":
        inward = rotate(np.array([(-1.3, 0.0)]), 0, 0, degrees)
        fill(canvas, contour + inward, (0.58, 0.57, 0.55), 1.0, 0.3)
        beyond = contour - inward  # also the edge of the piece, which is painted half transparent
        fill(canvas, beyond, board[canvas_slices(beyond)])
    fill(canvas, contour, board[canvas_slices(contour)] * np.float32(0.62 if kind == "cracked" else 1.0))


def draw_spoon(canvas: Canvas, bowl: Points, handle: Points) -> None:
    """Paint a steel spoon: a hollow, reflecting bowl and a handle."""
    fill(canvas, handle, (0.55, 0.56, 0.58))
    centre = handle.mean(axis=0)
    fill(canvas, (handle - centre) * 0.80 + centre - (0.5, 0.4), (0.90, 0.91, 0.92), 0.9, 0.6)
    centre = bowl.mean(axis=0)
    fill(canvas, bowl, (0.86, 0.87, 0.88))
    for scale, down, tone, blur in ((0.86, 0.0, 0.42, 0.6), (0.72, 2.0, 0.62, 1.6), (0.40, 5.0, 0.92, 2.2)):
        inner = (bowl - centre) * scale + centre + np.array((down / 2, down))
        fill(canvas, inner, (tone, tone, tone + 0.015), 0.9, blur)
