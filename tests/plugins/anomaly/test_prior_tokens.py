"""Prior tokens: pooling, projections and localization loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from logicls.models.nano.blocks import Stem
from logicls.plugins.anomaly.prior_tokens import GRID, PriorTokens, VisEncoder, loc_logits, localization_loss, pool_loc

CELLS = GRID * GRID


def test_loc_logits():
    """A patch three times as similar to anomalous as to normal has Loc 0.75 and logit ln 3."""
    result = loc_logits(torch.tensor([[[0.75, 0.5, 0.0]]]))

    assert result.flatten().tolist() == pytest.approx([np.log(3), 0.0, np.log(1e-4 / (1 - 1e-4))], rel=1e-4)


def test_pool_loc_value():
    """In an 8 x 8 map one of a cell's 2 x 2 values is ln 3: its maximum is ln 3, its mean ln 3 / 4, in units of 2."""
    loc_map = torch.full((1, 8, 8), 0.5)
    loc_map[0, 2, 5] = 0.75

    result = pool_loc(loc_map, torch.tensor([0.0, 2.0]))

    assert result.shape == (1, CELLS, 2)
    at = 1 * GRID + 2
    assert result[0, at].tolist() == pytest.approx([np.log(3) / 2, np.log(3) / 8], rel=1e-5)
    assert float(result.abs().sum()) == pytest.approx(float(result[0, at].sum()))


@pytest.fixture
def stem():
    """Return layers as of nano's stem."""
    torch.manual_seed(0)
    return Stem(16, 32).fine


def test_vis_is_initialised_from_stem(stem):
    """A photo of 48 x 32 gives 3 x 2 features; the copied layers are trainable, the stem's stay frozen."""
    stem.requires_grad_(False)
    vis = VisEncoder(stem)

    vis(torch.rand(2, 3, 48, 32) * 255).sum().backward()

    assert vis(torch.rand(2, 3, 48, 32) * 255).shape == (2, 64, 3, 2)
    assert torch.equal(vis.layers[0].weight, stem[0].weight)
    assert all(weight.grad is not None for weight in vis.parameters())
    assert all(weight.grad is None for weight in stem.parameters())


@pytest.mark.parametrize(("parts", "count"), [("both", 2 * CELLS), ("loc", CELLS), ("vis", CELLS), ("none", 0)])
def test_token_parts(parts, count, stem):
    """Loc's tokens precede those of Vis; each part alone equals its part of both."""
    tokens = PriorTokens(16, 3, stem)
    loc_maps, vis_maps = torch.rand(2, 12, 12), torch.rand(2, 64, 3, 3)

    result, both = tokens(loc_maps, vis_maps, parts), tokens(loc_maps, vis_maps)

    assert result.shape == (2, count, 16)
    assert torch.equal(result, both[:, CELLS:] if parts == "vis" else both[:, :count])


def test_initialize(stem):
    """Position embeddings start at the mean token, and Loc is standardised by good photos."""
    tokens, loc_maps = PriorTokens(16, 3, stem), torch.tensor([0.5, 0.75]).view(1, 1, 2)

    tokens.initialize(torch.full((16,), 7.0), torch.ones(3, 16), loc_maps)

    assert torch.equal(tokens.position_embeddings, torch.full_like(tokens.position_embeddings, 7.0))
    assert torch.equal(tokens.question, torch.ones(3, 16))
    assert tokens.loc_statistics.tolist() == pytest.approx([np.log(3) / 2, np.log(3) / np.sqrt(2)], rel=1e-5)


def test_localization_loss_value():
    """One flawed cell at ln 3, one good at 0, one with too little coverage: ln(4 / 3) + ln 2."""
    coverage = torch.tensor([[[0.0, 0.9, 0.0, 0.0, 0.1, 0.0]]])

    result = localization_loss(torch.tensor([[[np.log(3), 0.0, 5.0]]]), coverage)

    assert float(result) == pytest.approx(np.log(4 / 3) + np.log(2), rel=1e-5)


def test_localization_loss_without_flaws():
    """Only good cells count: ln 2 at 0."""
    assert float(localization_loss(torch.zeros(2, 3, 3), torch.zeros(2, 6, 6))) == pytest.approx(np.log(2))
