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
from logicls.models.hub.answer_codec import Codec
from logicls.models.hub.chat_template import Shown, picture_of, shown_of, talk_of
from logicls.models.hub.loading import coordinates_of
from logicls.models.hub.shared_prefix import Prefix
from logicls.predict.plugin_protocols import Retriever
from logicls.predict.readers.constrained_decoding import Said, Seen, SideBySide
from logicls.predict.readers.nano import Look
from logicls.predict.readers.retrieval_prompt import Known, Prompter, known_of
from logicls.prompts.templates import question
from logicls.records import Answer, Subquery

ROWS = 64
"""Questions that are answered at once, of as many photos as that makes: each of them holds a photo in memory."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One question, ready to be asked of any photo."""

    query: Subquery
    prompt: tuple[int, ...]
    matcher: LLMatcher


class HubPass:
    """Answers the questions of a bundle's spec."""

    def __init__(self, bundle: Bundle, retriever: Retriever | None = None) -> None:
        """What the `retriever` knows of a photo stands in its prompt."""
        if bundle.hub is None:
            raise TypeError("the bundle holds no hub model")
        self.bundle, processor = bundle, bundle.processor
        self.codec = Codec(
            coordinates_of(bundle.hub.boxes, processor), talk_of(processor, bundle.hub.base), processor.tokenizer
        )
        vocabulary = bundle.model.config.get_text_config(decoder=True).vocab_size
        self.decoder = SideBySide(processor.tokenizer, vocabulary=vocabulary, end=self.codec.talk.end)
        text = bundle.model.config.get_text_config(decoder=True)
        self._prompter = Prompter(processor, bundle.hub.base, text.max_position_embeddings)
        self._retriever = retriever

    @torch.inference_mode()
    def look(self, photos: Sequence[np.ndarray]) -> list[Look]:
        """Read photos, uint8 RGB [height width 3] of any sizes; those of one size that follow one another at once."""
        at_once = max(ROWS // len(self.asked), 1)
        known = known_of(self._retriever, photos) if self._retriever else [Known()] * len(photos)
        looks: list[Look] = []
        for (_, what), pairs in groupby(zip(photos, known, strict=True), key=lambda pair: (pair[0].shape, pair[1])):
            some = [photo for photo, _ in pairs]
            for k in range(0, len(some), at_once):
                looks += self._look(some[k : k + at_once], what)
        return looks

    @cached_property
    def asked(self) -> tuple[_Asked, ...]:
        """Every question of the spec; one more box or value than was ever seen shows an answer that would not end."""
        spec, codec, most = self.bundle.spec, self.codec, self.bundle.max_boxes + 1
        return tuple(
            _Asked(
                query,
                tuple(codec.tokens(codec.talk.asked(question(query, spec)))),
                self.decoder.matcher(codec.grammar(query, most)),
            )
            for query in decompose(spec)
        )

    def read(self, photos: Sequence[np.ndarray], known: Known = Known()) -> tuple[Seen, Shown]:  # noqa: B008  frozen
        """Photos of one size, of which the same is known, read by the model up to where their questions begin."""
        shown = shown_of((photos[0].shape[1], photos[0].shape[0]), self.bundle.processor)
        pictures = [picture_of(photo, shown) for photo in photos]
        return Prefix(self.bundle.model, self._prompter.inputs(pictures, known)), shown

    def say(self, prefix: Seen) -> list[list[list[Said]]]:
        """The answer to each question about each photo."""
        asked = self.asked * len(prefix.feature)
        said = self.decoder.decode(prefix, [one.prompt for one in asked], [one.matcher for one in asked])
        return [said[k : k + len(self.asked)] for k in range(0, len(said), len(self.asked))]

    def _look(self, photos: Sequence[np.ndarray], known: Known) -> list[Look]:
        prefix, shown = self.read(photos, known)
        said = self.say(prefix)
        verdict = next(k for k, asked in enumerate(self.asked) if asked.query.id == VERDICT)
        chances = self._chances(prefix, self.asked[verdict], [each[verdict] for each in said])
        features = prefix.feature.numpy()
        return [self._gather(*one, shown) for one in zip(said, chances, features, strict=True)]

    def _gather(
        self, said: Sequence[Sequence[Said]], chances: tuple[tuple[str, float], ...], feature: np.ndarray, shown: Shown
    ) -> Look:
        answers = {
            asked.query.id: self._answer(asked.query, tokens, shown)
            for asked, tokens in zip(self.asked, said, strict=True)
        }
        stated = answers.pop(VERDICT)
        return Look(tuple(answers.values()), stated, chances, feature)

    def _answer(self, query: Subquery, said: Sequence[Said], shown: Shown) -> Answer:
        found = self.codec.read(self._text(said), shown.size)
        if found is None:  # no grammar lets this through; a tokenizer that does not decode what it encoded would
            return Answer(query.id, readable=False, confidence=0.0)
        most = self.bundle.max_boxes
        too_many = query.kind != "verdict" and max(len(found.boxes), len(found.values)) > most
        kept = replace(found, boxes=found.boxes[:most], values=found.values if not too_many else found.values[:most])
        chances = self._each(query, said, max(len(found.boxes), len(found.values)))
        confidence = self._confidence(query, said)
        return replace(shown.back(kept), confidence=confidence, readable=not too_many, chances=chances)

    def _confidence(self, query: Subquery, said: Sequence[Said]) -> float:
        """Probability of the answer's decisions: for boxes, that there is one more or no more; not where they lie."""
        if query.kind != "locate":
            return float(np.prod([one.chance for one in said])) if said else 0.0
        return min(float(np.prod(self._decisions(query, said))), 1.0)

    def _each(self, query: Subquery, said: Sequence[Said], count: int) -> tuple[float, ...]:
        """Probability of each of `count` boxes, each after those before it, and of one more; or of each value."""
        if query.kind != "locate":
            return tuple(self._places(query, said)[:count])
        decisions = self._decisions(query, said)
        more, last = decisions[:count], decisions[count:]
        return (*more, 1.0 - last[0] if last else 0.0)

    def _decisions(self, query: Subquery, said: Sequence[Said]) -> list[float]:
        """Of each number of boxes, from 0, the probability that there was one more, or at last that there was not.

        The next character decides, where an answer begins or may end.
        """
        chances: list[float] = []
        for k, one in enumerate(said):
            value = self._value(query, said[:k])
            boxes = self.codec.coordinates.read(value, (1000, 1000)) if value else ()
            if boxes is not None:
                chances += [1.0] * (len(boxes) + 1 - len(chances))
                chances[len(boxes)] = min(chances[len(boxes)] * one.alike, 1.0)
        return chances

    def _chances(
        self, prefix: Seen, asked: _Asked, said: Sequence[Sequence[Said]]
    ) -> list[tuple[tuple[str, float], ...]]:
        """For each photo and violation the probability that it is the first to be named, or at its place."""
        names = asked.query.options
        answers = [self.codec.tokens(self.codec.head(asked.query) + name) for name in names] * len(said)
        first = iter(self.decoder.chances(prefix, asked.prompt, asked.matcher, answers))
        named = [self._named(asked.query, each) for each in said]
        return [tuple((name, max(next(first), each.get(name, 0.0))) for name in names) for each in named]

    def _named(self, query: Subquery, said: Sequence[Said]) -> dict[str, float]:
        """Each violation that was said, with the probability of its tokens after those before it."""
        return dict(zip(self._value(query, said).split(", "), self._places(query, said), strict=False))

    def _places(self, query: Subquery, said: Sequence[Said]) -> list[float]:
        """The same for whatever values there are, in their order."""
        chances: list[float] = []
        for k, one in enumerate(said):
            place = self._value(query, said[: k + 1]).count(",")
            chances += [1.0] * (place + 1 - len(chances))
            chances[place] *= one.chance
        return chances

    def _value(self, query: Subquery, said: Sequence[Said]) -> str:
        """What an answer says, as far as it goes, without what all answers to the question begin with."""
        return self._text(said).strip().removeprefix(self.codec.head(query).strip()).strip()

    def _text(self, said: Sequence[Said]) -> str:
        return self.codec.text([one.token for one in said if one.token != self.codec.talk.end])
