"""Test a draft by editing photos: drop rules that no edit breaks, and add an example for each violation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from logicls.constraints.checker.counterexamples import Target, find_counterexample, list_targets
from logicls.constraints.families.edits import simulate_edits
from logicls.constraints.lint.data_audit import MAX_PHOTOS_EDITED, DataAudit
from logicls.constraints.lint.spec_lint import ANGLE_KEY, example_violations, needs_boxes
from logicls.constraints.mining.observations import ComponentDeclaration, Observations
from logicls.constraints.mining.proposals import MiningResult, OpenQuestion, Proposal
from logicls.constraints.mining.yaml_writer import SpecDraft
from logicls.constraints.spec.models import ExampleTest, Spec
from logicls.records import Instance, Scene

MAX_ROUNDS = 3
"""Maximum number of tests of a draft; dropping rules may make others unbreakable."""
DIGITS = 3
"""Decimals of the boxes of examples."""
MAX_INSTANCES = 40
"""Maximum number of instances in an example, for readability."""
MAX_TYPICAL_PHOTOS = 10
"""Number of typical photos that are tried."""

Example = Mapping[str, object]
"""Example as written in YAML: `scene`, and `breaks` if it breaks a rule."""


def drop_unbreakable(draft: SpecDraft, scenes: Sequence[Scene]) -> SpecDraft:
    """Convert rules that no edit of the photos breaks to questions: training data could not show their violations.

    The last rule on a component is kept. A rule of which only some violations can be shown is kept with a note.
    """
    for _ in range(MAX_ROUNDS):
        audit = DataAudit(draft.to_spec())
        for scene in scenes:
            audit.add(scene)
        unreachable = list(audit.find_unreachable_violations())
        unbreakable = {constraint.id for constraint, _, is_all in unreachable if is_all}
        if not unbreakable:
            return replace(draft, rules=_add_notes(draft.rules, {c.id: missing for c, missing, _ in unreachable}))
        components = {c.name for c in draft.components} | {v.name for v in draft.variants}
        draft = replace(draft, rules=_drop_rules(draft.rules, unbreakable, components))
    return draft


def _add_notes(result: MiningResult, unreachable: Mapping[str, list[str]]) -> MiningResult:
    """Note the violations that synthesis cannot show."""
    rules = []
    for rule in result.proposals:
        missing = unreachable.get(rule.id)
        note = f"no edit of these photos creates {', '.join(missing)}: synthesis cannot show it" if missing else ""
        rules.append(replace(rule, note="; ".join(filter(None, (rule.note, note)))))
    return replace(result, proposals=tuple(rules))


def _drop_rules(result: MiningResult, unbreakable: set[str], components: set[str]) -> MiningResult:
    remaining: list[Proposal] = []
    questions = list(result.questions)
    for rule in result.proposals:
        others = [other for other in result.proposals if other is not rule and other.id not in unbreakable]
        covered = {name for other in others for name in other.references}
        if rule.id not in unbreakable or not rule.references & components <= covered:
            remaining.append(rule)
        else:
            text = f"{rule.id} holds on {rule.support} photos, but no edit of them breaks it."
            questions.append(OpenQuestion(text, rule))
    ids = {rule.id for rule in remaining}
    regions = tuple(r for r in result.regions if any(r.name in rule.references for rule in remaining))
    rules = (replace(r, unless_broken=tuple(other for other in r.unless_broken if other in ids)) for r in remaining)
    return MiningResult(tuple(rules), tuple(questions), regions)


def add_examples(draft: SpecDraft, typical: Sequence[Scene], scenes: Sequence[Scene]) -> SpecDraft:
    """Add an example without violations, and one for each violation that an edit creates.

    Args:
        draft: Draft without examples.
        typical: Typical photos, best first.
        scenes: All photos.
    """
    spec = draft.to_spec()
    for scene in typical:
        is_small = len(scene.instances) <= MAX_INSTANCES
        good = _create_example(spec, scene, draft.components, with_boxes=True) if is_small else None
        if good and "breaks" not in good:
            candidates = (scene, *typical, *scenes[:MAX_PHOTOS_EDITED])
            examples = [good, *_create_violation_examples(draft, spec, candidates)]
            return replace(draft, typical=scene.photo, examples=tuple(examples))
    return draft


def rank_typical_photos(table: Observations) -> list[int]:
    """Return the photos with the most frequent counts and positions close to the median, best first."""
    distance = np.zeros(len(table.photos))
    for column in table.columns.values():
        mode = int(np.bincount(column.counts).argmax())
        distance += 100.0 * (column.counts != mode)
        if column.is_single:
            box = column.box / np.tile(table.frame.size[column.photo], 2)
            np.add.at(distance, column.photo, np.abs(box - np.median(box, axis=0)).sum(axis=1))
    return [int(photo) for photo in np.argsort(distance, kind="stable")[:MAX_TYPICAL_PHOTOS]]


def _create_violation_examples(draft: SpecDraft, spec: Spec, scenes: Sequence[Scene]) -> Iterator[Example]:
    """Yield an example for each failure mode, until one shows its violation alone."""
    isolated: set[str] = set()
    for target in list_targets(spec):
        example = None if target.violation in isolated else _create_violation_example(draft, spec, target, scenes)
        if example:
            violations = list(_violations(example))
            isolated |= set(violations) if len(violations) == 1 else set()
            yield example


def _create_violation_example(draft: SpecDraft, spec: Spec, target: Target, scenes: Sequence[Scene]) -> Example | None:
    """Create an example with the target's violation, without boxes if its rule needs none."""
    for scene in scenes:
        edits = find_counterexample(spec, target, scene, np.random.default_rng(0))
        if edits:
            edited = simulate_edits(edits, scene, spec.liquids, spec.vocabulary.leaves)
            for with_boxes in (True,) if needs_boxes(spec, target.constraint) else (False, True):
                example = _create_example(spec, edited, draft.components, with_boxes=with_boxes)
                if example and target.violation in _violations(example):
                    return example
    return None


