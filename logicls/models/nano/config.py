"""Configuration of nano."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PretrainedConfig

TOKEN_STRIDE = 16
"""Pixels of the model's input per visual token, on each axis."""


class NanoConfig(PretrainedConfig):
    """Sizes of nano.

    Args:
        image_size: (height, width) of the input in pixels, multiples of 16. No weight depends on it: the same weights
            read photos of any size. A visual token covers 16 x 16 pixels.
        width: Channels of the transformer.
        stem_width: Channels of the stem's feature map of stride 8, and of the detection head.
        max_text: Tokens of the longest question with its answer.
        detail: Factor, on each axis, between the pixels of a photo as it is given and those of the input. Above 1 the
            crop encoder reads crops of the finer photo.
        orientation_invariant: True where an instance keeps its attributes when it is rotated or mirrored.
        along_diagonals: True where crops lie along the diagonals of boxes (`CropEncoder`).
        exclusive_components: Pairs of components of which two instances are never at the same place.
    """

    model_type = "logicls_nano"

    def __init__(
        self,
        vocab_size: int = 1024,
        image_size: Sequence[int] = (256, 128),
        width: int = 128,
        stem_width: int = 96,
        heads: int = 4,
        encoder_layers: int = 4,
        decoder_layers: int = 3,
        max_text: int = 160,
        image_token_id: int = 0,
        answer_token_id: int = 1,
        detail: int = 1,
        orientation_invariant: bool = False,
        along_diagonals: bool = False,
        exclusive_components: Sequence[Sequence[str]] = (),
        **kwargs: Any,
    ) -> None:
        # `near` and `any_way` are the names of two keys in bundles of earlier versions.
        self.vocab_size = vocab_size
        self.image_size = list(image_size)
        self.width = width
        self.stem_width = kwargs.pop("near", stem_width)
        self.heads = heads
        self.encoder_layers = encoder_layers
        self.decoder_layers = decoder_layers
        self.max_text = max_text
        self.image_token_id = image_token_id
        self.answer_token_id = answer_token_id
        self.detail = detail
        self.orientation_invariant = kwargs.pop("any_way", orientation_invariant)
        self.along_diagonals = along_diagonals
        self.exclusive_components = [list(pair) for pair in exclusive_components]
        self.num_hidden_layers = decoder_layers
        self.hidden_size = width
        self.num_attention_heads = heads
        super().__init__(**kwargs)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of visual tokens."""
        return self.image_size[0] // TOKEN_STRIDE, self.image_size[1] // TOKEN_STRIDE

    @property
    def image_tokens(self) -> int:
        """Visual tokens per photo."""
        return self.grid[0] * self.grid[1]


def choose_input_size(aspect: float, tokens: int) -> tuple[int, int]:
    """Choose (height, width) of an input with about `tokens` visual tokens for photos of height / width = `aspect`."""
    rows = max(2, round((tokens * aspect) ** 0.5))
    columns = max(2, round(tokens / rows))
    return rows * TOKEN_STRIDE, columns * TOKEN_STRIDE
