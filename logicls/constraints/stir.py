"""Random edits of what a rule speaks about: for rules that say what must not be."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from logicls.constraints.family import Family, Plans
from logicls.constraints.plan import Move, Rng, Swap
from logicls.constraints.reading import Absent, Reading, Unreadable
from logicls.constraints.room import MAX_STEPS, additions, instances, moves_into, one_of, removal, spots
from logicls.constraints.variant import another
from logicls.records import Box, Instance, Scene


def stirred(rule: Family, scene: Scene, reading: Reading, rng: Rng) -> Iterator[Plans]:
    """One random edit of a random thing that the rule names."""
    named = [n for n in rule.names() if n.role != "place" or n.name not in reading.world.areas]
    if not named:
        return
    thing, _, attribute = named[int(rng.integers(len(named)))].name.partition(".")
    try:
        present = instances(scene, reading, thing)
        if attribute and present:
            targets = present if len(present) <= MAX_STEPS and rng.random() < 0.5 else [one_of(rng, present)]
            values = reading.world.values(thing, attribute)
            edits = [next(another(target, attribute, values, rng), ()) for target in targets]
            yield tuple(plan for edit in edits for plan in edit)
        else:
            yield from _shaken(rule, scene, reading, thing, present, rng)
    except (Absent, Unreadable):
        return


def _shaken(
    rule: Family, scene: Scene, reading: Reading, thing: str, present: list[Instance], rng: Rng
) -> Iterator[Plans]:
    """Taken away, added, moved anywhere, moved to a place that the rule names, or swapped."""
    way = int(rng.integers(5))
    if way == 0 or not present:
        more = additions(scene, reading, thing, rng)
        if more:
            yield more
        return
    target = one_of(rng, present)
    places = [box for n in rule.names() if n.role == "place" for box in reading.places(n.name)]
    if way == 1:
        yield removal([target])
    elif way == 2 and places:
        place = places[int(rng.integers(len(places)))]
        if rng.random() < 0.5:
            yield from ((move,) for move in islice(moves_into(scene, target, place, rng), 1))
        else:
            yield tuple(_onto(i, place, rng) for i in present[:MAX_STEPS] if i.box != place)
    elif way == 3:
        others = [i for i in scene.instances if i.id != target.id and i.component in {n.name for n in rule.names()}]
        if others:
            yield (Swap(target.id, one_of(rng, others).id),)
    else:
        yield from ((m,) for m in islice(spots(scene, target, Box(0, 0, scene.width, scene.height), rng), 1))


def _onto(subject: Instance, place: Box, rng: Rng) -> Move:
    """The subject's centre anywhere in the place, whatever is there."""
    x, y = place.x1 + place.width * float(rng.random()), place.y1 + place.height * float(rng.random())
    return Move(subject.id, x - subject.box.centre[0], y - subject.box.centre[1])
