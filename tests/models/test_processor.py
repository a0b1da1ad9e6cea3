"""Photos to the model's size and back, words to tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logicls.data.image_io import LETTERBOX_GREY
from logicls.models.nano.answer_codec import collect_values
from logicls.models.nano.processor import (
    ANSWER,
    MAX_COUNT,
    NanoImageProcessor,
    boxes_to_photo,
    train_tokenizer,
    box_to_input,
)
from logicls.records import Box, Subquery

SIDES = st.integers(1, 5000)
FRACTION = st.floats(0, 1)
INPUTS = st.tuples(st.integers(2, 20), st.integers(2, 20)).map(lambda s: (16 * s[0], 16 * s[1]))


@given(SIDES, SIDES, INPUTS, FRACTION, FRACTION, FRACTION, FRACTION)
def test_boxes_survive_the_way_to_the_input(width, height, size, x1, y1, x2, y2):
    """There and back moves no edge of any box on any photo; on the way it lies in the input."""
    processor = NanoImageProcessor(size)
    (x1, x2), (y1, y2) = sorted((x1 * width, x2 * width)), sorted((y1 * height, y2 * height))

    edges = box_to_input(Box(x1, y1, x2, y2), width, height, processor)
    back = boxes_to_photo(np.array([edges]), width, height, processor)[0]

    assert all(0 <= edge <= side for edge, side in zip(edges, (size[1], size[0]) * 2, strict=True))
    assert back.tolist() == pytest.approx([x1, y1, x2, y2], abs=1e-6 * max(width, height))


def test_a_box_in_the_border_is_an_empty_one_at_the_photos_edge():
    """Edges where there is no photo give no box that is inside out or outside of it."""
    processor = NanoImageProcessor((64, 64))

    boxes = boxes_to_photo(np.array([[x, 4.0, x + 4, 40.0] for x in (0.0, 56.0)]), 16, 64, processor)

    assert boxes.tolist() == [[0, 4, 0, 40], [16, 4, 16, 40]]


def test_a_box_that_leaves_the_photo_is_clipped():
    """Edges outside of the input are its edges."""
    edges = box_to_input(Box(-50, -50, 900, 900), 64, 64, NanoImageProcessor((64, 64)))

    assert edges == (0, 0, 64, 64)


@settings(max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300))
def test_photos_keep_their_proportions(width, height):
    """The photo is scaled alike on both axes, in the middle; what is left over is grey."""
    processor = NanoImageProcessor((96, 64))

    fitted = processor.letterbox(np.full((height, width, 3), 255, np.uint8))

    scale, left, top = processor.letterbox_transform(width, height)
    rows, columns = (np.flatnonzero((fitted != LETTERBOX_GREY).any((2, axis))) for axis in (1, 0))
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
    tokens = codec.encode_prompt(text)

    assert tokens[-1] == codec.token_id(ANSWER)
    assert all(0 <= token < len(codec.processor.tokenizer) for token in tokens)


@pytest.mark.parametrize(
    ("values", "count", "located", "said"),
    [
        ([], 0, False, ["<none>", "<end>"]),
        (["red"], 0, False, ["<red>", "<end>"]),
        (["red", "blue", "red"], 3, False, ["<red>", "<blue>", "<red>", "<end>"]),
        ([], 0, True, ["<0>", "<end>"]),
        ([], 7, True, ["<7>", "<end>"]),
        ([], MAX_COUNT + 1, True, [f"<{MAX_COUNT}>", "<end>"]),
    ],
)
def test_answers_are_a_token_a_value_or_a_number(codec, values, count, located, said):
    """No value is `<none>`; where things are is answered with their number; every answer is closed."""
    tokens = codec.encode_answer(values, count, located=located)

    assert codec.processor.tokenizer.convert_ids_to_tokens(tokens) == said


def test_a_value_that_is_no_token_is_refused(codec):
    """A value that the spec does not know raises instead of becoming something else."""
    with pytest.raises(KeyError, match="green"):
        codec.encode_answer(["green"], 0, located=False)


def test_only_a_querys_own_options_are_allowed(codec):
    """Numbers for places, the closed set for the others."""
    queries = [
        Subquery("locate:pin", "locate", "pin"),
        Subquery("attribute:pin.colour", "attribute", options=("blue",)),
    ]

    allowed = [codec.allowed_tokens(query) for query in queries]

    assert allowed == [[codec.token_id(f"<{n}>") for n in range(MAX_COUNT + 1)], [codec.token_id("<blue>")]]
    assert collect_values(queries) == ["blue"]


def test_a_number_that_is_a_value_is_one_word(processor):
    """A value such as 5 is the word that also says how many there are."""
    tokenizer = train_tokenizer(["a"], ["5", "red"])

    assert len(tokenizer) == len(train_tokenizer(["a"], ["red"]))
    assert tokenizer.convert_tokens_to_ids("<5>") == processor.tokenizer.convert_tokens_to_ids("<5>")
