"""Labels with text lines or pictograms."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from logicls.pretraining.catalogue import PICTOGRAM_KINDS, kinds_by_name
from logicls.pretraining.component_kinds import ComponentKind, ComponentStyle, draw_shadow
from logicls.pretraining.devices import contrasting_ink
from logicls.pretraining.drawing import Points, Pose, rectangle, scale_points
from logicls.pretraining.phrases import choose
from logicls.pretraining.printed_parts import FRUIT_KINDS, draw_text_lines, paint_label
from logicls.pretraining.scene_builder import QuestionDraft, SceneBuilder, SceneComponent, SceneRule
from logicls.pretraining.surfaces import Rgb, Rng, sample_palette

PAPER_COLOURS = ("white", "beige", "yellow", "orange", "green", "blue", "red", "pink", "silver", "gold", "black")


class PictogramCell(NamedTuple):
    """Cell of a label for one pictogram, in units of the label's pose."""

    x: float
    y: float
    size: float
    """Size of the pictogram."""
    width: float
    height: float
    paper: Rgb


def draw_label(scene: SceneBuilder, pose: Pose, wide: float, high: float, *, is_only: bool) -> list[str]:
    """Draw a label of that size (units of the pose) with its print, and return the pictograms' names.

    `is_only`: it is on the only vessel of the photo, so rules may refer to it.
    """
    rng = scene.rng
    scene.exclude_from_absent(
        *kinds_by_name(
            "sticker", "rectangle", "square", "box", "bar code", "line of text", "warning sign", "wooden block", "block"
        )
    )
    contour = pose.transform(rectangle(wide, high, 0.05 * high if rng.random() < 0.3 else 0.0))
    colour = choose(rng, list(PAPER_COLOURS[:6]) if rng.random() < 0.7 else PAPER_COLOURS)
    style = scene.plain_style(colour)
    draw_shadow(scene.canvas, contour, style, 0.8, 0.7)
    paint_label(scene.canvas, pose, style, contour)
    return _draw_print(scene, pose, (wide, high), (contour, colour, style), is_only=is_only)


def _draw_print(
    scene: SceneBuilder,
    pose: Pose,
    size: tuple[float, float],
    paper: tuple[Points, str, ComponentStyle],
    *,
    is_only: bool,
) -> list[str]:
    """Draw nothing, text or pictograms on the paper, add the label, and return the pictograms' names."""
    rng, (contour, colour, style) = scene.rng, paper
    short, draw = min(size) * pose.size, rng.random()
    plain = SceneComponent(("label", "paper label"), contour, colour, family="label")
    scene.components.append(plain)
    number = len(scene.components) - 1
    if short < 9 or draw < 0.12:
        return []
    if draw < 0.45 or short < 15:
        scene.components[number] = replace(plain, names=("text label", "printed label"))
        rows = int(1 + rng.integers(1 + int(short / 8)))
        wide_high = np.ptp(contour, axis=0)
        flat = min(1.0, rows * 0.25 * float(wide_high[0] / wide_high[1]))
        draw_text_lines(
            scene.canvas,
            scale_points(contour, 0.72, height_factor=flat),
            contrasting_ink(style.rgb),
            rows,
            float(rng.random()),
        )
        return []
    words = _draw_pictograms(scene, pose, *size, is_only=is_only)
    if words:
        scene.components[number] = replace(plain, names=("picture label", "icon label"))
    return words


