"""Spec-aware augmentation: the photo varies, the labels stay true.

albumentations drops a box that leaves the picture without a word, which would flip a count: here a transform that
loses or cuts a box, or that changes what is broken, is thrown away and drawn again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from logicls.constraints.decompose import decompose
from logicls.constraints.load import validate
from logicls.constraints.look import look
from logicls.constraints.spec import Spec
from logicls.constraints.yaml_tree import read_yaml
from logicls.records import Box, Scene
from logicls.synth.edit import Canvas
from logicls.synth.light import albumentations

TRIES = 8


class Strength(BaseModel):
    """How far each change may go; see `synth/augment.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shift: float
    scale: float
    brightness: float
    contrast: float
    cast: int
    hue: int
    blur: float
    noise: float
    geometric: float
    quality: tuple[int, int]


def read_strength(path: Path) -> Strength:
    """The settings file. Raises `SpecError`."""
    return validate(Strength, read_yaml(path), str(path))


class Augmenter:
    """Random but truthful changes of annotated photos of one spec."""

    def __init__(self, spec: Spec, strength: Strength) -> None:
        self.spec = spec
        coloured = any(query.kind == "attribute" for query in decompose(spec))
        boxes = albumentations.BboxParams(
            format="pascal_voc", label_fields=["places"], clip=False, filter_invalid_bboxes=False
        )
        self._geometric = albumentations.Compose([_affine(strength)], bbox_params=boxes)
        self._photometric = albumentations.Compose(_photometric(strength, coloured=coloured))

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Canvas:
        """A varied canvas on which exactly the same rules are broken."""
        before = look(self.spec, canvas.scene)[-1].values
        for _ in range(TRIES):
            moved = self._moved(canvas, int(rng.integers(2**31)))
            if moved is not None and look(self.spec, moved.scene)[-1].values == before:
                canvas = moved
                break
        self._photometric.set_random_seed(int(rng.integers(2**31)))
        return Canvas(self._photometric(image=canvas.photo)["image"], canvas.scene)

    def _moved(self, canvas: Canvas, seed: int) -> Canvas | None:
        """The canvas after a shift and scale; None where a box would be lost or cut."""
        scene = canvas.scene
        if any(i.box.clipped(scene.width, scene.height) != i.box for i in scene.instances):
            return None  # albumentations raises for a box that sticks out, by however little
        self._geometric.set_random_seed(seed)
        boxes = [[i.box.x1, i.box.y1, i.box.x2, i.box.y2] for i in scene.instances]
        out = self._geometric(image=canvas.photo, bboxes=boxes, places=list(range(len(boxes))))
        placed = {
            int(place): Box(*(float(v) for v in box)) for place, box in zip(out["places"], out["bboxes"], strict=True)
        }
        if len(placed) != len(boxes) or not all(_inside(box, scene) for box in placed.values()):
            return None
        instances = tuple(replace(i, box=placed[k]) for k, i in enumerate(scene.instances))
        return Canvas(out["image"], replace(scene, instances=instances))


def _inside(box: Box, scene: Scene) -> bool:
    return box.x1 >= -0.5 and box.y1 >= -0.5 and box.x2 <= scene.width + 0.5 and box.y2 <= scene.height + 0.5


def _affine(strength: Strength) -> Any:
    """Direction, order and proportions survive it: no flip, no turn, the same scale on both axes."""
    return albumentations.Affine(
        scale=(1 - strength.scale, 1 + strength.scale),
        translate_percent=(-strength.shift, strength.shift),
        keep_ratio=True,
        border_mode=1,
        p=strength.geometric,
    )


def _photometric(strength: Strength, *, coloured: bool) -> list[Any]:
    cast = strength.cast
    changes = [
        albumentations.RandomBrightnessContrast(strength.brightness, strength.contrast, p=0.8),
        albumentations.RGBShift((-cast, cast), (-cast, cast), (-cast, cast), p=0.5),
        albumentations.GaussianBlur((3, 3), p=strength.blur),
        albumentations.GaussNoise(std_range=(0.01, 0.03), p=strength.noise),
    ]
    if not coloured:
        changes.append(albumentations.HueSaturationValue(strength.hue, 12, 0, p=0.5))
    return changes
