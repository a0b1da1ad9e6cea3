"""Spec → subqueries: the smallest set of questions from which every rule can be checked."""

from __future__ import annotations

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


def queries_of(spec: Spec, constraint: Constraint) -> tuple[Subquery, ...]:
    """The questions that one constraint rests on, each once: a region's frame in the region's place."""
    names = [name for keys, name in constraint.rule.names() if keys[0] in ("in", "object", "relative_to")]
    asked = [_with_options(spec, query) for query in constraint.rule.ask() if query.component not in spec.regions]
    frames = [spec.regions[name].of if name in spec.regions else name for name in names]
    asked += [locate(frame) for frame in frames if frame]
    return tuple(dict.fromkeys(asked))


def _with_options(spec: Spec, query: Subquery) -> Subquery:
    if query.kind != "attribute":
        return query
    return replace(query, options=tuple(spec.components[query.component].attributes[query.attribute]))
