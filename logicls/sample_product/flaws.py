"""Render surface flaws on the sample product: structural defects anywhere, which synthesis never creates.

    python -m logicls.sample_product.flaws OUT --per-flaw 20 --good 100 --seed 0

A scratch, stain, chip, dent or foreign body is painted on the kit before lighting, blur and noise are simulated, as on
a real photo. A flaw on a tablet breaks a rule as well: `damaged_tablet`. No shipped photo has a flaw.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from logicls.records import Scene
from logicls.sample_product import camera, parts
from logicls.sample_product.parts import HEIGHT, SCALE, WIDTH, Canvas, Points
from logicls.sample_product.render import LOGICAL_VIOLATIONS, create_broken_kit, create_good_kit, render

STRUCTURAL = "structural_defect"
"""Name of every flaw in truth.csv."""
PartContours = Sequence[tuple[str, Points]]
"""Component and contour of each part, in painting order."""


def scratch(canvas: Canvas, contours: PartContours, rng: np.random.Generator) -> Points:
    """Paint a thin curved line, bright on one side and dark on the other, on the vial, label, spoon or board."""
    x, y = _choose_position(contours, rng, ("vial", "label", "spoon", "board"))
    length, angle = rng.uniform(22, 48), rng.uniform(0, np.pi)
    along = np.linspace(-0.5, 0.5, 24)
    curvature = rng.uniform(-5, 5) * (1 - 4 * along**2)
    line = np.stack([x + length * along * np.cos(angle) - curvature * np.sin(angle),
                     y + length * along * np.sin(angle) + curvature * np.cos(angle)], axis=1)  # fmt: skip
    width, opacity = rng.uniform(0.7, 1.3), rng.uniform(0.6, 0.9)
    _paint_line(canvas, line + 0.6, (0.10, 0.10, 0.10), width, opacity)
    _paint_line(canvas, line, (0.97, 0.97, 0.96), width * 0.8, opacity)
    return line


def stain(canvas: Canvas, contours: PartContours, rng: np.random.Generator) -> Points:
    """Paint a translucent brown, grey or green blot with a darker rim on the board, label, vial or a tablet."""
    x, y = _choose_position(contours, rng, ("board", "label", "tablet", "vial"))
    contour = _create_blob(rng, (x, y), rng.uniform(6, 11), 0.22)
    colour = np.asarray([(0.26, 0.15, 0.07), (0.16, 0.17, 0.18), (0.20, 0.27, 0.12)][int(rng.integers(3))], np.float32)
    inner = (contour - (x, y)) * 0.82 + (x, y)
    opacity = rng.uniform(0.5, 0.75)
    parts.fill(canvas, contour, colour, opacity, 0.7)
    rows, columns = parts.canvas_slices(inner, 2.0)
    parts.fill(canvas, inner, canvas[rows, columns] * np.float32(1.18), 0.6, 0.8)
    return contour


def chip(canvas: Canvas, contours: PartContours, rng: np.random.Generator) -> Points:
    """Paint a piece broken out of the edge of a tablet, the label or the vial: a dark and rough fracture."""
    part = _choose_part(contours, rng, ("tablet", "tablet", "label", "vial"))
    edge = part[int(rng.integers(len(part)))]
    inward = part.mean(axis=0) - edge
    centre = edge + inward / max(float(np.hypot(*inward)), 1.0) * rng.uniform(1.0, 2.5)
    contour = _create_blob(rng, (centre[0], centre[1]), rng.uniform(4.5, 6.5), 0.35)
    parts.fill(canvas, contour, (0.25, 0.22, 0.19), 0.9, 0.3)
    for piece in range(3):
        position = centre + rng.uniform(-2.5, 2.5, 2)
        parts.fill(
            canvas,
            _create_blob(rng, (position[0], position[1]), rng.uniform(0.9, 1.8), 0.4),
            (0.62 - 0.1 * piece,) * 3,
            0.8,
        )
    return contour


def dent(canvas: Canvas, contours: PartContours, rng: np.random.Generator) -> Points:
    """Paint a dent in the spoon, the vial, a tablet or the board: one side bright, the other dark."""
    x, y = _choose_position(contours, rng, ("spoon", "vial", "tablet", "board"))
    radius = rng.uniform(6, 9)
    contour = parts.ellipse(x, y, radius, radius * rng.uniform(0.7, 1.0))
    rows, columns = parts.canvas_slices(contour, 2.0)
    down, right = np.mgrid[rows, columns]
    u, v = ((right + 0.5) / SCALE - x) / radius, ((down + 0.5) / SCALE - y) / radius
    shading = np.exp(-2.2 * (u**2 + v**2)) * (u + v) * rng.uniform(0.9, 1.3)
    part = canvas[rows, columns]
    part *= np.clip(1 + shading[..., None], 0.25, 1.9).astype(np.float32)
    return contour


def foreign_body(canvas: Canvas, contours: PartContours, rng: np.random.Generator) -> Points:
    """Paint a hair, a piece of plastic, a metal shaving or an insect."""
    x, y = _choose_position(contours, rng, ("board", "board", "label", "spoon"))
    kind, angle = int(rng.integers(4)), float(rng.uniform(0, 360))
    if kind == 0:
        along = np.linspace(0, 1, 40)
        wave = rng.uniform(4, 9) * np.sin(along * rng.uniform(3, 7))
        line = parts.rotate(np.stack([36 * (along - 0.5), wave], axis=1), x, y, angle)
        _paint_line(canvas, line, (0.07, 0.05, 0.04), 1.2, 0.92)
        return line
    if kind == 1:
        contour = _create_blob(rng, (x, y), rng.uniform(4.5, 6.5), 0.3)
        colour = [(0.05, 0.55, 0.30), (0.85, 0.35, 0.05), (0.55, 0.10, 0.55)][int(rng.integers(3))]
        _paint_object(canvas, contour, colour)
        return contour
    if kind == 2:
        contour = parts.rotate(parts.rectangle(-9, -1.6, 9, 1.6), x, y, angle)
        _paint_object(canvas, contour, (0.80, 0.82, 0.85))
        return contour
    body = parts.rotate(parts.ellipse(0, 0, 6.0, 3.0), x, y, angle)
    for leg in (-3.5, 0.0, 3.5):
        _paint_line(canvas, parts.rotate(np.array([(leg - 1.5, -7.0), (leg, 0.0), (leg - 1.5, 7.0)]), x, y, angle),
                (0.08, 0.06, 0.05), 0.7, 0.9)  # fmt: skip
    _paint_object(canvas, body, (0.10, 0.08, 0.07))
    return parts.ellipse(x, y, 8, 8)


FLAWS: Mapping[str, Callable[..., Points]] = {
    "scratch": scratch,
    "stain": stain,
    "chip": chip,
    "dent": dent,
    "foreign_body": foreign_body,
}


def _choose_part(contours: PartContours, rng: np.random.Generator, components: Sequence[str]) -> Points:
    """Choose one of the components that exist and return the contour of one of its instances."""
    existing = {component for component, _ in contours}
    chosen = str(rng.choice([name for name in components if name in existing]))
    candidates = [contour for component, contour in contours if component == chosen]
    return candidates[int(rng.integers(len(candidates)))]


def _choose_position(
    contours: PartContours, rng: np.random.Generator, components: Sequence[str]
) -> tuple[float, float]:
    """Choose a point on one of the components, or on the free board."""
    existing = {"board", *(component for component, _ in contours)}
    chosen = str(rng.choice([name for name in components if name in existing]))
    if chosen == "board":
        return _choose_free_position(contours, rng)
    contour = _choose_part(contours, rng, (chosen,))
    centre, edge = contour.mean(axis=0), contour[int(rng.integers(len(contour)))]
    x, y = centre + (edge - centre) * rng.uniform(0.0, 0.7)
    return float(x), float(y)


def _choose_free_position(contours: PartContours, rng: np.random.Generator) -> tuple[float, float]:
    """Choose a point on the board that is 12 pixels from all parts, or the farthest of 24 random points."""
    candidates = np.stack([rng.uniform(22, WIDTH - 22, 24), rng.uniform(22, HEIGHT - 22, 24)], axis=1)
    distances = [
        min(-cv2.pointPolygonTest(contour.astype(np.float32), (float(x), float(y)), True) for _, contour in contours)
        for x, y in candidates
    ]
    free = [point for point, distance in zip(candidates, distances, strict=True) if distance > 12]
    x, y = free[0] if free else candidates[int(np.argmax(distances))]
    return float(x), float(y)


def _create_blob(rng: np.random.Generator, centre: tuple[float, float], radius: float, roughness: float) -> Points:
    """Return a round contour with bumps of up to about `roughness` times the radius."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    distance = np.ones_like(angle)
    for waves in (2, 3, 5):
        distance += roughness / 2 * rng.uniform(-1, 1) * np.sin(waves * angle + rng.uniform(0, 2 * np.pi))
    x, y = centre
    return np.stack([x + radius * distance * np.cos(angle), y + radius * distance * np.sin(angle)], axis=1)


