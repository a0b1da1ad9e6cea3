"""Fixtures: a tiny nano with its processor and codec."""

from __future__ import annotations

import pytest
import torch

from logicls.models.nano import NanoConfig, NanoForImageTextToText, NanoImageProcessor, NanoProcessor
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.processor import train_tokenizer


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Models this small are slower on more threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def processor() -> NanoProcessor:
    """A processor with inputs of 96 x 64 pixels and 24 visual tokens."""
    texts = ["where is every pin?", "which colour has the pin?", "which rules are broken?"]
    return NanoProcessor(NanoImageProcessor((96, 64)), train_tokenizer(texts, ["red", "blue"]))


@pytest.fixture(scope="session")
def codec(processor: NanoProcessor) -> NanoAnswerCodec:
    """The codec of the processor."""
    return NanoAnswerCodec(processor)


@pytest.fixture(scope="session")
def model(codec: NanoAnswerCodec) -> NanoForImageTextToText:
    """A model with random weights, larger than initial ones so that answers differ."""
    torch.manual_seed(0)
    config = NanoConfig(
        vocab_size=len(codec.processor.tokenizer),
        image_size=codec.processor.image_processor.size,
        width=32,
        encoder_layers=1,
        decoder_layers=2,
        max_text=64,
        stem_width=16,
        image_token_id=codec.image,
        answer_token_id=codec.answer_start,
        pad_token_id=codec.pad,
        eos_token_id=codec.end,
    )
    model = NanoForImageTextToText(config).eval()
    with torch.no_grad():
        model.token_embeddings.weight.normal_(std=0.3)
        model.position_embeddings.weight.normal_(std=0.3)
    return model
