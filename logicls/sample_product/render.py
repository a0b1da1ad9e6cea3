"""The sample product `dosing_kit`: photo-like pictures, good ones with annotations and broken ones with truth.

    python -m logicls.sample_product.render OUT --good 60 --seed 0

A kit is a vial of liquid with a printed label, four tablets and a spoon on a tray. Everything that a rule of
`constraints/dosing_kit.yaml` is about is a field of `Kit`; board, light, camera and noise are left to chance.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from logicls.records import Instance, Scene
from logicls.sample_product import parts
from logicls.sample_product import parts as camera
from logicls.sample_product.parts import HEIGHT, WIDTH, Canvas, Points

PAIRS = {"drop": "red", "leaf": "yellow", "star": "blue"}
"""The mark that belongs to each colour of the liquid."""
KIT_VIOLATIONS: tuple[str, ...] = (
    "missing_tablet",
    "extra_tablet",
    "missing_spoon",
    "misplaced_spoon",
    "missing_label",
    "missing_mark",
    "misplaced_mark",
    "wrong_mark",
    "underfilled",
    "overfilled",
    "empty_vial",
)
"""What can be wrong with a kit, as `constraints/dosing_kit.yaml` names it."""
DOUBLES: tuple[tuple[str, str], ...] = (
    ("missing_tablet", "wrong_mark"),
    ("extra_tablet", "underfilled"),
    ("missing_spoon", "misplaced_mark"),
    ("misplaced_spoon", "overfilled"),
)
"""Pairs of violations that held-out photos show together."""
COMPONENTS = ("vial", "liquid", "label", "mark", "tablet", "spoon")
"""The categories of the annotations, ids from 1 in this order."""


@dataclass(frozen=True)
class Kit:
    """What lies where on one drawing: pixels of the photo before the camera's warp, angles clockwise in degrees."""

    board: str
    """Material below the parts: one of `sample_parts.BOARDS`."""
    vial: tuple[float, float, float, float]
    """Middle x and y, width, height."""
    colour: str | None
    """Of the liquid: red, yellow or blue; None for an empty vial."""
    level: float
    """Height of the liquid as a fraction of the vial's height."""
    label: tuple[float, float, float, float] | None
    """Middle x and y from the vial's middle, width, height; None for no label."""
    mark: str | None
    """drop, leaf or star; None for no mark. Only a label carries one."""
    mark_offset: tuple[float, float]
    """The mark's middle from the label's, fractions of the label's width and height."""
    tablets: tuple[tuple[float, float, float], ...]
    """Middle x and y and the score line's angle, for each tablet."""
    spoon: tuple[float, float, float] | None
    """Middle x and y and the angle (0: bowl up); None for no spoon."""


def create_good_kit(rng: np.random.Generator) -> Kit:
    """A kit that breaks no rule, with the small differences that good kits have."""
    mark = str(rng.choice(list(PAIRS)))
    x, y = rng.uniform(-3, 3, 2)
    column = rng.uniform(-2, 2)
    tablets = tuple(
        (142 + column + rng.uniform(-2, 2), 85 + 46 * k + rng.uniform(-2.5, 2.5), rng.uniform(0, 180)) for k in range(4)
    )
    return Kit(
        board=str(rng.choice(parts.BOARDS)),
        vial=(68 + x, 165 + y, rng.uniform(80, 84), rng.uniform(217, 223)),
        colour=PAIRS[mark],
        level=rng.uniform(0.63, 0.685),
        label=(rng.uniform(-1, 1), 58 + rng.uniform(-2, 2), rng.uniform(63, 66), rng.uniform(62, 65)),
        mark=mark,
        mark_offset=(rng.uniform(-0.025, 0.025), rng.uniform(-0.025, 0.025)),
        tablets=tablets,
        spoon=(217 + rng.uniform(-2, 2), 160 + rng.uniform(-3, 3), rng.uniform(-2.5, 2.5)),
    )


def create_broken_kit(rng: np.random.Generator, violation: str) -> Kit:
    """A kit that breaks the rule which names `violation`, and no other rule."""
    return _broken(create_good_kit(rng), violation, rng)


