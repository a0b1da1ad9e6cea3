"""Reservoir sampling."""

import random
from collections import Counter

from logicls.reservoir import Reservoir


def test_every_item_is_equally_likely():
    """Over many seeds each of 10 items is in a sample of 3 in about 30 % of the runs."""
    counts = Counter()
    for seed in range(3000):
        reservoir = Reservoir(3, random.Random(seed).randrange)
        for item in range(10):
            reservoir.add(item)
        counts.update(item for _, item in reservoir.items)
        assert all(position == item for position, item in reservoir.items)

    assert all(abs(counts[item] / 3000 - 0.3) < 0.05 for item in range(10))


def test_first_items_without_a_random_source():
    """The first items stay; the stream is counted."""
    reservoir = Reservoir(2)
    for item in "abcd":
        reservoir.add(item)

    assert (reservoir.items, reservoir.count) == ([(0, "a"), (1, "b")], 4)