def _paint_object(canvas: Canvas, contour: Points, colour: parts.Colour) -> None:
    """Paint a small solid object: a shadow, its colour, and a highlight at the upper left."""
    parts.fill(canvas, contour + np.array((1.2, 1.5)), (0.03, 0.03, 0.03), 0.5, 0.8)
    parts.fill(canvas, contour, colour, 1.0, 0.2)
    centre = contour.mean(axis=0)
    highlight = tuple(min(1.0, tone + 0.25) for tone in colour)
    parts.fill(canvas, (contour - centre) * 0.45 + centre - (0.8, 0.8), highlight, 0.8, 0.6)  # type: ignore[arg-type]


def _paint_line(canvas: Canvas, line: Points, colour: parts.Colour, width: float, opacity: float) -> None:
    """Paint a line `width` photo pixels wide."""
    rows, columns = parts.canvas_slices(line, width + 1)
    part = canvas[rows, columns]
    mask = np.zeros(part.shape[:2], np.uint8)
    points = np.round((line * SCALE - 0.5 - (columns.start, rows.start)) * 16).astype(np.int32)
    cv2.polylines(mask, [points], False, (255,), max(1, round(width * SCALE)), cv2.LINE_AA, 4)
    part += (np.asarray(colour, np.float32) - part) * (mask[..., None].astype(np.float32) * np.float32(opacity / 255))


