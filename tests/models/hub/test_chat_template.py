"""Prompts of hub models: placement of photos on a canvas, and the chat format of templates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logicls.errors import DataError
from logicls.models.hub.chat_template import PhotoPlacement, pad_photo, place_photo, read_chat_format
from logicls.models.hub.loading import load_processor
from logicls.records import Answer, Box

SIDE = st.integers(1, 300)
SHARE = st.floats(0, 1)


@given(width=SIDE, height=SIDE, shares=st.tuples(SHARE, SHARE, SHARE, SHARE))
def test_boxes_are_converted_to_the_canvas_and_back(width, height, shares):
    """The conversion is exact for any border."""
    side = max(width, height)
    placement = PhotoPlacement((side, side), (side - width) // 2, (side - height) // 2, (width, height))
    (x1, x2), (y1, y2) = (
        sorted((shares[0] * width, shares[1] * width)),
        sorted((shares[2] * height, shares[3] * height)),
    )

    (there,) = placement.boxes_to_canvas((Box(x1, y1, x2, y2),))
    (back,) = placement.answer_to_photo(Answer("locate:pin", boxes=(there,))).boxes

    assert (back.x1, back.y1, back.x2, back.y2) == pytest.approx((x1, y1, x2, y2), abs=1e-9)
    assert 0 <= there.x1 <= there.x2 <= side


@given(st.lists(st.floats(-1e5, 1e5), min_size=4, max_size=4))
def test_any_box_is_clipped_to_the_photo(edges):
    """A model may answer edges in any order and outside of the photo."""
    (box,) = PhotoPlacement((50, 50), 0, 10, (50, 30)).answer_to_photo(Answer("locate:pin", boxes=(Box(*edges),))).boxes

    assert 0 <= box.x1 <= box.x2 <= 50
    assert 0 <= box.y1 <= box.y2 <= 30


def test_only_a_processor_that_crops_gets_a_border(opened):
    """LLaVA's crops the central square, and Qwen's keeps the photo."""
    photo = np.full((40, 100, 3), 7, np.uint8)

    padded, unchanged = (place_photo((100, 40), opened(family).processor) for family in ("llava", "qwen3_vl"))

    assert padded == PhotoPlacement((100, 100), 0, 30, (100, 40))
    assert unchanged == PhotoPlacement((100, 40), 0, 0, (100, 40))
    assert pad_photo(photo, unchanged) is photo
    assert np.array_equal(pad_photo(photo, padded)[30:70], photo)
    assert set(np.unique(pad_photo(photo, padded)[:30])) == {96}


FORMATS = {
    "idefics3": ("<|im_start|>User:<image>", "<end_of_utterance>\nAssistant:", " ", "<end_of_utterance>"),
    "llava": ("USER: <image>\n", " ASSISTANT:", " ", "</s>"),
    "llava_onevision": ("<|im_start|>user <image>\n", "<|im_end|><|im_start|>assistant\n", "", "<|im_end|>"),
    "qwen3_vl": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "<|vision_start|><|image_pad|><|vision_end|>",
        "<|im_end|>\n<|im_start|>assistant\n", "", "<|im_end|>",
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", FORMATS)
def test_the_format_is_read_from_the_template(opened, family):
    """The photo precedes the question; the end token is that of the template, or else of the tokenizer."""
    codec = opened(family).codec

    chat_format = codec.chat_format

    assert (
        chat_format.prompt_prefix,
        chat_format.prompt_suffix,
        chat_format.answer_lead,
        codec.tokenizer.convert_ids_to_tokens(chat_format.end_token),
    ) == FORMATS[family]


def message(processor) -> str:
    """Message for a processor with an unusable template."""
    with pytest.raises(DataError) as caught:
        read_chat_format(processor, "tiny")
    return str(caught.value)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (None, "it has no chat template: it was not trained to answer questions."),
        ("{{ nothing.there }}", "its chat template cannot be rendered: 'nothing' is undefined."),
        ("{{ messages[0]['content'][0]['type'] }}", "its chat template omits the question or the answer."),
    ],
)
def test_an_unusable_template_is_an_error(checkpoint, template, reason):
    """The message gives the reason and advice."""
    processor = load_processor(checkpoint("llava"))
    processor.chat_template = processor.tokenizer.chat_template = template

    assert message(processor) == f"tiny LC431 {reason} Choose a model that was tuned for conversation."


def test_a_model_without_an_end_token_is_an_error(checkpoint):
    """Neither the template nor the tokenizer has a token that ends a turn."""
    processor = load_processor(checkpoint("llava"))
    processor.tokenizer.eos_token = None

    assert "LC431 it has no token that ends a turn." in message(processor)
