"""What a set of training data holds, counted from its columns; no photo is decoded."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from logicls.constraints.load import load_spec
from logicls.synth.shards import rows

Counts = tuple[tuple[str, int], ...]
"""Name → how many."""
COLUMNS = ("photo", "queries", "values", "boxes", "violations", "edits")


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over a set; names that could be there and are not have a count of 0."""

    examples: int
    photos: int
    """Source photos that at least one example comes from."""
    fates: Counts
    """untouched, twin (edited, and nothing was to break) and broken (edited to break a rule)."""
    violations: Counts
    """Examples with each defect, in the order of the spec; `none` comes last."""
    edits: Counts
    """Edits that were to break a rule, by kind."""
    twins: Counts
    """Edits that were to break none, by kind."""
    families: Counts
    """Edits by the family of the rule that they are about."""
    components: Counts
    """Boxes of each component."""
    answers: tuple[tuple[str, Counts], ...]
    """Query → how often each answer: numbers of boxes, or values."""


def count(folder: Path) -> Tally:
    """Count what is in a synth folder. Raises `DataError` where there are no examples."""
    spec = load_spec(folder / "spec.yaml")
    family = {constraint.id: constraint.family for constraint in spec.constraints}
    number, photos = 0, set()
    fates = Counter(dict.fromkeys(("untouched", "twin", "broken"), 0))
    violations = Counter(dict.fromkeys((*spec.violations, "none"), 0))
    families = Counter(dict.fromkeys(family.values(), 0))
    edits, twins, components = Counter[str](), Counter[str](), Counter[str]()
    answers: dict[str, Counter[str]] = {}
    for row in rows(folder, COLUMNS):
        number += 1
        photos.add(row["photo"])
        violations.update(row["violations"] or ["none"])
        made = json.loads(row["edits"])
        fates["untouched" if not made else "twin" if all(twin for *_, twin in made) else "broken"] += 1
        for kind, _, constraint, twin in made:
            (twins if twin else edits)[kind] += 1
            families[family.get(constraint, constraint)] += 1
        for query, values, boxes in zip(row["queries"], row["values"], row["boxes"], strict=True):
            kind, _, about = query.partition(":")
            if kind == "locate":
                components[about] += len(boxes)
            if about:
                answers.setdefault(query, Counter()).update([str(len(boxes))] if kind == "locate" else values)
    told = tuple((query, tuple(sorted(found.items(), key=_rank))) for query, found in sorted(answers.items()))
    return Tally(
        number, len(photos), _as_is(fates), _as_is(violations), _most(edits), _most(twins), _as_is(families),
        _as_is(components), told,
    )  # fmt: skip


def _as_is(counter: Counter[str]) -> Counts:
    return tuple(counter.items())


def _most(counter: Counter[str]) -> Counts:
    return tuple(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _rank(item: tuple[str, int]) -> tuple[int, str]:
    """Numbers by their size, all else by the alphabet."""
    return (int(item[0]) if item[0].isdecimal() else -1), item[0]
