"""Generator of rendered scenes with questions and their ground-truth answers.

A scene is a crowd of components on a background or a plate, a tray, vessels, labels or cables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from logicls.pretraining.camera import (
    AffineMatrix,
    cast_shadow,
    paste_patches,
    render_photo,
    sample_warp,
    simulate_camera,
    warp_points,
)
from logicls.pretraining.carriers import draw_cables, draw_plate, draw_tray
from logicls.pretraining.labels import draw_label_sheet
from logicls.pretraining.questions import draft_questions
from logicls.pretraining.scattered_parts import SceneArea, draw_crowd
from logicls.pretraining.scene_builder import QuestionDraft, SceneBuilder, SceneComponent
from logicls.pretraining.vessels import draw_vessels
from logicls.records import Box, reading_order


def draw_scene(scene: SceneBuilder) -> None:
    """Draw a random scene."""
    rng = scene.rng
    if rng.random() < 0.3:
        paste_patches(scene.canvas, rng)
    draw = rng.random()
    if draw < 0.44:
        draw_crowd(scene, SceneArea(0, 0, scene.width, scene.height), scene.background)
    elif draw < 0.56:
        draw_plate(scene)
    elif draw < 0.67:
        draw_tray(scene)
    elif draw < 0.84:
        draw_vessels(scene)
    elif draw < 0.92:
        draw_label_sheet(scene)
    else:
        draw_cables(scene)
    if rng.random() < 0.2:
        cast_shadow(scene.canvas, rng)


_MIN_VISIBLE = 0.6
"""Least share of a component's box within the photo."""
_TINY_SIDE = 8.0
"""Longer side below which a component must be entirely visible, pixels."""


@dataclass(frozen=True, slots=True)
class SceneQuestion:
    """Question about a scene."""

    kind: Literal["locate", "attribute", "verdict"]
    text: str
    values: tuple[str, ...] = ()
    """Words of the answer, in reading order if each belongs to a component; empty for `locate`."""
    boxes: tuple[Box, ...] = ()
    """Pixels of the photo, in reading order; empty if there is none. For `attribute` those of the components, one per
    value, or none if the question is not about components."""


@dataclass(frozen=True, slots=True)
class SyntheticScene:
    """Rendered photo and its questions."""

    pixels: NDArray[np.uint8]
    """RGB [height, width, 3]."""
    questions: tuple[SceneQuestion, ...]


def generate_scene(rng: np.random.Generator, size: tuple[int, int]) -> SyntheticScene:
    """Generate a photo with 5 to 9 questions; equal generators produce equal scenes.

    `size`: (height, width) in pixels, 96 to 550 each.
    """
    while True:
        scene = SceneBuilder(rng, *size)
        draw_scene(scene)
        warp = sample_warp(rng, *size)
        boxes = [_visible_box(component, warp, size) for component in scene.components]
        if any(box is None for box in boxes):
            continue
        drafts = draft_questions(scene)
        if len(drafts) >= 5:
            break
    visible_boxes = [box for box in boxes if box is not None]
    pixels = simulate_camera(render_photo(scene.canvas, warp), rng)
    return SyntheticScene(pixels, tuple(_answer(draft, visible_boxes, size) for draft in drafts))


def _visible_box(component: SceneComponent, warp: AffineMatrix | None, size: tuple[int, int]) -> Box | None:
    """Return the component's box on the photo; None if too little of it is visible."""
    points = warp_points(component.contour, warp)
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    full = Box(x1, y1, x2, y2)
    visible = full.clip(size[1], size[0])
    tiny = max(full.width, full.height) < _TINY_SIDE
    return visible if visible.area > (0.97 if tiny else _MIN_VISIBLE) * full.area else None


def _answer(draft: QuestionDraft, boxes: list[Box], size: tuple[int, int]) -> SceneQuestion:
    height, width = size
    order = sorted(range(len(draft.components)), key=lambda k: reading_order(boxes[draft.components[k]], width, height))
    values = tuple(draft.values[k] for k in order) if draft.is_paired else draft.values
    answer_boxes = tuple(boxes[draft.components[k]] for k in order) if draft.kind == "locate" or draft.is_paired else ()
    return SceneQuestion(draft.kind, draft.text, values, answer_boxes)
