"""Prototype expert, and the synthetic flaws that it is trained on."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from logicls.plugins.anomaly.fit import fit_expert
from logicls.plugins.anomaly.prototype_expert import MIN_COVERAGE, generate_flawed_photos, load_expert, prototype_loss
from logicls.plugins.settings import ExpertSettings
from logicls.synth.flaws import FLAW_TYPES, add_flaw

_HERE = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
good_photo, flawed_photo = _HERE["good_photo"], _HERE["flawed_photo"]


@pytest.mark.parametrize("kind", FLAW_TYPES)
def test_flaw_is_inside_mask(kind):
    """Pixels change inside the mask only, which is a small part of the photo."""
    photo = good_photo(1)

    flawed, mask = add_flaw(photo, kind, np.random.default_rng(3))

    change = np.abs(flawed.astype(int) - photo).max(-1)
    assert mask.sum() >= 12
    assert mask.mean() < 0.4
    assert change[~mask].max() < 12 <= change[mask].min()


def test_coverage_is_a_share():
    """Coverage is between 0 and 1, zero for clean photos and not for others."""
    batch = generate_flawed_photos([good_photo(n) for n in range(4)], 24, np.random.default_rng(0))

    assert batch.coverage.shape == (24, 12, 12)
    assert 0 <= float(batch.coverage.min()) < float(batch.coverage.max()) <= 1
    for kind, coverage in zip(batch.types, batch.coverage, strict=True):
        assert bool(coverage.any()) == (kind >= 0)


def test_prototype_loss_value():
    """One flawed cell at 0.8, good ones at 0.2 and 0.4, one between: -ln .8 - (.2 ln .8 + .4 ln .6) / .6 - mean."""
    loc, cover = torch.tensor([[[0.8, 0.2, 0.4, 0.9]]]), torch.tensor([[[1.0, 0.0, 0.0, MIN_COVERAGE / 2]]])
    good = -np.log([0.8, 0.6])

    expected = -np.log(0.8) + (0.2 * good[0] + 0.4 * good[1]) / 0.6 + good.mean()
    assert float(prototype_loss(loc, cover)) == pytest.approx(expected, abs=1e-5)


def test_training_separates_flaw(bundle, dataset):
    """After a few steps a dark spot scores above all good photos, and its type is named."""
    threshold = fit_expert(bundle, dataset, ExpertSettings(kind="prototypes", patches=144, steps=150))
    expert = load_expert(bundle)

    good = expert.detect_anomalies([good_photo(seed) for seed in range(100, 106)])
    (bad,) = expert.detect_anomalies([flawed_photo(200)])

    assert (threshold.photo_count, threshold.is_held_out) == (7, True)
    assert bad.score > max(flaw.score for flaw in good)
    assert expert.classify_patch(flawed_photo(200), 8 * 12 + 8) in FLAW_TYPES
