"""Scene → answers: what a perfect reader would answer. The ground truth of every photo, real or made."""

from __future__ import annotations

from collections.abc import Mapping

from logicls.constraints.decompose import VERDICT, decompose
from logicls.constraints.judge import judge, violations
from logicls.constraints.spec import Spec
from logicls.records import Answer, Scene, Subquery


def look(spec: Spec, scene: Scene) -> tuple[Answer, ...]:
    """The true answer to every subquery of the spec, in the order of `decompose`."""
    queries = [q for q in decompose(spec) if q.id != VERDICT]
    answers = {query.id: _answer(query, scene) for query in queries}
    broken = violations(judge(spec, answers, scene.width, scene.height))
    ordered = tuple(name for name in spec.violations if name in broken)
    return (*answers.values(), Answer(VERDICT, ordered))


def by_query(answers: tuple[Answer, ...]) -> Mapping[str, Answer]:
    """Answers by subquery id."""
    return {answer.query: answer for answer in answers}


def _answer(query: Subquery, scene: Scene) -> Answer:
    instances = scene.of(query.component)
    boxes = tuple(i.box for i in instances)
    if query.kind == "locate":
        return Answer(query.id, boxes=boxes)
    values = tuple(i.attribute(query.attribute) for i in instances)
    known = tuple(value for value in values if value is not None)
    return Answer(query.id, known, readable=len(known) == len(values))
