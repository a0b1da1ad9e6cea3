"""Sparse codes by ISTA."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from logicls.plugins.anomaly.sparse_prompts import ista, ista_step, max_step_size, objective, soft_threshold


def test_soft_threshold_moves_towards_zero_and_no_further():
    """Values lose the threshold's amount; those within it become nothing."""
    assert soft_threshold(torch.tensor([3.0, -2.0, 0.5, -0.5, 1.0]), 1.0).tolist() == [2.0, -1.0, 0.0, 0.0, 0.0]


def test_objective_by_hand():
    """1/2 |(3, 4) - (1, 2)|^2 + 0.5 (1 + 2) = 4 + 1.5."""
    asked, codes, atoms = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 2.0]]), torch.eye(2)

    assert objective(asked, codes, atoms, 0.5).tolist() == [5.5]


def test_step_by_hand():
    """From zero with atoms (2, 0) and (0, 1): gradient (-6, -4), a quarter of it (1.5, 1), less 0.25 x 2."""
    asked, atoms = torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0], [0.0, 1.0]])

    assert max_step_size(atoms) == pytest.approx(0.25)
    assert ista_step(asked, torch.zeros(1, 2), atoms, 2.0, 0.25).tolist() == [[1.0, 0.5]]


def test_second_step_by_hand():
    """From (1, 0.5): residual (-1, -3.5), gradient (-2, -3.5), to (1.5, 1.375), less 0.5."""
    asked, atoms = torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0], [0.0, 1.0]])

    assert ista_step(asked, torch.tensor([[1.0, 0.5]]), atoms, 2.0, 0.25).tolist() == [[1.0, 0.875]]


@pytest.mark.parametrize("seed", range(5))
def test_loss_falls_with_every_step(seed):
    """With the longest safe step the objective never rises, and it does fall."""
    made = torch.Generator().manual_seed(seed)
    asked, atoms = (torch.randn(n, 16, generator=made, dtype=torch.float64) for n in (8, 24))

    losses = ista(asked, atoms, 0.3, 40).objectives

    assert len(losses) == 41
    assert all(after <= before + 1e-12 for before, after in pairwise(losses))
    assert losses[-1] < 0.8 * losses[0]


def test_with_upright_atoms_the_code_is_the_soft_threshold():
    """Where atoms are at right angles and of length 1 the minimum is known: soft(E_q E_l^T, lambda), after one step."""
    asked = torch.tensor([[0.9, -0.4, 0.05, 0.2]], dtype=torch.float64)

    found = ista(asked, torch.eye(4, dtype=torch.float64), 0.3, 1).codes

    assert torch.allclose(found, torch.tensor([[0.6, -0.1, 0.0, 0.0]], dtype=torch.float64))


@pytest.mark.parametrize("weight", [0.5, 1.0, 2.0])
def test_sparsity_is_what_the_weight_predicts(weight):
    """Of normally distributed correlations the share erf(lambda / sqrt 2) is within the threshold, and becomes zero."""
    asked = torch.randn(400, 64, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    codes = ista(asked, torch.eye(64, dtype=torch.float64), weight, 3).codes

    assert float((codes == 0).double().mean()) == pytest.approx(math.erf(weight / math.sqrt(2)), abs=0.01)


def test_nothing_is_coded_where_the_weight_is_above_every_correlation():
    """A weight at or above max |E_q E_l^T| leaves all codes at zero (the dual bound of the lasso)."""
    made = torch.Generator().manual_seed(1)
    asked, atoms = (torch.randn(4, 8, generator=made, dtype=torch.float64) for _ in range(2))
    bound = float((asked @ atoms.T).abs().max())

    assert not ista(asked, atoms, bound, 30).codes.any()
    assert ista(asked, atoms, 0.9 * bound, 30).codes.any()
