"""Type-level prompts, layer by layer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from logicls.plugins.anomaly.sparse_prompts import SparseCodingSettings, fit_prompt_hierarchy, fit_prompt_layer

NAMES = ("scratch", "stain", "bent")
SPARSITY = SparseCodingSettings(weight=0.05)


def examples(seed: int, width: int = 12, each: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Features that gather in two places for each type."""
    places = torch.randn(3, 2, width, generator=torch.Generator().manual_seed(9))
    noise = torch.randn(3, 2, each, width, generator=torch.Generator().manual_seed(seed))
    return (places[:, :, None] + 0.15 * noise).flatten(0, 2), torch.arange(3).repeat_interleave(2 * each)


def test_prompts_are_of_length_one_and_of_every_type():
    """As many as clusters were asked for, for each type."""
    features, types = examples(0)

    level, _ = fit_prompt_layer(features, types, 2, 0, SPARSITY)

    assert torch.allclose(level.prompts.norm(dim=1), torch.ones(6))
    assert level.types.tolist() == [0, 0, 1, 1, 2, 2]


def test_learning_brings_the_objective_down():
    """Prompts end with a lower mean objective of the lasso than the clusters' middles begin with."""
    features, types = examples(0)

    _, losses = fit_prompt_layer(features, types, 1, 0, SPARSITY)

    assert len(losses) == SPARSITY.rounds + 1
    assert losses[-1] < losses[0]


def test_the_type_of_new_features_is_told():
    """Two layers, new examples: the strongest type is the right one for nearly all, and strengths are shares."""
    features, types = examples(0)
    hierarchy = fit_prompt_hierarchy([features, features[:, :8]], types, NAMES, per_type=2, settings=SPARSITY)
    fresh, true = examples(1)

    strengths = hierarchy.type_strengths([fresh, fresh[:, :8]])

    assert torch.allclose(strengths.sum(1), torch.ones(len(fresh)))
    assert (strengths.argmax(1) == true).float().mean() > 0.95


def test_codes_are_the_sparser_the_larger_the_weight():
    """More weight, fewer prompts; and with a weight above 1 no feature of length 1 has any, nor a type."""
    features, types = examples(0)
    level, _ = fit_prompt_layer(features, types, 2, 0, SPARSITY)
    asked = F.normalize(features, dim=1)

    used = [
        int((level.encode(asked, SparseCodingSettings(weight=weight)) != 0).sum()) for weight in (0.01, 0.2, 0.6, 1.01)
    ]

    assert used == sorted(used, reverse=True)
    assert used[0] > used[2] > used[3] == 0
    none = fit_prompt_hierarchy([features], types, NAMES, per_type=1, settings=SparseCodingSettings(weight=1.01))
    assert not none.type_strengths([features]).any()


def test_another_seed_draws_other_clusters_but_the_same_types():
    """What is random is an argument."""
    features, types = examples(0)

    one, again, other = (fit_prompt_layer(features, types, 3, seed, SPARSITY)[0] for seed in (0, 0, 5))

    assert torch.equal(one.prompts, again.prompts)
    assert other.types.unique().tolist() == one.types.unique().tolist() == [0, 1, 2]


def test_layers_that_do_not_fit_are_refused():
    """A hierarchy of two layers is not asked with one."""
    features, types = examples(0)
    hierarchy = fit_prompt_hierarchy([features, features], types, NAMES, per_type=1, settings=SPARSITY)

    with pytest.raises(ValueError, match="shorter"):
        hierarchy.type_strengths([features])
