"""Dynamic visual injection (Reason-IAD, arXiv 2602.09850): attended patches at a higher resolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from logicls.data.image_io import letterbox, letterbox_transform
from logicls.models.nano import NanoForImageTextToText
from logicls.models.nano.blocks import Block
from logicls.models.nano.config import TOKEN_STRIDE
from logicls.plugins.reasoning.slot_entropy import PhotoKeys, append_think_tokens

Size = tuple[int, int]
"""Height and width."""


def think_token_attention(
    model: NanoForImageTextToText, keys: PhotoKeys, tokens: Float[Tensor, "1 tokens width"]
) -> Float[Tensor, "tokens patches"]:
    """Return the attention of each think token to the photo's patches, rows summing to 1.

    Softmax of q · k / √d over the photo's patches alone, averaged over heads and layers of the decoder.
    """
    cache, attentions, x = append_think_tokens(model, keys, tokens[:, :0]), [], tokens
    for block, (key, _) in zip(cast("Sequence[Block]", model.decoder), keys, strict=True):
        query = block.attention.qkv(block.norm1(x)).chunk(3, -1)[0]
        heads = query.unflatten(-1, (key.shape[1], -1)).transpose(1, 2)
        match = heads @ key.transpose(-1, -2) / math.sqrt(key.shape[-1])
        attentions.append(match.softmax(-1).mean((0, 1)))
        x = block(x, None, cache)
    return torch.stack(attentions).mean(0)


class HighResolutionPhoto:
    """Photo encoded with a larger input.

    Positions are relative to the photo's longer side, so the model's weights apply unchanged.
    """

    def __init__(
        self, model: NanoForImageTextToText, size: Size, photo: UInt8[np.ndarray, "h w 3"], scale: float
    ) -> None:
        """Encode a photo; `size` is the model's input size, `scale` the factor on it."""
        self._model, self._photo, self._size = model, (photo.shape[1], photo.shape[0]), size
        self.size = scale_size(size, scale)
        pixels = torch.from_numpy(letterbox(self.size, photo)).permute(2, 0, 1)[None]
        self.tokens: Float[Tensor, "1 cells width"] = model.encode_photos(pixels)[0]
        """Row by row."""

    def tokens_in_patch(self, patch: int) -> tuple[int, ...]:
        """Return numbers of the tokens whose centre lies in a patch of the input, counted row by row; at least one."""
        row, column = divmod(patch, self._size[1] // TOKEN_STRIDE)
        rows = _cells_in_patch(row, self._axis_transform(1), self.size[0] // TOKEN_STRIDE)
        columns = _cells_in_patch(column, self._axis_transform(0), self.size[1] // TOKEN_STRIDE)
        return tuple(r * (self.size[1] // TOKEN_STRIDE) + c for r in rows for c in columns)

    def _axis_transform(self, axis: int) -> tuple[float, float]:
        """Return (scale, shift) from pixels of the input to those of the larger one, along x (0) or y (1)."""
        before, after = letterbox_transform(self._size, *self._photo), letterbox_transform(self.size, *self._photo)
        scale = after[0] / before[0]
        return scale, after[1 + axis] - before[1 + axis] * scale


def scale_size(size: Size, scale: float) -> Size:
    """Scale a size, rounded to whole patches."""
    height, width = (max(round(side * scale / TOKEN_STRIDE), 1) * TOKEN_STRIDE for side in size)
    return height, width


def _cells_in_patch(patch: int, transform: tuple[float, float], count: int) -> list[int]:
    """Return the cells of `count` along an axis whose centre lies in the patch, or the nearest one."""
    scale, shift = transform
    low, high = ((edge * TOKEN_STRIDE * scale + shift) / TOKEN_STRIDE for edge in (patch, patch + 1))
    cells = [n for n in range(count) if low <= n + 0.5 < high]
    return cells or [min(max(int((low + high) / 2), 0), count - 1)]


def top_patches(attention: Float[Tensor, "tokens patches"], count: int) -> list[list[int]]:
    """Return the `count` patches that each think token attends to most, in descending order."""
    return [[int(n) for n in row] for row in attention.topk(min(count, attention.shape[1]), -1).indices]
