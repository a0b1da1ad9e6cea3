"""Latent reasoning of Reason-IAD (arXiv 2602.09850): gradient ascent of think tokens on an entropy reward.

Z ← Z + η ∇J for T steps with a frozen model. After each step, dynamic visual injection proposes for every think token
the patches that it attends to most, re-encoded at a higher resolution; they are kept if the reward rises. The gradient
is exact, or estimated from rewards of tokens sampled around Z.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from logicls.data.image_io import letterbox, letterbox_transform
from logicls.models.nano import NanoForImageTextToText
from logicls.models.nano.blocks import Block
from logicls.models.nano.config import TOKEN_STRIDE
from logicls.plugins.reasoning.slot_entropy import PhotoKeys, append_think_tokens

Size = tuple[int, int]
"""Height and width."""


def think_token_attention(
    model: NanoForImageTextToText, keys: PhotoKeys, tokens: Float[Tensor, "1 tokens width"]
) -> Float[Tensor, "tokens patches"]:
    """Return the attention of each think token to the photo's patches, rows summing to 1.

    Softmax of q · k / √d over the photo's patches alone, averaged over heads and layers of the decoder.
    """
    cache, attentions, x = append_think_tokens(model, keys, tokens[:, :0]), [], tokens
    for block, (key, _) in zip(cast("Sequence[Block]", model.decoder), keys, strict=True):
        query = block.attention.qkv(block.norm1(x)).chunk(3, -1)[0]
        heads = query.unflatten(-1, (key.shape[1], -1)).transpose(1, 2)
        match = heads @ key.transpose(-1, -2) / math.sqrt(key.shape[-1])
        attentions.append(match.softmax(-1).mean((0, 1)))
        x = block(x, None, cache)
    return torch.stack(attentions).mean(0)


class HighResolutionPhoto:
    """Photo encoded with a larger input.

    Positions are relative to the photo's longer side, so the model's weights apply unchanged.
    """

    def __init__(
        self, model: NanoForImageTextToText, size: Size, photo: UInt8[np.ndarray, "h w 3"], scale: float
    ) -> None:
        """Encode a photo; `size` is the model's input size, `scale` the factor on it."""
        self._model, self._photo, self._size = model, (photo.shape[1], photo.shape[0]), size
        self.size = scale_size(size, scale)
        pixels = torch.from_numpy(letterbox(self.size, photo)).permute(2, 0, 1)[None]
        self.tokens: Float[Tensor, "1 cells width"] = model.encode_photos(pixels)[0]
        """Row by row."""

    def tokens_in_patch(self, patch: int) -> tuple[int, ...]:
        """Return numbers of the tokens whose centre lies in a patch of the input, counted row by row; at least one."""
        row, column = divmod(patch, self._size[1] // TOKEN_STRIDE)
        rows = _cells_in_patch(row, self._axis_transform(1), self.size[0] // TOKEN_STRIDE)
        columns = _cells_in_patch(column, self._axis_transform(0), self.size[1] // TOKEN_STRIDE)
        return tuple(r * (self.size[1] // TOKEN_STRIDE) + c for r in rows for c in columns)

    def _axis_transform(self, axis: int) -> tuple[float, float]:
        """Return (scale, shift) from pixels of the input to those of the larger one, along x (0) or y (1)."""
        before, after = letterbox_transform(self._size, *self._photo), letterbox_transform(self.size, *self._photo)
        scale = after[0] / before[0]
        return scale, after[1 + axis] - before[1 + axis] * scale


def scale_size(size: Size, scale: float) -> Size:
    """Scale a size, rounded to whole patches."""
    height, width = (max(round(side * scale / TOKEN_STRIDE), 1) * TOKEN_STRIDE for side in size)
    return height, width


def _cells_in_patch(patch: int, transform: tuple[float, float], count: int) -> list[int]:
    """Return the cells of `count` along an axis whose centre lies in the patch, or the nearest one."""
    scale, shift = transform
    low, high = ((edge * TOKEN_STRIDE * scale + shift) / TOKEN_STRIDE for edge in (patch, patch + 1))
    cells = [n for n in range(count) if low <= n + 0.5 < high]
    return cells or [min(max(int((low + high) / 2), 0), count - 1)]


def top_patches(attention: Float[Tensor, "tokens patches"], count: int) -> list[list[int]]:
    """Return the `count` patches that each think token attends to most, in descending order."""
    return [[int(n) for n in row] for row in attention.topk(min(count, attention.shape[1]), -1).indices]


BatchTokens = Float[Tensor, "batch tokens width"]
Reward = Callable[[BatchTokens], Float[Tensor, " batch"]]
"""Reward of think tokens, each row of the batch by itself."""


GradientEstimator = Callable[[Reward, BatchTokens], tuple[BatchTokens, float]]
"""Function that returns ∇J at tokens (a batch of one), and the reward there."""


def exact_gradient(reward: Reward, tokens: BatchTokens) -> tuple[BatchTokens, float]:
    """Return the gradient of J(Z) = R(Z) by differentiation; weights get no gradient."""
    with torch.enable_grad():
        variable = tokens.detach().requires_grad_()
        value = reward(variable)
        (gradient,) = torch.autograd.grad(value.sum(), variable)
    return gradient, float(value.detach())


@dataclass(frozen=True, slots=True)
class SampledGradient:
    """Estimator ∇J = E[R(Z + ε) ε / σ²], ε ~ N(0, σ²); J is the expected reward of tokens sampled around Z.

    REINFORCE for the mean of a normal distribution (Williams, Machine Learning 8, 1992). The baseline R(Z) does not
    change the expectation (E[ε] = 0) and removes most of the variance.
    """

    rng: torch.Generator
    sigma: float
    """σ."""
    samples: int = 8
    has_baseline: bool = True

    @torch.no_grad()
    def __call__(self, reward: Reward, tokens: BatchTokens) -> tuple[BatchTokens, float]:
        """Return the estimate at `tokens`, and the reward there."""
        noise = torch.randn(self.samples, *tokens.shape[1:], generator=self.rng) * self.sigma
        value = float(reward(tokens))
        return estimate_gradient(reward(tokens + noise), noise, self.sigma, value if self.has_baseline else 0.0), value


def estimate_gradient(
    rewards: Float[Tensor, " draws"], noise: Float[Tensor, "draws tokens width"], sigma: float, baseline: float = 0.0
) -> Float[Tensor, "1 tokens width"]:
    """Return (1/S) Σ (R_s − b) ε_s / σ²."""
    return ((rewards - baseline)[:, None, None] * noise).mean(0, keepdim=True) / sigma**2


Tokens = Float[Tensor, "1 tokens width"]
InjectedTokens = Float[Tensor, "1 injected width"]
"""Visual tokens injected after the think tokens; empty at first."""
PatchCandidates = list[tuple[tuple[int, ...], Float[Tensor, "1 finer width"]]]
"""For each think token its most attended patches, and their tokens at a higher resolution."""
PatchProposer = Callable[[Tokens], PatchCandidates]
MIN_GAIN = 1e-4
"""Least increase of the reward that counts as progress."""


@dataclass(frozen=True, slots=True)
class AscentSettings:
    """Settings of the gradient ascent."""

    steps: int = 20
    """T."""
    step_share: float = 0.1
    """Step length as a share of Z's norm, η = share · ‖Z‖ / ‖∇J‖; a step that does not increase the reward is rejected
    and halves the share."""
    patience: int = 3
    """Steps in a row without progress after which it stops."""
    stop_reward: float = 0.995
    """Reward at which it stops."""


@dataclass(frozen=True, slots=True)
class AscentResult:
    """Result of the gradient ascent."""

    tokens: Tokens
    """Think tokens, then injected tokens."""
    rewards: tuple[float, ...]
    """At the start and after each step, injections included."""
    proposed: int = 0
    """Number of proposed injections."""
    accepted: int = 0
    """Number of accepted injections."""


def ascend(
    start: Tokens,
    reward: Reward,
    gradient: GradientEstimator,
    settings: AscentSettings,
    propose: PatchProposer | None = None,
) -> AscentResult:
    """Run gradient ascent from `start`; with `propose`, inject proposed patches that increase the reward."""
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
    """Return η ∇J; zero for a zero gradient."""
    norm = gradient.norm()
    return gradient * (share * tokens.norm() / norm) if norm > 0 else torch.zeros_like(gradient)


class _VisualInjector:
    """Dynamic visual injection; the same patches are proposed once."""

    def __init__(self, reward: Reward, propose: PatchProposer | None) -> None:
        self._reward, self._propose = reward, propose
        self.proposed: set[tuple[int, ...]] = set()
        self.accepted = 0

    def inject(
        self, tokens: Tokens, injected: InjectedTokens, value: float
    ) -> tuple[Float[Tensor, "1 now width"], float]:
        """Return the injected tokens and the reward after the proposals; `value` is the reward before."""
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
    """Return the reward of think tokens followed by the injected ones."""

    def evaluate(tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, " batch"]:
        return reward(torch.cat([tokens, injected.expand(len(tokens), -1, -1)], 1))

    return evaluate
