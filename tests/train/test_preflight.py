"""Preflight: errors come before the first step."""

from __future__ import annotations

import io
import math
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from logicls.errors import DataError
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.train import preflight as preflight_
from logicls.train import resolution_check as legible
from logicls.train.encoding import decode_image
from logicls.train.preflight import find_exclusive_components, preflight


@pytest.fixture(scope="module")
def checked(synth, tmp_path_factory):
    """Inputs of 16 visual tokens."""
    return preflight(synth, tmp_path_factory.mktemp("cache"), visual_tokens=16)


@pytest.fixture(scope="module")
def rows(synth):
    """Dataset as it is on disk."""
    return pq.read_table(next((synth / "data").glob("*.parquet"))).to_pylist()


def test_every_question_is_encoded(checked, rows):
    """Every question, and every answer that is written as values, in order."""
    codec = NanoAnswerCodec(checked.processor)

    prompts = [tuple(tuple(codec.encode_prompt(question)) for question in row["questions"]) for row in rows]

    words, as_values = checked.processor.tokenizer.convert_ids_to_tokens, ("attribute", "verdict")
    actual = [[words(a) for a, q in zip(e.answers, row["queries"], strict=True) if q.startswith(as_values)]
            for e, row in zip(checked.examples, rows, strict=True)]  # fmt: skip
    assert [example.prompts for example in checked.examples] == prompts
    assert actual == [
        [[*(f"<{v}>" for v in values or ["none"]), "<end>"]
         for values, q in zip(row["values"], row["queries"], strict=True) if q.startswith(as_values)]
        for row in rows
    ]  # fmt: skip


def test_photos_are_letterboxed(checked, rows):
    """Each photo at the model's size, at the number of its example."""
    fitted = [
        checked.processor.image_processor.letterbox(
            np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB"))
        )
        for row in rows
    ]

    assert checked.pixels.shape == (20, 64, 64, 3)
    assert np.array_equal(checked.pixels, np.stack(fitted))


def test_report_names_the_smallest_component(checked, rows):
    """Counts, the smallest component with its example, and advice."""
    boxes = [(q, b, n) for n, row in enumerate(rows) for q, bs in zip(row["queries"], row["boxes"], strict=True)
             for b in bs]  # fmt: skip
    query, box, number = min(boxes, key=lambda found: shorter_side_of(found[1]))
    name, tokens = query.removeprefix("locate:"), shorter_side_of(box) * 64 / 320 / 16

    longest = max(sum(map(len, (*e.prompts, *e.answers))) for e in checked.examples)
    assert checked.smallest_component == (name, pytest.approx(tokens), number)
    assert checked.max_boxes == max(len(bs) for row in rows for bs in row["boxes"])
    assert checked.report == [
        f"20 examples, 16 visual tokens, at most {longest} text tokens; input 64 x 64 pixels",
        f"smallest component: {name}, {tokens:.1f} visual tokens across (example {number})",
        f"warning: {name} is small: neighbours may be detected as one, and boxes are inaccurate; "
        f"crop the photos, or raise visual_tokens (to {round(16 / tokens**2)})",
        f"mark.shape is read from {checked.resolution.median_pixels:.0f} pixels across, too few for a linear "
        "classifier: raise detail in the recipe (to 4)",
    ]


def test_detail_is_chosen_with_the_visual_tokens(synth, tmp_path, monkeypatch):
    """The resolution that small instances need and photos have, if a linear classifier fails."""
    monkeypatch.setattr(preflight_, "MIN_VISUAL_TOKENS", 64)
    monkeypatch.setattr(preflight_, "MAX_VISUAL_TOKENS", 64)
    monkeypatch.setattr(legible, "MIN_ACCURACY", 0.0)
    easy = preflight(synth, tmp_path / "a")
    monkeypatch.setattr(legible, "MIN_ACCURACY", 2.0)
    hard = preflight(synth, tmp_path / "b")
    plain = preflight(synth, tmp_path / "c", detail=1)
    few = preflight(synth, tmp_path / "d", visual_tokens=64)

    assert [one.processor.image_processor.detail for one in (easy, hard, plain, few)] == [1, 2, 1, 1]
    assert [one.resolution.required_detail for one in (easy, hard, plain, few)] == [1, 2, 2, 2]
    assert hard.pixels.shape[1:3] == tuple(2 * side for side in plain.pixels.shape[1:3])
    assert "mark.shape" not in "".join(easy.report)
    assert hard.report[-1] == (
        f"mark.shape is read from {2 * hard.resolution.median_pixels:.0f} pixels across: "
        "crops have 2 times the input's resolution (detail)"
    )
    assert plain.report[-1] == (
        f"mark.shape is read from {plain.resolution.median_pixels:.0f} pixels across, too few for a linear classifier: "
        "raise detail in the recipe (to 2)"
    )


def shorter_side_of(box):
    """Return the shorter side of a box."""
    return min(box[2] - box[0], box[3] - box[1])


