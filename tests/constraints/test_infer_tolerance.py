"""Tolerance intervals: the published sample sizes, and the promise itself, by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logicls.constraints.mining.intervals import coverage, describe_coverage, percent_to_text, photos_needed

WANTED = st.floats(0.5, 0.995)


@pytest.mark.parametrize(
    ("wanted", "limits", "photos"),
    [(0.9, 1, 29), (0.95, 1, 59), (0.99, 1, 299), (0.9, 2, 46), (0.95, 2, 93), (0.99, 2, 473), (0.95, 4, 153)],
)
def test_sample_sizes_are_the_published_ones(wanted, limits, photos):
    """Wilks' numbers for 95 % confidence: 59 for a single limit at 95 %, 93 for an interval."""
    assert photos_needed(wanted, limits) == photos


@given(photos=st.integers(2, 5000))
def test_the_interval_satisfies_wilks_equation(photos):
    """At the share that is covered, 1 - n p^(n-1) + (n-1) p^n is the confidence."""
    share = coverage(photos)

    confidence = 1 - photos * share ** (photos - 1) + (photos - 1) * share**photos

    assert confidence == pytest.approx(0.95, abs=1e-9)


@given(wanted=WANTED, limits=st.integers(1, 6))
def test_one_photo_less_is_not_enough(wanted, limits):
    """The number needed covers what is wanted; one less does not."""
    photos = photos_needed(wanted, limits)

    assert coverage(photos, limits) >= wanted > coverage(photos - 1, limits)


@pytest.mark.parametrize("draw", ["normal", "exponential", "uniform"])
def test_the_promise_is_kept_whatever_the_distribution(draw):
    """Of 2000 samples of 60, about 95 % have extremes that cover what was promised."""
    rng = np.random.default_rng(0)
    samples = getattr(rng, draw)(size=(2000, 60))
    further = np.sort(getattr(rng, draw)(size=200_000))

    above = np.searchsorted(further, samples.min(axis=1)) / len(further)
    covered = np.searchsorted(further, samples.max(axis=1)) / len(further) - above

    assert 0.935 <= (covered >= coverage(60)).mean() <= 0.965


def test_a_box_around_two_measures_keeps_its_promise_too():
    """Four limits on two dependent measures together cover at least what four limits promise."""
    rng = np.random.default_rng(1)
    mix = np.array([[1.0, 0.6], [0.0, 0.8]])
    further = rng.normal(size=(20_000, 2)) @ mix
    kept = 0

    for _ in range(400):
        sample = rng.normal(size=(60, 2)) @ mix
        inside = ((further >= sample.min(axis=0)) & (further <= sample.max(axis=0))).all(axis=1)
        kept += bool(inside.mean() >= coverage(60, 4))

    assert kept / 400 >= 0.94


def test_what_is_told():
    """Shares are rounded down, and the next level that people ask for has its price."""
    assert describe_coverage(335) == "covers at least 98.5 % of such photos with 95 % confidence; 473 photos needed for 99 %"
    assert describe_coverage(1) == "covers at least 0 % of such photos with 95 % confidence; 46 photos needed for 90 %"
    assert describe_coverage(100_000, 1) == "covers at least 99.9 % of such photos with 95 % confidence"
    assert percent_to_text(0.98599) == "98.5 %"
