"""The bank: every instance of the annotated photos, to be cut out and put elsewhere.

Which pixels of a box are the thing: as annotated, or estimated where only the box was drawn.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float

from logicls.data.coco import Dataset
from logicls.data.image_io import read_photo
from logicls.data.segmentation import Segmentation
from logicls.records import Box, Instance, Scene
from logicls.synth.image_ops import Photo, pixel_bounds

Mask = Float[np.ndarray, "h w"]
GRABCUT_SIZE = 96
"""Longer side of the crop on which a mask is estimated, pixels."""
MIN_COVERAGE, MAX_COVERAGE = 0.3, 0.86
"""Shares of the box between which an estimate is believed; beyond, the box is all that is known."""


def estimate_mask(photo: Photo, box: Box) -> Mask:
    """Which pixels of the box are the thing, by GrabCut (Rother et al. 2004): unlike what surrounds the box.

    All of them where the estimate makes no sense, or where the thing fills its box.
    """
    x1, y1, x2, y2 = pixel_bounds(box, photo)
    full = np.ones((y2 - y1, x2 - x1), np.float32)
    margin = max(4, round(0.25 * max(x2 - x1, y2 - y1)))
    cx1, cy1, cx2, cy2 = pixel_bounds(box, photo, pad=margin)
    if min(x2 - x1, y2 - y1) < 6 or (cx2 - cx1 == x2 - x1 and cy2 - cy1 == y2 - y1):
        return full
    crop = photo[cy1:cy2, cx1:cx2]
    scale = min(1.0, GRABCUT_SIZE / max(crop.shape[:2]))
    small = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    labels = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    inner = [round(v * scale) for v in (x1 - cx1, y1 - cy1, x2 - cx1, y2 - cy1)]
    labels[inner[1] : inner[3], inner[0] : inner[2]] = cv2.GC_PR_FGD
    if not (labels == cv2.GC_BGD).any() or not (labels == cv2.GC_PR_FGD).any():
        return full
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small[..., ::-1].copy(), labels, (0, 0, 0, 0), *models, 3, cv2.GC_INIT_WITH_MASK)
    found = _fill_largest_contour(((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8))
    found = found[inner[1] : inner[3], inner[0] : inner[2]]
    if found.size == 0 or not MIN_COVERAGE <= found.mean() <= MAX_COVERAGE:
        return full
    return np.asarray(cv2.resize(found.astype(np.float32), full.shape[::-1], interpolation=cv2.INTER_LINEAR))


def _fill_largest_contour(found: np.ndarray) -> np.ndarray:
    """The largest piece without its holes: the pips of a die belong to it."""
    outlines, _ = cv2.findContours(found, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    out = np.zeros_like(found)
    if outlines:
        cv2.drawContours(out, [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return out


def resize_mask(mask: Mask, box: Box, scene: Scene) -> Mask:
    """The mask at the size that the box has on the scene's photo."""
    x1, y1, x2, y2 = pixel_bounds(box, scene)
    if mask.shape == (y2 - y1, x2 - x1):
        return mask
    return np.asarray(cv2.resize(mask, (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR))


PHOTO_CACHE_BYTES = 256_000_000
"""Bytes of decoded photos that stay in memory; a bank of thousands must not fill it."""
MASK_CACHE_SIZE = 2000
"""Masks that stay in memory, of some kilobytes each."""


@dataclass(frozen=True, slots=True)
class Donor:
    """An instance with the scene that it comes from."""

    instance: Instance
    scene: Scene


@dataclass
class InstanceBank:
    """Instances by component, and their photos, read when needed."""

    dataset: Dataset
    segmentations: Mapping[int, Segmentation] = field(default_factory=dict)
    """Annotation id → its outline, where one was drawn; the others are estimated."""
    donors: Mapping[str, tuple[Donor, ...]] = field(init=False)

    def __post_init__(self) -> None:
        found: dict[str, list[Donor]] = {}
        for scene in self.dataset.scenes:
            for instance in scene.instances:
                found.setdefault(instance.component, []).append(Donor(instance, scene))
        self.donors = {component: tuple(donors) for component, donors in found.items()}
        self._photos: OrderedDict[str, np.ndarray] = OrderedDict()
        self._candidates: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[Donor, ...]] = {}
        self._cached_bytes = 0
        self._masks: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()

    def photo(self, scene: Scene) -> np.ndarray:
        """The scene's pixels, uint8 [height, width, 3] RGB. Not to be written to. Raises `PhotoError`.

        A photo that is larger than its scene says is brought to the scene's size.
        """
        if scene.photo not in self._photos:
            photo = read_photo(self.dataset.image_path(scene))
            if photo.shape[:2] != (scene.height, scene.width):
                photo = cv2.resize(photo, (scene.width, scene.height), interpolation=cv2.INTER_AREA)
            self._cached_bytes += photo.nbytes
            while self._photos and self._cached_bytes > PHOTO_CACHE_BYTES:
                self._cached_bytes -= self._photos.popitem(last=False)[1].nbytes
            self._photos[scene.photo] = photo
        self._photos.move_to_end(scene.photo)
        return self._photos[scene.photo]

    def mask(self, scene: Scene, instance: Instance) -> Mask:
        """Which pixels of its box are the instance, 0 to 1. The scene is the annotated one, not an edited one."""
        key = scene.photo, instance.id
        if key not in self._masks:
            self._masks[key] = np.round(self._build_mask(scene, instance) * 255).astype(np.uint8)
            if len(self._masks) > MASK_CACHE_SIZE:
                self._masks.popitem(last=False)
        self._masks.move_to_end(key)
        return self._masks[key].astype(np.float32) / 255

    def sample(self, component: str, rng: np.random.Generator, **attributes: str) -> Donor | None:
        """A random instance of the component with those attributes; None where no photo has one."""
        key = component, tuple(sorted(attributes.items()))
        if key not in self._candidates:
            self._candidates[key] = tuple(
                donor
                for donor in self.donors.get(component, ())
                if all(donor.instance.attribute(name) == value for name, value in attributes.items())
            )
        fits = self._candidates[key]
        return fits[int(rng.integers(len(fits)))] if fits else None

    def _build_mask(self, scene: Scene, instance: Instance) -> Mask:
        photo = self.photo(scene)
        outline = self.segmentations.get(instance.id)
        if outline is None:
            return estimate_mask(photo, instance.box)
        x1, y1, x2, y2 = pixel_bounds(instance.box, photo)
        drawn = outline.to_mask(scene.width, scene.height)[y1:y2, x1:x2].astype(np.float32)
        return drawn if drawn.any() else np.ones_like(drawn)
