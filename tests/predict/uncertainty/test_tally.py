"""A count's distribution, against sums over every way in which things may be there."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from logicls.predict.uncertainty.rule_probability import sum_distribution


def every_way(things: list[dict[int, float]]) -> dict[int, float]:
    """Total → probability, by going through all of them."""
    out: dict[int, float] = {}
    ways = [[*one.items(), (0, 1 - sum(one.values()))] for one in things]
    for chosen in product(*ways):
        total = sum(amount for amount, _ in chosen)
        out[total] = out.get(total, 0.0) + float(np.prod([p for _, p in chosen]))
    return out


@pytest.mark.parametrize(
    "things",
    [
        [],
        [{1: 0.9}, {1: 0.8}, {1: 0.3}],
        [{1: 0.2, 3: 0.5}, {2: 1.0}, {6: 0.4}],
    ],
)
def test_every_total_has_its_probability(things):
    """Things that count for one, for several, and for one or the other."""
    found = sum_distribution(things)

    expected = every_way(things)
    assert found.tolist() == pytest.approx([expected.get(total, 0.0) for total in range(len(found))])
    assert found.sum() == pytest.approx(1.0)


def test_three_things_by_hand():
    """0.9, 0.8 and 0.3: none with 0.014, all with 0.216."""
    assert sum_distribution([{1: 0.9}, {1: 0.8}, {1: 0.3}]).round(3).tolist() == [0.014, 0.188, 0.582, 0.216]
