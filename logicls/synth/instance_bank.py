"""Bank of instances: crops and masks of all annotated instances, as donors of copy-paste augmentation."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile

import cv2
import numpy as np
from jaxtyping import UInt8

from logicls.data.coco import Dataset
from logicls.data.image_io import read_photo
from logicls.data.segmentation import Segmentation
from logicls.records import Box, Instance, Scene
from logicls.synth.image_ops import pixel_bounds
from logicls.synth.masks import MIN_CONFIDENCE, SUPPORT, Mask, MaskEstimate, estimate_mask

MIN_VARIED_BOXES, ASPECT_SPREAD = 5, 0.25
"""Boxes of a component, and standard deviation of the logarithm of their aspect ratios, from which on it lies at
different angles: it cannot fill its boxes.
"""
TESTED_FILLINGS = 12
"""Instances that must all fill their boxes before those that follow are taken to do so."""
MIN_TYPICAL, MAX_TYPICAL, TYPICAL_SIDE = 3, 24, 256
"""Fewest and most whole instances whose masks are averaged to the typical one, and its longer side, pixels."""
COVERED = 0.75
"""Share of a box inside a mask from which on what is in the box lies on the masked thing, whatever its own mask is."""
MAX_SHARED = 0.3
"""Largest share of a mask inside the box of something else; beyond, the mask may hold parts of it."""
MAX_DONORS_TRIED = 48
"""Most donors that are examined until a whole one is found."""


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


def is_whole(scene: Scene, instance: Instance, get_mask: Callable[[Instance], Mask]) -> bool:
    """True if the instance can be cut out: the photo's edge does not cut it, and nothing else touches it.

    What lies on it belongs to it, and it may lie on something larger. Boxes of slanted things overlap and contain one
    another without touching, so masks decide.

    Args:
        scene: The scene.
        instance: One of its instances.
        get_mask: Returns the mask of an instance of the scene, over its box.
    """
    box = instance.box
    if box.x1 <= 1 or box.y1 <= 1 or box.x2 >= scene.width - 1 or box.y2 >= scene.height - 1:
        return False
    return is_untouched(scene, instance, get_mask)


def is_untouched(scene: Scene, instance: Instance, get_mask: Callable[[Instance], Mask]) -> bool:
    """True if nothing else touches the instance; arguments as for `is_whole`."""
    box = instance.box
    neighbours = [i for i in scene.instances if i.id != instance.id and i.box.intersection(box) > 0]
    neighbours = [i for i in neighbours if box.ioa(i.box) < SUPPORT or i.box.area <= box.area]
    if not neighbours:
        return True
    own = _draw_region(scene, box, get_mask(instance))
    reach, area = cv2.dilate(own, np.ones((3, 3), np.uint8)), max(int(np.count_nonzero(own)), 1)
    for neighbour in neighbours:
        x1, y1, x2, y2 = pixel_bounds(neighbour.box, scene)
        is_inside, shared = neighbour.box.ioa(box) >= SUPPORT, np.count_nonzero(own[y1:y2, x1:x2])
        if is_inside and shared >= COVERED * (x2 - x1) * (y2 - y1):
            continue  # Whatever its mask is, it lies on the instance.
        other = get_mask(neighbour) > 0.5
        touching = np.count_nonzero(reach[y1:y2, x1:x2].astype(bool) & other)
        if is_inside and touching >= 0.5 * np.count_nonzero(other):
            continue
        if touching or shared > MAX_SHARED * area:
            return False
    return True


def _draw_region(scene: Scene, box: Box, mask: Mask) -> UInt8[np.ndarray, "height width"]:
    """Draw the mask of a box on a canvas of the scene's size, 0 or 1."""
    canvas = np.zeros((scene.height, scene.width), np.uint8)
    x1, y1, x2, y2 = pixel_bounds(box, scene)
    canvas[y1:y2, x1:x2] = mask > 0.5
    return canvas