def _broken(kit: Kit, violation: str, rng: np.random.Generator) -> Kit:
    """`kit` with one thing changed, clearly beyond the tolerance. A name not in `VIOLATIONS` is a ValueError."""
    match violation:
        case "missing_tablet":
            lost = int(rng.integers(4))
            return replace(kit, tablets=kit.tablets[:lost] + kit.tablets[lost + 1 :])
        case "extra_tablet":
            return replace(kit, tablets=(*kit.tablets, _spare_tablet(kit, rng)))
        case "missing_spoon":
            return replace(kit, spoon=None)
        case "misplaced_spoon":
            return replace(kit, spoon=_elsewhere(rng))
        case "missing_label":
            return replace(kit, label=None, mark=None)
        case "missing_mark":
            return replace(kit, mark=None)
        case "misplaced_mark":
            way = rng.choice([-1.0, 1.0], 2)
            far, other = rng.uniform(0.20, 0.24), rng.uniform(0.0, 0.2)
            offset = (way[0] * far, way[1] * other) if rng.random() < 0.5 else (way[0] * other, way[1] * far)
            return replace(kit, mark_offset=(float(offset[0]), float(offset[1])))
        case "wrong_mark":
            return replace(kit, mark=str(rng.choice([m for m in PAIRS if m != kit.mark])))
        case "underfilled":
            return replace(kit, level=rng.uniform(0.41, 0.53))
        case "overfilled":
            return replace(kit, level=rng.uniform(0.78, 0.86))
        case "empty_vial":
            return replace(kit, colour=None)
    raise ValueError(f'no violation "{violation}" in the sample product')


def _spare_tablet(kit: Kit, rng: np.random.Generator) -> tuple[float, float, float]:
    """A place for a fifth tablet that touches nothing: at either end of the column, or beside it."""
    end = int(rng.integers(3))
    if end == 2:
        x, y, _ = kit.tablets[int(rng.integers(4))]
        return x + 32, y + rng.uniform(-6, 6), rng.uniform(0, 180)
    x, y, _ = kit.tablets[-end]
    return x + rng.uniform(-3, 3), y + (38 if end else -40), rng.uniform(0, 180)


def _elsewhere(rng: np.random.Generator) -> tuple[float, float, float]:
    """A place where the spoon does not belong: too high, too low, or across the bottom of the tray."""
    place = int(rng.integers(3))
    if place == 2:
        return 168 + rng.uniform(-4, 4), 290 + rng.uniform(-2, 2), 90 + rng.uniform(-3, 3)
    shift = rng.uniform(46, 54)
    return 217 + rng.uniform(-2, 2), 160 + (shift if place else -shift), rng.uniform(-2.5, 2.5)


@dataclass(frozen=True)
class _Part:
    component: str
    outlines: tuple[Points, ...]
    attributes: tuple[tuple[str, str], ...] = ()


def render(
    kit: Kit, rng: np.random.Generator, photo: str = "", mar: Callable[..., Points] | None = None
) -> tuple[NDArray[np.uint8], Scene]:
    """The photo, (h, w, 3) uint8 RGB, and what the camera sees; `mar` damages it and tells where (`sample_flaws`)."""
    drawn, canvas = _parts(kit), parts.draw_board(kit.board, rng)
    light = (float(rng.uniform(3, 6)), float(rng.uniform(3, 6)))
    standing = [o for part in drawn if part.component in ("vial", "tablet", "spoon") for o in part.outlines]
    parts.cast_shadows(canvas, standing, light)
    _draw(canvas, kit, drawn, rng)
    if mar is not None:
        drawn.append(_Part("flaw", (mar(canvas, [(part.component, part.outlines[0]) for part in drawn]),)))
    warp = camera.sample_homography(rng)
    picture = camera.simulate_exposure(camera.apply_homography(canvas, warp), rng)
    instances = tuple(
        Instance(
            id=k, component=part.component, box=camera.project_box(part.outlines, warp), attributes=part.attributes
        )
        for k, part in enumerate(drawn, start=1)
    )
    return picture, Scene(photo=photo, width=WIDTH, height=HEIGHT, instances=instances)


def _parts(kit: Kit) -> list[_Part]:
    """The outlines of all that is there, in the order in which it is painted."""
    x, y, width, height = kit.vial
    drawn = [_Part("vial", (parts.vial_outline(*kit.vial),))]
    if kit.colour is not None:
        bottom, half = y + height / 2 - 3.5, width / 2 - 3
        top = bottom - kit.level * height
        inside = parts.block(x - half, top - 20, x + half, bottom, round_by=7.0)
        surface = np.array([(x - half, top), (x + half, top)])
        drawn.append(_Part("liquid", (np.concatenate([inside[:16], surface]),), (("colour", kit.colour),)))
    if kit.label is not None:
        dx, dy, wide, high = kit.label
        box = (x + dx - wide / 2, y + dy - high / 2, x + dx + wide / 2, y + dy + high / 2)
        drawn.append(_Part("label", (parts.block(*box, round_by=2.0),)))
        if kit.mark is not None:
            centre = (x + dx + kit.mark_offset[0] * wide, y + dy + kit.mark_offset[1] * high)
            drawn.append(_Part("mark", (parts.shape_outline(kit.mark, *centre, 27.0),), (("shape", kit.mark),)))
    drawn += [_Part("tablet", (parts.ellipse(tx, ty, 14, 14),)) for tx, ty, _ in kit.tablets]
    if kit.spoon is not None:
        drawn.append(_Part("spoon", parts.spoon_outlines(*kit.spoon)))
    return drawn


