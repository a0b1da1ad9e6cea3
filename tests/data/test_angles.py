"""Angles of annotations: CVAT's rotation, polygons, and the pose that good photos show."""

from __future__ import annotations

import doctest
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from logicls.constraints.families.angles import fold_angle
from logicls.constraints.mining.infer import infer
from logicls.constraints.spec.models import Spec
from logicls.data import annotation_angles
from logicls.data.annotation_angles import measure_polygon_angle
from logicls.data.coco import read_dataset, read_dataset_for
from logicls.data.poses import measure_poses
from logicls.errors import DataError
from logicls.records import Box

FLOATS = st.floats(0, 360)


def spec(**rule: Any) -> Spec:
    """Build a spec with an orientation rule about pins."""
    head = {"logicls": 1, "product": {"name": "kit"}, "components": {"pin": {"attributes": {"colour": ["red"]}}}}
    variants = {"red_pin": {"of": "pin", "with": {"colour": "red"}}}
    body = {"of": "pin", "tolerance": 10, **rule}
    return Spec.model_validate({**head, "variants": variants, "constraints": [{"id": "c", "orientation": body}]})


def write(folder: Path, *annotations: dict[str, Any], category: str = "pin") -> Path:
    """Write a dataset of one photo of 200 x 100 pixels with these annotations."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    Image.new("L", (200, 100)).save(folder / "images" / "a.png")
    rows = [
        {"id": n, "image_id": 1, "category_id": 1, "bbox": [60, 30, 40, 20], **a} for n, a in enumerate(annotations, 1)
    ]
    images = [{"id": 1, "file_name": "a.png", "width": 200, "height": 100}]
    file = {"images": images, "categories": [{"id": 1, "name": category}], "annotations": rows}
    (folder / "annotations.json").write_text(json.dumps(file))
    return folder


def turned(degrees: float, *points: tuple[float, float]) -> list[float]:
    """Turn points counterclockwise on the photo about (100, 50)."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [v for x, y in points for v in (100 + x * c + y * s, 50 + y * c - x * s)]


def test_doctests() -> None:
    """The examples in the docstrings hold."""
    assert doctest.testmod(annotation_angles).failed == 0


def test_rotation_is_clockwise_and_no_attribute(tmp_path: Path) -> None:
    """The angle is counterclockwise, the box lies around the turned rectangle, the attribute is gone."""
    rows = [{"attributes": {"rotation": 90.0, "colour": "red"}}, {"attributes": {"rotation": 0.0}}]

    first, second = read_dataset(write(tmp_path, *rows)).scenes[0].instances

    assert (first.angle, first.attributes) == (270, (("colour", "red"),))
    assert [round(e, 6) for e in (first.box.x1, first.box.y1, first.box.x2, first.box.y2)] == [70, 20, 90, 60]
    assert (second.angle, second.attributes, second.box) == (0, (), Box(60, 30, 100, 50))


@pytest.mark.parametrize("value", ["up", True, None])
def test_a_rotation_that_is_no_number_stays_an_attribute(tmp_path: Path, value: object) -> None:
    """A product may call something else so; then it has values in words."""
    (instance,) = read_dataset(write(tmp_path, {"attributes": {"rotation": value}})).scenes[0].instances

    assert instance.angle == 0
    assert instance.attributes == ((("rotation", str(value).lower()),) if value is not None else ())


@given(FLOATS, st.booleans())
def test_oriented_boxes_have_a_first_corner(degrees: float, is_reversed: bool) -> None:
    """The first corner is the top left one of the component, in either direction of the outline."""
    corners = [(-20, -10), (20, -10), (20, 10), (-20, 10)]
    ordered = [corners[0], *corners[:0:-1]] if is_reversed else corners

    found = measure_polygon_angle([turned(degrees, *ordered)])

    assert found is not None
    assert found[1] == 360
    assert abs(fold_angle(found[0] - degrees)) < 1e-6


@given(FLOATS)
def test_outlines_have_the_angle_of_their_smallest_rectangle(degrees: float) -> None:
    """Of an outline the longer side counts, up to half a turn; OpenCV finds the same rectangle."""
    outline = turned(degrees, (-20, -8), (0, -10), (20, -8), (22, 0), (20, 8), (-20, 8))

    found = measure_polygon_angle([outline])
    _, (width, height), _ = cv2.minAreaRect(np.array(outline, np.float32).reshape(-1, 2))

    assert found is not None
    assert found[1] == 180
    assert abs(fold_angle(found[0] - degrees, 180)) < 3
    assert max(width, height) > 40


@pytest.mark.parametrize(
    "segmentation", [{"counts": "abc", "size": [1, 2]}, [], [[1, 2, 3, 4]], [[1, 2, 1, 2, 1, 2]], [["a", 1] * 3],
                     [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 7]], "x", [[1, 2, 3, 4, 5]]],
)  # fmt: skip
def test_segmentations_without_an_angle(segmentation: object) -> None:
    """Masks, several polygons and invalid ones have none."""
    assert measure_polygon_angle(segmentation) is None


