"""Rates and their exact confidence intervals."""

import pytest

from logicls.evaluation.intervals import Rate, clopper_pearson, estimate_rate


def test_rate_without_observations_is_undefined():
    """Neither a value nor an interval."""
    assert (Rate(0, 0).value, Rate(0, 0).ci95) == (None, None)


def test_estimate_rate_counts_true_values():
    """From any iterable."""
    assert estimate_rate(iter([True, False, True])) == Rate(2, 3)


def test_interval_of_a_fractional_count():
    """One and a half of ten is between one and two."""
    one, middle, two = (clopper_pearson(count, 10) for count in (1, 1.5, 2))

    assert one[0] < middle[0] < two[0]
    assert one[1] < middle[1] < two[1]


@pytest.mark.parametrize(("count", "total", "limits"), [(5, 10, (0.1871, 0.8129)), (10, 10, (0.6915, 1.0))])
def test_published_intervals(count, total, limits):
    """Values of tables of the binomial distribution."""
    assert tuple(round(limit, 4) for limit in clopper_pearson(count, total)) == limits
