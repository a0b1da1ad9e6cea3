"""What a model points out on photos, and what it reads off the things that it has pointed out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from logicls.models.nano.answer_codec import NanoAnswerCodec, Edges
from logicls.models.nano.detection_head import CELL_PIXELS, local_maxima
from logicls.models.nano.losses import DETECTION_THRESHOLD
from logicls.records import Answer, Box, Subquery, reading_order

CANDIDATE_THRESHOLD = 0.05
"""Chance from which on a light tells something about how sure it is that there is one thing more."""
BOXES_PER_PASS = 8
"""Lights of each photo whose boxes are looked for at once, so that noise, full of lights, takes no more memory."""
NMS_IOU = 0.5
"""Boxes of one question that overlap by so much (intersection over union) are the same thing seen twice."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A thing that was pointed out."""

    probability: float
    cell_box: Edges
    """x1, y1, x2, y2 in cells of the map."""
    box: Box
    """In pixels of the photo."""


def detect(
    model: Any,
    codec: NanoAnswerCodec,
    feature_map: Float[Tensor, "photos depth rows columns"],
    queries: Float[Tensor, "photos queries width"],
    sizes: Sequence[tuple[int, int]],
) -> list[list[list[Detection]]]:
    """The lights of each photo and question, the surest first. `sizes`: (width, height) of the photos in pixels."""
    lights = model.detection_head.score_centres(feature_map, queries)
    lit = local_maxima(lights, CANDIDATE_THRESHOLD).nonzero()
    chances = lights[tuple(lit.T)].sigmoid()
    order = chances.argsort(descending=True, stable=True)
    order = order[lit[order, 0].argsort(stable=True)]
    lit, chances = lit[order], chances[order]
    edges = _edges(model.pointer, feature_map, queries, lit)
    counts = lit[:, 0].bincount(minlength=len(feature_map)).tolist()
    photos = zip(lit[:, 1].split(counts), chances.split(counts), edges.split(counts), sizes, strict=True)
    return [_on_photo(codec, queries.shape[1], *photo) for photo in photos]


def _on_photo(
    codec: NanoAnswerCodec,
    queries: int,
    asked: Int[Tensor, " lights"],
    chances: Float[Tensor, " lights"],
    edges: Float[Tensor, "lights 4"],
    size: tuple[int, int],
) -> list[list[Detection]]:
    """The lights of one photo for each of so many questions. `asked`: the number of each light's question."""
    boxes, numbers = codec.boxes_to_photo(edges.double().numpy() * CELL_PIXELS, size), asked.numpy()
    told = list(zip(chances.tolist(), edges.tolist(), boxes.tolist(), strict=True))
    found: list[list[Detection]] = [[] for _ in range(queries)]
    for number in set(numbers.tolist()):
        which = np.flatnonzero(numbers == number)
        some = [told[place] for place in which[suppress_duplicates(boxes[which])]]
        found[number] = [Detection(chance, tuple(sides), Box(*box)) for chance, sides, box in some]
    return found


def _edges(
    pointer: Any,
    chart: Float[Tensor, "photos depth rows columns"],
    asked: Float[Tensor, "photos queries width"],
    lit: Int[Tensor, "lights 4"],
) -> Float[Tensor, "lights 4"]:
    """The box of each light, in cells. `lit`: photo, question, row and column of each, those of a photo together.

    Some of each photo at a time: one that is full of lights is looked at again and again, the others are not.
    """
    edges = chart.new_zeros(len(lit), 4)
    counts = lit[:, 0].bincount(minlength=len(chart))
    starts = counts.cumsum(0) - counts
    for done in range(0, int(counts.max()), BOXES_PER_PASS):
        which = (counts > done).nonzero()[:, 0]
        left = counts[which, None] - done
        places = starts[which, None] + done + torch.arange(min(BOXES_PER_PASS, int(left.max()))).minimum(left - 1)
        _, query, row, column = lit[places].unbind(-1)
        seen = chart if len(which) == len(chart) else chart[which]
        edges[places] = pointer.boxes(seen, asked[which[:, None], query], row, column)[1]
    return edges


def suppress_duplicates(boxes: Float[np.ndarray, "boxes 4"]) -> list[int]:
    """Numbers of the boxes, given the surest first, that do not lie where a surer one does (non-maximum suppression).

    >>> unsuppressed(np.array([[0.0, 0, 10, 10], [1, 0, 10, 10], [6, 0, 16, 10]]))
    [0, 2]
    """
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    shared = np.clip(np.minimum(high, boxes[:, 2:]) - np.maximum(low, boxes[:, :2]), 0, None).prod(-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    union = areas[:, None] + areas - shared
    same = ((shared >= NMS_IOU * union) & (union > 0)).tolist()
    kept: list[int] = []
    for number, covers in enumerate(same):
        if not any(covers[one] for one in kept):
            kept.append(number)
    return kept


def select_detections(detections: Sequence[Detection], size: tuple[int, int]) -> list[Detection]:
    """The lights that count, in reading order. `size`: (width, height) of the photo."""
    return sorted(
        (one for one in detections if one.probability >= DETECTION_THRESHOLD),
        key=lambda one: reading_order(one.box, *size),
    )


def answer_location(query: Subquery, detections: Sequence[Detection], size: tuple[int, int]) -> Answer:
    """The boxes of the things, and how sure it is that it is these and no others."""
    chance = 1.0
    for light in detections:
        chance *= light.probability if light.probability >= DETECTION_THRESHOLD else 1 - light.probability
    boxes, chances = (
        tuple(one.box for one in select_detections(detections, size)),
        tuple(one.probability for one in detections),
    )
    return Answer(query.id, boxes=boxes, confidence=chance, probabilities=chances)


def answer_attribute(
    model: Any,
    codec: NanoAnswerCodec,
    query: Subquery,
    detections: Sequence[Sequence[Detection]],
    feature_map: Float[Tensor, "photos depth rows columns"],
    queries: Float[Tensor, "photos width"],
    fine_pixels: Float[Tensor, "photos 3 height across"] | None = None,
) -> list[Answer]:
    """For each photo the attribute of each of the things that bear it. `photo`: where they are looked at closely."""
    most = max(map(len, detections))
    if not most:
        return [Answer(query.id) for _ in detections]
    nowhere = [(0.0,) * 4]
    edges = torch.tensor([[one.cell_box for one in some] + nowhere * (most - len(some)) for some in detections])
    seen = model.detection_head.read_attributes(feature_map, queries[:, None].expand(-1, most, -1), edges, fine_pixels)
    chances = model.compute_logits(seen)[..., codec.allowed_tokens(query)].float().softmax(-1)
    best, values = chances.max(-1)
    return [
        _read(query, sure[: len(some)], numbers[: len(some)])
        for some, sure, numbers in zip(detections, best.tolist(), values.tolist(), strict=True)
    ]


def _read(query: Subquery, sure: list[float], numbers: list[int]) -> Answer:
    values = tuple(query.options[number] for number in numbers)
    return Answer(query.id, values, confidence=math.prod(sure), probabilities=tuple(sure))
