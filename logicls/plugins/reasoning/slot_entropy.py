"""Entropies of answer slots given think tokens, and the reward computed from them (Reason-IAD, arXiv 2602.09850).

A slot is a choice of the model: a word of an answer among its options, or, for the detection head, whether a location
of the feature map holds a component (binary entropy; our analogue, the paper's models answer in words only). Think
tokens are read after the photo and before the questions: they attend to the photo and to one another, and every
question attends to them. Slots are those of the first pass: its answer words, its candidate locations, the attributes
of its components.
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
from logicls.models.nano import NanoForImageTextToText
from logicls.models.nano.detection_head import local_maxima
from logicls.predict.readers.nano import EncodedPhotos, NanoReader, QueryOutputs
from logicls.predict.readers.protocol import Detection
from logicls.records import DETECTION_THRESHOLD, Answer

TOP_OPTIONS = 5
"""k, number of most likely options in a slot's entropy."""
EPSILON = 1e-9


def truncated_entropy(
    probabilities: Float[Tensor, "*slots options"], is_option: Bool[Tensor, "*#slots options"], top: int = TOP_OPTIONS
) -> Float[Tensor, "*slots"]:
    """Return the normalised entropy of the `top` most likely options, 0 to 1.

    H(P) = −Σ p̃ log p̃ / log k, with p̃ the probabilities of the k most likely options, normalised to sum to 1; k is
    `top`, or the number of options if that is smaller. A slot with one option has entropy 0.
    """
    k = min(top, probabilities.shape[-1])
    likeliest = probabilities.masked_fill(~is_option, 0.0).topk(k, -1).values
    share = likeliest / likeliest.sum(-1, keepdim=True).clamp(min=EPSILON)
    count = is_option.sum(-1).clamp(max=k)
    entropy = -(share * share.clamp(min=EPSILON).log()).sum(-1)
    return torch.where(count > 1, entropy / count.clamp(min=2).log(), 0.0)


def binary_entropy(logits: Float[Tensor, "*slots"]) -> Float[Tensor, "*slots"]:
    """Return the binary entropy of logits in bits, 0 to 1."""
    yes = logits.sigmoid()
    nats = -(yes * torch.nn.functional.logsigmoid(logits) + (1 - yes) * torch.nn.functional.logsigmoid(-logits))
    return nats / math.log(2)


def entropy_reward(entropies: Float[Tensor, "batch slots"]) -> Float[Tensor, " batch"]:
    """Return R = 1 − (1/m) Σ H(P_i) over the m slots, 0 to 1; 1 without slots."""
    if not entropies.shape[1]:
        return torch.ones(len(entropies))
    return 1 - entropies.mean(1)


def max_answer_entropy(answers: Iterable[Answer]) -> float:
    """Return the largest binary entropy among the slots of answers, in bits; 0 if there are none."""
    return max(
        (
            _entropy_bits(probability)
            for answer in answers
            for probability in (*answer.probabilities, answer.confidence)
        ),
        default=0.0,
    )


def mean_answer_entropy(answers: Iterable[Answer]) -> float:
    """Return the mean binary entropy of the answers' confidences in bits, 0 to 1; 0 if there are none."""
    entropies = [_entropy_bits(answer.confidence) for answer in answers]
    return math.fsum(entropies) / len(entropies) if entropies else 0.0


def _entropy_bits(probability: float) -> float:
    return -math.fsum(p * math.log2(p) for p in (probability, 1 - probability) if 0 < p < 1)


PhotoKeys = tuple[tuple[Float[Tensor, "photos heads patches depth"], Float[Tensor, "photos heads patches depth"]], ...]
"""Keys and values of the tokens of one or more photos, by decoder layer."""
CANDIDATE_THRESHOLD = 0.02
"""Probability from which on a location is a candidate."""


def photo_keys(encoded: EncodedPhotos) -> PhotoKeys:
    """Return keys and values of the photo's tokens."""
    layers: list[Any] = list(encoded.cache.layers)
    return tuple((layer.keys, layer.values) for layer in layers)


def append_think_tokens(
    model: NanoForImageTextToText, keys: PhotoKeys, tokens: Float[Tensor, "batch tokens width"]
) -> DynamicCache:
    """Return a cache with the photo's tokens and, after them, each row's think tokens."""
    cache = DynamicCache()
    for layer, (key, value) in enumerate(keys):
        rows = len(tokens), -1, -1, -1
        cache.update(key.expand(rows), value.expand(rows), layer)
    x = tokens
    if tokens.shape[1]:
        for block in model.decoder:
            x = block(x, None, cache)
    return cache


@dataclass(frozen=True, slots=True)
class _AnswerWords:
    """Words of the first answers, appended to their questions, so that each is predicted again from those before it."""

    words: Int[Tensor, "1 words"]
    branches: Int[Tensor, "1 words"]
    slot_positions: Int[Tensor, " slots"]
    """Position, among questions and then these words, that predicts a slot's word."""
    is_option: Bool[Tensor, "slots vocab"]


