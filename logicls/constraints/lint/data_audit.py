"""Check rules on annotated photos: photos that break a rule, declared or not, and rules that no photo can test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from logicls.constraints.checker.counterexamples import Target, can_break
from logicls.constraints.checker.evaluation import (
    build_context,
    evaluate_constraint,
    evaluate_constraints,
    violation_names,
)
from logicls.constraints.families.context import EvaluationContext, FailureMode, NotApplicable, UnreadableAnswer
from logicls.constraints.families.protocol import CountTerms, Family, Fault, walk_rules
from logicls.constraints.families.queries import Path
from logicls.constraints.spec.models import Constraint, Spec
from logicls.records import Scene
from logicls.reservoir import Reservoir

ANY_VIOLATION = "*"
"""Declared in place of violations for a photo that is only said to be defective."""
SUSPICIOUS_SHARE = 0.5
"""Share of the photos that break a rule undeclared, from which on the rule itself is probably wrong."""
MIN_SUSPICIOUS = 20
"""Number of such photos below which that is not said."""
MAX_PHOTOS_EDITED = 8
"""Number of randomly chosen photos that are edited to break each rule; they break no rule themselves."""
MAX_PHOTOS_MEASURED = 200
"""Number of photos on which tolerances are measured in pixels."""
MAX_IDS_LISTED = 6
"""Number of annotation ids in a message."""


class DataAudit:
    """Check photos one by one and collect faults; memory does not grow with the number of photos without faults."""

    def __init__(self, spec: Spec, declared: Mapping[str, Sequence[str]] | None = None) -> None:
        """Start an audit. `declared`: photo → violations that it is known to have, or `ANY_VIOLATION`."""
        rng = np.random.default_rng(0)
        self.spec = spec
        self.declared = declared or {}
        self.photos = 0
        self.applicable = [0] * len(spec.constraints)
        """Number of photos to which each rule applies."""
        self.broken = [0] * len(spec.constraints)
        """Number of photos that break each rule and are not declared to."""
        self._available: set[str] = set()
        self.sample: Reservoir[Scene] = Reservoir(MAX_PHOTOS_EDITED, lambda count: int(rng.integers(count)))
        self._broken_faults: list[Fault] = []
        self._declared_faults: list[Fault] = []
        self._tolerances: dict[Path, list[float]] = {}
        self._extremes: dict[int, dict[str, Scene]] = {}
        self._count_ranges: dict[int, tuple[float, float]] = {}
        self._counts = list(_variable_counts(spec))
        self._tolerant = list(_tolerant_rules(spec))

    def add(self, scene: Scene) -> None:
        """Evaluate every rule on one photo."""
        context = build_context(self.spec, scene, status_only=True)
        self.photos += 1
        self._available.update(instance.component for instance in scene.instances)
        results, declared = evaluate_constraints(self.spec, context), self.declared.get(scene.photo, ())
        if not declared and all(result.status != "broken" for result in results):
            self.sample.add(scene)
            self._update_extremes(scene, context)
        found: set[str] = set()
        for index, result in enumerate(results):
            if result.status != "not_applicable":
                self.applicable[index] += 1
            if result.status == "broken":
                names = violation_names(self.spec.constraints[index], result)
                found.update(names)
                self._add_broken(scene, index, names, declared)
        self._add_unseen(scene, declared, found)
        if self.photos <= MAX_PHOTOS_MEASURED:
            self._measure_tolerances(context)

    def _add_broken(self, scene: Scene, index: int, names: Sequence[str], declared: Sequence[str]) -> None:
        """Record a broken rule with its violations, as a note if they are declared."""
        if ANY_VIOLATION in declared or set(names) <= set(declared):
            constraint = self.spec.constraints[index]
            message = f"{scene.photo} breaks '{constraint.id}' ({', '.join(names)}), as declared"
            self._declared_faults.append(Fault(("constraints", index), message, "", "LC057"))
        else:
            self.broken[index] += 1
            self._broken_faults.append(_describe_broken_rule(self.spec, scene, index))

    def _add_unseen(self, scene: Scene, declared: Sequence[str], found: set[str]) -> None:
        """Record declared violations of the spec that the annotations do not show."""
        known = {name: index for index, c in enumerate(self.spec.constraints) for name in _violations(c)}
        for name in sorted(set(declared) & set(known) - found):
            message = f"{scene.photo} is declared to have '{name}', and its annotations do not break the rule"
            advice = "Correct the annotation or the declaration; until then the photo is not used."
            self._declared_faults.append(Fault(("constraints", known[name]), message, advice, "LC058"))
        if ANY_VIOLATION in declared and not found:
            message = f"{scene.photo} is declared to be defective, and its annotations break no rule"
            advice = "Correct its annotation, or add a rule for this defect; until then the photo is not used."
            self._declared_faults.append(Fault(("constraints",), message, advice, "LC058"))

    def faults(self) -> Iterator[Fault]:
        """Yield photos that break a rule (LC050, declared: LC057, LC058), and rules that nothing tests (LC051, ...)."""
        yield from sorted([*self._broken_faults, *self._declared_faults], key=lambda fault: fault.path)
        for index, constraint in enumerate(self.spec.constraints):
            if self.broken[index] >= max(MIN_SUSPICIOUS, SUSPICIOUS_SHARE * self.photos):
                message = f"{self.broken[index]} of {self.photos} photos break '{constraint.id}'"
                advice = "A rule that so many good photos break is probably wrong."
                yield Fault(("constraints", index), message, advice, "LC050")
        for index, constraint in enumerate(self.spec.constraints):
            if self.photos and not self.applicable[index]:
                message = f"'{constraint.id}' applies to no photo ({self.photos} checked): its components are missing"
                yield Fault(("constraints", index), message, "Annotate them, or remove the rule.", "LC051")
        yield from self._find_small_tolerances()
        yield from self._find_unbreakable_rules()

    def find_unreachable_violations(self) -> Iterator[tuple[Constraint, list[str], bool]]:
        """Yield constraints, their violations that no edit of the sampled photos creates, and whether these are all."""
        for index, constraint in enumerate(self.spec.constraints):
            modes: dict[str, list[FailureMode]] = {}
            sample = [scene for _, scene in self.sample.items]
            scenes = [*sample, *self._extremes.get(index, {}).values()]
            for mode in constraint.failure_modes if sample and self.applicable[index] else ():
                modes.setdefault(constraint.violation_name(mode), []).append(mode)
            missing = [name for name, group in modes.items() if not self._is_reachable(constraint, group, scenes)]
            if missing:
                yield constraint, missing, len(missing) == len(modes)

    def _is_reachable(self, constraint: Constraint, modes: Sequence[FailureMode], scenes: Sequence[Scene]) -> bool:
        """Return True if an edit of one of the photos breaks the constraint in one of the failure modes."""
        attempts = ((Target(constraint, mode), scene) for scene in scenes for mode in modes)
        return any(
            can_break(self.spec, target, scene, np.random.default_rng(0), self._available) for target, scene in attempts
        )

    def _measure_tolerances(self, context: EvaluationContext) -> None:
        for path, rule, _ in self._tolerant:
            try:
                tolerance = rule.measure_tolerance(context)
            except (NotApplicable, UnreadableAnswer):
                continue
            if tolerance is not None:
                self._tolerances.setdefault(path, []).append(tolerance)

    def _find_small_tolerances(self) -> Iterator[Fault]:
        for path, _, text in self._tolerant:
            pixels = float(np.median(self._tolerances.get(path) or [1.0]))
            if 0 < pixels < 1:
                message = f"a tolerance of {text} is {pixels:.2f} px on these photos, less than a pixel"
                advice = "No annotation is that exact: increase it."
                yield Fault((*path, "tolerance"), message, advice, "LC046")

    def _find_unbreakable_rules(self) -> Iterator[Fault]:
        numbers = {constraint.id: index for index, constraint in enumerate(self.spec.constraints)}
        advice = "Synthesis cannot show it: check whether the rule can be broken, or add photos."
        for constraint, missing, is_all in self.find_unreachable_violations():
            path: Path = ("constraints", numbers[constraint.id])
            if is_all:
                yield Fault(path, f"no edit of these photos breaks '{constraint.id}'", advice, "LC044")
            else:
                message = f"no edit of these photos creates {', '.join(missing)} ('{constraint.id}')"
                yield Fault(path, message, advice, "LC048")

    def _update_extremes(self, scene: Scene, context: EvaluationContext) -> None:
        """Keep the photos whose counts are closest to the limits: few edits are needed to exceed them."""
        for index, terms in self._counts:
            try:
                total = terms.total(context)
            except (NotApplicable, UnreadableAnswer):
                continue
            low, high = self._count_ranges.get(index, (math.inf, -math.inf))
            extremes = self._extremes.setdefault(index, {})
            if total < low:
                extremes["below"] = scene
            if total > high:
                extremes["above"] = scene
            self._count_ranges[index] = min(low, total), max(high, total)


def audit_photos(
    spec: Spec, scenes: Iterable[Scene], declared: Mapping[str, Sequence[str]] | None = None
) -> list[Fault]:
    """Check all photos and return the faults. `declared`: photo → violations that it is known to have."""
    audit = DataAudit(spec, declared)
    for scene in scenes:
        audit.add(scene)
    return list(audit.faults())


def _violations(constraint: Constraint) -> set[str]:
    return {constraint.violation_name(mode) for mode in constraint.failure_modes}


def _describe_broken_rule(spec: Spec, scene: Scene, index: int) -> Fault:
    """Describe a broken rule: photo, annotations, actual and expected value."""
    constraint, context = spec.constraints[index], build_context(spec, scene)
    names = dict.fromkeys(n.name.partition(".")[0] for n in constraint.references() if n.role != "location")
    components = {context.vocabulary.component(name) for name in names}
    ids = [str(i.id) for i in scene.instances if i.component in components]
    listed = ", ".join(islice(ids, MAX_IDS_LISTED)) + (" ..." if len(ids) > MAX_IDS_LISTED else "")
    annotations = f" (annotation{'s' if len(ids) > 1 else ''} {listed})" if ids else ""
    found = evaluate_constraint(constraint, context).found
    message = f"{scene.photo}{annotations} breaks '{constraint.id}': found {found}; expected {constraint.text}"
    advice = "Correct the annotation or the rule, declare the defect in truth.csv, or remove the photo."
    return Fault(("constraints", index), message, advice, "LC050")


def _variable_counts(spec: Spec) -> Iterator[tuple[int, CountTerms]]:
    """Yield the index and the terms of each rule that allows different counts on the whole photo."""
    for index, constraint in enumerate(spec.constraints):
        terms = constraint.rule.count_terms()
        if terms is not None and constraint.each is None and terms.limits[0] != terms.limits[1]:
            yield index, terms


def _tolerant_rules(spec: Spec) -> Iterator[tuple[Path, Family, str]]:
    """Yield the path of each rule that has a tolerance, the rule, and its tolerance as it is written."""
    for index, constraint in enumerate(spec.constraints):
        for path, rule in walk_rules(constraint.rule, ("constraints", index, constraint.family)):
            tolerance = rule.tolerance_terms()
            if tolerance is not None:
                yield path, rule, tolerance.text
