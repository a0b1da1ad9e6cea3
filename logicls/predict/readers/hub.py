"""Reader of hub models: a photo is encoded once, and all its questions are answered in parallel as text.

Predictions have the form of nano's (`logicls.predict.readers.nano`), so that all later steps are the same.

Prompts may be retrieval-augmented: a reference photo and notes about the product, within a token budget. They are for a
model that was not fine-tuned, or was fine-tuned with few examples: one that was fine-tuned without this context has
learned to answer without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher
from torch import Tensor

from logicls.constraints.checker.decomposition import VERDICT, decompose
from logicls.data.image_io import read_photo
from logicls.models.bundle import Bundle
from logicls.models.hub.answer_codec import HubAnswerCodec
from logicls.models.hub.chat_template import (
    ChatFormat,
    PhotoPlacement,
    PromptContext,
    make_inputs,
    pad_photo,
    place_photo,
    read_chat_format,
)
from logicls.models.hub.loading import HubProcessor, box_format_for
from logicls.models.hub.shared_prefix import SharedPrefix
from logicls.predict.input.loader import LoadedPhoto, Size
from logicls.predict.plugin_protocols import ProductMatch, Retriever
from logicls.predict.readers.constrained_decoding import ConstrainedDecoder, DecodedToken, EncodedPrefix
from logicls.predict.readers.protocol import Prediction, rejected_photo, unpack_pixels
from logicls.prompts.templates import canonical_question
from logicls.records import Answer, Subquery

MAX_CONTEXT_TOKENS = 1024
"""Largest number of tokens of the context in a prompt."""
RESERVED_TOKENS = 256
"""Tokens of the model's context window that are reserved for a question and its answer."""
NOTES_HEADING = "What is known of this product, and of what can be wrong with it:"
REFERENCE_HEADING = "The first picture shows a good one. "
PHOTO_HEADING = "This is the one to look at:"


@dataclass(frozen=True, slots=True)
class RetrievedContext:
    """Context for the prompt of a photo."""

    notes: tuple[str, ...] = ()
    reference: Path | None = None
    """Photo of a good product."""

    def to_prompt_context(self) -> PromptContext:
        """Convert to text and reference as the prompt contains them."""
        reference = REFERENCE_HEADING if self.reference else ""
        if self.notes:
            lines = [reference + NOTES_HEADING, *(f"- {note}" for note in self.notes), PHOTO_HEADING]
            return PromptContext("\n".join(lines), bool(self.reference))
        return PromptContext(reference + PHOTO_HEADING if self.reference else "", bool(self.reference))

    def shorten(self) -> RetrievedContext:
        """Remove the last note, or without notes the reference photo."""
        return RetrievedContext(self.notes[:-1], self.reference) if self.notes else RetrievedContext()


def retrieve_contexts(retriever: Retriever, photos: Sequence[np.ndarray]) -> list[RetrievedContext]:
    """Retrieve the context of each photo; empty for a photo that does not show the expected product."""
    return [_context_of(match) for match in retriever.match_products(list(photos))]


def _context_of(match: ProductMatch) -> RetrievedContext:
    return RetrievedContext() if match.review_reason else RetrievedContext(match.notes, match.reference)


@dataclass
class RetrievalPrompter:
    """Makes the inputs of a model, with as much context as its window has room for."""

    processor: HubProcessor
    model_name: str
    context_window: int
    """Largest number of tokens that the model accepts."""
    _cache: dict[tuple[RetrievedContext, tuple[int, ...]], tuple[RetrievedContext, ChatFormat]] = field(
        default_factory=dict
    )

    def make_inputs(self, images: Sequence[np.ndarray], context: RetrievedContext) -> dict[str, Tensor]:
        """Process images of one size, each with the context before it."""
        shortened, chat_format = self.fit_context(images[0], context)
        return make_inputs(self.processor, chat_format, images, self._load_reference(shortened))

    def fit_context(self, image: np.ndarray, context: RetrievedContext) -> tuple[RetrievedContext, ChatFormat]:
        """Shorten the context until it fits before such an image. Returns it with its prompt format."""
        key = context, image.shape
        if key not in self._cache:
            self._cache[key] = self._shorten_to_fit(image, context)
        return self._cache[key]

    def _shorten_to_fit(self, image: np.ndarray, context: RetrievedContext) -> tuple[RetrievedContext, ChatFormat]:
        plain = read_chat_format(self.processor, self.model_name)
        plain_length = _count_tokens(make_inputs(self.processor, plain, [image]))
        while context != RetrievedContext():
            chat_format = read_chat_format(self.processor, self.model_name, context.to_prompt_context())
            length = _count_tokens(make_inputs(self.processor, chat_format, [image], self._load_reference(context)))
            if length - plain_length <= MAX_CONTEXT_TOKENS and length + RESERVED_TOKENS <= self.context_window:
                return context, chat_format
            context = context.shorten()
        return context, plain

    def _load_reference(self, context: RetrievedContext) -> np.ndarray | None:
        if context.reference is None:
            return None
        photo = read_photo(context.reference)
        return pad_photo(photo, place_photo((photo.shape[1], photo.shape[0]), self.processor))


