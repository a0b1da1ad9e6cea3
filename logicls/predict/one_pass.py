"""One pass: every question of a photo answered side by side from one reading of the photo.

The photo is read once into the key-value cache; each question is a branch that sees the photo and its own words. All
branches of all photos of a batch take a step together, so that the number of steps is that of the longest answer.
Only tokens that make sense where they stand are allowed: an answer that cannot be read cannot occur.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from logicls.constraints.decompose import VERDICT, decompose
from logicls.models.bundle import Bundle
from logicls.models.codec import Codec
from logicls.models.nano.processor import from_bins
from logicls.records import Answer, Box, Subquery
from logicls.synth.write import question

NEAR = 4
"""Bins on either side of the likeliest one that the read-out of a coordinate averages over."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the model read on one photo."""

    answers: tuple[Answer, ...]
    """Of every subquery but the verdict."""
    stated: Answer
    """The verdict that the model states, asked alone."""
    chances: tuple[tuple[str, float], ...]
    """Probability that the model gives to each violation when asked for its verdict."""


class OnePass:
    """Answers the questions of a bundle's spec."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.codec = Codec(bundle.processor, bundle.bins)
        self.queries = decompose(bundle.spec)

    @torch.inference_mode()
    def look(self, photos: Sequence[np.ndarray]) -> list[Look]:
        """Read photos, uint8 RGB [height width 3] of any sizes, in one batch."""
        pixels = self.bundle.processor.image_processor(list(photos))["pixel_values"]
        tokens, read, scores = self._decode(pixels)
        count = len(self.queries)
        sizes = [(photo.shape[1], photo.shape[0]) for photo in photos]
        return [
            self._gather(tokens[k * count : (k + 1) * count], read[:, k * count : (k + 1) * count],
                         scores[:, k * count : (k + 1) * count], size)
            for k, size in enumerate(sizes)
        ]  # fmt: skip

    def _decode(self, pixels: Tensor) -> tuple[list[list[int]], Tensor, Tensor]:
        """Greedy decoding of all branches. Per step and branch: tokens, coordinate read-outs, allowed probabilities."""
        model, cache = self.bundle.model, DynamicCache()
        tokens = self.bundle.processor.image_tokens
        model(torch.full((len(pixels), tokens), self.codec.image), pixels, past_key_values=cache)
        cache.batch_repeat_interleave(len(self.queries))
        prompts, mask = self._prompts
        ids, mask = prompts.repeat(len(pixels), 1), mask.repeat(len(pixels), 1)
        seen = torch.cat([mask.new_ones(len(ids), tokens), mask], 1)
        branches = torch.where(mask.bool(), 1, -1)
        step, open_, state = 0, torch.ones(len(ids), dtype=torch.bool), torch.zeros(len(ids), dtype=torch.long)
        out: list[Tensor] = []
        read: list[Tensor] = []
        scores: list[Tensor] = []
        while bool(open_.any()) and step < self._most:
            logits = model(ids, branch_ids=branches, attention_mask=seen, past_key_values=cache).logits[:, -1]
            chances = self._allowed(logits, step, state, len(pixels)).softmax(-1)
            best = torch.where(open_, chances.argmax(-1), self.codec.end)
            out.append(best)
            read.append(self._fine(chances, best))
            scores.append(chances)
            state = torch.where(best == self.codec.none, 1, state)
            open_ = open_ & (best != self.codec.end)
            ids, branches = best[:, None], torch.ones_like(best)[:, None]
            seen = torch.cat([seen, seen.new_ones(len(seen), 1)], 1)
            step += 1
        return torch.stack(out, 1).tolist(), torch.stack(read), torch.stack(scores)

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
        return max(4 * self.bundle.max_boxes, max(len(q.options) for q in self.queries)) + 1

    @cached_property
    def _choices(self) -> Bool[Tensor, "queries vocab"]:
        """Value tokens that each question's answer may hold."""
        table = torch.zeros(len(self.queries), self.bundle.model.config.vocab_size, dtype=torch.bool)
        for row, query in enumerate(self.queries):
            table[row, self.codec.allowed(query)] = True
        return table

    def _allowed(self, logits: Tensor, step: int, state: Tensor, photos: int) -> Tensor:
        """Logits with everything that makes no sense at this step at minus infinity.

        `state` is 1 for branches that have said `<none>`, after which only the end may come. A box has four edges: the
        end may come only between boxes.
        """
        allowed = self._choices.repeat(photos, 1)
        located = torch.tensor([query.kind == "locate" for query in self.queries]).repeat(photos)
        allowed[:, self.codec.none] = step == 0
        allowed[:, self.codec.end] = torch.where(located, step > 0 and step % 4 == 0, step > 0)
        finished = state == 1
        allowed[finished] = False
        allowed[finished, self.codec.end] = True
        return logits.float().masked_fill(~allowed, -torch.inf)

    def _fine(self, chances: Tensor, best: Tensor) -> Float[Tensor, " branches"]:
        """The bin that each branch read, as the mean over the bins near the likeliest."""
        first, bins = self.codec.first_loc, self.bundle.bins
        places = chances[:, first : first + bins]
        at = (best - first).clamp(0, bins - 1)
        index = torch.arange(bins)
        near = places * ((index[None] - at[:, None]).abs() <= NEAR)
        return (near * index).sum(1) / near.sum(1).clamp(min=1e-9)

    def _gather(self, tokens: list[list[int]], read: Tensor, scores: Tensor, size: tuple[int, int]) -> Look:
        """The tokens of one photo's branches as answers."""
        answers = [
            self._answer(query, tokens[row], read[:, row], scores[:, row], size)
            for row, query in enumerate(self.queries)
        ]
        verdict = next(row for row, query in enumerate(self.queries) if query.id == VERDICT)
        names = self.queries[verdict].options
        numbers = [self.codec.token(f"<{name}>") for name in names]
        chances = scores[:, verdict][:, numbers].amax(0).tolist()
        stated = next(answer for answer in answers if answer.query == VERDICT)
        rest = tuple(answer for answer in answers if answer.query != VERDICT)
        return Look(rest, stated, tuple(zip(names, chances, strict=True)))

    def _answer(
        self, query: Subquery, tokens: list[int], read: Tensor, scores: Tensor, size: tuple[int, int]
    ) -> Answer:
        length = tokens.index(self.codec.end) if self.codec.end in tokens else len(tokens)
        said = tokens[:length]
        closed = length < len(tokens)
        confidence = self._confidence(query, tokens[: length + closed], scores)
        if said == [self.codec.none]:
            return Answer(query.id, confidence=confidence)
        if query.kind == "locate":
            boxes = tuple(self._box(read[4 * k : 4 * k + 4].tolist(), size) for k in range(len(said) // 4))
            return Answer(query.id, boxes=boxes, confidence=confidence, readable=closed)
        values = tuple(dict.fromkeys(said)) if query.kind == "verdict" else tuple(said)
        names = {self.codec.token(f"<{option}>"): option for option in query.options}
        return Answer(query.id, tuple(names[v] for v in values), confidence=confidence, readable=closed)

    def _box(self, places: list[float], size: tuple[int, int]) -> Box:
        return from_bins(places, *size, self.bundle.processor.image_processor, self.bundle.bins)

    def _confidence(self, query: Subquery, tokens: list[int], scores: Tensor) -> float:
        """Probability of the answer's decisions: for boxes, that there is one more or no more; not where they lie."""
        chance = 1.0
        first, bins = self.codec.first_loc, self.bundle.bins
        for step, token in enumerate(tokens):
            if query.kind == "locate" and first <= token < first + bins:
                chance *= float(scores[step, first : first + bins].sum()) if step % 4 == 0 else 1.0
            else:
                chance *= float(scores[step, token])
        return min(chance, 1.0)
