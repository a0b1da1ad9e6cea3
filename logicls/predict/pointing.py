"""What a model points out on photos, and what it reads off the things that it has pointed out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from logicls.models.codec import Codec, Edges
from logicls.models.nano.losses import LIT
from logicls.models.nano.point import CELL, glowing
from logicls.records import Answer, Box, Subquery, reading_order

FAINT = 0.05
"""Chance from which on a light tells something about how sure it is that there is one thing more."""
LEAST = 0.02
"""Chance from which on a light is told of at all."""
SAME = 0.7
"""Boxes of one question that overlap by so much (intersection over union) are the same thing seen twice."""


@dataclass(frozen=True, slots=True)
class Light:
    """A thing that was pointed out."""

    chance: float
    edges: Edges
    """x1, y1, x2, y2 in cells of the map."""
    box: Box
    """In pixels of the photo."""


def point_out(
    model: Any,
    codec: Codec,
    chart: Float[Tensor, "photos depth rows columns"],
    asked: Float[Tensor, "photos queries width"],
    sizes: Sequence[tuple[int, int]],
) -> list[list[list[Light]]]:
    """The lights of each photo and question, the surest first. `sizes`: (width, height) of the photos in pixels."""
    pointer = model.pointer
    lights = pointer.lights(chart, asked)
    found: list[list[list[Light]]] = [[[] for _ in range(asked.shape[1])] for _ in sizes]
    photo, query, row, column = glowing(lights, LEAST).nonzero(as_tuple=True)
    chances = lights[photo, query, row, column].sigmoid()
    for n, size in enumerate(sizes):
        here = (photo == n).nonzero()[:, 0]
        here = here[chances[here].argsort(descending=True)]
        if not len(here):
            continue
        _, boxes = pointer.boxes(chart[n : n + 1], asked[n, query[here]][None], row[here][None], column[here][None])
        for k, edges in zip(here.tolist(), boxes[0].tolist(), strict=True):
            light = Light(float(chances[k]), tuple(edges), codec.box([edge * CELL for edge in edges], size))
            others = found[n][int(query[k])]
            if all(light.box.iou(other.box) < SAME for other in others):
                others.append(light)
    return found


def things(lights: Sequence[Light], size: tuple[int, int]) -> list[Light]:
    """The lights that count, in reading order. `size`: (width, height) of the photo."""
    return sorted((one for one in lights if one.chance >= LIT), key=lambda one: reading_order(one.box, *size))


def located(query: Subquery, lights: Sequence[Light], size: tuple[int, int]) -> Answer:
    """The boxes of the things, and how sure it is that it is these and no others."""
    chance = 1.0
    for light in lights:
        if light.chance > FAINT:
            chance *= light.chance if light.chance >= LIT else 1 - light.chance
    boxes, chances = tuple(one.box for one in things(lights, size)), tuple(one.chance for one in lights)
    return Answer(query.id, boxes=boxes, confidence=chance, chances=chances)


def read_off(
    model: Any,
    codec: Codec,
    query: Subquery,
    bearers: Sequence[Light],
    chart: Float[Tensor, "depth rows columns"],
    asked: Float[Tensor, " width"],
) -> Answer:
    """The attribute of each of the things that bear it."""
    if not bearers:
        return Answer(query.id)
    edges = torch.tensor([one.edges for one in bearers])[None]
    seen = model.pointer.values(chart[None], asked.expand(1, len(bearers), -1), edges)
    chances = model.head(seen)[0][:, codec.allowed(query)].float().softmax(-1)
    best = chances.max(-1)
    values = tuple(query.options[k] for k in best.indices.tolist())
    confidence = float(best.values.detach().prod())
    return Answer(query.id, values, confidence=confidence, chances=tuple(best.values.tolist()))
