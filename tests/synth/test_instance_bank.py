"""Masks of instances: annotated segmentations, and estimates where there are none."""

from __future__ import annotations

import json
from dataclasses import replace

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
from logicls.synth.instance_bank import InstanceBank, estimate_mask


def draw_disc(size: int, radius: int) -> np.ndarray:
    """A white disc in the middle of a grey photo."""
    photo = np.full((size, size, 3), 90, np.uint8)
    cv2.circle(photo, (size // 2, size // 2), radius, (240, 240, 240), -1)
    return photo


def test_the_mask_of_a_disc_excludes_the_corners() -> None:
    """The estimate covers the disc, not the box."""
    mask = estimate_mask(draw_disc(120, 30), Box(30, 30, 90, 90))

    expected = np.zeros((60, 60))
    y, x = np.mgrid[:60, :60]
    expected[(x - 29.5) ** 2 + (y - 29.5) ** 2 <= 30**2] = 1
    iou = np.minimum(mask, expected).sum() / np.maximum(mask, expected).sum()
    assert iou > 0.93


@pytest.mark.parametrize(
    "box", [Box(0, 0, 120, 120), Box(5, 5, 9, 9), Box(40, 40, 80, 80)], ids=["all", "tiny", "plain"]
)
def test_an_implausible_estimate_falls_back_to_the_box(box: Box) -> None:
    """No surroundings, no pixels, or no contrast: the mask is the box."""
    assert (estimate_mask(np.full((120, 120, 3), 90, np.uint8), box) == 1).all()


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
