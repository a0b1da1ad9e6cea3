"""Label-preserving augmentation: random geometric and photometric transforms of annotated photos.

Pixels and boxes go through the same transform. The rules are evaluated again on the result. A draw is rejected, and
repeated with weaker settings, if it cuts or loses a box, changes which rules are broken, or moves a measurement into
the dead zone of a limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import albumentations
import numpy as np

from logicls.constraints.checker.evaluation import build_context, find_near_limits, find_violations
from logicls.constraints.families.placement import is_in_photo
from logicls.constraints.spec.models import Spec
from logicls.records import Box, Scene
from logicls.synth.compositor import Canvas
from logicls.synth.geometric import Homography, add_flip, measure_box_slack, sample_transform, warp_photo, warp_scene
from logicls.synth.image_ops import Photo
from logicls.synth.invariances import AXES, find_restrictions, is_orientation_free
from logicls.synth.photometric import (
    apply_photometric_transform,
    build_photometric_transform,
    is_newly_clipped,
    subsample,
)
from logicls.synth.settings import AugmentationSettings

Rng = np.random.Generator
MAX_GEOMETRIC_DRAWS = 8
"""Geometric draws before the photo stays where it is."""
MAX_PHOTOMETRIC_DRAWS = 3
"""Photometric draws, each half as strong as the one before, until the photo keeps its brightness."""
SUBSAMPLING = 4
"""Step at which pixels are sampled for a first, cheap test for clipping."""
FLIP_NAMES = {"x": "horizontal", "y": "vertical"}
ATTENUATION = 0.75
"""Factor by which each further geometric draw is weaker."""
MAX_BOX_SLACK = 0.04
"""Largest share of its side by which a transformed box may be wider than its content."""


@dataclass(frozen=True, slots=True)
class AugmentedGroup:
    """Photos that went through the same transforms."""

    canvases: tuple[Canvas, ...]
    rejected_draws: int
    """Draws that were rejected because a label would have become wrong."""


class Augmenter:
    """Random transforms of annotated photos that keep their labels true."""

    def __init__(self, spec: Spec, settings: AugmentationSettings, scenes: Sequence[Scene] = ()) -> None:
        """Restrict the settings to the transforms that the rules of `spec` are invariant to.

        Args:
            spec: Rules of the product.
            settings: Requested transforms.
            scenes: Annotations of good photos, which show where components lie.
        """
        self.spec = spec
        self.restrictions = find_restrictions(spec, scenes)
        overrides: dict[str, object] = {"hue": 0} if self.restrictions.hue else {}
        overrides |= {"rotation": 0.0, "perspective": 0.0} if self.restrictions.rotation else {}
        flip_axes = [axis for axis in dict.fromkeys(settings.flip) if not self.restrictions.flip[axis]]
        self.requested, self.settings = settings, settings.model_copy(update=overrides | {"flip": flip_axes})
        self._may_turn = len(flip_axes) == len(AXES) and is_orientation_free(spec)
        """True if square photos may turn by a quarter: things lie anywhere and either way round."""

    def describe_restrictions(self) -> Iterator[str]:
        """Name each requested transform that is switched off, and the first reason."""
        if self.requested.hue and self.restrictions.hue:
            yield f"no hue shift: {self.restrictions.hue}"
        if (self.requested.rotation or self.requested.perspective) and self.restrictions.rotation:
            yield f"no rotation and no perspective: {self.restrictions.rotation}"
        for axis in dict.fromkeys(self.requested.flip):
            if self.restrictions.flip[axis]:
                yield f"no {FLIP_NAMES[axis]} flip: {self.restrictions.flip[axis]}"

    def augment(self, canvases: Sequence[Canvas], rng: Rng) -> AugmentedGroup:
        """Transform canvases of one size in the same way; the same rules stay broken on each."""
        transformed, rejected_geometric = self._transform_geometry(canvases, rng)
        augmented, rejected_photometric = self._transform_photometry(transformed, rng)
        return AugmentedGroup(augmented, rejected_geometric + rejected_photometric)

    def _transform_geometry(self, canvases: Sequence[Canvas], rng: Rng) -> tuple[Sequence[Canvas], int]:
        """Transform all canvases alike; returns them with the number of rejected draws.

        Canvases stay unchanged with probability 1 - `geometric`, or if every draw is rejected.
        """
        if rng.random() >= self.settings.geometric:
            return canvases, 0
        before = [self._evaluate_rules(canvas.scene) for canvas in canvases]
        for attempt in range(MAX_GEOMETRIC_DRAWS):
            homography = self._sample_transform(canvases[0].scene, rng, ATTENUATION**attempt)
            scenes = [
                self._transform_scene(c.scene, homography, state) for c, state in zip(canvases, before, strict=True)
            ]
            if all(scenes):
                warped = (
                    Canvas(warp_photo(c.photo, homography), s) for c, s in zip(canvases, scenes, strict=True) if s
                )
                return tuple(warped), attempt
        return canvases, MAX_GEOMETRIC_DRAWS

    def _sample_transform(self, scene: Scene, rng: Rng, attenuation: float) -> Homography:
        """Sample a homography at `attenuation` (0 to 1) times the strength of the settings."""
        size, s = (scene.width, scene.height), self.settings
        homography = sample_transform(
            size, rng, shift=s.shift * attenuation, scale=s.scale * attenuation, rotation=s.rotation * attenuation,
            perspective=s.perspective * attenuation,
        )  # fmt: skip
        for axis in s.flip:
            homography = add_flip(homography, size, axis) if rng.random() < 0.5 else homography
        if self._may_turn and size[0] == size[1] and rng.random() < 0.5:
            homography = homography @ np.array([[0.0, 1, 0], [-1, 0, size[0]], [0, 0, 1]])
        return homography

    def _transform_scene(
        self, scene: Scene, homography: Homography, before: tuple[object, frozenset[str]]
    ) -> Scene | None:
        """Transform a scene; returns None if a label would no longer be true."""
        loose, tight = warp_scene(scene, homography)
        if not all(is_in_photo(i.box, scene) for i in loose.instances) or _has_left_edge(scene, loose):
            return None
        if measure_box_slack(loose, tight) > MAX_BOX_SLACK:
            return None
        for candidate in (loose, tight) if tight != loose else (loose,):
            broken, near_limits = self._evaluate_rules(candidate)
            if broken != before[0] or not near_limits <= before[1]:
                return None
        return loose

    def _evaluate_rules(self, scene: Scene) -> tuple[tuple[str, ...], frozenset[str]]:
        """Broken rules, and rules whose measurement lies in the dead zone of a limit."""
        context = build_context(self.spec, scene, status_only=True)
        return find_violations(self.spec, context), find_near_limits(self.spec, context)

    def _transform_photometry(self, canvases: Sequence[Canvas], rng: Rng) -> tuple[tuple[Canvas, ...], int]:
        """Change pixel values so that no component is clipped; returns canvases and the number of rejected draws."""
        seed = int(rng.integers(2**31))
        subsampled = [Canvas(subsample(c.photo, SUBSAMPLING), c.scene) for c in canvases]
        for attempt in range(MAX_PHOTOMETRIC_DRAWS + 1):
            transform = self._build_photometric_transform(0.5**attempt if attempt < MAX_PHOTOMETRIC_DRAWS else 0.0)
            if attempt < MAX_PHOTOMETRIC_DRAWS and _has_clipped_component(
                subsampled,
                [apply_photometric_transform(c.photo, transform, seed) for c in subsampled],
                subsampling=SUBSAMPLING,
            ):
                continue
            augmented = [apply_photometric_transform(c.photo, transform, seed) for c in canvases]
            if attempt == MAX_PHOTOMETRIC_DRAWS or not _has_clipped_component(canvases, augmented):
                break
        return tuple(Canvas(photo, c.scene) for photo, c in zip(augmented, canvases, strict=True)), attempt

    def _build_photometric_transform(self, attenuation: float) -> albumentations.Compose:
        """Build the photometric transform at `attenuation` (0 to 1) times the strength of the settings."""
        s = self.settings
        return build_photometric_transform(
            brightness=s.brightness * attenuation,
            contrast=s.contrast * attenuation,
            colour_cast=s.colour_cast * attenuation,
            hue=s.hue,
            illumination=s.illumination,
            gradient=s.gradient * attenuation,
            vignette=s.vignette * attenuation,
            blur=s.blur,
            noise=s.noise,
        )


def _has_clipped_component(before: Sequence[Canvas], after: Sequence[Photo], *, subsampling: int = 1) -> bool:
    """Check whether a component of any canvas is newly clipped to black or white."""
    return any(
        is_newly_clipped(c.photo, photo, (i.box for i in c.scene.instances), subsampling=subsampling)
        for c, photo in zip(before, after, strict=True)
    )


def _has_left_edge(before: Scene, after: Scene) -> bool:
    """Check whether a box cut off by the photo's edge is moved away from it: what comes into view is unknown."""
    return any(
        touched and not touches
        for box_before, box_after in zip(before.instances, after.instances, strict=True)
        for touched, touches in zip(
            _find_touched_edges(box_before.box, before), _find_touched_edges(box_after.box, after), strict=True
        )
    )


def _find_touched_edges(box: Box, scene: Scene) -> tuple[bool, bool, bool, bool]:
    """Left, top, right and bottom edge of the photo: whether the box reaches each."""
    return box.x1 <= 1, box.y1 <= 1, box.x2 >= scene.width - 1, box.y2 >= scene.height - 1
