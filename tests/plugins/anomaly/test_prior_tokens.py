"""Prior tokens: what they are made of, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from logicls.models.nano.blocks import Stem
from logicls.plugins.anomaly.prior_tokens import GRID, PriorTokens, VisEncoder, loc_logits, localization_loss, pool_loc

PLACES = GRID * GRID


def test_logit_of_loc_by_hand():
    """Where a patch is three times as like what is wrong as what is right, Loc is 0.75 and its logit ln 3."""
    found = loc_logits(torch.tensor([[[0.75, 0.5, 0.0]]]))

    assert found.flatten().tolist() == pytest.approx([np.log(3), 0.0, np.log(1e-4 / (1 - 1e-4))], rel=1e-4)


def test_each_place_has_its_worst_and_its_mean():
    """A map of 8 x 8: a place is 2 x 2 cells; one cell at ln 3 gives its place ln 3 and ln 3 / 4, in units of 2 sd."""
    chart = torch.full((1, 8, 8), 0.5)
    chart[0, 2, 5] = 0.75

    found = pool_loc(chart, torch.tensor([0.0, 2.0]))

    assert found.shape == (1, PLACES, 2)
    at = 1 * GRID + 2
    assert found[0, at].tolist() == pytest.approx([np.log(3) / 2, np.log(3) / 8], rel=1e-5)
    assert float(found.abs().sum()) == pytest.approx(float(found[0, at].sum()))


@pytest.fixture
def stem():
    """Layers as nano's stem has them."""
    torch.manual_seed(0)
    return Stem(16, 32).fine


def test_vis_begins_as_the_stem(stem):
    """A photo of 48 x 32 gives 3 x 2 features; what Vis begins as is a copy, which learns where the stem does not."""
    stem.requires_grad_(False)
    vis = VisEncoder(stem)

    vis(torch.rand(2, 3, 48, 32) * 255).sum().backward()

    assert vis(torch.rand(2, 3, 48, 32) * 255).shape == (2, 64, 3, 2)
    assert torch.equal(vis.layers[0].weight, stem[0].weight)
    assert all(weight.grad is not None for weight in vis.parameters())
    assert all(weight.grad is None for weight in stem.parameters())


@pytest.mark.parametrize(("parts", "count"), [("both", 2 * PLACES), ("loc", PLACES), ("vis", PLACES), ("none", 0)])
def test_parts(parts, count, stem):
    """Loc's tokens come first, then Vis's; each alone is what it is among both."""
    made = PriorTokens(16, 3, stem)
    charts, seen = torch.rand(2, 12, 12), torch.rand(2, 64, 3, 3)

    found, both = made(charts, seen, parts), made(charts, seen)

    assert found.shape == (2, count, 16)
    assert torch.equal(found, both[:, PLACES:] if parts == "vis" else both[:, :count])


def test_begins_at_a_place(stem):
    """Tokens begin about where they are told, and Loc is counted from what good photos have."""
    made, charts = PriorTokens(16, 3, stem), torch.tensor([0.5, 0.75]).view(1, 1, 2)

    made.initialize(torch.full((16,), 7.0), torch.ones(3, 16), charts)

    assert torch.equal(made.position_embeddings, torch.full_like(made.position_embeddings, 7.0))
    assert torch.equal(made.question, torch.ones(3, 16))
    assert made.loc_statistics.tolist() == pytest.approx([np.log(3) / 2, np.log(3) / np.sqrt(2)], rel=1e-5)


def test_where_loss_by_hand():
    """One place flawed at ln 3, one good at 0, one with too little of a flaw: ln(4 / 3) + ln 2."""
    cover = torch.tensor([[[0.0, 0.9, 0.0, 0.0, 0.1, 0.0]]])

    found = localization_loss(torch.tensor([[[np.log(3), 0.0, 5.0]]]), cover)

    assert float(found) == pytest.approx(np.log(4 / 3) + np.log(2), rel=1e-5)


def test_where_loss_without_a_flaw():
    """Good places alone count: ln 2 at 0."""
    assert float(localization_loss(torch.zeros(2, 3, 3), torch.zeros(2, 6, 6))) == pytest.approx(np.log(2))
