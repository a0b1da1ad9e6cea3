"""Many questions about one photo, decoded side by side within their grammars.

Every question takes the likeliest token of those that its grammar allows. Where the grammar leaves no choice the tokens
are put down without asking the model, and read by it together with the next one that it is asked for. Questions that
are answered leave the batch.

Keys and values of what was read, with room for what is read after it.

What nano says: answers in words, side by side, within a grammar made from the questions.

An answer is `<none>` or values of its question, then the end. Every word is one token, so the grammar is a set of
tokens: those that may stand where the next one comes. Where only the end may follow the model is not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from llguidance import LLMatcher, LLTokenizer
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer


class PreallocatedCache(Cache):
    """A cache that grows without being copied each time: for so many positions there is room from the beginning."""

    def __init__(self, layers: int, positions: int) -> None:
        super().__init__(layers=[_PreallocatedLayer(positions) for _ in range(layers)])


class _PreallocatedLayer(DynamicLayer):
    def __init__(self, positions: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._positions = positions
        self._held = torch.empty(0)
        """Keys and values, [2 batch heads positions depth]; behind those that were read there is nothing yet."""

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """All keys and values, with new ones, [batch heads new depth]. Those handed out before stay as they are."""
        before, new = self.get_seq_length(), key_states.shape[2]
        if not before or before + new > self._held.shape[3]:
            self._make_room(key_states, before, before + new)
        self._held[0, :, :, before : before + new] = key_states
        self._held[1, :, :, before : before + new] = value_states
        return self._shown(before + new)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows of the batch alone."""
        self._held = self._held[:, indices]
        self._shown(self.get_seq_length())

    def _make_room(self, like: Tensor, before: int, needed: int) -> None:
        batch, heads, _, depth = like.shape
        held = like.new_empty(2, batch, heads, max(self._positions, needed), depth)
        if before:
            held[:, :, :, :before] = self._held[:, :, :, :before]
        else:
            self.lazy_initialization(like, like)
        self._held = held

    def _shown(self, count: int) -> tuple[Tensor, Tensor]:
        self.keys, self.values = self._held[0, :, :, :count], self._held[1, :, :, :count]
        return self.keys, self.values


@dataclass(frozen=True, slots=True)
class TokenGrammar:
    """What may be said to each question."""

    values: Bool[Tensor, "questions vocab"]
    """Tokens of the values that its answer may hold."""
    is_unique: Bool[Tensor, " questions"]
    """Questions to which no value is said twice."""
    max_values: int
    """Values that the others' answers may hold."""
    none: int
    """Token of the empty answer."""
    end: int
    """Token that closes an answer."""


class AnswerDecoder:
    """The answers of a batch of photos as they grow. All of them are whole once none is open."""

    def __init__(self, grammar: TokenGrammar, photos: int) -> None:
        self.grammar = grammar
        self.is_open = torch.ones(photos, len(grammar.values), dtype=torch.bool)
        self.max_probability = torch.zeros(photos, *grammar.values.shape)
        """Highest probability that each token had at any place of an answer, [photos questions vocab]."""
        self._left = grammar.values.repeat(photos, 1, 1)
        self._said: list[Int[Tensor, "photos questions"]] = []
        self._sure: list[Float[Tensor, "photos questions"]] = []

    @property
    def tokens(self) -> Int[Tensor, "photos questions steps"]:
        """Tokens that were said; after the last one of an answer there is nothing but the end."""
        return torch.stack(self._said, -1)

    @property
    def probabilities(self) -> Float[Tensor, "photos questions steps"]:
        """Probability of each of them among `<none>` or the end and all values; 1 where there was no choice."""
        return torch.stack(self._sure, -1)

    def step(self, logits: Float[Tensor, "going questions vocab"], rows: Int[Tensor, " going"]) -> None:
        """Put down the likeliest word of every open answer. `rows`: which photos the logits are of.

        What a model would say that the grammar forbids, a value twice or one more than there can be, is not said, but
        counts against what is.
        """
        grammar, first = self.grammar, not self._said
        other = grammar.none if first else grammar.end
        meant, chances = grammar.values.clone(), torch.zeros(self.max_probability.shape)
        meant[:, other] = True
        chances[rows] = logits.float().masked_fill(~meant, -torch.inf).softmax(-1)
        self.max_probability = torch.maximum(self.max_probability, chances * self.is_open[..., None])
        full = torch.tensor(len(self._said) >= grammar.max_values) & ~grammar.is_unique
        may = self._left & ~full[:, None]
        may[..., other] = True
        best = chances.masked_fill(~may, -1.0).argmax(-1)
        self._said.append(best.where(self.is_open, grammar.end))
        self._sure.append(chances.gather(-1, best[..., None])[..., 0].where(self.is_open, 1.0))
        again = ~grammar.is_unique.expand_as(best) & (best != other)
        self._left.scatter_(-1, best[..., None], again[..., None])
        self.is_open = self.is_open & (best != other) & self._left.any(-1)


@runtime_checkable
class EncodedPrefix(Protocol):
    """Photos and the text before the questions, as a model has read them (`models.hub.shared_prefix.Prefix`)."""

    feature: Float[Tensor, "photos width"]
    """Alike for photos that look alike."""

    def branch(self, count: int) -> Any:
        """So many texts that go on from here: as many from each photo, those of the first photo first."""
        ...


