"""Placement of instances by edits: on the same support, in the photo, without covering other instances."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, TypeVar

from logicls.constraints.families.context import AttributeFilter, EvaluationContext, contains_centre
from logicls.constraints.families.edits import SUPPORT_SHARE, Add, Edits, Move, Remove, Replace, Rng, Swap
from logicls.records import Box, Instance, Scene

T = TypeVar("T")
MAX_EDITS = 4
"""Edits that one violation may take; more would give an implausible photo."""
BESIDE_SHARE = 0.6
"""Share of added instances that lie beside a present one; the others lie anywhere on the same support."""
MAX_ATTEMPTS = 40


def find_instances(
    scene: Scene, context: EvaluationContext, name: str, required: AttributeFilter = ()
) -> list[Instance]:
    """Return the instances of a component or variant in reading order. `context`: the answers about `scene`."""
    found = scene.instances_of(context.vocabulary.component(name))
    indices = context.instance_indices(name, required)
    return list(found) if indices is None else [found[i] for i in indices]


def is_in_photo(box: Box, scene: Scene) -> bool:
    """Check if the box exceeds the photo by at most half a pixel."""
    return box.x1 >= -0.5 and box.y1 >= -0.5 and box.x2 <= scene.width + 0.5 and box.y2 <= scene.height + 0.5


def supporting_box(scene: Scene, subject: Instance) -> Box:
    """Return the smallest box that the subject lies on; the photo if there is none."""
    under = [i.box for i in scene.instances if i.id != subject.id and subject.box.ioa(i.box) >= SUPPORT_SHARE]
    return min(under, key=lambda b: b.area, default=Box(0, 0, scene.width, scene.height))


def choose_instance(rng: Rng, found: Sequence[Instance]) -> Instance:
    """Choose a random instance."""
    return found[int(rng.integers(len(found)))]


def sample_instances(rng: Rng, found: Sequence[Instance], count: int) -> list[Instance]:
    """Sample up to `count` different instances, in random order."""
    return [found[int(i)] for i in rng.permutation(len(found))[:count]]


def remove_instances(removed: Sequence[Instance]) -> tuple[Remove, ...]:
    """Return the edits that remove the instances."""
    return tuple(Remove(i.id) for i in removed)


def add_instances(
    scene: Scene,
    context: EvaluationContext,
    name: str,
    rng: Rng,
    *,
    count: int = 1,
    required: AttributeFilter = (),
    location: Box | None = None,
) -> tuple[Add, ...] | None:
    """Return the edits that add instances, within `location` if given; None if there is no free space."""
    model = _choose_template(scene, context, name, rng)
    facts = choose_attributes(context, name, rng, model, required)
    occupied: list[Box] = []
    for _ in range(count):
        box = _find_free_box(scene, model, rng, location or context.frame, occupied)
        if box is None:
            return None
        occupied.append(box)
    return tuple(Add(model.component, box, facts) for box in occupied)


def replace_instance(scene: Scene, context: EvaluationContext, target: Instance, name: str, rng: Rng) -> Replace:
    """Return the edit that replaces the target by an instance of a component or variant."""
    return Replace(target.id, context.vocabulary.component(name), choose_attributes(context, name, rng, target))


def choose_attributes(
    context: EvaluationContext, component_name: str, rng: Rng, model: Instance, required: AttributeFilter = ()
) -> tuple[tuple[str, str], ...]:
    """Choose the attributes of a new instance: required values, else those of `model`, else random allowed values."""
    vocabulary = context.vocabulary
    component = vocabulary.component(component_name)
    needed = dict((*vocabulary.required_attributes(component_name), *required))
    facts = dict(model.attributes) if model.component == component else {}
    for name, values in vocabulary.attribute_values.get(component, {}).items():
        allowed = [value for value in values if name not in needed or value in needed[name]]
        if allowed and facts.get(name) not in allowed:
            facts[name] = allowed[int(rng.integers(len(allowed)))]
    return tuple(sorted(facts.items()))


def sample_moves(scene: Scene, subject: Instance, frame: Box, rng: Rng) -> Iterator[Move]:
    """Yield up to `MAX_ATTEMPTS` moves to random positions within the frame; none if the subject does not fit."""
    free_space = frame.width - subject.box.width, frame.height - subject.box.height
    if min(free_space) < 0:
        return
    for _ in range(MAX_ATTEMPTS):
        x, y = frame.x1 + free_space[0] * float(rng.random()), frame.y1 + free_space[1] * float(rng.random())
        yield Move(subject.id, x - subject.box.x1, y - subject.box.y1)


def is_clear(scene: Scene, box: Box, subject: Instance, location: Box | None = None) -> bool:
    """Check if the box covers no instance but the subject and the support of the subject or of the location."""
    supports = [subject.box] if location is None else [subject.box, location]
    return all(
        i.box.intersection(box) <= 0.05 * min(i.box.area, box.area)
        for i in scene.instances
        if i.id != subject.id and not any(support.ioa(i.box) >= SUPPORT_SHARE for support in supports)
    )


def _choose_template(scene: Scene, context: EvaluationContext, name: str, rng: Rng) -> Instance:
    """Choose the instance that an added one resembles; if there is none, one that is an eighth of the photo wide."""
    component = context.vocabulary.component(name)
    present = find_instances(scene, context, name) or list(scene.instances_of(component))
    if present:
        return choose_instance(rng, present)
    size = min(scene.width, scene.height) / 8
    return Instance(0, component, Box(0, 0, size, size))


def _find_free_box(
    scene: Scene, model: Instance, rng: Rng, location: Box | None, occupied: Sequence[Box]
) -> Box | None:
    """Find a box of the model's size on the same support that covers nothing else; None if there is no free space."""
    supports = [i for i in scene.instances if i.id != model.id and model.box.ioa(i.box) >= SUPPORT_SHARE]
    frame = location or min(
        (g.box for g in supports), key=lambda b: b.area, default=Box(0, 0, scene.width, scene.height)
    )
    below = [i for i in scene.instances if location and location.ioa(i.box) >= SUPPORT_SHARE]
    obstacles = [i.box for i in scene.instances if i not in supports and i not in below]
    for _ in range(MAX_ATTEMPTS):
        box = (
            _place_beside(model.box, frame, rng)
            if model.id and rng.random() < BESIDE_SHARE
            else _place_randomly(model.box, frame, rng)
        )
        clear = (*obstacles, *occupied)
        if box and is_in_photo(box, scene) and all(o.intersection(box) <= 0.05 * min(o.area, box.area) for o in clear):
            return box
    return None


