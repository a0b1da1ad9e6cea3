"""The sample product: photos agree with annotations and ground truth."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from logicls.io.resources import resource_path
from logicls.records import Box, Scene
from logicls.sample_product import parts
from logicls.sample_product.render import (
    COMPONENTS,
    KIT_VIOLATIONS,
    LOGICAL_VIOLATIONS,
    MAX_SPOON_ANGLE,
    PAIRS,
    PART_VIOLATIONS,
    Kit,
    create_broken_kit,
    create_good_kit,
    main,
    render,
    render_outlines,
    write_dataset,
    write_photos,
)

SAMPLE = resource_path("data/dosing_kit")
SPEC = resource_path("constraints/dosing_kit.yaml")


def centre_offset(box: Box, region: Box) -> tuple[float, float]:
    """Distance of the centres, fractions of the region's width and height."""
    (x, y), (rx, ry) = box.centre, region.centre
    return abs(x - rx) / region.width, abs(y - ry) / region.height


def find_violations(kit: Kit, scene: Scene) -> set[str]:
    """The rules of dosing_kit.yaml, reimplemented in plain Python on the annotations, and on the kit for one part."""
    vial, liquid, label, mark, tablet, spoon = (scene.instances_of(name) for name in COMPONENTS)
    region = Box(0.75 * scene.width, 0.2 * scene.height, 0.95 * scene.width, 0.8 * scene.height)
    level = liquid[0].box.height / vial[0].box.height if liquid else None
    offset = centre_offset(spoon[0].box, region) if spoon else (0.0, 0.0)
    misplaced = offset[0] > 0.35 or offset[1] > 0.13
    rules = {
        "missing_tablet": len(tablet) < 4,
        "extra_tablet": len(tablet) > 4,
        "missing_spoon": not spoon,
        "misplaced_spoon": misplaced,
        "missing_label": not label,
        "missing_mark": bool(label) and not mark,
        "misplaced_mark": bool(mark) and max(centre_offset(mark[0].box, label[0].box)) > 0.1,
        "wrong_mark": bool(mark and liquid)
        and PAIRS[mark[0].attribute("shape") or ""] != liquid[0].attribute("colour"),
        "underfilled": level is not None and level < 0.6,
        "overfilled": level is not None and level > 0.72,
        "empty_vial": not liquid,
        "reversed_spoon": kit.spoon is not None and abs(kit.spoon[2]) > 135,
        "crooked_spoon": kit.spoon is not None and not misplaced and MAX_SPOON_ANGLE < abs(kit.spoon[2]) <= 135,
        "damaged_tablet": kit.damage is not None,
    }
    assert tuple(rules) == KIT_VIOLATIONS
    return {name for name, broken in rules.items() if broken}


def render_scene(kit: Kit, seed: int) -> Scene:
    """Annotations of a photo of the kit."""
    return render(kit, np.random.default_rng(seed))[1]


def violations_of(kit: Kit, seed: int) -> set[str]:
    """Violations of a photo of the kit."""
    return find_violations(kit, render_scene(kit, seed))


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """Two runs with one seed write the same files."""
    for name in ("one", "two"):
        write_dataset(tmp_path / name, good=2, seed=7)

    files = [sorted(p for p in (tmp_path / name).rglob("*") if p.is_file()) for name in ("one", "two")]
    assert [p.name for p in files[0]] == ["annotations.json", "good_000.jpg", "good_001.jpg"]
    assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]


def test_another_seed_another_photo() -> None:
    """The boxes of two good kits differ."""
    first, second = (render_scene(create_good_kit(np.random.default_rng(seed)), seed) for seed in (1, 2))

    assert first.instances_of("vial")[0].box != second.instances_of("vial")[0].box


def test_good_kits_have_no_violation() -> None:
    """Good kits obey every rule of the spec from every viewpoint."""
    violations = [violations_of(create_good_kit(np.random.default_rng(seed)), seed) for seed in range(20)]

    assert violations == [set()] * 20


@pytest.mark.parametrize("violation", KIT_VIOLATIONS)
def test_broken_kits_have_one_violation(violation: str) -> None:
    """A broken kit has the requested violation and no other."""
    violations = [violations_of(create_broken_kit(np.random.default_rng(seed), violation), seed) for seed in range(8)]

    assert violations == [{violation}] * 8


@pytest.mark.parametrize("kind", parts.TABLET_DAMAGE)
def test_mask_of_damage_covers_what_changed(kind: str) -> None:
    """A damaged tablet differs from the whole one inside the mask, and beside it at its rim and shadow only."""
    for seed in range(3):
        kit = create_good_kit(np.random.default_rng(seed))
        good = render_outlines(kit, np.random.default_rng(seed))
        damaged = render_outlines(replace(kit, damage=(2, kind, 70.0 * seed)), np.random.default_rng(seed))

        change = np.abs(damaged.image.astype(int) - good.image).max(-1)
        assert not good.defect.any()
        assert 30 < damaged.defect.sum() < 0.4 * np.pi * parts.TABLET_RADIUS**2
        assert (change[damaged.defect] > 25).mean() > 0.75
        near = cv2.dilate(damaged.defect.astype(np.uint8), np.ones((21, 21), np.uint8)) > 0
        assert (change[~near] > 25).sum() == 0