def write_damaged_photos(root: Path, *, per_flaw: int, good: int, seed: int) -> None:
    """Write photos to `root/images`, their ground truth to `root/truth.csv`, and boxes of flaws to `root/flaws.csv`.

    Every fourth photo with a flaw has a violation of a rule as well.

    Args:
        root: Output folder.
        per_flaw: Number of photos of each kind of flaw.
        good: Number of good photos.
        seed: Seed of the random generator.
    """
    rng = np.random.default_rng(seed)
    truth: list[tuple[str, str]] = []
    flaws: list[tuple[object, ...]] = []
    for number, kind in enumerate([""] * good + [kind for kind in FLAWS for _ in range(per_flaw)]):
        violation = str(rng.choice(LOGICAL_VIOLATIONS)) if kind and number % 4 == 3 else ""
        add_flaw = partial(FLAWS[kind], rng=rng) if kind else None
        kit = create_broken_kit(rng, violation) if violation else create_good_kit(rng)
        image, scene = render(kit, rng, f"kit_{number:03d}.jpg", add_flaw)
        camera.save_jpeg(root / "images" / scene.photo, image)
        boxes = [instance.box for instance in scene.instances_of("flaw")]
        names = {violation, STRUCTURAL if kind else "", "damaged_tablet" if _touches_tablet(scene) else ""}
        truth.append((scene.photo, ";".join(sorted(names - {""}))))
        flaws += [(scene.photo, kind, box.x1, box.y1, box.x2, box.y2) for box in boxes]
    _write_csv(root / "truth.csv", ("image", "violations"), truth)
    _write_csv(root / "flaws.csv", ("image", "flaw", "x1", "y1", "x2", "y2"), flaws)


def _touches_tablet(scene: Scene) -> bool:
    """Return whether a flaw's box overlaps a tablet's."""
    flaws, tablets = scene.instances_of("flaw"), scene.instances_of("tablet")
    return any(flaw.box.intersection(tablet.box) > 0 for flaw in flaws for tablet in tablets)


def _write_csv(path: Path, header: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Write photos of kits with flaws and of good kits, and their ground truth."""
    parser = argparse.ArgumentParser(
        prog="python -m logicls.sample_product.flaws", description="Render sample kits with flaws."
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="output folder")
    parser.add_argument("--per-flaw", type=int, default=20, help="number of photos of each kind of flaw (20)")
    parser.add_argument("--good", type=int, default=100, help="number of good photos (100)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random generator (0)")
    options = parser.parse_args(arguments)
    write_damaged_photos(options.out, per_flaw=options.per_flaw, good=options.good, seed=options.seed)


if __name__ == "__main__":
    main()
