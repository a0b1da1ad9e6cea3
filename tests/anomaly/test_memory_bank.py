"""Memory bank: coreset subsampling, nearest neighbours and scores of PatchCore."""

from __future__ import annotations

import math

import pytest
import torch

from logicls.anomaly.memory_bank import (
    MIN_DEVIATION,
    MemoryBank,
    build_memory_bank,
    exclude_photo,
    iter_tiles,
    measure_leave_one_out,
    random_projection,
    regularise_deviation,
    reweighting_factor,
    select_coreset,
)


def test_coreset_selects_farthest_patch():
    """On a line 0, 1, 5, 6, 12: whatever comes first, the ends are selected before their neighbours."""
    patches = torch.tensor([[0.0], [1.0], [5.0], [6.0], [12.0]])

    for seed in range(5):
        first, second, third = select_coreset(patches, 3, torch.Generator().manual_seed(seed)).tolist()
        distances = (patches - patches[first]).abs()[:, 0]
        assert second == int(distances.argmax())
        assert third == int(torch.minimum(distances, (patches - patches[second]).abs()[:, 0]).argmax())


def test_coreset_larger_than_patches():
    """A larger count selects each patch once."""
    patches = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))

    assert sorted(select_coreset(patches, 10, torch.Generator().manual_seed(0)).tolist()) == list(range(6))


def test_coreset_covering_radius():
    """The covering radius is at most twice the optimum (Gonzalez 1985): four tight groups, four patches."""
    middles = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    noise = 0.5 * torch.rand(4, 30, 2, generator=torch.Generator().manual_seed(0))
    patches = (middles[:, None] + noise).flatten(0, 1)

    selected = patches[select_coreset(patches, 4, torch.Generator().manual_seed(1))]

    assert float(torch.cdist(patches, selected).min(1).values.max()) <= 2 * 0.5**0.5 * 0.5 + 1e-6


def test_projection_preserves_distances():
    """Distances change by less than a tenth on average, and by less than half (Johnson and Lindenstrauss)."""
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(40, 200, generator=generator)

    before, after = torch.pdist(patches), torch.pdist(patches @ random_projection(200, 32, generator))

    assert abs(float((after / before).mean()) - 1) < 0.1
    assert float((after / before - 1).abs().max()) < 0.5


def test_coreset_of_equal_patches():
    """Equal patches are selected once each."""
    selected = select_coreset(torch.ones(9, 2), 5, torch.Generator().manual_seed(0))

    assert len(selected.unique()) == 5


def make_bank(patches: list[float], columns: list[int], reach: int, width: int = 4) -> MemoryBank:
    """Return a bank with one row of patches of one feature each."""
    positions = torch.tensor(columns)
    flat = torch.zeros(1, width)
    return MemoryBank(torch.tensor(patches)[:, None], positions * 0, positions, positions, reach, flat, flat + 1)


def test_nearest_neighbour_distance():
    """Equation 6: of 1, 5 and 9 the nearest to 6.5 is 1.5 away."""
    result = make_bank([1.0, 5.0, 9.0], [0, 1, 2], -1, 1).distances(torch.tensor([6.5]).view(1, 1, 1, 1))

    assert result.tolist() == [[[1.5]]]


def test_reach_limits_position():
    """An equal patch beyond `reach` is not a neighbour; with -1 all patches are."""
    queries = torch.tensor([5.0, 5.0, 5.0, 5.0]).view(1, 1, 4, 1)

    close = make_bank([0.0, 1.0, 2.0, 5.0], [0, 1, 2, 3], 1).distances(queries)
    all_ = make_bank([0.0, 1.0, 2.0, 5.0], [0, 1, 2, 3], -1).distances(queries)

    assert close.tolist() == [[[4.0, 3.0, 0.0, 0.0]]]
    assert all_.tolist() == [[[0.0, 0.0, 0.0, 0.0]]]


def test_exclude_training_photos():
    """Patches of one or two excluded training photos are not searched."""
    bank, queries = make_bank([0.0, 1.0, 3.0], [0, 1, 2], -1, 1), torch.tensor([0.0]).view(1, 1, 1, 1)
    first, second = torch.zeros(1, 1, 1, dtype=torch.long), torch.ones(1, 1, 1, dtype=torch.long)

    assert [one.item() for one in bank.find_nearest(queries)] == [0.0, 0]
    assert [one.item() for one in bank.find_nearest(queries, first)] == [1.0, 1]
    assert [one.item() for one in bank.find_nearest(queries, first, second)] == [3.0, 2]


