"""Patch features: fixed filters, whitening of stem and filter channels, and the localization ratio."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from logicls.anomaly import features
from logicls.anomaly.features import (
    DERIVATIVE_ORDERS,
    FILTER_CELL,
    FILTER_CHANNELS,
    MIN_SIMILARITY,
    build_extractor,
    filter_photo,
    fit_whitening,
    gaussian_kernel,
    localization_ratio,
    opponent_colours,
    upsample,
)

SLOPE, CURVE = 3 + 3 * 2 * DERIVATIVE_ORDERS.index((1, 0)), 3 + 3 * 2 * DERIVATIVE_ORDERS.index((2, 0))
"""First channels of the narrow Gaussian's derivatives along x: three colours, then as many of the negative part."""


def test_gaussian_derivatives():
    """The first derivative of a ramp is slope times sigma, the second of a parabola twice sigma squared."""
    at = np.arange(-30, 31, dtype=float)
    ramp, parabola = (np.correlate(line, gaussian_kernel(2.0, order)) for line, order in ((3 * at, 1), (at**2, 2)))

    assert ramp == pytest.approx(np.full_like(ramp, 3 * 2.0), rel=0.03)
    assert parabola == pytest.approx(np.full_like(parabola, 2 * 4.0), rel=0.12)
    assert np.correlate(np.ones(61), gaussian_kernel(2.0, 0)) == pytest.approx(1.0)


def test_opponent_colours():
    """White has intensity only; red is red-green, and half of yellow."""
    responses = opponent_colours(np.array([[[128, 128, 128], [192, 0, 0]]], np.uint8))

    assert responses[0].tolist() == [[2.0, 0.0, 0.0], [1.0, 3.0, 1.5]]


def test_uniform_photo_has_no_edges():
    """A uniform photo has a response in intensity only, up to the border."""
    responses = filter_photo(np.full((16, 24, 3), 64, np.uint8))

    assert responses.shape == (FILTER_CHANNELS, 16 // FILTER_CELL, 24 // FILTER_CELL)
    assert responses[0] == pytest.approx(1.0)
    assert np.abs(responses[1:]).max() < 1e-5


def test_signs_are_separate():
    """A brightness ramp is in the positive channel, its mirror image in the negative one."""
    photo = np.repeat(np.linspace(40, 200, 32).astype(np.uint8)[None, :, None], 32, 0).repeat(3, 2)

    forward, mirrored = filter_photo(photo), filter_photo(np.ascontiguousarray(photo[:, ::-1]))

    assert forward[SLOPE, 4, 4] > 0.05 > 0.001 > forward[SLOPE + 3, 4, 4]
    assert mirrored[SLOPE + 3, 4, 4] > 0.05 > 0.001 > mirrored[SLOPE, 4, 4]


def test_filters_are_local():
    """A thin line changes cells near it only."""
    photo = np.full((48, 48, 3), 90, np.uint8)
    lined = photo.copy()
    lined[:, 21] = 140

    change = np.abs(filter_photo(lined) - filter_photo(photo)).max(axis=(0, 1))

    assert change[5] > 0.1
    assert np.flatnonzero(change > 1e-5).tolist() == [3, 4, 5, 6]
    assert filter_photo(lined)[CURVE + 3, 6, 5] > 0.05  # bright on dark: the second derivative is negative


_HERE = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
good_photo, flawed_photo = _HERE["good_photo"], _HERE["flawed_photo"]


def test_filters_align_with_stem(bundle):
    """Both maps have a cell per 8 x 8 pixels; of the filters' only those near a flaw change."""
    extractor = build_extractor(bundle, (96, 96))
    good, flawed = extractor.extract([good_photo(5), flawed_photo(5)])

    change = (good - flawed)[-features.FILTER_CHANNELS :].abs().amax(0) > 1e-4

    assert good.shape == (extractor.channels, 12, 12)
    assert torch.allclose(
        good[: -features.FILTER_CHANNELS], extractor.extract_layers([good_photo(5)])[-1][0], atol=1e-4
    )
    assert change[8:10, 7:9].all()  # the spot, at x 60 to 72 and y 66 to 76
    assert not change[:6].any()
    assert not change[:, :5].any()


def test_whitening_balances_parts():
    """Stem and filter channels each have a mean square of 1 over good patches, whatever their scale and number."""
    generator = torch.Generator().manual_seed(0)
    stem = 50 * torch.rand(4, 16, 12, 12, generator=generator)
    filters = torch.rand(4, features.FILTER_CHANNELS, 12, 12, generator=generator) / 50

    whitening = fit_whitening(torch.cat([stem, filters], 1))
    square = whitening(torch.cat([stem, filters], 1)).square().mean((0, 1, 2))
    of_stem = int((whitening.axes[:16].abs().amax(0) > 0).sum())

    assert 0 < of_stem <= 16 < len(square)
    assert not whitening.axes[16:, :of_stem].any()
    for part in (square[:of_stem], square[of_stem:]):
        assert torch.allclose(part.sum(), torch.tensor(1.0), atol=0.01)


def test_localization_ratio_value():
    """E_p = (1, 1) with E_t+ = (1, 0) and E_t- = (3, 4): 1.4 / sqrt 2 against 1 / sqrt 2 is 0.9899 / 1.6971."""
    patch, normal, anomalous = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    bad, good = 1.4 / math.sqrt(2), 1 / math.sqrt(2)

    assert localization_ratio(patch, normal, anomalous).item() == pytest.approx(bad / (good + bad), abs=1e-6)


def test_ratio_of_equal_similarity():
    """Equal similarity gives 0.5, as does a patch opposite to both prototypes."""
    normal, anomalous = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])

    assert localization_ratio(torch.tensor([[2.0, 2.0], [-1.0, -1.0]]), normal, anomalous).tolist() == pytest.approx(
        [0.5, 0.5]
    )


def test_ratio_uses_nearest_prototype():
    """The nearest prototype of each kind counts."""
    normal = torch.tensor([[1.0, 0.0]])
    anomalous = torch.tensor([[-1.0, 0.1], [0.0, 1.0]])

    result = localization_ratio(torch.tensor([[0.0, 5.0]]), normal, anomalous).item()

    assert result == pytest.approx(1 / (1 + MIN_SIMILARITY), abs=1e-6)


def test_upsample_is_bilinear():
    """With half-pixel centres 0 and 1 become 0, 0.25, 0.75 and 1 on four pixels."""
    result = upsample(torch.tensor([[[0.0, 1.0]]]), (1, 4))

    assert result.tolist() == [[[0.0, 0.25, 0.75, 1.0]]]
