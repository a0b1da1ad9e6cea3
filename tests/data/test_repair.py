"""Damaged annotations are repaired where the correction is unambiguous, and only there."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from logicls.data.coco import read_dataset
from logicls.data.image_io import PhotoHeader
from logicls.data.repair import repair, repair_file
from logicls.errors import DataError
from logicls.records import Box

VOCABULARY = {"pin": {"colour": ["red", "dark_blue"]}, "tray": {}}
HEADERS = {"a.png": PhotoHeader(40, 30, 1), "sub/b.png": PhotoHeader(40, 30, 1), "rotated.jpg": PhotoHeader(30, 40, 6)}


def content() -> dict[str, Any]:
    """A valid file with custom fields in each table."""
    return {
        "info": {"year": 2026},
        "licenses": [],
        "images": [
            {"id": 1, "file_name": "a.png", "width": 40, "height": 30, "code": "x"},
            {"id": 2, "file_name": "sub/b.png", "width": 40, "height": 30},
        ],
        "categories": [{"id": 5, "name": "pin", "supercategory": "part"}, {"id": 6, "name": "tray"}],
        "annotations": [
            {"id": 9, "image_id": 1, "category_id": 5, "bbox": [1, 2, 10, 20], "area": 200,
             "attributes": {"colour": "red"}},
            {"id": 10, "image_id": 1, "category_id": 6, "bbox": [0.5, 0.25, 39, 29], "track": 3},
            {"id": 11, "image_id": 2, "category_id": 5, "bbox": [1, 2, 10, 20], "iscrowd": 1},
        ],
    }  # fmt: skip


def repair_copy(file: object) -> tuple[Any, list[str]]:
    """The repaired content and the log as text."""
    before = copy.deepcopy(file)
    after, log = repair(file, HEADERS.get, VOCABULARY)
    assert json.dumps(file) == json.dumps(before), "the argument is not modified"
    return after, [str(entry) for entry in log]


def test_valid_file_is_unchanged() -> None:
    """There is no repair, and unknown fields stay."""
    assert repair_copy(content()) == (content(), [])


Corruption = Callable[[dict[str, Any]], object]


def pin(**changes: object) -> Corruption:
    """Change fields of annotation 9."""
    return lambda file: file["annotations"][0].update(changes)


def image(**changes: object) -> Corruption:
    """Change fields of image 1."""
    return lambda file: file["images"][0].update(changes)


def remove(table: str, row: int, key: str) -> Corruption:
    """Remove a field."""
    return lambda file: file[table][row].pop(key)


def add(table: str, row: object) -> Corruption:
    """Append a row."""
    return lambda file: file[table].append(row)


def unchanged(file: dict[str, Any]) -> None:
    """Change unchanged."""


PIN = content()["annotations"][0]
NO_ATTRIBUTES = {"id": 12, "image_id": 1, "category_id": 6}


@pytest.mark.parametrize(
    ("corrupt", "expected_change", "message"),
    [
        (pin(id="9"), unchanged, 'annotation "9": converted id to an integer: "9" → 9'),
        (pin(image_id=1.0), unchanged, "annotation 9: converted image_id to an integer: 1.0 → 1"),
        (pin(category_id="5"), unchanged, 'annotation 9: converted category_id to an integer: "5" → 5'),
        (image(id=1.0), unchanged, "image 1.0: converted id to an integer: 1.0 → 1"),
        (image(width="40"), unchanged, 'image 1: converted width to an integer: "40" → 40'),
        (remove("annotations", 0, "id"), pin(id=12), "annotation 12: assigned a new id: it had no id"),
        (pin(id=None), pin(id=12), "annotation 12: assigned a new id: id null is not an integer"),
        (pin(id=10), lambda f: f["annotations"][1].update(id=12) or pin(id=10)(f),
         "annotation 12: assigned a new id: id 10 is a duplicate"),
        (remove("images", 0, "width"), unchanged, "image 1: set size from the photo: 40 x 30"),
        (image(width=0, height=None), unchanged, "image 1: set size from the photo: 40 x 30"),
        (pin(bbox=[-3, 2, 10, 100]), pin(bbox=[0, 2, 7, 28], area=196),
         "annotation 9: clipped bbox to the photo: [-3, 2, 10, 100] → [0, 2, 7, 28]"),
        (pin(bbox=[50, 2, 10, 10]), lambda f: f["annotations"].pop(0),
         "annotation 9: deleted, bbox lies outside the photo: [50, 2, 10, 10] on 40 x 30 pixels"),
        (pin(bbox=[11, 22, -10, -20]), unchanged,
         "annotation 9: corrected negative bbox size: [11, 22, -10, -20] → [1, 2, 10, 20]"),
        (pin(bbox=["1", 2, "10.0", 20]), unchanged,
         'annotation 9: converted bbox to numbers: ["1", 2, "10.0", 20] → [1, 2, 10, 20]'),
        (pin(bbox=[1, 2, 0, 20]), lambda f: f["annotations"].pop(0),
         "annotation 9: deleted, bbox has no area: [1, 2, 0, 20]"),
        (pin(bbox=[1, float("nan"), 1, 20]), lambda f: f["annotations"].pop(0),
         "annotation 9: deleted, bbox has no area: [1, NaN, 1, 20]"),
        (remove("annotations", 0, "bbox"), lambda f: f["annotations"].pop(0),
         "annotation 9: deleted, bbox has no area: null"),
        (pin(bbox=[1, 2], segmentation=[[1, 2, 11, 2, 11, 22.5]]),
         pin(bbox=[1, 2, 10, 20.5], segmentation=[[1, 2, 11, 2, 11, 22.5]]),
         "annotation 9: computed bbox from its segmentation: [1, 2] → [1, 2, 10, 20.5]"),
        (add("annotations", PIN | {"id": 12, "image_id": 7}), unchanged,
         "annotation 12: deleted, its image does not exist: image 7"),
        (add("annotations", PIN | {"id": 12, "category_id": None}), unchanged,
         "annotation 12: deleted, its category does not exist: category null"),
        (lambda f: (add("categories", {"id": 8, "name": "pin"})(f), pin(category_id=8)(f)), unchanged,
         "category 8: merged into category 5: pin"),
        (lambda f: (add("images", {"id": 8, "file_name": "a.png", "url": "u"})(f), pin(image_id=8)(f)), image(url="u"),
         "image 8: merged into image 1: a.png"),
        (add("annotations", PIN | {"id": 12, "bbox": [1.5, 2, 10, 20]}), unchanged,
         "annotation 12: deleted as a duplicate: of annotation 9"),
        (lambda f: f["categories"][0].update(name="PIN "), unchanged,
         "category 5: renamed to match the spec: PIN  → pin"),
        (pin(attributes={"Colour": "red"}), unchanged, "annotation 9: renamed to match the spec: Colour → colour"),
        (pin(attributes={"colour": "Dark-Blue"}), pin(attributes={"colour": "dark_blue"}),
         "annotation 9: renamed to match the spec: Dark-Blue → dark_blue"),
        (pin(attributes=[{"name": "colour", "value": "red"}]), unchanged,
         'annotation 9: converted attributes to an object: [{"name": "colour", "value": "red"}]'),
        (pin(attributes=None), pin(attributes={}), "annotation 9: converted attributes to an object: null"),
        (lambda f: f["images"][1].update(file_name="sub\\b.png"), unchanged,
         "image 2: replaced backslashes with slashes: sub/b.png"),
        (lambda f: f.pop("annotations"), lambda f: f.update(annotations=[]),
         "file: added the missing list: annotations"),
        (lambda f: f["images"].insert(1, None), unchanged,
         "file: deleted an item that is not an object: item 2 of images"),
    ],
)  # fmt: skip
def test_each_kind_of_repair(corrupt: Corruption, expected_change: Corruption, message: str) -> None:
    """The damage is corrected and reported in one line; everything else is unchanged."""
    file, expected = content(), content()
    corrupt(file)
    expected_change(expected)

    after, lines = repair_copy(file)

    assert (after, lines) == (expected, [message])
    assert repair_copy(after) == (after, [])


@pytest.mark.parametrize(
    ("orientation", "box", "polygon"),
    [
        (5, [2, 1, 20, 10], [2, 1, 2, 11, 22, 11]),
        (6, [8, 1, 20, 10], [28, 1, 28, 11, 8, 11]),
        (7, [8, 29, 20, 10], [28, 39, 28, 29, 8, 29]),
        (8, [2, 29, 20, 10], [2, 39, 2, 29, 22, 29]),
    ],
)
def test_boxes_on_stored_pixels_are_rotated(
    tmp_path: Path, orientation: int, box: list[int], polygon: list[int]
) -> None:
    """A box on the stored pixels becomes the box of the same pixels of the upright photo."""
    (tmp_path / "images").mkdir()
    photo = Image.new("L", (40, 30))
    photo.paste(255, (1, 2, 11, 22))
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo.save(tmp_path / "images" / "t.png", exif=exif)
    file = {
        "images": [{"id": 3, "file_name": "t.png", "width": 40, "height": 30}],
        "categories": [{"id": 5, "name": "pin"}],
        "annotations": [
            {"id": 9, "image_id": 3, "category_id": 5, "bbox": [1, 2, 10, 20], "area": 100}
            | {"segmentation": [[1, 2, 11, 2, 11, 22]]}
        ],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(file))

    log = repair_file(tmp_path, tmp_path / "out.json", VOCABULARY)

    assert list(map(str, log)) == [f"image 3: applied the EXIF orientation: orientation {orientation}, 1 annotation"]
    rotated = json.loads((tmp_path / "out.json").read_text())
    assert (rotated["images"][0]["width"], rotated["images"][0]["height"]) == (30, 40)
    assert rotated["annotations"][0] == file["annotations"][0] | {"bbox": box, "segmentation": [polygon]}
    with Image.open(tmp_path / "images" / "t.png") as stored:
        white = ImageOps.exif_transpose(stored).getbbox()
    assert white == (box[0], box[1], box[0] + box[2], box[1] + box[3])


ROTATED = {"id": 3, "file_name": "rotated.jpg", "width": 40, "height": 30}
ON_ROTATED = {"id": 12, "image_id": 3, "category_id": 5, "bbox": [1, 2, 10, 20], "attributes": {}}


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda f: (f["images"].append(ROTATED), f["annotations"].append(ON_ROTATED | {"bbox": [1, 2, 10, 38]})),
        lambda f: (
            f["images"].append(ROTATED),
            f["annotations"].append(ON_ROTATED | {"segmentation": {"counts": "x"}}),
        ),
        lambda f: (f["images"].append(ROTATED), f["annotations"].append(ON_ROTATED | {"keypoints": [1, 2, 2]})),
        lambda f: f["images"].append(ROTATED | {"width": 80, "height": 60}),
        image(file_name="absent.png"),
        image(file_name="../a.png"),
        image(file_name="..\\a.png"),
        image(id=2),
        image(id=None),
        add("images", {"id": 8, "file_name": "a.png", "width": 30, "height": 40}),
        add("images", {"id": 2, "file_name": "a.png"}),
        lambda f: f["categories"][0].update(name="plug"),
        lambda f: f["categories"][0].update(id=6),
        pin(attributes={"colour": "green", "Colour": "Red"}),
        pin(attributes=[{"name": "colour", "value": "red"}, {"name": "colour", "value": "blue"}]),
        pin(attributes=[1]),
        add("annotations", PIN | {"id": 12, "attributes": {"colour": "dark_blue"}}),
        add("annotations", {"id": 12, "image_id": 1, "category_id": 5, "segmentation": {"counts": "x"}}),
    ],
)
def test_ambiguous_damage_is_unchanged(corrupt: Corruption) -> None:
    """Where several corrections are possible, the file is not modified."""
    file = content()
    corrupt(file)

    assert repair_copy(file) == (file, [])


def test_text_ids_become_integers_with_their_references() -> None:
    """Each text gets one unused integer, also if it reads like the id of another image."""
    file = content()
    file["images"][1]["id"] = "1"
    file["annotations"] += [NO_ATTRIBUTES | {"image_id": "1", "bbox": [1, 2, 3, 4]}]
    file["categories"][1]["id"] = "tray"
    for row in (file["annotations"][1], file["annotations"][3]):
        row["category_id"] = "tray"

    after, lines = repair_copy(file)

    assert [row["id"] for row in after["images"]] == [1, 2]
    assert [(row["image_id"], row["category_id"]) for row in after["annotations"]] == [(1, 5), (1, 6), (2, 5), (2, 6)]
    assert lines == [
        'image "1": converted id to an integer: "1" → 2',
        'annotation 12: converted image_id to an integer: "1" → 2',
        'category "tray": converted id to an integer: "tray" → 6',
        'annotation 10: converted category_id to an integer: "tray" → 6',
        'annotation 12: converted category_id to an integer: "tray" → 6',
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset with photos and without annotations."""
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        Image.new("L", (40, 30)).save(tmp_path / "images" / name)
    return tmp_path


