"""Shares and their exact intervals."""

import pytest

from logicls.evaluation.intervals import Rate, clopper_pearson, estimate_rate


def test_nothing_counted_has_no_share():
    """Neither a value nor an interval."""
    assert (Rate(0, 0).value, Rate(0, 0).ci95) == (None, None)


def test_true_ones_are_counted():
    """Out of however many there are."""
    assert estimate_rate(iter([True, False, True])) == Rate(2, 3)


def test_the_interval_of_a_part_of_a_count_lies_between():
    """One and a half out of ten is between one and two."""
    one, middle, two = (clopper_pearson(count, 10) for count in (1, 1.5, 2))

    assert one[0] < middle[0] < two[0]
    assert one[1] < middle[1] < two[1]


@pytest.mark.parametrize(("count", "of", "limits"), [(5, 10, (0.1871, 0.8129)), (10, 10, (0.6915, 1.0))])
def test_intervals_of_the_tables(count, of, limits):
    """Figures that tables of the binomial distribution have."""
    assert tuple(round(limit, 4) for limit in clopper_pearson(count, of)) == limits
