"""What is wrong with rules that can be read: their own examples, and photos of the good set that break one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from logicls.constraints.judge import judge
from logicls.constraints.look import by_query, look
from logicls.constraints.spec import ExampleTest, Spec
from logicls.errors import Problem
from logicls.records import Box, Instance, Scene

SIDE = 1000
"""Pixels of the imaginary photo on which an example's scene lies."""


def lint_examples(spec: Spec) -> Iterator[Problem]:
    """Examples that do not come to the violations they name.

    Where an example gives no boxes, only rules that need none are held against it.
    """
    for number, example in enumerate(spec.examples, 1):
        found = set(_violations(spec, example))
        expected = set(example.breaks)
        if found != expected:
            told = [", ".join(sorted(names)) or "nothing" for names in (expected, found)]
            advice = "Mend the rule or the example."
            yield Problem("LC041", f"example {number} should break {told[0]}, but breaks {told[1]}.", advice=advice)


def lint_unused(spec: Spec) -> Iterator[Problem]:
    """Components that no rule speaks about."""
    used = {name.partition(".")[0] for c in spec.constraints for _, name in c.rule.names()}
    used |= {region.of for region in spec.regions.values() if region.of}
    used |= {other for c in spec.components.values() for other in (c.fills, c.leaves) if other}
    for name in spec.components:
        if name not in used:
            yield Problem("LC040", f'no rule speaks about component "{name}".', advice="Remove it, or write its rule.")


def lint_scenes(spec: Spec, scenes: Iterable[Scene]) -> Iterator[Problem]:
    """Photos that break a rule: in a set of good photos, an annotation error or a wrong rule."""
    for scene in scenes:
        for finding in judge(spec, by_query(look(spec, scene)), scene.width, scene.height):
            if finding.status == "broken":
                message = f"{scene.photo} breaks {finding.constraint}: {finding.found}; expected {finding.expected}."
                yield Problem("LC050", message)


def _violations(spec: Spec, example: ExampleTest) -> tuple[str, ...]:
    scene, placed = scene_of(example.scene)
    findings = judge(spec, by_query(look(spec, scene)), SIDE, SIDE)
    applicable = {c.id for c in spec.constraints if placed or _needs_no_boxes(spec, c.id)}
    return tuple(f.violation for f in findings if f.violation and f.constraint in applicable)


def _needs_no_boxes(spec: Spec, constraint: str) -> bool:
    family = next(c.family for c in spec.constraints if c.id == constraint)
    return family in ("quantity", "match")


def scene_of(short: Mapping[str, Any]) -> tuple[Scene, bool]:
    """A scene written in short, and whether it gives boxes.

    Component → how many, or a mapping with `count`, `box` or `boxes` (fractions of the photo) and attributes. Without
    boxes everything lies on one spot, so that "in" and "on" hold.
    """
    instances: list[Instance] = []
    placed = False
    for name, body in short.items():
        facts: dict[str, Any] = {"count": body} if isinstance(body, int) else dict(body)
        boxes = [facts.pop("box")] if "box" in facts else facts.pop("boxes", [])
        count = int(facts.pop("count", len(boxes) or 1))
        placed = placed or bool(boxes)
        attributes = tuple(sorted((key, str(value)) for key, value in facts.items()))
        for index in range(count):
            edges = boxes[index] if index < len(boxes) else (0.4, 0.4, 0.6, 0.6)
            box = Box(*(SIDE * float(edge) for edge in edges))
            instances.append(Instance(len(instances) + 1, name, box, attributes))
    return Scene("example", SIDE, SIDE, tuple(instances)), placed
