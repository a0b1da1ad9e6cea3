"""Scenes with a carrier: components on a plate, in a tray with compartments, or blocks joined by cables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from logicls.pretraining.catalogue import find_absent_kinds, kinds_by_name, sample_kinds
from logicls.pretraining.component_kinds import (
    ComponentKind,
    ComponentStyle,
    darken,
    directional_shade,
    draw_shadow,
    lighten,
)
from logicls.pretraining.drawing import (
    Points,
    Pose,
    Shade,
    ellipse,
    fill,
    rectangle,
    ribbon,
    scale_inside,
    scale_points,
    stroke,
)
from logicls.pretraining.phrases import choose, number_word
from logicls.pretraining.scattered_parts import SceneArea, draw_crowd
from logicls.pretraining.scene_builder import QuestionDraft, SceneBuilder, SceneComponent, SceneRule
from logicls.pretraining.surfaces import Rgb, sample_palette, sample_shade

Point = tuple[float, float]


class BlockDesign(NamedTuple):
    """Properties that both blocks share."""

    name: str
    rgb: Rgb
    slots: int
    depth: float
    """Extent along the cables, pixels."""
    width: float
    is_vertical: bool
    """Whether cables run from top to bottom."""


def draw_cables(scene: SceneBuilder) -> None:
    """Draw two blocks of slots with cables of different colours between them."""
    rng, is_vertical = scene.rng, scene.height > 1.3 * scene.width
    scene.exclude_from_absent(
        *kinds_by_name("socket", "hole", "bar", "ring", "washer", "block", "rectangle", "box", "plug")
    )
    long, across = (scene.height, scene.width) if is_vertical else (scene.width, scene.height)
    depth, width = long * float(rng.uniform(0.08, 0.14)), across * float(rng.uniform(0.6, 0.9))
    name, colour_name = (
        choose(rng, ("terminal block", "connector block")),
        choose(rng, ("white", "black", "grey", "green")),
    )
    blocks = BlockDesign(name, sample_shade(colour_name, rng), int(rng.integers(2, 6)), depth, width, is_vertical)
    gap, centre = long * float(rng.uniform(0.02, 0.1)), across * float(rng.uniform(0.46, 0.54))
    start_slots, end_slots = (
        _draw_block(scene, blocks, at, centre) for at in (gap + depth / 2, long - gap - depth / 2)
    )
    noun, places = choose(rng, ("cable", "wire", "lead")), ("upper", "lower") if is_vertical else ("left", "right")
    first, second = rng.permutation(blocks.slots).tolist(), rng.permutation(blocks.slots).tolist()
    is_straight = rng.random() < 0.5
    for number, colour in enumerate(sample_palette(rng, int(rng.integers(1, blocks.slots + 1)), scene.background)):
        slots = first[number], first[number] if is_straight else second[number]
        _draw_cable(scene, (start_slots[slots[0]], end_slots[slots[1]]), colour, noun, upright=is_vertical)
        _ask_slots(scene, f"{colour} {noun}", blocks, slots, places)


def _ask_slots(
    scene: SceneBuilder, cable: str, blocks: BlockDesign, slots: tuple[int, int], places: tuple[str, str]
) -> None:
    """Add questions and a rule about the slots where a cable ends."""
    rng = scene.rng
    for place, slot in zip(places, slots, strict=True):
        text = f"which slot of the {place} {blocks.name} does the {cable} end in?"
        scene.drafts.append(QuestionDraft("attribute", text, (), (number_word(slot + 1),)))
    required = int(rng.integers(blocks.slots)) if rng.random() < 0.5 else slots[1]
    text = f"the {cable} ends in slot {number_word(required + 1)} of the {places[1]} {blocks.name}"
    scene.rules.append(SceneRule(text, "" if required == slots[1] else "swapped"))


def _draw_block(scene: SceneBuilder, blocks: BlockDesign, position: float, cross_position: float) -> list[Point]:
    """Draw a block with round slots in a row, and return the slots' centres."""
    depth, width, is_vertical = blocks.depth, blocks.width, blocks.is_vertical
    x, y = (cross_position, position) if is_vertical else (position, cross_position)
    w, h = (width, depth) if is_vertical else (depth, width)
    contour = Pose(x, y, 1).transform(rectangle(w, h, 0.08 * depth))
    style = ComponentStyle(blocks.rgb, blocks.rgb, scene.light_direction)
    draw_shadow(scene.canvas, contour, style, 2, 0.6)
    fill(scene.canvas, contour, blocks.rgb, shade=directional_shade(style, 0.15))
    stroke(scene.canvas, contour, darken(blocks.rgb, 0.5), 0.6, 0.7, closed=True)
    scene.components.append(SceneComponent((blocks.name,), contour))
    centres = []
    for number in range(blocks.slots):
        at = cross_position + (number - (blocks.slots - 1) / 2) * width / blocks.slots
        centre = (at, position) if is_vertical else (position, at)
        hole = Pose(*centre, min(0.62 * width / blocks.slots, 0.7 * depth)).transform(ellipse(1, 1))
        fill(scene.canvas, hole, (0.45, 0.45, 0.46))
        fill(scene.canvas, scale_points(hole, 0.72), (0.06, 0.06, 0.07))
        scene.components.append(SceneComponent(("slot", "terminal"), hole))
        centres.append(centre)
    return centres


