"""What nano says: answers in words, side by side, within a grammar made from the questions.

An answer is `<none>` or values of its question, then the end. Every word is one token, so the grammar is a set of
tokens: those that may stand where the next one comes. Where only the end may follow the model is not asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Grammar:
    """What may be said to each question."""

    values: Bool[Tensor, "questions vocab"]
    """Tokens of the values that its answer may hold."""
    once: Bool[Tensor, " questions"]
    """Questions to which no value is said twice."""
    most: int
    """Values that the others' answers may hold."""
    none: int
    """Token of the empty answer."""
    end: int
    """Token that closes an answer."""


class Saying:
    """The answers of a batch of photos as they grow. All of them are whole once none is open."""

    def __init__(self, grammar: Grammar, photos: int) -> None:
        self.grammar = grammar
        self.open = torch.ones(photos, len(grammar.values), dtype=torch.bool)
        self.likely = torch.zeros(photos, *grammar.values.shape)
        """Highest probability that each token had at any place of an answer, [photos questions vocab]."""
        self._left = grammar.values.repeat(photos, 1, 1)
        self._said: list[Int[Tensor, "photos questions"]] = []
        self._sure: list[Float[Tensor, "photos questions"]] = []

    @property
    def words(self) -> Int[Tensor, "photos questions steps"]:
        """Tokens that were said; after the last one of an answer there is nothing but the end."""
        return torch.stack(self._said, -1)

    @property
    def sure(self) -> Float[Tensor, "photos questions steps"]:
        """Probability of each of them among `<none>` or the end and all values; 1 where there was no choice."""
        return torch.stack(self._sure, -1)

    def take(self, logits: Float[Tensor, "going questions vocab"], rows: Int[Tensor, " going"]) -> None:
        """Put down the likeliest word of every open answer. `rows`: which photos the logits are of.

        What a model would say that the grammar forbids, a value twice or one more than there can be, is not said, but
        counts against what is.
        """
        grammar, first = self.grammar, not self._said
        other = grammar.none if first else grammar.end
        meant, chances = grammar.values.clone(), torch.zeros(self.likely.shape)
        meant[:, other] = True
        chances[rows] = logits.float().masked_fill(~meant, -torch.inf).softmax(-1)
        self.likely = torch.maximum(self.likely, chances * self.open[..., None])
        full = torch.tensor(len(self._said) >= grammar.most) & ~grammar.once
        may = self._left & ~full[:, None]
        may[..., other] = True
        best = chances.masked_fill(~may, -1.0).argmax(-1)
        self._said.append(best.where(self.open, grammar.end))
        self._sure.append(chances.gather(-1, best[..., None])[..., 0].where(self.open, 1.0))
        again = ~grammar.once.expand_as(best) & (best != other)
        self._left.scatter_(-1, best[..., None], again[..., None])
        self.open = self.open & (best != other) & self._left.any(-1)
