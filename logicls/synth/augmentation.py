"""Spec-aware augmentation: the photo varies, the labels stay true.

Pixels and boxes go through the same map, the rules are looked at again on what comes out, and what would cut or lose a
box, change what is broken, or bring a rule into the dead zone of its limit is thrown away and drawn anew, more gently.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.checker.evaluation import build_context, find_violations
from logicls.constraints.checker.margins import find_near_limits
from logicls.constraints.families.placement import is_in_photo
from logicls.constraints.spec.loader import validate_tree
from logicls.constraints.spec.models import Spec
from logicls.constraints.spec.yaml_reader import read_yaml
from logicls.records import Box, Scene
from logicls.synth.compositor import Canvas
from logicls.synth.geometric import Homography, warp_scene, sample_transform, box_slack, add_flip, warp_photo
from logicls.synth.image_ops import Photo
from logicls.synth.invariances import find_restrictions
from logicls.synth.photometric import (
    is_newly_clipped,
    build_photometric_transform,
    apply_photometric_transform,
    subsample,
)
from logicls.synth.torchless import albumentations

Rng = np.random.Generator
Share = Annotated[float, Field(ge=0, le=1)]
MAX_GEOMETRIC_DRAWS = 8
MAX_PHOTOMETRIC_DRAWS = 3
"""Tries of ever weaker light before the photo keeps its own."""
SUBSAMPLING = 4
"""A light is tried on every so many-th pixel before it is cast on all."""
ATTENUATION = 0.75
"""Each further try is so much weaker."""
MAX_BOX_SLACK = 0.04
"""Share of its side by which a box may be looser than what is in it."""


class AugmentationSettings(BaseModel):
    """How far each change may go; see `synth/augment.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    geometric: Share
    shift: Annotated[float, Field(ge=0, le=0.5)]
    scale: Annotated[float, Field(ge=0, le=0.5)]
    rotation: Annotated[float, Field(ge=0, le=10)]
    perspective: Annotated[float, Field(ge=0, le=0.1)]
    flip: list[Literal["x", "y"]]
    brightness: Share
    contrast: Share
    colour_cast: Annotated[float, Field(ge=0, le=64)]
    hue: Annotated[int, Field(ge=0, le=90)]
    illumination: Share
    gradient: Annotated[float, Field(ge=0, le=0.2)]
    vignette: Annotated[float, Field(ge=0, le=0.2)]
    blur: Share
    noise: Share
    jpeg_quality: tuple[Annotated[int, Field(ge=1, le=100)], Annotated[int, Field(ge=1, le=100)]]

    @model_validator(mode="after")
    def _check_quality_range(self) -> Self:
        if self.jpeg_quality[0] > self.jpeg_quality[1]:
            raise ValueError(f"quality: {self.jpeg_quality[0]} is more than {self.jpeg_quality[1]}")
        return self


def load_augmentation_settings(path: Path) -> AugmentationSettings:
    """The settings file. Raises `SpecError`."""
    return validate_tree(AugmentationSettings, read_yaml(path), str(path))


@dataclass(frozen=True, slots=True)
class AugmentedGroup:
    """Photos that went through the same changes."""

    canvases: tuple[Canvas, ...]
    rejected_draws: int
    """Draws that were thrown away because a label would have become wrong."""


class Augmenter:
    """Random but truthful changes of annotated photos of one spec."""

    def __init__(self, spec: Spec, settings: AugmentationSettings, scenes: Sequence[Scene] = ()) -> None:
        """`scenes`: annotations of good photos, which tell where things lie."""
        self.spec = spec
        self.restrictions = find_restrictions(spec, scenes)
        kept: dict[str, object] = {"hue": 0} if self.restrictions.hue else {}
        kept |= {"rotation": 0.0, "perspective": 0.0} if self.restrictions.rotation else {}
        mirror = [axis for axis in dict.fromkeys(settings.flip) if not self.restrictions.flip[axis]]
        self.requested, self.settings = settings, settings.model_copy(update=kept | {"flip": mirror})

    def describe_restrictions(self) -> Iterator[str]:
        """What the settings ask for and the spec does not allow, and why."""
        if self.requested.hue and self.restrictions.hue:
            yield f"no change of hue: {self.restrictions.hue}"
        if (self.requested.rotation or self.requested.perspective) and self.restrictions.rotation:
            yield f"no turn and no perspective: {self.restrictions.rotation}"
        for axis in dict.fromkeys(self.requested.flip):
            if self.restrictions.flip[axis]:
                yield f"no mirroring along {axis}: {self.restrictions.flip[axis]}"

    def augment(self, canvases: Sequence[Canvas], rng: Rng) -> AugmentedGroup:
        """Varied canvases, all of one size and in the same way, on which exactly the same rules are broken."""
        moved, rejected = self._transform_geometry(canvases, rng)
        shown, dimmed = self._transform_photometry(moved, rng)
        return AugmentedGroup(shown, rejected + dimmed)

    def _transform_geometry(self, canvases: Sequence[Canvas], rng: Rng) -> tuple[Sequence[Canvas], int]:
        """Moved all alike, or left where they are; and how many draws were rejected."""
        if rng.random() >= self.settings.geometric:
            return canvases, 0
        before = [self._rule_state(canvas.scene) for canvas in canvases]
        for number in range(MAX_GEOMETRIC_DRAWS):
            matrix = self._sample_transform(canvases[0].scene, rng, ATTENUATION**number)
            scenes = [self._transform_scene(c.scene, matrix, state) for c, state in zip(canvases, before, strict=True)]
            if all(scenes):
                moved = (Canvas(warp_photo(c.photo, matrix), s) for c, s in zip(canvases, scenes, strict=True) if s)
                return tuple(moved), number
        return canvases, MAX_GEOMETRIC_DRAWS

    def _sample_transform(self, scene: Scene, rng: Rng, attenuation: float) -> Homography:
        size, s = (scene.width, scene.height), self.settings
        matrix = sample_transform(
            size, rng, shift=s.shift * attenuation, scale=s.scale * attenuation, rotation=s.rotation * attenuation,
            perspective=s.perspective * attenuation,
        )  # fmt: skip
        for axis in s.flip:
            matrix = add_flip(matrix, size, axis) if rng.random() < 0.5 else matrix
        return matrix

    def _transform_scene(self, scene: Scene, matrix: Homography, before: tuple[object, frozenset[str]]) -> Scene | None:
        """The scene mapped; None where a label would not be true of it."""
        loose, tight = warp_scene(scene, matrix)
        if not all(is_in_photo(i.box, scene) for i in loose.instances) or _leaves_edge(scene, loose):
            return None
        if box_slack(loose, tight) > MAX_BOX_SLACK:
            return None
        for candidate in (loose, tight) if tight != loose else (loose,):
            broken, close = self._rule_state(candidate)
            if broken != before[0] or not close <= before[1]:
                return None
        return loose

    def _rule_state(self, scene: Scene) -> tuple[tuple[str, ...], frozenset[str]]:
        """What is broken, and what is in the dead zone."""
        reading = build_context(self.spec, scene, quiet=True)
        return find_violations(self.spec, reading), find_near_limits(self.spec, reading)

    def _transform_photometry(self, canvases: Sequence[Canvas], rng: Rng) -> tuple[tuple[Canvas, ...], int]:
        """The photos in light in which every thing can still be seen; and how many draws were too strong."""
        seed = int(rng.integers(2**31))
        small = [Canvas(subsample(c.photo, SUBSAMPLING), c.scene) for c in canvases]
        for number in range(MAX_PHOTOMETRIC_DRAWS + 1):
            light = self._photometric_transform(0.5**number if number < MAX_PHOTOMETRIC_DRAWS else 0.0)
            if number < MAX_PHOTOMETRIC_DRAWS and _is_any_clipped(
                small, [apply_photometric_transform(c.photo, light, seed) for c in small], subsampling=SUBSAMPLING
            ):
                continue
            shown = [apply_photometric_transform(c.photo, light, seed) for c in canvases]
            if number == MAX_PHOTOMETRIC_DRAWS or not _is_any_clipped(canvases, shown):
                break
        return tuple(Canvas(photo, c.scene) for photo, c in zip(shown, canvases, strict=True)), number

    def _photometric_transform(self, attenuation: float) -> albumentations.Compose:
        s = self.settings
        return build_photometric_transform(
            brightness=s.brightness * attenuation, contrast=s.contrast * attenuation, colour_cast=s.colour_cast * attenuation, hue=s.hue,
            illumination=s.illumination, gradient=s.gradient * attenuation, vignette=s.vignette * attenuation, blur=s.blur, noise=s.noise,
        )  # fmt: skip


def _is_any_clipped(before: Sequence[Canvas], after: Sequence[Photo], *, subsampling: int = 1) -> bool:
    """Whether a thing on one of them has drowned in its new light."""
    return any(
        is_newly_clipped(c.photo, photo, (i.box for i in c.scene.instances), subsampling=subsampling)
        for c, photo in zip(before, after, strict=True)
    )


def _leaves_edge(before: Scene, after: Scene) -> bool:
    """Whether a box at the photo's edge, whose thing goes on outside, has left the edge: nobody knows what comes in."""
    return any(
        was and not now
        for one, other in zip(before.instances, after.instances, strict=True)
        for was, now in zip(_touched_edges(one.box, before), _touched_edges(other.box, after), strict=True)
    )


def _touched_edges(box: Box, scene: Scene) -> tuple[bool, bool, bool, bool]:
    return box.x1 <= 1, box.y1 <= 1, box.x2 >= scene.width - 1, box.y2 >= scene.height - 1