def _draw_cable(scene: SceneBuilder, endpoints: tuple[Point, Point], colour: str, noun: str, *, upright: bool) -> None:
    """Draw a curved cable between two points."""
    rng = scene.rng
    t = np.linspace(0, 1, 36)[:, None]
    a, b = np.array(endpoints[0]), np.array(endpoints[1])
    tangent = 0.45 * (b - a) * ((0, 1) if upright else (1, 0))
    sag = float(rng.normal(0, 0.05)) * float(np.hypot(*(b - a))) * np.array((1, 0) if upright else (0, 1))
    p1, p2 = a + tangent + sag, b - tangent + sag
    centreline = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t**2 * p2 + t**3 * b
    width = max(float(rng.uniform(0.018, 0.03)) * scene.short_side, 2.0)
    rgb = sample_shade(colour, rng)
    stroke(scene.canvas, centreline - np.array(scene.light_direction) * 1.2, (0.05, 0.05, 0.05), width, 0.3)
    stroke(scene.canvas, centreline, darken(rgb, 0.75), width)
    stroke(scene.canvas, centreline + np.array(scene.light_direction) * 0.15 * width, lighten(rgb, 0.12), 0.5 * width)
    scene.components.append(SceneComponent((noun,), ribbon(centreline, width), colour))


_TONES: tuple[Rgb, ...] = (
    (0.75, 0.76, 0.78),
    (0.9, 0.9, 0.88),
    (0.2, 0.21, 0.22),
    (0.1, 0.3, 0.18),
    (0.62, 0.45, 0.28),
    (0.25, 0.32, 0.45),
)


def _draw_sheet(scene: SceneBuilder, min_share: float) -> tuple[SceneArea, Rgb, Points, ComponentStyle]:
    """Draw a rectangle on the background, and return its area, colour, contour and style."""
    rng = scene.rng
    wide, high = (side * float(rng.uniform(min_share, 0.95)) for side in (scene.width, scene.height))
    x, y = (
        float(rng.uniform(0.02, 1)) * (scene.width - wide) * 0.97,
        float(rng.uniform(0.02, 1)) * (scene.height - high) * 0.97,
    )
    tones = [tone for tone in _TONES if np.linalg.norm(np.subtract(tone, scene.background)) > 0.25]
    rgb = tones[int(rng.integers(len(tones)))]
    contour = Pose(x + wide / 2, y + high / 2, 1).transform(
        rectangle(wide, high, float(rng.uniform(0, 0.12)) * min(wide, high))
    )
    style = ComponentStyle(rgb, darken(rgb, 0.5), scene.light_direction, wood_grain=scene.wood_grain)
    draw_shadow(scene.canvas, contour, style, 3, 0.6)
    grain = scene.wood_grain if rgb == _TONES[4] else None
    fill(scene.canvas, contour, rgb, shade=directional_shade(style, 0.15), grain=grain)
    stroke(scene.canvas, contour, darken(rgb, 0.6), 0.8, 0.8, closed=True)
    stroke(scene.canvas, scale_points(contour, 1 - 3 / min(wide, high)), lighten(rgb, 0.35), 0.6, 0.6, closed=True)
    return SceneArea(x, y, wide, high), rgb, contour, style


def draw_plate(scene: SceneBuilder) -> None:
    """Draw a plate with a crowd of components."""
    area, rgb, contour, _ = _draw_sheet(scene, 0.6)
    scene.exclude_from_absent(
        *kinds_by_name("rectangle", "square", "number tile", "box", "block", "wooden block", "eraser", "hinge")
    )
    scene.components.append(
        SceneComponent((choose(scene.rng, ("plate", "panel", "board", "mounting plate")),), contour)
    )
    draw_crowd(scene, area.inset(0.04 * min(area.width, area.height)), rgb)


