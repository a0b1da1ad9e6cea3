"""Pixel side of the edits: cut, paste, inpaint and recolour instances on a canvas (copy-paste augmentation)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import MappingProxyType

import cv2
import numpy as np
from jaxtyping import Float

from logicls.constraints.families.edits import SUPPORT_SHARE, find_supported
from logicls.constraints.spec.models import Spec
from logicls.records import Box, Instance, Scene
from logicls.synth.geometric import RotatedPatch
from logicls.synth.image_ops import (
    Photo,
    channel_max,
    crop,
    measure_surrounding_colour,
    paste,
    pixel_bounds,
    transfer_colour,
)
from logicls.synth.inpainting import blend_patch, inpaint
from logicls.synth.instance_bank import Donor, InstanceBank, is_untouched, is_whole, resize_mask
from logicls.synth.masks import SUPPORT, Mask, Region

Masks = Mapping[int, Callable[[], Mask]]
"""Instance id → function that returns its mask."""
MAX_HIDDEN = 0.3
"""Largest share of an instance that an edit may hide without removing it."""
EDGE_REACH = 2
"""Pixels by which a visible edge may lie beside the outline of a mask."""


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

    def find_outline(self, canvas: Canvas, target: Instance) -> Mask | None:
        """Mask of the complete instance, also where something hides it or touches it; None if nothing tells.

        It is that of whole instances of its component, which all have one shape, or its own.
        """
        outline = self.bank.find_typical_mask(target.component)
        if outline is not None:
            return resize_mask(outline, target.box, canvas.scene)
        return self.get_mask(canvas, target) if self.is_mask_certain(canvas, target) else None

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

    def can_take_away(self, canvas: Canvas, target: Instance) -> bool:
        """True if the instance may be removed: it hides no part of something else, or all of its component do."""
        is_free = is_untouched(canvas.scene, target, partial(self.get_mask, canvas))
        return is_free or not self.bank.has_whole(target.component)

    def hides_something(self, canvas: Canvas, mask: Mask, box: Box, moved: Collection[int] = ()) -> bool:
        """True if a mask, scaled to a box, would cover a large part of an instance that is not among the `moved` ones.

        What it would lie on does not count.
        """
        others = [i for i in canvas.scene.instances if i.id not in moved and i.component not in self.spec.liquids]
        others = [i for i in others if i.box.intersection(box) > MAX_HIDDEN * i.box.area and box.ioa(i.box) < SUPPORT]
        if not others:
            return False
        x1, y1, x2, y2 = pixel_bounds(box, canvas.scene)
        covered = np.zeros((canvas.scene.height, canvas.scene.width), bool)
        covered[y1:y2, x1:x2] = resize_mask(mask, box, canvas.scene) > 0.5
        for other in others:
            ox1, oy1, ox2, oy2 = pixel_bounds(other.box, canvas.scene)
            visible = self.get_mask(canvas, other) > 0.5
            if np.count_nonzero(covered[oy1:oy2, ox1:ox2] & visible) > MAX_HIDDEN * np.count_nonzero(visible):
                return True
        return False

    def draw_region(self, canvas: Canvas, target: Instance) -> Region:
        """Pixels of the photo that the complete instance covers, also where something hides it."""
        others = [i for i in canvas.scene.instances if i.id != target.id and target.box.ioa(i.box) < SUPPORT]
        is_overlapped = any(i.box.intersection(target.box) > 0 for i in others)
        mask = self.find_outline(canvas, target) if is_overlapped else None
        mask = self.get_mask(canvas, target) if mask is None else mask
        x1, y1, x2, y2 = pixel_bounds(target.box, canvas.scene)
        out = np.zeros((canvas.scene.height, canvas.scene.width), bool)
        out[y1:y2, x1:x2] = mask > 0.5
        return out

    def is_in_front(self, canvas: Canvas, first: Instance, second: Instance) -> bool:
        """True if `first` hides a part of `second`: where both are, the edge of `first` is visible and not the other.

        Edges of what is fixed to either are no evidence.
        """
        common = Box(
            max(first.box.x1, second.box.x1), max(first.box.y1, second.box.y1),
            min(first.box.x2, second.box.x2), min(first.box.y2, second.box.y2),
        )  # fmt: skip
        left, top, right, bottom = pixel_bounds(common, canvas.scene, pad=4 * EDGE_REACH)
        window = slice(top, bottom), slice(left, right)
        photo = canvas.photo[window].astype(np.float32)
        gradient = channel_max(np.hypot(cv2.Sobel(photo, cv2.CV_32F, 1, 0), cv2.Sobel(photo, cv2.CV_32F, 0, 1)))
        gradient = cv2.dilate(gradient, np.ones((2 * EDGE_REACH + 1,) * 2, np.uint8))
        is_bare = np.ones(gradient.shape, bool)
        for other in canvas.scene.instances:
            if other.component not in (first.component, second.component, *self.spec.liquids):
                x1, y1, x2, y2 = pixel_bounds(other.box, canvas.scene, pad=2 * EDGE_REACH)
                is_bare[max(y1 - top, 0) : max(y2 - top, 0), max(x1 - left, 0) : max(x2 - left, 0)] = False
        regions = self.draw_region(canvas, first)[window], self.draw_region(canvas, second)[window]
        visible = [_measure_edge(gradient, front, behind & is_bare) for front, behind in (regions, regions[::-1])]
        return visible[0] > visible[1]

    def _list_occluders(
        self, canvas: Canvas, target: Instance, obstacles: Sequence[Instance]
    ) -> list[tuple[Box, Mask]]:
        """Boxes and masks of adjacent instances, without the pixels that the target hides."""
        region, occluders = None, []
        for other in obstacles:
            if other.box.intersection(_expand(target.box)) <= 0:
                continue
            mask = self.get_mask(canvas, other)
            if other.box.intersection(target.box) > 0 and not self.is_in_front(canvas, other, target):
                x1, y1, x2, y2 = pixel_bounds(other.box, canvas.scene)
                region = self.draw_region(canvas, target) if region is None else region
                mask = np.where(region[y1:y2, x1:x2], np.float32(0), mask)
            occluders.append((other.box, mask))
        return occluders

    def inpaint(self, canvas: Canvas, target: Instance, rng: Rng) -> Photo:
        """Render the photo without `target`: its pixels are inpainted from the surface that it lies on."""
        scene = canvas.scene
        supports = [i for i in scene.instances if i.id != target.id and target.box.ioa(i.box) >= SUPPORT_SHARE]
        support = min((i.box for i in supports), key=lambda b: b.area, default=None)
        excluded = {target.id, *(i.id for i in (*supports, *find_supported(scene, target, self.spec.liquids)))}
        obstacles = [i for i in scene.instances if i.id not in excluded]
        occluders = self._list_occluders(canvas, target, obstacles)
        mask, obstacle_boxes = self.get_combined_mask(canvas, target), [i.box for i in obstacles]
        if not self.is_mask_certain(canvas, target):
            mask = np.ones_like(mask)  # Nothing of it may stay.
        return inpaint(
            canvas.photo, target.box, mask, rng, support=support, obstacles=obstacle_boxes, occluders=occluders
        )

    def relocate(
        self, canvas: Canvas, target: Instance, destination: Box, rng: Rng, turned: RotatedPatch | None = None
    ) -> Photo:
        """Render the photo with `target` scaled to `destination`, or turned, and its old location inpainted."""
        background, pixels = self.inpaint(canvas, target, rng), crop(canvas.photo, target.box)
        if turned:
            return paste(background, turned.warp(pixels), destination, mask=turned.mask)
        return paste(background, pixels, destination, mask=self.get_combined_mask(canvas, target))

    def swap(self, canvas: Canvas, targets: tuple[Instance, ...], destinations: tuple[Box, ...], rng: Rng) -> Photo:
        """Render the photo with each target at its destination, and the old locations inpainted."""
        photo = canvas.photo
        for target in targets:
            photo = self.inpaint(Canvas(photo, canvas.scene, canvas.masks), target, rng)
        for target, box in zip(targets, destinations, strict=True):
            photo = paste(photo, crop(canvas.photo, target.box), box, mask=self.get_combined_mask(canvas, target))
        return photo

    def composite(self, photo: Photo, donor: Donor, box: Box, turned: RotatedPatch | None = None) -> Photo:
        """Paste a donor at the box, with its brightness matched to the new surroundings.

        One gain for all channels: colours of the donor stay.

        Args:
            photo: The photo; not changed.
            donor: The donor, with what lies on it.
            box: Where to paste it.
            turned: Its rotation; without one it is pasted as it lies.
        """
        source = self.bank.load_photo(donor.scene)
        target_colour = measure_surrounding_colour(photo, box)
        donor_colour = np.maximum(measure_surrounding_colour(source, donor.instance.box), 1.0)
        gain = float(np.clip(target_colour.mean() / donor_colour.mean(), 0.85, 1.2))
        pixels = crop(source, donor.instance.box)
        if turned:
            return paste(photo, turned.warp(pixels), box, gain=gain, mask=turned.mask)
        mask = self.get_combined_mask(Canvas(source, donor.scene), donor.instance)
        return paste(photo, pixels, box, gain=gain, mask=mask)

    def blend_donor(self, canvas: Canvas, donor: Donor, box: Box) -> Photo:
        """Blend the donor's complete box, background included, into the photo at the box."""
        source = self.bank.load_photo(donor.scene)
        target_colour = measure_surrounding_colour(canvas.photo, box)
        donor_colour = measure_surrounding_colour(source, donor.instance.box)
        gain = np.clip(target_colour / np.maximum(donor_colour, 1.0), 0.6, 1.7)
        return blend_patch(canvas.photo, box, source, donor.instance.box, gain)

    def recolour(self, canvas: Canvas, target: Instance, reference: Donor) -> Photo:
        """Render `target` in the colours of `reference`."""
        x1, y1, x2, y2 = pixel_bounds(target.box, canvas.scene)
        region = np.zeros((canvas.scene.height, canvas.scene.width), np.float32)
        region[y1:y2, x1:x2] = self.get_mask(canvas, target)
        pixels = crop(self.bank.load_photo(reference.scene), reference.instance.box)
        is_foreground = self.bank.load_mask(reference.scene, reference.instance) > 0.5
        return transfer_colour(canvas.photo, region, pixels[is_foreground])


def _measure_edge(gradient: Float[np.ndarray, "height width"], front: Region, behind: Region) -> float:
    """Mean gradient along the part of the outline of `front` that lies inside `behind`; 0 if none does."""
    outline = front & ~cv2.erode(front.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    inside = outline & cv2.erode(behind.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    return float(gradient[inside].mean()) if inside.any() else 0.0


def _expand(box: Box) -> Box:
    """Enlarge the box by a quarter of its size on every side."""
    dx, dy = box.width / 4, box.height / 4
    return Box(box.x1 - dx, box.y1 - dy, box.x2 + dx, box.y2 + dy)
