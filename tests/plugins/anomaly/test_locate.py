"""Loc of the AD Expert."""

from __future__ import annotations

import math

import pytest
import torch

from logicls.plugins.anomaly.features import MIN_SIMILARITY, localization_ratio, upsample


def test_ratio_by_hand():
    """E_p = (1, 1) with E_t+ = (1, 0) and E_t- = (3, 4): 1.4 / sqrt 2 against 1 / sqrt 2 is 0.9899 / 1.6971."""
    patch, right, wrong = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    bad, good = 1.4 / math.sqrt(2), 1 / math.sqrt(2)

    assert localization_ratio(patch, right, wrong).item() == pytest.approx(bad / (good + bad), abs=1e-6)


def test_like_either_is_a_half():
    """Equally near to both says nothing, and so does a patch that points away from both."""
    right, wrong = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])

    assert localization_ratio(torch.tensor([[2.0, 2.0], [-1.0, -1.0]]), right, wrong).tolist() == pytest.approx(
        [0.5, 0.5]
    )


def test_the_nearest_of_each_kind_counts():
    """A second prototype that is nearer takes over."""
    right = torch.tensor([[1.0, 0.0]])
    wrong = torch.tensor([[-1.0, 0.1], [0.0, 1.0]])

    found = localization_ratio(torch.tensor([[0.0, 5.0]]), right, wrong).item()

    assert found == pytest.approx(1 / (1 + MIN_SIMILARITY), abs=1e-6)


def test_upsampled_is_bilinear():
    """Half-pixel centres: between 0 and 1 on four pixels lie 0, 0.25, 0.75 and 1."""
    found = upsample(torch.tensor([[[0.0, 1.0]]]), (1, 4))

    assert found.tolist() == [[[0.0, 0.25, 0.75, 1.0]]]