def _draw(canvas: Canvas, kit: Kit, drawn: Sequence[_Part], rng: np.random.Generator) -> None:
    angles = iter(kit.tablets)
    parts.draw_glass(canvas, drawn[0].outlines[0])
    for part in drawn:
        outline = part.outlines[0]
        match part.component:
            case "liquid":
                parts.draw_liquid(canvas, outline, str(kit.colour))
            case "label":
                parts.draw_label(canvas, outline, rng)
            case "mark":
                parts.draw_mark(canvas, outline, str(kit.mark))
            case "tablet":
                parts.draw_tablet(canvas, outline, next(angles)[2])
            case "spoon":
                parts.draw_spoon(canvas, *part.outlines)
    parts.draw_shine(canvas, drawn[0].outlines[0])


def write_dataset(root: Path, *, good: int, seed: int) -> None:
    """Write `good` good photos to `root/images` and their COCO annotations to `root/annotations.json`."""
    rng = np.random.default_rng(seed)
    scenes = []
    for k in range(good):
        picture, scene = render(create_good_kit(rng), rng, f"good_{k:03d}.jpg")
        camera.save(root / "images" / scene.photo, picture)
        scenes.append(scene)
    (root / "annotations.json").write_text(json.dumps(_coco(scenes), indent=1) + "\n", encoding="utf-8")


def _coco(scenes: Sequence[Scene]) -> dict[str, object]:
    """The scenes as a COCO document: boxes [x, y, width, height], ids from 1."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for image_id, scene in enumerate(scenes, start=1):
        size = {"width": scene.width, "height": scene.height}
        images.append({"id": image_id, "file_name": scene.photo, **size, "license": 1})
        for instance in scene.instances:
            box = instance.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": COMPONENTS.index(instance.component) + 1,
                    "bbox": [round(v, 2) for v in (box.x1, box.y1, box.width, box.height)],
                    "area": round(box.area, 2),
                    "iscrowd": 0,
                    "attributes": dict(instance.attributes),
                }
            )
    return {
        "info": {"description": "dosing_kit, the sample product of LogiCls: drawn, not photographed", "version": "1"},
        "licenses": [{"id": 1, "name": "CC0 1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}],
        "categories": [{"id": k, "name": name} for k, name in enumerate(COMPONENTS, start=1)],
        "images": images,
        "annotations": annotations,
    }


def write_photos(root: Path, *, per_violation: int, good: int, seed: int) -> None:
    """Write photos to judge to `root/images`, and what each breaks to `root/truth.csv` (several joined by `;`).

    Beside the good photos and those of each violation there are `per_violation` that break two rules at once.
    """
    rng = np.random.default_rng(seed)
    wanted: list[tuple[str, ...]] = [()] * good
    wanted += [(name,) for name in KIT_VIOLATIONS for _ in range(per_violation)]
    wanted += [DOUBLES[k % len(DOUBLES)] for k in range(per_violation)]
    rows = []
    for k, broken in enumerate(wanted):
        kit = create_good_kit(rng)
        for violation in broken:
            kit = _broken(kit, violation, rng)
        picture, scene = render(kit, rng, f"kit_{k:03d}.jpg")
        camera.save(root / "images" / scene.photo, picture)
        rows.append((scene.photo, ";".join(sorted(broken))))
    with (root / "truth.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("image", "violations"), *rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Write good photos with annotations, and with `--per-violation` the photos to judge below `heldout/`."""
    parser = argparse.ArgumentParser(
        prog="python -m logicls.sample_product.render", description="Draw the sample product."
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to")
    parser.add_argument("--good", type=int, default=60, help="good photos with annotations (60)")
    parser.add_argument("--seed", type=int, default=0, help="of every choice made (0)")
    parser.add_argument("--per-violation", type=int, default=0, help="held-out photos of each violation (0: none)")
    parser.add_argument("--heldout-good", type=int, default=16, help="good photos among the held-out ones (16)")
    given = parser.parse_args(arguments)
    write_dataset(given.out, good=given.good, seed=given.seed)
    if given.per_violation:
        heldout = given.out / "heldout"
        write_photos(heldout, per_violation=given.per_violation, good=given.heldout_good, seed=given.seed + 1000)


if __name__ == "__main__":
    main()
