"""Photos to the model's size and back, words to tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logicls.models.codec import Codec, values_of
from logicls.models.fitting import GREY
from logicls.models.nano.processor import ANSWER, NanoImageProcessor, from_bins, to_bins
from logicls.records import Box, Subquery

SIDES = st.integers(1, 5000)
FRACTION = st.floats(0, 1)
INPUTS = st.tuples(st.integers(2, 20), st.integers(2, 20)).map(lambda s: (16 * s[0], 16 * s[1]))


@given(SIDES, SIDES, INPUTS, st.integers(16, 1000), FRACTION, FRACTION, FRACTION, FRACTION)
def test_boxes_survive_the_bins(width, height, size, bins, x1, y1, x2, y2):
    """There and back moves no edge of any box on any photo by more than a bin."""
    processor = NanoImageProcessor(size)
    (x1, x2), (y1, y2) = sorted((x1 * width, x2 * width)), sorted((y1 * height, y2 * height))

    places = to_bins(Box(x1, y1, x2, y2), width, height, processor, bins)
    back = from_bins([float(place) for place in places], width, height, processor, bins)

    scale = processor.placed(width, height)[0]
    across, down = (side / bins / scale * 1.001 for side in (size[1], size[0]))
    assert all(0 <= place < bins for place in places)
    assert [back.x1, back.x2] == pytest.approx([x1, x2], abs=across)
    assert [back.y1, back.y2] == pytest.approx([y1, y2], abs=down)
    assert 0 <= back.x1 <= back.x2 <= width
    assert 0 <= back.y1 <= back.y2 <= height


def test_a_box_in_the_border_is_an_empty_one_at_the_photos_edge():
    """Bins where there is no photo give no box that is inside out or outside of it."""
    processor = NanoImageProcessor((64, 64))

    boxes = [from_bins([x, 1.0, x + 1, 9.0], 16, 64, processor, 16) for x in (0.0, 14.0)]

    assert boxes == [Box(0, 6, 0, 38), Box(16, 6, 16, 38)]


def test_a_box_that_leaves_the_photo_is_clipped():
    """Edges outside of the input are its first and last bin."""
    places = to_bins(Box(-50, -50, 900, 900), 64, 64, NanoImageProcessor((64, 64)), 16)

    assert places == [0, 0, 15, 15]


@settings(max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300))
def test_photos_keep_their_proportions(width, height):
    """The photo is scaled alike on both axes, in the middle; what is left over is grey."""
    processor = NanoImageProcessor((96, 64))

    fitted = processor.fitted(np.full((height, width, 3), 255, np.uint8))

    scale, left, top = processor.placed(width, height)
    rows, columns = (np.flatnonzero((fitted != GREY).any((2, axis))) for axis in (1, 0))
    assert fitted.shape == (96, 64, 3)
    assert [len(columns), len(rows)] == pytest.approx([width * scale, height * scale], abs=1)
    assert [columns[0], rows[0]] == pytest.approx([left, top], abs=1)
    assert max(width * scale / 64, height * scale / 96) == pytest.approx(1)


def test_photos_of_different_sizes_make_one_batch(processor):
    """`pixel_values` is uint8, batch first, colours second."""
    photos = [np.zeros((30, 50, 3), np.uint8), np.zeros((200, 20, 3), np.uint8)]

    pixels = processor.image_processor(photos)["pixel_values"]

    assert (tuple(pixels.shape), str(pixels.dtype)) == ((2, 3, 96, 64), "torch.uint8")


@given(st.text(min_size=1).filter(lambda text: "<" not in text))
def test_no_word_is_unknown(processor, text):
    """Any question at all comes back from its tokens, and none of them is the unknown one."""
    tokenizer = processor.tokenizer

    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]

    assert tokenizer.decode(tokens).removeprefix(" ") == text.removeprefix(" ")
    assert tokenizer.unk_token_id is None


@given(st.text(min_size=1))
def test_a_question_cannot_be_taken_for_an_answer(codec, text):
    """A prompt ends with the mark after which the answer begins."""
    tokens = codec.prompt(text)

    assert tokens[-1] == codec.token(ANSWER)
    assert all(0 <= token < len(codec.processor.tokenizer) for token in tokens)


@pytest.mark.parametrize(
    ("values", "boxes", "said"),
    [
        ([], [], ["<none>", "<end>"]),
        (["red"], [], ["<red>", "<end>"]),
        (["red", "blue", "red"], [], ["<red>", "<blue>", "<red>", "<end>"]),
        ([], [Box(0, 0, 32, 48)], ["<loc000>", "<loc000>", "<loc008>", "<loc008>", "<end>"]),
        (
            [],
            [Box(0, 0, 4, 6), Box(60, 90, 64, 96)],
            ["<loc000>", "<loc000>", "<loc001>", "<loc001>", "<loc015>", "<loc015>", "<loc015>", "<loc015>", "<end>"],
        ),
    ],
)
def test_answers_are_a_token_a_value_and_four_a_box(codec, values, boxes, said):
    """Nothing is `<none>`; every answer is closed."""
    tokens = codec.answer(values, boxes, (64, 96))

    assert codec.processor.tokenizer.convert_ids_to_tokens(tokens) == said


def test_a_value_that_is_no_token_is_refused(codec):
    """A value that the spec does not know raises instead of becoming something else."""
    with pytest.raises(KeyError, match="green"):
        codec.answer(["green"], [], (64, 96))


def test_only_a_querys_own_options_are_allowed(codec):
    """Coordinates for places, the closed set for the others."""
    queries = [
        Subquery("locate:pin", "locate", "pin"),
        Subquery("attribute:pin.colour", "attribute", options=("blue",)),
    ]

    allowed = [codec.allowed(query) for query in queries]

    assert allowed == [[codec.first_loc + bin for bin in range(16)], [codec.token("<blue>")]]
    assert values_of(queries) == ["blue"]


def test_every_bin_has_a_token_of_its_own(processor):
    """Bins follow one another in the vocabulary, so that a bin is a distance from the first."""
    codec = Codec(processor, 16)

    tokens = [codec.token(f"<loc{bin:03d}>") for bin in range(16)]

    assert tokens == list(range(codec.first_loc, codec.first_loc + 16))
