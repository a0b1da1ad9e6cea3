"""Prior tokens of the AD Expert (ADSeeker, arXiv 2508.03088): Loc and Vis, pooled and projected to the model's width.

Loc is the localization map, Vis the features of a small network on the photo; both enter the vision-language model as
tokens. Their number and pooling are ours. **Measured worse than `patches`**: see `prior_expert`.
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from logicls.models.nano.blocks import NORM_GROUPS
from logicls.models.nano.crop_encoder import normalize

TokenParts = Literal["both", "loc", "vis", "none"]
"""Tokens given to the model; fewer than both are for ablations."""
GRID = 4
"""Rows and columns to which both maps are pooled: 16 tokens each."""
VIS_CHANNELS = 64
"""Channels of Vis."""
MIN_COVERAGE = 0.3
"""Share of a cell that a synthetic flaw must cover for the cell to count as flawed."""
LOGIT_EPSILON = 1e-4
"""Margin by which Loc is clipped to (0, 1) before its logit."""


class VisEncoder(nn.Module):
    """Vis: a copy of nano's stem and one more layer, all trainable."""

    def __init__(self, stem: nn.Sequential) -> None:
        super().__init__()
        stem_channels = next(layer for layer in reversed(stem) if isinstance(layer, nn.Conv2d)).out_channels
        last_layer = (
            nn.Conv2d(stem_channels, VIS_CHANNELS, 3, 2, 1, bias=False),
            nn.GroupNorm(NORM_GROUPS, VIS_CHANNELS),
            nn.ReLU(True),
        )
        self.layers = nn.Sequential(*copy.deepcopy(stem), *last_layer).requires_grad_()

    def forward(self, photos: Float[Tensor, "photos 3 height across"]) -> Float[Tensor, "photos channels rows columns"]:
        """Return a feature for each 16 x 16 pixels of photos, 0 to 255."""
        vis_maps: Tensor = self.layers(normalize(photos).contiguous(memory_format=torch.channels_last))
        return vis_maps


class PriorTokens(nn.Module):
    """Projections of Loc and Vis to prior tokens, and a learned prompt."""

    def __init__(self, width: int, words: int, stem: nn.Sequential) -> None:
        """Create tokens of `width` and a prompt of `words` tokens; Vis is initialised with `stem`."""
        super().__init__()
        self.vis = VisEncoder(stem)
        self.loc_projection = nn.Sequential(nn.Linear(2, width), nn.GELU(), nn.Linear(width, width))
        self.vis_projection = nn.Linear(VIS_CHANNELS, width)
        self.localization_head = nn.Conv2d(VIS_CHANNELS, 1, 1)
        """Tells of each of Vis's features whether there is a flaw; while it learns, and no more."""
        self.position_embeddings = nn.Parameter(torch.zeros(2 * GRID * GRID, width))
        self.question = nn.Parameter(torch.zeros(words, width))
        self.loc_statistics = nn.Buffer(torch.tensor([0.0, 1.0]))
        """Mean and standard deviation of good photos' Loc, as logits."""

    def initialize(
        self,
        mean_token: Float[Tensor, " width"],
        question: Float[Tensor, "words width"],
        loc_maps: Float[Tensor, "photos rows columns"],
    ) -> None:
        """Initialise prompt, position embeddings around `mean_token`, and statistics of good localization maps."""
        logits = loc_logits(loc_maps)
        with torch.no_grad():
            self.position_embeddings.copy_(
                mean_token + torch.randn_like(self.position_embeddings) * mean_token.std() / 10
            )
            self.question.copy_(question)
            self.loc_statistics.copy_(torch.stack([logits.mean(), logits.std().clamp_min(1e-6)]))

    def forward(
        self,
        loc_maps: Float[Tensor, "photos rows columns"],
        vis_maps: Float[Tensor, "photos channels fewer_rows fewer_columns"],
        parts: TokenParts = "both",
    ) -> Float[Tensor, "photos tokens width"]:
        """Return tokens of Loc, then those of Vis, row by row."""
        tokens = []
        if parts in ("both", "loc"):
            tokens.append(
                self.loc_projection(pool_loc(loc_maps, self.loc_statistics)) + self.position_embeddings[: GRID * GRID]
            )
        if parts in ("both", "vis"):
            pooled = F.adaptive_max_pool2d(vis_maps, GRID).flatten(2).transpose(1, 2)
            tokens.append(self.vis_projection(pooled) + self.position_embeddings[GRID * GRID :])
        return (
            torch.cat(tokens, 1)
            if tokens
            else self.position_embeddings.new_zeros(len(loc_maps), 0, self.position_embeddings.shape[1])
        )


def loc_logits(loc_maps: Float[Tensor, "photos rows columns"]) -> Float[Tensor, "photos rows columns"]:
    """Return the logit of Loc: ln(cos(E_p, E_t-) / cos(E_p, E_t+))."""
    return torch.logit(loc_maps.clamp(LOGIT_EPSILON, 1 - LOGIT_EPSILON))


def pool_loc(
    loc_maps: Float[Tensor, "photos rows columns"], statistics: Float[Tensor, 2]
) -> Float[Tensor, "photos cells 2"]:
    """Return maximum and mean of Loc in each cell of the grid, in standard deviations of good photos."""
    deviations = ((loc_logits(loc_maps) - statistics[0]) / statistics[1])[:, None]
    both = torch.cat([F.adaptive_max_pool2d(deviations, GRID), F.adaptive_avg_pool2d(deviations, GRID)], 1)
    return both.flatten(2).transpose(1, 2)


def localization_loss(
    logits: Float[Tensor, "photos rows columns"], coverage: Float[Tensor, "photos finer_rows finer_columns"]
) -> Float[Tensor, ""]:
    """Return the binary cross-entropy of flaw logits, flawed and good cells weighted equally.

    `coverage` is the flawed share of finer cells: a cell is flawed if its largest coverage is at least `MIN_COVERAGE`,
    and is ignored if it is smaller but not zero.
    """
    max_coverage = F.adaptive_max_pool2d(coverage[:, None], logits.shape[1:])[:, 0]
    is_flawed, is_good = max_coverage >= MIN_COVERAGE, max_coverage == 0
    flawed_loss = F.softplus(-logits[is_flawed]).mean() if is_flawed.any() else logits.sum() * 0
    return flawed_loss + F.softplus(logits[is_good]).mean()
