"""Differences between the spec that a model was trained with and the spec that its answers are judged with.

A model answers the questions of the spec that it was trained with. Rules of another spec can be evaluated on the same
answers if they need no other question. Rules correspond by their ids; a rule with another id corresponds to one that
has the same meaning and whose own id is gone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from logicls.constraints.families.context import FailureMode
from logicls.constraints.families.protocol import walk_rules
from logicls.constraints.families.queries import derive_queries
from logicls.constraints.spec.loader import SpecFile
from logicls.constraints.spec.models import Constraint, Spec, ViolationNames
from logicls.constraints.spec.yaml_reader import TreePath
from logicls.errors import Problem
from logicls.records import Subquery

LABELS = frozenset({"id", "violation", "severity", "why", "unless_broken"})
"""Keys of a constraint that do not change which photos break its rule; `unless_broken` is compared by itself."""
SPEC_FILE, TRAINED_SPEC_FILE = "spec.yaml", "trained_spec.yaml"
"""Files of a bundle, and of a folder of verdicts: rules, and those that the model was trained with if they differ."""
TRAIN_AGAIN = "Train again with this spec (`logicls synth`, `logicls train`), or leave this out."


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A rule of the judged spec compared with the rule of the trained spec that it corresponds to."""

    constraint: str
    """Id in the judged spec."""
    trained: str = ""
    """Id in the trained spec; empty for a new rule."""
    is_same_rule: bool = False
    """True if the same photos break it; names, severity and reason may differ."""
    is_same_severity: bool = False
    noise_scale: float = 1.0
    """Factor on the measurement noise of the trained rule, which is in dead zones of its limits."""
    stated: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Violation → violations of the trained spec that a stated verdict names instead; empty for another rule, about
    whose limits the model states nothing."""


@dataclass(frozen=True)
class SpecChanges:
    """All rules of a judged spec compared with those of the trained spec."""

    trained_spec: Spec
    """Spec that the model was trained with, whose questions it answers."""
    rules: tuple[RuleChange, ...]
    """One for each constraint of the judged spec, in its order."""
    removed: tuple[str, ...] = ()
    """Ids of the trained rules that are gone."""

    @cached_property
    def by_rule(self) -> Mapping[str, RuleChange]:
        """Constraint of the judged spec → its change."""
        return {rule.constraint: rule for rule in self.rules}

    @cached_property
    def trained_names(self) -> Mapping[str, tuple[str, ...]]:
        """Constraint of the trained spec → its violations, if no other constraint names one of them."""
        counts = Counter(name for constraint in self.trained_spec.constraints for name in constraint.violation_names)
        rules = {constraint.id: constraint.violation_names for constraint in self.trained_spec.constraints}
        return {rule: names for rule, names in rules.items() if all(counts[name] == 1 for name in names)}

    @cached_property
    def _stated_by_rule(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        return {rule.constraint: dict(rule.stated) for rule in self.rules}

    @cached_property
    def _judged_names(self) -> Mapping[str, frozenset[str]]:
        """Violation of the trained spec → violations of the judged spec."""
        pairs = [(old, new) for rule in self.rules for new, olds in rule.stated for old in olds]
        return {old: frozenset(new for other, new in pairs if other == old) for old, _ in pairs}

    def stated_probabilities(self, constraint: str, stated: Mapping[str, float]) -> dict[str, float]:
        """Return violation → stated probability for one rule of the judged spec.

        `stated`: violation of the trained spec → probability. A violation that the model states nothing about is left
        out; one that stands for several has the highest of their probabilities.
        """
        found = {
            new: [stated[old] for old in olds if old in stated]
            for new, olds in self._stated_by_rule[constraint].items()
        }
        return {name: max(probabilities) for name, probabilities in found.items() if probabilities}

    def translate_stated(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the violations of the judged spec that a stated verdict in the trained spec's names is about."""
        return tuple(sorted({new for name in names for new in self._judged_names.get(name, ())}))


def find_trained_spec(folder: Path) -> Path:
    """Return the file with the spec that a bundle's model was trained with."""
    file = folder / TRAINED_SPEC_FILE
    return file if file.exists() else folder / SPEC_FILE


def compare_specs(trained: Spec, judged: Spec) -> SpecChanges:
    """Compare a judged spec with the one that the model was trained with."""
    pairs = _match_rules(trained, judged)
    matched = {old.id for old in pairs.values() if old is not None}
    changes = [_compare_rules(trained, pairs[c.id], judged, c) for c in judged.constraints]
    return SpecChanges(trained, tuple(changes), tuple(c.id for c in trained.constraints if c.id not in matched))


def find_new_questions(trained: Spec, judged: SpecFile) -> list[Problem]:
    """List what a spec needs that the model was never asked (LC630), with its place in the file."""
    spec, answered = judged.spec, {query.id: query for query in trained.queries}
    problems: dict[tuple[str, str], Problem] = {}
    for number, constraint in enumerate(spec.constraints):
        for query in spec.queries_by_constraint[constraint.id]:
            subjects = list(_missing_subjects(query, answered.get(query.id)))
            if not subjects and query.kind == "orientation" and _has_other_zero(query.component, trained, spec):
                subjects = [f"the orientation of each {query.component} from another zero"]
            for subject in subjects:
                path = _find_reference(spec, number, query)
                message = f"'{constraint.id}' needs {subject}, which the model was not trained to answer."
                problem = judged.make_problem("LC630", message, path, TRAIN_AGAIN)
                problems.setdefault((constraint.id, subject), problem)
    return list(problems.values())


