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
from logicls.constraints.families.edits import Edits, Rng, simulate_edits
from logicls.constraints.families.placement import MAX_EDITS, is_in_photo
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


def can_break(spec: Spec, target: Target, scene: Scene, rng: Rng) -> bool:
    """Whether some edit of the scene breaks the aim's constraint as it should, whatever else it breaks."""
    plans_tried = islice(propose_edits(spec, target, scene, rng, is_control=False), MAX_CANDIDATES)
    contexts = (simulate(spec, edits, scene) for edits in plans_tried)
    return any(context is not None and _hits_target(target, context) for context in contexts)


@dataclass(frozen=True, slots=True)
class BrokenConstraints:
    """What is broken after some edits: constraint id → its violations."""

    violations: dict[str, tuple[str, ...]]

    def difference(self, before: BrokenConstraints) -> dict[str, tuple[str, ...]]:
        """Constraints that were not broken before, or otherwise."""
        return {key: names for key, names in self.violations.items() if before.violations.get(key) != names}


def list_targets(spec: Spec) -> tuple[Target, ...]:
    """Every way in which the spec can be broken."""
    return tuple(Target(constraint, mode) for constraint in spec.constraints for mode in constraint.failure_modes)


def find_counterexample(
    spec: Spec, target: Target, scene: Scene, rng: Rng, *, is_control: bool = False
) -> Edits | None:
    """Edits that break the aim's constraint on a scene where it holds; with `twin`, ones that break nothing.

    Of the plans that come to mind the first is taken that breaks no other constraint; if every one does, the one that
    breaks the fewest: then those others follow from this one on this scene. None where the scene does not allow it, or
    only by what brings a rule into the dead zone of its limit.
    """
    context_before = build_context(spec, scene, status_only=True)
    before, near_before = (
        find_broken(spec, context_before),
        find_near_limits(spec, context_before) - {target.constraint.id},
    )
    if target.constraint.id in before.violations:
        return None
    best: tuple[int, Edits] | None = None
    idle = 0
    for edits in islice(propose_edits(spec, target, scene, rng, is_control=is_control), MAX_CANDIDATES):
        context = simulate(spec, edits, scene)
        if context is None or not (is_control or _hits_target(target, context)):
            continue
        if not find_near_limits(spec, context) <= near_before:
            continue
        added = find_broken(spec, context).difference(before)
        if not is_control and target.constraint.id not in added:
            continue
        if len(added) == (0 if is_control else 1):
            return edits
        if best is None or len(added) < best[0]:
            best, idle = (len(added), edits), 0
        idle += 1
        if idle > PATIENCE:
            break
    return best[1] if best and not is_control else None


def find_broken(spec: Spec, context: EvaluationContext) -> BrokenConstraints:
    """What is broken on a scene."""
    results = evaluate_constraints(spec, context)
    return BrokenConstraints(
        {
            constraint.id: violation_names(constraint, found)
            for constraint, found in zip(spec.constraints, results, strict=True)
            if found.status == "broken"
        }
    )


def simulate(spec: Spec, edits: Edits, scene: Scene) -> EvaluationContext | None:
    """What there is to read after the plans; None where they cannot be carried out or lead out of the photo."""
    try:
        edited = simulate_edits(edits, scene, spec.liquids, spec.vocabulary.leaves)
    except KeyError:
        return None
    before = set(scene.instances)
    if not all(_is_valid(i, scene) for i in edited.instances if i not in before):
        return None
    return build_context(spec, edited, status_only=True)


def _hits_target(target: Target, context: EvaluationContext) -> bool:
    """Whether the aim's constraint, taken by itself, is broken as it should be and in no other way."""
    return violation_names(target.constraint, evaluate_constraint(target.constraint, context)) == (target.violation,)


def _is_valid(instance: Instance, scene: Scene) -> bool:
    return is_in_photo(instance.box, scene) and min(instance.box.width, instance.box.height) >= 1


def propose_edits(spec: Spec, target: Target, scene: Scene, rng: Rng, *, is_control: bool) -> Iterator[Edits]:
    """The plans that come to mind, in the order in which they come, whatever comes of them."""
    context = build_context(spec, scene)
    make = target.constraint.rule.control_edits if is_control else target.constraint.rule.edits
    frames = _shuffle_frames(target.constraint, context, rng)
    if not is_control and len(frames) > 1 and rng.random() < MULTI_LOCATION_SHARE:
        yield from _break_several(target, scene, frames, rng)
    for frame in frames:
        try:
            yield from make(scene, frame, target.mode, rng)
        except (NotApplicable, UnreadableAnswer):
            continue


def _break_several(target: Target, scene: Scene, frames: Sequence[EvaluationContext], rng: Rng) -> Iterator[Edits]:
    """Break it in several places at once, if it bears the same name then: two things too many may lie in two places."""
    count = min(1 + int(rng.geometric(TWO_LOCATIONS_SHARE)), len(frames), MAX_EDITS)
    shares = np.ones(count, dtype=int) + rng.multinomial(max(target.mode.amount - count, 0), [1 / count] * count)
    if target.constraint.violation_name(FailureMode(target.mode.kind, int(shares.sum()))) != target.violation:
        return
    parts: list[Edits] = []
    for frame, share in zip(frames, shares.tolist(), strict=False):
        try:
            edits = next(
                iter(target.constraint.rule.edits(scene, frame, FailureMode(target.mode.kind, share), rng)), None
            )
        except (NotApplicable, UnreadableAnswer):
            return
        if edits is None:
            return
        parts.append(edits)
    yield tuple(chain.from_iterable(parts))


def _shuffle_frames(constraint: Constraint, context: EvaluationContext, rng: Rng) -> list[EvaluationContext]:
    """The whole photo, or each place that the constraint is checked in, in random order."""
    if constraint.each is None:
        return [context]
    locations = context.locations(constraint.each)
    return [context.restrict(locations[int(i)]) for i in rng.permutation(len(locations))]