def _place_randomly(size: Box, frame: Box, rng: Rng) -> Box:
    """Return a random box within the frame; with its centre in the frame if the frame is smaller."""
    free_space = [max(frame.width - size.width, 0.0), max(frame.height - size.height, 0.0)]
    slack = [min(size.width, frame.width), min(size.height, frame.height)]
    x = frame.x1 + (slack[0] - size.width) / 2 + free_space[0] * float(rng.random())
    y = frame.y1 + (slack[1] - size.height) / 2 + free_space[1] * float(rng.random())
    return Box(x, y, x + size.width, y + size.height)


def _place_beside(model: Box, frame: Box, rng: Rng) -> Box | None:
    """Return a box one to two sizes from the model in a random direction; None if it leaves the frame."""
    angle, reach = 2 * math.pi * float(rng.random()), 1.0 + 0.8 * float(rng.random())
    box = model.translate(math.cos(angle) * reach * model.width, math.sin(angle) * reach * model.height)
    return box if box.ioa(frame) >= 0.999 else None


def sample_moves_into(scene: Scene, subject: Instance, location: Box, rng: Rng) -> Iterator[Move]:
    """Yield moves of the subject's centre into the location that cover no other instance."""
    for _ in range(MAX_ATTEMPTS):
        box = _place_randomly(subject.box, location, rng)
        if contains_centre(location, box) and is_in_photo(box, scene) and is_clear(scene, box, subject, location):
            yield Move(subject.id, box.x1 - subject.box.x1, box.y1 - subject.box.y1)


def sample_moves_out(scene: Scene, subject: Instance, locations: Sequence[Box], rng: Rng) -> Iterator[Move]:
    """Yield moves of the subject's centre out of all locations that cover no other instance."""
    for move in sample_moves(scene, subject, Box(0, 0, scene.width, scene.height), rng):
        box = subject.box.translate(move.dx, move.dy)
        if not any(contains_centre(location, box) for location in locations) and is_clear(scene, box, subject):
            yield move


def shuffle(items: Sequence[T], rng: Rng) -> list[T]:
    """Return the items in random order."""
    return [items[int(i)] for i in rng.permutation(len(items))]


