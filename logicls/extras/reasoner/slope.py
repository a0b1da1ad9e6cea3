"""Which way think tokens have to go for the reward to rise: exactly, or from rewards of tokens near them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Tokens = Float[Tensor, "batch tokens width"]
Reward = Callable[[Tokens], Float[Tensor, " batch"]]
"""Of think tokens, each row by itself."""


Slope = Callable[[Reward, Tokens], tuple[Tokens, float]]
"""A way to have ∇J at tokens that are a batch of one, and the reward there."""


def exact(reward: Reward, tokens: Tokens) -> tuple[Tokens, float]:
    """J(Z) = R(Z), by differentiation. The model's weights get no gradient."""
    with torch.enable_grad():
        here = tokens.detach().requires_grad_()
        value = reward(here)
        (slope,) = torch.autograd.grad(value.sum(), here)
    return slope, float(value.detach())


@dataclass(frozen=True, slots=True)
class Sampled:
    """∇J = E[R(Z + ε) ε / σ²], ε ~ N(0, σ²), the mean over draws: J is the reward of tokens drawn around Z.

    Williams, Machine Learning 8, 1992, for a normal distribution's mean. With `centred` the reward at Z is taken off
    each draw's, which changes no expectation (E[ε] = 0) and takes away nearly all of the noise.
    """

    rng: torch.Generator
    spread: float
    """σ."""
    draws: int = 8
    centred: bool = True

    @torch.no_grad()
    def __call__(self, reward: Reward, tokens: Tokens) -> tuple[Tokens, float]:
        """The estimate at `tokens`, and the reward there."""
        noise = torch.randn(self.draws, *tokens.shape[1:], generator=self.rng) * self.spread
        value = float(reward(tokens))
        return estimate(reward(tokens + noise), noise, self.spread, value if self.centred else 0.0), value


def estimate(
    rewards: Float[Tensor, " draws"], noise: Float[Tensor, "draws tokens width"], spread: float, taken_off: float = 0.0
) -> Float[Tensor, "1 tokens width"]:
    """(1/S) Σ (R_s − b) ε_s / σ²."""
    return ((rewards - taken_off)[:, None, None] * noise).mean(0, keepdim=True) / spread**2