def _average_masks(masks: Sequence[Mask]) -> Mask:
    """Majority of the masks, scaled to their median size, at most `TYPICAL_SIDE`."""
    height, width = np.median([mask.shape for mask in masks], axis=0)
    scale = min(1.0, TYPICAL_SIDE / max(height, width))
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    mean = np.mean([cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR) for mask in masks], axis=0)
    return np.asarray(mean >= 0.5, np.float32)


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
        self._scenes = {scene.photo: scene for scene in self.dataset.scenes}
        self.donors = {component: tuple(donors) for component, donors in donors.items()}
        self._photos: OrderedDict[str, np.ndarray] = OrderedDict()
        self._candidates: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[Donor, ...]] = {}
        self._cached_bytes = 0
        self._masks: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()
        self._confidences: dict[tuple[str, int], float] = {}
        self._whole: dict[tuple[str, int], bool] = {}
        self._has_whole: dict[str, bool] = {}
        self._at_angles: dict[str, bool] = {}
        self._fillings: dict[str, float | None] = {}
        self._typical_masks: dict[str, Mask | None] = {}

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
        """Mask of an annotated instance, float32 over its annotated box, 0 to 1.

        `scene` may be edited: the mask is that of the photo as it was annotated.
        """
        key = scene.photo, instance.id
        if key not in self._masks:
            estimate = self._build_mask(scene, self._find_annotated(scene, instance))
            self._masks[key] = np.round(estimate.mask * 255).astype(np.uint8)
            self._confidences[key] = estimate.confidence
            if len(self._masks) > MASK_CACHE_SIZE:
                self._masks.popitem(last=False)
        self._masks.move_to_end(key)
        return self._masks[key].astype(np.float32) / 255

    def is_mask_certain(self, scene: Scene, instance: Instance) -> bool:
        """True if the instance's mask is annotated, or was segmented with confidence."""
        key = scene.photo, instance.id
        if key not in self._confidences:
            self.load_mask(scene, instance)
        return self._confidences[key] >= MIN_CONFIDENCE

    def is_whole(self, scene: Scene, instance: Instance) -> bool:
        """True if an instance of an annotated scene can be cut out: known mask, not cut off, nothing touches it."""
        key = scene.photo, instance.id
        if key not in self._whole:
            is_separate = is_whole(scene, instance, lambda i: self.load_mask(scene, i))
            self._whole[key] = is_separate and self.is_mask_certain(scene, instance)
        return self._whole[key]

    def has_whole(self, component: str) -> bool:
        """True if one of the component's instances, or of the first `MAX_DONORS_TRIED`, can be cut out."""
        if component not in self._has_whole:
            donors = islice(self.donors.get(component, ()), MAX_DONORS_TRIED)
            self._has_whole[component] = any(self.is_whole(donor.scene, donor.instance) for donor in donors)
        return self._has_whole[component]

    def find_typical_mask(self, component: str) -> Mask | None:
        """Mask that most whole instances of a component have in common, scaled to their boxes, 0 or 1.

        None if there are too few, or if the component lies at different angles.
        """
        if component not in self._typical_masks:
            donors = islice(self.donors.get(component, ()), MAX_DONORS_TRIED)
            whole = [] if self.lies_at_angles(component) else [d for d in donors if self.is_whole(d.scene, d.instance)]
            masks = [self.load_mask(donor.scene, donor.instance) for donor in whole[:MAX_TYPICAL]]
            self._typical_masks[component] = _average_masks(masks) if len(masks) >= MIN_TYPICAL else None
        return self._typical_masks[component]

    def _estimate_mask(self, scene: Scene, instance: Instance) -> MaskEstimate:
        """Segment an instance; where that fails, its mask is its box, unless its component lies at angles."""
        annotated = self._scenes.get(scene.photo, scene)
        others = [i.box for i in annotated.instances if i.id != instance.id]
        estimate = estimate_mask(self.load_photo(scene), instance.box, others)
        if estimate.confidence >= MIN_CONFIDENCE or self.lies_at_angles(instance.component):
            return estimate
        return MaskEstimate(np.ones_like(estimate.mask), estimate.confidence)

    def _measure_filling(self, component: str) -> float | None:
        """Median confidence in the masks of a component that fills its boxes, as labels do; None for other components.

        The first instances of the dataset decide: the others need not be segmented.
        """
        if component not in self._fillings:
            donors = [d for d in self.donors.get(component, ()) if d.instance.id not in self.segmentations]
            first = donors[:TESTED_FILLINGS] if len(donors) > TESTED_FILLINGS else []
            estimates = (self._estimate_mask(donor.scene, donor.instance) for donor in first)
            confidences = [e.confidence for e in takewhile(lambda e: bool(e.mask.min() > 0.5), estimates)]
            is_filling = len(confidences) == TESTED_FILLINGS
            self._fillings[component] = float(np.median(confidences)) if is_filling else None
        return self._fillings[component]

    def lies_at_angles(self, component: str) -> bool:
        """True if the component's boxes are so differently shaped that it lies at different angles."""
        if component not in self._at_angles:
            boxes = [donor.instance.box for donor in self.donors.get(component, ())]
            aspects = [math.log(box.width / box.height) for box in boxes if box.width > 0 and box.height > 0]
            is_varied = len(aspects) >= MIN_VARIED_BOXES and float(np.std(aspects)) > ASPECT_SPREAD
            self._at_angles[component] = is_varied
        return self._at_angles[component]

    def sample(self, component: str, rng: np.random.Generator, **attributes: str) -> Donor | None:
        """Draw a random instance of the component with those attributes; None if no photo has one.

        Instances of good photos have precedence over those of declared defects, and among them those that can be cut
        out: a part of something else, or a thing that the photo's edge cuts off, is drawn only if nothing else exists.
        """
        key = component, tuple(sorted(attributes.items()))
        if key not in self._candidates:
            matching = [
                donor
                for donor in self.donors.get(component, ())
                if all(donor.instance.attribute(name) == value for name, value in attributes.items())
            ]
            good = [donor for donor in matching if donor.scene.photo not in self.dataset.declared_defects]
            self._candidates[key] = tuple(good or matching)
        candidates = self._candidates[key]
        if not candidates:
            return None
        drawn = [candidates[int(number)] for number in rng.permutation(len(candidates))[:MAX_DONORS_TRIED]]
        return next((donor for donor in drawn if self.is_whole(donor.scene, donor.instance)), drawn[0])

    def _find_annotated(self, scene: Scene, instance: Instance) -> Instance:
        """Return the instance as it was annotated: an edit may have given it another box."""
        annotated = self._scenes.get(scene.photo, scene).instances
        return next((other for other in annotated if other.id == instance.id), instance)

    def _build_mask(self, scene: Scene, instance: Instance) -> MaskEstimate:
        photo = self.load_photo(scene)
        segmentation = self.segmentations.get(instance.id)
        if segmentation is None:
            confidence = self._measure_filling(instance.component)
            if confidence is None:
                return self._estimate_mask(scene, instance)
            x1, y1, x2, y2 = pixel_bounds(instance.box, photo)
            return MaskEstimate(np.ones((y2 - y1, x2 - x1), np.float32), confidence)
        x1, y1, x2, y2 = pixel_bounds(instance.box, photo)
        mask = segmentation.to_mask(scene.width, scene.height)[y1:y2, x1:x2].astype(np.float32)
        return MaskEstimate(mask if mask.any() else np.ones_like(mask), 1.0)
