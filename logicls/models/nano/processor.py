"""Processor of nano: photos to the size of its input, text to tokens; and expansion of the base model's vocabulary.

A product's own values become tokens, each initialized with the mean of the tokens of its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoProcessor, BatchFeature, PreTrainedTokenizerFast, ProcessorMixin
from transformers.image_processing_utils import BaseImageProcessor

from logicls.data.image_io import letterbox, letterbox_transform
from logicls.models.nano.config import NanoConfig
from logicls.models.nano.crop_encoder import BACKBONE_FILE
from logicls.models.nano.model import NanoForImageTextToText
from logicls.records import Box

IMAGE, ANSWER, END, PAD, NONE = "<image>", "<answer>", "<end>", "<pad>", "<none>"
MAX_COUNT = 60
"""Largest number of boxes with a token of its own; larger numbers are answered as this one."""


class NanoImageProcessor(BaseImageProcessor):
    """Letterboxes a photo into (height, width): the aspect ratio is kept, the rest is grey.

    The photo gets `detail` times as many pixels on each axis, which the model downscales to its input.
    """

    model_input_names = ["pixel_values"]  # noqa: RUF012  the base class declares it on instances

    def __init__(self, size: Sequence[int] = (256, 128), detail: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = [int(side) for side in size]
        self.detail = int(detail)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels of a processed photo."""
        return self.size[0] * self.detail, self.size[1] * self.detail

    def letterbox_transform(self, width: int, height: int) -> tuple[float, float, float]:
        """Return (scale, left, top), which map a point of a width x height photo to the input: x * scale + left."""
        return letterbox_transform(self.size, width, height)

    def letterbox(self, photo: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "_height _width 3"]:
        """Letterbox an RGB photo into `shape`."""
        return letterbox(self.shape, photo)

    def preprocess(self, images: Any, **_: Any) -> BatchFeature:
        """Return `pixel_values` uint8 [batch 3 height width] of RGB arrays or PIL images."""
        given = images if isinstance(images, (list, tuple)) else [images]
        arrays = [
            self.letterbox(np.asarray(image.convert("RGB") if hasattr(image, "convert") else image)) for image in given
        ]
        return BatchFeature({"pixel_values": torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)})


