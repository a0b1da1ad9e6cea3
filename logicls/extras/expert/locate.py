"""AD Expert's two looks at a photo (ADSeeker, arXiv 2508.03088): Loc, where patches are like what is wrong, and Vis.

Loc = upsample( cos(E_p, E_t-) / (cos(E_p, E_t+) + cos(E_p, E_t-)) ), E_p the embedding of a patch, E_t+ and E_t- those
of what is right and what is wrong: texts of a CLIP-type encoder, or prototypes that are learned.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

LEAST = 1e-4
"""No cosine counts as less: embeddings that point away from both say nothing, 0.5."""


def nearness(
    patches: Float[Tensor, "*places width"], prototypes: Float[Tensor, "prototypes width"]
) -> Float[Tensor, "*places"]:
    """Cosine to the nearest of the prototypes, not less than `LEAST`."""
    alike = F.normalize(patches, dim=-1) @ F.normalize(prototypes, dim=-1).T
    return alike.amax(-1).clamp_min(LEAST)


def ratio(
    patches: Float[Tensor, "*places width"],
    right: Float[Tensor, "rights width"],
    wrong: Float[Tensor, "wrongs width"],
) -> Float[Tensor, "*places"]:
    """cos(E_p, E_t-) / (cos(E_p, E_t+) + cos(E_p, E_t-)), the nearest of each kind: 0.5 where it is like either."""
    good, bad = nearness(patches, right), nearness(patches, wrong)
    return bad / (good + bad)


def upsampled(
    chart: Float[Tensor, "photos rows columns"], size: tuple[int, int]
) -> Float[Tensor, "photos height width"]:
    """The map in (height, width) pixels, bilinear."""
    return F.interpolate(chart[:, None], size, mode="bilinear", align_corners=False)[:, 0]


class Vis(nn.Module):
    """A small network on the photo beside its map: what the prior tokens are made of. Strides of 2, eight times."""

    def __init__(self, width: int, tokens: tuple[int, int] = (2, 2)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((4, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.ReLU(True)]
        self.reads = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(tokens)
        self.out = nn.Linear(64, width)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(
        self, photo: Float[Tensor, "photos 3 height across"], loc: Float[Tensor, "photos height across"]
    ) -> Float[Tensor, "photos tokens width"]:
        """Prior tokens, of the photo and Loc together. The gate begins closed (Alayrac et al. 2022): all zero."""
        seen = self.pool(self.reads(torch.cat([photo, loc[:, None]], 1)))
        out: Tensor = self.gate.tanh() * self.out(seen.flatten(2).transpose(1, 2))
        return out
