"""Memories of good photos that are fitted when a bundle is written."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from PIL import Image

from logicls.errors import DataError
from logicls.models.bundle import Bundle
from logicls.predict.readers.appearance import load_comparison
from logicls.records import Answer, Box, Instance
from logicls.train.appearance import _find_reading, check_appearance_photos, find_source_photos, fit_appearance

_PREDICT = runpy.run_path(str(Path(__file__).parents[1] / "predict" / "conftest.py"))
make_bundle, _one_thread = _PREDICT["make_bundle"], _PREDICT["_one_thread"]
_READERS = runpy.run_path(str(Path(__file__).parents[1] / "predict" / "readers" / "test_appearance.py"))
take_photo, SPEC, BOX = _READERS["take_photo"], _READERS["SPEC"], _READERS["BOX"]


def write_dataset(folder: Path, flawed: tuple[int, ...] = (), count: int = 9, without_pin: int = 0) -> Path:
    """Write a synthetic dataset's manifest and spec, and the annotated photos that it was made from."""
    (folder / "good" / "images").mkdir(parents=True)
    images, boxes = [], []
    for n in range(count + without_pin):
        name = f"{n}.png"
        Image.fromarray(take_photo(n, n in flawed)).save(folder / "good" / "images" / name)
        images.append({"id": n + 1, "file_name": name, "width": 200, "height": 160})
        if n < count:
            box = [BOX.x1, BOX.y1, BOX.width, BOX.height]
            boxes.append({"id": n + 1, "image_id": n + 1, "category_id": 1, "bbox": box})
    names = [{"id": 1, "name": "pin"}, {"id": 2, "name": "cap"}]
    coco = {"images": images, "annotations": boxes, "categories": names}
    (folder / "good" / "annotations.json").write_text(json.dumps(coco))
    (folder / "synth").mkdir()
    (folder / "synth" / "spec.yaml").write_text(SPEC)
    (folder / "synth" / "synth.json").write_text(json.dumps({"data": str(folder / "good")}))
    return folder / "synth"


@pytest.fixture
def made(make_bundle) -> Bundle:
    """Make a bundle with a rule about appearance, and without a memory."""
    return make_bundle(SPEC)


def fit(bundle: Bundle, synth: Path) -> list[str]:
    """Fit the memories of a bundle, and return what is reported."""
    lines: list[str] = []
    fit_appearance(bundle, synth, lines.append)
    return lines


def test_memory_of_good_photos(made, tmp_path):
    """All good photos are in the memory; the one with a scratch is named, since the others have none."""
    lines = fit(made, write_dataset(tmp_path, flawed=(4,)))

    comparison = load_comparison(made)
    assert comparison is not None
    memory = comparison.memories["pin"]
    assert comparison.size == (192, 192)
    assert sorted(memory.photo_names) == [f"{n}.png" for n in range(9)]
    assert memory.photo_names[0] == "4.png"
    assert lines[0].startswith("look of pin: 9 good photos score up to ")
    assert [line.partition(" is unlike")[0] for line in lines[1:]] == ["look of pin: 4.png"]


def test_defects_are_not_remembered(made, tmp_path):
    """A photo that is declared defective, and one that breaks a rule, are not in the memory."""
    synth = write_dataset(tmp_path, flawed=(4,), without_pin=1)
    (tmp_path / "good" / "truth.csv").write_text("image,violations\n4.png,damaged_pin\n9.png,count\n")

    fit(made, synth)

    comparison = load_comparison(made)
    assert comparison is not None
    assert sorted(comparison.memories["pin"].photo_names) == [f"{n}.png" for n in range(9) if n != 4]


def test_fit_is_reproducible(made, tmp_path):
    """The same photos and seed give the same memory."""
    synth = write_dataset(tmp_path)

    fit(made, synth)
    first = (made.path / "appearance.safetensors").read_bytes()
    fit(made, synth)

    assert (made.path / "appearance.safetensors").read_bytes() == first


def test_nothing_without_a_rule(make_bundle, box_spec, tmp_path):
    """Without a rule about appearance no photo is read, and nothing is written."""
    bundle = make_bundle(box_spec.read_text())

    assert fit(bundle, tmp_path) == []
    assert not (bundle.path / "appearance.safetensors").exists()
    (tmp_path / "spec.yaml").write_text(box_spec.read_text())
    check_appearance_photos(tmp_path)


def test_checks_before_training(tmp_path):
    """Too few photos, and photos that are gone, are found before training."""
    check_appearance_photos(write_dataset(tmp_path / "enough", count=5))

    with pytest.raises(DataError, match="pin is on 4 good photos"):
        check_appearance_photos(write_dataset(tmp_path / "few", count=4))
    synth = write_dataset(tmp_path / "moved")
    (tmp_path / "moved" / "good" / "annotations.json").unlink()
    with pytest.raises(DataError, match="are missing"):
        check_appearance_photos(synth)
    with pytest.raises(DataError, match="Try this"):
        find_source_photos(synth, "Try this.")
    check_appearance_photos(tmp_path)  # preflight reports a folder that is no dataset


@pytest.mark.parametrize(
    ("answers", "box", "angle"),
    [
        ({}, Box(10, 10, 30, 30), 0.0),
        ({"locate:pin": Answer("locate:pin", boxes=(Box(60, 60, 80, 80),))}, Box(10, 10, 30, 30), 0.0),
        (
            {
                "locate:pin": Answer("locate:pin", boxes=(Box(60, 60, 80, 80), Box(11, 9, 31, 31))),
                "orientation:pin": Answer("orientation:pin", ("90", "3")),
            },
            Box(11, 9, 31, 31),
            3.0,
        ),
        (
            {
                "locate:pin": Answer("locate:pin", boxes=(Box(11, 9, 31, 31),), readable=False),
                "orientation:pin": Answer("orientation:pin", ("90",)),
            },
            Box(10, 10, 30, 30),
            20.0,
        ),
    ],
)
def test_reading_of_an_annotated_instance(answers, box, angle):
    """The model's box and angle stand for the instance; the annotation does where the model reads none there."""
    instance = Instance(1, "pin", Box(10, 10, 30, 30), angle=20.0)

    assert _find_reading(instance, "pin", answers) == (box, angle)
