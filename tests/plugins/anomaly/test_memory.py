"""The memory of good patches: PatchCore's equations, and where patches are compared."""

from __future__ import annotations

import math

import pytest
import torch

from logicls.plugins.anomaly.memory_bank import (
    MIN_DEVIATION,
    MemoryBank,
    build_memory_bank,
    exclude_photo,
    iter_tiles,
    measure_leave_one_out,
    regularise_deviation,
    reweighting_factor,
)


def memory(patches: list[float], columns: list[int], reach: int, width: int = 4) -> MemoryBank:
    """One row of patches with one feature each."""
    places = torch.tensor(columns)
    flat = torch.zeros(1, width)
    return MemoryBank(torch.tensor(patches)[:, None], places * 0, places, places, reach, flat, flat + 1)


def test_distance_to_the_nearest_by_hand():
    """Equation 6: of 1, 5 and 9 the nearest to 6.5 is 1.5 away."""
    found = memory([1.0, 5.0, 9.0], [0, 1, 2], -1, 1).distances(torch.tensor([6.5]).view(1, 1, 1, 1))

    assert found.tolist() == [[[1.5]]]


def test_reach_keeps_to_the_place():
    """A patch like one that was seen elsewhere is far from those of its own place; with -1 it is compared with all."""
    asked = torch.tensor([5.0, 5.0, 5.0, 5.0]).view(1, 1, 4, 1)

    near = memory([0.0, 1.0, 2.0, 5.0], [0, 1, 2, 3], 1).distances(asked)
    all_ = memory([0.0, 1.0, 2.0, 5.0], [0, 1, 2, 3], -1).distances(asked)

    assert near.tolist() == [[[4.0, 3.0, 0.0, 0.0]]]
    assert all_.tolist() == [[[0.0, 0.0, 0.0, 0.0]]]


def test_photos_of_the_fit_can_be_passed_over():
    """Their patches do not count: one photo for each patch, or two of them."""
    kept, asked = memory([0.0, 1.0, 3.0], [0, 1, 2], -1, 1), torch.tensor([0.0]).view(1, 1, 1, 1)
    first, second = torch.zeros(1, 1, 1, dtype=torch.long), torch.ones(1, 1, 1, dtype=torch.long)

    assert [one.item() for one in kept.find_nearest(asked)] == [0.0, 0]
    assert [one.item() for one in kept.find_nearest(asked, first)] == [1.0, 1]
    assert [one.item() for one in kept.find_nearest(asked, first, second)] == [3.0, 2]


@pytest.mark.parametrize("reach", [1, -1])
def test_without_a_photo_is_as_if_it_had_not_been_there(reach):
    """Where all patches are remembered: the same distances are usual, and the photo is as far from what is left."""
    good = torch.randn(6, 5, 7, 3, generator=torch.Generator().manual_seed(0))
    kept = build_memory_bank(good, 1.0, reach, torch.Generator().manual_seed(0))
    far = measure_leave_one_out(kept, good)

    for photo in range(len(good)):
        others = torch.arange(len(good)) != photo
        left = exclude_photo(kept, far, photo)
        fresh = build_memory_bank(good[others], 1.0, reach, torch.Generator().manual_seed(1))
        assert torch.allclose(left.mean, fresh.mean, atol=1e-5)
        assert torch.allclose(left.deviation, fresh.deviation, atol=1e-5)
        assert torch.allclose(left.distances(good), fresh.distances(good), atol=1e-5)
        assert left.reweighting_factor(good[photo, 0, 0]) == pytest.approx(
            fresh.reweighting_factor(good[photo, 0, 0]), abs=1e-4
        )


def test_little_may_be_remembered():
    """Where all that is remembered around a place was of one photo, the others' patches elsewhere are what is left."""
    good = torch.randn(4, 9, 9, 3, generator=torch.Generator().manual_seed(0))
    kept = build_memory_bank(good, 0.001, 1, torch.Generator().manual_seed(0))
    far = measure_leave_one_out(kept, good)

    assert len(kept.patches) == 9
    assert all(exclude_photo(kept, far, photo).distances(good).isfinite().all() for photo in range(4))


