"""Pixel side of the edits: cut, paste, inpaint and recolour instances on a canvas (copy-paste augmentation)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import MappingProxyType

import numpy as np

from logicls.constraints.families.edits import SUPPORT_SHARE, find_supported
from logicls.constraints.spec.models import Spec
from logicls.records import Box, Instance, Scene
from logicls.synth.image_ops import Photo, crop, measure_surrounding_colour, paste, pixel_bounds, transfer_colour
from logicls.synth.inpainting import blend_patch, inpaint
from logicls.synth.instance_bank import Donor, InstanceBank, is_whole, resize_mask
from logicls.synth.masks import Mask

Masks = Mapping[int, Callable[[], Mask]]
"""Instance id → function that returns its mask."""


@dataclass(frozen=True)
class Canvas:
    """A photo with its annotations, while it is edited.

    Pixels are rendered lazily where `source` is a function: half of all edits are discarded because they break other
    rules, which the annotations alone show.
    """

    source: Photo | Callable[[], Photo]
    scene: Scene
    masks: Masks = field(default_factory=lambda: MappingProxyType({}))
    """Masks of instances whose pixels differ from their annotation, 0 to 1 over the box."""

    @cached_property
    def photo(self) -> Photo:
        """Pixels, uint8 [height, width, 3] RGB."""
        return self.source() if callable(self.source) else self.source


Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Compositor:
    """Renders edits of one spec with instances from one bank; does not change annotations."""

    spec: Spec
    bank: InstanceBank

    def get_mask(self, canvas: Canvas, target: Instance) -> Mask:
        """Mask of an instance, float32 [height, width] of its box, 0 to 1."""
        edited_mask = canvas.masks.get(target.id)
        return resize_mask(
            edited_mask() if edited_mask else self.bank.load_mask(canvas.scene, target), target.box, canvas.scene
        )

    def get_combined_mask(self, canvas: Canvas, target: Instance) -> Mask:
        """Union of the instance's mask with the masks of everything that lies on it."""
        contents = find_supported(canvas.scene, target, self.spec.liquids)
        mask = self.get_mask(canvas, target)
        if contents and not self.is_mask_certain(canvas, target):
            return np.ones_like(mask)
        mask = mask.copy()
        x1, y1, _, _ = pixel_bounds(target.box, canvas.scene)
        for content in contents:
            tx1, ty1, tx2, ty2 = pixel_bounds(content.box, canvas.scene)
            part = mask[max(ty1 - y1, 0) : ty2 - y1, max(tx1 - x1, 0) : tx2 - x1]
            content_mask = self.get_mask(canvas, content)[max(y1 - ty1, 0) :, max(x1 - tx1, 0) :][
                : part.shape[0], : part.shape[1]
            ]
            np.maximum(part, content_mask, out=part)
        return mask

    def is_mask_certain(self, canvas: Canvas, target: Instance) -> bool:
        """True if the mask of the instance is annotated, known from an edit, or segmented with confidence."""
        return target.id in canvas.masks or self.bank.is_mask_certain(canvas.scene, target)

    def can_cut_out(self, canvas: Canvas, target: Instance) -> bool:
        """True if the instance may be moved: it can be cut out, or no photo has a better one of its component.

        Where its mask is uncertain its box is moved, except for components that lie at different angles.
        """
        has_mask = self.is_mask_certain(canvas, target) or not self.bank.lies_at_angles(target.component)
        is_separate = has_mask and is_whole(canvas.scene, target, partial(self.get_mask, canvas))
        return is_separate or not self.bank.has_whole(target.component)

    def inpaint(self, canvas: Canvas, target: Instance, rng: Rng) -> Photo:
        """Render the photo without `target`: its pixels are inpainted from the surface that it lies on."""
        scene = canvas.scene
        supports = [i for i in scene.instances if i.id != target.id and target.box.ioa(i.box) >= SUPPORT_SHARE]
        support = min((i.box for i in supports), key=lambda b: b.area, default=None)
        excluded = {target.id, *(i.id for i in (*supports, *find_supported(scene, target, self.spec.liquids)))}
        obstacles = [i for i in scene.instances if i.id not in excluded]
        occluders = [
            (i.box, self.get_mask(canvas, i)) for i in obstacles if i.box.intersection(_expand(target.box)) > 0
        ]
        mask, obstacle_boxes = self.get_combined_mask(canvas, target), [i.box for i in obstacles]
        if not self.is_mask_certain(canvas, target):
            mask = np.ones_like(mask)  # Nothing of it may stay.
        return inpaint(
            canvas.photo, target.box, mask, rng, support=support, obstacles=obstacle_boxes, occluders=occluders
        )

    def relocate(self, canvas: Canvas, target: Instance, destination: Box, rng: Rng) -> Photo:
        """Render the photo with `target` scaled to `destination`, and its old location inpainted."""
        background = self.inpaint(canvas, target, rng)
        return paste(
            background, crop(canvas.photo, target.box), destination, mask=self.get_combined_mask(canvas, target)
        )

    def swap(self, canvas: Canvas, targets: tuple[Instance, ...], destinations: tuple[Box, ...], rng: Rng) -> Photo:
        """Render the photo with each target at its destination, and the old locations inpainted."""
        photo = canvas.photo
        for target in targets:
            photo = self.inpaint(Canvas(photo, canvas.scene, canvas.masks), target, rng)
        for target, box in zip(targets, destinations, strict=True):
            photo = paste(photo, crop(canvas.photo, target.box), box, mask=self.get_combined_mask(canvas, target))
        return photo

    def composite(self, photo: Photo, donor: Donor, box: Box) -> Photo:
        """Paste a donor at the box, with its brightness matched to the new surroundings.

        One gain for all channels: colours of the donor stay.
        """
        source = self.bank.load_photo(donor.scene)
        target_colour = measure_surrounding_colour(photo, box)
        donor_colour = np.maximum(measure_surrounding_colour(source, donor.instance.box), 1.0)
        gain = float(np.clip(target_colour.mean() / donor_colour.mean(), 0.85, 1.2))
        mask = self.get_combined_mask(Canvas(source, donor.scene), donor.instance)
        return paste(photo, crop(source, donor.instance.box), box, gain=gain, mask=mask)

    def blend_donor(self, canvas: Canvas, donor: Donor, box: Box) -> Photo:
        """Blend the donor's complete box, background included, into the photo at the box."""
        source = self.bank.load_photo(donor.scene)
        target_colour = measure_surrounding_colour(canvas.photo, box)
        donor_colour = measure_surrounding_colour(source, donor.instance.box)
        gain = np.clip(target_colour / np.maximum(donor_colour, 1.0), 0.6, 1.7)
        return blend_patch(canvas.photo, crop(source, donor.instance.box), box, gain)

    def recolour(self, canvas: Canvas, target: Instance, reference: Donor) -> Photo:
        """Render `target` in the colours of `reference`."""
        x1, y1, x2, y2 = pixel_bounds(target.box, canvas.scene)
        region = np.zeros((canvas.scene.height, canvas.scene.width), np.float32)
        region[y1:y2, x1:x2] = self.get_mask(canvas, target)
        pixels = crop(self.bank.load_photo(reference.scene), reference.instance.box)
        is_foreground = self.bank.load_mask(reference.scene, reference.instance) > 0.5
        return transfer_colour(canvas.photo, region, pixels[is_foreground])


def _expand(box: Box) -> Box:
    """Enlarge the box by a quarter of its size on every side."""
    dx, dy = box.width / 4, box.height / 4
    return Box(box.x1 - dx, box.y1 - dy, box.x2 + dx, box.y2 + dy)
