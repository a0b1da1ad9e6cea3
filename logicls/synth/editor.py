"""A plan carried out on the annotations; the pixels follow when somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import assert_never

import numpy as np

from logicls.constraints.families.edits import (
    Add,
    Edit,
    Move,
    Remove,
    Replace,
    Reroute,
    Resize,
    Rotate,
    Swap,
    apply_edit,
    find_supported,
    get_instance,
)
from logicls.constraints.spec.models import Spec
from logicls.records import Box, Instance, Scene
from logicls.synth.compositor import Canvas, Compositor
from logicls.synth.geometric import CableBend, RotatedPatch, find_cable
from logicls.synth.image_ops import Photo, crop, paste
from logicls.synth.inpainting import inpaint
from logicls.synth.instance_bank import InstanceBank, Donor, Mask
from logicls.synth.liquids import find_liquid

Rng = np.random.Generator
LazyPhoto = Callable[[], Photo]
COLOUR_ATTRIBUTES = ("colour", "color")
"""Attributes that a thing can be dyed to."""


class Editor:
    """Carries out plans for one spec with one bank of instances."""

    def __init__(self, spec: Spec, bank: InstanceBank) -> None:
        self.spec, self.bank, self.compositor = spec, bank, Compositor(spec, bank)

    def apply(self, edit: Edit, canvas: Canvas, rng: Rng) -> Canvas | None:
        """The canvas after the plan; None where no photo has what it needs. The given canvas stays as it is."""
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
            case _:
                assert_never(edit)

    def _remove(self, plan: Remove, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = get_instance(canvas.scene, plan.target)
        component = self.spec.components[target.component]
        if component.leaves:
            return self._reveal(plan, target, component.leaves, canvas, rng)
        if component.fills:
            filling = find_liquid(canvas, target, component.fills)
            if filling is None or not filling.has_headspace:
                return None
            return self._derive(plan, canvas, partial(filling.lower, target.box.y2, _spawn_rng(rng)))
        return self._derive(plan, canvas, partial(self.compositor.inpaint, canvas, target, _spawn_rng(rng)))

    def _reveal(self, plan: Remove, target: Instance, leaves: str, canvas: Canvas, rng: Rng) -> Canvas | None:
        donor = self.bank.sample(leaves, rng)
        if donor is None:
            return None
        arriving = [Instance(_next_id(canvas.scene), leaves, target.box, donor.instance.attributes)]
        masks = [partial(self.bank.mask, donor.scene, donor.instance)]
        painted = partial(self.compositor.blend_donor, canvas, donor, target.box)
        return self._derive(plan, canvas, painted, arriving, masks)

    def _add(self, plan: Add, canvas: Canvas, rng: Rng) -> Canvas | None:
        donor = self.bank.sample(plan.component, rng, **dict(plan.attributes))
        if donor is None:
            return None
        box = _centre_box(donor.instance.box, plan.box)
        if box.clip(canvas.scene.width, canvas.scene.height) != box:
            return None
        return self._derive(
            plan,
            canvas,
            lambda: self.compositor.composite(canvas.photo, donor, box),
            *self._donor_instances(donor, box, canvas.scene),
        )

    def _move(self, plan: Move, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = get_instance(canvas.scene, plan.target)
        fills = self.spec.components[target.component].fills
        if fills:
            filling = find_liquid(canvas, target, fills)
            stays = plan.dx == plan.dy == 0
            return self._derive(plan, canvas, partial(filling.redraw, _spawn_rng(rng))) if filling and stays else None
        there = target.box.translate(plan.dx, plan.dy)
        return self._derive(plan, canvas, partial(self.compositor.relocate, canvas, target, there, _spawn_rng(rng)))

    def _swap(self, plan: Swap, canvas: Canvas, rng: Rng) -> Canvas:
        after = self._derive(plan, canvas, canvas.source)
        targets = tuple(get_instance(canvas.scene, number) for number in (plan.target, plan.other))
        there = tuple(get_instance(after.scene, target.id).box for target in targets)
        return replace(after, source=partial(self.compositor.swap, canvas, targets, there, _spawn_rng(rng)))

    def _replace(self, plan: Replace, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = get_instance(canvas.scene, plan.target)
        donor = self.bank.sample(plan.component, rng, **dict(plan.attributes))
        dyed = self._recolour(plan, canvas, target, donor, rng)
        if dyed is not None or donor is None:
            return dyed
        target, donor = self._choose_carrier(canvas.scene, target, donor, rng)
        box, chance = _centre_box(donor.instance.box, target.box), _spawn_rng(rng)
        brought = self._donor_instances(donor, box, canvas.scene)

        def painted() -> Photo:
            return self.compositor.composite(self.compositor.inpaint(canvas, target, chance), donor, box)

        return self._derive(replace(plan, target=target.id), canvas, painted, *brought)

    def _recolour(
        self, plan: Replace, canvas: Canvas, target: Instance, donor: Donor | None, rng: Rng
    ) -> Canvas | None:
        """The same thing in another colour, where a colour is all that changes; None where another one must come.

        Fillings are always dyed. Other things are where no photo has one of all the wanted attributes.
        """
        if plan.component != target.component:
            return None
        fills = self.spec.components[target.component].fills
        model = donor
        if not fills:
            changed = set(plan.attributes) - set(target.attributes)
            if donor is not None or len(changed) != 1 or next(iter(changed))[0] not in COLOUR_ATTRIBUTES:
                return None
            model = self.bank.sample(target.component, rng, **dict(changed))
        if model is None:
            return None
        if fills:
            source = Canvas(partial(self.bank.photo, model.scene), model.scene)
            here, there = find_liquid(canvas, target, fills), find_liquid(source, model.instance, fills)
            return self._derive(plan, canvas, partial(here.recolour, there)) if here and there else None
        return self._derive(plan, canvas, partial(self.compositor.recolour, canvas, target, model))

    def _resize(self, plan: Resize, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = get_instance(canvas.scene, plan.target)
        fills = self.spec.components[target.component].fills
        if not fills:
            return self._derive(
                plan, canvas, partial(self.compositor.relocate, canvas, target, plan.box, _spawn_rng(rng))
            )
        filling = find_liquid(canvas, target, fills)
        lower = plan.box.y1 > target.box.y1
        if filling is None or (lower and not filling.has_headspace):
            return None
        return self._derive(
            plan, canvas, partial(filling.lower if lower else filling.top_up, plan.box.y1, _spawn_rng(rng))
        )

    def _rotate(self, plan: Rotate, canvas: Canvas, rng: Rng) -> Canvas | None:
        target, chance = get_instance(canvas.scene, plan.target), _spawn_rng(rng)
        turn = RotatedPatch.compute(self.compositor.mask(canvas, target), target.box, plan.degrees)
        if turn.box.clip(canvas.scene.width, canvas.scene.height) != turn.box:
            return None

        def painted() -> Photo:
            patch = turn.warp(crop(canvas.photo, target.box))
            return paste(self.compositor.inpaint(canvas, target, chance), patch, turn.box, mask=turn.mask)

        after = self._derive(Resize(plan.target, turn.box), canvas, painted)
        return replace(after, masks={**after.masks, target.id: lambda: turn.mask})

    def _reroute(self, plan: Reroute, canvas: Canvas, rng: Rng) -> Canvas | None:
        """The end is moved; what it is the end of, the largest thing that overlaps it, bends along."""
        end = get_instance(canvas.scene, plan.target)
        cable = find_cable(canvas.scene, end)
        if cable is None:
            return self._move(Move(plan.target, plan.dx, plan.dy), canvas, rng)
        mask, chance = self.compositor.mask(canvas, cable), _spawn_rng(rng)
        bend = CableBend.compute(canvas.scene, (cable.box, mask), end.box, (plan.dx, plan.dy))

        def painted() -> Photo:
            # It lies over what it joins: nothing beside it is spared, and what is under it is learned from there.
            return bend.composite(canvas.photo, inpaint(canvas.photo, cable.box, mask, chance))

        after = self._derive(plan, canvas, painted)
        instances = tuple(replace(i, box=bend.box) if i.id == cable.id else i for i in after.scene.instances)
        masks = {**after.masks, cable.id: lambda: bend.mask}
        return Canvas(painted, replace(after.scene, instances=instances), masks)

    def _choose_carrier(self, scene: Scene, target: Instance, donor: Donor, rng: Rng) -> tuple[Instance, Donor]:
        """The instance itself, or half of the time the thing it lies on, if that lies on something in both photos."""
        here, there = self._find_support(scene, target), self._find_support(donor.scene, donor.instance)
        if (
            here
            and there
            and here.component == there.component
            and self._find_support(scene, here)
            and rng.random() < 0.5
        ):
            return here, Donor(there, donor.scene)
        return target, donor

    def _find_support(self, scene: Scene, top: Instance) -> Instance | None:
        below = [i for i in scene.instances if top in find_supported(scene, i, self.spec.liquids)]
        return min(below, key=lambda i: i.box.area, default=None)

    def _donor_instances(self, donor: Donor, box: Box, scene: Scene) -> tuple[list[Instance], list[Callable[[], Mask]]]:
        """The donor and what lies on it, as instances of this scene, with their masks."""
        coming = (donor.instance, *find_supported(donor.scene, donor.instance, self.spec.liquids))
        start = _next_id(scene)
        arriving = [
            Instance(start - k, i.component, i.box.map_between(donor.instance.box, box), i.attributes)
            for k, i in enumerate(coming)
        ]
        return arriving, [partial(self.bank.mask, donor.scene, i) for i in coming]

    def _derive(
        self,
        plan: Edit,
        canvas: Canvas,
        source: Photo | LazyPhoto,
        additions: Sequence[Instance] = (),
        masks: Sequence[Callable[[], Mask]] = (),
    ) -> Canvas:
        """The canvas with the plan carried out on its annotations; what was moved keeps its mask."""
        scene = apply_edit(plan, canvas.scene, self.spec.liquids, additions)
        before = {i.id: i for i in canvas.scene.instances}
        moved = [i for i in scene.instances if i.id in before and before[i.id].box != i.box]
        kept = {
            i.id: partial(self.compositor.mask, canvas, before[i.id])
            for i in moved
            if i.component not in self.spec.liquids
        }
        brought = {i.id: mask for i, mask in zip(additions, masks, strict=True)}
        return Canvas(source, scene, {**canvas.masks, **kept, **brought})


def _spawn_rng(rng: Rng) -> Rng:
    """Chance for the pixels: whether they are ever made changes nothing about what is drawn next."""
    return np.random.default_rng(int(rng.integers(2**63)))


def _centre_box(size: Box, place: Box) -> Box:
    """A box of `size`'s width and height about `place`'s centre."""
    x, y = place.centre
    return Box(x - size.width / 2, y - size.height / 2, x + size.width / 2, y + size.height / 2)


def _next_id(scene: Scene) -> int:
    """An id that the scene does not have: below every id it has, and below 0."""
    return min([0, *(i.id for i in scene.instances)]) - 1
