"""One pass: every question of a photo answered side by side from one reading of the photo.

The photo is read once into the key-value cache; each question is a branch that sees the photo and its own words. What
is asked for with "where" is pointed out on the map of the photo as soon as the question is read; values are said word
by word, all branches of all photos of a batch taking a step together, so that the number of steps is that of the
longest answer. Only words that make sense where they stand are allowed: an answer that cannot be read cannot occur.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from logicls.constraints.decompose import VERDICT, decompose, located_by
from logicls.models.bundle import Bundle
from logicls.models.codec import Codec
from logicls.predict.pointing import Light, located, point_out, read_off, things
from logicls.records import Answer, Subquery
from logicls.synth.write import question


@dataclass(frozen=True, slots=True)
class Look:
    """What the model read on one photo."""

    answers: tuple[Answer, ...]
    """Of every subquery but the verdict."""
    stated: Answer
    """The verdict that the model states, asked alone."""
    chances: tuple[tuple[str, float], ...]
    """Probability that the model gives to each violation when asked for its verdict."""
    feature: np.ndarray | None = field(default=None, compare=False, repr=False)
    """Mean of what the model saw at each of the photo's tokens, float32 [width]: alike for photos that look alike."""
    lights: tuple[tuple[str, tuple[Light, ...]], ...] = field(default=(), compare=False, repr=False)
    """Of each question where things are every place that may hold one, the surest first; empty where none were told."""


@dataclass(frozen=True, slots=True)
class Read:
    """A batch of photos, read with all questions."""

    chart: Float[Tensor, "photos depth rows columns"]
    asked: Float[Tensor, "photos queries width"]
    """Each question, having seen the photo."""
    words: Int[Tensor, "photos spoken steps"]
    """Of the questions that are answered in words."""
    chances: Float[Tensor, "steps photos spoken vocab"]
    features: Float[Tensor, "photos width"]
    """Of the photos, whatever was asked."""


