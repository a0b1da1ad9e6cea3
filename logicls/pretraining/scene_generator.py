"""A made photo of many possible things, and questions about it with their true answers.

What is on a photo: a crowd on a ground or a plate, a tray, vessels, labels, cables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from logicls.pretraining.camera import Matrix, aim, cast_light, expose, patches, photograph, seen
from logicls.pretraining.carriers import cables, plate, tray
from logicls.pretraining.labels import sheet
from logicls.pretraining.questions import questions
from logicls.pretraining.scattered_parts import Area, crowd
from logicls.pretraining.scene_builder import Draft, Stage, Thing
from logicls.pretraining.vessels import vessels
from logicls.records import Box, reading_order


def compose(stage: Stage) -> None:
    """Draw a random scene."""
    rng = stage.rng
    if rng.random() < 0.3:
        patches(stage.canvas, rng)
    draw = rng.random()
    if draw < 0.44:
        crowd(stage, Area(0, 0, stage.width, stage.height), stage.ground)
    elif draw < 0.56:
        plate(stage)
    elif draw < 0.67:
        tray(stage)
    elif draw < 0.84:
        vessels(stage)
    elif draw < 0.92:
        sheet(stage)
    else:
        cables(stage)
    if rng.random() < 0.2:
        cast_light(stage.canvas, rng)


_CUT = 0.6
"""Share of a component's box that the photo's edge may not cut to less than."""
_TINY = 8.0
"""Longer side of what must be whole, pixels: a part of it would be a speck."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question about a made photo."""

    kind: Literal["locate", "attribute", "verdict"]
    text: str
    values: tuple[str, ...] = ()
    """The answer's words; in reading order where each belongs to a component; empty for `locate`."""
    boxes: tuple[Box, ...] = ()
    """Pixels of the photo, in reading order; empty where there is none. For `attribute` those of the bearers, one a
    value, or none where the question is about something else than things."""


@dataclass(frozen=True, slots=True)
class World:
    """A made photo and what is asked about it."""

    pixels: NDArray[np.uint8]
    """RGB [height, width, 3]."""
    asked: tuple[Asked, ...]


def make_world(rng: np.random.Generator, size: tuple[int, int]) -> World:
    """A photo and 5 to 9 questions; equal generators make equal worlds.

    `size`: (height, width) in pixels, 96 to 550 each.
    """
    while True:
        stage = Stage(rng, *size)
        compose(stage)
        warp = aim(rng, *size)
        boxes = [_box(thing, warp, size) for thing in stage.things]
        if any(box is None for box in boxes):
            continue
        drafts = questions(stage)
        if len(drafts) >= 5:
            break
    known = [box for box in boxes if box is not None]
    pixels = expose(photograph(stage.canvas, warp), rng)
    return World(pixels, tuple(_answered(draft, known, size) for draft in drafts))


def _box(thing: Thing, warp: Matrix | None, size: tuple[int, int]) -> Box | None:
    """The box on the photo; None where too little of it is left."""
    points = seen(thing.outline, warp)
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    whole = Box(x1, y1, x2, y2)
    rest = whole.clip(size[1], size[0])
    tiny = max(whole.width, whole.height) < _TINY
    return rest if rest.area > (0.97 if tiny else _CUT) * whole.area else None


def _answered(draft: Draft, boxes: list[Box], size: tuple[int, int]) -> Asked:
    height, width = size
    order = sorted(range(len(draft.things)), key=lambda k: reading_order(boxes[draft.things[k]], width, height))
    values = tuple(draft.values[k] for k in order) if draft.paired else draft.values
    places = tuple(boxes[draft.things[k]] for k in order) if draft.kind == "locate" or draft.paired else ()
    return Asked(draft.kind, draft.text, values, places)
