"""The bar that a score must reach to be called a flaw, and what so few photos can promise of it.

Split conformal prediction (Vovk et al. 2005; Lei et al. 2018): of n scores of good photos that the expert did not learn
from, the k-th largest is exceeded by a further good photo with a probability of at most k / (n + 1), whatever scores
are like. Where every photo is scored as if it had not been learned from (cross-conformal, Vovk 2015; jackknife+, Barber
et al. 2021) twice that can be proved, and about that much is seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WANTED = 0.01
"""Share of good photos that may be called flawed, where nothing else is said and there are photos enough to say so."""
TAIL = 0.1
"""Share of the scores that are taken for their upper tail."""
USUAL_CHANCE = 0.02
"""Probability of a flaw that the median good photo is given."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Where a flaw begins."""

    at: float
    """The score from which on a photo counts as flawed."""
    usual: float
    """The median of good photos."""
    photos: int
    """That it was set on, none of them known to the expert that scored it."""
    rank: int
    """It is above the `rank`-th largest of their scores, no more than just above where there are enough."""
    aside: bool = False
    """True where they were all kept aside of one fit, so that the rate itself is the bound."""
    wanted: float = WANTED
    """Share of good photos that it was to call flawed."""

    @property
    def rate(self) -> float:
        """Share of good photos like these that is called flawed, on average over sets of photos; half of the bound."""
        return self.rank / (self.photos + 1)

    @property
    def promise(self) -> str:
        """In words."""
        most = self.rate if self.aside else min(2 * self.rate, 1.0)
        told = f"on average {self.rate:.1%} of good photos called flawed, at most {most:.1%}"
        how = "kept aside" if self.aside else "each scored without it"
        more = f"; {100 * self.wanted:.3g}% takes {needed(self.wanted)} of them" if self.rate > self.wanted else ""
        return f"{told} ({self.photos} good photos, {how}{more})"

    def chance(self, score: float) -> float:
        """Probability of a flaw: 0.5 at the bar, `USUAL_CHANCE` at the median of good photos, a logistic curve."""
        steep = math.log(1 / USUAL_CHANCE - 1) / max(self.at - self.usual, 1e-6)
        return 1 / (1 + math.exp(-max(min(steep * (score - self.at), 60.0), -60.0)))


def needed(wanted: float) -> int:
    """Good photos that it takes to promise that no more than that share is called flawed."""
    return math.ceil(1 / wanted) - 1


def beyond(ordered: Sequence[float], wanted: float = WANTED) -> float:
    """The score that such a share of good photos exceeds, by the scores' upper tail; `ordered` from the highest down.

    Few photos do not reach that far: their excesses over the `TAIL` quantile are taken for exponential (peaks over
    threshold, Pickands 1975, with shape 0), where the share lies in that tail. It can only raise the bar, so that what
    is promised without it holds.
    """
    count = int(TAIL * len(ordered))
    if count < 2 or wanted >= TAIL:
        return ordered[int(wanted * len(ordered))]
    floor = ordered[count]
    return floor + sum(score - floor for score in ordered[:count]) / count * math.log(TAIL / wanted)


def bar_of(scores: Sequence[float], wanted: float = WANTED, *, aside: bool = False) -> Bar:
    """The bar that `wanted` of good photos reach, for scores of some, all kept `aside` of the fit or not.

    Raises `ValueError` without any.
    """
    if not scores:
        raise ValueError("no scores")
    ordered = sorted(scores, reverse=True)
    rank = max(1, math.floor(wanted * (len(ordered) + 1)))
    usual = ordered[len(ordered) // 2]
    highest = max(ordered[rank - 1], beyond(ordered, wanted))
    return Bar(math.nextafter(highest, math.inf), usual, len(ordered), rank, aside, wanted)
