"""Downscaled copies of annotated photos, for models with a small input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from logicls.constraints.families.protocol import walk_rules
from logicls.constraints.spec.models import Spec
from logicls.data.image_io import letterbox_transform
from logicls.data.segmentation import Segmentation
from logicls.records import Box, Scene
from logicls.synth.pipeline import SynthesisSource

OVERSAMPLING = 2.0
"""Pixels of a downscaled photo per pixel of the model's input, on each axis."""


def downscale_source(source: SynthesisSource, size: Sequence[int]) -> SynthesisSource:
    """Downscale the photos of a source to what an input of `size` (height, width) needs.

    All photos are scaled by the same factor. They keep their size if a rule measures in pixels or millimetres.
    """
    scenes = source.dataset.scenes
    factor = max(
        (OVERSAMPLING * letterbox_transform(size, scene.width, scene.height)[0] for scene in scenes), default=1.0
    )
    if factor >= 1 or _uses_absolute_units(source.spec):
        return source
    downscaled = [_downscale_scene(scene, factor) for scene in scenes]
    segmentations: dict[int, Segmentation] = {}
    for scene, scaled in zip(scenes, downscaled, strict=True):
        segmentations.update(_downscale_masks(source.segmentations, scene, scaled))
    return replace(source, dataset=replace(source.dataset, scenes=tuple(downscaled)), segmentations=segmentations)


def _downscale_scene(scene: Scene, factor: float) -> Scene:
    width, height = max(round(scene.width * factor), 1), max(round(scene.height * factor), 1)
    full, small = Box(0, 0, scene.width, scene.height), Box(0, 0, width, height)
    instances = tuple(replace(i, box=i.box.map_between(full, small).clip(width, height)) for i in scene.instances)
    return Scene(scene.photo, width, height, instances)


def _downscale_masks(segmentations: Mapping[int, Segmentation], scene: Scene, small: Scene) -> dict[int, Segmentation]:
    """Segmentations of the scene's instances, resampled to the size of `small`."""
    scaled: dict[int, Segmentation] = {}
    for instance in scene.instances:
        if instance.id in segmentations:
            mask = segmentations[instance.id].to_mask(scene.width, scene.height).astype(np.float32)
            scaled[instance.id] = Segmentation(
                run_lengths=_encode_runs(cv2.resize(mask, (small.width, small.height)) >= 0.5)
            )
    return scaled


def _encode_runs(mask: np.ndarray) -> tuple[int, ...]:
    """Run lengths of off and on pixels in turn, column by column (COCO's uncompressed RLE)."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return tuple(np.diff([0, *changes, mask.size]).tolist())


def _uses_absolute_units(spec: Spec) -> bool:
    """Check whether a rule measures in pixels or millimetres."""
    conditions = [constraint.when for constraint in spec.constraints if constraint.when is not None]
    clauses = [*spec.constraints, *conditions]
    return any(rule.uses_absolute_units for clause in clauses for _, rule in walk_rules(clause.rule))
