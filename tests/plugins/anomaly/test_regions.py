"""The bar of a score, and its promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from logicls.plugins.anomaly.regions import DEFAULT_OVERKILL, ScoreThreshold, fit_threshold, tail_quantile


def test_few_photos_take_the_highest():
    """Of 60 photos none may reach the bar, which is promised to 1 in 61, twice that where folds were scored."""
    bar = fit_threshold([1.0] * 60)

    assert (bar.rank, bar.photo_count) == (1, 60)
    assert bar.score > 1.0 == pytest.approx(bar.score)
    assert bar.expected_overkill == 1 / 61
    assert bar.guarantee == (
        "on average 1.6% of good photos called flawed, at most 3.3% (60 good photos, each scored without it; "
        "1% takes 99 of them)"
    )


def test_kept_aside_promises_the_rate_itself():
    """Photos that no fit saw need no factor of two."""
    assert ScoreThreshold(1.0, 0.0, 15, 1, is_held_out=True).guarantee == (
        "on average 6.2% of good photos called flawed, at most 6.2% (15 good photos, kept aside; 1% takes 99 of them)"
    )


def test_many_photos_allow_for_some():
    """Of 399 photos the fourth largest is the bar: 4 / 400 is what is wanted."""
    bar = fit_threshold([float(n) for n in range(399)])

    assert (bar.rank, bar.expected_overkill) == (4, DEFAULT_OVERKILL)
    assert bar.score >= 395.0


def test_who_allows_for_more_has_a_lower_bar():
    """Of 60 photos the strangest is let go with 0.035, since 2 / 61 is no more."""
    scores = [1.0 + n / 100 for n in range(58)] + [2.0, 4.0]

    one, two = fit_threshold(scores), fit_threshold(scores, 0.035)

    assert (one.rank, two.rank) == (1, 2)
    assert one.score > 4.0 > two.score > 2.0
    assert two.expected_overkill == 2 / 61
    assert "on average 3.3% of good photos called flawed" in two.guarantee
    assert "takes" not in two.guarantee
    assert "; 3.5% takes 28 of them" in fit_threshold(scores[:20], 0.035).guarantee


def test_the_tail_reaches_beyond_few_photos():
    """Of 30 scores three are the tail, 2, 4 and 6 above the next one: the bar is 4 ln 10 above it, by hand."""
    scores = [1.0] * 27 + [3.0, 5.0, 7.0]

    assert tail_quantile(sorted(scores, reverse=True)) == pytest.approx(1 + 4 * math.log(10))
    assert fit_threshold(scores).score == pytest.approx(1 + 4 * math.log(10))


def test_the_tail_finds_the_quantile_of_an_exponential():
    """Where scores are exponential the bar of 60 photos is exceeded by about one photo in a hundred."""
    rng = np.random.default_rng(1)
    bars = [tail_quantile(sorted(rng.exponential(size=60), reverse=True)) for _ in range(2000)]

    assert np.mean(np.exp(-np.asarray(bars))) == pytest.approx(0.013, abs=0.004)


@pytest.mark.parametrize(("wanted", "most"), [(0.01, 1 / 21), (0.1, 2 / 21), (0.3, 6 / 21)])
def test_the_promise_holds(wanted, most):
    """Over many sets of 20 scores a further one is above the bar at most as often as is promised."""
    rng = np.random.default_rng(0)
    scores = rng.lognormal(size=(4000, 21))

    over = np.mean([one[20] >= fit_threshold(one[:20].tolist(), wanted).score for one in scores])

    assert 0 < over < most + 0.005


def test_chance_is_a_half_at_the_bar_and_small_for_the_usual():
    """It rises with the score, and never overflows."""
    bar = ScoreThreshold(4.0, 2.0, 60, 1)

    assert bar.probability(4.0) == 0.5
    assert bar.probability(2.0) == pytest.approx(0.02)
    assert bar.probability(-1e9) < bar.probability(3.0) < bar.probability(5.0) < bar.probability(1e9) <= 1.0


def test_no_scores():
    """Without photos there is no bar."""
    with pytest.raises(ValueError, match="no scores"):
        fit_threshold([])
