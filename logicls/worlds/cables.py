"""Two blocks of slots with cables between them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from logicls.worlds.canvas import fill, stroke
from logicls.worlds.catalogue import named
from logicls.worlds.colours import Rgb, palette, shade_of
from logicls.worlds.kind import Look, darker, lit, paler, shadow
from logicls.worlds.say import drawn, number_word
from logicls.worlds.shapes import Pose, about, block, ellipse, ribbon
from logicls.worlds.stage import Draft, Rule, Stage, Thing

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
