"""Box formats of all families: boxes as text and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logicls import answer_format
from logicls.models.box_formats import BOX_FORMATS, BoxFamily, SmartResize, decode_boxes, encode_boxes
from logicls.records import Answer, Box

SIDES = st.integers(30, 4000)
SIZES = st.tuples(SIDES, SIDES)
SHARE = st.floats(0, 1)
BOXES = st.lists(st.tuples(SHARE, SHARE, SHARE, SHARE), min_size=1, max_size=4)
UNITS = {"qwen2_vl": 1000, "qwen3_vl": 1000, "internvl": 1000, "florence2": 1000, "paligemma": 1024,
         "llava": 1000}  # fmt: skip
"""Units into which a side of the photo is divided."""


def scale_boxes(size: tuple[int, int], shares: list[tuple[float, float, float, float]]) -> tuple[Box, ...]:
    """Make boxes from shares of a photo's sides."""
    width, height = size
    return tuple(Box(a * width, b * height, c * width, d * height) for a, b, c, d in shares)


def unit(name: str, size: tuple[int, int]) -> tuple[float, float]:
    """Return the width and height in pixels of one unit of the family."""
    width, height = size
    if name == "pixels":
        return 0.1, 0.1
    resizing = BOX_FORMATS[name].resize
    across, down = resizing(size) if resizing else (UNITS[name], UNITS[name])
    return width / across, height / down


@pytest.mark.parametrize("name", BOX_FORMATS)
@given(size=SIZES, shares=BOXES)
def test_boxes_are_parsed_where_they_were_written(name, size, shares):
    """The error is at most half a unit of the format, or one unit where its range ends before the photo does."""
    family, boxes = BOX_FORMATS[name], scale_boxes(size, shares)

    found = family.text_to_boxes(family.boxes_to_text(boxes, size), size)

    assert found is not None
    assert len(found) == len(boxes)
    for one, other in zip(found, boxes, strict=True):
        x, y = unit(name, size)
        half = 1.0 if name == "paligemma" else 0.5
        assert max(abs(one.x1 - other.x1), abs(one.x2 - other.x2)) <= half * x + 1e-6
        assert max(abs(one.y1 - other.y1), abs(one.y2 - other.y2)) <= half * y + 1e-6


@pytest.mark.parametrize("name", BOX_FORMATS)
@given(size=SIZES, shares=BOXES)
def test_writing_parsed_boxes_changes_no_digit(name, size, shares):
    """A model that copies a box copies it exactly."""
    family = BOX_FORMATS[name]
    text = family.boxes_to_text(scale_boxes(size, shares), size)

    assert family.boxes_to_text(family.text_to_boxes(text, size), size) == text


BOX = (Box(20, 30, 40, 60),)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pixels", "[20.0 30.0 40.0 60.0]"),
        ("qwen2_vl", "<|box_start|>(100,100),(200,200)<|box_end|>"),
        ("qwen2_5_vl", "[20, 31, 39, 62]"),
        ("qwen3_vl", "[100, 100, 200, 200]"),
        ("internvl", "<box>[[100, 100, 200, 200]]</box>"),
        ("paligemma", "<loc0102><loc0102><loc0205><loc0205>"),
        ("florence2", "<loc_100><loc_100><loc_200><loc_200>"),
        ("llava", "[0.100, 0.100, 0.200, 0.200]"),
    ],
)
def test_the_text_of_each_family(name, text):
    """The photo is 200 x 300; Qwen2.5-VL resizes it to 196 x 308."""
    assert BOX_FORMATS[name].boxes_to_text(BOX, (200, 300)) == text


def test_separators_and_all_families():
    """Two boxes have the separator of their family; the tests above cover all families."""
    two = BOX * 2

    assert BOX_FORMATS["paligemma"].boxes_to_text(two, (200, 300)).count(" ; ") == 1
    assert BOX_FORMATS["florence2"].boxes_to_text(two, (200, 300)).count("<loc_") == 8
    assert BOX_FORMATS["qwen3_vl"].boxes_to_text(two, (200, 300)) == "[100, 100, 200, 200] [100, 100, 200, 200]"
    assert set(UNITS) | {"pixels", "qwen2_5_vl"} == set(BOX_FORMATS) == {str(family) for family in BoxFamily}


@pytest.mark.parametrize("name", BOX_FORMATS)
@pytest.mark.parametrize(
    "text", ["", "none", "[1, 2, 3]", "[1, 2, 3, 4", "<loc1>", "[a, b, c, d]", "x [1.0 2.0 3.0 4.0]"]
)
def test_other_text_is_no_box(name, text):
    """Invalid output of a model is distinguished from boxes."""
    assert BOX_FORMATS[name].text_to_boxes(text, (200, 300)) is None


@pytest.mark.parametrize("name", BOX_FORMATS)
@given(text=st.text(alphabet="[]<>()locbx_|endstar0123456789., ;-", max_size=60))
def test_parsing_never_raises(name, text):
    """Any text is boxes or None."""
    found = BOX_FORMATS[name].text_to_boxes(text, (200, 300))

    assert found is None or len(found) > 0


@pytest.mark.parametrize("name", BOX_FORMATS)
def test_a_chain_of_thought_is_encoded_and_decoded(name):
    """Only the boxes of answers change; similar text in prose is kept."""
    answers = (Answer("locate:pin", boxes=BOX * 2), Answer("locate:cap"), Answer("attribute:pin.colour", ("red",)))
    prose = "I see [20.0 30.0 40.0 60.0] = two pins.\nlocate:pin = [1.0 2.0 3.0 4.0]"
    text = f"{answer_format.format_answers(answers)}\n{prose}"
    family = BOX_FORMATS[name]

    there = encode_boxes(text, family, (200, 300))

    assert family.boxes_to_text(BOX * 2, (200, 300)) in there
    assert there.splitlines()[1:] == text.splitlines()[1:]
    found = answer_format.parse_answers(decode_boxes(there, family, (200, 300)))
    assert found.invalid_lines == ()
    assert [a.query for a in found.answers] == [a.query for a in answers]
    assert found.answers[0].boxes[0].iou(BOX[0]) > 0.9
    assert found.answers[1:] == answers[1:]


@given(SIZES)
def test_smart_resize_equals_that_of_transformers(size):
    """With the limits of Qwen2.5-VL and with narrow ones."""
    pil = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
    width, height = size
    if max(size) / min(size) > 200:
        return
    for least, most in ((56 * 56, 28 * 28 * 16384), (200_000, 300_000)):
        down, across = pil.smart_resize(height, width, 28, least, most)
        assert SmartResize(28, least, most)(size) == (across, down)
