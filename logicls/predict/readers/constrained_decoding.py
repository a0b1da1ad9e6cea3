"""Constrained decoding of hub models: all questions about a photo in parallel, each within its grammar.

Every answer takes the likeliest token that its grammar allows. Where the grammar leaves no choice, tokens are appended
without running the model, which reads them together with the next token that it has to choose. Complete answers leave
the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from llguidance import LLMatcher, LLTokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerBase


@runtime_checkable
class DecodingBranches(Protocol):
    """Continuations of an encoded prefix (`logicls.models.hub.shared_prefix.PrefixBranches`)."""

    def step(self, chunks: Sequence[Sequence[int]], keep: int = 1) -> Float[Tensor, "rows keep vocab"]:
        """Append a chunk of tokens to each row. Returns logits after the last `keep` tokens of each."""
        ...

    def keep_rows(self, rows: Sequence[int]) -> None:
        """Keep these rows alone."""
        ...


@runtime_checkable
class EncodedPrefix(Protocol):
    """Photos and the text before their questions, encoded (`logicls.models.hub.shared_prefix.SharedPrefix`)."""

    feature: Float[Tensor, "photos width"]
    """Feature of each photo: similar for similar photos."""

    def branch(self, count: int) -> DecodingBranches:
        """Start `count` continuations: the same number from each photo, those of the first photo first."""
        ...


@dataclass(frozen=True, slots=True)
class DecodedToken:
    """One token of an answer."""

    token: int
    probability: float
    """Probability among the allowed tokens; 1 where there was no choice."""
    first_character_probability: float
    """Total probability of the allowed tokens with the same first character after spaces."""


@dataclass(slots=True)
class _GrowingAnswer:
    """An answer during decoding."""

    matcher: LLMatcher
    pending: list[int]
    """Tokens that the model has not read yet."""
    decoded: list[DecodedToken] = field(default_factory=list)

    def append_forced(self) -> None:
        """Append the tokens about which the grammar leaves no choice."""
        forced = self.matcher.compute_ff_tokens()
        if forced and self.matcher.consume_tokens(forced):
            self.decoded += [DecodedToken(token, 1.0, 1.0) for token in forced]
            self.pending += forced

    def append(self, token: DecodedToken) -> None:
        """Append a token that the model chose, and those that it entails."""
        self.matcher.consume_token(token.token)
        self.decoded.append(token)
        self.pending = [token.token]
        self.append_forced()


class ConstrainedDecoder:
    """Decodes within grammars, for one model and tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, vocabulary: int, end: int) -> None:
        """Set up the grammar engine. `vocabulary`: number of logits; `end`: token that ends an answer."""
        from llguidance.hf import from_tokenizer

        self.vocabulary, self.end = vocabulary, end
        self.tokens: LLTokenizer = from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=end)  # type: ignore[arg-type]
        self.first_characters = index_first_characters(tokenizer, vocabulary, end)

    def make_matcher(self, grammar: str) -> LLMatcher:
        """Compile a grammar into a matcher, which is copied for each use. Raises `ValueError` for an invalid one."""
        matcher = LLMatcher(self.tokens, LLMatcher.grammar_from_lark(grammar), log_level=0)
        if matcher.is_error():
            raise ValueError(matcher.get_error())
        return matcher

    def decode(
        self, prefix: EncodedPrefix, prompts: Sequence[Sequence[int]], matchers: Sequence[LLMatcher]
    ) -> list[list[DecodedToken]]:
        """Decode the answer to each prompt. The end token is included where another token could have followed."""
        answers = [
            _GrowingAnswer(matcher.deep_copy(), list(prompt))
            for prompt, matcher in zip(prompts, matchers, strict=True)
        ]  # fmt: skip
        for answer in answers:
            answer.append_forced()
        branches, active = prefix.branch(len(answers)), list(answers)
        while active:
            logits = branches.step([answer.pending for answer in active])[:, -1]
            chosen = self._choose(self.constrain(logits, [answer.matcher for answer in active]))
            for answer, token in zip(active, chosen, strict=True):
                answer.append(token)
            rows = [row for row, answer in enumerate(active) if not answer.matcher.is_stopped()]
            active = [active[row] for row in rows]
            if active:
                branches.keep_rows(rows)
        return [answer.decoded for answer in answers]

    def _choose(self, probabilities: Float[Tensor, "rows vocab"]) -> list[DecodedToken]:
        """Choose the likeliest token of each row."""
        highest, best = probabilities.max(-1)
        first = self.first_characters.to(probabilities.device)
        same_first = (probabilities * (first[None] == first[best][:, None])).sum(-1)
        rows = zip(best.tolist(), highest.tolist(), same_first.tolist(), strict=True)
        return [DecodedToken(*row) for row in rows]

    def score_answers(
        self, prefix: EncodedPrefix, prompt: Sequence[int], matcher: LLMatcher, answers: Sequence[Sequence[int]]
    ) -> list[float]:
        """Compute the probability within the grammar that the answer to a prompt begins with each of these texts.

        The texts are divided among the photos of the prefix: the same number for each, those of the first one first.
        """
        longest = max(map(len, answers))
        rows = [[*prompt, *answer] for answer in answers]
        logits = prefix.branch(len(rows)).step(rows, keep=longest + 1)
        return [self._score(logits[row, -len(answer) - 1 :], matcher.deep_copy(), answer)
                for row, answer in enumerate(answers)]  # fmt: skip

    def _score(self, logits: Float[Tensor, "positions vocab"], matcher: LLMatcher, answer: Sequence[int]) -> float:
        probability = 1.0
        for position, token in enumerate(answer):
            probability *= float(self.constrain(logits[position][None], [matcher])[0, token])
            matcher.consume_token(token)
        return probability

    def constrain(
        self, logits: Float[Tensor, "rows vocab"], matchers: Sequence[LLMatcher]
    ) -> Float[Tensor, "rows vocab"]:
        """Compute probabilities over the tokens that each grammar allows."""
        masks = torch.from_numpy(np.stack([self._mask(matcher) for matcher in matchers])).to(logits.device)
        return logits.masked_fill(~masks, -torch.inf).softmax(-1)

    def _mask(self, matcher: LLMatcher) -> Bool[np.ndarray, " vocab"]:
        bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")
        return bits[: self.vocabulary].astype(bool)


def index_first_characters(
    tokenizer: PreTrainedTokenizerBase, vocabulary: int, end: int
) -> Int[Tensor, " vocab"]:  # fmt: skip
    """Return the code point of each token's first character after spaces; -1 for the end token, -2 for empty ones."""
    count = min(len(tokenizer), vocabulary)
    texts = (text.lstrip() for text in tokenizer.batch_decode([[number] for number in range(count)]))
    first = torch.full((vocabulary,), -2)
    first[:count] = torch.tensor([ord(text[0]) if text else -2 for text in texts])
    first[end] = -1
    return first