def _create_example(
    spec: Spec, scene: Scene, components: Sequence[ComponentDeclaration], *, with_boxes: bool
) -> Example | None:
    """Convert a scene to an example with its violations; None if rounding makes a box empty."""
    content: dict[str, object] = {}
    for component in components:
        instances = scene.instances_of(component.name)
        boxes = [_round_box(scene, instance) for instance in instances]
        if with_boxes and not all(x1 < x2 and y1 < y2 for x1, y1, x2, y2 in boxes):
            return None
        if instances:
            content[component.name] = _describe_instances(instances, component, boxes if with_boxes else [])
    names = sorted(example_violations(spec, ExampleTest(scene=content)))
    return {"scene": content, "breaks": names} if names else {"scene": content}


def _violations(example: Example) -> Iterator[str]:
    names = example.get("breaks", ())
    assert isinstance(names, Sequence)
    yield from names


def _round_box(scene: Scene, instance: Instance) -> list[float]:
    box, width, height = instance.box, scene.width, scene.height
    return [round(edge, DIGITS) for edge in (box.x1 / width, box.y1 / height, box.x2 / width, box.y2 / height)]


def _describe_instances(
    instances: Sequence[Instance], component: ComponentDeclaration, boxes: Sequence[list[float]]
) -> object:
    """Describe instances by count, attributes and boxes; by the count alone if nothing else is given."""
    fields: dict[str, object] = {"count": len(instances)} if len(instances) > 1 else {}
    for attribute in component.attributes:
        values = [instance.attribute(attribute) for instance in instances]
        fields[attribute] = values[0] if len(set(values)) == 1 else values
    angles = [round(instance.angle, 1) for instance in instances]
    if any(angles) and ANGLE_KEY not in component.attributes:
        fields[ANGLE_KEY] = angles[0] if len(set(angles)) == 1 else angles
    if boxes:
        fields |= {"box": boxes[0]} if len(boxes) == 1 else {"boxes": boxes}
    return fields if set(fields) - {"count"} else len(instances)
