"""Small marks: number of pips, boxes, and reproducibility."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from logicls.pretraining import photo_store, small_marks
from logicls.pretraining.drawing import SCALE, Pose
from logicls.pretraining.photo_store import read_mark_shards, store_marks
from logicls.pretraining.small_marks import PHOTO_SIDE, generate_mark, mark_kinds

PAPER, INK = (0.9, 0.9, 0.9), (0.0, 0.0, 0.0)


def count_blobs(canvas: np.ndarray) -> int:
    """Return the number of connected dark regions."""
    return int(cv2.connectedComponents((canvas[0] < 0.5).astype(np.uint8))[0]) - 1


def paint_mark(name: str, seed: int, degrees: float = 0.0) -> np.ndarray:
    """Return a large mark on uniform paper."""
    mark = next(one for one in mark_kinds() if one.name == name)
    canvas = np.full((3, 200 * SCALE, 200 * SCALE), PAPER[0], np.float32)
    mark.paint(canvas, Pose(100, 100, 160, degrees), INK, np.random.default_rng(seed))
    return canvas


@pytest.mark.parametrize("count", range(10))
def test_number_of_pips(count):
    """The pips are separate, whatever their layout."""
    assert {count_blobs(paint_mark(f"pips_{count}", seed)) for seed in range(12)} == {count}


@pytest.mark.parametrize("count", range(1, 7))
def test_number_of_bars(count):
    """The bars are separate."""
    assert {count_blobs(paint_mark(f"bars_{count}", seed)) for seed in range(8)} == {count}


@pytest.mark.parametrize("mark", mark_kinds(), ids=lambda mark: mark.name)
def test_mark_is_inside_body(mark):
    """A mark is visible and inside its body."""
    differs = np.abs(paint_mark(mark.name, 3) - PAPER[0]).max(0) > 0.1

    rows, columns = np.nonzero(differs)
    assert len(rows) or mark.name == "pips_0"
    assert all(20 * SCALE - 2 <= edge <= 180 * SCALE + 2 for edge in (*rows, *columns))


@pytest.mark.parametrize("name", ["pips_6", "bars_3", "star_outline", "torx", "7", "arrow_left", "needle_3"])
def test_mark_rotates_with_body(name):
    """A quarter turn rotates the mark (pictograms have directional shading and are not tested)."""
    upright, rotated = (paint_mark(name, 3, degrees) for degrees in (0.0, 90.0))

    back = np.rot90(rotated, 1, (1, 2))

    assert np.abs(back - upright).mean() < 0.1 * np.abs(upright - PAPER[0]).mean() + 1e-3


def test_names_are_unique():
    """Names of all kinds are unique."""
    assert len({mark.name for mark in mark_kinds()}) == len(mark_kinds()) >= 90


def test_orientation_bound_marks():
    """Orientation-bound marks are generated upright only."""
    rng = np.random.default_rng(0)

    rotated = {mark_kinds()[generate_mark(rng, upright=False).mark].is_orientation_bound for _ in range(60)}
    upright = {mark_kinds()[generate_mark(rng, upright=True).mark].is_orientation_bound for _ in range(60)}

    assert (rotated, upright) == ({False}, {False, True})


def test_shards_are_reused(tmp_path, monkeypatch):
    """The seed determines the shards, existing ones are not generated again, and boxes are inside the photo."""
    monkeypatch.setattr(photo_store, "MARKS_PER_SHARD", 6)
    counts: list[int] = []
    for folder in ("one", "other"):
        store_marks(tmp_path / folder, 2, seed=5, workers=0, on_photos=counts.append)
    monkeypatch.setattr(small_marks, "generate_mark", None)

    store_marks(tmp_path / "one", 2, seed=5, workers=0, on_photos=counts.append)

    shards, others = read_mark_shards(tmp_path / "one"), read_mark_shards(tmp_path / "other")
    assert counts == [0, 6, 6, 0, 6, 6, 12]
    assert [shard.pixels.shape for shard in shards] == [(6, PHOTO_SIDE, PHOTO_SIDE, 3)] * 2
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(shards, others, strict=True))
    assert not np.array_equal(shards[0].pixels, shards[1].pixels)
    for shard in shards:
        assert (shard.boxes[:, :2] < shard.boxes[:, 2:]).all()
        assert (np.abs(shard.boxes - 0.5) < 0.6).all()
        assert all(not mark_kinds()[number].is_orientation_bound for number in shard.marks[1::2])
