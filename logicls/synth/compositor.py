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
from logicls.synth.image_ops import Photo, cut, pasted, recoloured, ring_mean, whole
from logicls.synth.inpainting import blended, cleared
from logicls.synth.instance_bank import Bank, Donor, Mask, resized

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
class Painter:
    """Changes pixels for one spec with one bank of instances; annotations are none of its business."""

    spec: Spec
    bank: Bank

    def mask(self, canvas: Canvas, target: Instance) -> Mask:
        """Which pixels of the instance's box are the thing, 0 to 1."""
        known = canvas.masks.get(target.id)
        return resized(known() if known else self.bank.mask(canvas.scene, target), target.box, canvas.scene)

    def whole_mask(self, canvas: Canvas, target: Instance) -> Mask:
        """The instance's mask together with those of what lies on it."""
        tops = find_supported(canvas.scene, target, self.spec.liquids)
        mask = self.mask(canvas, target)
        if tops and target.id not in self.bank.outlines:
            # What carries others is too motley for an estimate.
            return np.ones_like(mask)
        mask = mask.copy()
        x1, y1, _, _ = whole(target.box, canvas.scene)
        for top in tops:
            tx1, ty1, tx2, ty2 = whole(top.box, canvas.scene)
            part = mask[max(ty1 - y1, 0) : ty2 - y1, max(tx1 - x1, 0) : tx2 - x1]
            over = self.mask(canvas, top)[max(y1 - ty1, 0) :, max(x1 - tx1, 0) :][: part.shape[0], : part.shape[1]]
            np.maximum(part, over, out=part)
        return mask

    def cleared(self, canvas: Canvas, target: Instance, rng: Rng) -> Photo:
        """The photo with the target's place filled from what it lies on."""
        scene = canvas.scene
        under = [i for i in scene.instances if i.id != target.id and target.box.ioa(i.box) >= SUPPORT_SHARE]
        ground = min((i.box for i in under), key=lambda b: b.area, default=None)
        gone = {target.id, *(i.id for i in (*under, *find_supported(scene, target, self.spec.liquids)))}
        others = [i for i in scene.instances if i.id not in gone]
        fronts = [(i.box, self.mask(canvas, i)) for i in others if i.box.intersection(_grown(target.box)) > 0]
        mask, boxes = self.whole_mask(canvas, target), [i.box for i in others]
        return cleared(canvas.photo, target.box, mask, rng, ground=ground, others=boxes, fronts=fronts)

    def taken_to(self, canvas: Canvas, target: Instance, there: Box, rng: Rng) -> Photo:
        """The target lies there, scaled to that box, and where it was is ground."""
        ground = self.cleared(canvas, target, rng)
        return pasted(ground, cut(canvas.photo, target.box), there, mask=self.whole_mask(canvas, target))

    def swapped(self, canvas: Canvas, targets: tuple[Instance, ...], there: tuple[Box, ...], rng: Rng) -> Photo:
        """Each target lies in its new box, and nothing where they were."""
        photo = canvas.photo
        for target in targets:
            photo = self.cleared(Canvas(photo, canvas.scene, canvas.masks), target, rng)
        for target, box in zip(targets, there, strict=True):
            photo = pasted(photo, cut(canvas.photo, target.box), box, mask=self.whole_mask(canvas, target))
        return photo

    def laid(self, photo: Photo, donor: Donor, box: Box) -> Photo:
        """The donor at the box, as bright as its new surroundings: a label keeps its colour on another juice."""
        source = self.bank.photo(donor.scene)
        here, there = ring_mean(photo, box), np.maximum(ring_mean(source, donor.instance.box), 1.0)
        gain = float(np.clip(here.mean() / there.mean(), 0.85, 1.2))
        mask = self.whole_mask(Canvas(source, donor.scene), donor.instance)
        return pasted(photo, cut(source, donor.instance.box), box, gain=gain, mask=mask)

    def left_behind(self, canvas: Canvas, donor: Donor, box: Box) -> Photo:
        """The donor's whole box, ground and all, at the box."""
        source = self.bank.photo(donor.scene)
        here, there = ring_mean(canvas.photo, box), ring_mean(source, donor.instance.box)
        gain = np.clip(here / np.maximum(there, 1.0), 0.6, 1.7)
        return blended(canvas.photo, cut(source, donor.instance.box), box, gain)

    def dyed(self, canvas: Canvas, target: Instance, model: Donor) -> Photo:
        """The target in the colours of another one."""
        x1, y1, x2, y2 = whole(target.box, canvas.scene)
        region = np.zeros((canvas.scene.height, canvas.scene.width), np.float32)
        region[y1:y2, x1:x2] = self.mask(canvas, target)
        colours = cut(self.bank.photo(model.scene), model.instance.box)
        shown = self.bank.mask(model.scene, model.instance) > 0.5
        return recoloured(canvas.photo, region, colours[shown])


def _grown(box: Box) -> Box:
    """The box with a quarter of its size more on every side."""
    dx, dy = box.width / 4, box.height / 4
    return Box(box.x1 - dx, box.y1 - dy, box.x2 + dx, box.y2 + dy)
