"""Damaged annotations are healed where what is meant is certain, and only there."""

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

COMPONENTS = {"pin": {"colour": ["red", "dark_blue"]}, "tray": {}}
HEADERS = {"a.png": PhotoHeader(40, 30, 1), "sub/b.png": PhotoHeader(40, 30, 1), "turned.jpg": PhotoHeader(30, 40, 6)}


def content() -> dict[str, Any]:
    """A sound file with a field of everybody's own in each place."""
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


def healed(file: object) -> tuple[Any, list[str]]:
    """The healed content and what was done, as lines."""
    before = copy.deepcopy(file)
    after, notes = repair(file, HEADERS.get, COMPONENTS)
    assert json.dumps(file) == json.dumps(before), "what is healed is a copy"
    return after, [str(note) for note in notes]


def test_a_sound_file_is_left_alone() -> None:
    """Nothing is done to what can be read, and unknown fields stay."""
    assert healed(content()) == (content(), [])


Spoil = Callable[[dict[str, Any]], object]


def pin(**changes: object) -> Spoil:
    """Changes fields of annotation 9."""
    return lambda file: file["annotations"][0].update(changes)


def image(**changes: object) -> Spoil:
    """Changes fields of image 1."""
    return lambda file: file["images"][0].update(changes)


def lose(table: str, row: int, key: str) -> Spoil:
    """Takes a field away."""
    return lambda file: file[table][row].pop(key)


def add(table: str, row: object) -> Spoil:
    """Appends a row."""
    return lambda file: file[table].append(row)


def nothing(file: dict[str, Any]) -> None:
    """Leaves the file as it is."""


PIN = content()["annotations"][0]
NO_ATTRIBUTES = {"id": 12, "image_id": 1, "category_id": 6}


