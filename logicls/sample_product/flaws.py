"""Damage on the sample product: what no rule names, and what synthesis never makes.

    python -m logicls.sample_product.flaws OUT --per-flaw 20 --good 100 --seed 0

A scratch, a stain, a chip, a dent or a foreign body is drawn on a kit that breaks no rule, below the camera: its light,
blur and noise come after it, as on a real photo. Nothing of it is in the shipped photos.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from logicls.sample_product import parts
from logicls.sample_product import parts as camera
from logicls.sample_product.parts import HEIGHT, SCALE, WIDTH, Canvas, Points
from logicls.sample_product.render import KIT_VIOLATIONS, create_broken_kit, create_good_kit, render

STRUCTURAL = "structural_defect"
"""What truth.csv calls all of them."""
Drawn = Sequence[tuple[str, Points]]
"""Each part's component and outline, in the order in which they were painted."""


def scratch(canvas: Canvas, drawn: Drawn, rng: np.random.Generator) -> Points:
    """A thin bent line over the vial, the label, the spoon or the board: bright on one side, dark on the other."""
    x, y = _on(drawn, rng, ("vial", "label", "spoon", "board"))
    length, turn = rng.uniform(22, 48), rng.uniform(0, np.pi)
    along = np.linspace(-0.5, 0.5, 24)
    bow = rng.uniform(-5, 5) * (1 - 4 * along**2)
    line = np.stack([x + length * along * np.cos(turn) - bow * np.sin(turn),
                     y + length * along * np.sin(turn) + bow * np.cos(turn)], axis=1)  # fmt: skip
    width, strength = rng.uniform(0.7, 1.3), rng.uniform(0.6, 0.9)
    _stroke(canvas, line + 0.6, (0.10, 0.10, 0.10), width, strength)
    _stroke(canvas, line, (0.97, 0.97, 0.96), width * 0.8, strength)
    return line


def stain(canvas: Canvas, drawn: Drawn, rng: np.random.Generator) -> Points:
    """A see-through blot of brown, grey or green on the board, the label or a tablet, with a darker rim."""
    x, y = _on(drawn, rng, ("board", "label", "tablet", "vial"))
    outline = _blob(rng, (x, y), rng.uniform(6, 11), 0.22)
    colour = np.asarray([(0.26, 0.15, 0.07), (0.16, 0.17, 0.18), (0.20, 0.27, 0.12)][int(rng.integers(3))], np.float32)
    inner = (outline - (x, y)) * 0.82 + (x, y)
    strength = rng.uniform(0.5, 0.75)
    parts.fill(canvas, outline, colour, strength, 0.7)
    rows, columns = parts.canvas_slices(inner, 2.0)
    parts.fill(canvas, inner, canvas[rows, columns] * np.float32(1.18), 0.6, 0.8)
    return outline


def chip(canvas: Canvas, drawn: Drawn, rng: np.random.Generator) -> Points:
    """A piece broken out of the edge of a tablet, the label or the vial's rim: the fracture is dark and rough."""
    part = _part(drawn, rng, ("tablet", "tablet", "label", "vial"))
    edge = part[int(rng.integers(len(part)))]
    inward = part.mean(axis=0) - edge
    middle = edge + inward / max(float(np.hypot(*inward)), 1.0) * rng.uniform(1.0, 2.5)
    outline = _blob(rng, (middle[0], middle[1]), rng.uniform(4.5, 6.5), 0.35)
    parts.fill(canvas, outline, (0.25, 0.22, 0.19), 0.9, 0.3)
    for piece in range(3):
        at = middle + rng.uniform(-2.5, 2.5, 2)
        parts.fill(canvas, _blob(rng, (at[0], at[1]), rng.uniform(0.9, 1.8), 0.4), (0.62 - 0.1 * piece,) * 3, 0.8)
    return outline


