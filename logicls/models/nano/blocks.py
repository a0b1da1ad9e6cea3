"""Building blocks of nano: convolutional stem, transformer block, positional encodings."""

from __future__ import annotations

import math
from functools import reduce

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import Cache

NORM_GROUPS = 8
"""Channel groups of group normalization (Wu and He 2018), which is independent of the other photos of a batch."""

INFERENCE_CHUNK = 2
"""Photos whose feature maps are computed at once during inference."""


class Stem(nn.Module):
    """3x3 convolutions from pixels to feature maps of stride 8 and stride 16."""

    def __init__(self, fine_width: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in (
            (3, 32, 2),
            (32, 64, 2),
            (64, fine_width, 2),
            (fine_width, fine_width, 1),
        ):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
                nn.GroupNorm(NORM_GROUPS, outputs),
                nn.ReLU(True),
            ]
        self.fine = nn.Sequential(*layers)
        self.coarse = nn.Conv2d(fine_width, width, 3, 2, 1)

    def forward(
        self, pixels: Float[Tensor, "batch 3 height across"]
    ) -> tuple[Float[Tensor, "batch fine rows columns"], Float[Tensor, "batch channels half_rows half_columns"]]:
        """Return the feature maps of stride 8 and of stride 16."""
        fine = self.fine(pixels)
        return fine, self.coarse(fine)

    def forward_in_chunks(
        self, pixels: Float[Tensor, "batch 3 height across"]
    ) -> tuple[Float[Tensor, "batch fine rows columns"], Float[Tensor, "batch channels half_rows half_columns"]]:
        """Return both feature maps, computed for a few photos at a time so that they fit into a core's cache."""
        fine, coarse = zip(*map(self, pixels.split(INFERENCE_CHUNK)), strict=True)
        return (fine[0], coarse[0]) if len(fine) == 1 else (torch.cat(fine), torch.cat(coarse))


class Attention(nn.Module):
    """Multi-head attention with an optional key-value cache."""

    def __init__(self, width: int, heads: int, layer: int) -> None:
        super().__init__()
        self.heads, self.layer = heads, layer
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "batch new width"],
        mask: Bool[Tensor, "#batch 1 queries keys"] | None,
        cache: Cache | None,
        query_positions: Int[Tensor, " queries"] | None = None,
    ) -> Float[Tensor, "batch queries width"]:
        """Attend to the positions that the mask allows, including those in the cache.

        `query_positions` restricts the queries; by default every position is one.
        """
        batch, width = len(x), x.shape[2]
        if query_positions is None:
            q, k, v = self.qkv(x).view(batch, -1, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        else:
            weight, bias = self.qkv.weight, self.qkv.bias
            q = F.linear(x[:, query_positions], weight[:width], bias[:width])
            q = q.unflatten(2, (self.heads, -1)).transpose(1, 2)
            kv = F.linear(x, weight[width:], bias[width:])
            k, v = kv.view(batch, -1, 2, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, heads: int, layer: int = 0) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, layer)
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(approximate="tanh"), nn.Linear(3 * width, width))

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        cache: Cache | None = None,
        query_positions: Tensor | None = None,
    ) -> Tensor:
        """Apply attention and the perceptron, both residual, to all positions or to `query_positions` alone."""
        mixed = self.attention(self.norm1(x), mask, cache, query_positions)
        x = (x if query_positions is None else x[:, query_positions]) + mixed
        x = x + self.mlp(self.norm2(x))
        return x


def sinusoidal_encoding(
    positions: Float[Tensor, " positions"], width: int, max_frequency: float
) -> Float[Tensor, "positions width"]:
    """Encode positions from 0 to 1 as sines and cosines (Vaswani et al. 2017, section 3.5).

    `max_frequency`: periods of the highest frequency between 0 and 1.
    """
    frequencies = torch.exp(torch.linspace(0.0, math.log(max_frequency), width // 2))[None]
    angles = 2 * math.pi * positions[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], -1)


def grid_encoding(rows: int, columns: int, width: int) -> Float[Tensor, "positions width"]:
    """Encode the cells of a grid: one half of the width encodes the row, the other the column.

    The longer side of the grid spans 0 to 1.
    """
    longest = max(rows, columns)
    row_encoding = sinusoidal_encoding((torch.arange(rows) + 0.5) / longest, width // 2, 12.0)
    column_encoding = sinusoidal_encoding((torch.arange(columns) + 0.5) / longest, width // 2, 12.0)
    by_row = row_encoding[:, None].expand(-1, columns, -1)
    by_column = column_encoding[None].expand(rows, -1, -1)
    return torch.cat([by_row, by_column], -1).reshape(rows * columns, width)


def average_downscale(pixels: Tensor, factor: int) -> Float[Tensor, "batch 3 rows columns"]:
    """Downscale photos [batch 3 height width], 0 to 255, by the mean of squares of `factor` x `factor` pixels.

    Bytes are summed as integers in channels-last order: exactly the means of `avg_pool2d` in a third of the time.
    """
    if pixels.dtype != torch.uint8:
        return F.avg_pool2d(pixels, factor)
    lines = pixels.movedim(1, -1)
    rows = lines[:, ::factor].to(torch.int16)
    for k in range(1, factor):
        rows += lines[:, k::factor]
    columns = rows.unflatten(2, (-1, factor)).unbind(3)
    total: Tensor = reduce(torch.add, columns)
    return total.to(torch.get_default_dtype()).div_(factor**2).movedim(-1, 1)
