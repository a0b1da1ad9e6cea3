"""Features of patches: the stem's and the filters', each whitened."""

from __future__ import annotations

import runpy
from pathlib import Path

import torch

from logicls.plugins.anomaly import features as edges
from logicls.plugins.anomaly.features import build_extractor, fit_whitening

_HERE = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
good_photo, flawed_photo = _HERE["good_photo"], _HERE["flawed_photo"]


def test_filters_see_the_same_place_as_the_stem(bundle):
    """Both maps have a cell for 8 x 8 pixels of the input; of the filters' only those near a flaw change."""
    tower = build_extractor(bundle, (96, 96))
    good, flawed = tower.extract([good_photo(5), flawed_photo(5)])

    change = (good - flawed)[-edges.FILTER_CHANNELS :].abs().amax(0) > 1e-4

    assert good.shape == (tower.channels, 12, 12)
    assert torch.allclose(good[: -edges.FILTER_CHANNELS], tower.extract_layers([good_photo(5)])[-1][0], atol=1e-4)
    assert change[8:10, 7:9].all()  # the spot, at x 60 to 72 and y 66 to 76
    assert not change[:6].any()
    assert not change[:, :5].any()


def test_stem_and_filters_count_alike():
    """However large its features are and however many, each part's have a mean square of 1 over good patches."""
    made = torch.Generator().manual_seed(0)
    stem = 50 * torch.rand(4, 16, 12, 12, generator=made)
    filters = torch.rand(4, edges.FILTER_CHANNELS, 12, 12, generator=made) / 50

    whiten = fit_whitening(torch.cat([stem, filters], 1))
    square = whiten(torch.cat([stem, filters], 1)).square().mean((0, 1, 2))
    of_stem = int((whiten.axes[:16].abs().amax(0) > 0).sum())

    assert 0 < of_stem <= 16 < len(square)
    assert not whiten.axes[16:, :of_stem].any()
    for part in (square[:of_stem], square[of_stem:]):
        assert torch.allclose(part.sum(), torch.tensor(1.0), atol=0.01)