class NanoProcessor(ProcessorMixin):
    """Converts photos and questions to tensors. A prompt is the photo's placeholders, the question, `<answer>`."""

    image_processor: NanoImageProcessor
    tokenizer: PreTrainedTokenizerFast

    def __init__(self, image_processor: NanoImageProcessor, tokenizer: PreTrainedTokenizerFast, **kwargs: Any) -> None:
        super().__init__(image_processor, tokenizer, **kwargs)  # type: ignore[no-untyped-call]

    @property
    def image_tokens(self) -> int:
        """Placeholders per photo."""
        height, width = self.image_processor.size
        return int(height // 16 * (width // 16))

    def __call__(self, images: Any = None, text: Any = None, **_: Any) -> BatchFeature:
        """Return `input_ids`, `attention_mask` (padded on the left) and `pixel_values` for one question per photo."""
        questions = [text] if isinstance(text, str) else list(text)
        prompts = [IMAGE * self.image_tokens + question + ANSWER for question in questions]
        tokens = self.tokenizer(prompts, padding=True, return_tensors="pt", return_token_type_ids=False)
        pixels = self.image_processor(images) if images is not None else {}
        return BatchFeature({**tokens, **pixels})


def train_tokenizer(texts: Iterable[str], values: Iterable[str], vocabulary: int = 2000) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on `texts`, with one token for each number and for each of `values`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    numbers = [str(number) for number in range(MAX_COUNT + 1)]
    special = [PAD, END, IMAGE, ANSWER, NONE, *(f"<{number}>" for number in numbers)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sorted(set(texts)), trainer)
    tokenizer.add_tokens([AddedToken(f"<{value}>", normalized=False) for value in sorted(set(values) - set(numbers))])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def box_to_input(box: Box, width: int, height: int, image_processor: NanoImageProcessor) -> tuple[float, ...]:
    """Convert a box of a width x height photo to x1, y1, x2, y2 in pixels of the input, clipped to it."""
    scale, left, top = image_processor.letterbox_transform(width, height)
    down, across = image_processor.size
    edges = ((box.x1, left, across), (box.y1, top, down), (box.x2, left, across), (box.y2, top, down))
    return tuple(min(max(v * scale + shift, 0.0), float(side)) for v, shift, side in edges)


def boxes_to_photo(
    edges: Float[np.ndarray, "boxes 4"], width: int, height: int, image_processor: NanoImageProcessor
) -> Float[np.ndarray, "boxes 4"]:
    """Convert boxes x1, y1, x2, y2 of the input to pixels of the photo; edges are sorted and clipped to it."""
    scale, left, top = image_processor.letterbox_transform(width, height)
    points = (edges.reshape(-1, 2, 2) - (left, top)) / scale
    # Each edge is clipped by itself: a box within the grey border becomes an empty one on the photo's edge.
    return np.asarray(np.sort(np.clip(points, 0.0, (width, height)), axis=1).reshape(-1, 4))


def expand_processor(base: Path, values: Sequence[str], size: Sequence[int], detail: int = 1) -> NanoProcessor:
    """Load the base's processor for inputs of that size (height, width), with tokens for the values that it lacks."""
    tokenizer = AutoProcessor.from_pretrained(base, local_files_only=True, trust_remote_code=False).tokenizer
    vocabulary = tokenizer.get_vocab()
    missing = sorted({f"<{value}>" for value in values} - set(vocabulary))
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in missing])
    return NanoProcessor(NanoImageProcessor(size, detail), tokenizer)


def expand_model(
    base: Path, processor: NanoProcessor, *, orientation_invariant: bool = False, along_diagonals: bool = False
) -> NanoForImageTextToText:
    """Load the base's weights for that processor, in single precision.

    The embedding of an added token is the mean of the embeddings of its text. A crop encoder, which the model has where
    the processor's `detail` is above 1, starts from the pretrained backbone beside the base weights.
    """
    pretrained = NanoForImageTextToText.from_pretrained(
        base, local_files_only=True, use_safetensors=True, dtype=torch.float32
    )
    settings = pretrained.config.to_dict() | {
        "vocab_size": len(processor.tokenizer),
        "image_size": processor.image_processor.size,
        "detail": processor.image_processor.detail,
        "orientation_invariant": orientation_invariant,
        "along_diagonals": along_diagonals,
    }
    model = NanoForImageTextToText(NanoConfig(**settings))
    weights: dict[str, Any] = model.state_dict() | deepcopy(pretrained.state_dict())
    added = range(pretrained.config.vocab_size, len(processor.tokenizer))
    embeddings, bias = weights["token_embeddings.weight"], weights["logit_bias"]
    parts = [_text_tokens(processor.tokenizer, number) for number in added]
    means = [embeddings[tokens].mean(0, keepdim=True) for tokens in parts]
    weights["token_embeddings.weight"] = torch.cat([embeddings, *means])
    weights["logit_bias"] = torch.cat([bias, bias.new_full((len(parts),), float(bias.mean()))])
    model.load_state_dict(weights)
    if model.detection_head.crop_encoder is not None and (base / BACKBONE_FILE).exists():
        model.detection_head.crop_encoder.backbone.load_state_dict(load_file(base / BACKBONE_FILE))
    return model


def _text_tokens(tokenizer: PreTrainedTokenizerFast, number: int) -> list[int]:
    """Tokenize the text of a value's token."""
    text = str(tokenizer.convert_ids_to_tokens(number)).strip("<>").replace("_", " ").replace("-", " ")
    return [int(n) for n in tokenizer(text, add_special_tokens=False)["input_ids"]]
