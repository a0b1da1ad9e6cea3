"""Latent reasoning: think tokens go uphill on the reward, and what they look at is shown to them finer.

Reason-IAD, arXiv 2602.09850: Z ← Z + η ∇J, T steps, the model as it is; after each step every think token is offered
the patches that it attends to most, re-encoded from the photo at a higher resolution; they stay where the reward rises.

Which way think tokens have to go for the reward to rise: exactly, or from rewards of tokens near them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

BatchTokens = Float[Tensor, "batch tokens width"]
Reward = Callable[[BatchTokens], Float[Tensor, " batch"]]
"""Of think tokens, each row by itself."""


Slope = Callable[[Reward, BatchTokens], tuple[BatchTokens, float]]
"""A way to have ∇J at tokens that are a batch of one, and the reward there."""


def exact(reward: Reward, tokens: BatchTokens) -> tuple[BatchTokens, float]:
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
    def __call__(self, reward: Reward, tokens: BatchTokens) -> tuple[BatchTokens, float]:
        """The estimate at `tokens`, and the reward there."""
        noise = torch.randn(self.draws, *tokens.shape[1:], generator=self.rng) * self.spread
        value = float(reward(tokens))
        return estimate(reward(tokens + noise), noise, self.spread, value if self.centred else 0.0), value


def estimate(
    rewards: Float[Tensor, " draws"], noise: Float[Tensor, "draws tokens width"], spread: float, taken_off: float = 0.0
) -> Float[Tensor, "1 tokens width"]:
    """(1/S) Σ (R_s − b) ε_s / σ²."""
    return ((rewards - taken_off)[:, None, None] * noise).mean(0, keepdim=True) / spread**2


Tokens = Float[Tensor, "1 tokens width"]
Shown = Float[Tensor, "1 shown width"]
"""What was shown to think tokens, behind them; at first nothing."""
Offered = list[tuple[tuple[int, ...], Float[Tensor, "1 finer width"]]]
"""For each think token the places that it looks at most, and the tokens of these places, seen finer."""
Offer = Callable[[Tokens], Offered]
LEAST = 1e-4
"""Rise of the reward below which a step has not helped."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How far and how long."""

    steps: int = 20
    """T."""
    share: float = 0.1
    """η is such that a step is this share of Z's length, η = share · ‖Z‖ / ‖∇J‖, whatever the model; half of it from
    each step on that does not make the reward rise, which is not taken."""
    patience: int = 3
    """Steps in a row that may not help before it ends."""
    enough: float = 0.995
    """Reward from which on nothing is left open."""


@dataclass(frozen=True, slots=True)
class Thought:
    """Where think tokens came to."""

    tokens: Tokens
    """And with them what was shown to them."""
    rewards: tuple[float, ...]
    """At the start and after each step, injections of the step included."""
    offered: int = 0
    kept: int = 0
    """Think tokens' offers, and those of them that made the reward rise."""


def climbed(start: Tokens, reward: Reward, slope: Slope, pace: Pace, offer: Offer | None = None) -> Thought:
    """Go uphill from `start`; with `offer`, take what helps of what is offered after each step."""
    own, shown, share, idle = start, start[:, :0], pace.share, 0
    rewards, injections = [float(reward(start))], _Injections(reward, offer)
    for _ in range(pace.steps):
        if max(rewards) >= pace.enough or idle >= pace.patience:
            break
        before = rewards[-1]
        moved = own + _step(slope(_beside(reward, shown), own)[0], own, share)
        came = float(reward(torch.cat([moved, shown], 1)))
        if came > before:
            own = moved
        else:
            came, share = before, share / 2
        shown, came = injections.taken(own, shown, came)
        idle = 0 if came > before + LEAST else idle + 1
        rewards.append(came)
    return Thought(torch.cat([own, shown], 1), tuple(rewards), len(injections.tried), injections.kept)


def _step(slope: Tokens, tokens: Tokens, share: float) -> Tokens:
    """η ∇J; nothing where it is flat."""
    length = slope.norm()
    return slope * (share * tokens.norm() / length) if length > 0 else torch.zeros_like(slope)


class _Injections:
    """What was offered so far; the same is not offered twice."""

    def __init__(self, reward: Reward, offer: Offer | None) -> None:
        self._reward, self._offer = reward, offer
        self.tried: set[tuple[int, ...]] = set()
        self.kept = 0

    def taken(self, own: Tokens, shown: Shown, came: float) -> tuple[Float[Tensor, "1 now width"], float]:
        """What is shown after the offers to these think tokens, and the reward then. `came` is that before."""
        for places, finer in self._offer(own) if self._offer else ():
            if places in self.tried:
                continue
            self.tried.add(places)
            more = torch.cat([shown, finer], 1)
            risen = float(self._reward(torch.cat([own, more], 1)))
            if risen > came:
                shown, came = more, risen
                self.kept += 1
        return shown, came


def _beside(reward: Reward, shown: Shown) -> Reward:
    """The reward of think tokens that stand before what was shown to them."""

    def of(tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, " batch"]:
        return reward(torch.cat([tokens, shown.expand(len(tokens), -1, -1)], 1))

    return of