def test_manually_edited_json(folder: Path) -> None:
    """A byte order mark and trailing commas are removed, not those inside strings. The copy has one row per line."""
    file = content() | {"info": {"note": 'a,] "b,}'}}
    text = "\ufeff" + json.dumps(file).replace("]", ",]").replace("}", " ,\n}")
    text = text.replace(json.dumps(file["info"]["note"]).replace("]", ",]").replace("}", " ,\n}"), r'"a,] \"b,}"')
    text = text.replace("[,]", "[]")
    (folder / "annotations.json").write_text(text, encoding="utf-8")

    log = repair_file(folder, folder / "out.json", VOCABULARY)

    assert [(entry.location, entry.action) for entry in log] == [
        ("file", "removed the byte order mark"),
        ("file", "removed trailing commas"),
    ]
    out = (folder / "out.json").read_text(encoding="utf-8")
    assert json.loads(out) == file
    assert out.splitlines()[4] == json.dumps(file["images"][0]) + ","
    assert repair_file(folder, folder / "out.json", VOCABULARY) == log


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", r":1:2 LC130 cannot be repaired: it is not valid JSON: Expecting value\."),
        ('{"a": [1,,]}', r":1:10 LC130 cannot be repaired: it is not valid JSON: Expecting value\."),
        ('{"a', r":1:2 LC130 cannot be repaired: it is not valid JSON: Unterminated string starting at\."),
    ],
)
def test_json_that_cannot_be_repaired(folder: Path, text: str, message: str) -> None:
    """The error names the location, and no file is written."""
    (folder / "annotations.json").write_text(text)

    with pytest.raises(DataError, match=message):
        repair_file(folder, folder / "out.json", VOCABULARY)
    assert not (folder / "out.json").exists()


