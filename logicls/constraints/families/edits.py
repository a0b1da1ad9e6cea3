"""Edits as plans: what to change on a scene, before any pixel is touched.

A plan names one instance and what becomes of it; whatever lies on that instance goes with it.

Attributes as rules speak of them, and edits that change one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np

from logicls.constraints.families.context import name_to_text
from logicls.records import Box, Instance, Scene

SUPPORT_SHARE = 0.85
"""Share of an instance's area that must lie in another for it to count as lying on it."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Take the instance away."""

    target: int


@dataclass(frozen=True, slots=True)
class Add:
    """Put one more instance of a component at a box."""

    component: str
    box: Box
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """Shift the instance by pixels."""

    target: int
    dx: float
    dy: float


@dataclass(frozen=True, slots=True)
class Swap:
    """Let two instances change places, centre to centre."""

    target: int
    other: int


@dataclass(frozen=True, slots=True)
class Replace:
    """Put something else in its place: another component, or the same one with other attributes."""

    target: int
    component: str
    attributes: tuple[tuple[str, str], ...] = ()
    """All attributes that what comes in its place has."""


@dataclass(frozen=True, slots=True)
class Resize:
    """Give the instance another box: a filling grows and shrinks at its top, others with what lies on them."""

    target: int
    box: Box


@dataclass(frozen=True, slots=True)
class Rotate:
    """Turn the instance about its centre; what lies on it stays where it is."""

    target: int
    degrees: float
    """Anticlockwise."""

    def rotate_box(self, box: Box) -> Box:
        """The box about the turned box: larger than the thing needs, unless it fills its box."""
        angle = math.radians(self.degrees)
        c, s = abs(math.cos(angle)), abs(math.sin(angle))
        width, height = box.width * c + box.height * s, box.width * s + box.height * c
        x, y = box.centre
        return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)


@dataclass(frozen=True, slots=True)
class Reroute:
    """Put the end of a cable elsewhere; the cable bends along."""

    target: int
    dx: float
    dy: float


Edit = Remove | Add | Move | Swap | Replace | Resize | Rotate | Reroute
Rng = np.random.Generator


def get_instance(scene: Scene, target: int) -> Instance:
    """The instance with that id. Raises `KeyError`."""
    for candidate in scene.instances:
        if candidate.id == target:
            return candidate
    raise KeyError(target)


def find_supported(scene: Scene, target: Instance, liquids: frozenset[str]) -> tuple[Instance, ...]:
    """What lies on `target` and moves with it. Nothing lies on a filling: it only shows behind things.

    A filling counts as lying on what it fills.
    """
    if target.component in liquids:
        return ()
    return tuple(
        i
        for i in scene.instances
        if i.id != target.id and i.box.area < target.box.area and i.box.ioa(target.box) >= SUPPORT_SHARE
    )


def apply_edit(edit: Edit, scene: Scene, liquids: frozenset[str], new_instances: Sequence[Instance] = ()) -> Scene:
    """The scene after the plan. `arriving` come with an Add or a Replace, or are what a Remove leaves."""
    match edit:
        case Remove():
            removed = _supported_ids(scene, edit.target, liquids)
            return _rebuild(scene, [i for i in scene.instances if i.id not in removed], new_instances)
        case Add():
            return _rebuild(scene, scene.instances, new_instances)
        case Rotate():
            return _update_instance(scene, edit.target, box=edit.rotate_box(get_instance(scene, edit.target).box))
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
        case _:
            assert_never(edit)


def simulate_edits(edits: Sequence[Edit], scene: Scene, liquids: frozenset[str], leaves: Mapping[str, str]) -> Scene:
    """The scene after the plans, where what arrives is just as it was planned. Raises `KeyError` for a lost target."""
    for edit in edits:
        new_id = min((i.id for i in scene.instances), default=0)
        new_id = min(new_id, 0) - 1
        new_instances: list[Instance] = []
        if isinstance(edit, Add):
            new_instances = [Instance(new_id, edit.component, edit.box, edit.attributes)]
        elif isinstance(edit, Remove):
            removed = get_instance(scene, edit.target)
            left = leaves.get(removed.component)
            new_instances = [Instance(new_id, left, removed.box)] if left else []
        scene = apply_edit(edit, scene, liquids, new_instances)
    return scene


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


def _update_instance(scene: Scene, target: int, **facts: object) -> Scene:
    updated = (replace(i, **facts) if i.id == target else i for i in scene.instances)  # type: ignore[arg-type]
    return replace(scene, instances=tuple(updated))


def attribute_to_text(path: str) -> str:
    """`thing.attribute` as people say it."""
    component, attribute = path.split(".")
    return f"{name_to_text(component)}'s {name_to_text(attribute)}"


def set_attribute(target: Instance, attribute: str, value: str) -> Replace:
    """The same thing with that value in the target's place."""
    facts = {**dict(target.attributes), attribute: value}
    return Replace(target.id, target.component, tuple(sorted(facts.items())))


def change_attribute(target: Instance, attribute: str, values: Sequence[str], rng: Rng) -> Iterator[tuple[Replace]]:
    """The target with one of the values that it does not have."""
    other = [value for value in values if value != target.attribute(attribute)]
    if other:
        yield (set_attribute(target, attribute, other[int(rng.integers(len(other)))]),)
