"""Entropies of slots and the reward, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from logicls.plugins.reasoning.slot_entropy import binary_entropy, entropy_reward, max_answer_entropy, truncated_entropy
from logicls.records import Answer

ALL = torch.tensor([True, True, True, True])


def test_truncated_entropy_by_hand():
    """Of 1/2, 1/4, 1/8, 1/8 the two likeliest are 2/3 and 1/3: log 3 − 2/3 log 2, as a share of log 2."""
    chances = torch.tensor([0.5, 0.25, 0.125, 0.125])

    assert float(truncated_entropy(chances, ALL, 2)) == pytest.approx((math.log(3) - 2 / 3 * math.log(2)) / math.log(2))
    assert float(truncated_entropy(chances, ALL, 5)) == pytest.approx(1.75 * math.log(2) / math.log(4))


@pytest.mark.parametrize(("chances", "entropy"), [([0.25] * 4, 1.0), ([0.0, 1.0, 0.0, 0.0], 0.0)])
def test_ends_of_the_scale(chances, entropy):
    """All alike is 1, one alone is 0."""
    assert float(truncated_entropy(torch.tensor(chances), ALL)) == pytest.approx(entropy, abs=1e-6)


def test_options_that_are_not_meant_do_not_count():
    """Two options that are meant and alike are wholly open; one alone leaves nothing open."""
    chances = torch.tensor([[0.5, 0.5, 0.0], [0.4, 0.6, 0.0]])
    meant = torch.tensor([[True, True, False], [True, False, False]])

    assert truncated_entropy(chances, meant).tolist() == pytest.approx([1.0, 0.0], abs=1e-6)


def test_entropy_has_a_finite_slope_at_certainty():
    """A chance of 0 among the options does not make the slope infinite."""
    logits = torch.tensor([60.0, 0.0, -60.0], requires_grad=True)

    truncated_entropy(logits.softmax(-1), ALL[:3]).backward()

    assert torch.isfinite(logits.grad).all()


def test_binary_entropy_by_hand():
    """Even odds are one bit; three to one is 2 − 3/4 log2 3; near certainty it is 0."""
    found = binary_entropy(torch.tensor([0.0, math.log(3), -math.log(3), 80.0]))

    assert found.tolist() == pytest.approx([1.0, 2 - 0.75 * math.log2(3), 2 - 0.75 * math.log2(3), 0.0], abs=1e-6)


def test_reward_is_one_less_the_mean_entropy():
    """R = 1 − (1/m) Σ H; 1 where there is no slot."""
    assert entropy_reward(torch.tensor([[0.2, 0.4, 0.9], [0.0, 0.0, 0.0]])).tolist() == pytest.approx([0.5, 1.0])
    assert entropy_reward(torch.zeros(2, 0)).tolist() == [1.0, 1.0]


def test_openness_is_that_of_the_least_sure_slot():
    """The largest entropy among all places, values and answers; 0 where all is sure."""
    sure = Answer("locate:pin", confidence=1.0, probabilities=(1.0,))

    assert max_answer_entropy([sure, Answer("verdict", confidence=0.75)]) == pytest.approx(2 - 0.75 * math.log2(3))
    assert max_answer_entropy([sure, Answer("locate:lid", probabilities=(0.99, 0.5))]) == 1.0
    assert max_answer_entropy([sure]) == 0.0
