"""Greedy k-centre."""

from __future__ import annotations

import torch

from logicls.plugins.anomaly.memory_bank import random_projection, select_coreset


def test_next_is_the_farthest_by_hand():
    """On a line 0, 1, 5, 6, 12: whichever comes first, the ends are taken before what lies close to them."""
    patches = torch.tensor([[0.0], [1.0], [5.0], [6.0], [12.0]])

    for seed in range(5):
        first, second, third = select_coreset(patches, 3, torch.Generator().manual_seed(seed)).tolist()
        far = (patches - patches[first]).abs()[:, 0]
        assert second == int(far.argmax())
        assert third == int(torch.minimum(far, (patches - patches[second]).abs()[:, 0]).argmax())


def test_more_than_there_are_is_all():
    """Asked for more, it takes each patch once."""
    patches = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))

    assert sorted(select_coreset(patches, 10, torch.Generator().manual_seed(0)).tolist()) == list(range(6))


def test_covers_within_twice_the_best_radius():
    """Gonzalez 1985: no patch is farther from the taken ones than twice the best possible: four tight groups, four."""
    middles = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    noise = 0.5 * torch.rand(4, 30, 2, generator=torch.Generator().manual_seed(0))
    patches = (middles[:, None] + noise).flatten(0, 1)

    taken = patches[select_coreset(patches, 4, torch.Generator().manual_seed(1))]

    assert float(torch.cdist(patches, taken).min(1).values.max()) <= 2 * 0.5**0.5 * 0.5 + 1e-6


def test_projection_keeps_lengths():
    """Johnson and Lindenstrauss: distances of wide features stay within a tenth on average, and none is halved."""
    made = torch.Generator().manual_seed(0)
    patches = torch.randn(40, 200, generator=made)

    before, after = torch.pdist(patches), torch.pdist(patches @ random_projection(200, 32, made))

    assert abs(float((after / before).mean()) - 1) < 0.1
    assert float((after / before - 1).abs().max()) < 0.5


def test_the_same_patches_are_different_places():
    """Where all patches are alike it still takes so many, none twice."""
    taken = select_coreset(torch.ones(9, 2), 5, torch.Generator().manual_seed(0))

    assert len(taken.unique()) == 5