@pytest.mark.parametrize(
    ("spoil", "wanted", "said"),
    [
        (pin(id="9"), nothing, 'annotation "9": id made a whole number: "9" → 9'),
        (pin(image_id=1.0), nothing, "annotation 9: image_id made a whole number: 1.0 → 1"),
        (pin(category_id="5"), nothing, 'annotation 9: category_id made a whole number: "5" → 5'),
        (image(id=1.0), nothing, "image 1.0: id made a whole number: 1.0 → 1"),
        (image(width="40"), nothing, 'image 1: width made a whole number: "40" → 40'),
        (lose("annotations", 0, "id"), pin(id=12), "annotation 12: got a new id: it had none"),
        (pin(id=None), pin(id=12), "annotation 12: got a new id: id null is no whole number"),
        (pin(id=10), lambda f: f["annotations"][1].update(id=12) or pin(id=10)(f),
         "annotation 12: got a new id: id 10 stands there already"),
        (lose("images", 0, "width"), nothing, "image 1: size read off the photo: 40 x 30"),
        (image(width=0, height=None), nothing, "image 1: size read off the photo: 40 x 30"),
        (pin(bbox=[-3, 2, 10, 100]), pin(bbox=[0, 2, 7, 28], area=196),
         "annotation 9: box clipped to the photo: [-3, 2, 10, 100] → [0, 2, 7, 28]"),
        (pin(bbox=[50, 2, 10, 10]), lambda f: f["annotations"].pop(0),
         "annotation 9: dropped, its box lies off the photo: [50, 2, 10, 10] on 40 x 30 pixels"),
        (pin(bbox=[11, 22, -10, -20]), nothing, "annotation 9: box flipped: [11, 22, -10, -20] → [1, 2, 10, 20]"),
        (pin(bbox=["1", 2, "10.0", 20]), nothing,
         'annotation 9: box made numbers: ["1", 2, "10.0", 20] → [1, 2, 10, 20]'),
        (pin(bbox=[1, 2, 0, 20]), lambda f: f["annotations"].pop(0),
         "annotation 9: dropped, its box has no area: [1, 2, 0, 20]"),
        (pin(bbox=[1, float("nan"), 1, 20]), lambda f: f["annotations"].pop(0),
         "annotation 9: dropped, its box has no area: [1, NaN, 1, 20]"),
        (lose("annotations", 0, "bbox"), lambda f: f["annotations"].pop(0),
         "annotation 9: dropped, its box has no area: null"),
        (pin(bbox=[1, 2], segmentation=[[1, 2, 11, 2, 11, 22.5]]),
         pin(bbox=[1, 2, 10, 20.5], segmentation=[[1, 2, 11, 2, 11, 22.5]]),
         "annotation 9: box taken from its outline: [1, 2] → [1, 2, 10, 20.5]"),
        (add("annotations", PIN | {"id": 12, "image_id": 7}), nothing,
         "annotation 12: dropped, what it is of is not in the file: image 7"),
        (add("annotations", PIN | {"id": 12, "category_id": None}), nothing,
         "annotation 12: dropped, what it is of is not in the file: category null"),
        (lambda f: (add("categories", {"id": 8, "name": "pin"})(f), pin(category_id=8)(f)), nothing,
         "category 8: merged into category 5: pin"),
        (lambda f: (add("images", {"id": 8, "file_name": "a.png", "url": "u"})(f), pin(image_id=8)(f)), image(url="u"),
         "image 8: merged into image 1: a.png"),
        (add("annotations", PIN | {"id": 12, "bbox": [1.5, 2, 10, 20]}), nothing,
         "annotation 12: dropped as a repeat: of annotation 9"),
        (lambda f: f["categories"][0].update(name="PIN "), nothing, "category 5: renamed as in the spec: PIN  → pin"),
        (pin(attributes={"Colour": "red"}), nothing, "annotation 9: renamed as in the spec: Colour → colour"),
        (pin(attributes={"colour": "Dark-Blue"}), pin(attributes={"colour": "dark_blue"}),
         "annotation 9: renamed as in the spec: Dark-Blue → dark_blue"),
        (pin(attributes=[{"name": "colour", "value": "red"}]), nothing,
         'annotation 9: attributes made an object: [{"name": "colour", "value": "red"}]'),
        (pin(attributes=None), pin(attributes={}), "annotation 9: attributes made an object: null"),
        (lambda f: f["images"][1].update(file_name="sub\\b.png"), nothing,
         "image 2: backslashes made slashes: sub/b.png"),
        (lambda f: f.pop("annotations"), lambda f: f.update(annotations=[]),
         "file: added the missing list: annotations"),
        (lambda f: f["images"].insert(1, None), nothing, "file: dropped what is no object: item 2 of images"),
    ],
)  # fmt: skip
def test_each_kind_of_healing(spoil: Spoil, wanted: Spoil, said: str) -> None:
    """What was wrong in one place is right there, told in one line, and all else is as it was."""
    file, right = content(), content()
    spoil(file)
    wanted(right)

    after, lines = healed(file)

    assert (after, lines) == (right, [said])
    assert healed(after) == (after, [])


@pytest.mark.parametrize(
    ("orientation", "box", "outline"),
    [
        (5, [2, 1, 20, 10], [2, 1, 2, 11, 22, 11]),
        (6, [8, 1, 20, 10], [28, 1, 28, 11, 8, 11]),
        (7, [8, 29, 20, 10], [28, 39, 28, 29, 8, 29]),
        (8, [2, 29, 20, 10], [2, 39, 2, 29, 22, 29]),
    ],
)
def test_boxes_drawn_before_the_exif_rotation_are_turned(
    tmp_path: Path, orientation: int, box: list[int], outline: list[int]
) -> None:
    """What was marked on the stored pixels lies on the same pixels of the upright photo."""
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

    notes = repair_file(tmp_path, tmp_path / "out.json", COMPONENTS)

    assert list(map(str, notes)) == [f"image 3: turned upright: 1 annotation, by its EXIF orientation {orientation}"]
    turned = json.loads((tmp_path / "out.json").read_text())
    assert (turned["images"][0]["width"], turned["images"][0]["height"]) == (30, 40)
    assert turned["annotations"][0] == file["annotations"][0] | {"bbox": box, "segmentation": [outline]}
    with Image.open(tmp_path / "images" / "t.png") as stored:
        white = ImageOps.exif_transpose(stored).getbbox()
    assert white == (box[0], box[1], box[0] + box[2], box[1] + box[3])


