"""Constrained decoding of nano: complete answers within the grammar, no step without a choice; and its cache."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from logicls.predict.readers.nano import AnswerDecoder, PreallocatedCache, TokenGrammar

END, NONE, RED, BLUE, BENT, LOST = range(6)


def make_grammar(max_values: int = 2) -> TokenGrammar:
    """Make the grammar of a question for colours and of one for violations."""
    values = torch.zeros(2, 6, dtype=torch.bool)
    values[0, [RED, BLUE]], values[1, [BENT, LOST]] = True, True
    return TokenGrammar(values, torch.tensor([False, True]), max_values, NONE, END)


def confident_logits(*tokens: int) -> torch.Tensor:
    """Logits of one photo: 10 for the token of each question, 0 for all others."""
    logits = torch.zeros(1, len(tokens), 6)
    for question, token in enumerate(tokens):
        logits[0, question, token] = 10.0
    return logits


def decode(*steps: tuple[int, int]) -> AnswerDecoder:
    """Decode the answers of a model that is confident of these tokens, step by step."""
    decoder = AnswerDecoder(make_grammar(), 1)
    for tokens in steps:
        assert decoder.is_open.any()
        decoder.step(confident_logits(*tokens), torch.tensor([0]))
    return decoder


def test_an_answer_contains_only_values_of_its_question():
    """However likely other tokens are."""
    decoder = decode((LOST, RED))

    assert decoder.tokens[0, 0, 0] in (NONE, RED, BLUE)
    assert decoder.tokens[0, 1, 0] in (NONE, BENT, LOST)


def test_none_completes_an_answer_without_another_step():
    """After `<none>` only the end may follow."""
    decoder = decode((NONE, NONE))

    assert not decoder.is_open.any()
    assert decoder.tokens[0].tolist() == [[NONE], [NONE]]


def test_an_answer_is_not_empty():
    """The end cannot come first, and `<none>` only first."""
    assert END not in decode((END, END)).tokens.flatten().tolist()
    assert NONE not in decode((RED, BENT), (NONE, NONE)).tokens.flatten().tolist()


def test_no_violation_is_repeated():
    """Colours may be, as those of two instances; an answer with all violations is complete."""
    decoder = decode((RED, BENT), (RED, BENT))

    assert decoder.tokens[0, 0].tolist() == [RED, RED]
    assert decoder.tokens[0, 1, 0] == BENT
    assert decoder.tokens[0, 1, 1] in (LOST, END)
    assert decode((RED, BENT), (END, LOST)).is_open.tolist() == [[False, False]]


def test_the_largest_number_of_values_ends_an_answer_with_low_confidence():
    """The model's preference for one more value counts against it."""
    decoder = decode((RED, NONE), (RED, NONE), (RED, NONE))

    assert decoder.tokens[0, 0].tolist() == [RED, RED, END]
    assert not decoder.is_open.any()
    assert decoder.probabilities[0, 0, :2].min() > 0.99
    assert decoder.probabilities[0, 0, 2] < 1e-3


def test_a_complete_answer_does_not_change():
    """A finished photo takes no part in later steps: its tokens are the end with probability 1, its maxima stay."""
    decoder = AnswerDecoder(make_grammar(), 2)
    decoder.step(torch.cat([confident_logits(NONE, NONE), confident_logits(RED, BENT)]), torch.tensor([0, 1]))
    before = decoder.max_probability[0].clone()

    decoder.step(confident_logits(END, LOST), torch.tensor([1]))

    assert decoder.tokens[0].tolist() == [[NONE, END], [NONE, END]]
    assert decoder.probabilities[0, :, 1].tolist() == [1.0, 1.0]
    assert torch.equal(decoder.max_probability[0], before)
    assert decoder.max_probability[1, 1, [BENT, LOST]].tolist() == pytest.approx([1, 1], abs=1e-3)


def fill(cache, rows: int, counts: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Append that many random positions at a time; returns what the cache returns each time."""
    rng = torch.Generator().manual_seed(0)
    return [cache.update(*torch.randn(2, rows, 2, count, 4, generator=rng), 0) for count in counts]


@pytest.mark.parametrize("positions", [1, 8, 20])
def test_the_preallocated_cache_equals_a_dynamic_one(positions):
    """With memory for all positions, for some and for none; finished rows leave it, and earlier views stay valid."""
    preallocated, dynamic = PreallocatedCache(1, positions), DynamicCache()

    returned, expected = fill(preallocated, 3, [5, 3, 1]), fill(dynamic, 3, [5, 3, 1])
    for cache in (preallocated, dynamic):
        cache.batch_select_indices(torch.tensor([0, 2]))
    returned, expected = returned + fill(preallocated, 2, [1, 1]), expected + fill(dynamic, 2, [1, 1])

    assert all(
        torch.equal(a, b)
        for one, other in zip(returned, expected, strict=True)
        for a, b in zip(one, other, strict=True)
    )
    assert preallocated.get_seq_length() == 11
