"""The bank: every instance of the annotated photos, to be cut out and put elsewhere."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from logicls.data.coco import Dataset
from logicls.data.outlines import Outline
from logicls.data.picture import read_photo
from logicls.records import Instance, Scene
from logicls.synth.masks import Mask, estimated
from logicls.synth.pixels import whole

KEPT = 256_000_000
"""Bytes of decoded photos that stay in memory; a bank of thousands must not fill it."""
KEPT_MASKS = 2000
"""Masks that stay in memory, of some kilobytes each."""


@dataclass(frozen=True, slots=True)
class Donor:
    """An instance with the scene that it comes from."""

    instance: Instance
    scene: Scene


@dataclass
class Bank:
    """Instances by component, and their photos, read when needed."""

    dataset: Dataset
    outlines: Mapping[int, Outline] = field(default_factory=dict)
    """Annotation id → its outline, where one was drawn; the others are estimated."""
    donors: Mapping[str, tuple[Donor, ...]] = field(init=False)

    def __post_init__(self) -> None:
        found: dict[str, list[Donor]] = {}
        for scene in self.dataset.scenes:
            for instance in scene.instances:
                found.setdefault(instance.component, []).append(Donor(instance, scene))
        self.donors = {component: tuple(donors) for component, donors in found.items()}
        self._photos: OrderedDict[str, np.ndarray] = OrderedDict()
        self._fits: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[Donor, ...]] = {}
        self._kept = 0
        self._masks: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()

    def photo(self, scene: Scene) -> np.ndarray:
        """The scene's pixels, uint8 [height, width, 3] RGB. Not to be written to. Raises `PhotoError`.

        A photo that is larger than its scene says is brought to the scene's size.
        """
        if scene.photo not in self._photos:
            photo = read_photo(self.dataset.image_path(scene))
            if photo.shape[:2] != (scene.height, scene.width):
                photo = cv2.resize(photo, (scene.width, scene.height), interpolation=cv2.INTER_AREA)
            self._kept += photo.nbytes
            while self._photos and self._kept > KEPT:
                self._kept -= self._photos.popitem(last=False)[1].nbytes
            self._photos[scene.photo] = photo
        self._photos.move_to_end(scene.photo)
        return self._photos[scene.photo]

    def mask(self, scene: Scene, instance: Instance) -> Mask:
        """Which pixels of its box are the instance, 0 to 1. The scene is the annotated one, not an edited one."""
        key = scene.photo, instance.id
        if key not in self._masks:
            self._masks[key] = np.round(self._made(scene, instance) * 255).astype(np.uint8)
            if len(self._masks) > KEPT_MASKS:
                self._masks.popitem(last=False)
        self._masks.move_to_end(key)
        return self._masks[key].astype(np.float32) / 255

    def pick(self, component: str, rng: np.random.Generator, **attributes: str) -> Donor | None:
        """A random instance of the component with those attributes; None where no photo has one."""
        key = component, tuple(sorted(attributes.items()))
        if key not in self._fits:
            self._fits[key] = tuple(
                donor
                for donor in self.donors.get(component, ())
                if all(donor.instance.attribute(name) == value for name, value in attributes.items())
            )
        fits = self._fits[key]
        return fits[int(rng.integers(len(fits)))] if fits else None

    def _made(self, scene: Scene, instance: Instance) -> Mask:
        photo = self.photo(scene)
        outline = self.outlines.get(instance.id)
        if outline is None:
            return estimated(photo, instance.box)
        x1, y1, x2, y2 = whole(instance.box, photo)
        drawn = outline.mask(scene.width, scene.height)[y1:y2, x1:x2].astype(np.float32)
        return drawn if drawn.any() else np.ones_like(drawn)
