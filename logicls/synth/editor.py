"""Edits of canvases: the annotations change at once, the pixels are rendered on demand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import assert_never

import numpy as np

from logicls.constraints.families.angles import fold_angle
from logicls.constraints.families.edits import (
    Add,
    Damage,
    Edit,
    Move,
    Remove,
    Replace,
    Reroute,
    Resize,
    Rotate,
    Swap,
    Vary,
    apply_edit,
    find_supported,
    get_instance,
)
from logicls.constraints.spec.models import Spec
from logicls.records import Box, Instance, Scene
from logicls.synth.compositor import Canvas, Compositor
from logicls.synth.flaws import damage_part, vary_part
from logicls.synth.geometric import CableBend, RotatedPatch, find_cable, make_core_mask
from logicls.synth.image_ops import Photo, crop, paste, pixel_bounds
from logicls.synth.inpainting import inpaint
from logicls.synth.instance_bank import Donor, InstanceBank
from logicls.synth.invariances import is_orientation_free
from logicls.synth.liquids import find_liquid
from logicls.synth.masks import Mask

Rng = np.random.Generator
LazyPhoto = Callable[[], Photo]
HALF_TURN = 180.0
HALF_TURN_SLACK = 5.0
"""Degrees by which a turn may differ from half a turn for a part to cover its old pixels."""
CORE_SHARE = 0.7
"""Share of the half turns of parts with an uncertain mask that leave the margins of the box in place."""
COLOUR_ATTRIBUTES = ("colour", "color")
"""Attributes that colour transfer can change."""
MIN_SURFACE = 0.1
"""Least share of a box that must belong to the instance alone for its look to be changed."""


class Editor:
    """Applies edits for one spec with one bank of instances."""

    def __init__(self, spec: Spec, bank: InstanceBank) -> None:
        self.spec, self.bank, self.compositor = spec, bank, Compositor(spec, bank)
        self._is_orientation_free = is_orientation_free(spec)

    def apply(self, edit: Edit, canvas: Canvas, rng: Rng) -> Canvas | None:
        """Apply one edit; returns a new canvas, or None if no photo has the instances that it needs."""
        match edit:
            case Remove():
                return self._remove(edit, canvas, rng)
            case Add():
                return self._add(edit, canvas, rng)
            case Move():
                return self._move(edit, canvas, rng)
            case Swap():
                return self._swap(edit, canvas, rng)
            case Replace():
                return self._replace(edit, canvas, rng)
            case Resize():
                return self._resize(edit, canvas, rng)
            case Rotate():
                return self._rotate(edit, canvas, rng)
            case Reroute():
                return self._reroute(edit, canvas, rng)
            case Damage():
                return self._retouch(edit, canvas, partial(damage_part, rng=_spawn_rng(rng)))
            case Vary():
                return self._retouch(edit, canvas, partial(vary_part, rng=_spawn_rng(rng)))
            case _:
                assert_never(edit)

    def _remove(self, edit: Remove, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = get_instance(canvas.scene, edit.target)
        definition = self.spec.components[target.component]
        if definition.leaves:
            return self._reveal(edit, target, definition.leaves, canvas, rng)
        if definition.fills:
            liquid = find_liquid(self.compositor, canvas, target, definition.fills)
            if liquid is None or not liquid.has_headspace:
                return None
            return self._derive(edit, canvas, partial(liquid.lower, target.box.y2, _spawn_rng(rng)))
        if not self.compositor.can_take_away(canvas, target):
            return None
        return self._derive(edit, canvas, partial(self.compositor.inpaint, canvas, target, _spawn_rng(rng)))

    def _reveal(self, edit: Remove, target: Instance, component: str, canvas: Canvas, rng: Rng) -> Canvas | None:
        """Remove the target; the component that becomes visible in its place comes from a donor."""
        donor = self.bank.sample(component, rng)
        if donor is None:
            return None
        additions = [replace(donor.instance, id=_next_id(canvas.scene), box=target.box)]
        masks = [partial(self.bank.load_mask, donor.scene, donor.instance)]
        source = partial(self.compositor.blend_donor, canvas, donor, target.box)
        return self._derive(edit, canvas, source, additions, masks)

    def _add(self, edit: Add, canvas: Canvas, rng: Rng) -> Canvas | None:
        donor = self.bank.sample(edit.component, rng, **dict(edit.attributes))
        if donor is None:
            return None
        mask, turned = self.bank.load_mask(donor.scene, donor.instance), None
        if self._may_turn(donor.scene, donor.instance):
            turned = RotatedPatch.compute(mask, donor.instance.box, 360 * float(rng.random()))
        box = _centre_box(turned.box if turned else donor.instance.box, edit.box)
        is_in_photo = box.clip(canvas.scene.width, canvas.scene.height) == box
        if not is_in_photo or self.compositor.hides_something(canvas, turned.mask if turned else mask, box):
            return None
        additions, masks = self._place_donor(donor, box, canvas.scene)
        if turned:
            additions, masks = [_set_box(additions[0], box, turned.degrees)], [partial(getattr, turned, "mask")]
        return self._derive(
            edit, canvas, lambda: self.compositor.composite(canvas.photo, donor, box, turned), additions, masks
        )

    def _may_turn(self, scene: Scene, instance: Instance) -> bool:
        """True if the instance may lie at any angle: its component does on the photos, and no rule or name minds.

        An instance with others on it is left as it lies.
        """
        return (
            self._is_orientation_free
            and self.bank.lies_at_angles(instance.component)
            and not find_supported(scene, instance, self.spec.liquids)
        )

    def _move(self, edit: Move, canvas: Canvas, rng: Rng) -> Canvas | None:
        target, pixel_rng = get_instance(canvas.scene, edit.target), _spawn_rng(rng)
        fills = self.spec.components[target.component].fills
        if fills:
            liquid = find_liquid(self.compositor, canvas, target, fills)
            is_in_place = edit.dx == edit.dy == 0
            return self._derive(edit, canvas, partial(liquid.redraw, pixel_rng)) if liquid and is_in_place else None
        if not self.compositor.can_cut_out(canvas, target):
            return None
        if self._may_turn(canvas.scene, target):
            return self._move_turned(edit, target, canvas, rng)
        destination = target.box.translate(edit.dx, edit.dy)
        if self._hides_something(canvas, target, destination):
            return None
        return self._derive(edit, canvas, partial(self.compositor.relocate, canvas, target, destination, pixel_rng))

    def _move_turned(self, edit: Move, target: Instance, canvas: Canvas, rng: Rng) -> Canvas | None:
        """Move a thing that lies anywhere, and turn it by a random angle."""
        turned = RotatedPatch.compute(self.compositor.get_mask(canvas, target), target.box, 360 * float(rng.random()))
        box, pixel_rng = turned.box.translate(edit.dx, edit.dy), _spawn_rng(rng)
        is_in_photo = box.clip(canvas.scene.width, canvas.scene.height) == box
        if not is_in_photo or self.compositor.hides_something(canvas, turned.mask, box, (target.id,)):
            return None
        source = partial(self.compositor.relocate, canvas, target, box, pixel_rng, turned)
        after = self._derive(Resize(target.id, box), canvas, source)
        instances = tuple(_set_box(i, box, turned.degrees) if i.id == target.id else i for i in after.scene.instances)
        return Canvas(
            source, replace(after.scene, instances=instances), {**after.masks, target.id: lambda: turned.mask}
        )

    def _hides_something(self, canvas: Canvas, target: Instance, destination: Box) -> bool:
        """True if the target would hide a part of something else at its destination."""
        moved = {target.id, *(i.id for i in find_supported(canvas.scene, target, self.spec.liquids))}
        return self.compositor.hides_something(canvas, self.compositor.get_mask(canvas, target), destination, moved)

    def _swap(self, edit: Swap, canvas: Canvas, rng: Rng) -> Canvas | None:
        targets = tuple(get_instance(canvas.scene, number) for number in (edit.target, edit.other))
        if not all(self.compositor.can_cut_out(canvas, target) for target in targets):
            return None
        after = self._derive(edit, canvas, canvas.source)
        destinations = tuple(get_instance(after.scene, target.id).box for target in targets)
        return replace(after, source=partial(self.compositor.swap, canvas, targets, destinations, _spawn_rng(rng)))

    def _replace(self, edit: Replace, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = get_instance(canvas.scene, edit.target)
        donor = self.bank.sample(edit.component, rng, **dict(edit.attributes))
        recoloured = self._recolour(edit, canvas, target, donor, rng)
        if recoloured is not None or donor is None:
            return recoloured
        target, donor = self._choose_carrier(canvas.scene, target, donor, rng)
        box, pixel_rng = _centre_box(donor.instance.box, target.box), _spawn_rng(rng)
        removed = {target.id, *(i.id for i in find_supported(canvas.scene, target, self.spec.liquids))}
        mask = self.bank.load_mask(donor.scene, donor.instance)
        if not self.compositor.can_take_away(canvas, target):
            return None
        if self.compositor.hides_something(canvas, mask, box, removed):
            return None
        additions = self._place_donor(donor, box, canvas.scene)

        def render() -> Photo:
            return self.compositor.composite(self.compositor.inpaint(canvas, target, pixel_rng), donor, box)

        return self._derive(replace(edit, target=target.id), canvas, render, *additions)

    def _recolour(
        self, edit: Replace, canvas: Canvas, target: Instance, donor: Donor | None, rng: Rng
    ) -> Canvas | None:
        """Recolour the target if only its colour changes; returns None if another instance must be pasted.

        Liquids are always recoloured. Other components are recoloured if no photo has one with the requested
        attributes.
        """
        if edit.component != target.component:
            return None
        fills = self.spec.components[target.component].fills
        reference = donor
        if not fills:
            changed = set(edit.attributes) - set(target.attributes)
            if donor is not None or len(changed) != 1 or next(iter(changed))[0] not in COLOUR_ATTRIBUTES:
                return None
            reference = self.bank.sample(target.component, rng, **dict(changed))
        if reference is None:
            return None
        if fills:
            source = Canvas(partial(self.bank.load_photo, reference.scene), reference.scene)
            target_liquid, reference_liquid = (
                find_liquid(self.compositor, canvas, target, fills),
                find_liquid(self.compositor, source, reference.instance, fills),
            )
            return (
                self._derive(edit, canvas, partial(target_liquid.recolour, reference_liquid))
                if target_liquid and reference_liquid
                else None
            )
        return self._derive(edit, canvas, partial(self.compositor.recolour, canvas, target, reference))

    def _resize(self, edit: Resize, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = get_instance(canvas.scene, edit.target)
        fills = self.spec.components[target.component].fills
        if not fills:
            if not self.compositor.can_cut_out(canvas, target) or self._hides_something(canvas, target, edit.box):
                return None
            return self._derive(
                edit, canvas, partial(self.compositor.relocate, canvas, target, edit.box, _spawn_rng(rng))
            )
        liquid = find_liquid(self.compositor, canvas, target, fills)
        is_lower = edit.box.y1 > target.box.y1
        if liquid is None or (is_lower and not liquid.has_headspace):
            return None
        return self._derive(
            edit, canvas, partial(liquid.lower if is_lower else liquid.top_up, edit.box.y1, _spawn_rng(rng))
        )

    def _rotate(self, edit: Rotate, canvas: Canvas, rng: Rng) -> Canvas | None:
        target, pixel_rng = get_instance(canvas.scene, edit.target), _spawn_rng(rng)
        contents = find_supported(canvas.scene, target, self.spec.liquids) if edit.turns_contents else ()
        if any(i.component in self.spec.liquids for i in contents):
            return None
        mask = self.compositor.get_mask(canvas, target)
        if edit.turns_contents:
            is_certain = self.compositor.is_mask_certain(canvas, target)
            mask = self.compositor.get_combined_mask(canvas, target) if is_certain else np.ones_like(mask)
        rotated = RotatedPatch.compute(mask, target.box, edit.degrees)
        is_in_photo = rotated.box.clip(canvas.scene.width, canvas.scene.height) == rotated.box
        if not is_in_photo or not self.compositor.can_cut_out(canvas, target):
            return None
        is_half_turn = edit.turns_contents and abs(fold_angle(edit.degrees, HALF_TURN)) <= HALF_TURN_SLACK
        if is_half_turn and not is_certain and not contents and rng.random() < CORE_SHARE:
            return self._turn_core(edit, canvas, target, rng)

        def render() -> Photo:
            patch = rotated.warp(crop(canvas.photo, target.box))
            return paste(self.compositor.inpaint(canvas, target, pixel_rng), patch, rotated.box, mask=rotated.mask)

        patches = {target.id: rotated}
        for i in contents:
            patch = RotatedPatch.compute(self.compositor.get_mask(canvas, i), i.box, edit.degrees)
            moved = edit.rotate_instance(i, target.box.centre).box.centre
            patches[i.id] = replace(
                patch, box=patch.box.translate(moved[0] - i.box.centre[0], moved[1] - i.box.centre[1])
            )
        after = self._derive(edit if edit.turns_contents else Resize(edit.target, rotated.box), canvas, render)
        instances = tuple(
            replace(i, box=patches[i.id].box, angle=before.angle) if i.id in patches else i
            for i, before in zip(
                after.scene.instances, apply_edit(edit, canvas.scene, self.spec.liquids).instances, strict=True
            )
        )
        masks = {number: partial(getattr, patch, "mask") for number, patch in patches.items()}
        return replace(after, scene=replace(after.scene, instances=instances), masks={**after.masks, **masks})

    def _turn_core(self, edit: Rotate, canvas: Canvas, target: Instance, rng: Rng) -> Canvas:
        """Turn a part by half a turn without the margins of its box, which may show what the part is mounted on.

        Where a mask is uncertain, nobody knows whether pads, pins or print at the edge belong to the part or to its
        place: a part that is inserted the wrong way round turns, its place does not. It covers its old pixels.
        """
        core = make_core_mask(self.compositor.get_mask(canvas, target).shape, rng)
        rotated = RotatedPatch.compute(core, target.box, edit.degrees)

        def render() -> Photo:
            return paste(canvas.photo, rotated.warp(crop(canvas.photo, target.box)), rotated.box, mask=rotated.mask)

        after = self._derive(edit, canvas, render)
        instances = (replace(i, box=target.box) if i.id == target.id else i for i in after.scene.instances)
        return replace(after, scene=replace(after.scene, instances=tuple(instances)), masks=canvas.masks)

    def _reroute(self, edit: Reroute, canvas: Canvas, rng: Rng) -> Canvas | None:
        """Move a connector; the cable that it ends bends along."""
        end = get_instance(canvas.scene, edit.target)
        cable = find_cable(canvas.scene, end)
        if cable is None:
            return self._move(Move(edit.target, edit.dx, edit.dy), canvas, rng)
        mask, pixel_rng = self.compositor.get_mask(canvas, cable), _spawn_rng(rng)
        bend = CableBend.compute(canvas.scene, (cable.box, mask), end.box, (edit.dx, edit.dy))

        def render() -> Photo:
            # A cable lies over what it connects: no occluders, and the surface under it is not restricted.
            return bend.composite(canvas.photo, inpaint(canvas.photo, cable.box, mask, pixel_rng))

        after = self._derive(edit, canvas, render)
        instances = tuple(replace(i, box=bend.box) if i.id == cable.id else i for i in after.scene.instances)
        masks = {**after.masks, cable.id: lambda: bend.mask}
        return Canvas(render, replace(after.scene, instances=instances), masks)

    def _retouch(
        self, edit: Damage | Vary, canvas: Canvas, change: Callable[[Photo, np.ndarray], Photo]
    ) -> Canvas | None:
        """Change the target's own pixels in place; None if other instances cover nearly all of it.

        `change` gets the pixels of the box, and a mask of those that belong to the target alone.
        """
        target = get_instance(canvas.scene, edit.target)
        x1, y1, x2, y2 = pixel_bounds(target.box, canvas.scene)
        surface = self.compositor.get_mask(canvas, target)[: y2 - y1, : x2 - x1] > 0.5
        for other in canvas.scene.instances:
            if other.id != target.id and other.box.area < target.box.area and other.box.intersection(target.box) > 0:
                left, top, right, bottom = pixel_bounds(other.box, canvas.scene)
                surface[max(top - y1, 0) : max(bottom - y1, 0), max(left - x1, 0) : max(right - x1, 0)] = False
        if surface.mean() < MIN_SURFACE:
            return None

        def render() -> Photo:
            photo = canvas.photo.copy()
            part = photo[y1:y2, x1:x2]
            photo[y1:y2, x1:x2] = np.where(surface[..., None], change(part, surface), part)
            return photo

        return self._derive(edit, canvas, render)

    def _choose_carrier(self, scene: Scene, target: Instance, donor: Donor, rng: Rng) -> tuple[Instance, Donor]:
        """Choose what to replace: the instance itself, or with probability 0.5 its support.

        The support is eligible if it lies on something itself, and is of the same component on both photos.
        """
        support, donor_support = self._find_support(scene, target), self._find_support(donor.scene, donor.instance)
        if (
            support
            and donor_support
            and support.component == donor_support.component
            and self._find_support(scene, support)
            and rng.random() < 0.5
        ):
            return support, Donor(donor_support, donor.scene)
        return target, donor

    def _find_support(self, scene: Scene, top: Instance) -> Instance | None:
        """Smallest instance that `top` lies on; None if there is none."""
        supports = [i for i in scene.instances if top in find_supported(scene, i, self.spec.liquids)]
        return min(supports, key=lambda i: i.box.area, default=None)

    def _place_donor(self, donor: Donor, box: Box, scene: Scene) -> tuple[list[Instance], list[Callable[[], Mask]]]:
        """The donor and everything on it as new instances of `scene`, with functions that return their masks."""
        members = (donor.instance, *find_supported(donor.scene, donor.instance, self.spec.liquids))
        first_id = _next_id(scene)
        additions = [
            replace(i, id=first_id - k, box=i.box.map_between(donor.instance.box, box)) for k, i in enumerate(members)
        ]
        return additions, [partial(self.bank.load_mask, donor.scene, i) for i in members]

    def _derive(
        self,
        edit: Edit,
        canvas: Canvas,
        source: Photo | LazyPhoto,
        additions: Sequence[Instance] = (),
        masks: Sequence[Callable[[], Mask]] = (),
    ) -> Canvas:
        """Build the canvas after an edit.

        Args:
            edit: Applied to the annotations.
            canvas: State before the edit; stays as it is.
            source: Pixels after the edit, or a function that renders them.
            additions: Instances that the edit adds.
            masks: Mask functions of the additions, in the same order.
        """
        scene = apply_edit(edit, canvas.scene, self.spec.liquids, additions)
        before = {i.id: i for i in canvas.scene.instances}
        changed = [i for i in scene.instances if i.id in before and before[i.id].box != i.box]
        source_masks = {
            i.id: partial(self.compositor.get_mask, canvas, before[i.id])
            for i in changed
            if i.component not in self.spec.liquids
        }
        added_masks = {i.id: mask for i, mask in zip(additions, masks, strict=True)}
        return Canvas(source, scene, {**canvas.masks, **source_masks, **added_masks})


def _spawn_rng(rng: Rng) -> Rng:
    """Create a generator for pixels, so that lazy rendering does not change later draws from `rng`."""
    return np.random.default_rng(int(rng.integers(2**63)))


def _centre_box(size: Box, region: Box) -> Box:
    """Box with the width and height of `size`, centred on `region`."""
    x, y = region.centre
    return Box(x - size.width / 2, y - size.height / 2, x + size.width / 2, y + size.height / 2)


def _set_box(instance: Instance, box: Box, degrees: float) -> Instance:
    """The instance at a box, turned anticlockwise by degrees."""
    turned = Rotate(instance.id, degrees).rotate_instance(instance, instance.box.centre)
    return replace(turned, box=box)


def _next_id(scene: Scene) -> int:
    """Unused negative instance id."""
    return min([0, *(i.id for i in scene.instances)]) - 1
