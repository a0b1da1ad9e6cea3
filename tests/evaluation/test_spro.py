"""Saturated per-region overlap against figures that were worked out by hand, and against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logicls.evaluation.mvtec_loco_scores import SproCurve, compute_spro_curve, compute_histograms


def painted(*parts):
    """A map of 10 x 10 pixels: rows, columns and value of each part."""
    out = np.zeros((10, 10), np.float32)
    for rows, columns, value in parts:
        out[rows, columns] = value
    return out


def photos():
    """A region of 20 pixels of which 10 are enough; 5 of it shown surely, 10 less so; 15 and 9 false pixels."""
    region = painted((slice(0, 2), slice(None), 1)) > 0
    bad = painted((slice(0, 5), slice(5, 10), 0.6), (slice(0, 1), slice(0, 5), 0.9))
    good = painted((slice(0, 3), slice(0, 3), 0.3))
    return [compute_histograms(bad, [(region, 10)]), compute_histograms(good, [])]


def test_the_curve_worked_out_by_hand():
    """Half is found without a false pixel; the rest costs 15 of 180; nine more tell nothing; all is all."""
    found = compute_spro_curve(photos())

    assert found.rates == pytest.approx((0, 0, 15 / 180, 24 / 180, 1))
    assert found.spros == pytest.approx((0, 0.5, 1, 1, 1))


def test_areas_worked_out_by_hand():
    """To 0.05 the curve rises from 0.5 to 0.8; to 0.3 it rises to 1 at 1/12 and stays there."""
    found = compute_spro_curve(photos())

    assert found.area(0.05) == pytest.approx(0.65)
    assert found.area(0.3) == pytest.approx((0.75 / 12 + 0.3 - 1 / 12) / 0.3)
    assert found.area(1) == pytest.approx(1 - 0.25 / 12)


def test_regions_count_alike_whatever_their_size():
    """A small region that is found and a large one that is not make one half."""
    small, large = painted((0, 0, 1)) > 0, painted((slice(5, 10), slice(None), 1)) > 0

    found = compute_spro_curve([compute_histograms(painted((0, 0, 0.9)), [(small, 1), (large, 50)])])

    assert found.spros[:2] == (0.0, 0.5)


def test_a_map_that_tells_nothing_comes_to_half_the_limit():
    """What is all of one value is a straight line from nothing to everything."""
    region = painted((0, 0, 1)) > 0

    found = compute_spro_curve([compute_histograms(painted(), [(region, 1)])])

    assert found == SproCurve((0.0, 1.0), (0.0, 1.0))
    assert found.area(0.05) == pytest.approx(0.025)


def test_without_regions_there_is_no_curve():
    """Good photos alone have nothing to find."""
    assert compute_spro_curve([compute_histograms(painted(), [])]) is None


@given(seed=st.integers(0, 10_000), limit=st.sampled_from([0.05, 0.3, 1.0]))
def test_the_area_is_that_of_the_definition(seed, limit):
    """On random maps: for each threshold the set of pixels that reach it, its overlap and its false pixels."""
    rng = np.random.default_rng(seed)
    maps = rng.choice([0, 0.2, 0.5, 0.7, 1], (3, 10, 10)).astype(np.float32)
    regions = [[(rng.random((10, 10)) < 0.2, int(rng.integers(1, 9))) for _ in range(n)] for n in (2, 1, 0)]
    clean = [~np.any([np.zeros((10, 10), bool), *(pixels for pixels, _ in some)], axis=0) for some in regions]
    points = [(0.0, 0.0)]
    for threshold in (1, 0.7, 0.5, 0.2, 0):
        called = [anomaly >= np.float32(threshold) for anomaly in maps]
        false = sum((c & free).sum() for c, free in zip(called, clean, strict=True)) / sum(map(np.sum, clean))
        over = [min((c & p).sum() / s, 1) for c, some in zip(called, regions, strict=True) for p, s in some]
        points.append((false, np.mean(over)))
    xs, ys = map(np.array, zip(*points, strict=True))
    fine = np.linspace(0, limit, 20001)
    expected = np.trapezoid(np.interp(fine, xs, ys), fine) / limit

    found = compute_spro_curve([compute_histograms(m, some) for m, some in zip(maps, regions, strict=True)])

    assert found.area(limit) == pytest.approx(expected, abs=1e-3)
