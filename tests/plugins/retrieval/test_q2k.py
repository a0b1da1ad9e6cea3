"""Q2K sampling: each equation against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logicls.plugins.retrieval.product_matcher import (
    allocate_budget,
    cluster_documents,
    cluster_weights,
    log_density,
    sample_documents,
    top_documents,
)

TWO = np.concatenate([np.linspace(0.88, 0.92, 10), np.linspace(0.18, 0.22, 10)])
"""Similarities in two groups: documents 0 to 9 are alike, 10 to 19 are not."""


def test_density_value():
    """Of similarities 0 and 1 the standard deviation is 1/2, so the bandwidth is 2^(-1/5) / 2."""
    width = 0.5 * 2**-0.2
    peak, across = 1 / (width * math.sqrt(2 * math.pi)), math.exp(-1 / (2 * width**2))

    result = log_density(np.array([0.0, 1.0]))

    assert result == pytest.approx([math.log((peak + peak * across) / 2)] * 2)


def test_density_of_close_similarities():
    """Three of four are close: each is denser than the fourth."""
    result = log_density(np.array([0.5, 0.51, 0.49, 0.9]))

    assert result.argmax() == 0
    assert result.argmin() == 3


def test_cluster_weights_value():
    """W* = 0, ln 1/2 in one cluster, ln 1/4, 0 in the other, K = 4: W = (1 + 1/2) / 4 and (1/4 + 1) / 4."""
    density = np.array([0.0, math.log(0.5), math.log(0.25), 0.0])

    result = cluster_weights(density, np.array([0, 0, 1, 1]))

    assert result == pytest.approx([0.375, 0.3125])


def test_cluster_weights_scale():
    """Scaling all densities does not change the weights."""
    density, numbers = np.array([0.3, -1.0, 0.1]), np.array([0, 1, 1])

    assert cluster_weights(density + math.log(2), numbers) == pytest.approx(cluster_weights(density, numbers))


@pytest.mark.parametrize(
    ("weights", "sizes", "budget", "expected"),
    [
        ((0.6, 0.25, 0.15), (5, 5, 5), 3, (2, 1, 0)),  # 1.8, 0.75, 0.45: one whole, then the largest remainders
        ((0.5, 0.5), (1, 9), 6, (1, 5)),  # the first has but one; the second takes what is left
        ((1.0, 0.0), (2, 2), 3, (2, 1)),  # what weighs nothing gives only when nothing else can
        ((0.7, 0.3), (3, 3), 9, (3, 3)),
    ],
)
def test_allocate_budget(weights, sizes, budget, expected):
    """By largest remainders, no cluster beyond its size."""
    result = allocate_budget(np.array(weights), np.array(sizes), budget)

    assert tuple(result) == expected


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 6)), min_size=1, max_size=6),
    st.integers(1, 30),
)
def test_budget_is_used_up(clusters_, budget):
    """The budget or all documents are allocated, whatever the weights."""
    weights, sizes = (np.array(part) for part in zip(*clusters_, strict=True))

    result = allocate_budget(weights.astype(float), sizes, budget)

    assert result.sum() == min(budget, sizes.sum())
    assert (result <= sizes).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mixture_separates_groups(seed):
    """No cluster has documents of both groups."""
    result = cluster_documents(TWO, seed)

    assert set(result[:10]) & set(result[10:]) == set()


@pytest.mark.parametrize("same", [[0.5], [0.5] * 7])
def test_equal_similarities(same):
    """Equal similarities are one cluster."""
    assert set(cluster_documents(np.array(same), 0)) == {0}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sampling_covers_groups(seed):
    """Sampling takes half of the budget from each equally dense group, top-k from one."""
    result = sample_documents(TWO, 4, seed)

    assert sum(number < 10 for number in result) == 2
    assert result[0] == top_documents(TWO, 1)[0] == 9
    assert all(number < 10 for number in top_documents(TWO, 4))


def test_large_budget():
    """A larger budget returns all documents, sorted by similarity."""
    assert sample_documents(np.array([0.1, 0.9, 0.5]), 3) == [1, 2, 0]
