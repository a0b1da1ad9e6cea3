"""What nano has to choose for one photo, and how open each choice is once think tokens stand behind the photo.

Think tokens are read after the photo and before the questions: they see the photo and one another, every question sees
them, and what the model's weights are nobody changes. What is chosen from is that of the first look: the words that
were said, the places on the map that may hold something, the attributes of the things that were found there.

How open answers are: entropies of their slots, and the reward that is made of them.

A slot is a place where the model chooses. In words it chooses among options (the reward's own case, Reason-IAD, arXiv
2602.09850); on the map of the photo it says of each place whether a thing is there, whose entropy is the binary one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from logicls.constraints.checker.decomposition import locate_query_id
from logicls.models.nano.detection_head import local_maxima
from logicls.models.nano.losses import DETECTION_THRESHOLD
from logicls.predict.readers.detections import Detection
from logicls.predict.readers.nano import NanoReader, QueryOutputs, EncodedPhotos
from logicls.records import Answer

MOST = 5
"""Options, the likeliest ones, that a slot's entropy is made of."""
TINY = 1e-9


def truncated(
    chances: Float[Tensor, "*slots options"], meant: Bool[Tensor, "*#slots options"], most: int = MOST
) -> Float[Tensor, "*slots"]:
    """Entropy of the `most` likeliest of the options that are meant, as a share of the largest it can have, 0 to 1.

    H(P) = −Σ p̃ log p̃ / log k, with p̃ the k likeliest options' chances, made to sum to 1; k is `most`, or the number of
    options that are meant where they are fewer. A slot with one option has none.
    """
    k = min(most, chances.shape[-1])
    top = chances.masked_fill(~meant, 0.0).topk(k, -1).values
    share = top / top.sum(-1, keepdim=True).clamp(min=TINY)
    count = meant.sum(-1).clamp(max=k)
    entropy = -(share * share.clamp(min=TINY).log()).sum(-1)
    return torch.where(count > 1, entropy / count.clamp(min=2).log(), 0.0)


def binary(logits: Float[Tensor, "*slots"]) -> Float[Tensor, "*slots"]:
    """Entropy of yes or no, in bits, 0 to 1, of the logit of yes."""
    yes = logits.sigmoid()
    nats = -(yes * torch.nn.functional.logsigmoid(logits) + (1 - yes) * torch.nn.functional.logsigmoid(-logits))
    return nats / math.log(2)


def reward(entropies: Float[Tensor, "batch slots"]) -> Float[Tensor, " batch"]:
    """R = 1 − (1/m) Σ H(P_i) over the m slots, 0 to 1; 1 where there is nothing to choose."""
    if not entropies.shape[1]:
        return torch.ones(len(entropies))
    return 1 - entropies.mean(1)


def openness(answers: Iterable[Answer]) -> float:
    """The largest binary entropy, in bits, among the slots of answers that were given: 0 where all is sure."""
    return max(
        (_bits(chance) for answer in answers for chance in (*answer.probabilities, answer.confidence)), default=0.0
    )


def uncertainty(answers: Iterable[Answer]) -> float:
    """Mean binary entropy, in bits, of how sure the answers are, 0 to 1: 0 where all are sure, or there is none."""
    some = [_bits(answer.confidence) for answer in answers]
    return math.fsum(some) / len(some) if some else 0.0


def _bits(chance: float) -> float:
    return -math.fsum(p * math.log2(p) for p in (chance, 1 - chance) if 0 < p < 1)


Keys = tuple[tuple[Float[Tensor, "photos heads patches depth"], Float[Tensor, "photos heads patches depth"]], ...]
"""Keys and values of the photo's tokens, or of those of several photos, by layer of the decoder."""
MAY_HOLD = 0.02
"""Chance from which on a place may hold something."""


def keys_of(seen: EncodedPhotos) -> Keys:
    """Those that the photo left, whatever is read after it."""
    layers: list[Any] = list(seen.cache.layers)
    return tuple((layer.keys, layer.values) for layer in layers)


def thought_into(model: torch.nn.Module, keys: Keys, tokens: Float[Tensor, "batch tokens width"]) -> DynamicCache:
    """A cache that holds the photo's tokens and, after them, think tokens, of each row of the batch."""
    cache = DynamicCache()
    for layer, (key, value) in enumerate(keys):
        rows = len(tokens), -1, -1, -1
        cache.update(key.expand(rows), value.expand(rows), layer)
    x = tokens
    if tokens.shape[1]:
        for block in model.decoder:  # type: ignore[union-attr]
            x = block(x, None, cache)
    return cache


