"""Reader of nano: every question about a photo answered in parallel from one encoding of the photo.

The photo is encoded once into the key-value cache; the questions are appended in one pass, each a branch that attends
to the photo and to its own tokens. Instances are localized by the detection head as soon as their question is encoded;
values are decoded token by token, the branches of all photos of a batch in parallel, so that the number of steps is
that of the longest answer.

Decoding is constrained, so that every answer can be parsed. An answer is `<none>` or values of its question, followed
by the end token. Every value is one token, so a grammar is the set of tokens that may come next. Where only the end may
follow, the model is not run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from logicls.constraints.checker.decomposition import VERDICT, decompose, locate_query_id
from logicls.models.bundle import Bundle
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.predict.input.loader import LoadedPhoto, Size
from logicls.predict.readers.detections import (
    answer_attribute,
    answer_location,
    detect,
    select_detections,
    suppress_rivals,
)
from logicls.predict.readers.protocol import Detection, Prediction, rejected_photo, unpack_pixels
from logicls.prompts.templates import canonical_question
from logicls.records import Answer, Subquery


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


@dataclass(frozen=True, slots=True)
class QueryOutputs:
    """Outputs of the model for a batch of photos and all questions."""

    feature_map: Float[Tensor, "photos depth rows columns"]
    queries: Float[Tensor, "photos queries width"]
    """Hidden state of each question's last token."""
    decoded: AnswerDecoder
    """Answers of the questions that are answered with tokens."""
    features: Float[Tensor, "photos width"]
    """Feature of each photo, independent of the questions."""
    fine_pixels: Float[Tensor, "photos 3 height across"] | None = None
    """Normalized photos at full resolution; None without a crop encoder."""


@dataclass(frozen=True, slots=True)
class EncodedPhotos:
    """A batch of photos, encoded before any question."""

    feature_map: Float[Tensor, "photos depth rows columns"]
    feature: Float[Tensor, "photos width"]
    cache: Cache
    """Key-value cache of the decoder, to which tokens are appended."""
    fine_pixels: Float[Tensor, "photos 3 height across"] | None = None
    """Normalized photos at full resolution; None without a crop encoder."""


@dataclass(frozen=True, slots=True)
class TokenizedQueries:
    """Tokens of all questions in sequence, the same for every photo."""

    tokens: Int[Tensor, "1 tokens"]
    branches: Int[Tensor, "1 tokens"]
    """Number of the question that each token belongs to, from 1."""
    last_positions: Int[Tensor, " questions"]
    """Position of each question's last token, after which its answer begins."""