def test_mask_of_a_turned_spoon_is_its_outline() -> None:
    """The mask of a reversed spoon fills its box, and is bright metal; a broken tablet's outline lacks the piece."""
    kit = create_broken_kit(np.random.default_rng(2), "reversed_spoon")
    rendering = render_outlines(kit, np.random.default_rng(2))

    rows, columns = np.nonzero(rendering.defect)
    mask = Box(float(columns.min()), float(rows.min()), float(columns.max()) + 1, float(rows.max()) + 1)
    assert mask.iou(rendering.scene.instances_of("spoon")[0].box) > 0.95
    assert rows.mean() > (mask.y1 + mask.y2) / 2 + 10  # the bowl is below
    whole, broken = (
        render_outlines(replace(kit, damage=damage), np.random.default_rng(2)) for damage in (None, (0, "broken", 0.0))
    )
    areas = [cv2.contourArea(r.outlines[4][0].astype(np.float32)) for r in (whole, broken)]
    assert 0.6 < areas[1] / areas[0] < 0.85


def test_unknown_violation() -> None:
    """The error names the violation."""
    with pytest.raises(ValueError, match='has no violation "melted_spoon"'):
        create_broken_kit(np.random.default_rng(0), "melted_spoon")


@pytest.mark.parametrize("violation", KIT_VIOLATIONS)
def test_boxes_lie_inside_the_photo(violation: str) -> None:
    """Every box lies inside the photo and has an area, also on broken kits."""
    for seed in range(3):
        image, scene = render(create_broken_kit(np.random.default_rng(seed), violation), np.random.default_rng(seed))

        assert image.shape == (scene.height, scene.width, 3)
        boxes = [instance.box for instance in scene.instances]
        assert [b for b in boxes if b.clip(scene.width, scene.height) != b or b.area < 50] == []


def test_boxes_fit_the_pixels() -> None:
    """Red pixels fill the liquid's box above the label and end at its edges."""
    seed = next(s for s in range(99) if create_good_kit(np.random.default_rng(s)).colour == "red")
    image, scene = render(create_good_kit(np.random.default_rng(seed)), np.random.default_rng(seed))
    box, label = scene.instances_of("liquid")[0].box, scene.instances_of("label")[0].box

    red = image[..., 0].astype(int) - image[..., 1].astype(int) > 90
    rows, columns = np.nonzero(red[: int(label.y1) - 2])
    measured = Box(float(columns.min()), float(rows.min()), float(columns.max()) + 1, label.y1)
    assert measured.iou(Box(box.x1, box.y1, box.x2, label.y1)) > 0.9


def test_spec_names_the_same_violations() -> None:
    """The shipped spec has exactly the violations of the sample product."""
    spec = yaml.safe_load(SPEC.read_text(encoding="utf-8"))

    violations = [c["violation"] for c in spec["constraints"]]
    names = {v for name in violations for v in (name.values() if isinstance(name, dict) else [name])}
    assert names == set(KIT_VIOLATIONS)
    assert tuple(spec["components"]) == COMPONENTS


def test_committed_annotations() -> None:
    """The committed annotations cover 60 existing photos of the annotated size under a free licence."""
    coco = json.loads((SAMPLE / "annotations.json").read_text(encoding="utf-8"))

    assert len(coco["images"]) == 60
    assert {a["image_id"] for a in coco["annotations"]} == {i["id"] for i in coco["images"]}
    assert coco["licenses"][0]["name"] == "CC0 1.0"
    for image in coco["images"]:
        photo = cv2.imread(str(SAMPLE / "images" / image["file_name"]))
        assert photo is not None
        assert photo.shape == (image["height"], image["width"], 3)


def test_committed_truth() -> None:
    """The test photos show each violation four times, 16 good kits, and four kits with two violations; masks fit."""
    with (SAMPLE / "heldout" / "truth.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    names = [row["violations"] for row in rows]
    assert {v: names.count(v) for v in KIT_VIOLATIONS} == dict.fromkeys(KIT_VIOLATIONS, 4)
    assert names.count("") == 16
    assert sum(";" in name for name in names) == 4
    photos = sorted(p.name for p in (SAMPLE / "heldout" / "images").iterdir())
    assert photos == sorted(row["image"] for row in rows)
    masked = {path.stem: path for path in (SAMPLE / "heldout" / "masks").iterdir()}
    assert set(masked) == {row["image"][:-4] for row in rows if row["violations"] in PART_VIOLATIONS}
    for path in masked.values():
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert mask is not None
        assert mask.shape == (320, 256)
        assert set(np.unique(mask)) == {0, 255}


def test_committed_photos_are_those_of_the_command(tmp_path: Path) -> None:
    """The renderer of today draws the committed photos: two good ones, and all held out, within JPEG's noise."""
    write_dataset(tmp_path, good=2, seed=0)
    write_photos(tmp_path / "heldout", per_violation=4, good=16, seed=1000)

    drawn = sorted(path for path in tmp_path.rglob("*.*") if path.suffix in (".jpg", ".png"))
    assert len(drawn) == 2 + 76 + 12
    for path in drawn:
        image, committed = (cv2.imread(str(root / path.relative_to(tmp_path))) for root in (tmp_path, SAMPLE))
        assert image is not None
        assert committed is not None
        assert np.abs(image.astype(int) - committed).mean() < 0.5, path.name


def test_write_photos(tmp_path: Path) -> None:
    """The ground truth lists the good photos, each violation, and the pairs of violations."""
    write_photos(tmp_path, per_violation=1, good=2, seed=3)

    lines = (tmp_path / "truth.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "image,violations"
    names = ["", "", *LOGICAL_VIOLATIONS, "missing_tablet;wrong_mark", *PART_VIOLATIONS]
    assert [line.split(",")[1] for line in lines[1:]] == names
    assert len(list((tmp_path / "images").iterdir())) == 17
    assert sorted(p.name for p in (tmp_path / "masks").iterdir()) == ["kit_014.png", "kit_015.png", "kit_016.png"]


def test_command(tmp_path: Path) -> None:
    """The command writes a dataset, and test photos only on request."""
    main([str(tmp_path), "--good", "1", "--seed", "0"])

    assert sorted(p.name for p in tmp_path.iterdir()) == ["annotations.json", "images"]
