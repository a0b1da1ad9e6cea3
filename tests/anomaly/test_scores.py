"""Threshold of anomaly scores and its guarantee."""

from __future__ import annotations

import math

import numpy as np
import pytest

from logicls.anomaly.scores import (
    DEFAULT_OVERKILL,
    ScoreDistribution,
    ScoreThreshold,
    fit_threshold,
    tail_quantile,
)


def test_threshold_above_highest_score():
    """Of 60 photos none reaches the threshold: expected 1 in 61, at most twice that with leave-one-out scores."""
    threshold = fit_threshold([1.0] * 60)

    assert (threshold.rank, threshold.photo_count) == (1, 60)
    assert threshold.score > 1.0 == pytest.approx(threshold.score)
    assert threshold.expected_overkill == 1 / 61
    assert threshold.guarantee == ("expected overkill 1.6%, at most 3.3% (60 good photos, leave-one-out; 1% needs 99)")


def test_held_out_guarantee():
    """Held-out photos need no factor of two."""
    assert ScoreThreshold(1.0, 0.0, 15, 1, is_held_out=True).guarantee == (
        "expected overkill 6.2%, at most 6.2% (15 good photos, held out; 1% needs 99)"
    )


def test_threshold_of_many_photos():
    """Of 399 photos the fourth largest score is the threshold: 4 / 400 is the requested share."""
    threshold = fit_threshold([float(n) for n in range(399)])

    assert (threshold.rank, threshold.expected_overkill) == (4, DEFAULT_OVERKILL)
    assert threshold.score >= 395.0


def test_larger_overkill_lowers_threshold():
    """Of 60 photos the highest score is ignored at 0.035, since 2 / 61 is no more."""
    scores = [1.0 + n / 100 for n in range(58)] + [2.0, 4.0]

    one, two = fit_threshold(scores), fit_threshold(scores, 0.035)

    assert (one.rank, two.rank) == (1, 2)
    assert one.score > 4.0 > two.score > 2.0
    assert two.expected_overkill == 2 / 61
    assert "expected overkill 3.3%" in two.guarantee
    assert "needs" not in two.guarantee
    assert "; 3.5% needs 28" in fit_threshold(scores[:20], 0.035).guarantee


def test_exponential_tail_value():
    """Of 30 scores three form the tail, 2, 4 and 6 above the next: the threshold is 4 ln 10 above it."""
    scores = [1.0] * 27 + [3.0, 5.0, 7.0]

    assert tail_quantile(sorted(scores, reverse=True)) == pytest.approx(1 + 4 * math.log(10))
    assert fit_threshold(scores).score == pytest.approx(1 + 4 * math.log(10))


def test_exponential_tail_quantile():
    """With exponential scores about 1 % exceed the threshold of 60 photos."""
    rng = np.random.default_rng(1)
    thresholds = [tail_quantile(sorted(rng.exponential(size=60), reverse=True)) for _ in range(2000)]

    assert np.mean(np.exp(-np.asarray(thresholds))) == pytest.approx(0.013, abs=0.004)


@pytest.mark.parametrize(("overkill", "bound"), [(0.01, 1 / 21), (0.1, 2 / 21), (0.3, 6 / 21)])
def test_guarantee_holds(overkill, bound):
    """Over many samples of 20 scores a further one exceeds the threshold at most as often as guaranteed."""
    rng = np.random.default_rng(0)
    scores = rng.lognormal(size=(4000, 21))

    over = np.mean([one[20] >= fit_threshold(one[:20].tolist(), overkill).score for one in scores])

    assert 0 < over < bound + 0.005


def test_probability_curve():
    """The probability is 0.5 at the threshold, small at the median, increasing, and never overflows."""
    threshold = ScoreThreshold(4.0, 2.0, 60, 1)

    assert threshold.probability(4.0) == 0.5
    assert threshold.probability(2.0) == pytest.approx(0.02)
    assert (
        threshold.probability(-1e9)
        < threshold.probability(3.0)
        < threshold.probability(5.0)
        < threshold.probability(1e9)
        <= 1.0
    )


def test_no_scores():
    """Without photos there is no threshold."""
    with pytest.raises(ValueError, match="no scores"):
        fit_threshold([])


def test_an_odd_good_photo_does_not_hide_defects():
    """One odd photo among 15 raises the threshold to itself, and not the bar from which on a person looks."""
    scores = [0.3 + 0.1 * n for n in range(14)] + [14.0]

    threshold = fit_threshold(scores)

    assert threshold.score == pytest.approx(14.0)
    assert 1.5 < threshold.review_score < 3.0
    assert [threshold.needs_review(score) for score in (1.0, 3.0, 7.0, 13.9, 14.1)] == [False, True, True, True, False]
    assert fit_threshold([*scores[:14], 1.7]).review_score <= 1.7


def test_rarity_follows_ranks_and_an_exponential_tail():
    """The k-th largest of n has the rarity k / (n + 1); above the highest it falls with the spread."""
    distribution = ScoreDistribution((5.0, 3.0, 2.0, 1.0))

    assert [distribution.rarity(score) for score in (1.0, 2.0, 3.0, 5.0)] == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert distribution.rarity(0.9) == 1.0
    assert distribution.rarity(4.0) == pytest.approx(math.sqrt(0.4 * 0.2))
    assert distribution.rarity(5.0 + distribution.spread) == pytest.approx(0.2 / math.e)
    assert distribution.rarity(1e9) > 0


def test_spread_is_that_of_an_exponential():
    """The spread is the scale of exponential scores; the largest ones do not change it."""
    rng = np.random.default_rng(0)
    samples = [sorted(rng.exponential(2.0, 40), reverse=True) for _ in range(400)]
    odd = [[score * 20 for score in one[:6]] + one[6:] for one in samples]

    spreads = [ScoreDistribution(tuple(one)).spread for one in samples]

    assert np.mean(spreads) == pytest.approx(2.0, abs=0.1)
    assert [ScoreDistribution(tuple(one)).spread for one in odd] == spreads


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_review_is_rare_among_good_photos(count):
    """A further good photo exceeds the bar for review about once in n + 1 times, and not twice as often."""
    rng = np.random.default_rng(count)
    samples = rng.exponential(size=(4000, count + 1))

    rate = np.mean([one[-1] > fit_threshold(one[:-1].tolist()).review_score for one in samples])

    assert 0.8 / (count + 1) < rate < 1.8 / (count + 1)


@pytest.mark.parametrize("count", [12, 30])
def test_rarity_is_honest_beyond_the_highest_score(count):
    """Of further good photos at most about 1 % have a rarity of 1 %, which is beyond what so few photos can show."""
    rng = np.random.default_rng(count)
    samples = rng.exponential(size=(4000, count + 1))

    rate = np.mean([ScoreDistribution(tuple(sorted(one[:-1])[::-1])).rarity(one[-1]) <= 0.01 for one in samples])

    assert 0.003 < rate < 0.025
