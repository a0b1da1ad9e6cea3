"""Scene → answers: what a perfect reader would answer. The ground truth of every photo, real or made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from logicls.constraints.decompose import VERDICT
from logicls.constraints.judge import checked, named
from logicls.constraints.reading import Reading
from logicls.constraints.spec import Spec
from logicls.records import Answer, Instance, Scene, Subquery


@lru_cache(maxsize=256)  # synthesis looks at a scene again and again while it edits it
def look(spec: Spec, scene: Scene) -> tuple[Answer, ...]:
    """The true answer to every subquery of the spec, in the order of `decompose`."""
    reading = read_off(spec, scene, quiet=True)
    return (*reading.answers.values(), Answer(VERDICT, broken_names(spec, reading)))


@lru_cache(maxsize=64)  # the same, and a reading remembers what was looked up in it
def read_off(spec: Spec, scene: Scene, *, quiet: bool = False) -> Reading:
    """The true answers to all subqueries but the verdict, ready to be looked up."""
    found = {component: scene.of(component) for component in spec.asked_components}
    answers = {query.id: _answer(query, found[query.component]) for query in spec.questions}
    return Reading(answers, scene.width, scene.height, spec.world, quiet=quiet)


def broken_names(spec: Spec, reading: Reading) -> tuple[str, ...]:
    """The violations, in the order of the spec's."""
    found = {
        name
        for constraint, check in zip(spec.constraints, checked(spec, reading), strict=True)
        for name in named(constraint, check)
    }
    return tuple(name for name in spec.violations if name in found)


def by_query(answers: tuple[Answer, ...]) -> Mapping[str, Answer]:
    """Answers by subquery id."""
    return {answer.query: answer for answer in answers}


def _answer(query: Subquery, instances: Sequence[Instance]) -> Answer:
    if query.kind == "locate":
        return Answer(query.id, boxes=tuple(i.box for i in instances))
    values = tuple(i.attribute(query.attribute) for i in instances)
    known = tuple(value for value in values if value is not None)
    return Answer(query.id, known, readable=len(known) == len(values))
