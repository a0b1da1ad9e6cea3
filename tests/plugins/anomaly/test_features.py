"""Fixed filters: what they see, by hand, and where."""

from __future__ import annotations

import numpy as np
import pytest

from logicls.plugins.anomaly.features import (
    DERIVATIVE_ORDERS,
    FILTER_CELL,
    FILTER_CHANNELS,
    filter_photo,
    gaussian_kernel,
    opponent_colours,
)

SLOPE, CURVE = 3 + 3 * 2 * DERIVATIVE_ORDERS.index((1, 0)), 3 + 3 * 2 * DERIVATIVE_ORDERS.index((2, 0))
"""First channels of the narrow Gaussian's derivatives along x: three colours, then as many of the negative part."""


def test_a_line_is_derived_by_hand():
    """The first derivative of a ramp is its slope times the width, the second of a parabola twice the width squared."""
    at = np.arange(-30, 31, dtype=float)
    ramp, parabola = (np.correlate(line, gaussian_kernel(2.0, order)) for line, order in ((3 * at, 1), (at**2, 2)))

    assert ramp == pytest.approx(np.full_like(ramp, 3 * 2.0), rel=0.03)
    assert parabola == pytest.approx(np.full_like(parabola, 2 * 4.0), rel=0.12)
    assert np.correlate(np.ones(61), gaussian_kernel(2.0, 0)) == pytest.approx(1.0)


def test_colours_are_opponents():
    """White has brightness alone; red is red against green, and half of yellow."""
    seen = opponent_colours(np.array([[[128, 128, 128], [192, 0, 0]]], np.uint8))

    assert seen[0].tolist() == [[2.0, 0.0, 0.0], [1.0, 3.0, 1.5]]


def test_a_grey_photo_has_no_edges():
    """Only its brightness is seen, at every place, to the border."""
    seen = filter_photo(np.full((16, 24, 3), 64, np.uint8))

    assert seen.shape == (FILTER_CHANNELS, 16 // FILTER_CELL, 24 // FILTER_CELL)
    assert seen[0] == pytest.approx(1.0)
    assert np.abs(seen[1:]).max() < 1e-5


def test_signs_are_apart():
    """Where a photo grows brighter to the right the positive part of the slope is seen, mirrored the negative one."""
    photo = np.repeat(np.linspace(40, 200, 32).astype(np.uint8)[None, :, None], 32, 0).repeat(3, 2)

    there, back = filter_photo(photo), filter_photo(np.ascontiguousarray(photo[:, ::-1]))

    assert there[SLOPE, 4, 4] > 0.05 > 0.001 > there[SLOPE + 3, 4, 4]
    assert back[SLOPE + 3, 4, 4] > 0.05 > 0.001 > back[SLOPE, 4, 4]


def test_one_place_alone_is_seen():
    """A thin line changes cells near it, and no other: unlike a network's norms, filters see no whole photo."""
    photo = np.full((48, 48, 3), 90, np.uint8)
    lined = photo.copy()
    lined[:, 21] = 140

    change = np.abs(filter_photo(lined) - filter_photo(photo)).max(axis=(0, 1))

    assert change[5] > 0.1
    assert np.flatnonzero(change > 1e-5).tolist() == [3, 4, 5, 6]
    assert filter_photo(lined)[CURVE + 3, 6, 5] > 0.05  # bright on dark: the second derivative is negative