def draw_tray(scene: SceneBuilder) -> None:
    """Draw a tray with compartments and their contents."""
    rng = scene.rng
    area, rgb, contour, _ = _draw_sheet(scene, 0.75)
    case, cell = choose(rng, ("tray", "case", "box insert")), choose(rng, ("compartment", "cell", "pocket"))
    scene.components.append(SceneComponent((case,), contour))
    scene.exclude_from_absent(*kinds_by_name("box", "rectangle", "square", "hole", "half disc"))
    rows, columns = _sample_grid(scene, area)
    wide, high = area.width / columns, area.height / rows
    wall = max(0.05 * min(wide, high), 1.2)
    round_by = float(rng.uniform(0, 0.25)) * min(wide, high)
    floor = darken(rgb, 0.62 if sum(rgb) > 1 else 1.6)
    kinds = sample_kinds(rng, int(rng.integers(1, 3)), find_absent_kinds(scene.kinds), 0.6 * min(wide, high))
    scene.kinds.extend(kinds)
    contents = [content for kind in kinds if (content := _sample_content(scene, kind, floor)) is not None]
    cells = [
        SceneArea(area.x + column * wide, area.y + row * high, wide, high).inset(wall)
        for row in range(rows)
        for column in range(columns)
    ]
    counts = [_draw_compartment(scene, place, round_by, (cell, floor), contents) for place in cells]
    if contents:
        noun = kinds[0].names[0] if len(contents) == 1 else "part"
        broken = "missing" if 0 in counts else "extra" if max(counts) > 1 else ""
        if not (0 in counts and max(counts) > 1):
            scene.rules.append(SceneRule(f"one {noun} in each {cell}", broken))


_Contents = list[tuple[ComponentKind, str, ComponentStyle]]


def _draw_compartment(
    scene: SceneBuilder, area: SceneArea, round_by: float, design: tuple[str, Rgb], contents: _Contents
) -> int:
    """Draw a compartment with its contents, and return their number; `design` is its name and floor colour."""
    name, floor = design
    contour = Pose(*area.centre, 1).transform(
        rectangle(area.width, area.height, min(round_by, area.width / 2, area.height / 2))
    )
    fill(scene.canvas, contour, floor, shade=Shade(*scene.light_direction, -0.15))
    scale_inside(scene.canvas, scale_points(contour, 0.96), 0.93, 1.2)
    number = len(scene.components)
    scene.components.append(SceneComponent((name,), contour))
    count = _place_contents(scene, area, contents)
    scene.components[number] = SceneComponent((name,), contour, attributes=(("state", "filled" if count else "empty"),))
    return count


def _sample_grid(scene: SceneBuilder, area: SceneArea) -> tuple[int, int]:
    rng = scene.rng
    finest = max(int(min(area.width, area.height) / 24), 1)
    is_wide, is_tall = area.width > 1.4 * area.height, area.height > 1.4 * area.width
    rows = int(rng.integers(1, min(finest, 3 if is_wide else 5) + 1))
    columns = int(rng.integers(1, min(finest, 3 if is_tall else 5) + 1))
    return (rows, columns) if rows * columns > 1 else (1, 2) if is_wide else (2, 1)


def _sample_content(
    scene: SceneBuilder, kind: ComponentKind, floor: Rgb
) -> tuple[ComponentKind, str, ComponentStyle] | None:
    colours = sample_palette(scene.rng, 1, floor, kind.colours) if kind.colours else [""]
    if not colours:
        return None
    a, b, c = scene.rng.random(3).tolist()
    return kind, colours[0], scene.sample_style(kind, colours[0], (a, b, c))


def _place_contents(scene: SceneBuilder, area: SceneArea, contents: _Contents) -> int:
    """Draw up to two components in a compartment, and return their number."""
    rng = scene.rng
    count = int(rng.choice((0, 1, 2), p=(0.12, 0.8, 0.08))) if contents else 0
    is_wide = area.width > area.height
    for number in range(count):
        kind, colour, style = contents[int(rng.integers(len(contents)))]
        short = min(area.width, area.height, max(area.width, area.height) / count)
        size = short * float(rng.uniform(0.72, 0.8))
        if size < kind.min_size:
            return number
        offset = (number - (count - 1) / 2) * max(area.width, area.height) / count
        (x, y), jitter = area.centre, 0.05 * short
        x, y = (x + offset, y) if is_wide else (x, y + offset)
        value = str(rng.choice(kind.values)) if kind.values else ""
        degrees = {"any": rng.uniform(0, 360), "slight": rng.uniform(-9, 9), "none": 0.0}[kind.rotation]
        if kind.attribute == "direction":
            degrees = kind.values.index(value) * 90 + rng.uniform(-9, 9)
        varied = scene.vary_style(style)
        style_with_value = ComponentStyle(
            varied.rgb, varied.second, varied.light_direction, varied.form, value, varied.wood_grain
        )
        pose = Pose(
            x + float(rng.uniform(-jitter, jitter)), y + float(rng.uniform(-jitter, jitter)), size, float(degrees)
        )
        scene.add(kind, pose, style_with_value, colour=colour)
    return count
