"""Prior tokens: Loc and Vis, pooled to a few places and brought to the width of the model that is to see them.

AD Expert (ADSeeker, arXiv 2508.03088): the map of where patches are like what is wrong, and what a small network of its
own makes of the photo, go into the vision-language model's input as tokens. How many, and how they are pooled, is ours.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from logicls.models.nano.glimpse import normed

Parts = Literal["both", "loc", "vis", "none"]
"""Which tokens the model is given; less than both is for finding out what each is worth."""
GRID = 4
"""Rows and columns of places to which both maps are pooled: 16 tokens each."""
CHANNELS = (16, 32, 48, 64)
"""Of Vis, from layer to layer; each after the first halves the photo."""
GROUPS = 8
NEAREST = 1e-4
"""Loc comes no nearer to 0 and 1 than that before its logit is taken."""


class Vis(nn.Module):
    """A small network on the photo."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(zip((3, *CHANNELS), CHANNELS, strict=False)):
            layers += [nn.Conv2d(before, after, 3, min(number, 1) + 1, 1, bias=False)]
            layers += [nn.GroupNorm(GROUPS, after), nn.ReLU(True)]
        self.look = nn.Sequential(*layers)

    def forward(self, photos: Float[Tensor, "photos 3 height across"]) -> Float[Tensor, "photos channels rows columns"]:
        """A feature for each 8 x 8 pixels of photos, 0 to 255."""
        seen: Tensor = self.look(normed(photos).contiguous(memory_format=torch.channels_last))
        return seen


class PriorTokens(nn.Module):
    """Makes the tokens, and holds the question that is asked after them."""

    def __init__(self, width: int, words: int) -> None:
        """`width` of the model that sees them; the question has so many `words`, which are learned."""
        super().__init__()
        self.vis = Vis()
        self.from_loc = nn.Sequential(nn.Linear(2, width), nn.GELU(), nn.Linear(width, width))
        self.from_vis = nn.Linear(CHANNELS[-1], width)
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
        photos: Float[Tensor, "photos 3 height across"],
        parts: Parts = "both",
    ) -> Float[Tensor, "photos tokens width"]:
        """Tokens of Loc, then those of Vis, row by row; `charts` are Loc, `photos` have Vis's size, 0 to 255."""
        told = []
        if parts in ("both", "loc"):
            told.append(self.from_loc(pooled(charts, self.usual)) + self.places[: GRID * GRID])
        if parts in ("both", "vis"):
            worst = F.adaptive_max_pool2d(self.vis(photos), GRID).flatten(2).transpose(1, 2)
            told.append(self.from_vis(worst) + self.places[GRID * GRID :])
        return torch.cat(told, 1) if told else self.places.new_zeros(len(charts), 0, self.places.shape[1])


def logits_of(charts: Float[Tensor, "photos rows columns"]) -> Float[Tensor, "photos rows columns"]:
    """Of Loc: ln(cos(E_p, E_t-) / cos(E_p, E_t+))."""
    return torch.logit(charts.clamp(NEAREST, 1 - NEAREST))


def pooled(charts: Float[Tensor, "photos rows columns"], usual: Float[Tensor, 2]) -> Float[Tensor, "photos places 2"]:
    """Of each place the worst and the mean of Loc, in standard deviations from what good photos have."""
    far = ((logits_of(charts) - usual[0]) / usual[1])[:, None]
    both = torch.cat([F.adaptive_max_pool2d(far, GRID), F.adaptive_avg_pool2d(far, GRID)], 1)
    return both.flatten(2).transpose(1, 2)
