"""Fixtures: tiny hub models, loaded once each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from logicls.models.hub.answer_codec import HubAnswerCodec
from logicls.models.hub.chat_template import read_chat_format
from logicls.models.hub.loading import box_format_for, conventions_for, find_checkpoint, load_model, load_processor


@dataclass(frozen=True)
class Opened:
    """A model with its checkpoint, processor and codec, which must not be changed."""

    base: Any
    processor: Any
    model: Any
    codec: HubAnswerCodec


@pytest.fixture(scope="session")
def opened(checkpoint):
    """Opens the model of a family."""

    @cache
    def made(family: str) -> Opened:
        base = find_checkpoint(str(checkpoint(family)))
        processor, model = load_processor(base.path), load_model(base.path, precision="float32")
        coordinates = box_format_for(conventions_for(family).boxes, processor)
        return Opened(
            base,
            processor,
            model,
            HubAnswerCodec(coordinates, read_chat_format(processor, family), processor.tokenizer),
        )

    return made


@pytest.fixture(params=["idefics3", "llava", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "smolvlm"])
def each(request, opened):
    """Each family in turn."""
    return opened(request.param)