class OnePass:
    """Answers the questions of a bundle's spec."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.codec = Codec(bundle.processor)
        self.queries = decompose(bundle.spec)

    @torch.inference_mode()
    def look(self, photos: Sequence[np.ndarray]) -> list[Look]:
        """Read photos, uint8 RGB [height width 3] of any sizes, in one batch."""
        return self.look_fitted(photos, [(photo.shape[1], photo.shape[0]) for photo in photos])

    @torch.inference_mode()
    def look_fitted(self, photos: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]]) -> list[Look]:
        """The same for photos that were of those (width, height) before they were brought to the input's size."""
        pixels = self.bundle.processor.image_processor(list(photos))["pixel_values"]
        read = self._read(pixels)
        lights = point_out(self.bundle.model, self.codec, read.chart, read.asked[:, self._where], sizes)
        return [self._gather(read, n, some, size) for n, (some, size) in enumerate(zip(lights, sizes, strict=True))]

    def _read(self, pixels: Tensor) -> Read:
        """Read the photos, then the questions, then say what is to be said."""
        model, cache = self.bundle.model, DynamicCache()
        tokens, count = self.bundle.processor.image_tokens, len(self.queries)
        seen = model(torch.full((len(pixels), tokens), self.codec.image), pixels, past_key_values=cache)
        cache.batch_repeat_interleave(count)
        prompts, mask = self._prompts
        ids, mask = prompts.repeat(len(pixels), 1), mask.repeat(len(pixels), 1)
        before = torch.cat([mask.new_ones(len(ids), tokens), mask], 1)
        branches = torch.where(mask.bool(), 1, -1)
        read = model(ids, branch_ids=branches, attention_mask=before, past_key_values=cache)
        # Only what is not pointed at has to be said.
        rows = (torch.arange(len(pixels))[:, None] * count + torch.tensor(self._spoken)).flatten()
        cache.batch_select_indices(rows)
        words, chances = self._say(read.logits[rows, -1], before[rows], cache)
        asked = read.words[:, -1].unflatten(0, (len(pixels), count))
        spoken = len(self._spoken)
        return Read(
            seen.chart, asked, words.unflatten(0, (-1, spoken)), chances.unflatten(1, (-1, spoken)), seen.feature
        )

    def _say(
        self, logits: Tensor, before: Tensor, cache: DynamicCache
    ) -> tuple[Int[Tensor, "branches steps"], Float[Tensor, "steps branches vocab"]]:
        """Greedy decoding of branches from the logits of the first word on: words, and chances of all words."""
        photos = len(logits) // len(self._spoken)
        open_, state = torch.ones(len(logits), dtype=torch.bool), torch.zeros(len(logits), dtype=torch.long)
        out: list[Tensor] = []
        scores: list[Tensor] = []
        while True:
            chances = self._allowed(logits, len(out), state, photos).softmax(-1)
            best = torch.where(open_, chances.argmax(-1), self.codec.end)
            out.append(best)
            scores.append(chances)
            state = torch.where(best == self.codec.none, 1, state)
            open_ = open_ & (best != self.codec.end)
            if not bool(open_.any()) or len(out) == self._most:
                return torch.stack(out, 1), torch.stack(scores)
            before = torch.cat([before, before.new_ones(len(before), 1)], 1)
            ones = torch.ones_like(best)[:, None]
            step = self.bundle.model(best[:, None], branch_ids=ones, attention_mask=before, past_key_values=cache)
            logits = step.logits[:, -1]

    @cached_property
    def _where(self) -> list[int]:
        """Numbers of the questions where things are."""
        return [number for number, query in enumerate(self.queries) if query.kind == "locate"]

    @cached_property
    def _pointed(self) -> frozenset[str]:
        """Questions that are answered by pointing: where things are, and what those things are like."""
        places = {self.queries[number].id for number in self._where}
        return frozenset(places | {query.id for query in self.queries if located_by(query.id) in places})

    @cached_property
    def _spoken(self) -> list[int]:
        """Numbers of the questions that are answered in words."""
        return [number for number, query in enumerate(self.queries) if query.id not in self._pointed]

    @cached_property
    def _prompts(self) -> tuple[Int[Tensor, "queries words"], Int[Tensor, "queries words"]]:
        """Prompts padded on the left, and which of their positions hold words."""
        texts = [self.codec.prompt(question(query, self.bundle.spec)) for query in self.queries]
        longest = max(map(len, texts))
        ids = torch.full((len(texts), longest), self.codec.pad)
        mask = torch.zeros(len(texts), longest, dtype=torch.long)
        for row, text in enumerate(texts):
            ids[row, longest - len(text) :] = torch.tensor(text)
            mask[row, longest - len(text) :] = 1
        return ids, mask

    @cached_property
    def _most(self) -> int:
        """Steps that the longest answer may take."""
        return max(self.bundle.max_boxes, *(len(q.options) for q in self.queries)) + 1

    @cached_property
    def _choices(self) -> Bool[Tensor, "spoken vocab"]:
        """Value tokens that each answer in words may hold."""
        table = torch.zeros(len(self._spoken), self.bundle.model.config.vocab_size, dtype=torch.bool)
        for row, number in enumerate(self._spoken):
            table[row, self.codec.allowed(self.queries[number])] = True
        return table

    def _allowed(self, logits: Tensor, step: int, state: Tensor, photos: int) -> Tensor:
        """Logits with everything that makes no sense at this step at minus infinity.

        `state` is 1 for branches that have said `<none>`, after which only the end may come.
        """
        allowed = self._choices.repeat(photos, 1)
        allowed[:, self.codec.none] = step == 0
        allowed[:, self.codec.end] = step > 0
        finished = state == 1
        allowed[finished] = False
        allowed[finished, self.codec.end] = True
        return logits.float().masked_fill(~allowed, -torch.inf)

    def _gather(self, read: Read, n: int, lights: Sequence[Sequence[Light]], size: tuple[int, int]) -> Look:
        """What was said and pointed out on photo `n`, as answers."""
        found = dict(zip([self.queries[number].id for number in self._where], lights, strict=True))
        answers = []
        for number, query in enumerate(self.queries):
            if query.kind == "locate":
                answers.append(located(query, found[query.id], size))
            elif query.id in self._pointed:
                bearers = things(found[located_by(query.id)], size)
                answers.append(
                    read_off(self.bundle.model, self.codec, query, bearers, read.chart[n], read.asked[n, number])
                )
            else:
                row = self._spoken.index(number)
                answers.append(self._worded(query, read.words[n, row].tolist(), read.chances[:, n, row]))
        names = self.bundle.spec.violations
        # The verdict is asked last.
        each = read.chances[:, n, -1, [self.codec.value(name) for name in names]].amax(0).tolist()
        stated = next(answer for answer in answers if answer.query == VERDICT)
        rest = tuple(answer for answer in answers if answer.query != VERDICT)
        lit = tuple((query, tuple(some)) for query, some in found.items())
        return Look(rest, stated, tuple(zip(names, each, strict=True)), read.features[n].float().numpy(), lit)

    def _worded(self, query: Subquery, tokens: list[int], chances: Float[Tensor, "steps vocab"]) -> Answer:
        length = tokens.index(self.codec.end) if self.codec.end in tokens else len(tokens)
        said, closed = tokens[:length], length < len(tokens)
        each = [float(chances[step, token]) for step, token in enumerate(tokens[: length + closed])]
        confidence = min(float(np.prod(each)), 1.0)
        if said == [self.codec.none]:
            return Answer(query.id, confidence=confidence)
        values = tuple(dict.fromkeys(said)) if query.kind == "verdict" else tuple(said)
        names = {self.codec.value(option): option for option in query.options}
        sure = tuple(each[said.index(value)] for value in values) if query.kind == "verdict" else tuple(each[:length])
        named = tuple(names[value] for value in values)
        return Answer(query.id, named, confidence=confidence, readable=closed, chances=sure)