def test_default_visual_tokens_suit_the_smallest_component(synth, tmp_path, rows):
    """95 % of each component's boxes are at least a token wide, and no time is spent on more."""
    checked = preflight(synth, tmp_path)

    rows_of, columns = (side // 16 for side in checked.processor.image_processor.size)
    found: dict[str, list[float]] = {}
    for row in rows:
        scale, _, _ = checked.processor.image_processor.letterbox_transform(row["width"], row["height"])
        for query, boxes in zip(row["queries"], row["boxes"], strict=True):
            found.setdefault(query, []).extend(shorter_side_of(box) * scale / 16 for box in boxes)
    few = min(np.quantile(sides, 0.05) for sides in found.values() if sides)
    assert 128 < rows_of * columns < 640
    assert few == pytest.approx(1.0, rel=0.06)


def test_default_visual_tokens_separate_neighbours(synth, tmp_path, rows, monkeypatch):
    """95 % of the instances have the required tokens to the nearest one; a single instance has no neighbour."""
    monkeypatch.setattr(preflight_, "MIN_TOKENS_APART", 3.0)
    checked = preflight(synth, tmp_path)

    rows_of, columns = (side // 16 for side in checked.processor.image_processor.size)
    gaps: dict[str, list[float]] = {}
    for row in rows:
        scale, _, _ = checked.processor.image_processor.letterbox_transform(row["width"], row["height"])
        for query, boxes in zip(row["queries"], row["boxes"], strict=True):
            middles = [((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in boxes]
            for one in middles:
                others = [math.dist(one, other) * scale / 16 for other in middles if other is not one]
                gaps.setdefault(query, []).append(min(others, default=math.inf))
    assert 128 < rows_of * columns < 640
    assert min(sorted(found)[len(found) // 20] for found in gaps.values() if found) == pytest.approx(3.0, rel=0.08)


def test_default_visual_tokens_stay_within_bounds(synth, tmp_path, monkeypatch):
    """A tiny component does not cost hours, and large ones do not shrink the input too far."""
    monkeypatch.setattr("logicls.train.preflight.MIN_TOKENS_APART", 0.1)
    monkeypatch.setattr("logicls.train.preflight.MIN_TOKENS_ACROSS", 9.0)
    assert 600 < preflight(synth, tmp_path).processor.image_tokens < 680

    monkeypatch.setattr("logicls.train.preflight.MIN_TOKENS_ACROSS", 0.1)
    assert 120 < preflight(synth, tmp_path).processor.image_tokens < 136


def test_pixels_are_cached(synth, tmp_path):
    """A second preflight finds them, and reports the same number of examples."""
    plain: list[int] = []
    preflight(synth, tmp_path, visual_tokens=16)
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("pixels-*")}

    preflight(synth, tmp_path, visual_tokens=16, on_progress=plain.append)

    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("pixels-*")} == made
    assert [path.suffix for path in made] == [".npy"]
    assert sum(plain) == 20


def test_a_folder_without_examples_is_refused(synth, tmp_path):
    """With advice."""
    shutil.copy(synth / "spec.yaml", tmp_path)

    with pytest.raises(DataError) as caught:
        preflight(tmp_path, tmp_path / "cache", visual_tokens=16)

    assert str(caught.value) == f"{tmp_path} LC402 contains no examples. Make them with `logicls synth`."


def test_an_undecodable_photo_is_named(synth, tmp_path):
    """By the number of its example, and partly written pixels are not reused."""
    shutil.copytree(synth, tmp_path / "synth")
    shard = next((tmp_path / "synth" / "data").glob("*.parquet"))
    table = pq.read_table(shard)
    images = table["image"].to_pylist()
    images[3] = {"bytes": b"no picture", "path": None}
    column = pa.array(images, type=table.schema.field("image").type)
    pq.write_table(table.set_column(table.schema.get_field_index("image"), table.schema.field("image"), column), shard)

    with pytest.raises(DataError, match="LC403 the photo of example 3 is not an image") as caught:
        preflight(tmp_path / "synth", tmp_path / "cache", visual_tokens=16)

    assert len(caught.value.problems) == 1
    assert not list((tmp_path / "cache").glob("pixels-*.npy"))


def test_images_become_rgb():
    """A grey or a transparent image has three channels."""
    file = io.BytesIO()
    Image.new("L", (3, 2), 7).save(file, "PNG")

    pixels = decode_image(file.getvalue(), 0)

    assert (pixels.shape, pixels.max(), pixels.min()) == ((2, 3, 3), 7, 7)


def example_row(category, **boxes):
    """Return the columns of a row that shows these boxes."""
    return {
        "category": category,
        "queries": [f"locate:{name}" for name in boxes],
        "boxes": list(boxes.values()),
    }


def test_components_that_never_share_a_place_exclude_one_another():
    """Bottle and label overlap little, bottle and content much; an edit that puts a screw on another does not count."""
    bottle, label, content, long, short = (
        [0, 0, 10, 30],
        [2, 10, 8, 20],
        [0, 5, 10, 30],
        [20, 0, 30, 30],
        [40, 0, 50, 9],
    )
    scene = {"bottle": [bottle], "label": [label], "content": [content], "long": [long], "short": [short]}
    rows = [example_row("untouched", **scene), example_row("broken", **{**scene, "short": [long]})]

    found = find_exclusive_components(rows)

    assert ("long", "short") in found
    assert ("bottle", "label") in found
    assert ("bottle", "content") not in found
    assert len(found) == 9


def test_what_unedited_photos_do_not_show_is_learned_from_edited_ones():
    """A hole becomes visible where a screw is removed; a cap, which edits put upon a screw, shares its place."""
    rows = [
        example_row("untouched", screw=[[0, 0, 10, 10], [20, 0, 30, 10]], hole=[], cap=[]),
        example_row("broken", screw=[[20, 0, 30, 10]], hole=[[0, 0, 10, 10]], cap=[[20, 0, 30, 10]]),
    ]

    assert find_exclusive_components(rows) == (("cap", "hole"), ("hole", "screw"))