def _draw_pictograms(scene: SceneBuilder, pose: Pose, wide: float, high: float, *, is_only: bool) -> list[str]:
    """Draw one or more pictograms on the label, and return their names."""
    rng, short = scene.rng, min(wide, high)
    count = 1 if rng.random() < 0.8 else int(rng.integers(2, 4))
    count = min(count, max(int(max(wide, high) * pose.size / 18), 1))
    kinds = FRUIT_KINDS if rng.random() < 0.5 else PICTOGRAM_KINDS
    usable = [kind for kind in kinds if kind.min_size <= 0.75 * short * pose.size]
    words = []
    background = scene.colour_at(*pose.transform_point(0, 0))
    for number in range(count if usable else 0):
        kind = usable[int(rng.integers(len(usable)))]
        cell_w, cell_h = (wide / count, high) if wide > high else (wide, high / count)
        size = min(cell_w, cell_h) * float(rng.uniform(0.45, 0.8))
        if size * pose.size < kind.min_size:
            continue
        along = (number - (count - 1) / 2) * (cell_w if wide > high else cell_h)
        x, y = (along, 0.0) if wide > high else (0.0, along)
        words += _draw_pictogram(
            scene, pose, kind, PictogramCell(x, y, size, cell_w, cell_h, background), is_only=is_only and count == 1
        )
    return words


def _draw_pictogram(
    scene: SceneBuilder, pose: Pose, kind: ComponentKind, cell: PictogramCell, *, is_only: bool
) -> list[str]:
    """Draw one pictogram, centred in its cell or off-centre, and return its name."""
    rng = scene.rng
    dx, dy, position = (0.0, 0.0, "centred") if rng.random() < 0.55 else _sample_offset(rng, cell)
    colours = sample_palette(rng, 1, cell.paper, kind.colours) if kind.colours else [""]
    if not colours:
        return []
    px, py = pose.transform_point(cell.x + dx, cell.y + dy)
    turn = pose.degrees + (float(rng.uniform(-8, 8)) if rng.random() < 0.3 else 0.0)
    value = str(rng.choice(kind.values)) if kind.values else ""
    style = scene.sample_style(kind, colours[0], (0.5, float(rng.random()), 0.5), value)
    shadows, scene.shadow_brightness = scene.shadow_brightness, 1.0
    scene.add(kind, Pose(px, py, cell.size * pose.size, turn), style, colour=colours[0], family="icon")
    scene.shadow_brightness = shadows
    scene.exclude_from_absent(kind)
    name = kind.answer_word or kind.names[0]
    if is_only and position:
        scene.drafts.append(QuestionDraft("attribute", f"where on the label is the {name}?", (), (position,)))
        scene.rules.append(
            SceneRule(f"the {name} is centred on its label", "" if position == "centred" else "misplaced")
        )
    return [name]


def _sample_offset(rng: Rng, cell: PictogramCell) -> tuple[float, float, str]:
    """Sample an offset from the cell's centre, and its direction; no direction if it is hard to tell."""
    slack = (cell.width - cell.size) / 2 * 0.96, (cell.height - cell.size) / 2 * 0.96
    axis, side = int(slack[1] > slack[0]), int(rng.choice((-1, 1)))
    offset = slack[axis] * side * float(rng.uniform(0.7, 1))
    word = (("left", "right"), ("above", "below"))[axis][int(side > 0)]
    is_clear = abs(offset) > 0.13 * (cell.width, cell.height)[axis]
    return (offset, 0.0, word if is_clear else "") if axis == 0 else (0.0, offset, word if is_clear else "")


def draw_label_sheet(scene: SceneBuilder) -> None:
    """Draw one to four separate labels, large enough to recognise their print."""
    rng = scene.rng
    rows, columns = ((1, 1), (1, 1), (2, 1), (1, 2), (2, 2), (3, 1))[int(rng.integers(6))]
    cell_w, cell_h = scene.width / columns, scene.height / rows
    for row in range(rows):
        for column in range(columns):
            if rows * columns > 1 and rng.random() < 0.12:
                continue
            wide, high = cell_w * float(rng.uniform(0.4, 0.9)), cell_h * float(rng.uniform(0.3, 0.9))
            x = cell_w * (column + 0.5) + float(rng.uniform(-0.45, 0.45)) * (cell_w - wide)
            y = cell_h * (row + 0.5) + float(rng.uniform(-0.45, 0.45)) * (cell_h - high)
            draw_label(scene, Pose(x, y, 1.0, float(rng.normal(0, 3))), wide, high, is_only=rows * columns == 1)
