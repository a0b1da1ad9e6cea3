"""Embedding space: centring, within-class whitening, and cosines."""

from __future__ import annotations

import numpy as np
import pytest

from logicls.plugins.retrieval.embedding import SHRINKAGE, fit_space


def test_whitening_value():
    """Two photos that differ by ±2 on the first axis: its variance is 4, the mean over both axes 2."""
    product = np.array([[2.0, 5.0], [-2.0, 5.0]])

    space = fit_space(np.zeros(2), [product])
    transformed = space.transform(np.array([[1.0, 1.0]]))

    floor = SHRINKAGE * 4 / 2
    across = np.sqrt(floor / (4 + floor))
    assert transformed[0] == pytest.approx(np.array([across, 1.0]) / np.hypot(across, 1.0))


def test_products_count_equally():
    """Repeating a product's photos ten times changes nothing."""
    rng = np.random.default_rng(0)
    one, other, queries = rng.normal(size=(5, 3)), rng.normal(size=(6, 3)), rng.normal(size=(4, 3))

    single, repeated = fit_space(np.zeros(3), [one, other]), fit_space(np.zeros(3), [np.tile(one, (10, 1)), other])

    assert single.transform(queries) == pytest.approx(repeated.transform(queries))


def test_space_without_photos():
    """Without photos cosines are those of the centred features."""
    centre = np.array([1.0, 1.0])

    space = fit_space(centre, [])

    assert space.transform(np.array([[4.0, 5.0]]))[0] == pytest.approx([0.6, 0.8])