TURNED = {"id": 3, "file_name": "turned.jpg", "width": 40, "height": 30}
ON_TURNED = {"id": 12, "image_id": 3, "category_id": 5, "bbox": [1, 2, 10, 20], "attributes": {}}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: (f["images"].append(TURNED), f["annotations"].append(ON_TURNED | {"bbox": [1, 2, 10, 38]})),
        lambda f: (f["images"].append(TURNED), f["annotations"].append(ON_TURNED | {"segmentation": {"counts": "x"}})),
        lambda f: (f["images"].append(TURNED), f["annotations"].append(ON_TURNED | {"keypoints": [1, 2, 2]})),
        lambda f: f["images"].append(TURNED | {"width": 80, "height": 60}),
        image(file_name="gone.png"),
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
def test_what_is_not_certain_is_left_to_a_person(spoil: Spoil) -> None:
    """Nothing is guessed: whichever way it was meant, the file still says what it said."""
    file = content()
    spoil(file)

    assert healed(file) == (file, [])


def test_ids_of_text_are_numbered_with_what_refers_to_them() -> None:
    """Each text gets one free number, also where it looks like a number that another image has."""
    file = content()
    file["images"][1]["id"] = "1"
    file["annotations"] += [NO_ATTRIBUTES | {"image_id": "1", "bbox": [1, 2, 3, 4]}]
    file["categories"][1]["id"] = "tray"
    for row in (file["annotations"][1], file["annotations"][3]):
        row["category_id"] = "tray"

    after, lines = healed(file)

    assert [row["id"] for row in after["images"]] == [1, 2]
    assert [(row["image_id"], row["category_id"]) for row in after["annotations"]] == [(1, 5), (1, 6), (2, 5), (2, 6)]
    assert lines == [
        'image "1": id made a whole number: "1" → 2',
        'annotation 12: image_id made a whole number: "1" → 2',
        'category "tray": id made a whole number: "tray" → 6',
        'annotation 10: category_id made a whole number: "tray" → 6',
        'annotation 12: category_id made a whole number: "tray" → 6',
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset with its photos and no annotations yet."""
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        Image.new("L", (40, 30)).save(tmp_path / "images" / name)
    return tmp_path


def test_json_that_people_have_edited(folder: Path) -> None:
    """A byte order mark and commas before a bracket go; those inside of text stay. The copy has a row a line."""
    file = content() | {"info": {"note": 'a,] "b,}'}}
    text = "\ufeff" + json.dumps(file).replace("]", ",]").replace("}", " ,\n}")
    text = text.replace(json.dumps(file["info"]["note"]).replace("]", ",]").replace("}", " ,\n}"), r'"a,] \"b,}"')
    text = text.replace("[,]", "[]")
    (folder / "annotations.json").write_text(text, encoding="utf-8")

    notes = repair_file(folder, folder / "out.json", COMPONENTS)

    assert [(note.location, note.action) for note in notes] == [
        ("file", "dropped the byte order mark"),
        ("file", "dropped commas before a closing bracket"),
    ]
    out = (folder / "out.json").read_text(encoding="utf-8")
    assert json.loads(out) == file
    assert out.splitlines()[4] == json.dumps(file["images"][0]) + ","
    assert repair_file(folder, folder / "out.json", COMPONENTS) == notes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", r":1:2 LC130 cannot be healed: it is not JSON: Expecting value\."),
        ('{"a": [1,,]}', r":1:10 LC130 cannot be healed: it is not JSON: Expecting value\."),
        ('{"a', r":1:2 LC130 cannot be healed: it is not JSON: Unterminated string starting at\."),
    ],
)
def test_json_that_cannot_be_healed(folder: Path, text: str, said: str) -> None:
    """The place that a person must look at is named, and nothing is written."""
    (folder / "annotations.json").write_text(text)

    with pytest.raises(DataError, match=said):
        repair_file(folder, folder / "out.json", COMPONENTS)
    assert not (folder / "out.json").exists()


def test_nothing_is_written_over(folder: Path) -> None:
    """Neither the original nor a copy that somebody has worked on; nothing is written where nothing was healed."""
    (folder / "annotations.json").write_text(json.dumps(content()))
    assert repair_file(folder, folder / "out.json", COMPONENTS) == ()
    assert not (folder / "out.json").exists()
    (folder / "annotations.json").write_text("\ufeff" + json.dumps(content()), encoding="utf-8")
    (folder / "out.json").write_text("{}")

    with pytest.raises(DataError, match=r"LC132 the original is never written over\. Name another file with --out\."):
        repair_file(folder, folder / "images" / ".." / "annotations.json", COMPONENTS)
    with pytest.raises(DataError, match=r"LC132 is there already and says something else\. Move it away, or name"):
        repair_file(folder, folder / "out.json", COMPONENTS)
    assert (folder / "out.json").read_text() == "{}"


def rows(**values: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Rows with any of these values, or without them."""
    return st.fixed_dictionaries({}, optional={key: st.sampled_from(found) for key, found in values.items()})


IDS: list[Any] = [1, 2, 3, "1", "2", "x", 1.0, 2.5, None, True, [1]]
SIDES = st.sampled_from([-50, -3, 0, 0.5, 1, 2, 9.75, 40, 45.5, "7", float("nan"), float("inf"), 10**400, None, True])
OUTLINES = [[], [[1, 2, 11, 2, 11, 22]], [[1, 2]], {"counts": "x"}, [[0, 0, 0, 0, 0, 0]]]
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
NAMES = ["a.png", "sub/b.png", "sub\\b.png", "turned.jpg", "gone.png", "../a.png", "", 3]
SIZES = [40, 30, "40", None, 0, -1, 31.0]
damaged_files = st.fixed_dictionaries(
    {
        "images": st.lists(rows(id=IDS, file_name=NAMES, width=SIZES, height=SIZES) | st.none(), max_size=4),
        "categories": st.lists(rows(id=IDS, name=["pin", "Pin", "tray", "plug", None]), max_size=3),
        "annotations": st.lists(
            st.builds(
                lambda row, box: row | ({} if box is None else {"bbox": box}),
                rows(id=IDS, image_id=IDS, category_id=IDS, segmentation=OUTLINES, attributes=ATTRIBUTES,
                     iscrowd=[0, 1], keypoints=[[], [1, 2, 2]], area=[1]),
                st.none() | st.lists(SIDES, min_size=3, max_size=5),
            ),
            max_size=6,
        ),
    }
)  # fmt: skip


@given(file=damaged_files)
def test_healing_twice_is_healing_once(file: dict[str, Any]) -> None:
    """Whatever is in a file, healing ends, and its result needs none."""
    after, _ = healed(file)

    assert repr(healed(after)) == repr((after, []))


sides = st.floats(-20, 60, allow_nan=False)
sound_boxes = st.tuples(st.integers(0, 30), st.integers(0, 20), st.integers(1, 10), st.integers(1, 10)).map(list)
bad_boxes = st.lists(SIDES, max_size=5) | st.lists(sides, min_size=4, max_size=4) | st.none()
damages: list[Callable[[dict[str, Any], int, Any], object]] = [
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
    boxes=st.lists(sound_boxes, min_size=2, max_size=4),
    damage=st.lists(st.tuples(st.sampled_from(damages), st.integers(0, 1), bad_boxes), max_size=6),
)
def test_what_was_damaged_in_certain_ways_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, boxes: list[list[int]], damage: list[tuple[Any, int, Any]]
) -> None:
    """However many of the healable damages meet in one file, the healed copy is read without a complaint."""
    folder = tmp_path_factory.getbasetemp() / "healed"
    (folder / "images" / "sub").mkdir(parents=True, exist_ok=True)
    for name in ("a.png", "sub/b.png"):
        Image.new("L", (40, 30)).save(folder / "images" / name)
    file = content()
    file["annotations"] = [
        {"id": n, "image_id": n % 2 + 1, "category_id": 5, "bbox": box, "attributes": {}} for n, box in enumerate(boxes)
    ]
    for spoil, row, box in damage:
        spoil(file, row, box)
    (folder / "annotations.json").write_text(json.dumps(file))
    (folder / "out.json").unlink(missing_ok=True)

    notes = repair_file(folder, folder / "out.json", COMPONENTS)

    dataset = read_dataset(folder, folder / "out.json" if notes else None)
    assert [scene.photo for scene in dataset.scenes] == ["a.png", "sub/b.png"]
    assert all(i.box.clip(40, 30) == i.box and i.box != Box(0, 0, 0, 0) for s in dataset.scenes for i in s.instances)
