"""A dataset is read whole or refused with everything that is wrong in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from logicls.data.coco import Dataset, read_dataset
from logicls.data.coco_parser import is_unsafe_path
from logicls.errors import DataError
from logicls.records import Box, Instance, Scene


def content() -> dict[str, Any]:
    """A good file: two photos of 40 x 30 pixels, one pin."""
    return {
        "licenses": [{"id": 1, "name": "CC0"}],
        "images": [
            {"id": 1, "file_name": "a.png", "width": 40, "height": 30},
            {"id": 2, "file_name": "sub/b.png", "width": 40, "height": 30},
        ],
        "categories": [{"id": 5, "name": "pin"}, {"id": 6, "name": "tray"}],
        "annotations": [
            {
                "id": 9,
                "image_id": 1,
                "category_id": 5,
                "bbox": [1, 2, 10, 20],
                "attributes": {"colour": "red", "slot": 3, "bent": False, "note": None},
            }
        ],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset with its photos and no annotations yet."""
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        Image.new("L", (40, 30)).save(tmp_path / "images" / name)
    return tmp_path


def complaints(folder: Path, text: str) -> list[str]:
    """What is said of annotations, a line each, without the folder."""
    (folder / "annotations.json").write_text(text)
    with pytest.raises(DataError) as caught:
        read_dataset(folder)
    return [str(problem).removeprefix(f"{folder / 'annotations.json'}") for problem in caught.value.problems]


def test_a_good_dataset_is_read(folder: Path) -> None:
    """Boxes become xyxy, attributes text; a photo without annotations is a scene too."""
    (folder / "annotations.json").write_text(json.dumps(content()))

    dataset = read_dataset(folder)

    pin = Instance(9, "pin", Box(1.0, 2.0, 11.0, 22.0), (("colour", "red"), ("slot", "3"), ("bent", "false")))
    scenes = (Scene("a.png", 40, 30, (pin,)), Scene("sub/b.png", 40, 30, ()))
    assert dataset == Dataset(folder, scenes, "CC0", ("pin", "tray"))
    assert dataset.image_path(scenes[1]) == folder / "images" / "sub" / "b.png"


def test_crowds_and_outlines_are_left_out(folder: Path) -> None:
    """What has no box of one thing is skipped, not refused; a box is clipped to its photo."""
    file = content()
    file["annotations"] += [
        {"id": 10, "image_id": 1, "category_id": 5, "iscrowd": 1, "segmentation": {}},
        {"id": 11, "image_id": 1, "category_id": 5, "segmentation": [[0, 0, 1, 1]]},
        {"id": 12, "image_id": 1, "category_id": 6, "bbox": [-0.5, 0, 41, 30], "segmentation": [[0, 0, 1, 1]]},
    ]
    (folder / "annotations.json").write_text(json.dumps(file))

    found = read_dataset(folder).scenes[0].instances

    assert [(i.id, i.box) for i in found] == [(9, Box(1.0, 2.0, 11.0, 22.0)), (12, Box(0.0, 0.0, 40, 30))]


def _pin(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda file: file["annotations"][0].update(changes)


def _image(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda file: file["images"][0].update(changes)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: f.pop("categories"), ' LC103 the list "categories" is missing. Export the annotations as COCO.'),
        (lambda f: f["images"].append(3), " LC103 item 3 of images is not an object."),
        (_image(width="40"), ' LC103 item 1 of images needs "width", a whole number, not "40".'),
        (lambda f: f["images"][0].pop("id"), ' LC103 item 1 of images needs "id", a whole number.'),
        (
            lambda f: f["images"].append(f["images"][0] | {"id": 3}),
            ' LC104 file_name "a.png" stands 2 times in images. ',
        ),
        (lambda f: f["images"].append(f["images"][0] | {"id": 2}), " LC104 id 2 stands 2 times in images. Keep one."),
        (
            lambda f: f["categories"].append({"id": 5, "name": "x"}),
            " LC104 id 5 stands 2 times in categories. Keep one.",
        ),
        (
            lambda f: f["annotations"].append(f["annotations"][0]),
            " LC104 id 9 stands 2 times in annotations. Keep one.",
        ),
        (_pin(image_id=7), " LC105 annotation 9 has image_id 7, which is not in images."),
        (_pin(category_id=7), " LC105 annotation 9 has category_id 7, which is not in categories."),
        (_image(file_name="../a.png"), ' LC106 file_name "../a.png" leads out of images/. Give a path below images/.'),
        (_image(file_name="/etc/a.png"), ' LC106 file_name "/etc/a.png" leads out of images/.'),
        (_image(file_name="..\\a.png"), ' LC106 file_name "..\\a.png" leads out of images/.'),
        (_image(file_name="C:a.png"), ' LC106 file_name "C:a.png" leads out of images/.'),
        (_image(file_name="x" * 999), ' LC107 image "xxx'),
        (_image(file_name=""), ' LC106 file_name "" leads out of images/.'),
        (_image(file_name="c.png"), ' LC107 image "c.png" is missing. Put it into '),
        (
            _image(width=30, height=40),
            ' LC108 image "a.png" is 40 x 30 pixels, annotated as 30 x 40. '
            "The photo was annotated before its EXIF rotation. Annotate the photo as it is shown.",
        ),
        (_pin(bbox=[1, 2, 3]), ' LC109 bbox [1, 2, 3] of annotation 9 on "a.png" is not [x, y, width, height].'),
        (_pin(bbox=[1, 2, float("nan"), 3]), ' LC109 bbox [1, 2, NaN, 3] of annotation 9 on "a.png" is not [x, y, '),
        (_pin(bbox=None), ' LC109 bbox null of annotation 9 on "a.png" is not [x, y, width, height].'),
        (_pin(bbox=[1, 2, 0, 3]), ' LC109 bbox [1, 2, 0, 3] of annotation 9 on "a.png" has no area. Draw it again, '),
        (_pin(bbox=[1, 2, -4, 3]), ' LC109 bbox [1, 2, -4, 3] of annotation 9 on "a.png" has no area. Draw it again, '),
        (
            _pin(bbox=[1, 2, 41, 3]),
            ' LC110 bbox [1, 2, 41, 3] of annotation 9 on "a.png" lies outside of its 40 x 30 pixels.',
        ),
        (_pin(attributes=[1]), ' LC111 attributes of annotation 9 on "a.png" are not an object.'),
    ],
)
def test_complaints(folder: Path, spoil: Callable[[dict[str, Any]], object], said: str) -> None:
    """Each fault is named with the annotation and the photo it is on."""
    file = content()
    spoil(file)

    assert any(line.startswith(said) for line in complaints(folder, json.dumps(file)))


