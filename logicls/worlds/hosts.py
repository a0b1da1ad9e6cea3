"""What carries other things: plates, trays with compartments, blocks joined by cables."""

from __future__ import annotations

import numpy as np

from logicls.worlds.canvas import Points, Shade, fill, scale_inside, stroke
from logicls.worlds.catalogue import free_beside, named, together
from logicls.worlds.colours import Rgb, palette
from logicls.worlds.crowd import crowd
from logicls.worlds.kind import Kind, Look, darker, lit, paler, shadow
from logicls.worlds.places import Area
from logicls.worlds.say import drawn
from logicls.worlds.shapes import Pose, about, block
from logicls.worlds.stage import Rule, Stage, Thing

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
