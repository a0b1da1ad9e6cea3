"""What think tokens look at, and the same places seen finer, from the photo as it was taken."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from logicls.data.image_io import fitted, placed
from logicls.models.nano.config import TOKEN_STRIDE
from logicls.plugins.reasoning.slot_entropy import Keys, thought_into

Size = tuple[int, int]
"""Height and width."""


def attention(model: Any, keys: Keys, tokens: Float[Tensor, "1 tokens width"]) -> Float[Tensor, "tokens patches"]:
    """How much each think token attends to each of the photo's patches, rows summing to 1.

    Softmax of q · k / √d among the photo's patches alone, mean over heads and layers of the decoder.
    """
    cache, seen, x = thought_into(model, keys, tokens[:, :0]), [], tokens
    for block, (key, _) in zip(model.decoder, keys, strict=True):
        query = block.attention.qkv(block.norm1(x)).chunk(3, -1)[0]
        heads = query.unflatten(-1, (key.shape[1], -1)).transpose(1, 2)
        match = heads @ key.transpose(-1, -2) / math.sqrt(key.shape[-1])
        seen.append(match.softmax(-1).mean((0, 1)))
        x = block(x, None, cache)
    return torch.stack(seen).mean(0)


class Closer:
    """A photo read with a larger input. Positions are shares of the photo's longer side, so that no weight minds."""

    def __init__(self, model: Any, size: Size, photo: UInt8[np.ndarray, "h w 3"], finer: float) -> None:
        """`size` is that of the model's input; `finer`: how many times as many pixels on a side."""
        self._model, self._photo, self._size = model, (photo.shape[1], photo.shape[0]), size
        self.size = larger(size, finer)
        pixels = torch.from_numpy(fitted(self.size, photo)).permute(2, 0, 1)[None]
        self.tokens: Float[Tensor, "1 cells width"] = model.see(pixels)[0]
        """Row by row."""

    def of(self, patch: int) -> tuple[int, ...]:
        """Numbers of the tokens whose middle lies in a patch of the input, counted row by row; at least one."""
        row, column = divmod(patch, self._size[1] // TOKEN_STRIDE)
        rows = _within(row, self._axis(1), self.size[0] // TOKEN_STRIDE)
        columns = _within(column, self._axis(0), self.size[1] // TOKEN_STRIDE)
        return tuple(r * (self.size[1] // TOKEN_STRIDE) + c for r in rows for c in columns)

    def _axis(self, axis: int) -> tuple[float, float]:
        """(scale, shift) that take pixels of the input to pixels of the larger one, along x (0) or y (1)."""
        here, there = placed(self._size, *self._photo), placed(self.size, *self._photo)
        scale = there[0] / here[0]
        return scale, there[1 + axis] - here[1 + axis] * scale


def larger(size: Size, finer: float) -> Size:
    """So many times that size, in whole patches."""
    height, width = (max(round(side * finer / TOKEN_STRIDE), 1) * TOKEN_STRIDE for side in size)
    return height, width


def _within(patch: int, line: tuple[float, float], count: int) -> list[int]:
    """Cells of a line of `count` whose middle lies in the patch, or the nearest one."""
    scale, shift = line
    low, high = ((edge * TOKEN_STRIDE * scale + shift) / TOKEN_STRIDE for edge in (patch, patch + 1))
    found = [n for n in range(count) if low <= n + 0.5 < high]
    return found or [min(max(int((low + high) / 2), 0), count - 1)]


def most_attended(seen: Float[Tensor, "tokens patches"], m: int) -> list[list[int]]:
    """The m patches that each think token attends to most, the first one first."""
    return [[int(n) for n in row] for row in seen.topk(min(m, seen.shape[1]), -1).indices]
