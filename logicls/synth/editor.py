"""A plan carried out on the annotations; the pixels follow when somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import assert_never

import numpy as np

from logicls.constraints.families.edits import (
    Add,
    Move,
    Edit,
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
from logicls.synth.compositor import Canvas, Painter
from logicls.synth.geometric import Bend, Turn, cable_of
from logicls.synth.image_ops import Photo, cut, pasted
from logicls.synth.inpainting import cleared
from logicls.synth.instance_bank import Bank, Donor, Mask
from logicls.synth.liquids import filling_of

Rng = np.random.Generator
Later = Callable[[], Photo]
COLOURS = ("colour", "color")
"""Attributes that a thing can be dyed to."""


class Editor:
    """Carries out plans for one spec with one bank of instances."""

    def __init__(self, spec: Spec, bank: Bank) -> None:
        self.spec, self.bank, self.painter = spec, bank, Painter(spec, bank)

    def edit(self, plan: Edit, canvas: Canvas, rng: Rng) -> Canvas | None:
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

    def _remove(self, plan: Remove, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = get_instance(canvas.scene, plan.target)
        component = self.spec.components[target.component]
        if component.leaves:
            return self._left_behind(plan, target, component.leaves, canvas, rng)
        if component.fills:
            filling = filling_of(canvas, target, component.fills)
            if filling is None or not filling.can_be_emptied:
                return None
            return self._after(plan, canvas, partial(filling.emptied, target.box.y2, _split(rng)))
        return self._after(plan, canvas, partial(self.painter.cleared, canvas, target, _split(rng)))

    def _left_behind(self, plan: Remove, target: Instance, leaves: str, canvas: Canvas, rng: Rng) -> Canvas | None:
        donor = self.bank.pick(leaves, rng)
        if donor is None:
            return None
        arriving = [Instance(_fresh(canvas.scene), leaves, target.box, donor.instance.attributes)]
        masks = [partial(self.bank.mask, donor.scene, donor.instance)]
        painted = partial(self.painter.left_behind, canvas, donor, target.box)
        return self._after(plan, canvas, painted, arriving, masks)

    def _add(self, plan: Add, canvas: Canvas, rng: Rng) -> Canvas | None:
        donor = self.bank.pick(plan.component, rng, **dict(plan.attributes))
        if donor is None:
            return None
        box = _fitted(donor.instance.box, plan.box)
        if box.clip(canvas.scene.width, canvas.scene.height) != box:
            return None
        return self._after(
            plan, canvas, lambda: self.painter.laid(canvas.photo, donor, box), *self._brought(donor, box, canvas.scene)
        )

    def _move(self, plan: Move, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = get_instance(canvas.scene, plan.target)
        fills = self.spec.components[target.component].fills
        if fills:
            filling = filling_of(canvas, target, fills)
            stays = plan.dx == plan.dy == 0
            return self._after(plan, canvas, partial(filling.repoured, _split(rng))) if filling and stays else None
        there = target.box.translate(plan.dx, plan.dy)
        return self._after(plan, canvas, partial(self.painter.taken_to, canvas, target, there, _split(rng)))

    def _swap(self, plan: Swap, canvas: Canvas, rng: Rng) -> Canvas:
        after = self._after(plan, canvas, canvas.source)
        targets = tuple(get_instance(canvas.scene, number) for number in (plan.target, plan.other))
        there = tuple(get_instance(after.scene, target.id).box for target in targets)
        return replace(after, source=partial(self.painter.swapped, canvas, targets, there, _split(rng)))

    def _replace(self, plan: Replace, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = get_instance(canvas.scene, plan.target)
        donor = self.bank.pick(plan.component, rng, **dict(plan.attributes))
        dyed = self._dyed(plan, canvas, target, donor, rng)
        if dyed is not None or donor is None:
            return dyed
        target, donor = self._carrier(canvas.scene, target, donor, rng)
        box, chance = _fitted(donor.instance.box, target.box), _split(rng)
        brought = self._brought(donor, box, canvas.scene)

        def painted() -> Photo:
            return self.painter.laid(self.painter.cleared(canvas, target, chance), donor, box)

        return self._after(replace(plan, target=target.id), canvas, painted, *brought)

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
        if fills:
            source = Canvas(partial(self.bank.photo, model.scene), model.scene)
            here, there = filling_of(canvas, target, fills), filling_of(source, model.instance, fills)
            return self._after(plan, canvas, partial(here.dyed, there)) if here and there else None
        return self._after(plan, canvas, partial(self.painter.dyed, canvas, target, model))

    def _resize(self, plan: Resize, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = get_instance(canvas.scene, plan.target)
        fills = self.spec.components[target.component].fills
        if not fills:
            return self._after(plan, canvas, partial(self.painter.taken_to, canvas, target, plan.box, _split(rng)))
        filling = filling_of(canvas, target, fills)
        lower = plan.box.y1 > target.box.y1
        if filling is None or (lower and not filling.can_be_emptied):
            return None
        return self._after(
            plan, canvas, partial(filling.emptied if lower else filling.topped_up, plan.box.y1, _split(rng))
        )

    def _rotate(self, plan: Rotate, canvas: Canvas, rng: Rng) -> Canvas | None:
        target, chance = get_instance(canvas.scene, plan.target), _split(rng)
        turn = Turn.of(self.painter.mask(canvas, target), target.box, plan.degrees)
        if turn.box.clip(canvas.scene.width, canvas.scene.height) != turn.box:
            return None

        def painted() -> Photo:
            patch = turn.turned(cut(canvas.photo, target.box))
            return pasted(self.painter.cleared(canvas, target, chance), patch, turn.box, mask=turn.mask)

        after = self._after(Resize(plan.target, turn.box), canvas, painted)
        return replace(after, masks={**after.masks, target.id: lambda: turn.mask})

    def _reroute(self, plan: Reroute, canvas: Canvas, rng: Rng) -> Canvas | None:
        """The end is moved; what it is the end of, the largest thing that overlaps it, bends along."""
        end = get_instance(canvas.scene, plan.target)
        cable = cable_of(canvas.scene, end)
        if cable is None:
            return self._move(Move(plan.target, plan.dx, plan.dy), canvas, rng)
        mask, chance = self.painter.mask(canvas, cable), _split(rng)
        bend = Bend.of(canvas.scene, (cable.box, mask), end.box, (plan.dx, plan.dy))

        def painted() -> Photo:
            # It lies over what it joins: nothing beside it is spared, and what is under it is learned from there.
            return bend.laid(canvas.photo, cleared(canvas.photo, cable.box, mask, chance))

        after = self._after(plan, canvas, painted)
        instances = tuple(replace(i, box=bend.box) if i.id == cable.id else i for i in after.scene.instances)
        masks = {**after.masks, cable.id: lambda: bend.mask}
        return Canvas(painted, replace(after.scene, instances=instances), masks)

    def _carrier(self, scene: Scene, target: Instance, donor: Donor, rng: Rng) -> tuple[Instance, Donor]:
        """The instance itself, or half of the time the thing it lies on, if that lies on something in both photos."""
        here, there = self._under(scene, target), self._under(donor.scene, donor.instance)
        if here and there and here.component == there.component and self._under(scene, here) and rng.random() < 0.5:
            return here, Donor(there, donor.scene)
        return target, donor

    def _under(self, scene: Scene, top: Instance) -> Instance | None:
        below = [i for i in scene.instances if top in find_supported(scene, i, self.spec.liquids)]
        return min(below, key=lambda i: i.box.area, default=None)

    def _brought(self, donor: Donor, box: Box, scene: Scene) -> tuple[list[Instance], list[Callable[[], Mask]]]:
        """The donor and what lies on it, as instances of this scene, with their masks."""
        coming = (donor.instance, *find_supported(donor.scene, donor.instance, self.spec.liquids))
        start = _fresh(scene)
        arriving = [
            Instance(start - k, i.component, i.box.map_between(donor.instance.box, box), i.attributes)
            for k, i in enumerate(coming)
        ]
        return arriving, [partial(self.bank.mask, donor.scene, i) for i in coming]

    def _after(
        self,
        plan: Edit,
        canvas: Canvas,
        painted: Photo | Later,
        arriving: Sequence[Instance] = (),
        masks: Sequence[Callable[[], Mask]] = (),
    ) -> Canvas:
        """The canvas with the plan carried out on its annotations; what was moved keeps its mask."""
        scene = apply_edit(plan, canvas.scene, self.spec.liquids, arriving)
        before = {i.id: i for i in canvas.scene.instances}
        moved = [i for i in scene.instances if i.id in before and before[i.id].box != i.box]
        kept = {
            i.id: partial(self.painter.mask, canvas, before[i.id])
            for i in moved
            if i.component not in self.spec.liquids
        }
        brought = {i.id: mask for i, mask in zip(arriving, masks, strict=True)}
        return Canvas(painted, scene, {**canvas.masks, **kept, **brought})


def _split(rng: Rng) -> Rng:
    """Chance for the pixels: whether they are ever made changes nothing about what is drawn next."""
    return np.random.default_rng(int(rng.integers(2**63)))


def _fitted(size: Box, place: Box) -> Box:
    """A box of `size`'s width and height about `place`'s centre."""
    x, y = place.centre
    return Box(x - size.width / 2, y - size.height / 2, x + size.width / 2, y + size.height / 2)


def _fresh(scene: Scene) -> int:
    """An id that the scene does not have: below every id it has, and below 0."""
    return min([0, *(i.id for i in scene.instances)]) - 1
