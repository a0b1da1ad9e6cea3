"""The pixels of edits: what is taken away, laid down and dyed on one canvas.

A photo with its annotations, while it is edited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np

from logicls.constraints.families.edits import SUPPORT_SHARE, find_supported
from logicls.constraints.spec.models import Spec
from logicls.records import Box, Instance, Scene
from logicls.synth.image_ops import Photo, crop, paste, transfer_colour, surrounding_colour, pixel_bounds
from logicls.synth.inpainting import blend_patch, inpaint
from logicls.synth.instance_bank import InstanceBank, Donor, Mask, resize_mask

Masks = Mapping[int, Callable[[], Mask]]


@dataclass(frozen=True)
class Canvas:
    """A photo with its annotations. Where `source` is a call, its pixels are made when they are first looked at.

    Half of all edits come to nothing, because rules break that should not: that is seen on the annotations alone.
    """

    source: Photo | Callable[[], Photo]
    scene: Scene
    masks: Masks = field(default_factory=lambda: MappingProxyType({}))
    """Instance id → which pixels of its box are the thing, for those that are not as they were annotated."""

    @cached_property
    def photo(self) -> Photo:
        """The pixels."""
        return self.source() if callable(self.source) else self.source


Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Compositor:
    """Changes pixels for one spec with one bank of instances; annotations are none of its business."""

    spec: Spec
    bank: InstanceBank

    def mask(self, canvas: Canvas, target: Instance) -> Mask:
        """Which pixels of the instance's box are the thing, 0 to 1."""
        known = canvas.masks.get(target.id)
        return resize_mask(known() if known else self.bank.mask(canvas.scene, target), target.box, canvas.scene)

    def combined_mask(self, canvas: Canvas, target: Instance) -> Mask:
        """The instance's mask together with those of what lies on it."""
        tops = find_supported(canvas.scene, target, self.spec.liquids)
        mask = self.mask(canvas, target)
        if tops and target.id not in self.bank.segmentations:
            # What carries others is too motley for an estimate.
            return np.ones_like(mask)
        mask = mask.copy()
        x1, y1, _, _ = pixel_bounds(target.box, canvas.scene)
        for top in tops:
            tx1, ty1, tx2, ty2 = pixel_bounds(top.box, canvas.scene)
            part = mask[max(ty1 - y1, 0) : ty2 - y1, max(tx1 - x1, 0) : tx2 - x1]
            over = self.mask(canvas, top)[max(y1 - ty1, 0) :, max(x1 - tx1, 0) :][: part.shape[0], : part.shape[1]]
            np.maximum(part, over, out=part)
        return mask

    def inpaint(self, canvas: Canvas, target: Instance, rng: Rng) -> Photo:
        """The photo with the target's place filled from what it lies on."""
        scene = canvas.scene
        under = [i for i in scene.instances if i.id != target.id and target.box.ioa(i.box) >= SUPPORT_SHARE]
        ground = min((i.box for i in under), key=lambda b: b.area, default=None)
        gone = {target.id, *(i.id for i in (*under, *find_supported(scene, target, self.spec.liquids)))}
        others = [i for i in scene.instances if i.id not in gone]
        fronts = [(i.box, self.mask(canvas, i)) for i in others if i.box.intersection(_expand(target.box)) > 0]
        mask, boxes = self.combined_mask(canvas, target), [i.box for i in others]
        return inpaint(canvas.photo, target.box, mask, rng, support=ground, obstacles=boxes, occluders=fronts)

    def relocate(self, canvas: Canvas, target: Instance, destination: Box, rng: Rng) -> Photo:
        """The target lies there, scaled to that box, and where it was is ground."""
        ground = self.inpaint(canvas, target, rng)
        return paste(ground, crop(canvas.photo, target.box), destination, mask=self.combined_mask(canvas, target))

    def swap(self, canvas: Canvas, targets: tuple[Instance, ...], destinations: tuple[Box, ...], rng: Rng) -> Photo:
        """Each target lies in its new box, and nothing where they were."""
        photo = canvas.photo
        for target in targets:
            photo = self.inpaint(Canvas(photo, canvas.scene, canvas.masks), target, rng)
        for target, box in zip(targets, destinations, strict=True):
            photo = paste(photo, crop(canvas.photo, target.box), box, mask=self.combined_mask(canvas, target))
        return photo

    def composite(self, photo: Photo, donor: Donor, box: Box) -> Photo:
        """The donor at the box, as bright as its new surroundings: a label keeps its colour on another juice."""
        source = self.bank.photo(donor.scene)
        here, there = surrounding_colour(photo, box), np.maximum(surrounding_colour(source, donor.instance.box), 1.0)
        gain = float(np.clip(here.mean() / there.mean(), 0.85, 1.2))
        mask = self.combined_mask(Canvas(source, donor.scene), donor.instance)
        return paste(photo, crop(source, donor.instance.box), box, gain=gain, mask=mask)

    def blend_donor(self, canvas: Canvas, donor: Donor, box: Box) -> Photo:
        """The donor's whole box, ground and all, at the box."""
        source = self.bank.photo(donor.scene)
        here, there = surrounding_colour(canvas.photo, box), surrounding_colour(source, donor.instance.box)
        gain = np.clip(here / np.maximum(there, 1.0), 0.6, 1.7)
        return blend_patch(canvas.photo, crop(source, donor.instance.box), box, gain)

    def recolour(self, canvas: Canvas, target: Instance, reference: Donor) -> Photo:
        """The target in the colours of another one."""
        x1, y1, x2, y2 = pixel_bounds(target.box, canvas.scene)
        region = np.zeros((canvas.scene.height, canvas.scene.width), np.float32)
        region[y1:y2, x1:x2] = self.mask(canvas, target)
        colours = crop(self.bank.photo(reference.scene), reference.instance.box)
        shown = self.bank.mask(reference.scene, reference.instance) > 0.5
        return transfer_colour(canvas.photo, region, colours[shown])


def _expand(box: Box) -> Box:
    """The box with a quarter of its size more on every side."""
    dx, dy = box.width / 4, box.height / 4
    return Box(box.x1 - dx, box.y1 - dy, box.x2 + dx, box.y2 + dy)
