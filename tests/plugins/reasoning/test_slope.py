"""The gradient, exactly and from samples."""

from __future__ import annotations

import pytest
import torch

from logicls.plugins.reasoning.latent_reasoning import SampledGradient, estimate_gradient, exact_gradient

TARGET = torch.tensor([[[1.0, -2.0], [0.5, 3.0]]])


def near(tokens: torch.Tensor) -> torch.Tensor:
    """Minus the squared distance to the target."""
    return -(tokens - TARGET).square().sum((1, 2))


def test_exact_gradient_by_hand():
    """Of −‖z − a‖² it is −2 (z − a), and the reward comes with it; the tokens stay as they are."""
    tokens = torch.tensor([[[2.0, -2.0], [0.5, 0.0]]])

    slope, value = exact_gradient(near, tokens)

    assert slope.tolist() == [[[-2.0, 0.0], [0.0, 6.0]]]
    assert value == -10.0
    assert not tokens.requires_grad


def test_estimate_by_hand():
    """(1/2) (1 · 0.1 + 3 · (−0.2)) / 0.25 = −1; with 2 taken off each reward (−0.1 − 0.2) / 2 / 0.25 = −0.6."""
    rewards, noise = torch.tensor([1.0, 3.0]), torch.tensor([[[0.1]], [[-0.2]]])

    assert float(estimate_gradient(rewards, noise, 0.5)) == pytest.approx(-1.0)
    assert float(estimate_gradient(rewards, noise, 0.5, 2.0)) == pytest.approx(-0.6)


@pytest.mark.parametrize(("centred", "off"), [(True, 0.25), (False, 1.2)])
def test_estimate_comes_to_the_gradient(centred, off):
    """With many draws it is the exact gradient, whether or not the reward at the middle is taken off."""
    tokens = torch.zeros(1, 2, 2)
    sampled = SampledGradient(torch.Generator().manual_seed(0), sigma=0.5, samples=40000, has_baseline=centred)

    slope, value = sampled(near, tokens)

    assert value == pytest.approx(float(near(tokens)))
    assert float((slope - 2 * TARGET).abs().max()) < off


def test_taking_the_reward_off_takes_noise_away():
    """With eight draws the centred estimate is nearer to the gradient, in the mean of 50 estimates."""
    far = {}
    for centred in (True, False):
        sampled = SampledGradient(torch.Generator().manual_seed(0), sigma=0.1, samples=8, has_baseline=centred)
        slopes = torch.cat([sampled(near, torch.zeros(1, 2, 2))[0] for _ in range(50)])
        far[centred] = float((slopes - 2 * TARGET).norm(dim=(1, 2)).mean())

    assert far[True] < far[False] / 5
