"""Break a constraint on purpose, or go through the same motions and break nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from logicls.constraints.checker.evaluation import (
    build_context,
    evaluate_constraint,
    evaluate_constraints,
    violation_names,
)
from logicls.constraints.checker.margins import find_near_limits
from logicls.constraints.families.context import EvaluationContext, FailureMode, NotApplicable, UnreadableAnswer
from logicls.constraints.families.edits import Rng, simulate_edits
from logicls.constraints.families.placement import MAX_EDITS, is_in_photo
from logicls.constraints.families.protocol import Edits
from logicls.constraints.spec.models import Constraint, Spec
from logicls.records import Instance, Scene

MAX_CANDIDATES = 60
"""Plans that are looked at before the best of them is taken."""
MULTI_LOCATION_SHARE = 0.4
"""Share of the searches that begin with several places at once, where a constraint is checked in several."""
TWO_LOCATIONS_SHARE = 0.6
"""Share of those with two places; the same share of the others with three, and so on."""
PATIENCE = 12
"""Plans in a row that break the constraint, but none fewer of the others than the best so far, before that is taken."""


@dataclass(frozen=True, slots=True)
class Target:
    """One way to break one constraint."""

    constraint: Constraint
    mode: FailureMode

    @property
    def violation(self) -> str:
        """The defect that it makes."""
        return self.constraint.violation_name(self.mode)


def can_break(spec: Spec, aim: Target, scene: Scene, rng: Rng) -> bool:
    """Whether some edit of the scene breaks the aim's constraint as it should, whatever else it breaks."""
    plans_tried = islice(propose_edits(spec, aim, scene, rng, twin=False), MAX_CANDIDATES)
    readings = (simulate(spec, plans, scene) for plans in plans_tried)
    return any(reading is not None and _hits_target(aim, reading) for reading in readings)


@dataclass(frozen=True, slots=True)
class BrokenConstraints:
    """What is broken after some edits: constraint id → its violations."""

    violations: dict[str, tuple[str, ...]]

    def difference(self, before: BrokenConstraints) -> dict[str, tuple[str, ...]]:
        """Constraints that were not broken before, or otherwise."""
        return {key: names for key, names in self.violations.items() if before.violations.get(key) != names}


def list_targets(spec: Spec) -> tuple[Target, ...]:
    """Every way in which the spec can be broken."""
    return tuple(Target(constraint, side) for constraint in spec.constraints for side in constraint.failure_modes)


def find_counterexample(spec: Spec, aim: Target, scene: Scene, rng: Rng, *, twin: bool = False) -> Edits | None:
    """Edits that break the aim's constraint on a scene where it holds; with `twin`, ones that break nothing.

    Of the plans that come to mind the first is taken that breaks no other constraint; if every one does, the one that
    breaks the fewest: then those others follow from this one on this scene. None where the scene does not allow it, or
    only by what brings a rule into the dead zone of its limit.
    """
    given = build_context(spec, scene, quiet=True)
    before, close = find_broken(spec, given), find_near_limits(spec, given) - {aim.constraint.id}
    if aim.constraint.id in before.violations:
        return None
    best: tuple[int, Edits] | None = None
    idle = 0
    for plans in islice(propose_edits(spec, aim, scene, rng, twin=twin), MAX_CANDIDATES):
        reading = simulate(spec, plans, scene)
        if reading is None or not (twin or _hits_target(aim, reading)):
            continue
        if not find_near_limits(spec, reading) <= close:
            continue
        added = find_broken(spec, reading).difference(before)
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


def find_broken(spec: Spec, reading: EvaluationContext) -> BrokenConstraints:
    """What is broken on a scene."""
    checks = evaluate_constraints(spec, reading)
    return BrokenConstraints(
        {
            constraint.id: violation_names(constraint, found)
            for constraint, found in zip(spec.constraints, checks, strict=True)
            if found.status == "broken"
        }
    )


def simulate(spec: Spec, plans: Edits, scene: Scene) -> EvaluationContext | None:
    """What there is to read after the plans; None where they cannot be carried out or lead out of the photo."""
    try:
        edited = simulate_edits(plans, scene, spec.liquids, spec.vocabulary.leaves)
    except KeyError:
        return None
    before = set(scene.instances)
    if not all(_is_valid(i, scene) for i in edited.instances if i not in before):
        return None
    return build_context(spec, edited, quiet=True)


def _hits_target(aim: Target, reading: EvaluationContext) -> bool:
    """Whether the aim's constraint, taken by itself, is broken as it should be and in no other way."""
    return violation_names(aim.constraint, evaluate_constraint(aim.constraint, reading)) == (aim.violation,)


def _is_valid(instance: Instance, scene: Scene) -> bool:
    return is_in_photo(instance.box, scene) and min(instance.box.width, instance.box.height) >= 1


def propose_edits(spec: Spec, aim: Target, scene: Scene, rng: Rng, *, twin: bool) -> Iterator[Edits]:
    """The plans that come to mind, in the order in which they come, whatever comes of them."""
    reading = build_context(spec, scene)
    make = aim.constraint.rule.control_edits if twin else aim.constraint.rule.edits
    frames = _shuffle_frames(aim.constraint, reading, rng)
    if not twin and len(frames) > 1 and rng.random() < MULTI_LOCATION_SHARE:
        yield from _break_several(aim, scene, frames, rng)
    for frame in frames:
        try:
            yield from make(scene, frame, aim.mode, rng)
        except (NotApplicable, UnreadableAnswer):
            continue


def _break_several(aim: Target, scene: Scene, frames: Sequence[EvaluationContext], rng: Rng) -> Iterator[Edits]:
    """Break it in several places at once, if it bears the same name then: two things too many may lie in two places."""
    count = min(1 + int(rng.geometric(TWO_LOCATIONS_SHARE)), len(frames), MAX_EDITS)
    shares = np.ones(count, dtype=int) + rng.multinomial(max(aim.mode.amount - count, 0), [1 / count] * count)
    if aim.constraint.violation_name(FailureMode(aim.mode.kind, int(shares.sum()))) != aim.violation:
        return
    parts: list[Edits] = []
    for frame, share in zip(frames, shares.tolist(), strict=False):
        try:
            plans = next(iter(aim.constraint.rule.edits(scene, frame, FailureMode(aim.mode.kind, share), rng)), None)
        except (NotApplicable, UnreadableAnswer):
            return
        if plans is None:
            return
        parts.append(plans)
    yield tuple(chain.from_iterable(parts))


def _shuffle_frames(constraint: Constraint, reading: EvaluationContext, rng: Rng) -> list[EvaluationContext]:
    """The whole photo, or each place that the constraint is checked in, in random order."""
    if constraint.each is None:
        return [reading]
    places = reading.locations(constraint.each)
    return [reading.restrict(places[int(i)]) for i in rng.permutation(len(places))]
