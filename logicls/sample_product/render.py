"""Render the sample product `dosing_kit`: good photos with annotations, and defective photos with ground truth.

    python -m logicls.sample_product.render OUT --good 60 --seed 0

A kit is a vial of liquid with a printed label, four tablets and a spoon on a tray. Every property that a
rule of `constraints/dosing_kit.yaml` constrains is a field of `Kit`; board, lighting, camera and noise are random.
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
from logicls.sample_product import camera, parts
from logicls.sample_product.parts import HEIGHT, WIDTH, Canvas, Points

PAIRS = {"drop": "red", "leaf": "yellow", "star": "blue"}
"""Mark → colour of the liquid that it belongs to."""
LOGICAL_VIOLATIONS: tuple[str, ...] = (
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
"""Violations of number, place, combination and level."""
PART_VIOLATIONS = ("reversed_spoon", "crooked_spoon", "damaged_tablet")
"""Violations of one part's direction or appearance. Test photos of them have a mask."""
KIT_VIOLATIONS = LOGICAL_VIOLATIONS + PART_VIOLATIONS
"""Violations of `constraints/dosing_kit.yaml`."""
VIOLATION_PAIRS: tuple[tuple[str, str], ...] = (
    ("missing_tablet", "wrong_mark"),
    ("extra_tablet", "underfilled"),
    ("missing_spoon", "misplaced_mark"),
    ("misplaced_spoon", "overfilled"),
)
"""Pairs of violations that test photos combine."""
MAX_SPOON_ANGLE = 12.0
"""Largest angle of a spoon that lies straight, degrees to either side. Those of good kits are much smaller."""
COMPONENTS = ("vial", "liquid", "label", "mark", "tablet", "spoon")
"""Categories of the annotations; their ids are 1, 2, ... in this order."""


@dataclass(frozen=True)
class Kit:
    """Parts of one kit: pixels of the photo before the camera's homography, angles clockwise in degrees."""

    board: str
    """Material of the board: one of `parts.BOARDS`."""
    vial: tuple[float, float, float, float]
    """Centre x and y, width, height."""
    colour: str | None
    """Colour of the liquid: red, yellow or blue; None for an empty vial."""
    level: float
    """Height of the liquid as a fraction of the vial's height."""
    label: tuple[float, float, float, float] | None
    """Centre x and y relative to the vial's centre, width, height; None for no label."""
    mark: str | None
    """drop, leaf or star; None for no mark. Marks are only on labels."""
    mark_offset: tuple[float, float]
    """Centre of the mark relative to the label's centre, fractions of the label's width and height."""
    tablets: tuple[tuple[float, float, float], ...]
    """Centre x and y and the score line's angle, for each tablet."""
    spoon: tuple[float, float, float] | None
    """Centre x and y and the angle (0: bowl at the top); None for no spoon."""
    damage: tuple[int, str, float] | None = None
    """Number of the damaged tablet, one of `parts.TABLET_DAMAGE`, and its direction from the tablet's centre."""


def create_good_kit(rng: np.random.Generator) -> Kit:
    """Draw a kit that breaks no rule, with the variation of good kits."""
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
    """Draw a kit with that violation and no other. Raises `ValueError` if `violation` is not in `KIT_VIOLATIONS`."""
    return _apply_violation(create_good_kit(rng), violation, rng)


