"""The choices on one photo, with and without think tokens."""

from __future__ import annotations

import pytest
import torch

from logicls.plugins.reasoning.latent_reasoning import exact_gradient
from logicls.plugins.reasoning.slot_entropy import (
    AnswerSlots,
    append_think_tokens,
    binary_entropy,
    photo_keys,
    truncated_entropy,
)
from logicls.predict.readers.nano import EncodedPhotos, NanoReader, QueryOutputs

NOTHING = torch.zeros(1, 0, 64)


@pytest.fixture(scope="module")
def one(bundle) -> NanoReader:
    """Asks the small product's questions."""
    return NanoReader(bundle)


@pytest.fixture
@torch.no_grad()
def slots(one, photos) -> tuple[AnswerSlots, QueryOutputs, object]:
    """Those of the first photo, what was read of it, and what was lit."""
    seen = one.see(photos[:1])
    keys = photo_keys(seen)
    read = one.ask(seen)
    lights = one.lights(read, [(160, 160)])[0]
    return AnswerSlots(one, keys, read, lights), read, lights


@torch.no_grad()
def test_without_think_tokens_they_are_those_of_the_first_look(one, slots):
    """The entropies are of the very chances that the answers of the first look have."""
    made, read, lights = slots

    found = made.entropies(NOTHING)[0]

    grammar = read.said.grammar
    meant = grammar.values[0].clone()
    meant[grammar.none] = True
    asked = read.asked[0, one.spoken[0]]
    first_word = one.bundle.model.compute_logits(asked).masked_fill(~meant, -torch.inf).softmax(-1)
    assert float(found[0]) == pytest.approx(float(truncated_entropy(first_word, meant)), abs=1e-4)
    chances = torch.tensor([light.chance for some in lights for light in some])
    assert len(chances) > 3
    assert all(float((found - entropy).abs().min()) < 1e-4 for entropy in binary_entropy(chances.logit()))


@torch.no_grad()
def test_each_row_is_by_itself(slots):
    """A batch of think tokens has the entropies of its rows, and other tokens have others."""
    made, _, _ = slots
    tokens = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(0)) * 3

    both = made.entropies(tokens)

    assert torch.allclose(both[:1], made.entropies(tokens[:1]), atol=1e-5)
    assert not torch.allclose(both[0], both[1], atol=1e-4)
    assert not torch.allclose(both[0], made.entropies(NOTHING)[0], atol=1e-4)
    assert ((both >= 0) & (both <= 1 + 1e-5)).all()


def test_the_gradient_is_that_of_differences(slots):
    """∇R by differentiation is what small steps show, through decoder, words, lights and values alike."""
    made, _, _ = slots
    tokens = torch.randn(1, 2, 64, generator=torch.Generator().manual_seed(0))
    way = torch.randn(1, 2, 64, generator=torch.Generator().manual_seed(1))

    def worth(some: torch.Tensor) -> torch.Tensor:
        return 1 - made.entropies(some).mean(1)

    slope, _ = exact_gradient(worth, tokens)

    with torch.no_grad():
        step = float(worth(tokens + 0.01 * way) - worth(tokens - 0.01 * way)) / 0.02
    assert float((slope * way).sum()) == pytest.approx(step, rel=0.02, abs=1e-5)


@torch.no_grad()
def test_no_tokens_leave_the_reading_as_it_was(one, photos):
    """Asked after a photo behind which nothing was thought, the model says what it says after the photo."""
    seen, again = one.see(photos[:1]), one.see(photos[:1])
    cache = append_think_tokens(one.bundle.model, photo_keys(seen), NOTHING)

    thought = one.ask(EncodedPhotos(seen.chart, seen.feature, cache))

    assert torch.allclose(thought.asked, one.ask(again).asked, atol=1e-5)
