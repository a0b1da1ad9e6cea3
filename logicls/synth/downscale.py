"""The same annotated photos, smaller. What is made for a model that sees few pixels need not be made of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from logicls.constraints.spec.models import Clause, Spec
from logicls.data.image_io import letterbox_transform
from logicls.data.segmentation import Segmentation
from logicls.records import Box, Scene
from logicls.synth.workers import SynthesisSource

OVERSAMPLING = 2.0
"""Pixels of a reduced photo to one of the model's input, on each axis."""


def downscale_source(source: SynthesisSource, size: Sequence[int]) -> SynthesisSource:
    """The source with its photos no larger than is needed for an input of `size` (height, width).

    All become smaller by the same factor; none where a rule counts in pixels or millimetres, which would then be wrong.
    """
    scenes = source.dataset.scenes
    factor = max((OVERSAMPLING * letterbox_transform(size, scene.width, scene.height)[0] for scene in scenes), default=1.0)
    if factor >= 1 or _uses_absolute_units(source.spec):
        return source
    smaller = [_downscale_scene(scene, factor) for scene in scenes]
    outlines: dict[int, Segmentation] = {}
    for scene, small in zip(scenes, smaller, strict=True):
        outlines.update(_downscale_masks(source.segmentations, scene, small))
    return replace(source, dataset=replace(source.dataset, scenes=tuple(smaller)), segmentations=outlines)


def _downscale_scene(scene: Scene, factor: float) -> Scene:
    width, height = max(round(scene.width * factor), 1), max(round(scene.height * factor), 1)
    whole, small = Box(0, 0, scene.width, scene.height), Box(0, 0, width, height)
    instances = tuple(replace(i, box=i.box.map_between(whole, small).clip(width, height)) for i in scene.instances)
    return Scene(scene.photo, width, height, instances)


def _downscale_masks(outlines: Mapping[int, Segmentation], scene: Scene, small: Scene) -> dict[int, Segmentation]:
    """Those of the scene, drawn on the smaller one."""
    found: dict[int, Segmentation] = {}
    for instance in scene.instances:
        if instance.id in outlines:
            mask = outlines[instance.id].to_mask(scene.width, scene.height).astype(np.float32)
            found[instance.id] = Segmentation(run_lengths=_encode_runs(cv2.resize(mask, (small.width, small.height)) >= 0.5))
    return found


def _encode_runs(mask: np.ndarray) -> tuple[int, ...]:
    """Pixels off and on in turn, down the columns."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    turns = np.flatnonzero(flat[1:] != flat[:-1])
    return tuple(np.diff([0, *turns, mask.size]).tolist())


def _uses_absolute_units(spec: Spec) -> bool:
    conditions: list[Clause] = [constraint.when for constraint in spec.constraints if constraint.when]
    return any(_measures_units(clause) for clause in (*spec.constraints, *conditions))


def _measures_units(clause: Clause) -> bool:
    inner = [*(clause.all_ or ()), *(clause.any_ or ()), *([clause.not_] if clause.not_ else ())]
    return bool(clause.measure and clause.measure.unit) or any(map(_measures_units, inner))
