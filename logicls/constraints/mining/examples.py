"""Examples for a draft: a typical photo that passes, and for every defect what it looks like.

A draft put to the test: can its rules be broken by an edit of these photos?
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from logicls.constraints.checker.counterexamples import Target, find_counterexample, list_targets
from logicls.constraints.families.edits import simulate_edits
from logicls.constraints.lint.data_audit import MAX_PHOTOS_EDITED, DataAudit
from logicls.constraints.lint.spec_lint import example_violations, needs_boxes
from logicls.constraints.mining.observations import ComponentDeclaration, Observations
from logicls.constraints.mining.proposals import MiningResult, OpenQuestion, Proposal
from logicls.constraints.mining.yaml_writer import SpecDraft
from logicls.constraints.spec.models import ExampleTest, Spec
from logicls.records import Instance, Scene

ROUNDS = 3
"""Times that a draft is tried again after rules were taken out of it."""


def drop_unbreakable(draft: SpecDraft, scenes: Sequence[Scene]) -> SpecDraft:
    """The draft without the rules that no edit breaks: of those, training would see nothing.

    They become questions. What is left of a component that no other rule speaks about stays. A rule that can be broken
    on one side only stays as it is, and says so.
    """
    for _ in range(ROUNDS):
        audit = DataAudit(draft.to_spec())
        for scene in scenes:
            audit.add(scene)
        unmade = list(audit.find_unreachable_violations())
        stuck = {constraint.id for constraint, _, all_of_them in unmade if all_of_them}
        if not stuck:
            return replace(draft, rules=_noted(draft.rules, {c.id: missing for c, missing, _ in unmade}))
        draft = replace(draft, rules=_without(draft.rules, stuck, {component.name for component in draft.components}))
    return draft


def _noted(found: MiningResult, halves: Mapping[str, list[str]]) -> MiningResult:
    """The rules, with what synthesis will not show of them."""
    rules = []
    for rule in found.proposals:
        missing = halves.get(rule.id)
        told = f"no edit of these photos makes {', '.join(missing)}: synthesis will not show it" if missing else ""
        rules.append(replace(rule, note="; ".join(filter(None, (rule.note, told)))))
    return replace(found, proposals=tuple(rules))


def _without(found: MiningResult, stuck: set[str], components: set[str]) -> MiningResult:
    kept: list[Proposal] = []
    questions = list(found.questions)
    for rule in found.proposals:
        others = [other for other in found.proposals if other is not rule and other.id not in stuck]
        if rule.id not in stuck or not rule.references & components <= {
            t for other in others for t in other.references
        }:
            kept.append(rule)
        else:
            said = f"{rule.id} holds on {rule.support} photos, but no edit of them breaks it."
            questions.append(OpenQuestion(said, rule))
    ids = {rule.id for rule in kept}
    places = tuple(place for place in found.regions if any(place.name in rule.references for rule in kept))
    rules = (replace(r, unless_broken=tuple(other for other in r.unless_broken if other in ids)) for r in kept)
    return MiningResult(tuple(rules), tuple(questions), places)


DIGITS = 3
MOST = 40
"""On a photo with more instances than this an example is no longer read by anybody."""
TRIES = 10
"""Typical photos that are tried."""
Example = Mapping[str, object]


def add_examples(draft: SpecDraft, usual: Sequence[Scene], scenes: Sequence[Scene]) -> SpecDraft:
    """The draft with a scene that passes, and one for each defect that can be made.

    Args:
        draft: Without examples.
        usual: Typical photos, best first.
        scenes: All photos.
    """
    spec = draft.to_spec()
    for scene in usual:
        good = _tested(spec, scene, draft.components, placed=True) if len(scene.instances) <= MOST else None
        if good and "breaks" not in good:
            examples = [good, *_defects(draft, spec, (scene, *usual, *scenes[:MAX_PHOTOS_EDITED]))]
            return replace(draft, typical=scene.photo, examples=tuple(examples))
    return draft


def rank_typical_photos(table: Observations) -> list[int]:
    """The photos with the usual counts whose single things lie nearest to where they usually lie, best first."""
    far = np.zeros(len(table.photos))
    for column in table.columns.values():
        usual = int(np.bincount(column.counts).argmax())
        far += 100.0 * (column.counts != usual)
        if column.is_single:
            place = column.box / np.tile(table.frame.size[column.photo], 2)
            np.add.at(far, column.photo, np.abs(place - np.median(place, axis=0)).sum(axis=1))
    return [int(photo) for photo in np.argsort(far, kind="stable")[:TRIES]]


def _defects(draft: SpecDraft, spec: Spec, scenes: Sequence[Scene]) -> Iterator[Example]:
    """An example for each defect, alone where that is possible."""
    alone: set[str] = set()
    for aim in list_targets(spec):
        example = None if aim.violation in alone else _broken(draft, spec, aim, scenes)
        if example:
            alone |= set(_names(example)) if len(list(_names(example))) == 1 else set()
            yield example


def _broken(draft: SpecDraft, spec: Spec, aim: Target, scenes: Sequence[Scene]) -> Example | None:
    """An example that comes to the defect: in short where its rule needs no boxes, and with few other defects."""
    for scene in scenes:
        plans = find_counterexample(spec, aim, scene, np.random.default_rng(0))
        if plans:
            edited = simulate_edits(plans, scene, spec.liquids, spec.vocabulary.leaves)
            for placed in (True,) if needs_boxes(spec, aim.constraint) else (False, True):
                example = _tested(spec, edited, draft.components, placed=placed)
                if example and aim.violation in _names(example):
                    return example
    return None


def _tested(spec: Spec, scene: Scene, components: Sequence[ComponentDeclaration], *, placed: bool) -> Example | None:
    """The scene as an example, with what it breaks; None where a box is too small to be written."""
    facts: dict[str, object] = {}
    for component in components:
        instances = scene.instances_of(component.name)
        boxes = [_box(scene, instance) for instance in instances]
        if placed and not all(x1 < x2 and y1 < y2 for x1, y1, x2, y2 in boxes):
            return None
        if instances:
            facts[component.name] = _facts(instances, component, boxes if placed else [])
    names = sorted(example_violations(spec, ExampleTest(scene=facts)))
    return {"scene": facts, "breaks": names} if names else {"scene": facts}


def _names(example: Example) -> Iterator[str]:
    names = example.get("breaks", ())
    assert isinstance(names, Sequence)
    yield from names


def _box(scene: Scene, instance: Instance) -> list[float]:
    box, width, height = instance.box, scene.width, scene.height
    return [round(edge, DIGITS) for edge in (box.x1 / width, box.y1 / height, box.x2 / width, box.y2 / height)]


def _facts(instances: Sequence[Instance], component: ComponentDeclaration, boxes: Sequence[list[float]]) -> object:
    """Boxes and attributes, or how many there are where there is nothing else to say."""
    facts: dict[str, object] = {"count": len(instances)} if len(instances) > 1 else {}
    for attribute in component.attributes:
        values = [instance.attribute(attribute) for instance in instances]
        facts[attribute] = values[0] if len(set(values)) == 1 else values
    if boxes:
        facts |= {"box": boxes[0]} if len(boxes) == 1 else {"boxes": boxes}
    return facts if set(facts) - {"count"} else len(instances)