def test_reweighting_by_hand():
    """Equation 7: p = 0 with neighbours at 1 and 3: 1 - e^1 / (e^1 + e^3)."""
    found = reweighting_factor(torch.tensor([0.0]), torch.tensor([[1.0], [3.0]]))

    assert found == pytest.approx(1 - math.e / (math.e + math.e**3), abs=1e-6)


def test_reweighting_counts_only_the_nearest_ones_of_the_nearest():
    """With b = 5 the far sixth patch does not change the weight."""
    near = torch.tensor([[1.0], [1.1], [1.2], [1.3], [1.4]])

    without = reweighting_factor(torch.tensor([0.0]), near)

    assert reweighting_factor(torch.tensor([0.0]), torch.cat([near, torch.tensor([[50.0]])])) == pytest.approx(without)


def test_alone_counts_more_than_among_many():
    """Where the nearest patch's neighbours are far from the query its weight is nearer to 1."""
    alone = reweighting_factor(torch.tensor([0.0]), torch.tensor([[1.0], [4.0], [5.0]]))
    among = reweighting_factor(torch.tensor([0.0]), torch.tensor([[1.0], [1.01], [1.02]]))

    assert alone > 0.9 > 0.7 > among


def test_tiles_cover_every_cell_once():
    """Also where the map is no multiple of a tile."""
    seen = torch.zeros(19, 10)
    for rows, columns in iter_tiles(19, 10):
        seen[rows, columns] += 1

    assert bool((seen == 1).all())


def test_a_strange_patch_stands_out_where_it_is():
    """Good photos' own distances are usual (near 0 standard deviations), and strange patches are many away."""
    made = torch.Generator().manual_seed(0)
    good = torch.randn(12, 12, 12, 6, generator=made)
    kept = build_memory_bank(good, 0.5, 1, torch.Generator().manual_seed(0))
    photo = torch.randn(1, 12, 12, 6, generator=made)
    photo[0, 2:5, 4:7] = 30.0

    chart = kept.standardise(kept.distances(photo))[0]

    assert len(kept.patches) == 12 * 144 // 2
    assert int(chart.argmax()) == 3 * 12 + 5
    assert chart[3, 5] > 20
    assert chart[7:].max() < 3


def test_a_score_is_told_by_hand():
    """What the photo has everywhere is taken off, the median 1; then each cell is averaged with those beside it."""
    kept = memory([0.0], [0], -1, 5)

    found = kept.standardise(torch.tensor([[[1.0, 1.0, 10.0, 1.0, 1.0]]]))

    assert found.tolist() == [[[0.0, 3.0, 3.0, 3.0, 0.0]]]


def test_a_steady_place_is_not_infinitely_steady():
    """Where good photos do not differ at all the spread is the least one, not 0."""
    kept = build_memory_bank(torch.ones(4, 8, 8, 2), 0.5, 1, torch.Generator().manual_seed(0))

    assert bool((kept.deviation == MIN_DEVIATION).all())


def test_few_photos_that_agree_prove_little():
    """To each standard deviation the median of all is added: a place where photos agree does not count alone."""
    assert regularise_deviation(torch.tensor([[0.0, 1.0, 5.0]])).tolist() == [[1.0, 2.0, 6.0]]


def test_where_none_is_in_reach_the_nearest_of_those_around_counts():
    """A memory thinned out so far that a place has no patch of its own still gives a distance."""
    found = memory([0.0], [0], 1).distances(torch.tensor([2.0, 2.0, 2.0, 2.0]).view(1, 1, 4, 1))

    assert found.tolist() == [[[2.0, 2.0, 2.0, 2.0]]]
