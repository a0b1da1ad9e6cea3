"""Real defects: declared by truth.csv beside the annotations, or by a folder of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from logicls.constraints.checker.evaluation import build_context, find_violations
from logicls.constraints.lint.data_audit import ANY_VIOLATION
from logicls.constraints.spec.models import Spec
from logicls.data.coco import read_dataset
from logicls.data.defects import check_declarations, id_shift, merge_defects, read_dataset_with_defects, select_good
from logicls.data.segmentation import read_segmentations
from logicls.errors import DataError
from logicls.synth.instance_bank import InstanceBank

SPEC = Spec.model_validate(
    {
        "logicls": 1,
        "product": {"name": "box"},
        "components": {"pin": {}, "tray": {}},
        "constraints": [
            {"id": "pins", "quantity": {"of": "pin", "exactly": 2}, "violation": {"below": "few", "above": "many"}},
            {"id": "whole", "appearance": {"of": "tray"}, "violation": "damaged"},
        ],
    }
)
TRAY, FIRST, SECOND = ("tray", [0, 0, 40, 30]), ("pin", [2, 2, 8, 8]), ("pin", [20, 2, 8, 8])


def write_dataset(root: Path, photos: dict[str, list[tuple[str, list[int]]]], truth: str = "") -> Path:
    """Write a dataset of grey photos with the given instances, (component, COCO box), and its truth.csv."""
    (root / "images").mkdir(parents=True)
    names = ["pin", "tray"]
    rows = [(number, instance) for number, found in enumerate(photos.values(), 1) for instance in found]
    content = {
        "images": [{"id": n, "file_name": name, "width": 40, "height": 30} for n, name in enumerate(photos, 1)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names, 1)],
        "annotations": [
            {"id": n, "image_id": image, "category_id": names.index(name) + 1, "bbox": box}
            for n, (image, (name, box)) in enumerate(rows, 1)
        ],
    }
    (root / "annotations.json").write_text(json.dumps(content))
    for name in photos:
        Image.new("L", (40, 30)).save(root / "images" / name)
    if truth:
        (root / "truth.csv").write_text("image,violations\n" + truth)
    return root


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A dataset of two photos, one of them declared to lack a pin."""
    photos = {"a.png": [TRAY, FIRST, SECOND], "b.png": [TRAY, FIRST]}
    return write_dataset(tmp_path / "good", photos, "a.png,\nb.png,few\n")


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A folder of defects, of which truth.csv lists one."""
    photos = {"a.png": [TRAY, FIRST], "c.png": [TRAY, FIRST, SECOND]}
    return write_dataset(tmp_path / "bad", photos, "c.png,damaged\n")


def violations(scene: object) -> tuple[str, ...]:
    """Violations of a scene by its annotations."""
    return find_violations(SPEC, build_context(SPEC, scene))  # type: ignore[arg-type]


def test_declarations_beside_the_annotations(good: Path) -> None:
    """truth.csv declares the photos that it lists with a violation; others are good."""
    dataset = read_dataset_with_defects(SPEC, good)

    assert dataset.declared_defects == {"b.png": ("few",)}
    assert [scene.photo for scene in select_good(dataset).scenes] == ["a.png"]
    assert list(check_declarations(dataset, SPEC.violations)) == []


def test_folder_of_defects(good: Path, bad: Path) -> None:
    """Its photos are added under the folder's name, with ids and files of their own; others are defective."""
    dataset = read_dataset_with_defects(SPEC, good, bad)

    assert dataset.declared_defects == {"b.png": ("few",), "bad/a.png": (ANY_VIOLATION,), "bad/c.png": ("damaged",)}
    ids = [instance.id for scene in dataset.scenes for instance in scene.instances]
    assert len(ids) == len(set(ids)) == 10
    assert [dataset.image_path(scene) for scene in dataset.scenes] == [
        good / "images/a.png", good / "images/b.png", bad / "images/a.png", bad / "images/c.png",
    ]  # fmt: skip
    assert id_shift(read_dataset(good)) == 5


def test_declared_damage_is_marked(good: Path, bad: Path) -> None:
    """Damage that no box shows follows from the declaration, where only one instance can be meant."""
    scenes = {scene.photo: scene for scene in read_dataset_with_defects(SPEC, good, bad).scenes}

    assert {photo: violations(scene) for photo, scene in scenes.items()} == {
        "a.png": (), "b.png": ("few",), "bad/a.png": ("few",), "bad/c.png": ("damaged",),
    }  # fmt: skip


def test_damage_of_one_of_several_is_not_guessed(tmp_path: Path) -> None:
    """With two trays it is not known which of them is damaged."""
    root = write_dataset(tmp_path / "data", {"a.png": [TRAY, TRAY, FIRST, SECOND]}, "a.png,damaged\n")

    assert [violations(scene) for scene in read_dataset_with_defects(SPEC, root).scenes] == [()]


def test_two_folders_of_one_name(tmp_path: Path) -> None:
    """A photo of a name that the dataset has is refused, with advice."""
    data = write_dataset(tmp_path / "one" / "images_of", {"a.png": [TRAY]})
    (data / "images" / "bad").mkdir()
    content = json.loads((data / "annotations.json").read_text())
    content["images"][0]["file_name"] = "bad/a.png"
    (data / "annotations.json").write_text(json.dumps(content))
    (data / "images" / "a.png").rename(data / "images" / "bad" / "a.png")
    bad = write_dataset(tmp_path / "bad", {"a.png": [TRAY]})

    with pytest.raises(DataError, match="Rename the folder of defects"):
        merge_defects(read_dataset(data), read_dataset(bad))


def test_declared_photos_without_annotations(good: Path) -> None:
    """Names that the spec lacks and photos that nobody annotated are reported."""
    (good / "truth.csv").write_text("image,violations\nb.png,few;fwe\nz.png,many\n")

    problems = [str(problem) for problem in check_declarations(read_dataset_with_defects(SPEC, good), SPEC.violations)]

    assert ['"fwe", declared for 1 of the photos' in problems[0], "z.png" in problems[1]] == [True, True]


def test_donors_come_from_good_photos(good: Path, bad: Path) -> None:
    """Instances of declared defects are pasted only where no good photo has the component."""
    dataset = read_dataset_with_defects(SPEC, good, bad)
    bank, rng = InstanceBank(dataset), np.random.default_rng(0)

    donors = [bank.sample("tray", rng) for _ in range(20)]

    assert {donor.scene.photo for donor in donors if donor} == {"a.png"}


def test_segmentations_of_both_folders(good: Path, bad: Path) -> None:
    """Outlines of defects are found under the ids of the merged dataset."""
    for root, first in ((good, 2), (bad, 4)):
        content = json.loads((root / "annotations.json").read_text())
        content["annotations"][first - 1]["segmentation"] = [[2, 2, 10, 2, 10, 10]]
        (root / "annotations.json").write_text(json.dumps(content))
    dataset = read_dataset_with_defects(SPEC, good, bad)

    assert sorted(read_segmentations(dataset)) == [2, id_shift(read_dataset(good)) + 4]
    assert sorted(read_segmentations(read_dataset(good))) == [2]