@pytest.mark.parametrize("reach", [1, -1])
def test_exclude_photo_equals_refit(reach):
    """With all patches in the bank, excluding a photo equals a fit without it."""
    good = torch.randn(6, 5, 7, 3, generator=torch.Generator().manual_seed(0))
    bank = build_memory_bank(good, 1.0, reach, torch.Generator().manual_seed(0))
    distances = measure_leave_one_out(bank, good)

    for photo in range(len(good)):
        others = torch.arange(len(good)) != photo
        remaining = exclude_photo(bank, distances, photo)
        refit = build_memory_bank(good[others], 1.0, reach, torch.Generator().manual_seed(1))
        assert torch.allclose(remaining.mean, refit.mean, atol=1e-5)
        assert torch.allclose(remaining.deviation, refit.deviation, atol=1e-5)
        assert torch.allclose(remaining.distances(good), refit.distances(good), atol=1e-5)
        assert remaining.reweighting_factor(good[photo, 0, 0]) == pytest.approx(
            refit.reweighting_factor(good[photo, 0, 0]), abs=1e-4
        )


def test_exclude_only_photo_of_a_tile():
    """Distances stay finite if all patches around a position were of the excluded photo."""
    good = torch.randn(4, 9, 9, 3, generator=torch.Generator().manual_seed(0))
    bank = build_memory_bank(good, 0.001, 1, torch.Generator().manual_seed(0))
    distances = measure_leave_one_out(bank, good)

    assert len(bank.patches) == 9
    assert all(exclude_photo(bank, distances, photo).distances(good).isfinite().all() for photo in range(4))


def test_reweighting_factor_value():
    """Equation 7: p = 0 with neighbours at 1 and 3: 1 - e^1 / (e^1 + e^3)."""
    result = reweighting_factor(torch.tensor([0.0]), torch.tensor([[1.0], [3.0]]))

    assert result == pytest.approx(1 - math.e / (math.e + math.e**3), abs=1e-6)


def test_reweighting_uses_b_neighbours():
    """With b = 5 a distant sixth patch does not change the factor."""
    close = torch.tensor([[1.0], [1.1], [1.2], [1.3], [1.4]])

    without = reweighting_factor(torch.tensor([0.0]), close)

    assert reweighting_factor(torch.tensor([0.0]), torch.cat([close, torch.tensor([[50.0]])])) == pytest.approx(without)


def test_reweighting_of_isolated_patch():
    """The factor is closer to 1 if the nearest patch is isolated."""
    alone = reweighting_factor(torch.tensor([0.0]), torch.tensor([[1.0], [4.0], [5.0]]))
    dense = reweighting_factor(torch.tensor([0.0]), torch.tensor([[1.0], [1.01], [1.02]]))

    assert alone > 0.9 > 0.7 > dense


def test_tiles_partition_the_map():
    """Tiles cover every cell once, also if the map is no multiple of a tile."""
    counts = torch.zeros(19, 10)
    for rows, columns in iter_tiles(19, 10):
        counts[rows, columns] += 1

    assert bool((counts == 1).all())


def test_heatmap_peak_of_anomaly():
    """Good photos are near 0 standard deviations, an anomalous patch is many away at its own position."""
    generator = torch.Generator().manual_seed(0)
    good = torch.randn(12, 12, 12, 6, generator=generator)
    bank = build_memory_bank(good, 0.5, 1, torch.Generator().manual_seed(0))
    photo = torch.randn(1, 12, 12, 6, generator=generator)
    photo[0, 2:5, 4:7] = 30.0

    heatmap = bank.standardise(bank.distances(photo))[0]

    assert len(bank.patches) == 12 * 144 // 2
    assert int(heatmap.argmax()) == 3 * 12 + 5
    assert heatmap[3, 5] > 20
    assert heatmap[7:].max() < 3


def test_standardise_value():
    """The photo's median 1 is subtracted, then each cell is averaged with its neighbours."""
    bank = make_bank([0.0], [0], -1, 5)

    result = bank.standardise(torch.tensor([[[1.0, 1.0, 10.0, 1.0, 1.0]]]))

    assert result.tolist() == [[[0.0, 3.0, 3.0, 3.0, 0.0]]]


def test_minimum_deviation():
    """Identical good photos have the minimum deviation, not 0."""
    bank = build_memory_bank(torch.ones(4, 8, 8, 2), 0.5, 1, torch.Generator().manual_seed(0))

    assert bool((bank.deviation == MIN_DEVIATION).all())


def test_regularise_deviation():
    """The median is added to each standard deviation."""
    assert regularise_deviation(torch.tensor([[0.0, 1.0, 5.0]])).tolist() == [[1.0, 2.0, 6.0]]


def test_fallback_beyond_reach():
    """Without a patch within reach the nearest of all is used."""
    result = make_bank([0.0], [0], 1).distances(torch.tensor([2.0, 2.0, 2.0, 2.0]).view(1, 1, 4, 1))

    assert result.tolist() == [[[2.0, 2.0, 2.0, 2.0]]]
