"""Where edits may put things: on the same ground, in the photo, clear of what is in front."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from logicls.constraints.families.context import AttributeFilter, EvaluationContext, contains_centre
from logicls.constraints.families.edits import SUPPORT_SHARE, Add, Move, Remove, Replace, Rng
from logicls.records import Box, Instance, Scene

MAX_EDITS = 4
"""Edits that one violation may take; more would leave a photo that nobody believes."""
BESIDE_SHARE = 0.6
"""Share of additional instances that lie beside a present one; the others may lie anywhere on the same ground."""
MAX_ATTEMPTS = 40


def find_instances(
    scene: Scene, context: EvaluationContext, name: str, required: AttributeFilter = ()
) -> list[Instance]:
    """The instances that `reading` means by `thing`, in reading order; `reading` is what was looked up on `scene`."""
    found = scene.instances_of(context.vocabulary.component(name))
    indices = context.instance_indices(name, required)
    return list(found) if indices is None else [found[i] for i in indices]


def is_in_photo(box: Box, scene: Scene) -> bool:
    """Whether the box leaves the photo by no more than half a pixel."""
    return box.x1 >= -0.5 and box.y1 >= -0.5 and box.x2 <= scene.width + 0.5 and box.y2 <= scene.height + 0.5


def supporting_box(scene: Scene, subject: Instance) -> Box:
    """The smallest box that the subject lies on; the photo where there is none."""
    under = [i.box for i in scene.instances if i.id != subject.id and subject.box.ioa(i.box) >= SUPPORT_SHARE]
    return min(under, key=lambda b: b.area, default=Box(0, 0, scene.width, scene.height))


def choose_instance(rng: Rng, found: Sequence[Instance]) -> Instance:
    """A random one."""
    return found[int(rng.integers(len(found)))]


def sample_instances(rng: Rng, found: Sequence[Instance], count: int) -> list[Instance]:
    """So many different ones, in random order."""
    return [found[int(i)] for i in rng.permutation(len(found))[:count]]


def remove_instances(removed: Sequence[Instance]) -> tuple[Remove, ...]:
    """Take them all away."""
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
    """So many more of the thing, in `place` where one is given; None where there is no room."""
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
    """The thing in the place of the target."""
    return Replace(target.id, context.vocabulary.component(name), choose_attributes(context, name, rng, target))


def choose_attributes(
    context: EvaluationContext, component_name: str, rng: Rng, model: Instance, required: AttributeFilter = ()
) -> tuple[tuple[str, str], ...]:
    """All attributes of one more instance: those that make it the thing, the model's, or else any that are allowed."""
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
    """Moves of the subject to random places that lie in the frame as a whole, without end but for an empty frame."""
    free_space = frame.width - subject.box.width, frame.height - subject.box.height
    if min(free_space) < 0:
        return
    for _ in range(MAX_ATTEMPTS):
        x, y = frame.x1 + free_space[0] * float(rng.random()), frame.y1 + free_space[1] * float(rng.random())
        yield Move(subject.id, x - subject.box.x1, y - subject.box.y1)


def is_clear(scene: Scene, box: Box, subject: Instance, location: Box | None = None) -> bool:
    """Whether the box meets no instance but the subject and what it lies on, or what the place lies on."""
    supports = [subject.box] if location is None else [subject.box, location]
    return all(
        i.box.intersection(box) <= 0.05 * min(i.box.area, box.area)
        for i in scene.instances
        if i.id != subject.id and not any(ground.ioa(i.box) >= SUPPORT_SHARE for ground in supports)
    )


def _choose_template(scene: Scene, context: EvaluationContext, name: str, rng: Rng) -> Instance:
    """A present instance to be like; an imaginary one, an eighth of the photo wide, where there is none."""
    component = context.vocabulary.component(name)
    present = find_instances(scene, context, name) or list(scene.instances_of(component))
    if present:
        return choose_instance(rng, present)
    size = min(scene.width, scene.height) / 8
    return Instance(0, component, Box(0, 0, size, size))


def _find_free_box(
    scene: Scene, model: Instance, rng: Rng, location: Box | None, occupied: Sequence[Box]
) -> Box | None:
    """A box for one more: the size of the model, on the same ground, clear of everything that is in front."""
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
    """Somewhere in the frame; with its centre there, where the frame is smaller."""
    free_space = [max(frame.width - size.width, 0.0), max(frame.height - size.height, 0.0)]
    slack = [min(size.width, frame.width), min(size.height, frame.height)]
    x = frame.x1 + (slack[0] - size.width) / 2 + free_space[0] * float(rng.random())
    y = frame.y1 + (slack[1] - size.height) / 2 + free_space[1] * float(rng.random())
    return Box(x, y, x + size.width, y + size.height)


def _place_beside(model: Box, frame: Box, rng: Rng) -> Box | None:
    """A place a little more than a size away from the model, in any direction."""
    angle, reach = 2 * math.pi * float(rng.random()), 1.0 + 0.8 * float(rng.random())
    box = model.translate(math.cos(angle) * reach * model.width, math.sin(angle) * reach * model.height)
    return box if box.ioa(frame) >= 0.999 else None


def sample_moves_into(scene: Scene, subject: Instance, location: Box, rng: Rng) -> Iterator[Move]:
    """Moves that bring the subject's centre into the place, clear of what is there."""
    for _ in range(MAX_ATTEMPTS):
        box = _place_randomly(subject.box, location, rng)
        if contains_centre(location, box) and is_in_photo(box, scene) and is_clear(scene, box, subject, location):
            yield Move(subject.id, box.x1 - subject.box.x1, box.y1 - subject.box.y1)


def sample_moves_out(scene: Scene, subject: Instance, locations: Sequence[Box], rng: Rng) -> Iterator[Move]:
    """Moves that bring the subject's centre out of all the places, clear of what is there."""
    for move in sample_moves(scene, subject, Box(0, 0, scene.width, scene.height), rng):
        box = subject.box.translate(move.dx, move.dy)
        if not any(contains_centre(location, box) for location in locations) and is_clear(scene, box, subject):
            yield move
