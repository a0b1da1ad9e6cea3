"""A few patches that stand for many: the greedy solution of the k-centre problem.

PatchCore (Roth et al., CVPR 2022), section 3.2, eq. 5 and algorithm 1: the next one is always the patch that is
farthest from all that were taken, after a random linear projection (Johnson and Lindenstrauss 1984), which keeps
distances.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

PROJECTED = 32
"""Axes of the projection."""


def projection(width: int, to: int, generator: torch.Generator) -> Float[Tensor, "width to"]:
    """Random directions; lengths are kept on average."""
    drawn: Tensor = torch.randn(width, to, generator=generator) / to**0.5
    return drawn


def k_centre(patches: Float[Tensor, "patches width"], count: int, generator: torch.Generator) -> Int[Tensor, " taken"]:
    """Places of `count` patches, no other patch farther from them than need be; the first one is drawn."""
    count = min(count, len(patches))
    if patches.shape[1] > PROJECTED:
        patches = patches @ projection(patches.shape[1], PROJECTED, generator)
    taken = torch.empty(count, dtype=torch.long)
    taken[0] = torch.randint(len(patches), (1,), generator=generator)[0]
    far = torch.linalg.vector_norm(patches - patches[taken[0]], dim=1)
    for place in range(1, count):
        far[taken[place - 1]] = -1.0  # never twice, also where all others are the same
        taken[place] = far.argmax()
        far = torch.minimum(far, torch.linalg.vector_norm(patches - patches[taken[place]], dim=1))
    return taken
