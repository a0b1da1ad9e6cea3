"""From base weights to a product's model: its own values become words, each beginning as the mean of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import AddedToken
from transformers import AutoProcessor

from logicls.models.nano.config import NanoConfig
from logicls.models.nano.glimpse import LOOK
from logicls.models.nano.model import NanoForImageTextToText
from logicls.models.nano.processor import NanoImageProcessor, NanoProcessor


def grown_processor(base: Path, values: Sequence[str], size: Sequence[int], detail: int = 1) -> NanoProcessor:
    """The base's processor for inputs of that size (height, width), to which values that it lacks are added."""
    tokenizer = AutoProcessor.from_pretrained(base, local_files_only=True).tokenizer
    known = tokenizer.get_vocab()
    missing = sorted({f"<{value}>" for value in values} - set(known))
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in missing])
    return NanoProcessor(NanoImageProcessor(size, detail), tokenizer)


def grown_model(base: Path, processor: NanoProcessor, *, any_way: bool = False) -> NanoForImageTextToText:
    """The base's weights for that processor, in single precision.

    A word that the base lacks begins as the mean of the words that its text is made of; what looks at things closely,
    where the processor gives it the pixels for that, with what it learned of made marks. `any_way`: things are the same
    however they lie.
    """
    small = NanoForImageTextToText.from_pretrained(
        base, local_files_only=True, use_safetensors=True, dtype=torch.float32
    )
    settings = small.config.to_dict() | {
        "vocab_size": len(processor.tokenizer),
        "image_size": processor.image_processor.size,
        "detail": processor.image_processor.detail,
        "any_way": any_way,
    }
    model = NanoForImageTextToText(NanoConfig(**settings))
    weights: dict[str, Any] = model.state_dict() | deepcopy(small.state_dict())
    before = small.config.vocab_size
    added = range(before, len(processor.tokenizer))
    words, bias = weights["words.weight"], weights["bias"]
    parts = [_parts(processor.tokenizer, number) for number in added]
    weights["words.weight"] = torch.cat([words, *(words[some].mean(0, keepdim=True) for some in parts)])
    weights["bias"] = torch.cat([bias, bias.new_full((len(parts),), float(bias.mean()))])
    model.load_state_dict(weights)
    if model.pointer.glimpse is not None and (base / LOOK).exists():
        model.pointer.glimpse.look.load_state_dict(load_file(base / LOOK))
    return model


def _parts(tokenizer: Any, number: int) -> list[int]:
    """Numbers of the words that a value's text is made of."""
    text = tokenizer.convert_ids_to_tokens(number).strip("<>").replace("_", " ").replace("-", " ")
    return [int(n) for n in tokenizer(text, add_special_tokens=False)["input_ids"]]
