"""One pass for hub models: a photo is read once, all its questions are answered side by side as text.

What comes out is what nano's pass gives (`logicls.predict.readers.nano`), so that everything after it is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

import numpy as np
import torch
from llguidance import LLMatcher

from logicls.constraints.checker.decomposition import VERDICT, decompose
from logicls.models.bundle import Bundle
from logicls.models.hub.answer_codec import HubAnswerCodec
from logicls.models.hub.chat_template import PhotoPlacement, pad_photo, place_photo, read_chat_format
from logicls.models.hub.loading import box_format_for
from logicls.models.hub.shared_prefix import SharedPrefix
from logicls.predict.plugin_protocols import Retriever
from logicls.predict.readers.constrained_decoding import DecodedToken, EncodedPrefix, ConstrainedDecoder
from logicls.predict.readers.nano import Prediction
from logicls.predict.readers.retrieval_prompt import RetrievedContext, RetrievalPrompter, retrieve_contexts
from logicls.prompts.templates import canonical_question
from logicls.records import Answer, Subquery

MAX_ROWS = 64
"""Questions that are answered at once, of as many photos as that makes: each of them holds a photo in memory."""


@dataclass(frozen=True, slots=True)
class _CompiledQuery:
    """One question, ready to be asked of any photo."""

    query: Subquery
    prompt: tuple[int, ...]
    matcher: LLMatcher


class HubReader:
    """Answers the questions of a bundle's spec."""

    def __init__(self, bundle: Bundle, retriever: Retriever | None = None) -> None:
        """What the `retriever` knows of a photo stands in its prompt."""
        if bundle.hub is None:
            raise TypeError("the bundle holds no hub model")
        self.bundle, processor = bundle, bundle.processor
        self.codec = HubAnswerCodec(
            box_format_for(bundle.hub.boxes, processor),
            read_chat_format(processor, bundle.hub.base),
            processor.tokenizer,
        )
        vocabulary = bundle.model.config.get_text_config(decoder=True).vocab_size
        self.decoder = ConstrainedDecoder(
            processor.tokenizer, vocabulary=vocabulary, end=self.codec.chat_format.end_token
        )
        text = bundle.model.config.get_text_config(decoder=True)
        self._prompter = RetrievalPrompter(processor, bundle.hub.base, text.max_position_embeddings)
        self._retriever = retriever

    @torch.inference_mode()
    def predict_pixels(self, photos: Sequence[np.ndarray]) -> list[Prediction]:
        """Read photos, uint8 RGB [height width 3] of any sizes; those of one size that follow one another at once."""
        at_once = max(MAX_ROWS // len(self.compiled_queries), 1)
        known = retrieve_contexts(self._retriever, photos) if self._retriever else [RetrievedContext()] * len(photos)
        looks: list[Prediction] = []
        for (_, what), pairs in groupby(zip(photos, known, strict=True), key=lambda pair: (pair[0].shape, pair[1])):
            some = [photo for photo, _ in pairs]
            for k in range(0, len(some), at_once):
                looks += self._look(some[k : k + at_once], what)
        return looks

    @cached_property
    def compiled_queries(self) -> tuple[_CompiledQuery, ...]:
        """Every question of the spec; one more box or value than was ever seen shows an answer that would not end."""
        spec, codec, most = self.bundle.spec, self.codec, self.bundle.max_boxes + 1
        return tuple(
            _CompiledQuery(
                query,
                tuple(codec.tokenize(codec.chat_format.format_question(canonical_question(query, spec)))),
                self.decoder.make_matcher(codec.make_grammar(query, most)),
            )
            for query in decompose(spec)
        )

    def encode_photos(
        self, photos: Sequence[np.ndarray], context: RetrievedContext = RetrievedContext()
    ) -> tuple[EncodedPrefix, PhotoPlacement]:  # noqa: B008  frozen
        """Photos of one size, of which the same is known, read by the model up to where their questions begin."""
        shown = place_photo((photos[0].shape[1], photos[0].shape[0]), self.bundle.processor)
        pictures = [pad_photo(photo, shown) for photo in photos]
        return SharedPrefix(self.bundle.model, self._prompter.make_inputs(pictures, context)), shown

    def answer_queries(self, prefix: EncodedPrefix) -> list[list[list[DecodedToken]]]:
        """The answer to each question about each photo."""
        asked = self.compiled_queries * len(prefix.feature)
        said = self.decoder.decode(prefix, [one.prompt for one in asked], [one.matcher for one in asked])
        return [said[k : k + len(self.compiled_queries)] for k in range(0, len(said), len(self.compiled_queries))]

    def _look(self, photos: Sequence[np.ndarray], known: RetrievedContext) -> list[Prediction]:
        prefix, shown = self.encode_photos(photos, known)
        said = self.answer_queries(prefix)
        verdict = next(k for k, asked in enumerate(self.compiled_queries) if asked.query.id == VERDICT)
        chances = self._chances(prefix, self.compiled_queries[verdict], [each[verdict] for each in said])
        features = prefix.feature.numpy()
        return [self._gather(*one, shown) for one in zip(said, chances, features, strict=True)]

    def _gather(
        self,
        said: Sequence[Sequence[DecodedToken]],
        chances: tuple[tuple[str, float], ...],
        feature: np.ndarray,
        shown: PhotoPlacement,
    ) -> Prediction:
        answers = {
            asked.query.id: self._answer(asked.query, tokens, shown)
            for asked, tokens in zip(self.compiled_queries, said, strict=True)
        }
        stated = answers.pop(VERDICT)
        return Prediction(tuple(answers.values()), stated, chances, feature)

    def _answer(self, query: Subquery, said: Sequence[DecodedToken], shown: PhotoPlacement) -> Answer:
        found = self.codec.decode(self._text(said), shown.canvas_size)
        if found is None:  # no grammar lets this through; a tokenizer that does not decode what it encoded would
            return Answer(query.id, readable=False, confidence=0.0)
        most = self.bundle.max_boxes
        too_many = query.kind != "verdict" and max(len(found.boxes), len(found.values)) > most
        kept = replace(found, boxes=found.boxes[:most], values=found.values if not too_many else found.values[:most])
        chances = self._each(query, said, max(len(found.boxes), len(found.values)))
        confidence = self._confidence(query, said)
        return replace(shown.answer_to_photo(kept), confidence=confidence, readable=not too_many, probabilities=chances)

    def _confidence(self, query: Subquery, said: Sequence[DecodedToken]) -> float:
        """Probability of the answer's decisions: for boxes, that there is one more or no more; not where they lie."""
        if query.kind != "locate":
            return float(np.prod([one.probability for one in said])) if said else 0.0
        return min(float(np.prod(self._decisions(query, said))), 1.0)

    def _each(self, query: Subquery, said: Sequence[DecodedToken], count: int) -> tuple[float, ...]:
        """Probability of each of `count` boxes, each after those before it, and of one more; or of each value."""
        if query.kind != "locate":
            return tuple(self._places(query, said)[:count])
        decisions = self._decisions(query, said)
        more, last = decisions[:count], decisions[count:]
        return (*more, 1.0 - last[0] if last else 0.0)

    def _decisions(self, query: Subquery, said: Sequence[DecodedToken]) -> list[float]:
        """Of each number of boxes, from 0, the probability that there was one more, or at last that there was not.

        The next character decides, where an answer begins or may end.
        """
        chances: list[float] = []
        for k, one in enumerate(said):
            value = self._value(query, said[:k])
            boxes = self.codec.box_format.text_to_boxes(value, (1000, 1000)) if value else ()
            if boxes is not None:
                chances += [1.0] * (len(boxes) + 1 - len(chances))
                chances[len(boxes)] = min(chances[len(boxes)] * one.first_character_probability, 1.0)
        return chances

    def _chances(
        self, prefix: EncodedPrefix, asked: _CompiledQuery, said: Sequence[Sequence[DecodedToken]]
    ) -> list[tuple[tuple[str, float], ...]]:
        """For each photo and violation the probability that it is the first to be named, or at its place."""
        names = asked.query.options
        answers = [self.codec.tokenize(self.codec.answer_prefix(asked.query) + name) for name in names] * len(said)
        first = iter(self.decoder.score_answers(prefix, asked.prompt, asked.matcher, answers))
        named = [self._named(asked.query, each) for each in said]
        return [tuple((name, max(next(first), each.get(name, 0.0))) for name in names) for each in named]

    def _named(self, query: Subquery, said: Sequence[DecodedToken]) -> dict[str, float]:
        """Each violation that was said, with the probability of its tokens after those before it."""
        return dict(zip(self._value(query, said).split(", "), self._places(query, said), strict=False))

    def _places(self, query: Subquery, said: Sequence[DecodedToken]) -> list[float]:
        """The same for whatever values there are, in their order."""
        chances: list[float] = []
        for k, one in enumerate(said):
            place = self._value(query, said[: k + 1]).count(",")
            chances += [1.0] * (place + 1 - len(chances))
            chances[place] *= one.probability
        return chances

    def _value(self, query: Subquery, said: Sequence[DecodedToken]) -> str:
        """What an answer says, as far as it goes, without what all answers to the question begin with."""
        return self._text(said).strip().removeprefix(self.codec.answer_prefix(query).strip()).strip()

    def _text(self, said: Sequence[DecodedToken]) -> str:
        return self.codec.detokenize([one.token for one in said if one.token != self.codec.chat_format.end_token])
