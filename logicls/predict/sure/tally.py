"""How many there are, as a distribution: what a count is worth when each thing is there by chance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float

Worth = Mapping[int, float]
"""What one thing counts for → probability; what is lacking of 1 goes to 0, for it may not be there at all."""


def distribution(things: Iterable[Worth]) -> Float[np.ndarray, " totals"]:
    """Probability of each total, from 0 on, of things that are there independently of one another.

    Where each counts for one this is the Poisson-binomial distribution (Poisson 1837; computed by adding one thing
    after the other, as Chen and Liu, Statistica Sinica 7, 1997, equation 9, which is exact).

    >>> distribution([{1: 0.9}, {1: 0.5}]).round(3).tolist()
    [0.05, 0.5, 0.45]
    """
    found = np.ones(1)
    for worth in things:
        one = np.zeros(max([0, *worth]) + 1)
        for amount, chance in worth.items():
            one[amount] += chance
        one[0] += max(1.0 - float(one.sum()), 0.0)
        found = np.convolve(found, one / one.sum())
    return found
