"""Edits of a scene's annotations, planned before any pixel is changed.

An edit names one instance, the target; instances that lie on the target are moved, scaled and removed with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np

from logicls.constraints.families.angles import normalize_angle
from logicls.constraints.families.context import name_to_text
from logicls.records import Box, Instance, Scene

SUPPORT_SHARE = 0.85
"""Share of an instance's area that must lie in another instance to count as lying on it."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the instance."""

    target: int


@dataclass(frozen=True, slots=True)
class Add:
    """Add an instance of a component at a box."""

    component: str
    box: Box
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """Translate the instance by pixels."""

    target: int
    dx: float
    dy: float


@dataclass(frozen=True, slots=True)
class Swap:
    """Exchange the centres of two instances."""

    target: int
    other: int


@dataclass(frozen=True, slots=True)
class Replace:
    """Replace the instance by one of another component, or with other attributes."""

    target: int
    component: str
    attributes: tuple[tuple[str, str], ...] = ()
    """All attributes of the new instance."""


@dataclass(frozen=True, slots=True)
class Resize:
    """Give the instance another box; a liquid changes at its top, other components scale with what lies on them."""

    target: int
    box: Box


@dataclass(frozen=True, slots=True)
class Rotate:
    """Rotate the instance about its centre."""

    target: int
    degrees: float
    """Counterclockwise."""
    turns_contents: bool = False
    """True if what lies on the instance turns with it, as on a part that is inserted the wrong way round."""

    def rotate_box(self, box: Box) -> Box:
        """Return the axis-aligned box around the rotated box; loose unless the object fills its box."""
        angle = math.radians(self.degrees)
        c, s = abs(math.cos(angle)), abs(math.sin(angle))
        width, height = box.width * c + box.height * s, box.width * s + box.height * c
        x, y = box.centre
        return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def rotate_instance(self, instance: Instance, pivot: tuple[float, float]) -> Instance:
        """Return an instance that turns about a point, x and y in pixels."""
        angle = math.radians(self.degrees)
        c, s = math.cos(angle), math.sin(angle)
        x, y = instance.box.centre[0] - pivot[0], instance.box.centre[1] - pivot[1]
        shift = x * c + y * s - x, y * c - x * s - y  # y points down
        turned = normalize_angle(instance.angle + self.degrees)
        return replace(instance, box=self.rotate_box(instance.box).translate(*shift), angle=turned)


@dataclass(frozen=True, slots=True)
class Reroute:
    """Move the end of a cable by pixels; the cable bends."""

    target: int
    dx: float
    dy: float


@dataclass(frozen=True, slots=True)
class Damage:
    """Damage the instance, so that it does not look as on good photos; its box stays."""

    target: int


@dataclass(frozen=True, slots=True)
class Vary:
    """Change the instance's brightness and sharpness within what good photos show."""

    target: int


Edit = Remove | Add | Move | Swap | Replace | Resize | Rotate | Reroute | Damage | Vary
Edits = tuple[Edit, ...]
"""Edits to apply one after the other."""
Rng = np.random.Generator


def get_instance(scene: Scene, target: int) -> Instance:
    """Return the instance with an id.

    Raises:
        KeyError: The scene has no such instance.
    """
    for candidate in scene.instances:
        if candidate.id == target:
            return candidate
    raise KeyError(target)


def find_supported(scene: Scene, target: Instance, liquids: frozenset[str]) -> tuple[Instance, ...]:
    """Return the instances that lie on `target` and move with it.

    A liquid lies on the component that it fills; nothing lies on a liquid, which is only visible behind other objects.
    """
    if target.component in liquids:
        return ()
    return tuple(
        i
        for i in scene.instances
        if i.id != target.id and i.box.area < target.box.area and i.box.ioa(target.box) >= SUPPORT_SHARE
    )


def apply_edit(edit: Edit, scene: Scene, liquids: frozenset[str], new_instances: Sequence[Instance] = ()) -> Scene:
    """Return the scene after an edit.

    `new_instances`: those that an Add or a Replace inserts, or that a Remove uncovers.
    """
    match edit:
        case Remove():
            removed = _supported_ids(scene, edit.target, liquids)
            return _rebuild(scene, [i for i in scene.instances if i.id not in removed], new_instances)
        case Add():
            return _rebuild(scene, scene.instances, new_instances)
        case Rotate():
            return _rotate(scene, edit, liquids)
        case Reroute():
            return _shift(scene, frozenset([edit.target]), edit.dx, edit.dy)
        case Move():
            return _shift(scene, _supported_ids(scene, edit.target, liquids), edit.dx, edit.dy)
        case Swap():
            first, second = get_instance(scene, edit.target), get_instance(scene, edit.other)
            dx = second.box.centre[0] - first.box.centre[0]
            dy = second.box.centre[1] - first.box.centre[1]
            groups = _supported_ids(scene, first.id, liquids), _supported_ids(scene, second.id, liquids)
            return _shift(_shift(scene, groups[0], dx, dy), groups[1], -dx, -dy)
        case Replace():
            if new_instances:
                removed = _supported_ids(scene, edit.target, liquids)
                return _rebuild(scene, [i for i in scene.instances if i.id not in removed], new_instances)
            return _update_instance(scene, edit.target, component=edit.component, attributes=edit.attributes)
        case Resize():
            return _scale(scene, get_instance(scene, edit.target), edit.box, liquids)
        case Damage():
            return _update_instance(scene, edit.target, is_damaged=True)
        case Vary():
            return scene
        case _:
            assert_never(edit)


