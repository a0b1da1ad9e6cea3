"""Spec → subqueries: the smallest set of questions from which every rule can be checked."""

from __future__ import annotations

from logicls.constraints.spec import Spec
from logicls.records import Subquery

VERDICT = "verdict"


def decompose(spec: Spec) -> tuple[Subquery, ...]:
    """Every question once, in the order in which the constraints need them; last, the model's own verdict."""
    return (*spec.questions, Subquery(VERDICT, "verdict", options=spec.violations))
