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


GradientEstimator = Callable[[Reward, BatchTokens], tuple[BatchTokens, float]]
"""A way to have ∇J at tokens that are a batch of one, and the reward there."""


def exact_gradient(reward: Reward, tokens: BatchTokens) -> tuple[BatchTokens, float]:
    """J(Z) = R(Z), by differentiation. The model's weights get no gradient."""
    with torch.enable_grad():
        variable = tokens.detach().requires_grad_()
        value = reward(variable)
        (gradient,) = torch.autograd.grad(value.sum(), variable)
    return gradient, float(value.detach())


@dataclass(frozen=True, slots=True)
class SampledGradient:
    """∇J = E[R(Z + ε) ε / σ²], ε ~ N(0, σ²), the mean over draws: J is the reward of tokens drawn around Z.

    Williams, Machine Learning 8, 1992, for a normal distribution's mean. With `centred` the reward at Z is taken off
    each draw's, which changes no expectation (E[ε] = 0) and takes away nearly all of the noise.
    """

    rng: torch.Generator
    sigma: float
    """σ."""
    samples: int = 8
    has_baseline: bool = True

    @torch.no_grad()
    def __call__(self, reward: Reward, tokens: BatchTokens) -> tuple[BatchTokens, float]:
        """The estimate at `tokens`, and the reward there."""
        noise = torch.randn(self.samples, *tokens.shape[1:], generator=self.rng) * self.sigma
        value = float(reward(tokens))
        return estimate_gradient(reward(tokens + noise), noise, self.sigma, value if self.has_baseline else 0.0), value


def estimate_gradient(
    rewards: Float[Tensor, " draws"], noise: Float[Tensor, "draws tokens width"], sigma: float, baseline: float = 0.0
) -> Float[Tensor, "1 tokens width"]:
    """(1/S) Σ (R_s − b) ε_s / σ²."""
    return ((rewards - baseline)[:, None, None] * noise).mean(0, keepdim=True) / sigma**2


Tokens = Float[Tensor, "1 tokens width"]
InjectedTokens = Float[Tensor, "1 shown width"]
"""What was shown to think tokens, behind them; at first nothing."""
PatchCandidates = list[tuple[tuple[int, ...], Float[Tensor, "1 finer width"]]]
"""For each think token the places that it looks at most, and the tokens of these places, seen finer."""
PatchProposer = Callable[[Tokens], PatchCandidates]
MIN_GAIN = 1e-4
"""Rise of the reward below which a step has not helped."""


@dataclass(frozen=True, slots=True)
class AscentSettings:
    """How far and how long."""

    steps: int = 20
    """T."""
    step_share: float = 0.1
    """η is such that a step is this share of Z's length, η = share · ‖Z‖ / ‖∇J‖, whatever the model; half of it from
    each step on that does not make the reward rise, which is not taken."""
    patience: int = 3
    """Steps in a row that may not help before it ends."""
    stop_reward: float = 0.995
    """Reward from which on nothing is left open."""


@dataclass(frozen=True, slots=True)
class AscentResult:
    """Where think tokens came to."""

    tokens: Tokens
    """And with them what was shown to them."""
    rewards: tuple[float, ...]
    """At the start and after each step, injections of the step included."""
    proposed: int = 0
    accepted: int = 0
    """Think tokens' offers, and those of them that made the reward rise."""


def ascend(
    start: Tokens,
    reward: Reward,
    gradient: GradientEstimator,
    settings: AscentSettings,
    propose: PatchProposer | None = None,
) -> AscentResult:
    """Go uphill from `start`; with `offer`, take what helps of what is offered after each step."""
    tokens, injected, share, stalled = start, start[:, :0], settings.step_share, 0
    rewards, injector = [float(reward(start))], _VisualInjector(reward, propose)
    for _ in range(settings.steps):
        if max(rewards) >= settings.stop_reward or stalled >= settings.patience:
            break
        before = rewards[-1]
        candidate = tokens + _step(gradient(_with_injected(reward, injected), tokens)[0], tokens, share)
        value = float(reward(torch.cat([candidate, injected], 1)))
        if value > before:
            tokens = candidate
        else:
            value, share = before, share / 2
        injected, value = injector.inject(tokens, injected, value)
        stalled = 0 if value > before + MIN_GAIN else stalled + 1
        rewards.append(value)
    return AscentResult(torch.cat([tokens, injected], 1), tuple(rewards), len(injector.proposed), injector.accepted)


def _step(gradient: Tokens, tokens: Tokens, share: float) -> Tokens:
    """η ∇J; nothing where it is flat."""
    norm = gradient.norm()
    return gradient * (share * tokens.norm() / norm) if norm > 0 else torch.zeros_like(gradient)


class _VisualInjector:
    """What was offered so far; the same is not offered twice."""

    def __init__(self, reward: Reward, propose: PatchProposer | None) -> None:
        self._reward, self._propose = reward, propose
        self.proposed: set[tuple[int, ...]] = set()
        self.accepted = 0

    def inject(
        self, tokens: Tokens, injected: InjectedTokens, value: float
    ) -> tuple[Float[Tensor, "1 now width"], float]:
        """What is shown after the offers to these think tokens, and the reward then. `came` is that before."""
        for patches, finer in self._propose(tokens) if self._propose else ():
            if patches in self.proposed:
                continue
            self.proposed.add(patches)
            extended = torch.cat([injected, finer], 1)
            extended_value = float(self._reward(torch.cat([tokens, extended], 1)))
            if extended_value > value:
                injected, value = extended, extended_value
                self.accepted += 1
        return injected, value


def _with_injected(reward: Reward, injected: InjectedTokens) -> Reward:
    """The reward of think tokens that stand before what was shown to them."""

    def evaluate(tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, " batch"]:
        return reward(torch.cat([tokens, injected.expand(len(tokens), -1, -1)], 1))

    return evaluate
