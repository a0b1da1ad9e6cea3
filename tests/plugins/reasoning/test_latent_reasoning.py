"""Gradient ascent of think tokens, gradient estimators, and visual injection."""

from __future__ import annotations

import pytest
import torch

from logicls.plugins.reasoning.latent_reasoning import (
    AscentSettings,
    SampledGradient,
    ascend,
    estimate_gradient,
    exact_gradient,
)

START = torch.tensor([[[3.0, 4.0]]])


def first_coordinate(tokens: torch.Tensor) -> torch.Tensor:
    """Return a plane that rises along the first coordinate of all tokens."""
    return tokens[..., 0].sum(1) / 100


def quadratic(tokens: torch.Tensor) -> torch.Tensor:
    """Return 1 at (6, 8), less elsewhere."""
    return 1 - (tokens - 2 * START).square().sum((1, 2)) / 100


def test_step_value():
    """η ∇J is a tenth of ‖Z‖ = 5 along the gradient (1, 0): Z becomes (3.5, 4)."""
    result = ascend(START, first_coordinate, exact_gradient, AscentSettings(steps=1, step_share=0.1))

    assert result.tokens[0, 0].tolist() == pytest.approx([3.5, 4.0])
    assert result.rewards == pytest.approx((0.03, 0.035))


def test_reward_never_decreases():
    """Steps are accepted only if the reward rises, with either gradient."""
    for gradient in (exact_gradient, SampledGradient(torch.Generator().manual_seed(0), sigma=0.5)):
        result = ascend(START, quadratic, gradient, AscentSettings(steps=40, patience=40))

        assert list(result.rewards) == sorted(result.rewards)
        assert result.rewards[0] == pytest.approx(0.75)
        assert result.rewards[-1] > 0.95


def test_stop_reward():
    """The ascent stops at `stop_reward`."""
    assert len(ascend(START, quadratic, exact_gradient, AscentSettings(steps=40, stop_reward=0.7)).rewards) == 1
    assert len(ascend(START, quadratic, exact_gradient, AscentSettings(steps=40, stop_reward=0.9)).rewards) < 10


def test_patience():
    """On a constant reward it stops after `patience` steps, at the start."""
    flat = ascend(
        START, lambda tokens: tokens.sum((1, 2)) * 0 + 0.5, exact_gradient, AscentSettings(steps=40, patience=3)
    )

    assert flat.rewards == (0.5,) * 4
    assert torch.equal(flat.tokens, START)


def test_injection_needs_gain():
    """Proposals that raise the reward are injected, others are not, and none is tried twice."""
    calls = []

    def propose(tokens: torch.Tensor) -> list[tuple[tuple[int, ...], torch.Tensor]]:
        calls.append(tokens)
        return [((1,), torch.tensor([[[7.0, 0.0]]])), ((2,), torch.tensor([[[-7.0, 0.0]]]))]

    result = ascend(START, first_coordinate, exact_gradient, AscentSettings(steps=2, step_share=0.1), propose)

    assert len(calls) == 2
    assert (result.proposed, result.accepted) == (2, 1)
    assert result.tokens[0, 1:].tolist() == [[7.0, 0.0]]
    assert result.rewards[1] == pytest.approx(0.035 + 0.07)


TARGET = torch.tensor([[[1.0, -2.0], [0.5, 3.0]]])


def negative_distance(tokens: torch.Tensor) -> torch.Tensor:
    """Return minus the squared distance to the target."""
    return -(tokens - TARGET).square().sum((1, 2))


def test_exact_gradient_value():
    """The gradient of −‖z − a‖² is −2 (z − a); the tokens stay unchanged."""
    tokens = torch.tensor([[[2.0, -2.0], [0.5, 0.0]]])

    gradient, value = exact_gradient(negative_distance, tokens)

    assert gradient.tolist() == [[[-2.0, 0.0], [0.0, 6.0]]]
    assert value == -10.0
    assert not tokens.requires_grad


def test_estimate_value():
    """(1/2) (1 · 0.1 + 3 · (−0.2)) / 0.25 = −1; with a baseline of 2 (−0.1 − 0.2) / 2 / 0.25 = −0.6."""
    rewards, noise = torch.tensor([1.0, 3.0]), torch.tensor([[[0.1]], [[-0.2]]])

    assert float(estimate_gradient(rewards, noise, 0.5)) == pytest.approx(-1.0)
    assert float(estimate_gradient(rewards, noise, 0.5, 2.0)) == pytest.approx(-0.6)


@pytest.mark.parametrize(("has_baseline", "off"), [(True, 0.25), (False, 1.2)])
def test_estimate_converges(has_baseline, off):
    """With many samples the estimate converges, with or without a baseline."""
    tokens = torch.zeros(1, 2, 2)
    estimator = SampledGradient(torch.Generator().manual_seed(0), sigma=0.5, samples=40000, has_baseline=has_baseline)

    gradient, value = estimator(negative_distance, tokens)

    assert value == pytest.approx(float(negative_distance(tokens)))
    assert float((gradient - 2 * TARGET).abs().max()) < off


def test_baseline_reduces_variance():
    """With eight samples the baseline reduces the mean error of 50 estimates."""
    errors = {}
    for has_baseline in (True, False):
        estimator = SampledGradient(torch.Generator().manual_seed(0), sigma=0.1, samples=8, has_baseline=has_baseline)
        gradients = torch.cat([estimator(negative_distance, torch.zeros(1, 2, 2))[0] for _ in range(50)])
        errors[has_baseline] = float((gradients - 2 * TARGET).norm(dim=(1, 2)).mean())

    assert errors[True] < errors[False] / 5
