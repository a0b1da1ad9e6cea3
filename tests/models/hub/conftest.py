"""Tiny hub models, opened once each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from logicls.models.hub.answer_codec import Codec
from logicls.models.hub.chat_template import talk_of
from logicls.models.hub.loading import coordinates_of, find_base, habits_of, load_model, load_processor


@dataclass(frozen=True)
class Opened:
    """A model and what goes with it; read only."""

    base: Any
    processor: Any
    model: Any
    codec: Codec


@pytest.fixture(scope="session")
def opened(checkpoint):
    """Opens the model of a family."""

    @cache
    def made(family: str) -> Opened:
        base = find_base(str(checkpoint(family)))
        processor, model = load_processor(base.path), load_model(base.path, precision="float32")
        coordinates = coordinates_of(habits_of(family).boxes, processor)
        return Opened(base, processor, model, Codec(coordinates, talk_of(processor, family), processor.tokenizer))

    return made


@pytest.fixture(params=["idefics3", "llava", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "smolvlm"])
def each(request, opened):
    """Every family in turn."""
    return opened(request.param)
