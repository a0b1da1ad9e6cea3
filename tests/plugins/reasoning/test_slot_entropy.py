"""Entropies of answer slots with and without think tokens, and the reward."""

from __future__ import annotations

import math

import pytest
import torch

from logicls.plugins.reasoning.latent_reasoning import exact_gradient
from logicls.plugins.reasoning.slot_entropy import (
    AnswerSlots,
    append_think_tokens,
    binary_entropy,
    entropy_reward,
    max_answer_entropy,
    photo_keys,
    truncated_entropy,
)
from logicls.predict.readers.nano import EncodedPhotos, NanoReader, QueryOutputs
from logicls.records import Answer

ALL = torch.tensor([True, True, True, True])


def test_truncated_entropy_value():
    """Of 1/2, 1/4, 1/8, 1/8 the two likeliest are 2/3 and 1/3: log 3 − 2/3 log 2, as a share of log 2."""
    probabilities = torch.tensor([0.5, 0.25, 0.125, 0.125])

    assert float(truncated_entropy(probabilities, ALL, 2)) == pytest.approx(
        (math.log(3) - 2 / 3 * math.log(2)) / math.log(2)
    )
    assert float(truncated_entropy(probabilities, ALL, 5)) == pytest.approx(1.75 * math.log(2) / math.log(4))


@pytest.mark.parametrize(("probabilities", "entropy"), [([0.25] * 4, 1.0), ([0.0, 1.0, 0.0, 0.0], 0.0)])
def test_entropy_range(probabilities, entropy):
    """Equal probabilities give 1, a single one 0."""
    assert float(truncated_entropy(torch.tensor(probabilities), ALL)) == pytest.approx(entropy, abs=1e-6)


def test_masked_options():
    """Two equal options give 1; a single option gives 0."""
    probabilities = torch.tensor([[0.5, 0.5, 0.0], [0.4, 0.6, 0.0]])
    is_option = torch.tensor([[True, True, False], [True, False, False]])

    assert truncated_entropy(probabilities, is_option).tolist() == pytest.approx([1.0, 0.0], abs=1e-6)


def test_finite_gradient():
    """A probability of 0 has a finite gradient."""
    logits = torch.tensor([60.0, 0.0, -60.0], requires_grad=True)

    truncated_entropy(logits.softmax(-1), ALL[:3]).backward()

    assert torch.isfinite(logits.grad).all()


def test_binary_entropy_value():
    """Even odds are one bit; three to one is 2 − 3/4 log2 3; near certainty it is 0."""
    result = binary_entropy(torch.tensor([0.0, math.log(3), -math.log(3), 80.0]))

    assert result.tolist() == pytest.approx([1.0, 2 - 0.75 * math.log2(3), 2 - 0.75 * math.log2(3), 0.0], abs=1e-6)


def test_entropy_reward():
    """R = 1 − (1/m) Σ H; 1 without slots."""
    assert entropy_reward(torch.tensor([[0.2, 0.4, 0.9], [0.0, 0.0, 0.0]])).tolist() == pytest.approx([0.5, 1.0])
    assert entropy_reward(torch.zeros(2, 0)).tolist() == [1.0, 1.0]


def test_max_answer_entropy():
    """The largest entropy of all locations, values and answers; 0 if all are certain."""
    certain = Answer("locate:pin", confidence=1.0, probabilities=(1.0,))

    assert max_answer_entropy([certain, Answer("verdict", confidence=0.75)]) == pytest.approx(2 - 0.75 * math.log2(3))
    assert max_answer_entropy([certain, Answer("locate:lid", probabilities=(0.99, 0.5))]) == 1.0
    assert max_answer_entropy([certain]) == 0.0


NO_TOKENS = torch.zeros(1, 0, 64)


@pytest.fixture(scope="module")
def reader(bundle) -> NanoReader:
    """Return a reader with the small product's questions."""
    return NanoReader(bundle)


@pytest.fixture
@torch.no_grad()
def slots(reader, photos) -> tuple[AnswerSlots, QueryOutputs, object]:
    """Return the slots of the first photo, its outputs, and its detections."""
    encoded = reader.encode_photos(photos[:1])
    keys = photo_keys(encoded)
    outputs = reader.answer_queries(encoded)
    detections = reader.detect(outputs, [(160, 160)])[0]
    return AnswerSlots(reader, keys, outputs, detections), outputs, detections


@torch.no_grad()
def test_entropies_without_think_tokens(reader, slots):
    """The entropies are those of the first answers' probabilities."""
    answer_slots, outputs, detections = slots

    result = answer_slots.entropies(NO_TOKENS)[0]

    grammar = outputs.decoded.grammar
    is_option = grammar.values[0].clone()
    is_option[grammar.none] = True
    question = outputs.queries[0, reader.token_queries[0]]
    first_word = reader.bundle.model.compute_logits(question).masked_fill(~is_option, -torch.inf).softmax(-1)
    assert float(result[0]) == pytest.approx(float(truncated_entropy(first_word, is_option)), abs=1e-4)
    probabilities = torch.tensor([peak.probability for peaks in detections for peak in peaks])
    assert len(probabilities) > 3
    assert all(float((result - entropy).abs().min()) < 1e-4 for entropy in binary_entropy(probabilities.logit()))


@torch.no_grad()
def test_rows_are_independent(slots):
    """Rows of a batch have the entropies that they have alone."""
    answer_slots, _, _ = slots
    tokens = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(0)) * 3

    both = answer_slots.entropies(tokens)

    assert torch.allclose(both[:1], answer_slots.entropies(tokens[:1]), atol=1e-5)
    assert not torch.allclose(both[0], both[1], atol=1e-4)
    assert not torch.allclose(both[0], answer_slots.entropies(NO_TOKENS)[0], atol=1e-4)
    assert ((both >= 0) & (both <= 1 + 1e-5)).all()


def test_gradient_matches_differences(slots):
    """∇R equals finite differences, through decoder, words, detections and attributes."""
    answer_slots, _, _ = slots
    tokens = torch.randn(1, 2, 64, generator=torch.Generator().manual_seed(0))
    direction = torch.randn(1, 2, 64, generator=torch.Generator().manual_seed(1))

    def reward(think_tokens: torch.Tensor) -> torch.Tensor:
        return 1 - answer_slots.entropies(think_tokens).mean(1)

    gradient, _ = exact_gradient(reward, tokens)

    with torch.no_grad():
        step = float(reward(tokens + 0.01 * direction) - reward(tokens - 0.01 * direction)) / 0.02
    assert float((gradient * direction).sum()) == pytest.approx(step, rel=0.02, abs=1e-5)


@torch.no_grad()
def test_no_tokens_change_nothing(reader, photos):
    """Without think tokens the query outputs are unchanged."""
    encoded, again = reader.encode_photos(photos[:1]), reader.encode_photos(photos[:1])
    cache = append_think_tokens(reader.bundle.model, photo_keys(encoded), NO_TOKENS)

    with_cache = reader.answer_queries(EncodedPhotos(encoded.feature_map, encoded.feature, cache))

    assert torch.allclose(with_cache.queries, reader.answer_queries(again).queries, atol=1e-5)
