"""What carries other things: plates, trays with compartments, blocks joined by cables.

Two blocks of slots with cables between them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from logicls.pretraining.catalogue import free_beside, named, together
from logicls.pretraining.component_kinds import Kind, Look, darker, lit, paler, shadow
from logicls.pretraining.drawing import Points, Pose, Shade, about, block, ellipse, fill, ribbon, scale_inside, stroke
from logicls.pretraining.phrases import drawn, number_word
from logicls.pretraining.scattered_parts import Area, crowd
from logicls.pretraining.scene_builder import Draft, Rule, Stage, Thing
from logicls.pretraining.surfaces import Rgb, palette, shade_of

Place = tuple[float, float]


class _Blocks(NamedTuple):
    """What both blocks have in common."""

    name: str
    rgb: Rgb
    slots: int
    deep: float
    """Along the cables, pixels."""
    wide: float
    upright: bool
    """The cables run from top to bottom."""


def cables(stage: Stage) -> None:
    """Two blocks of slots, and cables of different colours between them."""
    rng, upright = stage.rng, stage.height > 1.3 * stage.width
    stage.mention(*named("socket", "hole", "bar", "ring", "washer", "block", "rectangle", "box", "plug"))
    long, across = (stage.height, stage.width) if upright else (stage.width, stage.height)
    deep, wide = long * float(rng.uniform(0.08, 0.14)), across * float(rng.uniform(0.6, 0.9))
    name, paint = drawn(rng, ("terminal block", "connector block")), drawn(rng, ("white", "black", "grey", "green"))
    blocks = _Blocks(name, shade_of(paint, rng), int(rng.integers(2, 6)), deep, wide, upright)
    gap, middle = long * float(rng.uniform(0.02, 0.1)), across * float(rng.uniform(0.46, 0.54))
    starts, stops = (_block(stage, blocks, at, middle) for at in (gap + deep / 2, long - gap - deep / 2))
    noun, places = drawn(rng, ("cable", "wire", "lead")), ("upper", "lower") if upright else ("left", "right")
    first, second = rng.permutation(blocks.slots).tolist(), rng.permutation(blocks.slots).tolist()
    straight = rng.random() < 0.5
    for number, colour in enumerate(palette(rng, int(rng.integers(1, blocks.slots + 1)), stage.ground)):
        slots = first[number], first[number] if straight else second[number]
        _cable(stage, (starts[slots[0]], stops[slots[1]]), colour, noun, upright=upright)
        _ask(stage, f"{colour} {noun}", blocks, slots, places)


def _ask(stage: Stage, cable: str, blocks: _Blocks, slots: tuple[int, int], places: tuple[str, str]) -> None:
    """Which slots it ends in, as questions and as a rule."""
    rng = stage.rng
    for place, slot in zip(places, slots, strict=True):
        text = f"which slot of the {place} {blocks.name} does the {cable} end in?"
        stage.drafts.append(Draft("attribute", text, (), (number_word(slot + 1),)))
    wanted = int(rng.integers(blocks.slots)) if rng.random() < 0.5 else slots[1]
    text = f"the {cable} ends in slot {number_word(wanted + 1)} of the {places[1]} {blocks.name}"
    stage.rules.append(Rule(text, "" if wanted == slots[1] else "swapped"))


def _block(stage: Stage, blocks: _Blocks, along: float, across: float) -> list[Place]:
    """A block with round slots in a row; returns the slots' middles."""
    deep, wide, upright = blocks.deep, blocks.wide, blocks.upright
    x, y, w, h = (across, along, wide, deep) if upright else (along, across, deep, wide)
    outline = Pose(x, y, 1).put(block(w, h, 0.08 * deep))
    look = Look(blocks.rgb, blocks.rgb, stage.light)
    shadow(stage.canvas, outline, look, 2, 0.6)
    fill(stage.canvas, outline, blocks.rgb, shade=lit(look, 0.15))
    stroke(stage.canvas, outline, darker(blocks.rgb, 0.5), 0.6, 0.7, closed=True)
    stage.things.append(Thing((blocks.name,), outline))
    spots = []
    for number in range(blocks.slots):
        at = across + (number - (blocks.slots - 1) / 2) * wide / blocks.slots
        spot = (at, along) if upright else (along, at)
        hole = Pose(*spot, min(0.62 * wide / blocks.slots, 0.7 * deep)).put(ellipse(1, 1))
        fill(stage.canvas, hole, (0.45, 0.45, 0.46))
        fill(stage.canvas, about(hole, 0.72), (0.06, 0.06, 0.07))
        stage.things.append(Thing(("slot", "terminal"), hole))
        spots.append(spot)
    return spots


