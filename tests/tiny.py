"""Makes models so small that a test can hold one."""

from __future__ import annotations

from typing import Any

import torch

from logicls.constraints.checker.decomposition import decompose
from logicls.constraints.spec.models import Spec
from logicls.models.nano import NanoConfig, NanoForImageTextToText, NanoImageProcessor, NanoProcessor
from logicls.models.nano.answer_codec import NanoAnswerCodec, collect_values
from logicls.models.nano.processor import train_tokenizer
from logicls.prompts.templates import question_phrasings


def nano(spec: Spec, **sizes: Any) -> tuple[NanoForImageTextToText, NanoProcessor]:
    """A model of random weights for a spec, and its processor: inputs of 64 x 64 pixels; sizes are `NanoConfig`'s."""
    queries = decompose(spec)
    texts = [wording for query in queries for wording in question_phrasings(query, spec)]
    processor = NanoProcessor(NanoImageProcessor((64, 64)), train_tokenizer(texts, collect_values(queries)))
    codec = NanoAnswerCodec(processor)
    torch.manual_seed(0)
    config = NanoConfig(
        vocab_size=len(processor.tokenizer), image_size=(64, 64), image_token_id=codec.image,
        answer_token_id=codec.answer_start, pad_token_id=codec.pad, eos_token_id=codec.end,
        **{"width": 32, "encoder_layers": 1, "decoder_layers": 1, **sizes},
    )  # fmt: skip
    return NanoForImageTextToText(config).eval(), processor
