"""Tolerance intervals: published sample sizes, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logicls.constraints.mining.intervals import coverage, describe_coverage, percent_to_text, photos_needed

SHARES = st.floats(0.5, 0.995)


@pytest.mark.parametrize(
    ("share", "limits", "photos"),
    [(0.9, 1, 29), (0.95, 1, 59), (0.99, 1, 299), (0.9, 2, 46), (0.95, 2, 93), (0.99, 2, 473), (0.95, 4, 153)],
)
def test_published_sample_sizes(share, limits, photos):
    """Wilks (1941) for 95 % confidence: 59 for one limit at 95 %, 93 for an interval."""
    assert photos_needed(share, limits) == photos


@given(photos=st.integers(2, 5000))
def test_interval_satisfies_wilks_equation(photos):
    """For the covered share p, 1 - n p^(n-1) + (n-1) p^n is the confidence."""
    share = coverage(photos)

    confidence = 1 - photos * share ** (photos - 1) + (photos - 1) * share**photos

    assert confidence == pytest.approx(0.95, abs=1e-9)


@given(share=SHARES, limits=st.integers(1, 6))
def test_needed_photos_are_minimal(share, limits):
    """The number covers the share; one less does not."""
    photos = photos_needed(share, limits)

    assert coverage(photos, limits) >= share > coverage(photos - 1, limits)


@pytest.mark.parametrize("draw", ["normal", "exponential", "uniform"])
def test_coverage_for_any_distribution(draw):
    """About 95 % of 2000 samples of 60 have extremes that cover the share."""
    rng = np.random.default_rng(0)
    samples = getattr(rng, draw)(size=(2000, 60))
    population = np.sort(getattr(rng, draw)(size=200_000))

    above = np.searchsorted(population, samples.min(axis=1)) / len(population)
    covered = np.searchsorted(population, samples.max(axis=1)) / len(population) - above

    assert 0.935 <= (covered >= coverage(60)).mean() <= 0.965


def test_coverage_of_a_box_around_two_measures():
    """Four limits on two dependent measures cover at least the share of four limits."""
    rng = np.random.default_rng(1)
    mix = np.array([[1.0, 0.6], [0.0, 0.8]])
    population = rng.normal(size=(20_000, 2)) @ mix
    successes = 0

    for _ in range(400):
        sample = rng.normal(size=(60, 2)) @ mix
        inside = ((population >= sample.min(axis=0)) & (population <= sample.max(axis=0))).all(axis=1)
        successes += bool(inside.mean() >= coverage(60, 4))

    assert successes / 400 >= 0.94


def test_description_of_coverage():
    """Shares are rounded down; the number of photos for the next level is given."""
    assert (
        describe_coverage(335)
        == "covers at least 98.5 % of such photos with 95 % confidence; 473 photos needed for 99 %"
    )
    assert describe_coverage(1) == "covers at least 0 % of such photos with 95 % confidence; 46 photos needed for 90 %"
    assert describe_coverage(100_000, 1) == "covers at least 99.9 % of such photos with 95 % confidence"
    assert percent_to_text(0.98599) == "98.5 %"
