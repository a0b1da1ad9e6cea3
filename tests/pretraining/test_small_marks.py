"""Small marks: as many pips as are said, where the box is, and the same ones from the same seed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from logicls.pretraining import photo_store as stored
from logicls.pretraining import small_marks as made
from logicls.pretraining.drawing import SCALE, Pose
from logicls.pretraining.photo_store import read_mark_shards, store_marks
from logicls.pretraining.small_marks import PHOTO_SIDE, generate_mark, mark_kinds

PAPER, INK = (0.9, 0.9, 0.9), (0.0, 0.0, 0.0)


def blots(canvas: np.ndarray) -> int:
    """Dark parts that hang together."""
    return int(cv2.connectedComponents((canvas[0] < 0.5).astype(np.uint8))[0]) - 1


def painted(name: str, seed: int, degrees: float = 0.0) -> np.ndarray:
    """A mark on even paper, large."""
    mark = next(one for one in mark_kinds() if one.name == name)
    canvas = np.full((3, 200 * SCALE, 200 * SCALE), PAPER[0], np.float32)
    mark.paint(canvas, Pose(100, 100, 160, degrees), INK, np.random.default_rng(seed))
    return canvas


@pytest.mark.parametrize("count", range(10))
def test_as_many_pips_as_are_said(count):
    """Apart from one another, however they are laid out."""
    assert {blots(painted(f"pips_{count}", seed)) for seed in range(12)} == {count}


@pytest.mark.parametrize("count", range(1, 7))
def test_as_many_bars_as_are_said(count):
    """Apart from one another."""
    assert {blots(painted(f"bars_{count}", seed)) for seed in range(8)} == {count}


@pytest.mark.parametrize("mark", mark_kinds(), ids=lambda mark: mark.name)
def test_a_mark_lies_on_its_body(mark):
    """It does not leave the body, and is to be seen."""
    inked = np.abs(painted(mark.name, 3) - PAPER[0]).max(0) > 0.1

    rows, columns = np.nonzero(inked)
    assert len(rows) or mark.name == "pips_0"
    assert all(20 * SCALE - 2 <= edge <= 180 * SCALE + 2 for edge in (*rows, *columns))


@pytest.mark.parametrize("name", ["pips_6", "bars_3", "star_outline", "torx", "7", "arrow_left", "needle_3"])
def test_a_mark_turns_with_its_body(name):
    """By a quarter it is the same picture turned; pictures are lit from one side, and are not looked at here."""
    upright, turned = (painted(name, 3, degrees) for degrees in (0.0, 90.0))

    back = np.rot90(turned, 1, (1, 2))

    assert np.abs(back - upright).mean() < 0.1 * np.abs(upright - PAPER[0]).mean() + 1e-3


def test_names_are_one_each():
    """Letters, pips, bars, signs, drives, pictures, ways and needles are told apart by them."""
    assert len({mark.name for mark in mark_kinds()}) == len(mark_kinds()) >= 90


def test_what_may_not_be_turned_is_upright():
    """A seven lying on its side is no seven; all others are turned."""
    rng = np.random.default_rng(0)

    turned = {mark_kinds()[generate_mark(rng, upright=False).mark].is_orientation_bound for _ in range(60)}
    standing = {mark_kinds()[generate_mark(rng, upright=True).mark].is_orientation_bound for _ in range(60)}

    assert (turned, standing) == ({False}, {False, True})


def test_shards_are_made_once(tmp_path, monkeypatch):
    """The same seed makes the same, and what is there is not made again; boxes lie on the photo."""
    monkeypatch.setattr(stored, "MARKS_PER_SHARD", 6)
    told: list[int] = []
    for folder in ("one", "other"):
        store_marks(tmp_path / folder, 2, seed=5, workers=0, on_photos=told.append)
    monkeypatch.setattr(made, "generate_mark", None)

    store_marks(tmp_path / "one", 2, seed=5, workers=0, on_photos=told.append)

    shards, others = read_mark_shards(tmp_path / "one"), read_mark_shards(tmp_path / "other")
    assert told == [0, 6, 6, 0, 6, 6, 12]
    assert [shard.pixels.shape for shard in shards] == [(6, PHOTO_SIDE, PHOTO_SIDE, 3)] * 2
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(shards, others, strict=True))
    assert not np.array_equal(shards[0].pixels, shards[1].pixels)
    for shard in shards:
        assert (shard.boxes[:, :2] < shard.boxes[:, 2:]).all()
        assert (np.abs(shard.boxes - 0.5) < 0.6).all()
        assert all(not mark_kinds()[number].upright for number in shard.marks[1::2])