@dataclass(frozen=True, slots=True)
class DecodedToken:
    """One token of an answer."""

    token: int
    probability: float
    """Probability among the allowed tokens; 1 where there was no choice."""
    first_character_probability: float
    """Of all allowed tokens whose first character, spaces left out, is the same."""


@dataclass(slots=True)
class _GrowingAnswer:
    """One answer as it grows."""

    matcher: Any
    pending: list[int]
    """Tokens that the model has not read yet."""
    decoded: list[DecodedToken] = field(default_factory=list)

    def force(self) -> None:
        """Put down what the grammar leaves no choice about."""
        forced = self.matcher.compute_ff_tokens()
        if forced and self.matcher.consume_tokens(forced):
            self.decoded += [DecodedToken(token, 1.0, 1.0) for token in forced]
            self.pending += forced

    def append(self, said: DecodedToken) -> None:
        """Put down what the model chose, and what follows from it."""
        self.matcher.consume_token(said.token)
        self.decoded.append(said)
        self.pending = [said.token]
        self.force()


class ConstrainedDecoder:
    """Decodes within grammars, for one model and tokenizer."""

    def __init__(self, tokenizer: Any, *, vocabulary: int, end: int) -> None:
        from llguidance.hf import from_tokenizer

        self.vocabulary, self.end = vocabulary, end
        self.tokens: LLTokenizer = from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=end)
        self.first_characters = index_first_characters(tokenizer, vocabulary, end)

    def make_matcher(self, grammar: str) -> LLMatcher:
        """A grammar at its beginning; to be copied for each use. Raises `ValueError` for one that is none."""
        made = LLMatcher(self.tokens, LLMatcher.grammar_from_lark(grammar), log_level=0)
        if made.is_error():
            raise ValueError(made.get_error())
        return made

    def decode(
        self, prefix: EncodedPrefix, prompts: Sequence[Sequence[int]], matchers: Sequence[LLMatcher]
    ) -> list[list[DecodedToken]]:
        """The answer to each prompt; the token that ends it is there where anything else might have followed."""
        texts = [
            _GrowingAnswer(matcher.deep_copy(), list(prompt)) for prompt, matcher in zip(prompts, matchers, strict=True)
        ]
        for text in texts:
            text.force()
        branches, open_ = prefix.branch(len(texts)), list(texts)
        while open_:
            logits = branches.step([text.pending for text in open_])[:, -1]
            chosen = self._chosen(self.constrain(logits, [text.matcher for text in open_]))
            for text, said in zip(open_, chosen, strict=True):
                text.append(said)
            going = [row for row, text in enumerate(open_) if not text.matcher.is_stopped()]
            open_ = [open_[row] for row in going]
            if open_:
                branches.only(going)
        return [text.decoded for text in texts]

    def _chosen(self, chances: Float[Tensor, "rows vocab"]) -> list[DecodedToken]:
        """The likeliest token of each row."""
        chance, best = chances.max(-1)
        first = self.first_characters.to(chances.device)
        alike = (chances * (first[None] == first[best][:, None])).sum(-1)
        return [DecodedToken(*one) for one in zip(best.tolist(), chance.tolist(), alike.tolist(), strict=True)]

    def score_answers(
        self, prefix: EncodedPrefix, prompt: Sequence[int], matcher: LLMatcher, answers: Sequence[Sequence[int]]
    ) -> list[float]:
        """Probability within the grammar that the answer to a prompt begins with each of these.

        The answers are shared out among the photos as texts are.
        """
        longest = max(map(len, answers))
        rows = [[*prompt, *answer] for answer in answers]
        logits = prefix.branch(len(rows)).step(rows, keep=longest + 1)
        return [self._chance(logits[row, -len(answer) - 1 :], matcher.deep_copy(), answer)
                for row, answer in enumerate(answers)]  # fmt: skip

    def _chance(self, logits: Float[Tensor, "places vocab"], matcher: LLMatcher, answer: Sequence[int]) -> float:
        chance = 1.0
        for place, token in enumerate(answer):
            chance *= float(self.constrain(logits[place][None], [matcher])[0, token])
            matcher.consume_token(token)
        return chance

    def constrain(self, logits: Float[Tensor, "rows vocab"], matchers: Sequence[Any]) -> Float[Tensor, "rows vocab"]:
        """Probabilities, shared out among the tokens that each grammar allows."""
        masks = torch.from_numpy(np.stack([self._mask(matcher) for matcher in matchers])).to(logits.device)
        return logits.masked_fill(~masks, -torch.inf).softmax(-1)

    def _mask(self, matcher: Any) -> Bool[np.ndarray, " vocab"]:
        bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")
        return bits[: self.vocabulary].astype(bool)


def index_first_characters(tokenizer: Any, vocabulary: int, end: int) -> Int[Tensor, " vocab"]:
    """For each token the number of the first character of its text, spaces left out; -1 for the end, -2 for none."""
    known = min(len(tokenizer), vocabulary)
    texts = (text.lstrip() for text in tokenizer.batch_decode([[number] for number in range(known)]))
    first = torch.full((vocabulary,), -2)
    first[:known] = torch.tensor([ord(text[0]) if text else -2 for text in texts])
    first[end] = -1
    return first