def _apply_violation(kit: Kit, violation: str, rng: np.random.Generator) -> Kit:
    """Change one property of the kit, clearly beyond the tolerance. Raises `ValueError` for an unknown violation."""
    match violation:
        case "missing_tablet":
            index = int(rng.integers(4))
            return replace(kit, tablets=kit.tablets[:index] + kit.tablets[index + 1 :])
        case "extra_tablet":
            return replace(kit, tablets=(*kit.tablets, _sample_extra_tablet(kit, rng)))
        case "missing_spoon":
            return replace(kit, spoon=None)
        case "misplaced_spoon":
            return replace(kit, spoon=_sample_wrong_spoon(rng))
        case "missing_label":
            return replace(kit, label=None, mark=None)
        case "missing_mark":
            return replace(kit, mark=None)
        case "misplaced_mark":
            sign = rng.choice([-1.0, 1.0], 2)
            large, small = rng.uniform(0.20, 0.24), rng.uniform(0.0, 0.2)
            offset = (sign[0] * large, sign[1] * small) if rng.random() < 0.5 else (sign[0] * small, sign[1] * large)
            return replace(kit, mark_offset=(float(offset[0]), float(offset[1])))
        case "wrong_mark":
            return replace(kit, mark=str(rng.choice([m for m in PAIRS if m != kit.mark])))
        case "underfilled":
            return replace(kit, level=rng.uniform(0.41, 0.53))
        case "overfilled":
            return replace(kit, level=rng.uniform(0.78, 0.86))
        case "empty_vial":
            return replace(kit, colour=None)
        case "reversed_spoon":
            x, y, degrees = kit.spoon or (217.0, 160.0, 0.0)
            return replace(kit, spoon=(x, y, degrees + 180))
        case "crooked_spoon":
            return replace(kit, spoon=(213.0, 160.0, float(rng.choice([-1.0, 1.0]) * rng.uniform(18.0, 22.0))))
        case "damaged_tablet":
            kind, index = str(rng.choice(parts.TABLET_DAMAGE)), int(rng.integers(len(kit.tablets)))
            return replace(kit, damage=(index, kind, float(rng.uniform(0, 360))))
    raise ValueError(f'the sample product has no violation "{violation}"')


