"""Margins of a photo: the distance to the rules' limits, in dead zones. A margin below 1 is near a limit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from logicls.constraints.checker.evaluation import evaluate_constraints
from logicls.constraints.families.context import EvaluationContext, NotApplicable, UnreadableAnswer
from logicls.constraints.families.protocol import walk_rules
from logicls.constraints.spec.models import Constraint, Spec


@lru_cache(maxsize=64)  # synthesis asks again and again about the same context
def find_near_limits(spec: Spec, context: EvaluationContext) -> frozenset[str]:
    """Return the ids of the constraints that apply and have a margin within the dead zone."""
    pairs = zip(spec.constraints, evaluate_constraints(spec, context), strict=True)
    applicable = (constraint for constraint, result in pairs if result.status in ("holds", "broken"))
    return frozenset(c.id for c in applicable if any(abs(margin) < 1 for margin in compute_margins(c, context)))


def compute_margins(constraint: Constraint, context: EvaluationContext) -> Iterator[float]:
    """Yield the margin of each rule of a constraint at each of its locations, positive if the rule holds.

    Rules that no distance decides, that do not apply or that are unknown are skipped.
    """
    try:
        contexts = [context.restrict(f) for f in context.locations(constraint.each)] if constraint.each else [context]
    except UnreadableAnswer:
        return
    for frame in contexts:
        for _, rule in walk_rules(constraint.rule):
            try:
                margin = rule.margin(frame)
            except (NotApplicable, UnreadableAnswer):
                continue
            if margin is not None:
                yield margin
