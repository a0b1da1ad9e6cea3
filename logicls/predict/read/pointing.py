"""What a model points out on photos, and what it reads off the things that it has pointed out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from logicls.models.codec import Codec, Edges
from logicls.models.nano.losses import LIT
from logicls.models.nano.point import CELL, glowing
from logicls.records import Answer, Box, Subquery, reading_order

FAINT = 0.05
"""Chance from which on a light tells something about how sure it is that there is one thing more."""
LEAST = 0.02
"""Chance from which on a light is told of at all."""
AT_ONCE = 32
"""Lights a photo whose boxes are looked for at once, so that noise, full of lights, takes no more memory."""
SAME = 0.5
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
    lights = model.pointer.lights(chart, asked)
    found: list[list[list[Light]]] = [[[] for _ in range(asked.shape[1])] for _ in sizes]
    photo, query, row, column = glowing(lights, LEAST).nonzero(as_tuple=True)
    chances = lights[photo, query, row, column].sigmoid()
    order = chances.argsort(descending=True)
    places = torch.stack([photo, query, row, column], 1)[order]
    edged = _edges(model.pointer, chart, asked, places)
    for (n, number, _, _), chance, edges in zip(places.tolist(), chances[order].tolist(), edged.tolist(), strict=True):
        light = Light(chance, tuple(edges), codec.box([edge * CELL for edge in edges], sizes[n]))
        others = found[n][number]
        if all(light.box.iou(other.box) < SAME for other in others):
            others.append(light)
    return found


def _edges(
    pointer: Any,
    chart: Float[Tensor, "photos depth rows columns"],
    asked: Float[Tensor, "photos queries width"],
    places: Int[Tensor, "lights 4"],
) -> Float[Tensor, "lights 4"]:
    """The box of each light, in cells. `places`: its photo, question, row and column."""
    photo = places[:, 0]
    counts = F.one_hot(photo, len(chart)).cumsum(0)
    slot = counts.gather(1, photo[:, None])[:, 0] - 1
    padded = torch.zeros(len(chart), int(counts.amax()) if len(places) else 0, 3, dtype=torch.long)
    padded[photo, slot] = places[:, 1:]
    each, found = torch.arange(len(chart))[:, None], [torch.zeros(len(chart), 0, 4)]
    for some in padded.split(AT_ONCE, 1) if len(places) else ():
        query, row, column = some.unbind(-1)
        found.append(pointer.boxes(chart, asked[each, query], row, column)[1])
    return torch.cat(found, 1)[photo, slot]


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
    bearers: Sequence[Sequence[Light]],
    chart: Float[Tensor, "photos depth rows columns"],
    asked: Float[Tensor, "photos width"],
    photo: Float[Tensor, "photos 3 height across"] | None = None,
) -> list[Answer]:
    """For each photo the attribute of each of the things that bear it. `photo`: where they are looked at closely."""
    most = max(map(len, bearers))
    if not most:
        return [Answer(query.id) for _ in bearers]
    nowhere = [(0.0,) * 4]
    edges = torch.tensor([[one.edges for one in some] + nowhere * (most - len(some)) for some in bearers])
    seen = model.pointer.values(chart, asked[:, None].expand(-1, most, -1), edges, photo)
    chances = model.head(seen)[..., codec.allowed(query)].float().softmax(-1)
    best, values = chances.max(-1)
    return [
        _read(query, sure[: len(some)], numbers[: len(some)])
        for some, sure, numbers in zip(bearers, best.tolist(), values.tolist(), strict=True)
    ]


def _read(query: Subquery, sure: list[float], numbers: list[int]) -> Answer:
    values = tuple(query.options[number] for number in numbers)
    return Answer(query.id, values, confidence=math.prod(sure), chances=tuple(sure))