def _sample_extra_tablet(kit: Kit, rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw a position for a fifth tablet that touches no other part: at either end of the column, or beside it."""
    end = int(rng.integers(3))
    if end == 2:
        x, y, _ = kit.tablets[int(rng.integers(4))]
        return x + 32, y + rng.uniform(-6, 6), rng.uniform(0, 180)
    x, y, _ = kit.tablets[-end]
    return x + rng.uniform(-3, 3), y + (38 if end else -40), rng.uniform(0, 180)


def _sample_wrong_spoon(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw a wrong position of the spoon: too high, too low, or across the bottom of the tray."""
    position = int(rng.integers(3))
    if position == 2:
        return 168 + rng.uniform(-4, 4), 290 + rng.uniform(-2, 2), 90 + rng.uniform(-3, 3)
    shift = rng.uniform(46, 54)
    return 217 + rng.uniform(-2, 2), 160 + (shift if position else -shift), rng.uniform(-2.5, 2.5)


@dataclass(frozen=True)
class _KitPart:
    """One part of a kit: its contours and annotation."""

    component: str
    contours: tuple[Points, ...]
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Rendering:
    """A photo, its annotations, and what no annotation has: the true outlines."""

    image: NDArray[np.uint8]
    """(h, w, 3), RGB."""
    scene: Scene
    outlines: tuple[tuple[Points, ...], ...]
    """For each instance of the scene, in its order, its contours: (n, 2), pixels of the photo. They may overlap."""
    defect: NDArray[np.bool_]
    """(h, w): pixels of the reversed or crooked spoon, the damage of a tablet, or the flaw."""


def render(
    kit: Kit, rng: np.random.Generator, photo: str = "", add_flaw: Callable[..., Points] | None = None
) -> tuple[NDArray[np.uint8], Scene]:
    """Render a photo of the kit: as `render_outlines`, without outlines and mask.

    Returns:
        The photo, (h, w, 3) uint8 RGB, and its annotations.
    """
    rendering = render_outlines(kit, rng, photo, add_flaw)
    return rendering.image, rendering.scene


def render_outlines(
    kit: Kit, rng: np.random.Generator, photo: str = "", add_flaw: Callable[..., Points] | None = None
) -> Rendering:
    """Render a photo of the kit, with the outlines of its parts and the mask of a defect.

    Args:
        kit: The kit.
        rng: Source of board, lighting, camera and noise.
        photo: File name for the scene.
        add_flaw: Paints a flaw on the canvas and returns its contour, see `logicls.sample_product.flaws`.
    """
    kit_parts, canvas = _create_parts(kit), parts.draw_board(kit.board, rng)
    shadow_offset = (float(rng.uniform(3, 6)), float(rng.uniform(3, 6)))
    raised = [o for part in kit_parts if part.component in ("vial", "tablet", "spoon") for o in part.contours]
    parts.cast_shadows(canvas, raised, shadow_offset)
    _draw_parts(canvas, kit, kit_parts, rng)
    if add_flaw is not None:
        kit_parts.append(
            _KitPart("flaw", (add_flaw(canvas, [(part.component, part.contours[0]) for part in kit_parts]),))
        )
    homography = camera.sample_homography(rng)
    outlines = tuple(tuple(camera.project(c, homography) for c in part.contours) for part in kit_parts)
    image = camera.simulate_exposure(camera.apply_homography(canvas, homography), rng)
    instances = tuple(
        Instance(
            id=k,
            component=part.component,
            box=camera.bounding_box(contours),
            attributes=part.attributes,
        )
        for k, (part, contours) in enumerate(zip(kit_parts, outlines, strict=True), start=1)
    )
    scene = Scene(photo=photo, width=WIDTH, height=HEIGHT, instances=instances)
    defects = [camera.project(contour, homography) for contour in _defect_contours(kit, kit_parts)]
    return Rendering(image, scene, outlines, camera.rasterize_mask(defects))


def _defect_contours(kit: Kit, kit_parts: Sequence[_KitPart]) -> list[Points]:
    """Return the contours of what is turned, damaged or a flaw."""
    turned = kit.spoon is not None and MAX_SPOON_ANGLE < kit.spoon[2] % 360 < 360 - MAX_SPOON_ANGLE
    wrong = {"spoon", "flaw"} if turned else {"flaw"}
    contours = [contour for part in kit_parts if part.component in wrong for contour in part.contours]
    if kit.damage is not None:
        index, kind, direction = kit.damage
        contours.append(parts.damage_contour(*kit.tablets[index][:2], kind, direction))
    return contours


def _create_parts(kit: Kit) -> list[_KitPart]:
    """Create the kit's parts in the order in which they are painted."""
    x, y, width, height = kit.vial
    kit_parts = [_KitPart("vial", (parts.vial_contour(*kit.vial),))]
    if kit.colour is not None:
        bottom, half = y + height / 2 - 3.5, width / 2 - 3
        top = bottom - kit.level * height
        inside = parts.rectangle(x - half, top - 20, x + half, bottom, radius=7.0)
        surface = np.array([(x - half, top), (x + half, top)])
        kit_parts.append(_KitPart("liquid", (np.concatenate([inside[:16], surface]),), (("colour", kit.colour),)))
    if kit.label is not None:
        dx, dy, label_width, label_height = kit.label
        left, top = x + dx - label_width / 2, y + dy - label_height / 2
        box = (left, top, x + dx + label_width / 2, y + dy + label_height / 2)
        kit_parts.append(_KitPart("label", (parts.rectangle(*box, radius=2.0),)))
        if kit.mark is not None:
            offset = kit.mark_offset
            centre = (x + dx + offset[0] * label_width, y + dy + offset[1] * label_height)
            kit_parts.append(_KitPart("mark", (parts.shape_contour(kit.mark, *centre, 27.0),), (("shape", kit.mark),)))
    for k, (tx, ty, _) in enumerate(kit.tablets):
        kit_parts.append(_KitPart("tablet", (parts.tablet_contour(tx, ty, _damage_of(kit, k)),)))
    if kit.spoon is not None:
        kit_parts.append(_KitPart("spoon", parts.spoon_contours(*kit.spoon)))
    return kit_parts


def _damage_of(kit: Kit, tablet: int) -> tuple[str, float] | None:
    """Return kind and direction of the damage of the tablet with that number; None if it is whole."""
    return kit.damage[1:] if kit.damage is not None and kit.damage[0] == tablet else None


def _draw_parts(canvas: Canvas, kit: Kit, kit_parts: Sequence[_KitPart], rng: np.random.Generator) -> None:
    tablets = enumerate(kit.tablets)
    parts.draw_glass(canvas, kit_parts[0].contours[0])
    for part in kit_parts:
        contour = part.contours[0]
        match part.component:
            case "liquid":
                parts.draw_liquid(canvas, contour, str(kit.colour))
            case "label":
                parts.draw_label(canvas, contour, rng)
            case "mark":
                parts.draw_mark(canvas, contour, str(kit.mark))
            case "tablet":
                index, (x, y, score) = next(tablets)
                parts.draw_tablet(canvas, x, y, score, _damage_of(kit, index))
            case "spoon":
                parts.draw_spoon(canvas, *part.contours)
    parts.draw_shine(canvas, kit_parts[0].contours[0])


def write_dataset(root: Path, *, good: int, seed: int) -> None:
    """Write good photos to `root/images` and their COCO annotations to `root/annotations.json`."""
    rng = np.random.default_rng(seed)
    scenes = []
    for k in range(good):
        image, scene = render(create_good_kit(rng), rng, f"good_{k:03d}.jpg")
        camera.save_jpeg(root / "images" / scene.photo, image)
        scenes.append(scene)
    (root / "annotations.json").write_text(json.dumps(_to_coco(scenes), indent=1) + "\n", encoding="utf-8")


def _to_coco(scenes: Sequence[Scene]) -> dict[str, object]:
    """Convert scenes to a COCO document: boxes [x, y, width, height], ids from 1."""
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
        "info": {
            "description": "dosing_kit, the sample product of LogiCls: drawn, not photographed",
            "version": "1",
        },
        "licenses": [{"id": 1, "name": "CC0 1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}],
        "categories": [{"id": k, "name": name} for k, name in enumerate(COMPONENTS, start=1)],
        "images": images,
        "annotations": annotations,
    }


def write_photos(root: Path, *, per_violation: int, good: int, seed: int) -> None:
    """Write test photos to `root/images`, and the violations of each to `root/truth.csv`, separated by `;`.

    The photos with `PART_VIOLATIONS` come last; `root/masks` has a mask of each: 255 where the part is wrong.

    Args:
        root: Output folder.
        per_violation: Number of photos of each violation, and of photos with two violations.
        good: Number of good photos.
        seed: Seed of the random generator.
    """
    rng = np.random.default_rng(seed)
    photos: list[tuple[str, ...]] = [()] * good
    photos += [(name,) for name in LOGICAL_VIOLATIONS for _ in range(per_violation)]
    photos += [VIOLATION_PAIRS[k % len(VIOLATION_PAIRS)] for k in range(per_violation)]
    photos += [(name,) for name in PART_VIOLATIONS for _ in range(per_violation)]
    rows = []
    for k, violations in enumerate(photos):
        kit = create_good_kit(rng)
        for violation in violations:
            kit = _apply_violation(kit, violation, rng)
        rendering = render_outlines(kit, rng, f"kit_{k:03d}.jpg")
        camera.save_jpeg(root / "images" / rendering.scene.photo, rendering.image)
        if set(violations) & set(PART_VIOLATIONS):
            camera.save_mask(root / "masks" / f"kit_{k:03d}.png", rendering.defect)
        rows.append((rendering.scene.photo, ";".join(sorted(violations))))
    with (root / "truth.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("image", "violations"), *rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Write good photos with annotations, and with `--per-violation` test photos below `heldout/`."""
    parser = argparse.ArgumentParser(
        prog="python -m logicls.sample_product.render", description="Render the sample product."
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="output folder")
    parser.add_argument("--good", type=int, default=60, help="number of good photos with annotations (60)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random generator (0)")
    parser.add_argument("--per-violation", type=int, default=0, help="number of test photos of each violation (0)")
    parser.add_argument("--heldout-good", type=int, default=16, help="number of good test photos (16)")
    options = parser.parse_args(arguments)
    write_dataset(options.out, good=options.good, seed=options.seed)
    if options.per_violation:
        heldout = options.out / "heldout"
        write_photos(heldout, per_violation=options.per_violation, good=options.heldout_good, seed=options.seed + 1000)


if __name__ == "__main__":
    main()
