"""Decomposition of a spec into the questions for a model: the smallest set that its rules need."""

from __future__ import annotations

from logicls.constraints.spec.models import Spec
from logicls.records import Subquery

VERDICT = "verdict"


def decompose(spec: Spec) -> tuple[Subquery, ...]:
    """Return the distinct questions for a model in the order of the constraints, the one for its own verdict last.

    Appearances are queries of a spec, but no questions for a model.
    """
    questions = (query for query in spec.queries if query.kind != "appearance")
    return (*questions, Subquery(VERDICT, "verdict", options=spec.violations))


def query_component(query: str) -> str:
    """Return the component of a query id: `tablet` for `locate:tablet` and `attribute:tablet.colour`.

    It is empty for the verdict.
    """
    return query.partition(":")[2].partition(".")[0]


def locate_query_id(query: str) -> str:
    """Return the id of the query that locates the instances which an attribute query is about.

    For the verdict, the result is not the id of any query.
    """
    return f"locate:{query_component(query)}"
