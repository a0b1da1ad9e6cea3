"""Sparse codes by ISTA, and type-layer prompts of each layer."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from logicls.plugins.anomaly.sparse_prompts import (
    SparseCodingSettings,
    fit_prompt_hierarchy,
    fit_prompt_layer,
    ista,
    ista_step,
    max_step_size,
    objective,
    soft_threshold,
)


def test_soft_threshold():
    """Values shrink by the amount; smaller ones become zero."""
    assert soft_threshold(torch.tensor([3.0, -2.0, 0.5, -0.5, 1.0]), 1.0).tolist() == [2.0, -1.0, 0.0, 0.0, 0.0]


def test_objective_value():
    """1/2 |(3, 4) - (1, 2)|^2 + 0.5 (1 + 2) = 4 + 1.5."""
    queries, codes, atoms = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 2.0]]), torch.eye(2)

    assert objective(queries, codes, atoms, 0.5).tolist() == [5.5]


def test_first_ista_step():
    """From zero with atoms (2, 0) and (0, 1): gradient (-6, -4), a quarter of it (1.5, 1), less 0.25 x 2."""
    queries, atoms = torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0], [0.0, 1.0]])

    assert max_step_size(atoms) == pytest.approx(0.25)
    assert ista_step(queries, torch.zeros(1, 2), atoms, 2.0, 0.25).tolist() == [[1.0, 0.5]]


def test_second_ista_step():
    """From (1, 0.5): residual (-1, -3.5), gradient (-2, -3.5), to (1.5, 1.375), less 0.5."""
    queries, atoms = torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0], [0.0, 1.0]])

    assert ista_step(queries, torch.tensor([[1.0, 0.5]]), atoms, 2.0, 0.25).tolist() == [[1.0, 0.875]]


@pytest.mark.parametrize("seed", range(5))
def test_objective_never_increases(seed):
    """With the largest safe step size the objective never increases, and does decrease."""
    generator = torch.Generator().manual_seed(seed)
    queries, atoms = (torch.randn(n, 16, generator=generator, dtype=torch.float64) for n in (8, 24))

    objectives = ista(queries, atoms, 0.3, 40).objectives

    assert len(objectives) == 41
    assert all(after <= before + 1e-12 for before, after in pairwise(objectives))
    assert objectives[-1] < 0.8 * objectives[0]


def test_orthonormal_atoms():
    """With orthonormal atoms one step reaches the minimum soft(E_q E_l^T, lambda)."""
    queries = torch.tensor([[0.9, -0.4, 0.05, 0.2]], dtype=torch.float64)

    result = ista(queries, torch.eye(4, dtype=torch.float64), 0.3, 1).codes

    assert torch.allclose(result, torch.tensor([[0.6, -0.1, 0.0, 0.0]], dtype=torch.float64))


@pytest.mark.parametrize("weight", [0.5, 1.0, 2.0])
def test_sparsity_follows_weight(weight):
    """Of normally distributed correlations the share erf(lambda / sqrt 2) becomes zero."""
    queries = torch.randn(400, 64, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    codes = ista(queries, torch.eye(64, dtype=torch.float64), weight, 3).codes

    assert float((codes == 0).double().mean()) == pytest.approx(math.erf(weight / math.sqrt(2)), abs=0.01)


def test_weight_above_all_correlations():
    """A weight of at least max |E_q E_l^T| gives zero codes (dual bound of the lasso)."""
    generator = torch.Generator().manual_seed(1)
    queries, atoms = (torch.randn(4, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    bound = float((queries @ atoms.T).abs().max())

    assert not ista(queries, atoms, bound, 30).codes.any()
    assert ista(queries, atoms, 0.9 * bound, 30).codes.any()


NAMES = ("scratch", "stain", "bent")
SETTINGS = SparseCodingSettings(weight=0.05)


def make_examples(seed: int, width: int = 12, each: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features in two clusters for each type."""
    places = torch.randn(3, 2, width, generator=torch.Generator().manual_seed(9))
    noise = torch.randn(3, 2, each, width, generator=torch.Generator().manual_seed(seed))
    return (places[:, :, None] + 0.15 * noise).flatten(0, 2), torch.arange(3).repeat_interleave(2 * each)


def test_prompts_are_unit_vectors():
    """Each type has the requested number of unit-length prompts."""
    features, types = make_examples(0)

    layer, _ = fit_prompt_layer(features, types, 2, 0, SETTINGS)

    assert torch.allclose(layer.prompts.norm(dim=1), torch.ones(6))
    assert layer.types.tolist() == [0, 0, 1, 1, 2, 2]


def test_fitting_reduces_objective():
    """The mean objective after fitting is below that of the cluster means."""
    features, types = make_examples(0)

    _, objectives = fit_prompt_layer(features, types, 1, 0, SETTINGS)

    assert len(objectives) == SETTINGS.rounds + 1
    assert objectives[-1] < objectives[0]


def test_classify_new_features():
    """With two layers the strongest type of nearly all new examples is right, and strengths sum to 1."""
    features, types = make_examples(0)
    hierarchy = fit_prompt_hierarchy([features, features[:, :8]], types, NAMES, per_type=2, settings=SETTINGS)
    new, true = make_examples(1)

    strengths = hierarchy.type_strengths([new, new[:, :8]])

    assert torch.allclose(strengths.sum(1), torch.ones(len(new)))
    assert (strengths.argmax(1) == true).float().mean() > 0.95


def test_larger_weight_is_sparser():
    """A larger weight uses fewer prompts; above 1 a unit vector uses none and has no type."""
    features, types = make_examples(0)
    layer, _ = fit_prompt_layer(features, types, 2, 0, SETTINGS)
    queries = F.normalize(features, dim=1)

    counts = [
        int((layer.encode(queries, SparseCodingSettings(weight=weight)) != 0).sum())
        for weight in (0.01, 0.2, 0.6, 1.01)
    ]

    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[2] > counts[3] == 0
    none = fit_prompt_hierarchy([features], types, NAMES, per_type=1, settings=SparseCodingSettings(weight=1.01))
    assert not none.type_strengths([features]).any()


def test_seed_determines_clusters():
    """The seed determines the clusters; types are the same for all seeds."""
    features, types = make_examples(0)

    one, again, other = (fit_prompt_layer(features, types, 3, seed, SETTINGS)[0] for seed in (0, 0, 5))

    assert torch.equal(one.prompts, again.prompts)
    assert other.types.unique().tolist() == one.types.unique().tolist() == [0, 1, 2]


def test_number_of_layers_must_match():
    """A hierarchy of two layers rejects features of one."""
    features, types = make_examples(0)
    hierarchy = fit_prompt_hierarchy([features, features], types, NAMES, per_type=1, settings=SETTINGS)

    with pytest.raises(ValueError, match="shorter"):
        hierarchy.type_strengths([features])
