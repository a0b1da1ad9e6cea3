"""Masks of instances: annotated segmentations, and estimates where there are none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from logicls.data.coco import Dataset
from logicls.data.segmentation import Segmentation, read_segmentations
from logicls.errors import DataError
from logicls.records import Box, Instance, Scene
from logicls.synth.image_ops import pixel_bounds
from logicls.synth.instance_bank import InstanceBank, is_whole
from logicls.synth.masks import MaskEstimate, estimate_mask

RUNS = st.tuples(st.integers(2, 30), st.integers(2, 30), st.integers(0, 2**32 - 1), st.floats(0, 1))


@given(RUNS)
def test_run_lengths_round_trip(case) -> None:
    """A mask encoded by pycocotools decodes to itself, compressed or as a list."""
    height, width, seed, density = case
    mask = (np.random.default_rng(seed).random((height, width)) < density).astype(np.uint8)
    encoded = coco_mask.encode(np.asfortranarray(mask))

    segmentations = read_one_segmentation(
        {"size": [height, width], "counts": encoded["counts"].decode()}, width, height
    )

    assert np.array_equal(segmentations[1].to_mask(width, height), mask.astype(bool))


def read_one_segmentation(segmentation, width: int = 40, height: int = 30, folder=None):
    """Segmentations read from one annotation."""
    import tempfile
    from pathlib import Path

    root = Path(folder or tempfile.mkdtemp())
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "segmentation": segmentation}
    (root / "annotations.json").write_text(json.dumps({"annotations": [row]}))
    scene = Scene("a.png", width, height, (Instance(1, "pin", Box(1, 1, 6, 6)),))
    return read_segmentations(Dataset(root, (scene,), ""))


def test_a_polygon_is_rasterised() -> None:
    """A rectangle as a polygon covers its pixels."""
    segmentations = read_one_segmentation([[10, 5, 20, 5, 20, 15, 10, 15]])

    mask = segmentations[1].to_mask(40, 30)
    assert (mask[5:15, 10:20]).all()
    assert mask.sum() == 100


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3, 4]], "is not a list of polygons"),
        ([[1, 2, 3, 4, float("nan"), 6]], "is not a list of polygons"),
        ({"size": [40, 30], "counts": [1200]}, "is neither a list of polygons nor an RLE of 40 x 30 pixels"),
        ({"size": [30, 40], "counts": [1199]}, "has run lengths for 1199 pixels instead of 1200"),
        ({"size": [30, 40], "counts": [-1, 1201]}, "has no valid run lengths"),
        ({"size": [30, 40], "counts": "\u00e9"}, "has no valid run lengths"),
        ({"size": [30, 40], "counts": "PPPPPPPPPP"}, "has no valid run lengths"),
        ("all", "is neither a list of polygons nor an RLE"),
    ],
)
def test_an_invalid_segmentation_is_an_error(tmp_path, segmentation, message: str) -> None:
    """Values that pycocotools would accept unchecked are rejected."""
    with pytest.raises(DataError, match=f"LC112 segmentation .* of annotation 1 {message}"):
        read_one_segmentation(segmentation, folder=tmp_path)


def test_an_annotated_segmentation_is_used(bank: InstanceBank) -> None:
    """An annotated segmentation replaces the estimate."""
    scene = bank.dataset.scenes[0]
    tablet = scene.instances_of("tablet")[0]
    x, y = tablet.box.centre
    triangle = Segmentation(polygons=((x, y, x + 5, y, x + 5, y + 5, x, y + 5),))

    mask = replace(bank, segmentations={tablet.id: triangle}).load_mask(scene, tablet)

    assert mask.shape == bank.load_mask(scene, tablet).shape
    assert 16 <= mask.sum() <= 40


def draw_bars(*ends: tuple[tuple[int, int], tuple[int, int]]) -> tuple[np.ndarray, Scene]:
    """Dark bars on a light, grainy ground, with their boxes."""
    photo = np.random.default_rng(0).normal(170, 4, (240, 320, 3)).clip(0, 255).astype(np.uint8)
    instances = []
    for number, (first, second) in enumerate(ends, start=1):
        cv2.line(photo, first, second, (60, 70, 90), 9)
        (x1, x2), (y1, y2) = (sorted(pair) for pair in zip(first, second, strict=True))
        instances.append(Instance(number, "bar", Box(x1 - 5, y1 - 5, x2 + 6, y2 + 6)))
    return photo, Scene("bars.png", 320, 240, tuple(instances))


def bank_of(tmp_path: Path, photo: np.ndarray, scene: Scene) -> InstanceBank:
    """A bank of one photo."""
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / scene.photo), photo[..., ::-1])
    return InstanceBank(Dataset(tmp_path, (scene,), ""))


def test_the_mask_of_an_edited_instance_is_that_of_the_annotation(bank: InstanceBank) -> None:
    """Whether the instance or its edited copy comes first, the mask covers the annotated box."""
    scene = bank.dataset.scenes[0]
    liquid = scene.instances_of("liquid")[0]
    lowered = replace(liquid, box=replace(liquid.box, y1=liquid.box.y1 + 40))
    edited = replace(scene, instances=tuple(lowered if i.id == liquid.id else i for i in scene.instances))
    first, second = InstanceBank(bank.dataset), InstanceBank(bank.dataset)

    masks = first.load_mask(edited, lowered), second.load_mask(scene, liquid)

    assert np.array_equal(*masks)
    assert first.is_whole(scene, liquid) == second.is_whole(scene, liquid)


def test_a_slanted_thing_is_not_pasted_as_its_box(tmp_path: Path) -> None:
    """A bar across its box has a mask of its own area."""
    photo, scene = draw_bars(((60, 40), (200, 150)))
    bank = bank_of(tmp_path, photo, scene)

    mask = bank.load_mask(scene, scene.instances[0])

    bar = np.zeros(photo.shape[:2], np.uint8)
    cv2.line(bar, (60, 40), (200, 150), (1,), 9)
    x1, y1, x2, y2 = pixel_bounds(scene.instances[0].box, scene)
    truth = bar[y1:y2, x1:x2] > 0
    assert truth.mean() < 0.15
    assert (truth & (mask > 0.5)).sum() / (truth | (mask > 0.5)).sum() > 0.8


APART = ((30, 40), (120, 120)), ((200, 40), (280, 130))
BOXES_OVERLAP = ((30, 40), (150, 160)), ((145, 75), (205, 25))
CROSSING = ((60, 40), (200, 180)), ((200, 50), (60, 170))
CUT_OFF = ((-20, 40), (90, 120)), ((200, 40), (280, 130))


@pytest.mark.parametrize(
    ("ends", "expected"),
    [(APART, [True, True]), (BOXES_OVERLAP, [True, True]), (CROSSING, [False, False]), (CUT_OFF, [False, True])],
    ids=["apart", "boxes overlap", "crossing", "cut off"],
)
def test_what_touches_or_is_cut_off_is_not_whole(
    tmp_path: Path, ends: tuple[tuple[tuple[int, int], tuple[int, int]], ...], expected: list[bool]
) -> None:
    """Boxes may overlap as long as the things do not touch; what the edge cuts off is a part."""
    photo, scene = draw_bars(*ends)
    clipped = tuple(replace(i, box=i.box.clip(320, 240)) for i in scene.instances)
    bank = bank_of(tmp_path, photo, replace(scene, instances=clipped))

    assert [bank.is_whole(bank.dataset.scenes[0], i) for i in clipped] == expected


def test_whole_donors_have_precedence(tmp_path: Path) -> None:
    """Parts of other things are drawn only if nothing else exists."""
    photo, scene = draw_bars(*CROSSING, ((240, 60), (300, 200)))
    bank, rng = bank_of(tmp_path, photo, scene), np.random.default_rng(0)
    crossing = InstanceBank(replace(bank.dataset, scenes=(replace(scene, instances=scene.instances[:2]),)))

    drawn = {donor.instance.id for donor in (bank.sample("bar", rng) for _ in range(20)) if donor}
    leftovers = {donor.instance.id for donor in (crossing.sample("bar", rng) for _ in range(20)) if donor}

    assert (drawn, leftovers) == ({3}, {1, 2})
    assert (bank.has_whole("bar"), crossing.has_whole("bar")) == (True, False)


def test_what_lies_on_a_thing_belongs_to_it() -> None:
    """A label is whole with the icon on it; a thing in a corner of its box that it does not reach is foreign."""
    label, icon = Instance(1, "label", Box(20, 20, 80, 80)), Instance(2, "icon", Box(30, 30, 50, 50))
    scene = Scene("a.png", 100, 100, (label, icon))
    masks = {1: np.ones((60, 60), np.float32), 2: np.ones((20, 20), np.float32)}
    slanted = {**masks, 1: np.fliplr(np.eye(60, dtype=np.float32))}

    assert is_whole(scene, label, lambda i: masks[i.id])
    assert is_whole(scene, icon, lambda i: masks[i.id])
    assert not is_whole(scene, label, lambda i: slanted[i.id])


def test_labels_are_not_segmented_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After twelve labels that fill their boxes, the others are taken to do so; bars are segmented each."""
    photo = np.random.default_rng(0).normal(120, 4, (400, 700, 3)).clip(0, 255).astype(np.uint8)
    instances = []
    for number in range(20):
        x, y = 20 + 130 * (number % 5), 20 + 95 * (number // 5)
        photo[y : y + 60, x : x + 90] = (230, 220, 200)
        instances.append(Instance(number + 1, "label", Box(x, y, x + 90, y + 60)))
    bank = bank_of(tmp_path, photo, Scene("labels.png", 700, 400, tuple(instances)))
    segmented: list[Box] = []

    def estimate(photo: np.ndarray, box: Box, others: list[Box]) -> MaskEstimate:
        segmented.append(box)
        return estimate_mask(photo, box, others)

    monkeypatch.setattr("logicls.synth.instance_bank.estimate_mask", estimate)

    assert all((bank.load_mask(bank.dataset.scenes[0], i) == 1).all() for i in instances)
    assert all(bank.is_mask_certain(bank.dataset.scenes[0], i) for i in instances)
    assert len(segmented) == 12
