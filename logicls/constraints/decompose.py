"""Spec → subqueries: the smallest set of questions from which every rule can be checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from logicls.constraints.reading import locate
from logicls.constraints.spec import Constraint, Spec
from logicls.records import Subquery

VERDICT = "verdict"


def decompose(spec: Spec) -> tuple[Subquery, ...]:
    """Every question once, in the order in which the constraints need them; last, the model's own verdict."""
    found: dict[str, Subquery] = {}
    for constraint in spec.constraints:
        for query in queries_of(spec, constraint):
            found.setdefault(query.id, query)
    found[VERDICT] = Subquery(VERDICT, "verdict", options=spec.violations)
    return tuple(found.values())


def queries_of(spec: Spec, constraint: Constraint) -> Iterator[Subquery]:
    """The questions that one constraint rests on: a region's frame in the region's place, options from the spec."""
    names = [name for keys, name in constraint.rule.names() if keys[0] in ("in", "object", "relative_to")]
    frames = [spec.regions[name].of for name in names if name in spec.regions]
    for query in constraint.rule.ask():
        if query.component not in spec.regions:
            yield _with_options(spec, query)
    located = {query.component for query in constraint.rule.ask()}
    places = [name for name in names if name in spec.components and name not in located]
    for component in [*places, *(frame for frame in frames if frame)]:
        yield locate(component)


def _with_options(spec: Spec, query: Subquery) -> Subquery:
    if query.kind != "attribute":
        return query
    return replace(query, options=tuple(spec.components[query.component].attributes[query.attribute]))
