"""Processor of nano: boxes to the input and back, tokens, and expansion of the vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from logicls.data.image_io import LETTERBOX_GREY
from logicls.models.nano.answer_codec import collect_values
from logicls.models.nano.processor import (
    ANSWER,
    MAX_COUNT,
    NanoImageProcessor,
    box_to_input,
    boxes_to_photo,
    expand_model,
    expand_processor,
    train_tokenizer,
)
from logicls.records import Box, Subquery

SIDES = st.integers(1, 5000)
FRACTION = st.floats(0, 1)
INPUTS = st.tuples(st.integers(2, 20), st.integers(2, 20)).map(lambda s: (16 * s[0], 16 * s[1]))


@given(SIDES, SIDES, INPUTS, FRACTION, FRACTION, FRACTION, FRACTION)
def test_boxes_are_converted_to_the_input_and_back(width, height, size, x1, y1, x2, y2):
    """The conversion is exact for any box of any photo; in between the box lies in the input."""
    processor = NanoImageProcessor(size)
    (x1, x2), (y1, y2) = sorted((x1 * width, x2 * width)), sorted((y1 * height, y2 * height))

    edges = box_to_input(Box(x1, y1, x2, y2), width, height, processor)
    back = boxes_to_photo(np.array([edges]), width, height, processor)[0]

    assert all(0 <= edge <= side for edge, side in zip(edges, (size[1], size[0]) * 2, strict=True))
    assert back.tolist() == pytest.approx([x1, y1, x2, y2], abs=1e-6 * max(width, height))


def test_a_box_in_the_border_becomes_empty_at_the_photos_edge():
    """Edges in the grey border give no inverted box and none outside of the photo."""
    processor = NanoImageProcessor((64, 64))

    boxes = boxes_to_photo(np.array([[x, 4.0, x + 4, 40.0] for x in (0.0, 56.0)]), 16, 64, processor)

    assert boxes.tolist() == [[0, 4, 0, 40], [16, 4, 16, 40]]


def test_a_box_that_leaves_the_photo_is_clipped():
    """Edges outside of the input are clipped to it."""
    edges = box_to_input(Box(-50, -50, 900, 900), 64, 64, NanoImageProcessor((64, 64)))

    assert edges == (0, 0, 64, 64)


@settings(max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300))
def test_photos_keep_their_aspect_ratio(width, height):
    """The photo is scaled equally on both axes and centred; the rest is grey."""
    processor = NanoImageProcessor((96, 64))

    fitted = processor.letterbox(np.full((height, width, 3), 255, np.uint8))

    scale, left, top = processor.letterbox_transform(width, height)
    rows, columns = (np.flatnonzero((fitted != LETTERBOX_GREY).any((2, axis))) for axis in (1, 0))
    assert fitted.shape == (96, 64, 3)
    assert [len(columns), len(rows)] == pytest.approx([width * scale, height * scale], abs=1)
    assert [columns[0], rows[0]] == pytest.approx([left, top], abs=1)
    assert max(width * scale / 64, height * scale / 96) == pytest.approx(1)


def test_photos_of_different_sizes_form_a_batch(processor):
    """`pixel_values` is uint8 [batch 3 height width]."""
    photos = [np.zeros((30, 50, 3), np.uint8), np.zeros((200, 20, 3), np.uint8)]

    pixels = processor.image_processor(photos)["pixel_values"]

    assert (tuple(pixels.shape), str(pixels.dtype)) == ((2, 3, 96, 64), "torch.uint8")


@given(st.text(min_size=1).filter(lambda text: "<" not in text))
def test_every_text_can_be_tokenized(processor, text):
    """Any question equals the text of its tokens, none of which is the unknown token."""
    tokenizer = processor.tokenizer

    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]

    assert tokenizer.decode(tokens).removeprefix(" ") == text.removeprefix(" ")
    assert tokenizer.unk_token_id is None


@given(st.text(min_size=1))
def test_a_prompt_ends_with_the_answer_token(codec, text):
    """The answer token occurs at the end of a prompt and nowhere else."""
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
def test_answers_are_one_token_per_value_or_a_number(codec, values, count, located, said):
    """No value is `<none>`; locations are answered with their number; every answer has the end token."""
    tokens = codec.encode_answer(values, count, located=located)

    assert codec.processor.tokenizer.convert_ids_to_tokens(tokens) == said


def test_an_unknown_value_is_an_error(codec):
    """A value that the spec does not have raises instead of becoming another token."""
    with pytest.raises(KeyError, match="green"):
        codec.encode_answer(["green"], 0, located=False)


def test_only_options_of_the_question_are_allowed(codec):
    """Numbers for locations, the closed set for other questions."""
    queries = [
        Subquery("locate:pin", "locate", "pin"),
        Subquery("attribute:pin.colour", "attribute", options=("blue",)),
    ]

    allowed = [codec.allowed_tokens(query) for query in queries]

    assert allowed == [[codec.token_id(f"<{n}>") for n in range(MAX_COUNT + 1)], [codec.token_id("<blue>")]]
    assert collect_values(queries) == ["blue"]


def test_a_value_that_is_a_number_shares_its_token(processor):
    """A value such as 5 is the token of that number of boxes."""
    tokenizer = train_tokenizer(["a"], ["5", "red"])

    assert len(tokenizer) == len(train_tokenizer(["a"], ["red"]))
    assert tokenizer.convert_tokens_to_ids("<5>") == processor.tokenizer.convert_tokens_to_ids("<5>")


@pytest.fixture(scope="module")
def base(tmp_path_factory, model, processor):
    """A folder with the small model as base weights, in half precision."""
    folder = tmp_path_factory.mktemp("base")
    copy = type(model)(model.config)
    copy.load_state_dict(model.state_dict())
    copy.half().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_tokens_of_the_base_are_kept(base, processor):
    """They keep their numbers; missing values follow, sorted, each once."""
    expanded = expand_processor(base, ["red", "wrong_pin", "blue", "a", "wrong_pin"], (64, 32))

    before, after = processor.tokenizer.get_vocab(), expanded.tokenizer.get_vocab()
    assert {token: after[token] for token in before} == before
    assert [after[token] for token in ("<a>", "<wrong_pin>")] == [len(before), len(before) + 1]
    assert (len(after), expanded.image_processor.size) == (len(before) + 2, [64, 32])


def test_weights_of_the_base_are_kept(base, model):
    """They are in single precision; the embedding of a new token is the mean of those of its text."""
    expanded = expand_processor(base, ["which_rules"], (64, 32))

    loaded = expand_model(base, expanded)

    count = model.config.vocab_size
    parts = expanded.tokenizer("which rules", add_special_tokens=False)["input_ids"]
    mean = loaded.token_embeddings.weight[parts].mean(0)
    assert loaded.token_embeddings.weight.dtype == torch.float32
    assert torch.allclose(loaded.token_embeddings.weight[:count], model.token_embeddings.weight, atol=1e-3)
    assert torch.allclose(loaded.token_embeddings.weight[count], mean, atol=1e-6)
    assert torch.allclose(
        loaded.detection_head.centre_filter.weight, model.detection_head.centre_filter.weight, atol=1e-3
    )
    assert (loaded.config.image_size, loaded.config.vocab_size) == ([64, 32], count + 1)