def _cable(stage: Stage, ends: tuple[Place, Place], colour: str, noun: str, *, upright: bool) -> None:
    """A bent cable from one place to the other."""
    rng = stage.rng
    t = np.linspace(0, 1, 36)[:, None]
    a, b = np.array(ends[0]), np.array(ends[1])
    reach = 0.45 * (b - a) * ((0, 1) if upright else (1, 0))
    sag = float(rng.normal(0, 0.05)) * float(np.hypot(*(b - a))) * np.array((1, 0) if upright else (0, 1))
    p1, p2 = a + reach + sag, b - reach + sag
    middle = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t**2 * p2 + t**3 * b
    width = max(float(rng.uniform(0.018, 0.03)) * stage.short, 2.0)
    rgb = shade_of(colour, rng)
    stroke(stage.canvas, middle - np.array(stage.light) * 1.2, (0.05, 0.05, 0.05), width, 0.3)
    stroke(stage.canvas, middle, darker(rgb, 0.75), width)
    stroke(stage.canvas, middle + np.array(stage.light) * 0.15 * width, paler(rgb, 0.12), 0.5 * width)
    stage.things.append(Thing((noun,), ribbon(middle, width), colour))


_TONES: tuple[Rgb, ...] = (
    (0.75, 0.76, 0.78),
    (0.9, 0.9, 0.88),
    (0.2, 0.21, 0.22),
    (0.1, 0.3, 0.18),
    (0.62, 0.45, 0.28),
    (0.25, 0.32, 0.45),
)


def _sheet_of(stage: Stage, smallest: float) -> tuple[Area, Rgb, Points, Look]:
    """A rectangle drawn on the ground: its area, colour, outline and look."""
    rng = stage.rng
    wide, high = (side * float(rng.uniform(smallest, 0.95)) for side in (stage.width, stage.height))
    x, y = (
        float(rng.uniform(0.02, 1)) * (stage.width - wide) * 0.97,
        float(rng.uniform(0.02, 1)) * (stage.height - high) * 0.97,
    )
    tones = [tone for tone in _TONES if np.linalg.norm(np.subtract(tone, stage.ground)) > 0.25]
    rgb = tones[int(rng.integers(len(tones)))]
    outline = Pose(x + wide / 2, y + high / 2, 1).put(block(wide, high, float(rng.uniform(0, 0.12)) * min(wide, high)))
    look = Look(rgb, darker(rgb, 0.5), stage.light, wood=stage.wood)
    shadow(stage.canvas, outline, look, 3, 0.6)
    grain = stage.wood if rgb == _TONES[4] else None
    fill(stage.canvas, outline, rgb, shade=lit(look, 0.15), grain=grain)
    stroke(stage.canvas, outline, darker(rgb, 0.6), 0.8, 0.8, closed=True)
    stroke(stage.canvas, about(outline, 1 - 3 / min(wide, high)), paler(rgb, 0.35), 0.6, 0.6, closed=True)
    return Area(x, y, wide, high), rgb, outline, look


def plate(stage: Stage) -> None:
    """A crowd on a plate."""
    area, rgb, outline, _ = _sheet_of(stage, 0.6)
    stage.mention(*named("rectangle", "square", "number tile", "box", "block", "wooden block", "eraser", "hinge"))
    stage.things.append(Thing((drawn(stage.rng, ("plate", "panel", "board", "mounting plate")),), outline))
    crowd(stage, area.inset(0.04 * min(area.width, area.height)), rgb)


