"""Loc of the AD Expert (ADSeeker, arXiv 2508.03088): where patches are like what is wrong.

Loc = upsample( cos(E_p, E_t-) / (cos(E_p, E_t+) + cos(E_p, E_t-)) ), E_p the embedding of a patch, E_t+ and E_t- those
of what is right and what is wrong: texts of a CLIP-type encoder, or prototypes that are learned.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

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
