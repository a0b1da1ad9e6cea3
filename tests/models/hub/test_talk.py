"""What stands around a question is asked of a model's chat template."""

from __future__ import annotations

import pytest

from logicls.errors import DataError
from logicls.models.hub.chat_template import read_chat_format
from logicls.models.hub.loading import load_processor

AROUND = {
    "idefics3": ("<|im_start|>User:<image>", "<end_of_utterance>\nAssistant:", " ", "<end_of_utterance>"),
    "llava": ("USER: <image>\n", " ASSISTANT:", " ", "</s>"),
    "llava_onevision": ("<|im_start|>user <image>\n", "<|im_end|><|im_start|>assistant\n", "", "<|im_end|>"),
    "qwen3_vl": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "<|vision_start|><|image_pad|><|vision_end|>",
        "<|im_end|>\n<|im_start|>assistant\n", "", "<|im_end|>",
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", AROUND)
def test_the_template_says_what_stands_around(opened, family):
    """The photo first, then the question; the turn ends with the template's token, or the tokenizer's."""
    codec = opened(family).codec

    talk = codec.chat_format

    assert (
        talk.prompt_prefix,
        talk.prompt_suffix,
        talk.answer_lead,
        codec.tokenizer.convert_ids_to_tokens(talk.end_token),
    ) == AROUND[family]


def refusal(processor) -> str:
    """What is said of a processor's template."""
    with pytest.raises(DataError) as caught:
        read_chat_format(processor, "tiny")
    return str(caught.value)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (None, "it has no chat template: it was not trained to answer questions."),
        ("{{ nothing.there }}", "its chat template cannot be rendered: 'nothing' is undefined."),
        ("{{ messages[0]['content'][0]['type'] }}", "its chat template omits the question or the answer."),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(checkpoint, template, said):
    """With the reason and what to look for."""
    processor = load_processor(checkpoint("llava"))
    processor.chat_template = processor.tokenizer.chat_template = template

    assert refusal(processor) == f"tiny LC431 {said} Choose a model that was tuned for conversation."


def test_a_model_that_never_ends_is_refused(checkpoint):
    """Neither the template nor the tokenizer says how a turn ends."""
    processor = load_processor(checkpoint("llava"))
    processor.tokenizer.eos_token = None

    assert "LC431 it has no token that ends a turn." in refusal(processor)
