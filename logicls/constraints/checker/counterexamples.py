"""Counterexamples: edits of a scene that break one constraint, and control edits that break none."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from logicls.constraints.checker.evaluation import (
    build_context,
    evaluate_constraint,
    evaluate_constraints,
    find_near_limits,
    violation_names,
)
from logicls.constraints.families.context import EvaluationContext, FailureMode, NotApplicable, UnreadableAnswer
from logicls.constraints.families.edits import Edits, Rng, find_pasted, simulate_edits
from logicls.constraints.families.placement import MAX_EDITS, is_in_photo
from logicls.constraints.spec.models import Constraint, Spec
from logicls.records import Instance, Scene

MAX_CANDIDATES = 60
"""Edits that are evaluated before the best of them is used."""
MULTI_LOCATION_SHARE = 0.4
"""Share of the searches that start with several locations at once, for constraints checked at several locations."""
TWO_LOCATIONS_SHARE = 0.6
"""Share of those with two locations; the same share of the others has three, and so on (geometric distribution)."""
PATIENCE = 12
"""Successive hits without improvement after which the best edits are used."""


@dataclass(frozen=True, slots=True)
class Target:
    """One failure mode of one constraint."""

    constraint: Constraint
    mode: FailureMode

    @property
    def violation(self) -> str:
        """The violation that results."""
        return self.constraint.violation_name(self.mode)


def can_break(spec: Spec, target: Target, scene: Scene, rng: Rng, available: Collection[str]) -> bool:
    """Check if an edit of the scene produces the target's violation, regardless of other violations.

    `available`: components of which some photo shows an instance, which edits can paste.
    """
    candidates = islice(propose_edits(spec, target, scene, rng, is_control=False), MAX_CANDIDATES)
    possible = (edits for edits in candidates if find_pasted(edits, scene, spec.vocabulary.leaves) <= {*available})
    contexts = (simulate(spec, edits, scene) for edits in possible)
    return any(context is not None and _hits_target(target, context) for context in contexts)


@dataclass(frozen=True, slots=True)
class BrokenConstraints:
    """Broken constraints of a scene: constraint id → violations."""

    violations: dict[str, tuple[str, ...]]

    def difference(self, before: BrokenConstraints) -> dict[str, tuple[str, ...]]:
        """Return the constraints that were not broken before, or with other violations."""
        return {key: names for key, names in self.violations.items() if before.violations.get(key) != names}


def list_targets(spec: Spec) -> tuple[Target, ...]:
    """Return every failure mode of every constraint."""
    return tuple(Target(constraint, mode) for constraint in spec.constraints for mode in constraint.failure_modes)


def find_counterexample(
    spec: Spec, target: Target, scene: Scene, rng: Rng, *, is_control: bool = False
) -> Edits | None:
    """Find edits that break the target's constraint on a scene where it holds.

    The first proposal that breaks no other constraint is used; if all of them do, the one that breaks the fewest,
    because the other violations then follow from this one on this scene. Edits that bring a rule into the dead zone of
    its limit are rejected.

    Args:
        spec: All constraints.
        target: The failure mode to produce.
        scene: The scene to edit.
        rng: Source of randomness.
        is_control: True for control edits, which must not break any constraint.

    Returns:
        The edits; None if the scene does not allow any.
    """
    context_before = build_context(spec, scene, status_only=True)
    before = find_broken(spec, context_before)
    near_before = find_near_limits(spec, context_before) - {target.constraint.id}
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
    """Return the broken constraints on a photo."""
    results = evaluate_constraints(spec, context)
    return BrokenConstraints(
        {
            constraint.id: violation_names(constraint, result)
            for constraint, result in zip(spec.constraints, results, strict=True)
            if result.status == "broken"
        }
    )


def simulate(spec: Spec, edits: Edits, scene: Scene) -> EvaluationContext | None:
    """Return the context of the edited scene; None if the edits are impossible or move an instance out of the photo."""
    try:
        edited = simulate_edits(edits, scene, spec.liquids, spec.vocabulary.leaves)
    except KeyError:
        return None
    before = set(scene.instances)
    if not all(_is_valid(i, scene) for i in edited.instances if i not in before):
        return None
    return build_context(spec, edited, status_only=True)


def _hits_target(target: Target, context: EvaluationContext) -> bool:
    """Check if the target's constraint, evaluated by itself, has the target's violation and no other."""
    return violation_names(target.constraint, evaluate_constraint(target.constraint, context)) == (target.violation,)


def _is_valid(instance: Instance, scene: Scene) -> bool:
    return is_in_photo(instance.box, scene) and min(instance.box.width, instance.box.height) >= 1


def propose_edits(spec: Spec, target: Target, scene: Scene, rng: Rng, *, is_control: bool) -> Iterator[Edits]:
    """Yield the edits that the rule proposes at each of its locations, without evaluating them."""
    context = build_context(spec, scene)
    propose = target.constraint.rule.control_edits if is_control else target.constraint.rule.edits
    frames = _shuffle_frames(target.constraint, context, rng)
    if not is_control and len(frames) > 1 and rng.random() < MULTI_LOCATION_SHARE:
        yield from _break_several(target, scene, frames, rng)
    for frame in frames:
        try:
            yield from propose(scene, frame, target.mode, rng)
        except (NotApplicable, UnreadableAnswer):
            continue


def _break_several(target: Target, scene: Scene, frames: Sequence[EvaluationContext], rng: Rng) -> Iterator[Edits]:
    """Yield edits at several locations at once, if together they have the same violation."""
    count = min(1 + int(rng.geometric(TWO_LOCATIONS_SHARE)), len(frames), MAX_EDITS)
    shares = np.ones(count, dtype=int) + rng.multinomial(max(target.mode.amount - count, 0), [1 / count] * count)
    if target.constraint.violation_name(FailureMode(target.mode.kind, int(shares.sum()))) != target.violation:
        return
    parts: list[Edits] = []
    for frame, share in zip(frames, shares.tolist(), strict=False):
        try:
            mode = FailureMode(target.mode.kind, share)
            edits = next(target.constraint.rule.edits(scene, frame, mode, rng), None)
        except (NotApplicable, UnreadableAnswer):
            return
        if edits is None:
            return
        parts.append(edits)
    yield tuple(chain.from_iterable(parts))


def _shuffle_frames(constraint: Constraint, context: EvaluationContext, rng: Rng) -> list[EvaluationContext]:
    """Return the contexts of the constraint's locations in random order; that of the photo if it has none."""
    if constraint.each is None:
        return [context]
    locations = context.locations(constraint.each)
    return [context.restrict(locations[int(i)]) for i in rng.permutation(len(locations))]
