"""One pass: every question of a photo answered side by side from one reading of the photo.

The photo is read once into the key-value cache; the questions are read after it in one go, each a branch that sees the
photo and its own words. What is asked for with "where" is pointed out on the map of the photo as soon as the question
is read; values are said word by word, all branches of all photos of a batch taking a step together, so that the number
of steps is that of the longest answer. Only words that make sense where they stand are said
(`logicls.predict.readers.constrained_decoding`): an answer that cannot be read cannot occur.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import Cache

from logicls.constraints.checker.decomposition import VERDICT, decompose, locate_query_id
from logicls.models.bundle import Bundle
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.predict.readers.constrained_decoding import TokenGrammar, PreallocatedCache, AnswerDecoder
from logicls.predict.readers.detections import Detection, answer_location, detect, answer_attribute, select_detections
from logicls.prompts.templates import canonical_question
from logicls.records import Answer, Subquery


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model read on one photo."""

    answers: tuple[Answer, ...]
    """Of every subquery but the verdict."""
    stated: Answer
    """The verdict that the model states, asked alone."""
    violation_probabilities: tuple[tuple[str, float], ...]
    """Probability that the model gives to each violation when asked for its verdict."""
    feature: np.ndarray | None = field(default=None, compare=False, repr=False)
    """Mean of what the model saw at each of the photo's tokens, float32 [width]: alike for photos that look alike."""
    detections: tuple[tuple[str, tuple[Detection, ...]], ...] = field(default=(), compare=False, repr=False)
    """Of each question where things are every place that may hold one, the surest first; empty where none were told."""


@dataclass(frozen=True, slots=True)
class QueryOutputs:
    """A batch of photos, read with all questions."""

    feature_map: Float[Tensor, "photos depth rows columns"]
    queries: Float[Tensor, "photos queries width"]
    """Each question, having seen the photo."""
    decoded: AnswerDecoder
    """Of the questions that are answered in words."""
    features: Float[Tensor, "photos width"]
    """Of the photos, whatever was asked."""
    fine_pixels: Float[Tensor, "photos 3 height across"] | None = None
    """In all their pixels, where things are looked at closely."""


@dataclass(frozen=True, slots=True)
class EncodedPhotos:
    """A batch of photos, read before any question."""

    feature_map: Float[Tensor, "photos depth rows columns"]
    feature: Float[Tensor, "photos width"]
    cache: Cache
    """Of the decoder; what is read next is added to it."""
    fine_pixels: Float[Tensor, "photos 3 height across"] | None = None
    """In all their pixels, where things are looked at closely."""


@dataclass(frozen=True, slots=True)
class TokenizedQueries:
    """All questions one after the other, ready to be asked of any photo."""

    tokens: Int[Tensor, "1 words"]
    branches: Int[Tensor, "1 words"]
    """Number of the question that each word belongs to, from 1."""
    last_positions: Int[Tensor, " questions"]
    """Place of the word after which the answer begins."""