def test_no_file_is_overwritten(folder: Path) -> None:
    """Neither the original nor an edited copy is overwritten; without repairs no file is written."""
    (folder / "annotations.json").write_text(json.dumps(content()))
    assert repair_file(folder, folder / "out.json", VOCABULARY) == ()
    assert not (folder / "out.json").exists()
    (folder / "annotations.json").write_text("\ufeff" + json.dumps(content()), encoding="utf-8")
    (folder / "out.json").write_text("{}")

    with pytest.raises(
        DataError, match=r"LC132 the original file is not overwritten\. Choose another file with --out\."
    ):
        repair_file(folder, folder / "images" / ".." / "annotations.json", VOCABULARY)
    with pytest.raises(DataError, match=r"LC132 exists already with other content\. Move it, or choose"):
        repair_file(folder, folder / "out.json", VOCABULARY)
    assert (folder / "out.json").read_text() == "{}"


def build_rows(**values: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Rows with any of these values, or without the field."""
    return st.fixed_dictionaries({}, optional={key: st.sampled_from(choices) for key, choices in values.items()})


IDS: list[Any] = [1, 2, 3, "1", "2", "x", 1.0, 2.5, None, True, [1]]
BBOX_VALUES = st.sampled_from(
    [-50, -3, 0, 0.5, 1, 2, 9.75, 40, 45.5, "7", float("nan"), float("inf"), 10**400, None, True]
)
SEGMENTATIONS = [[], [[1, 2, 11, 2, 11, 22]], [[1, 2]], {"counts": "x"}, [[0, 0, 0, 0, 0, 0]]]
ATTRIBUTES = [
    {},
    None,
    {"colour": "RED"},
    {"Colour": "dark blue", "colour": 3},
    [],
    [{"name": "a", "value": 1}],
    [1],
    "x",
]
NAMES = ["a.png", "sub/b.png", "sub\\b.png", "rotated.jpg", "absent.png", "../a.png", "", 3]
SIZES = [40, 30, "40", None, 0, -1, 31.0]
damaged_files = st.fixed_dictionaries(
    {
        "images": st.lists(build_rows(id=IDS, file_name=NAMES, width=SIZES, height=SIZES) | st.none(), max_size=4),
        "categories": st.lists(build_rows(id=IDS, name=["pin", "Pin", "tray", "plug", None]), max_size=3),
        "annotations": st.lists(
            st.builds(
                lambda row, box: row | ({} if box is None else {"bbox": box}),
                build_rows(id=IDS, image_id=IDS, category_id=IDS, segmentation=SEGMENTATIONS, attributes=ATTRIBUTES,
                     iscrowd=[0, 1], keypoints=[[], [1, 2, 2]], area=[1]),
                st.none() | st.lists(BBOX_VALUES, min_size=3, max_size=5),
            ),
            max_size=6,
        ),
    }
)  # fmt: skip


@given(file=damaged_files)
def test_repair_is_idempotent(file: dict[str, Any]) -> None:
    """A repaired file needs no further repair, whatever its content."""
    after, _ = repair_copy(file)

    assert repr(repair_copy(after)) == repr((after, []))


sides = st.floats(-20, 60, allow_nan=False)
valid_boxes = st.tuples(st.integers(0, 30), st.integers(0, 20), st.integers(1, 10), st.integers(1, 10)).map(list)
invalid_boxes = st.lists(BBOX_VALUES, max_size=5) | st.lists(sides, min_size=4, max_size=4) | st.none()
corruptions: list[Callable[[dict[str, Any], int, Any], object]] = [
    lambda f, k, _: f["annotations"][k].update(id=str(f["annotations"][k].get("id", 1))),
    lambda f, k, _: f["annotations"][k].update(id=1),
    lambda f, k, _: f["annotations"][k].pop("id", None),
    lambda f, k, _: f["annotations"][k].update(image_id="1"),
    lambda f, k, _: f["annotations"][k].update(category_id=99),
    lambda f, k, box: f["annotations"][k].update(bbox=box),
    lambda f, k, box: f["annotations"][k].update(bbox=box, segmentation=[[1, 2, 11, 2, 11, 22]]),
    lambda f, k, _: f["annotations"][k].update(attributes=[{"name": "colour", "value": "RED"}]),
    lambda f, k, _: f["annotations"].append(dict(f["annotations"][k])),
    lambda f, k, _: f["annotations"].append(None),
    lambda f, k, _: f["images"].append(dict(f["images"][k])),
    lambda f, k, _: f["images"].append(f["images"][k] | {"id": 70 + k}),
    lambda f, k, _: f["images"][k].pop("width", None),
    lambda f, k, _: f["images"][k].update(height=str(30)),
    lambda f, k, _: f["categories"][k].update(name=f["categories"][k]["name"].upper()),
    lambda f, k, _: f["categories"].append({"id": 80 + k, "name": f["categories"][k]["name"]}),
]


@given(
    boxes=st.lists(valid_boxes, min_size=2, max_size=4),
    damage=st.lists(st.tuples(st.sampled_from(corruptions), st.integers(0, 1), invalid_boxes), max_size=6),
)
def test_repairable_damage_leaves_no_problem(
    tmp_path_factory: pytest.TempPathFactory, boxes: list[list[int]], damage: list[tuple[Any, int, Any]]
) -> None:
    """Any combination of repairable damages yields a repaired copy without problems."""
    folder = tmp_path_factory.getbasetemp() / "repaired"
    (folder / "images" / "sub").mkdir(parents=True, exist_ok=True)
    for name in ("a.png", "sub/b.png"):
        Image.new("L", (40, 30)).save(folder / "images" / name)
    file = content()
    file["annotations"] = [
        {"id": n, "image_id": n % 2 + 1, "category_id": 5, "bbox": box, "attributes": {}} for n, box in enumerate(boxes)
    ]
    for corrupt, row, box in damage:
        corrupt(file, row, box)
    (folder / "annotations.json").write_text(json.dumps(file))
    (folder / "out.json").unlink(missing_ok=True)

    log = repair_file(folder, folder / "out.json", VOCABULARY)

    dataset = read_dataset(folder, folder / "out.json" if log else None)
    assert [scene.photo for scene in dataset.scenes] == ["a.png", "sub/b.png"]
    assert all(i.box.clip(40, 30) == i.box and i.box != Box(0, 0, 0, 0) for s in dataset.scenes for i in s.instances)
