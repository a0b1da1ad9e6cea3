"""A plan carried out: the photo's pixels and its annotations change together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import assert_never

import numpy as np

from logicls.constraints.plan import (
    ON_TOP,
    Add,
    Move,
    Plan,
    Remove,
    Replace,
    Reroute,
    Resize,
    Rotate,
    Swap,
    applied,
    carried,
    instance,
)
from logicls.constraints.spec import Spec
from logicls.records import Box, Instance, Scene
from logicls.synth.bank import Bank, Donor
from logicls.synth.bend import bent, cable_of, turned
from logicls.synth.fillings import filling_of
from logicls.synth.ground import blended, cleared
from logicls.synth.masks import Mask, resized
from logicls.synth.pixels import Photo, cut, pasted, recoloured, ring_mean, whole

Rng = np.random.Generator
Masks = Mapping[int, Mask]
COLOURS = ("colour", "color")
"""Attributes that a thing can be dyed to."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """A photo with its annotations."""

    photo: Photo
    scene: Scene
    masks: Masks = field(default_factory=lambda: MappingProxyType({}))
    """Instance id → which pixels of its box are the thing, for those that are not as they were annotated."""


@dataclass(frozen=True, slots=True)
class Editor:
    """Carries out plans for one spec with one bank of instances."""

    spec: Spec
    bank: Bank

    def edit(self, plan: Plan, canvas: Canvas, rng: Rng) -> Canvas | None:
        """The canvas after the plan; None where no photo has what it needs. The given canvas stays as it is."""
        match plan:
            case Remove():
                return self._remove(plan, canvas, rng)
            case Add():
                return self._add(plan, canvas, rng)
            case Move():
                return self._move(plan, canvas, rng)
            case Swap():
                return self._swap(plan, canvas, rng)
            case Replace():
                return self._replace(plan, canvas, rng)
            case Resize():
                return self._resize(plan, canvas, rng)
            case Rotate():
                return self._rotate(plan, canvas, rng)
            case Reroute():
                return self._reroute(plan, canvas, rng)
            case _:
                assert_never(plan)

    def mask(self, canvas: Canvas, target: Instance) -> Mask:
        """Which pixels of the instance's box are the thing, 0 to 1."""
        known = canvas.masks.get(target.id)
        if known is None:
            known = self.bank.mask(canvas.scene, target)
        return resized(known, target.box, canvas.photo)

    def _remove(self, plan: Remove, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = instance(canvas.scene, plan.target)
        component = self.spec.components[target.component]
        if component.leaves:
            return self._left_behind(plan, target, component.leaves, canvas, rng)
        if component.fills:
            filling = filling_of(canvas.photo, canvas.scene, target, component.fills)
            photo = filling.emptied(target.box.y2, rng) if filling else None
            return self._after(plan, canvas, photo) if photo is not None else None
        return self._after(plan, canvas, self._cleared(canvas, target, rng))

    def _left_behind(self, plan: Remove, target: Instance, leaves: str, canvas: Canvas, rng: Rng) -> Canvas | None:
        donor = self.bank.pick(leaves, rng)
        if donor is None:
            return None
        arriving = [Instance(_fresh(canvas.scene), leaves, target.box, donor.instance.attributes)]
        source = self.bank.photo(donor.scene)
        # The whole box, ground and all.
        here, there = ring_mean(canvas.photo, target.box), ring_mean(source, donor.instance.box)
        gain = np.clip(here / np.maximum(there, 1.0), 0.6, 1.7)
        photo = blended(canvas.photo, cut(source, donor.instance.box), target.box, gain)
        return self._after(plan, canvas, photo, arriving, [self.bank.mask(donor.scene, donor.instance)])

    def _add(self, plan: Add, canvas: Canvas, rng: Rng) -> Canvas | None:
        donor = self.bank.pick(plan.component, rng, **dict(plan.attributes))
        if donor is None:
            return None
        box = _fitted(donor.instance.box, plan.box)
        if box.clipped(canvas.scene.width, canvas.scene.height) != box:
            return None
        arriving, masks = self._brought(donor, box, canvas.scene)
        return self._after(plan, canvas, self._laid(canvas.photo, donor, box), arriving, masks)

    def _move(self, plan: Move, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = instance(canvas.scene, plan.target)
        fills = self.spec.components[target.component].fills
        if fills:
            filling = filling_of(canvas.photo, canvas.scene, target, fills)
            stays = plan.dx == plan.dy == 0
            return self._after(plan, canvas, filling.repoured(rng)) if filling and stays else None
        ground = self._cleared(canvas, target, rng)
        there = target.box.moved(plan.dx, plan.dy)
        photo = pasted(ground, cut(canvas.photo, target.box), there, mask=self._whole_mask(canvas, target))
        return self._after(plan, canvas, photo)

    def _swap(self, plan: Swap, canvas: Canvas, rng: Rng) -> Canvas:
        after = self._after(plan, canvas, canvas.photo)
        photo = canvas.photo
        targets = [instance(canvas.scene, number) for number in (plan.target, plan.other)]
        for target in targets:
            photo = self._cleared(replace(canvas, photo=photo), target, rng)
        for target in targets:
            there = instance(after.scene, target.id).box
            photo = pasted(photo, cut(canvas.photo, target.box), there, mask=self._whole_mask(canvas, target))
        return replace(after, photo=photo)

    def _replace(self, plan: Replace, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = instance(canvas.scene, plan.target)
        donor = self.bank.pick(plan.component, rng, **dict(plan.attributes))
        dyed = self._dyed(plan, canvas, target, donor, rng)
        if dyed is not None or donor is None:
            return dyed
        target, donor = self._carrier(canvas.scene, target, donor, rng)
        box = _fitted(donor.instance.box, target.box)
        photo = self._laid(self._cleared(canvas, target, rng), donor, box)
        arriving, masks = self._brought(donor, box, canvas.scene)
        return self._after(replace(plan, target=target.id), canvas, photo, arriving, masks)

    def _dyed(self, plan: Replace, canvas: Canvas, target: Instance, donor: Donor | None, rng: Rng) -> Canvas | None:
        """The same thing in another colour, where a colour is all that changes; None where another one must come.

        Fillings are always dyed. Other things are where no photo has one of all the wanted attributes.
        """
        if plan.component != target.component:
            return None
        fills = self.spec.components[target.component].fills
        model = donor
        if not fills:
            changed = set(plan.attributes) - set(target.attributes)
            if donor is not None or len(changed) != 1 or next(iter(changed))[0] not in COLOURS:
                return None
            model = self.bank.pick(target.component, rng, **dict(changed))
        if model is None:
            return None
        source = self.bank.photo(model.scene)
        if fills:
            here = filling_of(canvas.photo, canvas.scene, target, fills)
            there = filling_of(source, model.scene, model.instance, fills)
            return self._after(plan, canvas, here.dyed(there)) if here and there else None
        region = np.zeros(canvas.photo.shape[:2], np.float32)
        x1, y1, x2, y2 = whole(target.box, canvas.photo)
        region[y1:y2, x1:x2] = self.mask(canvas, target)
        colours = cut(source, model.instance.box)[self.bank.mask(model.scene, model.instance) > 0.5]
        return self._after(plan, canvas, recoloured(canvas.photo, region, colours))

    def _resize(self, plan: Resize, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = instance(canvas.scene, plan.target)
        fills = self.spec.components[target.component].fills
        if not fills:
            patch, mask = cut(canvas.photo, target.box), self._whole_mask(canvas, target)
            photo = pasted(self._cleared(canvas, target, rng), patch, plan.box, mask=mask)
            return self._after(plan, canvas, photo)
        filling = filling_of(canvas.photo, canvas.scene, target, fills)
        if filling is None:
            return None
        lower = plan.box.y1 > target.box.y1
        changed = filling.emptied(plan.box.y1, rng) if lower else filling.topped_up(plan.box.y1, rng)
        return self._after(plan, canvas, changed) if changed is not None else None

    def _rotate(self, plan: Rotate, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = instance(canvas.scene, plan.target)
        patch, mask, box = turned(cut(canvas.photo, target.box), self.mask(canvas, target), target.box, plan.degrees)
        if box.clipped(canvas.scene.width, canvas.scene.height) != box:
            return None
        photo = pasted(self._cleared(canvas, target, rng), patch, box, mask=mask)
        after = self._after(Resize(plan.target, box), canvas, photo)
        return replace(after, masks={**after.masks, target.id: mask})

    def _reroute(self, plan: Reroute, canvas: Canvas, rng: Rng) -> Canvas | None:
        """The end is moved; what it is the end of, the largest thing that overlaps it, bends along."""
        end = instance(canvas.scene, plan.target)
        cable = cable_of(canvas.scene, end)
        if cable is None:
            return self._move(Move(plan.target, plan.dx, plan.dy), canvas, rng)
        # It lies over what it joins: nothing beside it is spared, and what is under it is learned from there.
        bare = cleared(canvas.photo, cable.box, self.mask(canvas, cable), rng)
        photo, mask, box = bent(canvas.photo, bare, (cable.box, self.mask(canvas, cable)), end.box, (plan.dx, plan.dy))
        after = self._after(plan, canvas, photo)
        instances = tuple(replace(i, box=box) if i.id == cable.id else i for i in after.scene.instances)
        return Canvas(photo, replace(after.scene, instances=instances), {**after.masks, cable.id: mask})

    def _carrier(self, scene: Scene, target: Instance, donor: Donor, rng: Rng) -> tuple[Instance, Donor]:
        """The instance itself, or half of the time the thing it lies on, if that lies on something in both photos."""
        here, there = self._under(scene, target), self._under(donor.scene, donor.instance)
        if here and there and here.component == there.component and self._under(scene, here) and rng.random() < 0.5:
            return here, Donor(there, donor.scene)
        return target, donor

    def _under(self, scene: Scene, top: Instance) -> Instance | None:
        below = [i for i in scene.instances if top in carried(scene, i, self.spec.fillings)]
        return min(below, key=lambda i: i.box.area, default=None)

    def _laid(self, photo: Photo, donor: Donor, box: Box) -> Photo:
        """The donor at the box, as bright as its new surroundings: a label keeps its colour on another juice."""
        source = self.bank.photo(donor.scene)
        here, there = ring_mean(photo, box), np.maximum(ring_mean(source, donor.instance.box), 1.0)
        gain = float(np.clip(here.mean() / there.mean(), 0.85, 1.2))
        mask = self._whole_mask(Canvas(source, donor.scene), donor.instance)
        return pasted(photo, cut(source, donor.instance.box), box, gain=gain, mask=mask)

    def _whole_mask(self, canvas: Canvas, target: Instance) -> Mask:
        """The instance's mask together with those of what lies on it."""
        tops = carried(canvas.scene, target, self.spec.fillings)
        mask = self.mask(canvas, target).copy()
        if tops and target.id not in self.bank.outlines:
            # What carries others is too motley for an estimate.
            return np.ones_like(mask)
        x1, y1, _, _ = whole(target.box, canvas.photo)
        for top in tops:
            tx1, ty1, tx2, ty2 = whole(top.box, canvas.photo)
            part = mask[max(ty1 - y1, 0) : ty2 - y1, max(tx1 - x1, 0) : tx2 - x1]
            over = self.mask(canvas, top)[max(y1 - ty1, 0) :, max(x1 - tx1, 0) :][: part.shape[0], : part.shape[1]]
            np.maximum(part, over, out=part)
        return mask

    def _brought(self, donor: Donor, box: Box, scene: Scene) -> tuple[list[Instance], list[Mask]]:
        """The donor and what lies on it, as instances of this scene, with their masks."""
        coming = (donor.instance, *carried(donor.scene, donor.instance, self.spec.fillings))
        start = _fresh(scene)
        arriving = [
            Instance(start - k, i.component, i.box.mapped(donor.instance.box, box), i.attributes)
            for k, i in enumerate(coming)
        ]
        return arriving, [self.bank.mask(donor.scene, i) for i in coming]

    def _after(
        self, plan: Plan, canvas: Canvas, photo: Photo, arriving: Sequence[Instance] = (), masks: Sequence[Mask] = ()
    ) -> Canvas:
        """The canvas with the plan carried out on its annotations; what was moved keeps its mask."""
        scene = applied(plan, canvas.scene, self.spec.fillings, arriving)
        before = {i.id: i for i in canvas.scene.instances}
        moved = [i for i in scene.instances if i.id in before and before[i.id].box != i.box]
        kept = {i.id: self.mask(canvas, before[i.id]) for i in moved if i.component not in self.spec.fillings}
        brought = {i.id: mask for i, mask in zip(arriving, masks, strict=True)}
        return Canvas(photo, scene, {**canvas.masks, **kept, **brought})

    def _cleared(self, canvas: Canvas, target: Instance, rng: Rng) -> Photo:
        """The photo with the target's place filled from what it lies on."""
        scene = canvas.scene
        under = [i for i in scene.instances if i.id != target.id and target.box.covered_by(i.box) >= ON_TOP]
        ground = min((i.box for i in under), key=lambda b: b.area, default=None)
        gone = {target.id, *(i.id for i in (*under, *carried(scene, target, self.spec.fillings)))}
        others = [i for i in scene.instances if i.id not in gone]
        fronts = [(i.box, self.mask(canvas, i)) for i in others if i.box.overlap(_grown(target.box)) > 0]
        mask, boxes = self._whole_mask(canvas, target), [i.box for i in others]
        return cleared(canvas.photo, target.box, mask, rng, ground=ground, others=boxes, fronts=fronts)


def _grown(box: Box) -> Box:
    """The box with a quarter of its size more on every side."""
    dx, dy = box.width / 4, box.height / 4
    return Box(box.x1 - dx, box.y1 - dy, box.x2 + dx, box.y2 + dy)


def _fitted(size: Box, place: Box) -> Box:
    """A box of `size`'s width and height about `place`'s centre."""
    x, y = place.centre
    return Box(x - size.width / 2, y - size.height / 2, x + size.width / 2, y + size.height / 2)


def _fresh(scene: Scene) -> int:
    """An id that the scene does not have: below every id it has, and below 0."""
    return min([0, *(i.id for i in scene.instances)]) - 1