def _count_tokens(inputs: dict[str, Tensor]) -> int:
    return int(inputs["input_ids"].shape[1])


MAX_ROWS = 64
"""Questions that are answered at once, over as many photos: each row holds a photo's key-value cache in memory."""


@dataclass(frozen=True, slots=True)
class _CompiledQuery:
    """A question with its tokens and its grammar, the same for every photo."""

    query: Subquery
    prompt: tuple[int, ...]
    matcher: LLMatcher


class HubReader:
    """Answers the questions of a spec with a hub model. Implements `Reader`."""

    def __init__(self, bundle: Bundle, retriever: Retriever | None = None) -> None:
        """Compile prompts and grammars. A `retriever` adds context about each photo's product to its prompt."""
        if bundle.hub is None:
            raise TypeError("the bundle holds no hub model")
        self.bundle, self.model, self.processor = bundle, bundle.hub_model, bundle.hub_processor
        self.codec = HubAnswerCodec(
            box_format_for(bundle.hub.boxes, self.processor),
            read_chat_format(self.processor, bundle.hub.base),
            self.processor.tokenizer,
        )
        config: Any = self.model.config
        text = config.get_text_config(decoder=True)
        end = self.codec.chat_format.end_token
        self.decoder = ConstrainedDecoder(self.processor.tokenizer, vocabulary=text.vocab_size, end=end)
        self._prompter = RetrievalPrompter(self.processor, bundle.hub.base, text.max_position_embeddings)
        self._retriever = retriever

    @property
    def input_size(self) -> Size | None:
        """None: the processor resizes photos itself."""
        return None

    @torch.inference_mode()
    def predict_raw(self, photos: Sequence[LoadedPhoto]) -> list[Prediction]:
        """Read photos; consecutive ones of one size in one batch. See `Reader.predict_raw`."""
        arrays = unpack_pixels(photos)
        batch = max(MAX_ROWS // len(self.compiled_queries), 1)
        contexts = retrieve_contexts(self._retriever, arrays) if self._retriever else [RetrievedContext()] * len(arrays)
        pairs = zip(arrays, contexts, strict=True)
        predictions: list[Prediction] = []
        for (_, context), group in groupby(pairs, key=lambda pair: (pair[0].shape, pair[1])):
            alike = [photo for photo, _ in group]
            for k in range(0, len(alike), batch):
                predictions += self._predict_batch(alike[k : k + batch], context)
        return predictions

    @cached_property
    def compiled_queries(self) -> tuple[_CompiledQuery, ...]:
        """All questions. Their grammars allow one box or value more than the training data: an answer without end."""
        spec, codec, max_items = self.bundle.question_spec, self.codec, self.bundle.max_boxes + 1
        return tuple(
            _CompiledQuery(
                query,
                tuple(codec.tokenize(codec.chat_format.format_question(canonical_question(query, spec)))),
                self.decoder.make_matcher(codec.make_grammar(query, max_items)),
            )
            for query in decompose(spec)
        )

    def encode_photos(
        self, photos: Sequence[np.ndarray], context: RetrievedContext = RetrievedContext()
    ) -> tuple[EncodedPrefix, PhotoPlacement]:  # fmt: skip
        """Encode photos of one size with the same context, up to their questions. Raises `PhotoError`."""
        placement = place_photo((photos[0].shape[1], photos[0].shape[0]), self.processor)
        images = [pad_photo(photo, placement) for photo in photos]
        try:
            inputs = self._prompter.make_inputs(images, context)
        except (ValueError, ArithmeticError) as error:
            raise rejected_photo(error) from error
        return SharedPrefix(self.model, inputs), placement

    def answer_queries(self, prefix: EncodedPrefix) -> list[list[list[DecodedToken]]]:
        """Decode the answer to each question about each photo."""
        queries = self.compiled_queries * len(prefix.feature)
        decoded = self.decoder.decode(prefix, [one.prompt for one in queries], [one.matcher for one in queries])
        per_photo = len(self.compiled_queries)
        return [decoded[k : k + per_photo] for k in range(0, len(decoded), per_photo)]

    def _predict_batch(self, photos: Sequence[np.ndarray], context: RetrievedContext) -> list[Prediction]:
        prefix, placement = self.encode_photos(photos, context)
        decoded = self.answer_queries(prefix)
        verdict = next(k for k, one in enumerate(self.compiled_queries) if one.query.id == VERDICT)
        verdicts = [answers[verdict] for answers in decoded]
        violations = self._violation_probabilities(prefix, self.compiled_queries[verdict], verdicts)
        rows = zip(decoded, violations, prefix.feature.numpy(), strict=True)
        return [self._to_prediction(*row, placement) for row in rows]

    def _to_prediction(
        self,
        decoded: Sequence[Sequence[DecodedToken]],
        violations: tuple[tuple[str, float], ...],
        feature: np.ndarray,
        placement: PhotoPlacement,
    ) -> Prediction:
        answers = {
            one.query.id: self._to_answer(one.query, tokens, placement)
            for one, tokens in zip(self.compiled_queries, decoded, strict=True)
        }
        stated = answers.pop(VERDICT)
        return Prediction(tuple(answers.values()), stated, violations, feature)

    def _to_answer(self, query: Subquery, tokens: Sequence[DecodedToken], placement: PhotoPlacement) -> Answer:
        parsed = self.codec.decode(self._text(tokens), placement.canvas_size)
        if parsed is None:  # possible only if the tokenizer does not decode what it encoded
            return Answer(query.id, readable=False, confidence=0.0)
        most = self.bundle.max_boxes
        count = max(len(parsed.boxes), len(parsed.values))
        is_too_long = query.kind != "verdict" and count > most
        values = parsed.values[:most] if is_too_long else parsed.values
        answer = placement.answer_to_photo(replace(parsed, boxes=parsed.boxes[:most], values=values))
        return replace(
            answer,
            confidence=self._confidence(query, tokens),
            readable=not is_too_long,
            probabilities=self._item_probabilities(query, tokens, count),
        )

    def _confidence(self, query: Subquery, tokens: Sequence[DecodedToken]) -> float:
        """Compute the probability of the answer; for boxes only of their number, not of their coordinates."""
        if query.kind != "locate":
            return float(np.prod([one.probability for one in tokens])) if tokens else 0.0
        return min(float(np.prod(self._count_probabilities(query, tokens))), 1.0)

    def _item_probabilities(self, query: Subquery, tokens: Sequence[DecodedToken], count: int) -> tuple[float, ...]:
        """Compute the probability of each value; or of each box given those before it, and of one more."""
        if query.kind != "locate":
            return tuple(self._value_probabilities(query, tokens)[:count])
        probabilities = self._count_probabilities(query, tokens)
        boxes, stop = probabilities[:count], probabilities[count:]
        return (*boxes, 1.0 - stop[0] if stop else 0.0)

    def _count_probabilities(self, query: Subquery, tokens: Sequence[DecodedToken]) -> list[float]:
        """Compute, for each number of boxes from 0, the probability to continue, and for the last one to stop.

        The first character after complete boxes decides it.
        """
        probabilities: list[float] = []
        for k, one in enumerate(tokens):
            value = self._value_text(query, tokens[:k])
            boxes = self.codec.box_format.text_to_boxes(value, (1000, 1000)) if value else ()
            if boxes is not None:
                probabilities += [1.0] * (len(boxes) + 1 - len(probabilities))
                so_far = probabilities[len(boxes)] * one.first_character_probability
                probabilities[len(boxes)] = min(so_far, 1.0)
        return probabilities

    def _violation_probabilities(
        self, prefix: EncodedPrefix, verdict: _CompiledQuery, decoded: Sequence[Sequence[DecodedToken]]
    ) -> list[tuple[tuple[str, float], ...]]:
        """Compute each violation's probability to be named first, or at its place in the answer if that is higher."""
        names = verdict.query.options
        answers = [self.codec.tokenize(self.codec.answer_prefix(verdict.query) + name) for name in names] * len(decoded)
        first = iter(self.decoder.score_answers(prefix, verdict.prompt, verdict.matcher, answers))
        named = [self._named_probabilities(verdict.query, tokens) for tokens in decoded]
        return [tuple((name, max(next(first), each.get(name, 0.0))) for name in names) for each in named]

    def _named_probabilities(self, query: Subquery, tokens: Sequence[DecodedToken]) -> dict[str, float]:
        """Map each violation in the answer to the probability of its tokens given those before it."""
        names = self._value_text(query, tokens).split(", ")
        return dict(zip(names, self._value_probabilities(query, tokens), strict=False))

    def _value_probabilities(self, query: Subquery, tokens: Sequence[DecodedToken]) -> list[float]:
        """Compute the probability of each value's tokens given those before it, in the order of the answer."""
        probabilities: list[float] = []
        for k, one in enumerate(tokens):
            position = self._value_text(query, tokens[: k + 1]).count(",")
            probabilities += [1.0] * (position + 1 - len(probabilities))
            probabilities[position] *= one.probability
        return probabilities

    def _value_text(self, query: Subquery, tokens: Sequence[DecodedToken]) -> str:
        """Return the text of an incomplete answer without the prefix of all answers to the question."""
        return self._text(tokens).strip().removeprefix(self.codec.answer_prefix(query).strip()).strip()

    def _text(self, tokens: Sequence[DecodedToken]) -> str:
        end = self.codec.chat_format.end_token
        return self.codec.detokenize([one.token for one in tokens if one.token != end])
