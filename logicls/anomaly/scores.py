"""Scores of good photos: the threshold above them and its guarantee, the rarity of a score, the bar for review.

The threshold is split conformal prediction (Vovk et al. 2005; Lei et al. 2018): of n scores of good photos that the
model was not fitted to, a further good photo exceeds the k-th largest with a probability of at most k / (n + 1),
whatever the distribution. With leave-one-out scores (cross-conformal, Vovk 2015; jackknife+, Barber et al. 2021) twice
that can be proved, and about that much is observed.

Few photos cannot show a small overkill, and one odd photo among them raises the threshold above true defects. So there
is a second bar, from which on a person looks: the score that one of n + 1 good photos would exceed if the scores above
the median were exponential, with a spread that the largest ones do not influence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DEFAULT_OVERKILL = 0.01
"""Share of good photos that may be called flawed, if not set and if there are enough photos."""
CENSORED_SHARE = 0.2
"""Share of the scores, the largest ones, that do not influence the spread: good photos are not all known to be good."""
TAIL_SHARE = 0.1
"""Share of the scores that form their upper tail."""
MEDIAN_PROBABILITY = 0.02
"""Probability of a flaw at the median score of good photos."""
MIN_SPREAD = 1e-6
"""Least spread of scores, if not set."""


@dataclass(frozen=True, slots=True)
class ScoreThreshold:
    """Score from which on a photo is flawed."""

    score: float
    """The threshold itself."""
    median: float
    """Median score of good photos."""
    photo_count: int
    """Number of good photos it was fitted to, none of them known to the expert that scored it."""
    rank: int
    """It lies above the `rank`-th largest score, and just above it if there are enough photos."""
    is_held_out: bool = False
    """Whether all photos were held out of one fit, so that the expected rate itself is the bound."""
    overkill: float = DEFAULT_OVERKILL
    """Requested share of good photos called flawed."""
    review_score: float = math.inf
    """Score above which a person looks at the photo, if it is not flawed; infinite where nobody does."""

    def needs_review(self, score: float) -> bool:
        """Check if a score lies between the good photos and the threshold."""
        return self.review_score < score < self.score

    @property
    def expected_overkill(self) -> float:
        """Expected share of good photos called flawed, on average over samples of photos."""
        return self.rank / (self.photo_count + 1)

    @property
    def guarantee(self) -> str:
        """Expected rate and bound, as text."""
        bound = self.expected_overkill if self.is_held_out else min(2 * self.expected_overkill, 1.0)
        rates = f"expected overkill {self.expected_overkill:.1%}, at most {bound:.1%}"
        method = "held out" if self.is_held_out else "leave-one-out"
        shortage = (
            f"; {100 * self.overkill:.3g}% needs {photos_needed(self.overkill)}"
            if self.expected_overkill > self.overkill
            else ""
        )
        return f"{rates} ({self.photo_count} good photos, {method}{shortage})"

    def probability(self, score: float) -> float:
        """Return the probability of a flaw: logistic, 0.5 at the threshold, `MEDIAN_PROBABILITY` at the median."""
        slope = math.log(1 / MEDIAN_PROBABILITY - 1) / max(self.score - self.median, 1e-6)
        return 1 / (1 + math.exp(-max(min(slope * (score - self.score), 60.0), -60.0)))


def photos_needed(overkill: float) -> int:
    """Return the number of good photos that a guarantee of this share needs."""
    return math.ceil(1 / overkill) - 1


def tail_quantile(scores: Sequence[float], overkill: float = DEFAULT_OVERKILL) -> float:
    """Return the score exceeded by `overkill` of good photos, from the upper tail; `scores` are in descending order.

    Excesses over the `TAIL_SHARE` quantile are modelled as exponential (peaks over threshold, Pickands 1975, shape 0)
    if the requested share lies in that tail. The result only raises the threshold, so its guarantee holds.
    """
    count = int(TAIL_SHARE * len(scores))
    if count < 2 or overkill >= TAIL_SHARE:
        return scores[int(overkill * len(scores))]
    tail_start = scores[count]
    return tail_start + sum(score - tail_start for score in scores[:count]) / count * math.log(TAIL_SHARE / overkill)


def fit_threshold(
    scores: Sequence[float], overkill: float = DEFAULT_OVERKILL, *, is_held_out: bool = False
) -> ScoreThreshold:
    """Fit the threshold to scores of good photos, all held out of the fit or scored leave-one-out.

    Raises `ValueError` without scores.
    """
    if not scores:
        raise ValueError("no scores")
    descending = sorted(scores, reverse=True)
    rank = max(1, math.floor(overkill * (len(descending) + 1)))
    median = descending[len(descending) // 2]
    highest = max(descending[rank - 1], tail_quantile(descending, overkill))
    threshold, review_score = math.nextafter(highest, math.inf), ScoreDistribution(tuple(descending)).review_score
    return ScoreThreshold(threshold, median, len(descending), rank, is_held_out, overkill, review_score)


@dataclass(frozen=True, slots=True)
class ScoreDistribution:
    """Distribution of the scores of good photos, each held out of the fit or scored leave-one-out."""

    scores: tuple[float, ...]
    """In descending order; at least one."""
    min_spread: float = MIN_SPREAD
    """Least spread: equal scores of few photos are a coincidence."""

    @property
    def median(self) -> float:
        """Median score."""
        return self.scores[len(self.scores) // 2]

    @property
    def spread(self) -> float:
        """Mean excess over the median of the scores above it, as if they were exponential.

        It is the maximum likelihood estimate from a type II censored sample (Epstein and Sobel, JASA 48, 1953): of the
        largest scores, `CENSORED_SHARE` of all, only their number counts.
        """
        excesses = [score - self.median for score in reversed(self.scores[: len(self.scores) // 2])]
        counted = excesses[: max(len(excesses) - max(round(CENSORED_SHARE * len(self.scores)), 1), 1)]
        if not counted:
            return self.min_spread
        return max((sum(counted) + (len(excesses) - len(counted)) * counted[-1]) / len(counted), self.min_spread)

    @property
    def review_score(self) -> float:
        """Score above which a person looks: at most the highest one."""
        tail = self.median + self.spread * math.log((len(self.scores) + 1) / 2)
        return min(self.scores[0], tail)

    def rarity(self, score: float) -> float:
        """Return the estimated share of good photos with this score or a higher one, 0 to 1.

        The k-th largest of n scores is exceeded by k / (n + 1) of good photos; logarithms are interpolated between, and
        the tail above the highest score is exponential.
        """
        count = len(self.scores)
        highest = self.scores[0]
        if score >= highest:
            return math.exp(-min((score - highest) / self.spread, 60.0)) / (count + 1)
        shares = np.log(np.arange(count, 0, -1) / (count + 1))
        return float(np.exp(np.interp(score, self.scores[::-1], shares, left=0.0)))