def test_a_photo_that_cannot_be_read_is_named(folder: Path) -> None:
    """A damaged photo is found before training, with the photo's own reason."""
    (folder / "images" / "a.png").write_bytes(b"")

    assert [line.split()[1] for line in complaints(folder, json.dumps(content()))] == ["LC302"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"images": [1,]}', ":1:15 LC102 is not JSON: Illegal trailing comma before end of array."),
        ("[" * 100_000, " LC102 is not JSON: "),
        ('{"a": ' + "9" * 5000 + "}", " LC102 is not JSON: "),
        ("[]", " LC103 is not a COCO file: an object at the top is needed."),
    ],
)
def test_files_that_are_not_coco(folder: Path, text: str, said: str) -> None:
    """Text that is no JSON is pointed at; nothing passes as a traceback."""
    found = complaints(folder, text)[0]

    # Python before 3.13 words the comma's fault otherwise.
    assert found.startswith(said) or found == ":1:15 LC102 is not JSON: Expecting value."


def test_no_annotations(tmp_path: Path) -> None:
    """The file that was looked for is named."""
    with pytest.raises(DataError, match=r"annotations\.json LC101 cannot be read: No such file or directory\."):
        read_dataset(tmp_path)


def test_all_at_once_and_at_most_twenty_of_a_kind(folder: Path) -> None:
    """A systematic fault does not bury the others."""
    file = content()
    file["annotations"] = [file["annotations"][0] | {"id": n, "bbox": [0, 0, 0, 0]} for n in range(30)]
    file["images"][1]["file_name"] = "gone.png"

    said = complaints(folder, json.dumps(file))

    assert [line.split()[0] for line in said] == ["LC107"] + ["LC109"] * 21
    assert said[-1] == " LC109 and 10 more like these."


def test_another_file_of_annotations(folder: Path) -> None:
    """A copy can be read before it takes the place of the original; complaints name the copy."""
    (folder / "fixed.json").write_text(json.dumps(content()))

    dataset = read_dataset(folder, folder / "fixed.json")

    assert (dataset.annotations_path, len(dataset.scenes)) == (folder / "fixed.json", 2)
    (folder / "fixed.json").write_text("[]")
    with pytest.raises(DataError, match=r"fixed\.json LC103 is not a COCO file"):
        read_dataset(folder, folder / "fixed.json")


names = st.lists(st.sampled_from(["..", ".", "", "a", "C:", "c", "/", "\\", "\0", "a.png", "D:x"]), max_size=6)


@given(parts=names, joint=st.sampled_from(["", "/", "\\"]))
def test_no_name_leads_out_of_images(parts: list[str], joint: str) -> None:
    """What is taken for a name below `images/` stays there, on POSIX and on Windows."""
    name = joint.join(parts)
    if not is_unsafe_path(name):
        for kind in (PurePosixPath, PureWindowsPath):
            path = kind("root/images", name)
            assert path.parts[:2] == ("root", "images")
            assert len(path.parts) > 2
            assert ".." not in path.parts
            assert "\0" not in name


@given(parts=names)
def test_plain_names_are_taken(parts: list[str]) -> None:
    """The check does not refuse everything."""
    plain = [part for part in parts if part in ("a", "c", "a.png")]

    assert is_unsafe_path("/".join(plain)) == (not plain)