def dent(canvas: Canvas, drawn: Drawn, rng: np.random.Generator) -> Points:
    """A hollow pressed into the spoon, the vial, a tablet or the board: one slope in the light, one in the shade."""
    x, y = _on(drawn, rng, ("spoon", "vial", "tablet", "board"))
    radius = rng.uniform(6, 9)
    outline = parts.ellipse(x, y, radius, radius * rng.uniform(0.7, 1.0))
    rows, columns = parts.canvas_slices(outline, 2.0)
    down, right = np.mgrid[rows, columns]
    u, v = ((right + 0.5) / SCALE - x) / radius, ((down + 0.5) / SCALE - y) / radius
    bowl = np.exp(-2.2 * (u**2 + v**2)) * (u + v) * rng.uniform(0.9, 1.3)
    part = canvas[rows, columns]
    part *= np.clip(1 + bowl[..., None], 0.25, 1.9).astype(np.float32)
    return outline


def foreign_body(canvas: Canvas, drawn: Drawn, rng: np.random.Generator) -> Points:
    """Something that does not belong there: a hair, a crumb of plastic, a shaving of metal or an insect."""
    x, y = _on(drawn, rng, ("board", "board", "label", "spoon"))
    kind, turn = int(rng.integers(4)), float(rng.uniform(0, 360))
    if kind == 0:
        along = np.linspace(0, 1, 40)
        swing = rng.uniform(4, 9) * np.sin(along * rng.uniform(3, 7))
        line = parts.rotate(np.stack([36 * (along - 0.5), swing], axis=1), x, y, turn)
        _stroke(canvas, line, (0.07, 0.05, 0.04), 1.2, 0.92)
        return line
    if kind == 1:
        outline = _blob(rng, (x, y), rng.uniform(4.5, 6.5), 0.3)
        colour = [(0.05, 0.55, 0.30), (0.85, 0.35, 0.05), (0.55, 0.10, 0.55)][int(rng.integers(3))]
        _shaded(canvas, outline, colour)
        return outline
    if kind == 2:
        outline = parts.rotate(parts.block(-9, -1.6, 9, 1.6), x, y, turn)
        _shaded(canvas, outline, (0.80, 0.82, 0.85))
        return outline
    body = parts.rotate(parts.ellipse(0, 0, 6.0, 3.0), x, y, turn)
    for leg in (-3.5, 0.0, 3.5):
        _stroke(canvas, parts.rotate(np.array([(leg - 1.5, -7.0), (leg, 0.0), (leg - 1.5, 7.0)]), x, y, turn),
                (0.08, 0.06, 0.05), 0.7, 0.9)  # fmt: skip
    _shaded(canvas, body, (0.10, 0.08, 0.07))
    return parts.ellipse(x, y, 8, 8)


FLAWS: Mapping[str, Callable[..., Points]] = {
    "scratch": scratch,
    "stain": stain,
    "chip": chip,
    "dent": dent,
    "foreign_body": foreign_body,
}


def _part(drawn: Drawn, rng: np.random.Generator, components: Sequence[str]) -> Points:
    """The outline of one that is there, of a component drawn by lot."""
    there = {component for component, _ in drawn}
    chosen = str(rng.choice([one for one in components if one in there]))
    outlines = [outline for component, outline in drawn if component == chosen]
    return outlines[int(rng.integers(len(outlines)))]


def _on(drawn: Drawn, rng: np.random.Generator, components: Sequence[str]) -> tuple[float, float]:
    """A place on one of these, or on the bare board."""
    there = [one for one in components if one == "board" or any(one == component for component, _ in drawn)]
    chosen = str(rng.choice(there))
    if chosen == "board":
        return _free(drawn, rng)
    outline = _part(drawn, rng, (chosen,))
    middle, edge = outline.mean(axis=0), outline[int(rng.integers(len(outline)))]
    x, y = middle + (edge - middle) * rng.uniform(0.0, 0.7)
    return float(x), float(y)


def _free(drawn: Drawn, rng: np.random.Generator) -> tuple[float, float]:
    """A place on the board that is as far from all parts as the best of some that were tried."""
    tried = np.stack([rng.uniform(22, WIDTH - 22, 24), rng.uniform(22, HEIGHT - 22, 24)], axis=1)
    room = [
        min(-cv2.pointPolygonTest(outline.astype(np.float32), (float(x), float(y)), True) for _, outline in drawn)
        for x, y in tried
    ]
    enough = [place for place, free in zip(tried, room, strict=True) if free > 12] or [tried[int(np.argmax(room))]]
    x, y = enough[0]
    return float(x), float(y)