def simulate_edits(edits: Sequence[Edit], scene: Scene, liquids: frozenset[str], leaves: Mapping[str, str]) -> Scene:
    """Return the scene after some edits, with new instances exactly as planned.

    Raises:
        KeyError: The target of an edit is not on the scene.
    """
    for edit in edits:
        new_id = min([0, *(i.id for i in scene.instances)]) - 1
        new_instances: list[Instance] = []
        if isinstance(edit, Add):
            new_instances = [Instance(new_id, edit.component, edit.box, edit.attributes)]
        elif isinstance(edit, Remove):
            removed = get_instance(scene, edit.target)
            uncovered = leaves.get(removed.component)
            new_instances = [Instance(new_id, uncovered, removed.box)] if uncovered else []
        scene = apply_edit(edit, scene, liquids, new_instances)
    return scene


def find_pasted(edits: Sequence[Edit], scene: Scene, leaves: Mapping[str, str]) -> set[str]:
    """Return the components of which the edits paste an instance: added, put in another's place, or uncovered."""
    components = {instance.id: instance.component for instance in scene.instances}
    pasted: set[str] = set()
    for edit in edits:
        if isinstance(edit, Add) or (isinstance(edit, Replace) and edit.component != components.get(edit.target)):
            pasted.add(edit.component)
        elif isinstance(edit, Remove) and components.get(edit.target) in leaves:
            pasted.add(leaves[components[edit.target]])
    return pasted


def _supported_ids(scene: Scene, target: int, liquids: frozenset[str]) -> frozenset[int]:
    root = get_instance(scene, target)
    return frozenset([target, *(i.id for i in find_supported(scene, root, liquids))])


def _rebuild(scene: Scene, remaining: Sequence[Instance], new_instances: Sequence[Instance]) -> Scene:
    return replace(scene, instances=(*remaining, *new_instances))


def _shift(scene: Scene, ids: frozenset[int], dx: float, dy: float) -> Scene:
    shifted = (replace(i, box=i.box.translate(dx, dy)) if i.id in ids else i for i in scene.instances)
    return replace(scene, instances=tuple(shifted))


def _scale(scene: Scene, target: Instance, to: Box, liquids: frozenset[str]) -> Scene:
    along = {i.id: i.box.map_between(target.box, to) for i in find_supported(scene, target, liquids)} | {target.id: to}
    return replace(scene, instances=tuple(replace(i, box=along.get(i.id, i.box)) for i in scene.instances))


def _rotate(scene: Scene, edit: Rotate, liquids: frozenset[str]) -> Scene:
    pivot = get_instance(scene, edit.target).box.centre
    ids = _supported_ids(scene, edit.target, liquids) if edit.turns_contents else frozenset([edit.target])
    turned = (edit.rotate_instance(i, pivot) if i.id in ids else i for i in scene.instances)
    return replace(scene, instances=tuple(turned))


def _update_instance(scene: Scene, target: int, **facts: object) -> Scene:
    updated = (replace(i, **facts) if i.id == target else i for i in scene.instances)  # type: ignore[arg-type]
    return replace(scene, instances=tuple(updated))


def attribute_to_text(path: str) -> str:
    """Return `component.attribute` in plain English."""
    component, attribute = path.split(".")
    return f"{name_to_text(component)}'s {name_to_text(attribute)}"


def set_attribute(target: Instance, attribute: str, value: str) -> Replace:
    """Replace the target by the same component with an attribute value."""
    facts = {**dict(target.attributes), attribute: value}
    return Replace(target.id, target.component, tuple(sorted(facts.items())))


def change_attribute(target: Instance, attribute: str, values: Sequence[str], rng: Rng) -> Iterator[tuple[Replace]]:
    """Yield the replacement of the target by one with a random other value; nothing if there is no other value."""
    other = [value for value in values if value != target.attribute(attribute)]
    if other:
        yield (set_attribute(target, attribute, other[int(rng.integers(len(other)))]),)
