"""Break a constraint on purpose, or go through the same motions and break nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from logicls.constraints.checker.evaluation import check, checked, named, read_off
from logicls.constraints.checker.margins import near
from logicls.constraints.families.context import Absent, Reading, Side, Unreadable
from logicls.constraints.families.edits import Rng, imagined
from logicls.constraints.families.placement import MAX_STEPS, in_photo
from logicls.constraints.families.protocol import Plans
from logicls.constraints.spec.models import Constraint, Spec
from logicls.records import Instance, Scene

CANDIDATES = 60
"""Plans that are looked at before the best of them is taken."""
SPREAD = 0.4
"""Share of the searches that begin with several places at once, where a constraint is checked in several."""
FEWEST = 0.6
"""Share of those with two places; the same share of the others with three, and so on."""
PATIENCE = 12
"""Plans in a row that break the constraint, but none fewer of the others than the best so far, before that is taken."""


@dataclass(frozen=True, slots=True)
class Aim:
    """One way to break one constraint."""

    constraint: Constraint
    side: Side

    @property
    def violation(self) -> str:
        """The defect that it makes."""
        return self.constraint.violation_on(self.side)


def can_break(spec: Spec, aim: Aim, scene: Scene, rng: Rng) -> bool:
    """Whether some edit of the scene breaks the aim's constraint as it should, whatever else it breaks."""
    plans_tried = islice(candidates(spec, aim, scene, rng, twin=False), CANDIDATES)
    readings = (outcome(spec, plans, scene) for plans in plans_tried)
    return any(reading is not None and _hits(aim, reading) for reading in readings)


@dataclass(frozen=True, slots=True)
class Breach:
    """What is broken after some edits: constraint id → its violations."""

    violations: dict[str, tuple[str, ...]]

    def added(self, before: Breach) -> dict[str, tuple[str, ...]]:
        """Constraints that were not broken before, or otherwise."""
        return {key: names for key, names in self.violations.items() if before.violations.get(key) != names}


def aims(spec: Spec) -> tuple[Aim, ...]:
    """Every way in which the spec can be broken."""
    return tuple(Aim(constraint, side) for constraint in spec.constraints for side in constraint.sides)


def violate(spec: Spec, aim: Aim, scene: Scene, rng: Rng, *, twin: bool = False) -> Plans | None:
    """Edits that break the aim's constraint on a scene where it holds; with `twin`, ones that break nothing.

    Of the plans that come to mind the first is taken that breaks no other constraint; if every one does, the one that
    breaks the fewest: then those others follow from this one on this scene. None where the scene does not allow it, or
    only by what brings a rule into the dead zone of its limit.
    """
    given = read_off(spec, scene, quiet=True)
    before, close = breach(spec, given), near(spec, given) - {aim.constraint.id}
    if aim.constraint.id in before.violations:
        return None
    best: tuple[int, Plans] | None = None
    idle = 0
    for plans in islice(candidates(spec, aim, scene, rng, twin=twin), CANDIDATES):
        reading = outcome(spec, plans, scene)
        if reading is None or not (twin or _hits(aim, reading)):
            continue
        if not near(spec, reading) <= close:
            continue
        added = breach(spec, reading).added(before)
        if not twin and aim.constraint.id not in added:
            continue
        if len(added) == (0 if twin else 1):
            return plans
        if best is None or len(added) < best[0]:
            best, idle = (len(added), plans), 0
        idle += 1
        if idle > PATIENCE:
            break
    return best[1] if best and not twin else None


def breach(spec: Spec, reading: Reading) -> Breach:
    """What is broken on a scene."""
    checks = checked(spec, reading)
    return Breach(
        {
            constraint.id: named(constraint, found)
            for constraint, found in zip(spec.constraints, checks, strict=True)
            if found.status == "broken"
        }
    )


def outcome(spec: Spec, plans: Plans, scene: Scene) -> Reading | None:
    """What there is to read after the plans; None where they cannot be carried out or lead out of the photo."""
    try:
        edited = imagined(plans, scene, spec.fillings, spec.world.leaves)
    except KeyError:
        return None
    before = set(scene.instances)
    if not all(_stays(i, scene) for i in edited.instances if i not in before):
        return None
    return read_off(spec, edited, quiet=True)


def _hits(aim: Aim, reading: Reading) -> bool:
    """Whether the aim's constraint, taken by itself, is broken as it should be and in no other way."""
    return named(aim.constraint, check(aim.constraint, reading)) == (aim.violation,)


def _stays(instance: Instance, scene: Scene) -> bool:
    return in_photo(instance.box, scene) and min(instance.box.width, instance.box.height) >= 1


def candidates(spec: Spec, aim: Aim, scene: Scene, rng: Rng, *, twin: bool) -> Iterator[Plans]:
    """The plans that come to mind, in the order in which they come, whatever comes of them."""
    reading = read_off(spec, scene)
    make = aim.constraint.rule.keep if twin else aim.constraint.rule.plans
    frames = _frames(aim.constraint, reading, rng)
    if not twin and len(frames) > 1 and rng.random() < SPREAD:
        yield from _spread(aim, scene, frames, rng)
    for frame in frames:
        try:
            yield from make(scene, frame, aim.side, rng)
        except (Absent, Unreadable):
            continue


def _spread(aim: Aim, scene: Scene, frames: Sequence[Reading], rng: Rng) -> Iterator[Plans]:
    """Break it in several places at once, if it bears the same name then: two things too many may lie in two places."""
    count = min(1 + int(rng.geometric(FEWEST)), len(frames), MAX_STEPS)
    shares = np.ones(count, dtype=int) + rng.multinomial(max(aim.side.amount - count, 0), [1 / count] * count)
    if aim.constraint.violation_on(Side(aim.side.kind, int(shares.sum()))) != aim.violation:
        return
    parts: list[Plans] = []
    for frame, share in zip(frames, shares.tolist(), strict=False):
        try:
            plans = next(iter(aim.constraint.rule.plans(scene, frame, Side(aim.side.kind, share), rng)), None)
        except (Absent, Unreadable):
            return
        if plans is None:
            return
        parts.append(plans)
    yield tuple(chain.from_iterable(parts))


def _frames(constraint: Constraint, reading: Reading, rng: Rng) -> list[Reading]:
    """The whole photo, or each place that the constraint is checked in, in random order."""
    if constraint.each is None:
        return [reading]
    places = reading.places(constraint.each)
    return [reading.within(places[int(i)]) for i in rng.permutation(len(places))]
