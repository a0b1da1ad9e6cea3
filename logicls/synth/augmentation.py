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

from logicls.constraints.checker.evaluation import find_violations, build_context
from logicls.constraints.checker.margins import find_near_limits
from logicls.constraints.families.placement import is_in_photo
from logicls.constraints.spec.loader import validate_tree
from logicls.constraints.spec.models import Spec
from logicls.constraints.spec.yaml_reader import read_yaml
from logicls.records import Box, Scene
from logicls.synth.compositor import Canvas
from logicls.synth.geometric import Matrix, carried_over, drawn_map, looseness, mirrored, warped
from logicls.synth.image_ops import Photo
from logicls.synth.invariances import allowed
from logicls.synth.photometric import is_washed, lighting, lit, thinned
from logicls.synth.torchless import albumentations

Rng = np.random.Generator
Share = Annotated[float, Field(ge=0, le=1)]
TRIES = 8
DIMMED = 3
"""Tries of ever weaker light before the photo keeps its own."""
THIN = 4
"""A light is tried on every so many-th pixel before it is cast on all."""
GENTLER = 0.75
"""Each further try is so much weaker."""
LOOSE = 0.04
"""Share of its side by which a box may be looser than what is in it."""


class Strength(BaseModel):
    """How far each change may go; see `synth/augment.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    geometric: Share
    shift: Annotated[float, Field(ge=0, le=0.5)]
    scale: Annotated[float, Field(ge=0, le=0.5)]
    turn: Annotated[float, Field(ge=0, le=10)]
    perspective: Annotated[float, Field(ge=0, le=0.1)]
    mirror: list[Literal["x", "y"]]
    brightness: Share
    contrast: Share
    cast: Annotated[float, Field(ge=0, le=64)]
    hue: Annotated[int, Field(ge=0, le=90)]
    uneven: Share
    gradient: Annotated[float, Field(ge=0, le=0.2)]
    vignette: Annotated[float, Field(ge=0, le=0.2)]
    blur: Share
    noise: Share
    quality: tuple[Annotated[int, Field(ge=1, le=100)], Annotated[int, Field(ge=1, le=100)]]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.quality[0] > self.quality[1]:
            raise ValueError(f"quality: {self.quality[0]} is more than {self.quality[1]}")
        return self


def read_strength(path: Path) -> Strength:
    """The settings file. Raises `SpecError`."""
    return validate_tree(Strength, read_yaml(path), str(path))


@dataclass(frozen=True, slots=True)
class Varied:
    """Photos that went through the same changes."""

    canvases: tuple[Canvas, ...]
    rejected: int
    """Draws that were thrown away because a label would have become wrong."""


class Augmenter:
    """Random but truthful changes of annotated photos of one spec."""

    def __init__(self, spec: Spec, strength: Strength, scenes: Sequence[Scene] = ()) -> None:
        """`scenes`: annotations of good photos, which tell where things lie."""
        self.spec = spec
        self.allowed = allowed(spec, scenes)
        kept: dict[str, object] = {"hue": 0} if self.allowed.hue else {}
        kept |= {"turn": 0.0, "perspective": 0.0} if self.allowed.turn else {}
        mirror = [axis for axis in dict.fromkeys(strength.mirror) if not self.allowed.mirror[axis]]
        self.asked, self.strength = strength, strength.model_copy(update=kept | {"mirror": mirror})

    def left_out(self) -> Iterator[str]:
        """What the settings ask for and the spec does not allow, and why."""
        if self.asked.hue and self.allowed.hue:
            yield f"no change of hue: {self.allowed.hue}"
        if (self.asked.turn or self.asked.perspective) and self.allowed.turn:
            yield f"no turn and no perspective: {self.allowed.turn}"
        for axis in dict.fromkeys(self.asked.mirror):
            if self.allowed.mirror[axis]:
                yield f"no mirroring along {axis}: {self.allowed.mirror[axis]}"

    def vary(self, canvases: Sequence[Canvas], rng: Rng) -> Varied:
        """Varied canvases, all of one size and in the same way, on which exactly the same rules are broken."""
        moved, rejected = self._moved(canvases, rng)
        shown, dimmed = self._lit(moved, rng)
        return Varied(shown, rejected + dimmed)

    def _moved(self, canvases: Sequence[Canvas], rng: Rng) -> tuple[Sequence[Canvas], int]:
        """Moved all alike, or left where they are; and how many draws were rejected."""
        if rng.random() >= self.strength.geometric:
            return canvases, 0
        before = [self._state(canvas.scene) for canvas in canvases]
        for number in range(TRIES):
            matrix = self._drawn(canvases[0].scene, rng, GENTLER**number)
            scenes = [self._carried(c.scene, matrix, state) for c, state in zip(canvases, before, strict=True)]
            if all(scenes):
                moved = (Canvas(warped(c.photo, matrix), s) for c, s in zip(canvases, scenes, strict=True) if s)
                return tuple(moved), number
        return canvases, TRIES

    def _drawn(self, scene: Scene, rng: Rng, gentle: float) -> Matrix:
        size, s = (scene.width, scene.height), self.strength
        matrix = drawn_map(
            size, rng, shift=s.shift * gentle, scale=s.scale * gentle, turn=s.turn * gentle,
            perspective=s.perspective * gentle,
        )  # fmt: skip
        for axis in s.mirror:
            matrix = mirrored(matrix, size, axis) if rng.random() < 0.5 else matrix
        return matrix

    def _carried(self, scene: Scene, matrix: Matrix, before: tuple[object, frozenset[str]]) -> Scene | None:
        """The scene mapped; None where a label would not be true of it."""
        loose, tight = carried_over(scene, matrix)
        if not all(is_in_photo(i.box, scene) for i in loose.instances) or _is_cut_anew(scene, loose):
            return None
        if looseness(loose, tight) > LOOSE:
            return None
        for candidate in (loose, tight) if tight != loose else (loose,):
            broken, close = self._state(candidate)
            if broken != before[0] or not close <= before[1]:
                return None
        return loose

    def _state(self, scene: Scene) -> tuple[tuple[str, ...], frozenset[str]]:
        """What is broken, and what is in the dead zone."""
        reading = build_context(self.spec, scene, quiet=True)
        return find_violations(self.spec, reading), find_near_limits(self.spec, reading)

    def _lit(self, canvases: Sequence[Canvas], rng: Rng) -> tuple[tuple[Canvas, ...], int]:
        """The photos in light in which every thing can still be seen; and how many draws were too strong."""
        seed = int(rng.integers(2**31))
        small = [Canvas(thinned(c.photo, THIN), c.scene) for c in canvases]
        for number in range(DIMMED + 1):
            light = self._light(0.5**number if number < DIMMED else 0.0)
            if number < DIMMED and _are_washed(small, [lit(c.photo, light, seed) for c in small], shrunk=THIN):
                continue
            shown = [lit(c.photo, light, seed) for c in canvases]
            if number == DIMMED or not _are_washed(canvases, shown):
                break
        return tuple(Canvas(photo, c.scene) for photo, c in zip(shown, canvases, strict=True)), number

    def _light(self, gentle: float) -> albumentations.Compose:
        s = self.strength
        return lighting(
            brightness=s.brightness * gentle, contrast=s.contrast * gentle, cast=s.cast * gentle, hue=s.hue,
            uneven=s.uneven, gradient=s.gradient * gentle, vignette=s.vignette * gentle, blur=s.blur, noise=s.noise,
        )  # fmt: skip


def _are_washed(before: Sequence[Canvas], shown: Sequence[Photo], *, shrunk: int = 1) -> bool:
    """Whether a thing on one of them has drowned in its new light."""
    return any(
        is_washed(c.photo, photo, (i.box for i in c.scene.instances), shrunk=shrunk)
        for c, photo in zip(before, shown, strict=True)
    )


def _is_cut_anew(before: Scene, after: Scene) -> bool:
    """Whether a box at the photo's edge, whose thing goes on outside, has left the edge: nobody knows what comes in."""
    return any(
        was and not now
        for one, other in zip(before.instances, after.instances, strict=True)
        for was, now in zip(_at_edge(one.box, before), _at_edge(other.box, after), strict=True)
    )


def _at_edge(box: Box, scene: Scene) -> tuple[bool, bool, bool, bool]:
    return box.x1 <= 1, box.y1 <= 1, box.x2 >= scene.width - 1, box.y2 >= scene.height - 1