def tray(stage: Stage) -> None:
    """A tray with compartments, and things in them."""
    rng = stage.rng
    area, rgb, outline, _ = _sheet_of(stage, 0.75)
    case, cell = drawn(rng, ("tray", "case", "box insert")), drawn(rng, ("compartment", "cell", "pocket"))
    stage.things.append(Thing((case,), outline))
    stage.mention(*named("box", "rectangle", "square", "hole", "half disc"))
    rows, columns = _layout(stage, area)
    wide, high = area.width / columns, area.height / rows
    wall = max(0.05 * min(wide, high), 1.2)
    round_by = float(rng.uniform(0, 0.25)) * min(wide, high)
    floor = darker(rgb, 0.62 if sum(rgb) > 1 else 1.6)
    kinds = together(rng, int(rng.integers(1, 3)), free_beside(stage.kinds), 0.6 * min(wide, high))
    stage.kinds.extend(kinds)
    fillings = [filling for kind in kinds if (filling := _filling(stage, kind, floor)) is not None]
    cells = [
        Area(area.x + column * wide, area.y + row * high, wide, high).inset(wall)
        for row in range(rows)
        for column in range(columns)
    ]
    counts = [_compartment(stage, place, round_by, (cell, floor), fillings) for place in cells]
    if fillings:
        noun = kinds[0].names[0] if len(fillings) == 1 else "part"
        broken = "missing" if 0 in counts else "extra" if max(counts) > 1 else ""
        if not (0 in counts and max(counts) > 1):
            stage.rules.append(Rule(f"one {noun} in each {cell}", broken))


_Fillings = list[tuple[Kind, str, Look]]


def _compartment(stage: Stage, place: Area, round_by: float, made: tuple[str, Rgb], fillings: _Fillings) -> int:
    """One compartment, its name and floor as `made` says, and what lies in it; returns how many."""
    name, floor = made
    edge = Pose(*place.middle, 1).put(
        block(place.width, place.height, min(round_by, place.width / 2, place.height / 2))
    )
    fill(stage.canvas, edge, floor, shade=Shade(*stage.light, -0.15))
    scale_inside(stage.canvas, about(edge, 0.96), 0.93, 1.2)
    number = len(stage.things)
    stage.things.append(Thing((name,), edge))
    count = _put_in(stage, place, fillings)
    stage.things[number] = Thing((name,), edge, attributes=(("state", "filled" if count else "empty"),))
    return count


def _layout(stage: Stage, area: Area) -> tuple[int, int]:
    rng = stage.rng
    finest = max(int(min(area.width, area.height) / 24), 1)
    across, down = area.width > 1.4 * area.height, area.height > 1.4 * area.width
    rows = int(rng.integers(1, min(finest, 3 if across else 5) + 1))
    columns = int(rng.integers(1, min(finest, 3 if down else 5) + 1))
    return (rows, columns) if rows * columns > 1 else (1, 2) if across else (2, 1)


def _filling(stage: Stage, kind: Kind, floor: Rgb) -> tuple[Kind, str, Look] | None:
    colours = palette(stage.rng, 1, floor, kind.colours) if kind.colours else [""]
    if not colours:
        return None
    a, b, c = stage.rng.random(3).tolist()
    return kind, colours[0], stage.look(kind, colours[0], (a, b, c))


def _put_in(stage: Stage, place: Area, fillings: _Fillings) -> int:
    """Nothing, one or two things in a compartment; returns how many."""
    rng = stage.rng
    count = int(rng.choice((0, 1, 2), p=(0.12, 0.8, 0.08))) if fillings else 0
    across = place.width > place.height
    for number in range(count):
        kind, colour, look = fillings[int(rng.integers(len(fillings)))]
        short = min(place.width, place.height, max(place.width, place.height) / count)
        size = short * float(rng.uniform(0.72, 0.8))
        if size < kind.smallest:
            return number
        off = (number - (count - 1) / 2) * max(place.width, place.height) / count
        (x, y), jitter = place.middle, 0.05 * short
        x, y = (x + off, y) if across else (x, y + off)
        value = str(rng.choice(kind.values)) if kind.values else ""
        degrees = {"any": rng.uniform(0, 360), "slight": rng.uniform(-9, 9), "none": 0.0}[kind.turn]
        if kind.attribute == "direction":
            degrees = kind.values.index(value) * 90 + rng.uniform(-9, 9)
        fresh = stage.vary(look)
        own = Look(fresh.rgb, fresh.second, fresh.light, fresh.form, value, fresh.wood)
        spot = Pose(
            x + float(rng.uniform(-jitter, jitter)), y + float(rng.uniform(-jitter, jitter)), size, float(degrees)
        )
        stage.add(kind, spot, own, colour=colour)
    return count