def test_missing_and_ambiguous_angles_are_problems(tmp_path: Path) -> None:
    """A rule with `is` needs an angle, as exactly as it asks; one about the pose on good photos needs none."""
    long = [turned(30, (-20, -8), (20, -8), (22, 0), (20, 8), (-20, 8))]
    folder = write(tmp_path, {"segmentation": long}, {}, category="red_pin")

    with pytest.raises(DataError) as error:
        read_dataset_for(spec(**{"is": 30}), folder)
    instances = read_dataset_for(spec(), folder).scenes[0].instances

    assert [(p.code, p.message) for p in error.value.problems] == [
        ("LC113", 'annotation 1 ("red_pin") on "a.png" has a polygon, which gives its angle up to turns by 180°.'),
        ("LC113", 'annotation 2 ("red_pin") on "a.png" has no angle, and a rule needs it.'),
    ]
    assert [i.angle for i in instances] == [0, 0]


def test_polygons_give_angles_where_the_symmetry_allows_it(tmp_path: Path) -> None:
    """Half turns do not matter to a symmetric part."""
    folder = write(tmp_path, {"segmentation": [turned(30, (-20, -8), (20, -8), (22, 0), (20, 8), (-20, 8))]})

    (instance,) = read_dataset_for(spec(**{"is": 30, "symmetry": 180}), folder).scenes[0].instances

    assert abs(fold_angle(instance.angle - 30, 180)) < 3


def test_the_pose_on_good_photos_is_zero(tmp_path: Path) -> None:
    """Without `is`, angles are relative to their median; a dataset of defects takes that of the good photos."""
    good = write(tmp_path / "good", *[{"attributes": {"rotation": r}} for r in (270, 269, 271)])
    bad = write(tmp_path / "bad", {"attributes": {"rotation": 90}})

    dataset = read_dataset_for(spec(), good)
    defects = read_dataset_for(spec(), bad, reference_angles=dataset.reference_angles)

    assert dataset.reference_angles == {"pin": 90}
    assert [i.angle for i in dataset.scenes[0].instances] == [0, 1, 359]
    assert [i.angle for i in defects.scenes[0].instances] == [180]
    assert [i.angle for i in read_dataset_for(spec(**{"is": 90}), good).scenes[0].instances] == [90, 91, 89]


def draw_dataset(folder: Path, angles: list[int]) -> Path:
    """Write photos of a grey plate with a part that is dark at one end, turned by quarter turns; no angles."""
    (folder / "images").mkdir()
    rng, rows, images = np.random.default_rng(0), [], []
    for number, angle in enumerate(angles, 1):
        photo = rng.integers(110, 130, (80, 80, 3), np.uint8)
        photo[30:50, 20:60] = 200
        photo[30:50, 20:32] = 20
        photo = np.rot90(photo, angle // 90).copy()
        x, y, w, h = (20, 30, 40, 20) if angle % 180 == 0 else (30, 20, 20, 40)
        Image.fromarray(photo).save(folder / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 80, "height": 80})
        rows.append({"id": number, "image_id": number, "category_id": 1, "bbox": [x, y, w, h]})
    file = {"images": images, "categories": [{"id": 1, "name": "pin"}], "annotations": rows}
    (folder / "annotations.json").write_text(json.dumps(file))
    return folder


@pytest.mark.parametrize(
    ("angles", "rules", "questions"),
    [
        ([0] * 15, ["pin-orientation"], []),
        ([0] * 14 + [180], [], ['Must every "pin" lie the same way round? It is turned on 15.png.']),
        ([0, 90, 180, 270] * 4, [], []),
        ([0] * 5, [], []),
    ],
)
def test_photos_show_what_never_turns(
    tmp_path: Path, angles: list[int], rules: list[str], questions: list[str]
) -> None:
    """One pose is a rule, a single exception a question; parts in any pose and few photos give neither."""
    dataset = read_dataset(draw_dataset(tmp_path, angles))

    draft = infer(dataset.scenes, dataset.categories, poses=measure_poses(dataset))

    assert [r.id for r in draft.rules.proposals if r.family == "orientation"] == rules
    assert [q.text for q in draft.rules.questions if q.proposal.family == "orientation"] == questions


def test_a_part_that_looks_the_same_turned_is_not_proposed(tmp_path: Path) -> None:
    """Nobody can see half a turn of a plain part."""
    dataset = read_dataset(draw_dataset(tmp_path, [0] * 15))
    for photo in (tmp_path / "images").iterdir():
        pixels = np.asarray(Image.open(photo)).copy()
        pixels[30:50, 48:60] = 20
        Image.fromarray(pixels).save(photo)

    draft = infer(dataset.scenes, dataset.categories, poses=measure_poses(dataset))

    assert [r.id for r in draft.rules.proposals if r.family == "orientation"] == []


@pytest.mark.parametrize(
    ("rotations", "body"),
    [
        ([10.0, 12.0, 8.0] * 5, {"of": "pin", "tolerance": 10.0}),
        ([0.0, 180.0, 181.0] * 5, {"of": "pin", "is": [0.0, 180.0], "tolerance": 10.0}),
        ([0.0, 40.0, 80.0, 120.0, 160.0] * 3, None),
    ],
)
def test_annotated_angles_decide(tmp_path: Path, rotations: list[float], body: dict[str, Any] | None) -> None:
    """One pose, two poses, or any angle."""
    folder = draw_dataset(tmp_path, [0] * 15)
    file = json.loads((folder / "annotations.json").read_text())
    for row, rotation in zip(file["annotations"], rotations, strict=True):
        row["attributes"] = {"rotation": rotation}
    (folder / "annotations.json").write_text(json.dumps(file))
    dataset = read_dataset(folder)

    draft = infer(dataset.scenes, dataset.categories, poses={})
    found = [r.body for r in draft.rules.proposals if r.family == "orientation"]

    assert found == ([body] if body else [])