class AnswerSlots:
    """Slots of one photo, as the first pass left them."""

    def __init__(
        self, reader: NanoReader, keys: PhotoKeys, outputs: QueryOutputs, detections: Sequence[Sequence[Detection]]
    ) -> None:
        self._reader, self._keys, self._feature_map = reader, keys, outputs.feature_map
        self._photo = outputs.fine_pixels
        self._words = _collect_words(reader, outputs)
        scores = reader.bundle.nano_model.detection_head.score_centres(
            outputs.feature_map, outputs.queries[:, reader.location_queries]
        )
        self._is_candidate = local_maxima(scores, CANDIDATE_THRESHOLD)[0]
        self._instances = _collect_instances(reader, detections)

    def entropies(self, tokens: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch slots"]:
        """Return the entropy of every slot, 0 to 1, given think tokens (possibly none)."""
        model, questions, answers = self._reader.bundle.nano_model, self._reader.tokenized_queries, self._words
        cache = append_think_tokens(model, self._keys, tokens)
        prefix = torch.zeros(1, cache.get_seq_length(), dtype=torch.long)
        ids = torch.cat([questions.tokens, answers.words], 1).expand(len(tokens), -1)
        branches = torch.cat([prefix, questions.branches, answers.branches], 1)
        out = model(ids, branch_ids=branches, past_key_values=cache, logits_to_keep=answers.slot_positions)
        probabilities = out.logits.float().masked_fill(~answers.is_option, -torch.inf).softmax(-1)
        question_states = out.hidden[:, questions.last_positions]
        return torch.cat(
            [
                truncated_entropy(probabilities, answers.is_option),
                self._location_entropies(question_states),
                self._attribute_entropies(question_states),
            ],
            1,
        )

    def _location_entropies(self, questions: Float[Tensor, "batch questions width"]) -> Float[Tensor, "batch slots"]:
        """Return the entropy of each candidate location: component or background."""
        feature_map = self._feature_map.expand(len(questions), -1, -1, -1)
        logits = self._reader.bundle.nano_model.detection_head.score_centres(
            feature_map, questions[:, self._reader.location_queries]
        )
        return binary_entropy(logits[:, self._is_candidate])

    def _attribute_entropies(self, questions: Float[Tensor, "batch questions width"]) -> Float[Tensor, "batch slots"]:
        """Return the entropy of each attribute of each detected component."""
        model, feature_map, entropies = (
            self._reader.bundle.nano_model,
            self._feature_map.expand(len(questions), -1, -1, -1),
            [],
        )
        for number, edges in self._instances:
            question = questions[:, number, None].expand(-1, len(edges), -1)
            photo = self._photo.expand(len(questions), -1, -1, -1) if self._photo is not None else None
            features = model.detection_head.read_attributes(
                feature_map, question, edges.expand(len(questions), -1, -1), photo
            )
            probabilities = (
                model.compute_logits(features)[..., self._reader.codec.allowed_tokens(self._reader.queries[number])]
                .float()
                .softmax(-1)
            )
            entropies.append(truncated_entropy(probabilities, torch.ones_like(probabilities[0], dtype=torch.bool)))
        return torch.cat(entropies, 1) if entropies else questions.new_zeros(len(questions), 0)


def _collect_words(reader: NanoReader, outputs: QueryOutputs) -> _AnswerWords:
    """Collect the words of all verbal answers, up to the closing word of each."""
    questions, grammar = reader.tokenized_queries, outputs.decoded.grammar
    words, branches, slot_positions, is_option = list[int](), list[int](), list[int](), []
    for row, number in enumerate(reader.token_queries):
        position = int(questions.last_positions[number])
        for step, word in enumerate(outputs.decoded.tokens[0, row].tolist()):
            closing = grammar.end if step else grammar.none
            slot_positions.append(position)
            is_option.append(grammar.values[row].clone().index_fill(0, torch.tensor(closing), True))
            if word in (grammar.end, grammar.none):
                break
            position = questions.tokens.shape[1] + len(words)
            words.append(word)
            branches.append(number + 1)
    word_ids, branch_ids = (torch.tensor([ids], dtype=torch.long) for ids in (words, branches))
    return _AnswerWords(word_ids, branch_ids, torch.tensor(slot_positions, dtype=torch.long), torch.stack(is_option))


def _collect_instances(
    reader: NanoReader, detections: Sequence[Sequence[Detection]]
) -> tuple[tuple[int, Float[Tensor, "instances 4"]], ...]:
    """Return each attribute question's number, and the boxes of its components in cells of the feature map."""
    by_query = {
        reader.queries[number].id: peaks for number, peaks in zip(reader.location_queries, detections, strict=True)
    }
    instances = []
    for number, query in enumerate(reader.queries):
        edges = [
            peak.cell_box
            for peak in by_query.get(locate_query_id(query.id), ())
            if peak.probability >= DETECTION_THRESHOLD
        ]
        if query.kind == "attribute" and edges:
            instances.append((number, torch.tensor(edges)))
    return tuple(instances)
