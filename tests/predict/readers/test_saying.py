"""What nano says: whole answers within the grammar, and no step where there is no choice."""

from __future__ import annotations

import pytest
import torch

from logicls.predict.readers.constrained_decoding import TokenGrammar, AnswerDecoder

END, NONE, RED, BLUE, BENT, LOST = range(6)


def grammar(most: int = 2) -> TokenGrammar:
    """A question for colours, and one for violations."""
    values = torch.zeros(2, 6, dtype=torch.bool)
    values[0, [RED, BLUE]], values[1, [BENT, LOST]] = True, True
    return TokenGrammar(values, torch.tensor([False, True]), most, NONE, END)


def sure_of(*tokens: int) -> torch.Tensor:
    """Logits of one photo: 10 for the token of each question, 0 for all others."""
    logits = torch.zeros(1, len(tokens), 6)
    for question, token in enumerate(tokens):
        logits[0, question, token] = 10.0
    return logits


def said(*steps: tuple[int, int]) -> AnswerDecoder:
    """What comes of a model that is sure of these tokens, one step after the other."""
    saying = AnswerDecoder(grammar(), 1)
    for tokens in steps:
        assert saying.is_open.any()
        saying.step(sure_of(*tokens), torch.tensor([0]))
    return saying


def test_only_the_questions_own_words_are_said():
    """Whatever else is likely."""
    saying = said((LOST, RED))

    assert saying.tokens[0, 0, 0] in (NONE, RED, BLUE)
    assert saying.tokens[0, 1, 0] in (NONE, BENT, LOST)


def test_nothing_ends_an_answer_without_a_step():
    """After `<none>` only the end may follow."""
    saying = said((NONE, NONE))

    assert not saying.is_open.any()
    assert saying.tokens[0].tolist() == [[NONE], [NONE]]


def test_an_answer_is_not_empty():
    """The end cannot come first, and `<none>` only first."""
    assert END not in said((END, END)).tokens.flatten().tolist()
    assert NONE not in said((RED, BENT), (NONE, NONE)).tokens.flatten().tolist()


def test_no_violation_is_said_twice():
    """Colours are, those of two things; when all violations are named nothing is asked any more."""
    saying = said((RED, BENT), (RED, BENT))

    assert saying.tokens[0, 0].tolist() == [RED, RED]
    assert saying.tokens[0, 1, 0] == BENT
    assert saying.tokens[0, 1, 1] in (LOST, END)
    assert said((RED, BENT), (END, LOST)).is_open.tolist() == [[False, False]]


def test_as_many_values_as_there_can_be_end_an_answer_and_doubt_stays():
    """That the model would have gone on counts against it."""
    saying = said((RED, NONE), (RED, NONE), (RED, NONE))

    assert saying.tokens[0, 0].tolist() == [RED, RED, END]
    assert not saying.is_open.any()
    assert saying.probabilities[0, 0, :2].min() > 0.99
    assert saying.probabilities[0, 0, 2] < 1e-3


def test_what_is_closed_changes_no_more():
    """A photo that is done takes no part; its words go on as the end, for sure, and its chances stay."""
    saying = AnswerDecoder(grammar(), 2)
    saying.step(torch.cat([sure_of(NONE, NONE), sure_of(RED, BENT)]), torch.tensor([0, 1]))
    likely = saying.max_probability[0].clone()

    saying.step(sure_of(END, LOST), torch.tensor([1]))

    assert saying.tokens[0].tolist() == [[NONE, END], [NONE, END]]
    assert saying.probabilities[0, :, 1].tolist() == [1.0, 1.0]
    assert torch.equal(saying.max_probability[0], likely)
    assert saying.max_probability[1, 1, [BENT, LOST]].tolist() == pytest.approx([1, 1], abs=1e-3)