def _missing_subjects(query: Subquery, answered: Subquery | None) -> Iterator[str]:
    """Describe what the model lacks to answer a query; nothing if it was trained with it."""
    subject = query.attribute or ("" if query.kind == "locate" else query.kind)
    each = f"the {subject} of each {query.component}" if subject else f"each {query.component}"
    if answered is None:
        yield f"{each} (question `{query.id}`)"
        return
    missing = [value for value in query.options if value not in answered.options]
    if query.kind == "attribute":
        yield from (f'the value "{value}" of {query.component}.{query.attribute}' for value in missing)
    elif missing:
        yield f"{each} with other answers than in training"


def _has_other_zero(component: str, trained: Spec, judged: Spec) -> bool:
    """Return True if one spec measures an orientation from the pose on good photos, the other as annotated."""
    return (component in trained.absolute_angles) != (component in judged.absolute_angles)


def _find_reference(spec: Spec, number: int, query: Subquery) -> TreePath:
    """Return the path of the name in a constraint from which a query is derived; that of the constraint else."""
    constraint = spec.constraints[number]
    for reference in constraint.references():
        if query in derive_queries(spec.vocabulary, [reference], in_locations=constraint.each is not None):
            return ("constraints", number, *reference.path)
    return ("constraints", number)


def _match_rules(trained: Spec, judged: Spec) -> dict[str, Constraint | None]:
    """Return id in the judged spec → the corresponding constraint of the trained spec, None for a new rule."""
    before = {c.id: c for c in trained.constraints}
    pairs = {c.id: old if (old := before.get(c.id)) and old.family == c.family else None for c in judged.constraints}
    matched = {old.id for old in pairs.values() if old is not None}
    free: dict[str, list[Constraint]] = {}
    for old in trained.constraints:
        if old.id not in matched and old.id not in pairs:
            free.setdefault(_describe_meaning(trained, old), []).append(old)
    unmatched = [c for c in judged.constraints if pairs[c.id] is None and c.id not in before]
    meanings = [_describe_meaning(judged, c) for c in unmatched]
    for constraint, meaning in zip(unmatched, meanings, strict=True):
        if len(free.get(meaning, ())) == 1 and meanings.count(meaning) == 1:
            pairs[constraint.id] = free[meaning][0]
    return pairs


def _compare_rules(trained: Spec, old: Constraint | None, judged: Spec, new: Constraint) -> RuleChange:
    if old is None:
        return RuleChange(new.id)
    is_same = _describe_meaning(trained, old) == _describe_meaning(judged, new)
    return RuleChange(
        new.id,
        old.id,
        is_same,
        old.severity == new.severity,
        1.0 if is_same else _compute_noise_scale(old, new),
        _match_violations(old, new) if is_same else (),
    )


def _describe_meaning(spec: Spec, constraint: Constraint, visited: frozenset[str] = frozenset()) -> str:
    """Return a canonical text of everything that decides which photos break a constraint."""
    visited = visited | {constraint.id}
    by_id = {c.id: c for c in spec.constraints}
    exceptions = sorted(
        _describe_meaning(spec, by_id[other], visited) for other in constraint.unless_broken if other not in visited
    )
    names = {reference.name.partition(".")[0] for reference in constraint.references()}
    absolute = any(rule.uses_absolute_units for _, rule in walk_rules(constraint.rule))
    body = constraint.model_dump(mode="json", by_alias=True, exclude=set(LABELS))
    meaning = (_drop_none(body), _definitions(spec, names), spec.product.px_per_mm if absolute else None, exceptions)
    return json.dumps(meaning, sort_keys=True)


def _definitions(spec: Spec, names: set[str]) -> dict[str, Any]:
    """Return the definitions of variants, regions and containers that names stand for."""
    found: dict[str, Any] = {}
    open_names = set(names)
    while open_names:
        name = open_names.pop()
        region, variant, component = spec.regions.get(name), spec.variants.get(name), spec.components.get(name)
        following = (region and region.of, variant and variant.of, component and component.fills)
        definition = region or variant
        found[name] = [definition and definition.model_dump(mode="json", by_alias=True), component and component.fills]
        open_names |= {one for one in following if one and one not in found}
    return found


def _drop_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _drop_none(one) for key, one in value.items() if one is not None}
    return [_drop_none(one) for one in value] if isinstance(value, list) else value


def _compute_noise_scale(old: Constraint, new: Constraint) -> float:
    """Return the largest ratio of a dead zone of the old rule to that of the new one; 1 for other parts."""
    pairs = zip(walk_rules(old.rule), walk_rules(new.rule), strict=False)
    sizes = [(one.zone_size(), other.zone_size()) for (path, one), (at, other) in pairs if path == at]
    return max((before / after for before, after in sizes if before and after), default=1.0)


def _match_violations(old: Constraint, new: Constraint) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return violation → violations of the same failure modes under the old names.

    A stated old name that stands for several new ones does not tell which of them it is about, so they are left out.
    """
    pairs = {
        (new.violation_name(mode), old.violation_name(mode))
        for kind in new.rule.failure_kinds()
        for mode in (FailureMode(kind, amount) for amount in sorted({*_amounts(old, kind), *_amounts(new, kind)}))
    }
    by_old: dict[str, set[str]] = {}
    by_new: dict[str, set[str]] = {}
    for name, old_name in pairs:
        by_old.setdefault(old_name, set()).add(name)
        by_new.setdefault(name, set()).add(old_name)
    is_clear = {name: all(len(by_old[one]) == 1 for one in olds) for name, olds in by_new.items()}
    return tuple((name, tuple(sorted(olds))) for name, olds in sorted(by_new.items()) if is_clear[name])


def _amounts(constraint: Constraint, kind: str) -> Iterable[int]:
    """Return the amounts from which on another violation is named."""
    names = constraint.violation.names_by_amount(kind) if isinstance(constraint.violation, ViolationNames) else {}
    return (1, *names)
