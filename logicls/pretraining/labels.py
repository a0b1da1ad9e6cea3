"""Labels and what is printed on them."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from logicls.pretraining.catalogue import PICTURES, named
from logicls.pretraining.component_kinds import Kind, Look, shadow
from logicls.pretraining.devices import ink_on
from logicls.pretraining.drawing import Points, Pose, about, block
from logicls.pretraining.phrases import drawn
from logicls.pretraining.printed_parts import FRUIT, label, text_lines
from logicls.pretraining.scene_builder import Draft, Rule, Stage, Thing
from logicls.pretraining.surfaces import Rgb, Rng, palette

PAPERS = ("white", "beige", "yellow", "orange", "green", "blue", "red", "pink", "silver", "gold", "black")
ICONS = ("icon", "mark", "picture", "symbol", "logo")


class _Cell(NamedTuple):
    """Where a picture goes: units of the label's pose."""

    x: float
    y: float
    size: float
    """Of the picture."""
    width: float
    height: float
    paper: Rgb


def put_label(stage: Stage, pose: Pose, wide: float, high: float, *, single: bool) -> list[str]:
    """A label of that size (units of the pose) with print on it; returns the pictures' words.

    `single`: it is on the only vessel of the photo, so that rules may name it.
    """
    rng = stage.rng
    stage.mention(
        *named(
            "sticker", "rectangle", "square", "box", "bar code", "line of text", "warning sign", "wooden block", "block"
        )
    )
    outline = pose.put(block(wide, high, 0.05 * high if rng.random() < 0.3 else 0.0))
    colour = drawn(rng, list(PAPERS[:6]) if rng.random() < 0.7 else PAPERS)
    look = stage.look_of(colour)
    shadow(stage.canvas, outline, look, 0.8, 0.7)
    label(stage.canvas, pose, look, outline)
    return _print(stage, pose, (wide, high), (outline, colour, look), single=single)


def _print(
    stage: Stage, pose: Pose, size: tuple[float, float], paper: tuple[Points, str, Look], *, single: bool
) -> list[str]:
    """Nothing, text or pictures on the paper; keeps the label and returns the pictures' words."""
    rng, (outline, colour, look) = stage.rng, paper
    short, draw = min(size) * pose.size, rng.random()
    plain = Thing(("label", "paper label"), outline, colour, family="label")
    stage.things.append(plain)
    number = len(stage.things) - 1
    if short < 9 or draw < 0.12:
        return []
    if draw < 0.45 or short < 15:
        stage.things[number] = replace(plain, names=("text label", "printed label"))
        rows = int(1 + rng.integers(1 + int(short / 8)))
        wide_high = np.ptp(outline, axis=0)
        flat = min(1.0, rows * 0.25 * float(wide_high[0] / wide_high[1]))
        text_lines(stage.canvas, about(outline, 0.72, tall=flat), ink_on(look.rgb), rows, float(rng.random()))
        return []
    words = _pictures(stage, pose, *size, single=single)
    if words:
        stage.things[number] = replace(plain, names=("picture label", "icon label"))
    return words


def _pictures(stage: Stage, pose: Pose, wide: float, high: float, *, single: bool) -> list[str]:
    """One or several pictures on the label."""
    rng, short = stage.rng, min(wide, high)
    count = 1 if rng.random() < 0.8 else int(rng.integers(2, 4))
    count = min(count, max(int(max(wide, high) * pose.size / 18), 1))
    kinds = FRUIT if rng.random() < 0.5 else PICTURES
    usable = [kind for kind in kinds if kind.smallest <= 0.75 * short * pose.size]
    words = []
    background = stage.ground_at(*pose.at(0, 0))
    for number in range(count if usable else 0):
        kind = usable[int(rng.integers(len(usable)))]
        cell_w, cell_h = (wide / count, high) if wide > high else (wide, high / count)
        size = min(cell_w, cell_h) * float(rng.uniform(0.45, 0.8))
        if size * pose.size < kind.smallest:
            continue
        along = (number - (count - 1) / 2) * (cell_w if wide > high else cell_h)
        x, y = (along, 0.0) if wide > high else (0.0, along)
        words += _picture(stage, pose, kind, _Cell(x, y, size, cell_w, cell_h, background), lone=single and count == 1)
    return words


def _picture(stage: Stage, pose: Pose, kind: Kind, cell: _Cell, *, lone: bool) -> list[str]:
    """One picture, in the middle of its cell or off it."""
    rng = stage.rng
    dx, dy, where = (0.0, 0.0, "centred") if rng.random() < 0.55 else _aside(rng, cell)
    colours = palette(rng, 1, cell.paper, kind.colours) if kind.colours else [""]
    if not colours:
        return []
    px, py = pose.at(cell.x + dx, cell.y + dy)
    turn = pose.degrees + (float(rng.uniform(-8, 8)) if rng.random() < 0.3 else 0.0)
    value = str(rng.choice(kind.values)) if kind.values else ""
    look = stage.look(kind, colours[0], (0.5, float(rng.random()), 0.5), value)
    shadows, stage.shadows = stage.shadows, 1.0
    stage.add(kind, Pose(px, py, cell.size * pose.size, turn), look, colour=colours[0], family="icon")
    stage.shadows = shadows
    stage.mention(kind)
    name = kind.word or kind.names[0]
    if lone and where:
        stage.drafts.append(Draft("attribute", f"where on the label is the {name}?", (), (where,)))
        stage.rules.append(Rule(f"the {name} is centred on its label", "" if where == "centred" else "misplaced"))
    return [name]


def _aside(rng: Rng, cell: _Cell) -> tuple[float, float, str]:
    """How far a picture is off its cell's middle, and where that is; no word where it is hard to tell."""
    room = (cell.width - cell.size) / 2 * 0.96, (cell.height - cell.size) / 2 * 0.96
    axis, side = int(room[1] > room[0]), int(rng.choice((-1, 1)))
    off = room[axis] * side * float(rng.uniform(0.7, 1))
    word = (("left", "right"), ("above", "below"))[axis][int(side > 0)]
    clear = abs(off) > 0.13 * (cell.width, cell.height)[axis]
    return (off, 0.0, word if clear else "") if axis == 0 else (0.0, off, word if clear else "")


def sheet(stage: Stage) -> None:
    """One to four labels that lie by themselves, large enough to see their print."""
    rng = stage.rng
    rows, columns = ((1, 1), (1, 1), (2, 1), (1, 2), (2, 2), (3, 1))[int(rng.integers(6))]
    cell_w, cell_h = stage.width / columns, stage.height / rows
    for row in range(rows):
        for column in range(columns):
            if rows * columns > 1 and rng.random() < 0.12:
                continue
            wide, high = cell_w * float(rng.uniform(0.4, 0.9)), cell_h * float(rng.uniform(0.3, 0.9))
            x = cell_w * (column + 0.5) + float(rng.uniform(-0.45, 0.45)) * (cell_w - wide)
            y = cell_h * (row + 0.5) + float(rng.uniform(-0.45, 0.45)) * (cell_h - high)
            put_label(stage, Pose(x, y, 1.0, float(rng.normal(0, 3))), wide, high, single=rows * columns == 1)
