"""Resolution check: whether attribute values can be read at the input's resolution."""

from __future__ import annotations

import io

import datasets
import numpy as np
import pytest
from PIL import Image, ImageDraw

from logicls.models.nano import NanoImageProcessor
from logicls.train.resolution_check import (
    LEGIBLE_PIXELS,
    MIN_ACCURACY,
    check_resolution,
    lie_at_any_angle,
    measure_linear_accuracy,
)

COARSE = NanoImageProcessor((96, 96))
BOXES = [[16.0, 16.0, 40.0, 40.0], [70.0, 24.0, 94.0, 48.0], [30.0, 80.0, 54.0, 104.0]]
COLOURS = {"red": (200, 30, 30), "blue": (30, 30, 200)}
PIPS = {"two": [(-6, -6), (6, 6)], "three": [(0, -8), (7, 4), (-7, 4)]}


def make_rows(kind: str, *, photos: int = 12) -> datasets.Dataset:
    """Make photos of 192 pixels with three bodies each that have a colour, or pips."""
    rng, made = np.random.default_rng(0), []
    values = COLOURS if kind == "colour" else PIPS
    for number in range(photos * 4):
        picture = Image.new("RGB", (192, 192), (128, 128, 128))
        draw, labels = ImageDraw.Draw(picture), []
        for x1, y1, x2, y2 in BOXES:
            labels.append(str(rng.choice(list(values))))
            ink = tuple(int(v) for v in rng.integers(90, 180, 3))
            draw.rectangle((x1, y1, x2, y2), fill=COLOURS.get(labels[-1], ink))
            turn, dot = rng.uniform(0, 2 * np.pi), (10,) * 3 if rng.random() < 0.5 else (255,) * 3
            for dx, dy in PIPS.get(labels[-1], ()):
                x = (x1 + x2) / 2 + dx * np.cos(turn) - dy * np.sin(turn)
                y = (y1 + y2) / 2 + dx * np.sin(turn) + dy * np.cos(turn)
                draw.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=dot)
        file = io.BytesIO()
        picture.save(file, "png")
        made.append({
            "image": {"bytes": file.getvalue(), "path": None}, "width": 192, "height": 192,
            "photo": f"{number % photos}.jpg", "queries": ["locate:body", f"attribute:body.{kind}"],
            "values": [[], labels], "boxes": [BOXES, []],
        })  # fmt: skip
    return datasets.Dataset.from_list(made).cast_column("image", datasets.Image(decode=False))


def test_colours_are_readable_and_pips_are_not() -> None:
    """Both bodies are twelve pixels wide in the input."""
    assert measure_linear_accuracy(make_rows("colour"), COARSE, "attribute:body.colour") > 0.98
    assert measure_linear_accuracy(make_rows("pips"), COARSE, "attribute:body.pips") < MIN_ACCURACY


def test_only_unreadable_attributes_require_detail() -> None:
    """At most the resolution that photos have."""
    easy, hard = check_resolution(make_rows("colour"), COARSE), check_resolution(make_rows("pips"), COARSE)

    assert (easy.attribute, easy.median_pixels, easy.required_detail) == ("body.colour", 12.0, 1)
    assert (hard.attribute, hard.median_pixels, hard.required_detail) == ("body.pips", 12.0, 2)
    assert (easy.report(1), len(hard.report(1)), len(hard.report(2))) == ([], 1, 1)


def test_large_instances_are_not_classified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their attribute."""
    monkeypatch.setattr("logicls.train.resolution_check.measure_linear_accuracy", lambda *_: pytest.fail("tried"))
    large_input = NanoImageProcessor((320, 320))

    assert check_resolution(make_rows("pips", photos=3), large_input).median_pixels > LEGIBLE_PIXELS
    assert check_resolution(make_rows("pips", photos=3), large_input).required_detail == 1


def test_few_photos_score_zero_and_one_value_scores_one() -> None:
    """An attribute that cannot be tested counts as unreadable."""
    few = make_rows("colour", photos=2)
    same = few.map(lambda row: {"values": [[], ["red"] * 3]})

    assert measure_linear_accuracy(few, COARSE, "attribute:body.colour") == 0.0
    assert measure_linear_accuracy(same, COARSE, "attribute:body.colour") == 1.0
    assert measure_linear_accuracy(few, COARSE, "attribute:body.size") == 1.0


def test_a_value_on_one_photo_cannot_be_learned_from_the_others() -> None:
    """Its fold is classified by what the other photos show, which may be a single value."""
    rows = make_rows("colour").map(
        lambda row: {"values": [[], ["blue" if row["photo"] == "0.jpg" else "red"] * len(BOXES)]}
    )

    assert measure_linear_accuracy(rows, COARSE, "attribute:body.colour") <= 0.5


def make_slanted_rows() -> datasets.Dataset:
    """Make photos of 200 pixels with a bar at any angle, plain or with a dark middle, 80 pixels long and 4 thick."""
    rng, made = np.random.default_rng(0), []
    for number in range(48):
        picture = Image.new("RGB", (200, 200), (128, 128, 128))
        kind, angle = str(rng.choice(["plain", "banded"])), rng.uniform(0, np.pi)
        along = np.array([np.cos(angle), np.sin(angle)])
        draw, ends = ImageDraw.Draw(picture), [np.array([100, 100]) + along * s * 40 for s in (-1, 1)]
        draw.line([tuple(end) for end in ends], fill=(220, 220, 220), width=4)
        if kind == "banded":
            middle = [tuple(np.array([100, 100]) + along * s * 6) for s in (-1, 1)]
            draw.line(middle, fill=(20, 20, 20), width=4)
        low, high = np.min(ends, axis=0) - 3, np.max(ends, axis=0) + 3
        file = io.BytesIO()
        picture.save(file, "png")
        made.append({
            "image": {"bytes": file.getvalue(), "path": None}, "width": 200, "height": 200, "photo": f"{number}.jpg",
            "queries": ["locate:screw", "attribute:screw.kind"], "values": [[], [kind]],
            "boxes": [[[*low, *high]], []],
        })  # fmt: skip
    return datasets.Dataset.from_list(made).cast_column("image", datasets.Image(decode=False))


def test_thin_parts_at_any_angle_require_crops_along_diagonals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of their boxes, if nothing depends on the angle and a linear classifier cannot read them."""
    monkeypatch.setattr("logicls.train.resolution_check.measure_linear_accuracy", lambda *_: 0.8)
    rows, large = make_slanted_rows(), NanoImageProcessor((192, 192))

    result = check_resolution(rows, large, orientation_invariant=True)

    assert result.median_pixels > LEGIBLE_PIXELS
    assert (result.along_diagonals, result.required_detail) == (True, 1)
    assert result.report(1) == ["screw.kind is of thin parts at any angle: crops lie along the diagonals of the boxes"]
    assert not check_resolution(rows, large).along_diagonals
    monkeypatch.setattr("logicls.train.resolution_check.measure_linear_accuracy", lambda *_: 1.0)
    assert not check_resolution(rows, large, orientation_invariant=True).along_diagonals


def test_boxes_of_parts_at_any_angle_are_wide_and_high() -> None:
    """Those of one pose, or of squares, are not."""
    wide, high, square = [60.0, 20.0], [20.0, 60.0], [30.0, 30.0]

    assert lie_at_any_angle(np.array([wide, high, square, square]))
    assert not lie_at_any_angle(np.array([wide, wide, square, square]))
    assert not lie_at_any_angle(np.array([square] * 4))
