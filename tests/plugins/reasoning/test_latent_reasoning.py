"""Think tokens go uphill, stop in time, and keep of what is offered only what helps."""

from __future__ import annotations

import pytest
import torch

from logicls.plugins.reasoning.latent_reasoning import AscentSettings, SampledGradient, ascend, exact_gradient

START = torch.tensor([[[3.0, 4.0]]])


def first(tokens: torch.Tensor) -> torch.Tensor:
    """A plane that rises along the first coordinate of all tokens."""
    return tokens[..., 0].sum(1) / 100


def hill(tokens: torch.Tensor) -> torch.Tensor:
    """1 at (6, 8), less elsewhere."""
    return 1 - (tokens - 2 * START).square().sum((1, 2)) / 100


def test_a_step_by_hand():
    """η ∇J is a tenth of ‖Z‖ = 5 along the slope (1, 0): Z comes to (3.5, 4)."""
    came = ascend(START, first, exact_gradient, AscentSettings(steps=1, step_share=0.1))

    assert came.tokens[0, 0].tolist() == pytest.approx([3.5, 4.0])
    assert came.rewards == pytest.approx((0.03, 0.035))


def test_the_reward_never_falls():
    """Every step rises or is not taken, by either gradient, and much is won."""
    for slope in (exact_gradient, SampledGradient(torch.Generator().manual_seed(0), sigma=0.5)):
        came = ascend(START, hill, slope, AscentSettings(steps=40, patience=40))

        assert list(came.rewards) == sorted(came.rewards)
        assert came.rewards[0] == pytest.approx(0.75)
        assert came.rewards[-1] > 0.95


def test_it_ends_where_nothing_is_left_open():
    """From `enough` on no step is taken."""
    assert len(ascend(START, hill, exact_gradient, AscentSettings(steps=40, stop_reward=0.7)).rewards) == 1
    assert len(ascend(START, hill, exact_gradient, AscentSettings(steps=40, stop_reward=0.9)).rewards) < 10


def test_it_ends_where_nothing_helps():
    """On a plain it stops after as many steps as it is patient, where it began."""
    flat = ascend(
        START, lambda tokens: tokens.sum((1, 2)) * 0 + 0.5, exact_gradient, AscentSettings(steps=40, patience=3)
    )

    assert flat.rewards == (0.5,) * 4
    assert torch.equal(flat.tokens, START)


def test_offers_are_kept_where_the_reward_rises():
    """What helps stays behind the think tokens, what does not is left out, and nothing is offered twice."""
    asked = []

    def offer(tokens: torch.Tensor) -> list[tuple[tuple[int, ...], torch.Tensor]]:
        asked.append(tokens)
        return [((1,), torch.tensor([[[7.0, 0.0]]])), ((2,), torch.tensor([[[-7.0, 0.0]]]))]

    came = ascend(START, first, exact_gradient, AscentSettings(steps=2, step_share=0.1), offer)

    assert len(asked) == 2
    assert (came.proposed, came.accepted) == (2, 1)
    assert came.tokens[0, 1:].tolist() == [[7.0, 0.0]]
    assert came.rewards[1] == pytest.approx(0.035 + 0.07)
