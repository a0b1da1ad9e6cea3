"""Prior tokens: Loc and Vis, pooled to a few places and brought to the width of the model that is to see them.

AD Expert (ADSeeker, arXiv 2508.03088): the map of where patches are like what is wrong, and what a small network of its
own makes of the photo, go into the vision-language model's input as tokens. How many, and how they are pooled, is ours.
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

Parts = Literal["both", "loc", "vis", "none"]
"""Which tokens the model is given; less than both is for finding out what each is worth."""
GRID = 4
"""Rows and columns of places to which both maps are pooled: 16 tokens each."""
CHANNELS = 64
"""Of Vis's last layer."""
COVERED = 0.3
"""Share of a cell that a made flaw must cover for Vis to learn that it is there."""
NEAREST = 1e-4
"""Loc comes no nearer to 0 and 1 than that before its logit is taken."""


class Vis(nn.Module):
    """A small network on the photo: layers that begin as those of nano's stem, and one more. All of them learn."""

    def __init__(self, stem: nn.Sequential) -> None:
        super().__init__()
        far = next(layer for layer in reversed(stem) if isinstance(layer, nn.Conv2d)).out_channels
        more = nn.Conv2d(far, CHANNELS, 3, 2, 1, bias=False), nn.GroupNorm(NORM_GROUPS, CHANNELS), nn.ReLU(True)
        self.look = nn.Sequential(*copy.deepcopy(stem), *more).requires_grad_()

    def forward(self, photos: Float[Tensor, "photos 3 height across"]) -> Float[Tensor, "photos channels rows columns"]:
        """A feature for each 16 x 16 pixels of photos, 0 to 255."""
        seen: Tensor = self.look(normalize(photos).contiguous(memory_format=torch.channels_last))
        return seen


class PriorTokens(nn.Module):
    """Makes the tokens, and holds the question that is asked after them."""

    def __init__(self, width: int, words: int, stem: nn.Sequential) -> None:
        """`width` of the model that sees them; the question has so many `words`, learned; Vis begins as the `stem`."""
        super().__init__()
        self.vis = Vis(stem)
        self.from_loc = nn.Sequential(nn.Linear(2, width), nn.GELU(), nn.Linear(width, width))
        self.from_vis = nn.Linear(CHANNELS, width)
        self.where = nn.Conv2d(CHANNELS, 1, 1)
        """Tells of each of Vis's features whether there is a flaw; while it learns, and no more."""
        self.places = nn.Parameter(torch.zeros(2 * GRID * GRID, width))
        self.question = nn.Parameter(torch.zeros(words, width))
        self.usual = nn.Buffer(torch.tensor([0.0, 1.0]))
        """Mean and standard deviation of good photos' Loc, as logits."""

    def start(
        self,
        place: Float[Tensor, " width"],
        question: Float[Tensor, "words width"],
        charts: Float[Tensor, "photos rows columns"],
    ) -> None:
        """To begin with, every token is about `place`; `charts` are Loc of good photos."""
        logits = logits_of(charts)
        with torch.no_grad():
            self.places.copy_(place + torch.randn_like(self.places) * place.std() / 10)
            self.question.copy_(question)
            self.usual.copy_(torch.stack([logits.mean(), logits.std().clamp_min(1e-6)]))

    def forward(
        self,
        charts: Float[Tensor, "photos rows columns"],
        seen: Float[Tensor, "photos channels fewer_rows fewer_columns"],
        parts: Parts = "both",
    ) -> Float[Tensor, "photos tokens width"]:
        """Tokens of Loc, then those of Vis, row by row; `charts` are Loc, `seen` is what Vis makes of the photos."""
        told = []
        if parts in ("both", "loc"):
            told.append(self.from_loc(pooled(charts, self.usual)) + self.places[: GRID * GRID])
        if parts in ("both", "vis"):
            most = F.adaptive_max_pool2d(seen, GRID).flatten(2).transpose(1, 2)
            told.append(self.from_vis(most) + self.places[GRID * GRID :])
        return torch.cat(told, 1) if told else self.places.new_zeros(len(charts), 0, self.places.shape[1])


def logits_of(charts: Float[Tensor, "photos rows columns"]) -> Float[Tensor, "photos rows columns"]:
    """Of Loc: ln(cos(E_p, E_t-) / cos(E_p, E_t+))."""
    return torch.logit(charts.clamp(NEAREST, 1 - NEAREST))


def pooled(charts: Float[Tensor, "photos rows columns"], usual: Float[Tensor, 2]) -> Float[Tensor, "photos places 2"]:
    """Of each place the worst and the mean of Loc, in standard deviations from what good photos have."""
    far = ((logits_of(charts) - usual[0]) / usual[1])[:, None]
    both = torch.cat([F.adaptive_max_pool2d(far, GRID), F.adaptive_avg_pool2d(far, GRID)], 1)
    return both.flatten(2).transpose(1, 2)


def where_loss(
    told: Float[Tensor, "photos rows columns"], cover: Float[Tensor, "photos finer_rows finer_columns"]
) -> Float[Tensor, ""]:
    """Cross-entropy of logits where a flaw is, flawed places counting as much as good ones.

    `cover` is the share of finer cells that is flawed: a place is where one of its cells is at least `COVERED`, and
    does not count where there is less of a flaw than that.
    """
    most = F.adaptive_max_pool2d(cover[:, None], told.shape[1:])[:, 0]
    bad, good = most >= COVERED, most == 0
    missed = F.softplus(-told[bad]).mean() if bad.any() else told.sum() * 0
    return missed + F.softplus(told[good]).mean()