class NanoReader:
    """Answers the questions of a spec with nano. Implements `Reader`."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.model, self.processor = bundle.nano_model, bundle.nano_processor
        self.codec = NanoAnswerCodec(self.processor)
        self.queries = decompose(bundle.question_spec)

    @property
    def input_size(self) -> Size | None:
        """(height, width) to which photos may be letterboxed beforehand."""
        return self.processor.image_processor.shape

    @torch.inference_mode()
    def predict_raw(self, photos: Sequence[LoadedPhoto]) -> list[Prediction]:
        """Read photos in one batch; see `Reader.predict_raw`."""
        encoded = self.encode_photos(unpack_pixels(photos))
        return self.to_predictions(self.answer_queries(encoded), [photo.size for photo in photos])

    def encode_photos(self, photos: Sequence[np.ndarray]) -> EncodedPhotos:
        """Encode photos, uint8 RGB [height width 3] of any sizes."""
        try:
            pixels = self.processor.image_processor(list(photos))["pixel_values"]
        except ValueError as error:
            raise rejected_photo(error) from error
        photo_ids = torch.full((len(pixels), self.processor.image_tokens), self.codec.image)
        text_tokens = self.tokenized_queries.tokens.shape[1] + self.grammar.max_values + 1
        cache = PreallocatedCache(self.model.config.decoder_layers, photo_ids.shape[1] + text_tokens)
        no_logits = torch.zeros(0, dtype=torch.long)
        branches = torch.zeros_like(photo_ids[:1])
        out = self.model(photo_ids, pixels, branch_ids=branches, past_key_values=cache, logits_to_keep=no_logits)
        return EncodedPhotos(out.feature_map, out.feature, cache, out.fine_pixels)

    def answer_queries(self, encoded: EncodedPhotos) -> QueryOutputs:
        """Append the questions to the photos, and whatever else the cache holds, and decode the token answers."""
        questions = self.tokenized_queries
        ids = questions.tokens.expand(len(encoded.feature_map), -1)
        photo_branch = torch.zeros(1, encoded.cache.get_seq_length(), dtype=torch.long)
        branches = torch.cat([photo_branch, questions.branches], 1)
        out = self.model(
            ids,
            branch_ids=branches,
            past_key_values=encoded.cache,
            positions_to_keep=questions.last_positions,
            logits_to_keep=torch.tensor(self.token_queries, dtype=torch.long),
        )
        decoded = self._decode(out.logits, branches, encoded.cache)
        return QueryOutputs(encoded.feature_map, out.hidden, decoded, encoded.feature, encoded.fine_pixels)

    def to_predictions(self, outputs: QueryOutputs, sizes: Sequence[tuple[int, int]]) -> list[Prediction]:
        """Convert outputs to predictions. `sizes`: (width, height) of the photos in pixels."""
        detections = self.detect(outputs, sizes)
        answers = self._detection_answers(outputs, detections, sizes)
        return [self._to_prediction(outputs, photo, answers, found) for photo, found in enumerate(detections)]

    def detect(self, outputs: QueryOutputs, sizes: Sequence[tuple[int, int]]) -> list[list[list[Detection]]]:
        """Detect the candidates of each photo and each question for locations, by descending probability."""
        queries = outputs.queries[:, self.location_queries]
        found = detect(self.model.detection_head, self.codec, outputs.feature_map, queries, sizes)
        return [self._suppress_rivals(photo) for photo in found] if self.exclusive else found

    def _suppress_rivals(self, detections: Sequence[Sequence[Detection]]) -> list[list[Detection]]:
        """Let components that exclude one another suppress each other's detections on one photo."""
        components = [self.queries[number].component for number in self.location_queries]
        found = suppress_rivals(dict(zip(components, detections, strict=True)), self.exclusive)
        return [found[component] for component in components]

    def _decode(
        self, logits: Float[Tensor, "photos questions vocab"], branches: Int[Tensor, "1 seen"], cache: Cache
    ) -> AnswerDecoder:
        """Decode greedily from the logits of the first token on; photos with complete answers leave the batch."""
        decoder, rows = AnswerDecoder(self.grammar, len(logits)), torch.arange(len(logits))
        numbers = torch.tensor(self.token_queries)[None] + 1
        while True:
            decoder.step(logits, rows)
            active = decoder.is_open[rows].any(1).nonzero()[:, 0]
            if not len(active):
                return decoder
            if len(active) < len(rows):
                rows = rows[active]
                cache.batch_select_indices(active)
            branches = torch.cat([branches, numbers], 1)
            logits = self.model(decoder.tokens[rows, :, -1], branch_ids=branches, past_key_values=cache).logits

    @cached_property
    def location_queries(self) -> list[int]:
        """Numbers of the questions for locations."""
        return [number for number, query in enumerate(self.queries) if query.kind == "locate"]

    @cached_property
    def exclusive(self) -> frozenset[frozenset[str]]:
        """Pairs of components that are never at the same place."""
        return frozenset(frozenset(pair) for pair in self.model.config.exclusive_components)

    @cached_property
    def detected_ids(self) -> frozenset[str]:
        """Ids of the questions that the detection head answers: for locations, and for attributes of instances."""
        locations = {self.queries[number].id for number in self.location_queries}
        return frozenset(locations | {query.id for query in self.queries if locate_query_id(query.id) in locations})

    @cached_property
    def token_queries(self) -> list[int]:
        """Numbers of the questions that are answered with tokens."""
        return [number for number, query in enumerate(self.queries) if query.id not in self.detected_ids]

    @cached_property
    def values_by_token(self) -> dict[str, dict[int, str]]:
        """Values of each question by their tokens."""
        return {
            query.id: dict(zip(self.codec.allowed_tokens(query), query.options, strict=True))
            for query in self.queries
            if query.options
        }

    @cached_property
    def violation_tokens(self) -> list[int]:
        """Tokens of the spec's violations."""
        return [self.codec.value_token(name) for name in self.bundle.question_spec.violations]

    @cached_property
    def tokenized_queries(self) -> TokenizedQueries:
        """Tokens of all questions, in their canonical phrasing."""
        prompts = [
            self.codec.encode_prompt(canonical_question(query, self.bundle.question_spec)) for query in self.queries
        ]
        tokens = [token for prompt in prompts for token in prompt]
        branches = [number for number, prompt in enumerate(prompts, 1) for _ in prompt]
        last = torch.tensor([len(prompt) for prompt in prompts]).cumsum(0) - 1
        return TokenizedQueries(torch.tensor([tokens]), torch.tensor([branches]), last)

    @cached_property
    def grammar(self) -> TokenGrammar:
        """Grammar of the questions that are answered with tokens."""
        queries = [self.queries[number] for number in self.token_queries]
        values = torch.zeros(len(queries), self.model.config.vocab_size, dtype=torch.bool)
        for row, query in enumerate(queries):
            values[row, self.codec.allowed_tokens(query)] = True
        is_unique = torch.tensor([query.kind == "verdict" for query in queries], dtype=torch.bool)
        return TokenGrammar(values, is_unique, self.bundle.max_boxes, self.codec.none, self.codec.end)

    def _detection_answers(
        self,
        outputs: QueryOutputs,
        detections: Sequence[Sequence[Sequence[Detection]]],
        sizes: Sequence[tuple[int, int]],
    ) -> dict[str, list[Answer]]:
        """Answer, for each photo, the questions that the detection head answers."""
        by_query = {
            self.queries[number].id: [photo[k] for photo in detections]
            for k, number in enumerate(self.location_queries)
        }  # fmt: skip
        answers: dict[str, list[Answer]] = {}
        for number, query in enumerate(self.queries):
            if query.kind == "locate":
                pairs = zip(by_query[query.id], sizes, strict=True)
                answers[query.id] = [answer_location(query, found, size) for found, size in pairs]
            elif query.id in self.detected_ids:
                pairs = zip(by_query[locate_query_id(query.id)], sizes, strict=True)
                instances = [select_detections(found, size) for found, size in pairs]
                queries = outputs.queries[:, number]
                answers[query.id] = answer_attribute(
                    self.model, self.codec, query, instances, outputs.feature_map, queries, outputs.fine_pixels
                )
        return answers

    def _to_prediction(
        self,
        outputs: QueryOutputs,
        photo: int,
        detection_answers: Mapping[str, Sequence[Answer]],
        detections: Sequence[Sequence[Detection]],
    ) -> Prediction:
        """Collect the answers for photo number `photo`."""
        answers, tokens, probabilities = [], outputs.decoded.tokens, outputs.decoded.probabilities
        for number, query in enumerate(self.queries):
            if query.id in detection_answers:
                answers.append(detection_answers[query.id][photo])
            else:
                row = self.token_queries.index(number)
                answers.append(
                    self._token_answer(query, tokens[photo, row].tolist(), probabilities[photo, row].tolist())
                )
        # The verdict is the last question.
        violations = outputs.decoded.max_probability[photo, -1, self.violation_tokens].tolist()
        stated = next(answer for answer in answers if answer.query == VERDICT)
        rest = tuple(answer for answer in answers if answer.query != VERDICT)
        pairs = zip(self.location_queries, detections, strict=True)
        by_query = tuple((self.queries[number].id, tuple(found)) for number, found in pairs)
        return Prediction(
            rest,
            stated,
            tuple(zip(self.bundle.question_spec.violations, violations, strict=True)),
            outputs.features[photo].float().numpy(),
            by_query,
        )

    def _token_answer(self, query: Subquery, tokens: list[int], probabilities: list[float]) -> Answer:
        """Convert decoded tokens to an answer."""
        names = self.values_by_token[query.id]
        pairs = [(names[token], p) for token, p in zip(tokens, probabilities, strict=True) if token in names]
        values, value_probabilities = zip(*pairs, strict=True) if pairs else ((), ())
        return Answer(
            query.id,
            tuple(values),
            confidence=min(float(np.prod(probabilities)), 1.0),
            probabilities=tuple(value_probabilities),
        )
