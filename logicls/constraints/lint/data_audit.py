"""Rules held against annotated photos of good products: which photo breaks one, and which rule none exercises."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np

from logicls.constraints.checker.counterexamples import Target, can_break
from logicls.constraints.checker.evaluation import build_context, evaluate_constraint, evaluate_constraints
from logicls.constraints.families.context import EvaluationContext, FailureMode, NotApplicable, UnreadableAnswer
from logicls.constraints.families.protocol import CountTerms, Family, Fault, walk_rules
from logicls.constraints.families.queries import Path
from logicls.constraints.spec.models import Constraint, Spec
from logicls.records import Scene

MAX_PHOTOS_LISTED = 20
"""Photos that are named for one rule; the others are counted."""
MAX_PHOTOS_EDITED = 8
"""Photos on which it is tried to break each rule: some of those that break none."""


class Sample:
    """Some of the photos that it is given, each as likely; the same each time (Vitter 1985, algorithm R)."""

    def __init__(self) -> None:
        self.scenes: list[Scene] = []
        self._seen = 0
        self._rng = np.random.default_rng(0)

    def add(self, scene: Scene) -> None:
        """Take the photo, or leave it."""
        self._seen += 1
        if len(self.scenes) < MAX_PHOTOS_EDITED:
            self.scenes.append(scene)
        elif (place := int(self._rng.integers(self._seen))) < MAX_PHOTOS_EDITED:
            self.scenes[place] = scene


class DataAudit:
    """Takes good photos one by one and keeps what is to be said of them; memory does not grow with their number."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.photos = 0
        self.applied = [0] * len(spec.constraints)
        self.broken = [0] * len(spec.constraints)
        self.told: list[Fault] = []
        self.sizes: dict[Path, list[float]] = {}
        self.sample = Sample()
        self.extremes: dict[int, dict[str, Scene]] = {}
        self._reached: dict[int, tuple[float, float]] = {}
        self._counts = list(_variable_counts(spec))
        self._tolerant = list(_tolerant_rules(spec))

    def add(self, scene: Scene) -> None:
        """Hold every rule against one photo."""
        reading = build_context(self.spec, scene, status_only=True)
        self.photos += 1
        checks = evaluate_constraints(self.spec, reading)
        if all(found.status != "broken" for found in checks):
            self.sample.add(scene)
            self._stretch(scene, reading)
        for index, found in enumerate(checks):
            if found.status != "not_applicable":
                self.applied[index] += 1
            if found.status == "broken":
                self.broken[index] += 1
                if self.broken[index] <= MAX_PHOTOS_LISTED:
                    self.told.append(_broken(self.spec, scene, index))
        if self.photos <= 200:
            self._measure(reading)

    def faults(self) -> Iterator[Fault]:
        """What is wrong, by rule: photos that break it, rules that no photo exercises or that no edit can break."""
        yield from sorted(self.told, key=lambda fault: fault.path)
        for index, constraint in enumerate(self.spec.constraints):
            more = self.broken[index] - MAX_PHOTOS_LISTED
            if more > 0:
                message = f"and {more} more of {self.photos} photos break '{constraint.id}'"
                yield Fault(("constraints", index), message, "A rule that so many break is hardly one.", "LC050")
        for index, constraint in enumerate(self.spec.constraints):
            if self.photos and not self.applied[index]:
                message = f"no photo exercises '{constraint.id}': what it speaks of is on none of the {self.photos}"
                yield Fault(("constraints", index), message, "Annotate it, or remove the rule.", "LC051")
        yield from self._too_fine()
        yield from self._unbreakable()

    def _measure(self, reading: EvaluationContext) -> None:
        for path, rule, _ in self._tolerant:
            try:
                tolerance = rule.measure_tolerance(reading)
            except (NotApplicable, UnreadableAnswer):
                continue
            if tolerance is not None:
                self.sizes.setdefault(path, []).append(tolerance)

    def _too_fine(self) -> Iterator[Fault]:
        for path, _, text in self._tolerant:
            allowed = float(np.median(self.sizes.get(path) or [1.0]))
            if 0 < allowed < 1:
                message = f"a tolerance of {text} is {allowed:.2f} px on these photos, less than a pixel"
                yield Fault((*path, "tolerance"), message, "No annotation is that exact: widen it.", "LC046")

    def unmade(self) -> Iterator[tuple[Constraint, list[str], bool]]:
        """Constraints with those of their defects that no edit makes on some of the photos, and whether that is all."""
        for index, constraint in enumerate(self.spec.constraints):
            sides: dict[str, list[FailureMode]] = {}
            scenes = [*self.sample.scenes, *self.extremes.get(index, {}).values()]
            for side in constraint.failure_modes if self.sample.scenes and self.applied[index] else ():
                sides.setdefault(constraint.violation_name(side), []).append(side)
            missing = [violation for violation, ways in sides.items() if not self._makes(constraint, ways, scenes)]
            if missing:
                yield constraint, missing, len(missing) == len(sides)

    def _unbreakable(self) -> Iterator[Fault]:
        numbers = {constraint.id: index for index, constraint in enumerate(self.spec.constraints)}
        advice = "Synthesis will not show it: see whether the rule can be broken, or add photos of it."
        for constraint, missing, all_of_them in self.unmade():
            here: Path = ("constraints", numbers[constraint.id])
            if all_of_them:
                yield Fault(here, f"no edit of these photos breaks '{constraint.id}'", advice, "LC044")
            else:
                message = f"no edit of these photos makes {', '.join(missing)} ('{constraint.id}')"
                yield Fault(here, message, advice, "LC048")

    def _makes(self, constraint: Constraint, sides: Sequence[FailureMode], scenes: Sequence[Scene]) -> bool:
        """Whether an edit of one of the photos breaks the constraint on one of the sides."""
        tries = ((Target(constraint, side), scene) for scene in scenes for side in sides)
        return any(can_break(self.spec, aim, scene, np.random.default_rng(0)) for aim, scene in tries)

    def _stretch(self, scene: Scene, reading: EvaluationContext) -> None:
        """Keep the photos on which a count comes nearest to its limits: from there an edit or two go over them."""
        for index, terms in self._counts:
            try:
                total = terms.total(reading)
            except (NotApplicable, UnreadableAnswer):
                continue
            least, most = self._reached.get(index, (math.inf, -math.inf))
            kept = self.extremes.setdefault(index, {})
            if total < least:
                kept["below"] = scene
            if total > most:
                kept["above"] = scene
            self._reached[index] = min(least, total), max(most, total)


def audit_photos(spec: Spec, scenes: Iterable[Scene]) -> list[Fault]:
    """All that good photos say against the rules."""
    audit = DataAudit(spec)
    for scene in scenes:
        audit.add(scene)
    return list(audit.faults())


def _broken(spec: Spec, scene: Scene, index: int) -> Fault:
    """The photo, the annotations, what was found and what was expected."""
    constraint, reading = spec.constraints[index], build_context(spec, scene)
    things = dict.fromkeys(n.name.partition(".")[0] for n in constraint.references() if n.role != "location")
    components = {reading.vocabulary.component(thing) for thing in things}
    ids = [str(i.id) for i in scene.instances if i.component in components]
    told = f" (annotation{'s' if len(ids) > 1 else ''} {', '.join(islice(ids, 6))}{' ...' if len(ids) > 6 else ''})"
    found = evaluate_constraint(constraint, reading).found
    message = f"{scene.photo}{told if ids else ''} breaks '{constraint.id}': found {found}; expected {constraint.text}"
    return Fault(("constraints", index), message, "Mend the annotation, the rule, or take the photo out.", "LC050")


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
