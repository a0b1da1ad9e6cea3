"""A plan carried out: the photo's pixels and its annotations change together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np

from logicls.constraints.plan import ON_TOP, Add, Move, Plan, Remove, Replace, Resize, Swap, applied, carried, instance
from logicls.constraints.spec import Spec
from logicls.records import Box, Instance, Scene
from logicls.synth.bank import Bank, Donor
from logicls.synth.pixels import Photo, cut, filled, outline, pasted, poured, recoloured, ring_mean, whole

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Canvas:
    """A photo with its annotations."""

    photo: Photo
    scene: Scene


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
            case _:
                assert_never(plan)

    @property
    def _fillings(self) -> frozenset[str]:
        return self.spec.fillings

    def _remove(self, plan: Remove, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = instance(canvas.scene, plan.target)
        component = self.spec.components[target.component]
        if component.leaves:
            return self._left_behind(plan, target, component.leaves, canvas, rng)
        scene = applied(plan, canvas.scene, self._fillings)
        if component.fills:
            parent = self._parent(canvas.scene, target)
            photo = self._emptied(canvas, target, target.box.y2, parent, rng) if parent else None
            return Canvas(photo, scene) if photo is not None else None
        return Canvas(self._cleared(canvas.photo, canvas.scene, target, rng), scene)

    def _left_behind(self, plan: Remove, target: Instance, leaves: str, canvas: Canvas, rng: Rng) -> Canvas | None:
        donor = self.bank.pick(leaves, rng)
        if donor is None:
            return None
        arriving = Instance(_fresh(canvas.scene), leaves, target.box, donor.instance.attributes)
        photo = self._pasted(canvas.photo, donor, target.box, ground=True)
        return Canvas(photo, applied(plan, canvas.scene, self._fillings, [arriving]))

    def _add(self, plan: Add, canvas: Canvas, rng: Rng) -> Canvas | None:
        donor = self.bank.pick(plan.component, rng, **dict(plan.attributes))
        if donor is None:
            return None
        box = _fitted(donor.instance.box, plan.box).clipped(canvas.scene.width, canvas.scene.height)
        arriving = self._brought(donor, box, canvas.scene)
        photo = self._pasted(canvas.photo, donor, box)
        return Canvas(photo, applied(plan, canvas.scene, self._fillings, arriving))

    def _move(self, plan: Move, canvas: Canvas, rng: Rng) -> Canvas:
        target = instance(canvas.scene, plan.target)
        patch = cut(canvas.photo, target.box)
        ground = self._cleared(canvas.photo, canvas.scene, target, rng)
        photo = pasted(ground, patch, target.box.moved(plan.dx, plan.dy))
        return Canvas(photo, applied(plan, canvas.scene, self._fillings))

    def _swap(self, plan: Swap, canvas: Canvas, rng: Rng) -> Canvas:
        scene = applied(plan, canvas.scene, self._fillings)
        photo = canvas.photo
        for target in (plan.target, plan.other):
            photo = self._cleared(photo, canvas.scene, instance(canvas.scene, target), rng)
        for target in (plan.target, plan.other):
            photo = pasted(photo, cut(canvas.photo, instance(canvas.scene, target).box), instance(scene, target).box)
        return Canvas(photo, scene)

    def _replace(self, plan: Replace, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = instance(canvas.scene, plan.target)
        donor = self.bank.pick(plan.component, rng, **dict(plan.attributes))
        if donor is None:
            return None
        if self.spec.components[target.component].fills and target.component == plan.component:
            photo = self._dyed(canvas, target, donor)
            return Canvas(photo, applied(plan, canvas.scene, self._fillings))
        target, donor = self._carrier(canvas.scene, target, donor, rng)
        box = _fitted(donor.instance.box, target.box)
        photo = self._pasted(self._cleared(canvas.photo, canvas.scene, target, rng), donor, box)
        arriving = self._brought(donor, box, canvas.scene)
        return Canvas(photo, applied(replace(plan, target=target.id), canvas.scene, self._fillings, arriving))

    def _resize(self, plan: Resize, canvas: Canvas, rng: Rng) -> Canvas | None:
        target = instance(canvas.scene, plan.target)
        scene = applied(plan, canvas.scene, self._fillings)
        if not self.spec.components[target.component].fills:
            ground = self._cleared(canvas.photo, canvas.scene, target, rng)
            return Canvas(pasted(ground, cut(canvas.photo, target.box), plan.box), scene)
        parent = self._parent(canvas.scene, target)
        if parent is None:
            return None
        if plan.box.y1 > target.box.y1:
            photo = self._emptied(canvas, target, plan.box.y1, parent, rng)
        else:
            photo = self._topped_up(canvas, target, plan.box.y1, parent, rng)
        return Canvas(photo, scene) if photo is not None else None

    def _carrier(self, scene: Scene, target: Instance, donor: Donor, rng: Rng) -> tuple[Instance, Donor]:
        """The instance itself, or half of the time the thing it lies on, if that lies on something in both photos."""
        here, there = self._under(scene, target), self._under(donor.scene, donor.instance)
        if here and there and here.component == there.component and self._under(scene, here) and rng.random() < 0.5:
            return here, Donor(there, donor.scene)
        return target, donor

    def _under(self, scene: Scene, top: Instance) -> Instance | None:
        below = [i for i in scene.instances if top in carried(scene, i, self._fillings)]
        return min(below, key=lambda i: i.box.area, default=None)

    def _parent(self, scene: Scene, filling: Instance) -> Instance | None:
        """The instance that the filling fills."""
        parents = scene.of(self.spec.components[filling.component].fills or "")
        return max(parents, key=lambda p: filling.box.covered_by(p.box), default=None)

    def _pasted(self, photo: Photo, donor: Donor, box: Box, *, ground: bool = False) -> Photo:
        """The donor at the box, as bright as its new surroundings.

        With `ground` what is pasted is mostly ground, so that its colour is matched as well; otherwise only its
        brightness: a label keeps its colour on another juice.
        """
        source = self.bank.photo(donor.scene)
        here, there = ring_mean(photo, box), np.maximum(ring_mean(source, donor.instance.box), 1.0)
        gain = np.clip(here / there, 0.6, 1.7) if ground else float(np.clip(here.mean() / there.mean(), 0.85, 1.2))
        return pasted(photo, cut(source, donor.instance.box), box, gain=gain)

    def _brought(self, donor: Donor, box: Box, scene: Scene) -> tuple[Instance, ...]:
        """The donor and what lies on it, as instances of this scene."""
        root = donor.instance.box
        scale = box.width / root.width, box.height / root.height

        def there(b: Box) -> Box:
            x1, y1 = box.x1 + (b.x1 - root.x1) * scale[0], box.y1 + (b.y1 - root.y1) * scale[1]
            return Box(x1, y1, x1 + b.width * scale[0], y1 + b.height * scale[1])

        coming = (donor.instance, *carried(donor.scene, donor.instance, self._fillings))
        start = _fresh(scene)
        return tuple(Instance(start - k, i.component, there(i.box), i.attributes) for k, i in enumerate(coming))

    def _cleared(self, photo: Photo, scene: Scene, target: Instance, rng: Rng) -> Photo:
        """The photo with the target's place filled from what it lies on."""
        grounds = [i.box for i in scene.instances if i.id != target.id and target.box.covered_by(i.box) >= ON_TOP]
        return filled(photo, target.box, rng, min(grounds, key=lambda b: b.area, default=None))

    def _emptied(self, canvas: Canvas, target: Instance, bottom: float, parent: Instance, rng: Rng) -> Photo | None:
        """A filling down to row `bottom` made to look like its parent just above the level."""
        level = round(target.box.y1)
        reach = max(8, int(0.06 * parent.box.height))
        first = max(int(parent.box.y1), level - reach - 3)
        if level - 3 - first < 4:
            return None
        rows = level - 2, min(round(bottom), canvas.photo.shape[0])
        changed = poured(canvas.photo, parent.box, rows, (first, level - 3), rng)
        return self._behind(canvas, changed, (target, parent))

    def _topped_up(self, canvas: Canvas, target: Instance, top: float, parent: Instance, rng: Rng) -> Photo | None:
        """The filling drawn up to `top`: its uppermost rows go to the new level, those below continue it."""
        level, new = round(target.box.y1), round(top)
        if new >= level:
            return canvas.photo.copy()
        depth = min(max(8, int(0.06 * parent.box.height)), int(target.box.height) - 2)
        changed = poured(canvas.photo, parent.box, (new, level + 4), (level + 4, level + 4 + depth), rng)
        return self._behind(canvas, changed, (target, parent))

    def _behind(self, canvas: Canvas, changed: Photo, parts: Iterable[Instance]) -> Photo:
        """`changed`, but for everything that stands in front of the parts."""
        ids = {i.id for i in parts}
        out = changed.copy()
        largest = max(i.box.area for i in parts)
        for front in canvas.scene.instances:
            if front.id not in ids and front.box.area < largest:
                x1, y1, x2, y2 = whole(front.box, out)
                out[y1:y2, x1:x2] = canvas.photo[y1:y2, x1:x2]
        return out

    def _dyed(self, canvas: Canvas, target: Instance, donor: Donor) -> Photo:
        source = self.bank.photo(donor.scene)
        there = self._visible(source, donor.scene, donor.instance)
        changed = recoloured(canvas.photo, self._visible(canvas.photo, canvas.scene, target), source[there > 0.5])
        return changed

    def _visible(self, photo: Photo, scene: Scene, filling: Instance) -> np.ndarray:
        """1 where the filling shows, else 0: inside its parent's outline, not behind anything."""
        x1, y1, x2, y2 = whole(filling.box, photo)
        mask = np.zeros(photo.shape[:2], np.float32)
        parent = self._parent(scene, filling)
        lefts, rights = outline(photo, parent.box if parent else filling.box, y1, y2)
        for row in range(y1, y2):
            mask[row, max(x1, int(lefts[row - y1])) : min(x2, int(rights[row - y1]))] = 1
        for front in scene.instances:
            if front.id != filling.id and front.box.area < filling.box.area:
                fx1, fy1, fx2, fy2 = whole(front.box, photo)
                mask[fy1:fy2, fx1:fx2] = 0
        return mask


def _fitted(size: Box, place: Box) -> Box:
    """A box of `size`'s width and height about `place`'s centre."""
    x, y = place.centre
    return Box(x - size.width / 2, y - size.height / 2, x + size.width / 2, y + size.height / 2)


def _fresh(scene: Scene) -> int:
    """An id that the scene does not have: below every id it has, and below 0."""
    return min([0, *(i.id for i in scene.instances)]) - 1