@dataclass(frozen=True, slots=True)
class _Words:
    """Words that were said, put behind their questions, so that each is chosen again after those before it."""

    words: Int[Tensor, "1 words"]
    branches: Int[Tensor, "1 words"]
    after: Int[Tensor, " slots"]
    """Place, among questions and then these words, after which a slot's word is chosen."""
    meant: Bool[Tensor, "slots vocab"]


class Slots:
    """The choices on one photo, as the first look left them."""

    def __init__(
        self, one_pass: NanoReader, keys: Keys, read: QueryOutputs, lights: Sequence[Sequence[Detection]]
    ) -> None:
        self._pass, self._keys, self._chart = one_pass, keys, read.feature_map
        self._photo = read.fine_pixels
        self._words = _words(one_pass, read)
        brightness = one_pass.bundle.model.pointer.lights(read.feature_map, read.queries[:, one_pass.location_queries])
        self._places = local_maxima(brightness, MAY_HOLD)[0].nonzero(as_tuple=True)
        self._things = _things(one_pass, lights)

    def entropies(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch slots"]:
        """Of every slot, 0 to 1, with these think tokens; there may be none of them."""
        model, asked, said = self._pass.bundle.model, self._pass.tokenized_queries, self._words
        cache = thought_into(model, self._keys, tokens)
        shown = torch.zeros(1, cache.get_seq_length(), dtype=torch.long)
        ids = torch.cat([asked.tokens, said.words], 1).expand(len(tokens), -1)
        branches = torch.cat([shown, asked.branches, said.branches], 1)
        out = model(ids, branch_ids=branches, past_key_values=cache, logits_to_keep=said.after)
        chances = out.logits.float().masked_fill(~said.meant, -torch.inf).softmax(-1)
        questions = out.words[:, asked.last_positions]
        return torch.cat([truncated(chances, said.meant), self._lit(questions), self._alike(questions)], 1)

    def _lit(self, questions: Float[Tensor, "batch questions width"]) -> Float[Tensor, "batch slots"]:
        """Of each place that may hold a thing: is there one?"""
        chart = self._chart.expand(len(questions), -1, -1, -1)
        lights = self._pass.bundle.model.pointer.lights(chart, questions[:, self._pass.location_queries])
        return binary(lights[:, *self._places])

    def _alike(self, questions: Float[Tensor, "batch questions width"]) -> Float[Tensor, "batch slots"]:
        """Of each attribute of each thing: which of its values?"""
        model, chart, found = self._pass.bundle.model, self._chart.expand(len(questions), -1, -1, -1), []
        for number, edges in self._things:
            asked = questions[:, number, None].expand(-1, len(edges), -1)
            photo = self._photo.expand(len(questions), -1, -1, -1) if self._photo is not None else None
            seen = model.pointer.values(chart, asked, edges.expand(len(questions), -1, -1), photo)
            chances = (
                model.head(seen)[..., self._pass.codec.allowed_tokens(self._pass.queries[number])].float().softmax(-1)
            )
            found.append(truncated(chances, torch.ones_like(chances[0], dtype=torch.bool)))
        return torch.cat(found, 1) if found else questions.new_zeros(len(questions), 0)


def _words(one_pass: NanoReader, read: QueryOutputs) -> _Words:
    """Of all questions that are answered in words, up to what closes each answer."""
    asked, grammar = one_pass.tokenized_queries, read.decoded.grammar
    words, branches, after, meant = list[int](), list[int](), list[int](), []
    for row, number in enumerate(one_pass.token_queries):
        place = int(asked.last_positions[number])
        for step, word in enumerate(read.decoded.tokens[0, row].tolist()):
            closing = grammar.end if step else grammar.none
            after.append(place)
            meant.append(grammar.values[row].clone().index_fill(0, torch.tensor(closing), True))
            if word in (grammar.end, grammar.none):
                break
            place = asked.tokens.shape[1] + len(words)
            words.append(word)
            branches.append(number + 1)
    said, of = (torch.tensor([some], dtype=torch.long) for some in (words, branches))
    return _Words(said, of, torch.tensor(after, dtype=torch.long), torch.stack(meant))


def _things(
    one_pass: NanoReader, lights: Sequence[Sequence[Detection]]
) -> tuple[tuple[int, Float[Tensor, "things 4"]], ...]:
    """Number of each question what things are like, and the boxes of those it is about, in cells of the map."""
    places = {one_pass.queries[number].id: some for number, some in zip(one_pass.location_queries, lights, strict=True)}
    found = []
    for number, query in enumerate(one_pass.queries):
        edges = [
            light.cell_box
            for light in places.get(locate_query_id(query.id), ())
            if light.probability >= DETECTION_THRESHOLD
        ]
        if query.kind == "attribute" and edges:
            found.append((number, torch.tensor(edges)))
    return tuple(found)