def _blob(rng: np.random.Generator, centre: tuple[float, float], radius: float, rough: float) -> Points:
    """A round outline with bumps as large as `rough` of its radius."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    reach = np.ones_like(turn)
    for waves in (2, 3, 5):
        reach += rough / 2 * rng.uniform(-1, 1) * np.sin(waves * turn + rng.uniform(0, 2 * np.pi))
    x, y = centre
    return np.stack([x + radius * reach * np.cos(turn), y + radius * reach * np.sin(turn)], axis=1)


def _shaded(canvas: Canvas, outline: Points, colour: parts.Colour) -> None:
    """A small solid thing: a shadow, its colour, a light on its upper left."""
    parts.fill(canvas, outline + np.array((1.2, 1.5)), (0.03, 0.03, 0.03), 0.5, 0.8)
    parts.fill(canvas, outline, colour, 1.0, 0.2)
    middle = outline.mean(axis=0)
    light = tuple(min(1.0, tone + 0.25) for tone in colour)
    parts.fill(canvas, (outline - middle) * 0.45 + middle - (0.8, 0.8), light, 0.8, 0.6)  # type: ignore[arg-type]


def _stroke(canvas: Canvas, line: Points, colour: parts.Colour, width: float, opacity: float) -> None:
    """A line `width` photo pixels wide."""
    rows, columns = parts.canvas_slices(line, width + 1)
    part = canvas[rows, columns]
    mask = np.zeros(part.shape[:2], np.uint8)
    points = np.round((line * SCALE - 0.5 - (columns.start, rows.start)) * 16).astype(np.int32)
    cv2.polylines(mask, [points], False, (255,), max(1, round(width * SCALE)), cv2.LINE_AA, 4)
    part += (np.asarray(colour, np.float32) - part) * (mask[..., None].astype(np.float32) * np.float32(opacity / 255))


def write_damaged_photos(root: Path, *, per_flaw: int, good: int, seed: int) -> None:
    """Write photos to `root/images`, their truth to `root/truth.csv`, and where each flaw is to `root/flaws.csv`.

    One of four kits with a flaw breaks a rule as well; of the others as many are good as `good` says.
    """
    rng = np.random.default_rng(seed)
    truth: list[tuple[str, str]] = []
    flaws: list[tuple[object, ...]] = []
    for number, kind in enumerate([""] * good + [kind for kind in FLAWS for _ in range(per_flaw)]):
        also = str(rng.choice(KIT_VIOLATIONS)) if kind and number % 4 == 3 else ""
        mar = partial(FLAWS[kind], rng=rng) if kind else None
        kit = create_broken_kit(rng, also) if also else create_good_kit(rng)
        picture, scene = render(kit, rng, f"kit_{number:03d}.jpg", mar)
        camera.save(root / "images" / scene.photo, picture)
        truth.append((scene.photo, ";".join(sorted({also, STRUCTURAL if kind else ""} - {""}))))
        boxes = [instance.box for instance in scene.instances if instance.component == "flaw"]
        flaws += [(scene.photo, kind, box.x1, box.y1, box.x2, box.y2) for box in boxes]
    _table(root / "truth.csv", ("image", "violations"), truth)
    _table(root / "flaws.csv", ("image", "flaw", "x1", "y1", "x2", "y2"), flaws)


def _table(path: Path, head: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Write photos of damaged kits and of good ones, and what is wrong with them."""
    parser = argparse.ArgumentParser(prog="python -m logicls.sample_product.flaws", description="Damage sample kits.")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to")
    parser.add_argument("--per-flaw", type=int, default=20, help="photos of each kind of flaw (20)")
    parser.add_argument("--good", type=int, default=100, help="photos with nothing wrong (100)")
    parser.add_argument("--seed", type=int, default=0, help="of every choice made (0)")
    given = parser.parse_args(arguments)
    write_damaged_photos(given.out, per_flaw=given.per_flaw, good=given.good, seed=given.seed)


if __name__ == "__main__":
    main()
