"""A COCO dataset is read completely, or all of its problems are reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from logicls.data.coco import Dataset, is_unsafe_path, read_dataset
from logicls.errors import DataError
from logicls.records import Box, Instance, Scene


def content() -> dict[str, Any]:
    """A valid file: two photos of 40 x 30 pixels, one pin."""
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
    """A dataset with photos and without annotations."""
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        Image.new("L", (40, 30)).save(tmp_path / "images" / name)
    return tmp_path


def problems_of(folder: Path, text: str) -> list[str]:
    """Read a dataset with these annotations and return its problems as text, without the folder."""
    (folder / "annotations.json").write_text(text)
    with pytest.raises(DataError) as error:
        read_dataset(folder)
    return [str(problem).removeprefix(f"{folder / 'annotations.json'}") for problem in error.value.problems]


def test_valid_dataset(folder: Path) -> None:
    """Boxes become xyxy, attributes text; a photo without annotations is a scene too."""
    (folder / "annotations.json").write_text(json.dumps(content()))

    dataset = read_dataset(folder)

    pin = Instance(9, "pin", Box(1.0, 2.0, 11.0, 22.0), (("colour", "red"), ("slot", "3"), ("bent", "false")))
    scenes = (Scene("a.png", 40, 30, (pin,)), Scene("sub/b.png", 40, 30, ()))
    assert dataset == Dataset(folder, scenes, "CC0", ("pin", "tray"))
    assert dataset.image_path(scenes[1]) == folder / "images" / "sub" / "b.png"


def test_crowds_and_annotations_without_box_are_skipped(folder: Path) -> None:
    """They are no problem; a box is clipped to its photo."""
    file = content()
    file["annotations"] += [
        {"id": 10, "image_id": 1, "category_id": 5, "iscrowd": 1, "segmentation": {}},
        {"id": 11, "image_id": 1, "category_id": 5, "segmentation": [[0, 0, 1, 1]]},
        {"id": 12, "image_id": 1, "category_id": 6, "bbox": [-0.5, 0, 41, 30], "segmentation": [[0, 0, 1, 1]]},
    ]
    (folder / "annotations.json").write_text(json.dumps(file))

    instances = read_dataset(folder).scenes[0].instances

    assert [(i.id, i.box) for i in instances] == [(9, Box(1.0, 2.0, 11.0, 22.0)), (12, Box(0.0, 0.0, 40, 30))]


def _pin(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda file: file["annotations"][0].update(changes)


def _image(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda file: file["images"][0].update(changes)


@pytest.mark.parametrize(
    ("corrupt", "message"),
    [
        (lambda f: f.pop("categories"), ' LC103 the list "categories" is missing. Export the annotations as COCO.'),
        (lambda f: f["images"].append(3), " LC103 item 3 of images is not an object."),
        (_image(width="40"), ' LC103 item 1 of images needs "width", an integer, not "40".'),
        (lambda f: f["images"][0].pop("id"), ' LC103 item 1 of images needs "id", an integer.'),
        (
            lambda f: f["images"].append(f["images"][0] | {"id": 3}),
            ' LC104 file_name "a.png" occurs 2 times in images. ',
        ),
        (lambda f: f["images"].append(f["images"][0] | {"id": 2}), " LC104 id 2 occurs 2 times in images. Keep one."),
        (
            lambda f: f["categories"].append({"id": 5, "name": "x"}),
            " LC104 id 5 occurs 2 times in categories. Keep one.",
        ),
        (
            lambda f: f["annotations"].append(f["annotations"][0]),
            " LC104 id 9 occurs 2 times in annotations. Keep one.",
        ),
        (_pin(image_id=7), " LC105 annotation 9 has image_id 7, which is not in images."),
        (_pin(category_id=7), " LC105 annotation 9 has category_id 7, which is not in categories."),
        (
            _image(file_name="../a.png"),
            ' LC106 file_name "../a.png" is not a path below images/. Use a relative path without `..`.',
        ),
        (_image(file_name="/etc/a.png"), ' LC106 file_name "/etc/a.png" is not a path below images/.'),
        (_image(file_name="..\\a.png"), ' LC106 file_name "..\\a.png" is not a path below images/.'),
        (_image(file_name="C:a.png"), ' LC106 file_name "C:a.png" is not a path below images/.'),
        (_image(file_name="x" * 999), ' LC107 image "xxx'),
        (_image(file_name=""), ' LC106 file_name "" is not a path below images/.'),
        (_image(file_name="c.png"), ' LC107 image "c.png" is missing. Copy it to '),
        (
            _image(width=30, height=40),
            ' LC108 image "a.png" is 40 x 30 pixels, annotated as 30 x 40. '
            "It was annotated without its EXIF rotation. Annotate the photo as image viewers show it.",
        ),
        (_pin(bbox=[1, 2, 3]), ' LC109 bbox [1, 2, 3] of annotation 9 on "a.png" is not [x, y, width, height].'),
        (_pin(bbox=[1, 2, float("nan"), 3]), ' LC109 bbox [1, 2, NaN, 3] of annotation 9 on "a.png" is not [x, y, '),
        (_pin(bbox=None), ' LC109 bbox null of annotation 9 on "a.png" is not [x, y, width, height].'),
        (
            _pin(bbox=[1, 2, 0, 3]),
            ' LC109 bbox [1, 2, 0, 3] of annotation 9 on "a.png" has no area. Redraw or delete it.',
        ),
        (
            _pin(bbox=[1, 2, -4, 3]),
            ' LC109 bbox [1, 2, -4, 3] of annotation 9 on "a.png" has no area. Redraw or delete it.',
        ),
        (
            _pin(bbox=[1, 2, 41, 3]),
            ' LC110 bbox [1, 2, 41, 3] of annotation 9 on "a.png" exceeds the photo of 40 x 30 pixels.',
        ),
        (_pin(attributes=[1]), ' LC111 attributes of annotation 9 on "a.png" are not an object.'),
    ],
)
def test_problems_name_annotation_and_photo(
    folder: Path, corrupt: Callable[[dict[str, Any]], object], message: str
) -> None:
    """Each problem names the annotation and its photo."""
    file = content()
    corrupt(file)

    assert any(line.startswith(message) for line in problems_of(folder, json.dumps(file)))


def test_damaged_photo_is_reported(folder: Path) -> None:
    """It is found before training, with the code of the image reader."""
    (folder / "images" / "a.png").write_bytes(b"")

    assert [line.split()[1] for line in problems_of(folder, json.dumps(content()))] == ["LC302"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [1,]}', ":1:15 LC102 is not valid JSON: Illegal trailing comma before end of array."),
        ("[" * 100_000, " LC102 is not valid JSON: "),
        ('{"a": ' + "9" * 5000 + "}", " LC102 is not valid JSON: "),
        ("[]", " LC103 is not a COCO file: the top level must be an object."),
    ],
)
def test_files_that_are_not_coco_json(folder: Path, text: str, message: str) -> None:
    """Invalid JSON is reported with its location; no text raises another exception."""
    problem = problems_of(folder, text)[0]

    # Python before 3.13 has another message for the comma.
    assert problem.startswith(message) or problem == ":1:15 LC102 is not valid JSON: Expecting value."


def test_missing_annotation_file(tmp_path: Path) -> None:
    """The error names the expected file."""
    with pytest.raises(DataError, match=r"annotations\.json LC101 cannot be read: No such file or directory\."):
        read_dataset(tmp_path)


def test_all_codes_and_at_most_twenty_problems_of_each(folder: Path) -> None:
    """A systematic error does not hide the others."""
    file = content()
    file["annotations"] = [file["annotations"][0] | {"id": n, "bbox": [0, 0, 0, 0]} for n in range(30)]
    file["images"][1]["file_name"] = "absent.png"

    problems = problems_of(folder, json.dumps(file))

    assert [line.split()[0] for line in problems] == ["LC107"] + ["LC109"] * 21
    assert problems[-1] == " LC109 and 10 more like these."


def test_custom_annotation_file(folder: Path) -> None:
    """A repaired copy can be read before it replaces the original; problems name the copy."""
    (folder / "fixed.json").write_text(json.dumps(content()))

    dataset = read_dataset(folder, folder / "fixed.json")

    assert (dataset.annotations_path, len(dataset.scenes)) == (folder / "fixed.json", 2)
    (folder / "fixed.json").write_text("[]")
    with pytest.raises(DataError, match=r"fixed\.json LC103 is not a COCO file"):
        read_dataset(folder, folder / "fixed.json")


names = st.lists(st.sampled_from(["..", ".", "", "a", "C:", "c", "/", "\\", "\0", "a.png", "D:x"]), max_size=6)


@given(parts=names, separator=st.sampled_from(["", "/", "\\"]))
def test_safe_paths_stay_below_images(parts: list[str], separator: str) -> None:
    """A path that is not unsafe stays below `images/`, on POSIX and on Windows."""
    name = separator.join(parts)
    if not is_unsafe_path(name):
        for kind in (PurePosixPath, PureWindowsPath):
            path = kind("root/images", name)
            assert path.parts[:2] == ("root", "images")
            assert len(path.parts) > 2
            assert ".." not in path.parts
            assert "\0" not in name


@given(parts=names)
def test_plain_names_are_safe(parts: list[str]) -> None:
    """The check does not reject every name."""
    plain = [part for part in parts if part in ("a", "c", "a.png")]

    assert is_unsafe_path("/".join(plain)) == (not plain)
