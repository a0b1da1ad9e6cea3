"""Spec → subqueries: the smallest set of questions from which every rule can be checked."""

from __future__ import annotations

from logicls.constraints.spec.models import Spec
from logicls.records import Subquery

VERDICT = "verdict"


def decompose(spec: Spec) -> tuple[Subquery, ...]:
    """Every question once, in the order in which the constraints need them; last, the model's own verdict."""
    return (*spec.queries, Subquery(VERDICT, "verdict", options=spec.violations))


def query_component(query: str) -> str:
    """What a question is about, by its id: `locate:tablet` and `attribute:tablet.colour` are about the tablet.

    Empty for the verdict.
    """
    return query.partition(":")[2].partition(".")[0]


def locate_query_id(query: str) -> str:
    """The id of the question where the bearers of an attribute are, from that of the question what it is.

    The verdict has none: what comes out is the id of no question.
    """
    return f"locate:{query_component(query)}"
