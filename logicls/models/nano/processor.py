"""nano's processor: photos to its input size, words to tokens.

From base weights to a product's model: its own values become words, each beginning as the mean of its parts.
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

from logicls.data.image_io import fitted, placed
from logicls.models.nano.config import NanoConfig
from logicls.models.nano.crop_encoder import BACKBONE_FILE
from logicls.models.nano.model import NanoForImageTextToText
from logicls.records import Box

IMAGE, ANSWER, END, PAD, NONE = "<image>", "<answer>", "<end>", "<pad>", "<none>"
MAX_COUNT = 60
"""The largest number that nano can say; more things than that are said to be so many."""


class NanoImageProcessor(BaseImageProcessor):
    """Scales a photo into (height, width), proportions kept, the rest grey.

    It is given in `detail` times as many pixels on each axis, of which the model makes the input's.
    """

    model_input_names = ["pixel_values"]  # noqa: RUF012  the base class declares it on instances

    def __init__(self, size: Sequence[int] = (256, 128), detail: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = [int(side) for side in size]
        self.detail = int(detail)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels of what it makes of a photo."""
        return self.size[0] * self.detail, self.size[1] * self.detail

    def letterbox_transform(self, width: int, height: int) -> tuple[float, float, float]:
        """(scale, left, top) that take a point of a width x height photo to the input: x * scale + left."""
        return placed(self.size, width, height)

    def letterbox(self, photo: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "_height _width 3"]:
        """The photo as the model is given it, RGB."""
        return fitted(self.shape, photo)

    def preprocess(self, images: Any, **_: Any) -> BatchFeature:
        """`pixel_values` uint8 [batch 3 height width] of RGB arrays or PIL pictures."""
        pictures = images if isinstance(images, (list, tuple)) else [images]
        arrays = [
            self.letterbox(np.asarray(picture.convert("RGB") if hasattr(picture, "convert") else picture))
            for picture in pictures
        ]
        return BatchFeature({"pixel_values": torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)})


class NanoProcessor(ProcessorMixin):
    """Photos and questions to tensors. A prompt is the photo's placeholders, the question, `<answer>`."""

    def __init__(self, image_processor: NanoImageProcessor, tokenizer: PreTrainedTokenizerFast, **kwargs: Any) -> None:
        super().__init__(image_processor, tokenizer, **kwargs)  # type: ignore[no-untyped-call]

    @property
    def image_tokens(self) -> int:
        """Placeholders a photo."""
        height, width = self.image_processor.size
        return int(height // 16 * (width // 16))

    def __call__(self, images: Any = None, text: Any = None, **_: Any) -> BatchFeature:
        """`input_ids`, `attention_mask` (padded on the left) and `pixel_values` for one question a photo."""
        questions = [text] if isinstance(text, str) else list(text)
        prompts = [IMAGE * self.image_tokens + question + ANSWER for question in questions]
        tokens = self.tokenizer(prompts, padding=True, return_tensors="pt", return_token_type_ids=False)
        pixels = self.image_processor(images) if images is not None else {}
        return BatchFeature({**tokens, **pixels})


def train_tokenizer(texts: Iterable[str], values: Iterable[str], vocabulary: int = 2000) -> Any:
    """A byte-level BPE over `texts` (nothing is unknown to it), a token for each number and each of `values`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, END, IMAGE, ANSWER, NONE, *(f"<{number}>" for number in range(MAX_COUNT + 1))]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sorted(set(texts)), trainer)
    tokenizer.add_tokens(
        [
            AddedToken(f"<{value}>", normalized=False)
            for value in sorted(set(values) - {str(number) for number in range(MAX_COUNT + 1)})
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def box_to_input(box: Box, width: int, height: int, image_processor: NanoImageProcessor) -> tuple[float, ...]:
    """A box of a width x height photo as x1, y1, x2, y2 in pixels of the model's input, clipped to it."""
    scale, left, top = image_processor.letterbox_transform(width, height)
    down, across = image_processor.size
    edges = ((box.x1, left, across), (box.y1, top, down), (box.x2, left, across), (box.y2, top, down))
    return tuple(min(max(v * scale + shift, 0.0), float(side)) for v, shift, side in edges)


def boxes_to_photo(
    edges: Float[np.ndarray, "boxes 4"], width: int, height: int, image_processor: NanoImageProcessor
) -> Float[np.ndarray, "boxes 4"]:
    """Boxes x1, y1, x2, y2 in pixels of the input, in pixels of the photo; ordered and clipped to it."""
    scale, left, top = image_processor.letterbox_transform(width, height)
    points = (edges.reshape(-1, 2, 2) - (left, top)) / scale
    # Each edge by itself: a box that lies in the border altogether is an empty one on the photo's edge.
    return np.asarray(np.sort(np.clip(points, 0.0, (width, height)), axis=1).reshape(-1, 4))


def expand_processor(base: Path, values: Sequence[str], size: Sequence[int], detail: int = 1) -> NanoProcessor:
    """The base's processor for inputs of that size (height, width), to which values that it lacks are added."""
    tokenizer = AutoProcessor.from_pretrained(base, local_files_only=True).tokenizer
    known = tokenizer.get_vocab()
    missing = sorted({f"<{value}>" for value in values} - set(known))
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in missing])
    return NanoProcessor(NanoImageProcessor(size, detail), tokenizer)


def expand_model(
    base: Path, processor: NanoProcessor, *, orientation_invariant: bool = False
) -> NanoForImageTextToText:
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
        "any_way": orientation_invariant,
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
    if model.detection_head.glimpse is not None and (base / BACKBONE_FILE).exists():
        model.detection_head.glimpse.look.load_state_dict(load_file(base / BACKBONE_FILE))
    return model


def _parts(tokenizer: Any, number: int) -> list[int]:
    """Numbers of the words that a value's text is made of."""
    text = tokenizer.convert_ids_to_tokens(number).strip("<>").replace("_", " ").replace("-", " ")
    return [int(n) for n in tokenizer(text, add_special_tokens=False)["input_ids"]]