def allowed_area(scene: Scene, context: EvaluationContext) -> Box:
    """Return the location that a rule is restricted to, clipped to the photo; the photo if it is not restricted."""
    return context.frame.clip(scene.width, scene.height) if context.frame else context.photo_box


def swap_pairs(
    scene: Scene, context: EvaluationContext, ones: Sequence[Instance], other: str, rng: Rng
) -> Iterator[Edits]:
    """Yield up to four swaps of one of the instances with an instance of another component; none with a region."""
    if other in context.vocabulary.regions:
        return
    pairs = [(one.id, two.id) for one in ones for two in find_instances(scene, context, other) if one.id != two.id]
    yield from ((Swap(one, two),) for one, two in shuffle(pairs, rng)[:4])


def exchange_groups(scene: Scene, context: EvaluationContext, one: str, other: str) -> Iterator[Edits]:
    """Yield the exchange of all instances of two components, the largest first; it moves what lies on it."""
    if other in context.vocabulary.regions:
        return
    ones, others = find_instances(scene, context, one), find_instances(scene, context, other)
    if not 2 < len(ones) + len(others) <= MAX_EDITS or not ones or not others:
        return
    (x1, y1), (x2, y2) = enclosing_box(ones).centre, enclosing_box(others).centre
    shifts = {i.id: (x2 - x1, y2 - y1) for i in ones} | {i.id: (x1 - x2, y1 - y2) for i in others}
    yield tuple(Move(i.id, *shifts[i.id]) for i in sorted([*ones, *others], key=lambda i: -i.box.area))


def enclosing_box(found: Sequence[Instance]) -> Box:
    """Return the smallest box that contains all instances."""
    boxes = [i.box for i in found]
    return Box(min(b.x1 for b in boxes), min(b.y1 for b in boxes), max(b.x2 for b in boxes), max(b.y2 for b in boxes))


def move_off_centre(
    scene: Scene,
    subject: Instance,
    target: Box,
    units: tuple[float, float],
    axis: Literal["both", "x", "y"],
    offset: float,
    rng: Rng,
) -> Iterator[Edits]:
    """Yield a move to `offset` units from the target's centre; nothing if the subject leaves its support.

    `units`: pixels across and down. `axis`: the axis along which the offset counts.
    """
    angle = float(rng.random()) * 2 * math.pi
    direction = math.cos(angle), math.sin(angle)
    longest = max(abs(d) for d in direction) if axis == "both" else abs(direction["xy".index(axis)])
    scale = offset / max(longest, 1e-3)
    x, y = (c + d * scale * u for c, d, u in zip(target.centre, direction, units, strict=True))
    move = Move(subject.id, x - subject.box.centre[0], y - subject.box.centre[1])
    if subject.box.translate(move.dx, move.dy).ioa(supporting_box(scene, subject)) >= 0.999:
        yield (move,)


def move_over_edge(
    subject: Instance, target: Box, units: tuple[float, float], offset: float, rng: Rng
) -> Iterator[Edits]:
    """Yield a move after which the subject sticks out of the target by `offset` units on one side."""
    box = subject.box
    free_space = max(target.width - box.width, 0.0) / 2, max(target.height - box.height, 0.0) / 2
    shift = [(2 * float(rng.random()) - 1) * space for space in free_space]
    axis, sign = int(rng.integers(2)), 1 if rng.random() < 0.5 else -1
    shift[axis] = sign * (free_space[axis] + offset * units[axis])
    x, y = (c + s for c, s in zip(target.centre, shift, strict=True))
    yield (Move(subject.id, x - box.centre[0], y - box.centre[1]),)


def push_against(context: EvaluationContext, subject: Instance, other: str, rng: Rng) -> Iterator[Edits]:
    """Yield moves after which the subject overlaps another component a little."""
    for target in shuffle([b for b in context.locations(other) if b != subject.box], rng):
        for _ in range(8):
            angle, depth = float(rng.random()) * 2 * math.pi, 0.5 + 0.45 * float(rng.random())
            reach = (subject.box.width + target.width) / 2, (subject.box.height + target.height) / 2
            x, y = math.cos(angle), math.sin(angle)
            stretch = depth / max(abs(x), abs(y))
            centre = target.centre[0] + x * stretch * reach[0], target.centre[1] + y * stretch * reach[1]
            yield (Move(subject.id, centre[0] - subject.box.centre[0], centre[1] - subject.box.centre[1]),)
