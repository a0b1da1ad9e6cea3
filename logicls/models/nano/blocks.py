"""What nano is built of: the convolutions that read pixels, transformer blocks, and waves that tell places apart."""

from __future__ import annotations

import math
from functools import reduce

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import Cache

NORM_GROUPS = 8
"""Groups of channels that are normed together (Wu and He 2018): nothing depends on the other photos of a batch."""

INFERENCE_CHUNK = 2
"""Photos of which maps are made at once where nothing is learned."""


class Stem(nn.Module):
    """3x3 convolutions: pixels to a map with a cell for 8 x 8 of them, and to one for 16 x 16."""

    def __init__(self, fine_width: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, stride in ((3, 32, 2), (32, 64, 2), (64, fine_width, 2), (fine_width, fine_width, 1)):
            layers += [
                nn.Conv2d(before, after, 3, stride, 1, bias=False),
                nn.GroupNorm(NORM_GROUPS, after),
                nn.ReLU(True),
            ]
        self.fine = nn.Sequential(*layers)
        self.coarse = nn.Conv2d(fine_width, width, 3, 2, 1)

    def forward(
        self, pixels: Float[Tensor, "batch 3 height across"]
    ) -> tuple[Float[Tensor, "batch near rows columns"], Float[Tensor, "batch channels half_rows half_columns"]]:
        """Both maps."""
        near = self.fine(pixels)
        return near, self.coarse(near)

    def forward_in_chunks(
        self, pixels: Float[Tensor, "batch 3 height across"]
    ) -> tuple[Float[Tensor, "batch near rows columns"], Float[Tensor, "batch channels half_rows half_columns"]]:
        """The same maps, of a few photos at a time: those of many are larger than a core's cache."""
        near, far = zip(*map(self, pixels.split(INFERENCE_CHUNK)), strict=True)
        return (near[0], far[0]) if len(near) == 1 else (torch.cat(near), torch.cat(far))


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
        mask: Bool[Tensor, "#batch 1 asking seen"] | None,
        cache: Cache | None,
        query_positions: Int[Tensor, " asking"] | None = None,
    ) -> Float[Tensor, "batch asking width"]:
        """Attend to what the mask allows; with a cache, to what came before as well. All positions ask, or the kept."""
        batch, width = len(x), x.shape[2]
        if query_positions is None:
            q, k, v = self.qkv(x).view(batch, -1, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        else:
            weight, bias = self.qkv.weight, self.qkv.bias
            q = (
                F.linear(x[:, query_positions], weight[:width], bias[:width])
                .unflatten(2, (self.heads, -1))
                .transpose(1, 2)
            )
            held = F.linear(x, weight[width:], bias[width:])
            k, v = held.view(batch, -1, 2, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int, layer: int = 0) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, layer)
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(approximate="tanh"), nn.Linear(3 * width, width))

    def forward(
        self, x: Tensor, mask: Tensor | None = None, cache: Cache | None = None, query_positions: Tensor | None = None
    ) -> Tensor:
        """Attention, then the perceptron, each added to its input; of all positions, or of the kept ones alone."""
        mixed = self.attention(self.norm1(x), mask, cache, query_positions)
        x = (x if query_positions is None else x[:, query_positions]) + mixed
        x = x + self.mlp(self.norm2(x))
        return x


def sinusoidal_encoding(
    positions: Float[Tensor, " places"], width: int, max_frequency: float
) -> Float[Tensor, "places width"]:
    """Sines and cosines of places on a line from 0 to 1 (Vaswani et al. 2017, section 3.5): near places look alike.

    `finest`: waves on the line of the highest frequency.
    """
    rates = torch.exp(torch.linspace(0.0, math.log(max_frequency), width // 2))[None]
    angles = 2 * math.pi * positions[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], -1)


def grid_encoding(rows: int, columns: int, width: int) -> Float[Tensor, "places width"]:
    """The same for a grid: half of the width tells the row, half the column; the longer side goes from 0 to 1."""
    longest = max(rows, columns)
    down = sinusoidal_encoding((torch.arange(rows) + 0.5) / longest, width // 2, 12.0)[:, None].expand(-1, columns, -1)
    across = sinusoidal_encoding((torch.arange(columns) + 0.5) / longest, width // 2, 12.0)[None].expand(rows, -1, -1)
    return torch.cat([down, across], -1).reshape(rows * columns, width)


def average_downscale(pixels: Tensor, factor: int) -> Float[Tensor, "batch 3 rows columns"]:
    """Photos [batch 3 height across], 0 to 255, in so many times fewer pixels on each axis, each the mean of a square.

    Bytes are added as whole numbers, pixel beside pixel in memory: the very same means, in a third of the time.
    """
    if pixels.dtype != torch.uint8:
        return F.avg_pool2d(pixels, factor)
    lines = pixels.movedim(1, -1)
    rows = lines[:, ::factor].to(torch.int16)
    for k in range(1, factor):
        rows += lines[:, k::factor]
    beside = rows.unflatten(2, (-1, factor)).unbind(3)
    total: Tensor = reduce(torch.add, beside)
    return total.to(torch.get_default_dtype()).div_(factor**2).movedim(-1, 1)
