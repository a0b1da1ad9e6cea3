"""Constrained decoding of nano: the answers of a batch of photos, all questions in parallel.

An answer is `<none>` or values of its question, followed by the end token. Every value is one token, so a grammar is
the set of tokens that may come next. Where only the end may follow, the model is not run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer


class PreallocatedCache(Cache):
    """Key-value cache with memory for a given number of positions, so that it grows without being copied."""

    def __init__(self, layers: int, positions: int) -> None:
        super().__init__(layers=[_PreallocatedLayer(positions) for _ in range(layers)])


class _PreallocatedLayer(DynamicLayer):
    def __init__(self, positions: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._positions = positions
        self._buffer = torch.empty(0)
        """Keys and values, [2 batch heads positions depth]; positions beyond the sequence length are unused."""

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values [batch heads new depth]. Returns all of them; earlier views stay valid."""
        before, new = self.get_seq_length(), key_states.shape[2]
        if not before or before + new > self._buffer.shape[3]:
            self._allocate(key_states, before, before + new)
        self._buffer[0, :, :, before : before + new] = key_states
        self._buffer[1, :, :, before : before + new] = value_states
        return self._set_views(before + new)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows of the batch alone."""
        self._buffer = self._buffer[:, indices]
        self._set_views(self.get_seq_length())

    def _allocate(self, like: Tensor, before: int, needed: int) -> None:
        batch, heads, _, depth = like.shape
        buffer = like.new_empty(2, batch, heads, max(self._positions, needed), depth)
        if before:
            buffer[:, :, :, :before] = self._buffer[:, :, :, :before]
        else:
            self.lazy_initialization(like, like)
        self._buffer = buffer

    def _set_views(self, count: int) -> tuple[Tensor, Tensor]:
        self.keys, self.values = self._buffer[0, :, :, :count], self._buffer[1, :, :, :count]
        return self.keys, self.values


@dataclass(frozen=True, slots=True)
class TokenGrammar:
    """Tokens that the answer to each question may contain."""

    values: Bool[Tensor, "questions vocab"]
    """Mask of the tokens of each question's values."""
    is_unique: Bool[Tensor, " questions"]
    """True for questions whose answer contains no value twice."""
    max_values: int
    """Largest number of values in the answers to other questions."""
    none: int
    """Token of the empty answer."""
    end: int
    """Token that closes an answer."""


class AnswerDecoder:
    """Answers of a batch of photos during greedy decoding. All are complete once none is open."""

    def __init__(self, grammar: TokenGrammar, photos: int) -> None:
        self.grammar = grammar
        self.is_open = torch.ones(photos, len(grammar.values), dtype=torch.bool)
        self.max_probability = torch.zeros(photos, *grammar.values.shape)
        """Highest probability of each token at any position of an answer, [photos questions vocab]."""
        self._available = grammar.values.repeat(photos, 1, 1)
        self._tokens: list[Int[Tensor, "photos questions"]] = []
        self._probabilities: list[Float[Tensor, "photos questions"]] = []

    @property
    def tokens(self) -> Int[Tensor, "photos questions steps"]:
        """Decoded tokens; positions after an answer are filled with the end token."""
        return torch.stack(self._tokens, -1)

    @property
    def probabilities(self) -> Float[Tensor, "photos questions steps"]:
        """Probability of each token among all values and `<none>` (or the end); 1 where there was no choice."""
        return torch.stack(self._probabilities, -1)

    def step(self, logits: Float[Tensor, "active questions vocab"], rows: Int[Tensor, " active"]) -> None:
        """Append the likeliest allowed token to every open answer. `rows`: numbers of the photos of the logits.

        Probabilities are normalized over all values, not only the allowed ones: if the model prefers a value that the
        grammar excludes (a repetition, or one value too many), the confidence of its answer is low.
        """
        grammar, is_first = self.grammar, not self._tokens
        stop = grammar.none if is_first else grammar.end
        candidates, probabilities = grammar.values.clone(), torch.zeros(self.max_probability.shape)
        candidates[:, stop] = True
        probabilities[rows] = logits.float().masked_fill(~candidates, -torch.inf).softmax(-1)
        self.max_probability = torch.maximum(self.max_probability, probabilities * self.is_open[..., None])
        is_full = torch.tensor(len(self._tokens) >= grammar.max_values) & ~grammar.is_unique
        allowed = self._available & ~is_full[:, None]
        allowed[..., stop] = True
        best = probabilities.masked_fill(~allowed, -1.0).argmax(-1)
        self._tokens.append(best.where(self.is_open, grammar.end))
        self._probabilities.append(probabilities.gather(-1, best[..., None])[..., 0].where(self.is_open, 1.0))
        is_repeatable = ~grammar.is_unique.expand_as(best) & (best != stop)
        self._available.scatter_(-1, best[..., None], is_repeatable[..., None])
        self.is_open = self.is_open & (best != stop) & self._available.any(-1)
