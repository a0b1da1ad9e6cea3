"""Detections of nano as answers: instances in the heatmaps, their boxes, and their attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from logicls.constraints.families.angles import angle_to_text, expect_angle, period_of_options
from logicls.models.nano import NanoForImageTextToText
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.detection_head import CELL_PIXELS, DetectionHead, local_maxima
from logicls.predict.readers.protocol import Detection, condition_on_rivals
from logicls.records import Answer, Box, Subquery, reading_order

CANDIDATE_THRESHOLD = 0.05
"""Probability from which on a local maximum is a candidate: it counts in the confidence that there is no other one."""
BOXES_PER_PASS = 8
"""Boxes of each photo that are regressed at once, which bounds the memory for photos of noise with many candidates."""
NMS_IOU = 0.5
"""Intersection over union from which on two boxes of one question are the same instance."""


def detect(
    detection_head: DetectionHead,
    codec: NanoAnswerCodec,
    feature_map: Float[Tensor, "photos depth rows columns"],
    queries: Float[Tensor, "photos queries width"],
    sizes: Sequence[tuple[int, int]],
) -> list[list[list[Detection]]]:
    """Detect the candidates of each photo and query, by descending probability.

    `sizes`: (width, height) of the photos in pixels.
    """
    logits = detection_head.score_centres(feature_map, queries)
    cells = local_maxima(logits, CANDIDATE_THRESHOLD).nonzero()
    probabilities = logits[tuple(cells.T)].sigmoid()
    order = probabilities.argsort(descending=True, stable=True)
    order = order[cells[order, 0].argsort(stable=True)]
    cells, probabilities = cells[order], probabilities[order]
    edges = _regress_in_passes(detection_head, feature_map, queries, cells)
    counts = cells[:, 0].bincount(minlength=len(feature_map)).tolist()
    photos = zip(cells[:, 1].split(counts), probabilities.split(counts), edges.split(counts), sizes, strict=True)
    return [_group_by_query(codec, queries.shape[1], *photo) for photo in photos]


def _group_by_query(
    codec: NanoAnswerCodec,
    queries: int,
    query_numbers: Int[Tensor, " candidates"],
    probabilities: Float[Tensor, " candidates"],
    edges: Float[Tensor, "candidates 4"],
    size: tuple[int, int],
) -> list[list[Detection]]:
    """Group the candidates of one photo by query, and remove duplicates. `query_numbers`: query of each candidate."""
    boxes, numbers = codec.boxes_to_photo(edges.double().numpy() * CELL_PIXELS, size), query_numbers.numpy()
    candidates = list(zip(probabilities.tolist(), edges.tolist(), boxes.tolist(), strict=True))
    detections: list[list[Detection]] = [[] for _ in range(queries)]
    for number in set(numbers.tolist()):
        indices = np.flatnonzero(numbers == number)
        unique = [candidates[index] for index in indices[suppress_duplicates(boxes[indices])]]
        detections[number] = [Detection(probability, tuple(cells), Box(*box)) for probability, cells, box in unique]
    return detections


def _regress_in_passes(
    detection_head: DetectionHead,
    feature_map: Float[Tensor, "photos depth rows columns"],
    queries: Float[Tensor, "photos queries width"],
    cells: Int[Tensor, "candidates 4"],
) -> Float[Tensor, "candidates 4"]:
    """Regress the box of each candidate, in cells. `cells`: photo, query, row and column of each, grouped by photo.

    Each pass takes a few candidates of every photo that has some left.
    """
    edges = feature_map.new_zeros(len(cells), 4)
    counts = cells[:, 0].bincount(minlength=len(feature_map))
    starts = counts.cumsum(0) - counts
    for done in range(0, int(counts.max()), BOXES_PER_PASS):
        photos = (counts > done).nonzero()[:, 0]
        remaining = counts[photos, None] - done
        in_pass = torch.arange(min(BOXES_PER_PASS, int(remaining.max())))
        indices = starts[photos, None] + done + in_pass.minimum(remaining - 1)
        _, query, row, column = cells[indices].unbind(-1)
        maps = feature_map if len(photos) == len(feature_map) else feature_map[photos]
        edges[indices] = detection_head.regress_boxes(maps, queries[photos[:, None], query], row, column)[1]
    return edges


def suppress_duplicates(boxes: Float[np.ndarray, "boxes 4"]) -> list[int]:
    """Apply non-maximum suppression to boxes in descending order of probability. Returns the indices of the rest.

    >>> suppress_duplicates(np.array([[0.0, 0, 10, 10], [1, 0, 10, 10], [6, 0, 16, 10]]))
    [0, 2]
    """
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    shared = np.clip(np.minimum(high, boxes[:, 2:]) - np.maximum(low, boxes[:, :2]), 0, None).prod(-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    union = areas[:, None] + areas - shared
    overlaps = ((shared >= NMS_IOU * union) & (union > 0)).tolist()
    selected: list[int] = []
    for index, row in enumerate(overlaps):
        if not any(row[other] for other in selected):
            selected.append(index)
    return selected


def suppress_rivals(
    detections: Mapping[str, Sequence[Detection]], exclusive: frozenset[frozenset[str]]
) -> dict[str, list[Detection]]:
    """Find the detections of components that exclude one another at the same place; the most probable one counts.

    Non-maximum suppression over components, where they exclude one another. A suppressed detection stays a candidate:
    it is an alternative to the one that suppresses it.

    Args:
        detections: Component → detections on one photo, by descending probability.
        exclusive: Pairs of components that are never at the same place.
    """
    ranked = sorted(
        ((component, one) for component, found in detections.items() for one in found),
        key=lambda entry: -entry[1].probability,
    )
    places: list[list[int]] = []
    for number, (component, one) in enumerate(ranked):
        own = (place for place in places if _are_rivals(ranked[place[0]], (component, one), exclusive))
        place = next(own, None)
        if place is None:
            places.append([number])
        else:
            place.append(number)
    out: dict[str, list[Detection]] = {component: [] for component in detections}
    marked = dict(enumerate(one for _, one in ranked))
    for number, place in enumerate(place for place in places if len(place) > 1):
        for member in place:
            rivals = tuple(ranked[other][1].probability for other in place if other != member)
            marked[member] = replace(ranked[member][1], place=number, rivals=rivals, is_suppressed=member != place[0])
    for number, (component, _) in enumerate(ranked):
        out[component].append(marked[number])
    return out


def _are_rivals(
    first: tuple[str, Detection], second: tuple[str, Detection], exclusive: frozenset[frozenset[str]]
) -> bool:
    """Return True for detections of components that exclude one another whose boxes are the same place."""
    return frozenset((first[0], second[0])) in exclusive and first[1].box.iou(second[1].box) >= NMS_IOU


def select_detections(detections: Sequence[Detection], size: tuple[int, int]) -> list[Detection]:
    """Select the candidates that count as detected, in reading order. `size`: (width, height) of the photo."""
    detected = [one for one in detections if one.is_detected]
    return sorted(detected, key=lambda one: reading_order(one.box, *size))


def answer_location(query: Subquery, detections: Sequence[Detection], size: tuple[int, int]) -> Answer:
    """Answer a question for locations. The confidence is the probability of exactly these boxes among the candidates.

    `size`: (width, height) of the photo.
    """
    confidence = 1.0
    for one in detections:
        probability = condition_on_rivals(one.probability, one.rivals)
        confidence *= probability if one.is_detected else 1 - probability
    boxes = tuple(one.box for one in select_detections(detections, size))
    return Answer(
        query.id, boxes=boxes, confidence=confidence, probabilities=tuple(one.probability for one in detections)
    )  # fmt: skip


def answer_attribute(
    model: NanoForImageTextToText,
    codec: NanoAnswerCodec,
    query: Subquery,
    detections: Sequence[Sequence[Detection]],
    feature_map: Float[Tensor, "photos depth rows columns"],
    queries: Float[Tensor, "photos width"],
    fine_pixels: Float[Tensor, "photos 3 height across"] | None = None,
) -> list[Answer]:
    """Answer a question for an attribute or an angle, of each of the photo's detected instances in their order.

    `fine_pixels`: normalized photos at full resolution, for the crop encoder.
    """
    most = max(map(len, detections))
    if not most:
        return [Answer(query.id) for _ in detections]
    padding = [(0.0,) * 4]
    edges = torch.tensor(
        [[one.cell_box for one in instances] + padding * (most - len(instances)) for instances in detections]
    )
    own_queries = queries[:, None].expand(-1, most, -1)
    features = model.detection_head.read_attributes(feature_map, own_queries, edges, fine_pixels)
    probabilities = model.compute_logits(features)[..., codec.allowed_tokens(query)].float().softmax(-1)
    if query.kind == "orientation":
        angles = zip(detections, probabilities.tolist(), strict=True)
        return [_orientation_answer(query, found[: len(instances)]) for instances, found in angles]
    highest, options = probabilities.max(-1)
    return [
        _attribute_answer(query, confidences[: len(instances)], numbers[: len(instances)])
        for instances, confidences, numbers in zip(detections, highest.tolist(), options.tolist(), strict=True)
    ]


def _orientation_answer(query: Subquery, probabilities: Sequence[Sequence[float]]) -> Answer:
    """Answer with the expected angle of each instance around its likeliest token."""
    found = [expect_angle(one) for one in probabilities]
    values = tuple(angle_to_text(angle, period_of_options(query.options)) for angle, _ in found)
    masses = tuple(mass for _, mass in found)
    return Answer(query.id, values, confidence=math.prod(masses), probabilities=masses)


def _attribute_answer(query: Subquery, probabilities: list[float], options: list[int]) -> Answer:
    values = tuple(query.options[number] for number in options)
    return Answer(query.id, values, confidence=math.prod(probabilities), probabilities=tuple(probabilities))