class NanoReader:
    """Answers the questions of a bundle's spec."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.codec = NanoAnswerCodec(bundle.processor)
        self.queries = decompose(bundle.spec)

    @torch.inference_mode()
    def predict_pixels(self, photos: Sequence[np.ndarray]) -> list[Prediction]:
        """Read photos, uint8 RGB [height width 3] of any sizes, in one batch."""
        return self.predict_letterboxed(photos, [(photo.shape[1], photo.shape[0]) for photo in photos])

    @torch.inference_mode()
    def predict_letterboxed(self, photos: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]]) -> list[Prediction]:
        """The same for photos that were of those (width, height) before they were brought to the input's size."""
        return self.to_predictions(self.answer_queries(self.encode_photos(photos)), sizes)

    def encode_photos(self, photos: Sequence[np.ndarray]) -> EncodedPhotos:
        """Read photos of any sizes, and nothing but the photos."""
        pixels = self.bundle.processor.image_processor(list(photos))["pixel_values"]
        photo = torch.full((len(pixels), self.bundle.processor.image_tokens), self.codec.image)
        words = self.tokenized_queries.tokens.shape[1] + self.grammar.max_values + 1
        cache = PreallocatedCache(self.bundle.model.config.decoder_layers, photo.shape[1] + words)
        nothing = torch.zeros(0, dtype=torch.long)
        branches = torch.zeros_like(photo[:1])
        seen = self.bundle.model(photo, pixels, branch_ids=branches, past_key_values=cache, logits_to_keep=nothing)
        return EncodedPhotos(seen.feature_map, seen.feature, cache, seen.fine_pixels)

    def answer_queries(self, seen: EncodedPhotos) -> QueryOutputs:
        """Read the questions after the photos, and whatever else the cache holds of them; say what is to be said."""
        asked = self.tokenized_queries
        ids = asked.tokens.expand(len(seen.feature_map), -1)
        branches = torch.cat([torch.zeros(1, seen.cache.get_seq_length(), dtype=torch.long), asked.branches], 1)
        spoken = torch.tensor(self.token_queries, dtype=torch.long)
        read = self.bundle.model(
            ids,
            branch_ids=branches,
            past_key_values=seen.cache,
            positions_to_keep=asked.last_positions,
            logits_to_keep=spoken,
        )
        said = self._say(read.logits, branches, seen.cache)
        return QueryOutputs(seen.feature_map, read.hidden, said, seen.feature, seen.fine_pixels)

    def to_predictions(self, read: QueryOutputs, sizes: Sequence[tuple[int, int]]) -> list[Prediction]:
        """What was read, as answers. `sizes`: (width, height) of the photos in pixels."""
        lights = self.detect(read, sizes)
        pointed = self._points(read, lights, sizes)
        return [self._gather(read, n, pointed, some) for n, some in enumerate(lights)]

    def detect(self, read: QueryOutputs, sizes: Sequence[tuple[int, int]]) -> list[list[list[Detection]]]:
        """What was pointed out on each photo for each question where things are, the surest first."""
        return detect(self.bundle.model, self.codec, read.feature_map, read.queries[:, self.location_queries], sizes)

    def _say(
        self, logits: Float[Tensor, "photos spoken vocab"], branches: Int[Tensor, "1 seen"], cache: Cache
    ) -> AnswerDecoder:
        """Greedy decoding from the logits of the first word on; photos of which all is said leave the batch."""
        said, rows = AnswerDecoder(self.grammar, len(logits)), torch.arange(len(logits))
        numbers = torch.tensor(self.token_queries)[None] + 1
        while True:
            said.step(logits, rows)
            going = said.is_open[rows].any(1).nonzero()[:, 0]
            if not len(going):
                return said
            if len(going) < len(rows):
                rows = rows[going]
                cache.batch_select_indices(going)
            branches = torch.cat([branches, numbers], 1)
            logits = self.bundle.model(said.tokens[rows, :, -1], branch_ids=branches, past_key_values=cache).logits

    @cached_property
    def location_queries(self) -> list[int]:
        """Numbers of the questions where things are."""
        return [number for number, query in enumerate(self.queries) if query.kind == "locate"]

    @cached_property
    def detected_ids(self) -> frozenset[str]:
        """Questions that are answered by pointing: where things are, and what those things are like."""
        places = {self.queries[number].id for number in self.location_queries}
        return frozenset(places | {query.id for query in self.queries if locate_query_id(query.id) in places})

    @cached_property
    def token_queries(self) -> list[int]:
        """Numbers of the questions that are answered in words."""
        return [number for number, query in enumerate(self.queries) if query.id not in self.detected_ids]

    @cached_property
    def values_by_token(self) -> dict[str, dict[int, str]]:
        """Of each question its answers by their tokens."""
        return {query.id: {self.codec.value_token(one): one for one in query.options} for query in self.queries}

    @cached_property
    def violation_tokens(self) -> list[int]:
        """Their tokens."""
        return [self.codec.value_token(name) for name in self.bundle.spec.violations]

    @cached_property
    def tokenized_queries(self) -> TokenizedQueries:
        """The questions, as prediction puts them."""
        texts = [self.codec.encode_prompt(canonical_question(query, self.bundle.spec)) for query in self.queries]
        words = [word for text in texts for word in text]
        branches = [number for number, text in enumerate(texts, 1) for _ in text]
        last = torch.tensor([len(text) for text in texts]).cumsum(0) - 1
        return TokenizedQueries(torch.tensor([words]), torch.tensor([branches]), last)

    @cached_property
    def grammar(self) -> TokenGrammar:
        """What may be said to the questions that are answered in words."""
        spoken = [self.queries[number] for number in self.token_queries]
        values = torch.zeros(len(spoken), self.bundle.model.config.vocab_size, dtype=torch.bool)
        for row, query in enumerate(spoken):
            values[row, self.codec.allowed_tokens(query)] = True
        once = torch.tensor([query.kind == "verdict" for query in spoken], dtype=torch.bool)
        return TokenGrammar(values, once, self.bundle.max_boxes, self.codec.none, self.codec.end)

    def _points(
        self, read: QueryOutputs, lights: Sequence[Sequence[Sequence[Detection]]], sizes: Sequence[tuple[int, int]]
    ) -> dict[str, list[Answer]]:
        """The answer for each photo to each question that is answered by pointing."""
        model, out = self.bundle.model, {}
        found = {self.queries[number].id: [one[k] for one in lights] for k, number in enumerate(self.location_queries)}
        for number, query in enumerate(self.queries):
            if query.kind == "locate":
                pairs = zip(found[query.id], sizes, strict=True)
                out[query.id] = [answer_location(query, some, size) for some, size in pairs]
            elif query.id in self.detected_ids:
                pairs = zip(found[locate_query_id(query.id)], sizes, strict=True)
                bearers = [select_detections(some, size) for some, size in pairs]
                out[query.id] = answer_attribute(
                    model, self.codec, query, bearers, read.feature_map, read.queries[:, number], read.fine_pixels
                )
        return out

    def _gather(
        self, read: QueryOutputs, n: int, pointed: Mapping[str, Sequence[Answer]], lights: Sequence[Sequence[Detection]]
    ) -> Prediction:
        """What was said and pointed out on photo `n`, as answers."""
        answers, words, sure = [], read.decoded.tokens, read.decoded.probabilities
        for number, query in enumerate(self.queries):
            if query.id in pointed:
                answers.append(pointed[query.id][n])
            else:
                row = self.token_queries.index(number)
                answers.append(self._worded(query, words[n, row].tolist(), sure[n, row].tolist()))
        names = self.bundle.spec.violations
        each = read.decoded.max_probability[n, -1, self.violation_tokens].tolist()  # the verdict is asked last
        stated = next(answer for answer in answers if answer.query == VERDICT)
        rest = tuple(answer for answer in answers if answer.query != VERDICT)
        places = zip(self.location_queries, lights, strict=True)
        lit = tuple((self.queries[number].id, tuple(some)) for number, some in places)
        return Prediction(rest, stated, tuple(zip(names, each, strict=True)), read.features[n].float().numpy(), lit)

    def _worded(self, query: Subquery, tokens: list[int], sure: list[float]) -> Answer:
        """The answer in words that were said, each with its probability."""
        names = self.values_by_token[query.id]
        said = [(names[token], chance) for token, chance in zip(tokens, sure, strict=True) if token in names]
        values, chances = zip(*said, strict=True) if said else ((), ())
        return Answer(query.id, tuple(values), confidence=min(float(np.prod(sure)), 1.0), probabilities=tuple(chances))
