"""Bank of instances: crops and masks of all annotated instances, as donors of copy-paste augmentation."""

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
"""Shares of the box between which an estimated mask is trusted; otherwise the mask is the box."""


def estimate_mask(photo: Photo, box: Box) -> Mask:
    """Estimate the mask of a box by GrabCut (Rother et al. 2004): pixels unlike the surroundings of the box.

    Returns all ones if the estimate is implausible, or the instance fills its box.
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
    foreground = _fill_largest_contour(((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8))
    foreground = foreground[inner[1] : inner[3], inner[0] : inner[2]]
    if foreground.size == 0 or not MIN_COVERAGE <= foreground.mean() <= MAX_COVERAGE:
        return full
    return np.asarray(cv2.resize(foreground.astype(np.float32), full.shape[::-1], interpolation=cv2.INTER_LINEAR))


def _fill_largest_contour(foreground: np.ndarray) -> np.ndarray:
    """Largest connected component without holes: the pips belong to the die."""
    contours, _ = cv2.findContours(foreground, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    out = np.zeros_like(foreground)
    if contours:
        cv2.drawContours(out, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return out


def resize_mask(mask: Mask, box: Box, scene: Scene) -> Mask:
    """Resize the mask to the size of the box on the scene's photo."""
    x1, y1, x2, y2 = pixel_bounds(box, scene)
    if mask.shape == (y2 - y1, x2 - x1):
        return mask
    return np.asarray(cv2.resize(mask, (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR))


PHOTO_CACHE_BYTES = 256_000_000
"""Most bytes of decoded photos in memory."""
MASK_CACHE_SIZE = 2000
"""Most masks in memory, of some kilobytes each."""


@dataclass(frozen=True, slots=True)
class Donor:
    """An instance with the scene that it comes from."""

    instance: Instance
    scene: Scene


@dataclass
class InstanceBank:
    """Instances by component, with their photos, which are read on demand."""

    dataset: Dataset
    segmentations: Mapping[int, Segmentation] = field(default_factory=dict)
    """Annotation id → its segmentation; masks of other instances are estimated."""
    donors: Mapping[str, tuple[Donor, ...]] = field(init=False)

    def __post_init__(self) -> None:
        donors: dict[str, list[Donor]] = {}
        for scene in self.dataset.scenes:
            for instance in scene.instances:
                donors.setdefault(instance.component, []).append(Donor(instance, scene))
        self.donors = {component: tuple(donors) for component, donors in donors.items()}
        self._photos: OrderedDict[str, np.ndarray] = OrderedDict()
        self._candidates: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[Donor, ...]] = {}
        self._cached_bytes = 0
        self._masks: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()

    def load_photo(self, scene: Scene) -> np.ndarray:
        """Pixels of the scene, uint8 [height, width, 3] RGB, cached; do not write to them.

        A photo larger than its scene is resized to the scene's size.

        Raises:
            PhotoError: The photo cannot be read.
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

    def load_mask(self, scene: Scene, instance: Instance) -> Mask:
        """Mask of an instance of an annotated (unedited) scene, float32 over its box, 0 to 1."""
        key = scene.photo, instance.id
        if key not in self._masks:
            self._masks[key] = np.round(self._build_mask(scene, instance) * 255).astype(np.uint8)
            if len(self._masks) > MASK_CACHE_SIZE:
                self._masks.popitem(last=False)
        self._masks.move_to_end(key)
        return self._masks[key].astype(np.float32) / 255

    def sample(self, component: str, rng: np.random.Generator, **attributes: str) -> Donor | None:
        """Draw a random instance of the component with those attributes; None if no photo has one."""
        key = component, tuple(sorted(attributes.items()))
        if key not in self._candidates:
            self._candidates[key] = tuple(
                donor
                for donor in self.donors.get(component, ())
                if all(donor.instance.attribute(name) == value for name, value in attributes.items())
            )
        candidates = self._candidates[key]
        return candidates[int(rng.integers(len(candidates)))] if candidates else None

    def _build_mask(self, scene: Scene, instance: Instance) -> Mask:
        photo = self.load_photo(scene)
        segmentation = self.segmentations.get(instance.id)
        if segmentation is None:
            return estimate_mask(photo, instance.box)
        x1, y1, x2, y2 = pixel_bounds(instance.box, photo)
        mask = segmentation.to_mask(scene.width, scene.height)[y1:y2, x1:x2].astype(np.float32)
        return mask if mask.any() else np.ones_like(mask)
