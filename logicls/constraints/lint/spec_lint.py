"""Check a valid spec for rules that are unused, contradictory, redundant, unbreakable, or wrong on its examples."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from itertools import combinations
from typing import Any

from logicls.constraints.checker.evaluation import build_context, evaluate_constraints
from logicls.constraints.families.context import join_names
from logicls.constraints.families.protocol import Axis, Fault, walk_rules
from logicls.constraints.families.queries import Path
from logicls.constraints.spec.models import Constraint, ExampleTest, Spec, ViolationNames
from logicls.records import Box, Instance, Scene

IndexedConstraint = tuple[int, Constraint]
"""Index in the spec and constraint."""
MIN_TOLERANCE = 0.0005
"""Tolerance that is less than a pixel even on an object of 2000 pixels."""
ANGLE_KEY = "angle"
"""Key of the angle of an instance in an example, degrees; an attribute if the component declares one of this name."""
EXAMPLE_SIZE = 1000
"""Width and height of the virtual photo of an example, pixels."""


def find_contradictions(spec: Spec) -> Iterator[Fault]:
    """Yield rules that contradict each other (LC042), and rules that another one implies (LC043).

    Only rules with the same condition (`when`) and the same scope (`each`) are compared.
    """
    groups: dict[Hashable, list[IndexedConstraint]] = {}
    for index, constraint in enumerate(spec.constraints):
        groups.setdefault((constraint.each, repr(constraint.when)), []).append((index, constraint))
    for group in groups.values():
        for first, second in combinations(group, 2):
            yield from _compare_pair(spec, first, second)
        yield from _find_cycles(group)


def _compare_pair(spec: Spec, first: IndexedConstraint, second: IndexedConstraint) -> Iterator[Fault]:
    if first[1].rule == second[1].rule:
        yield _redundancy(second, first[1])
        return
    for a, b in ((first, second), (second, first)):
        comparison = a[1].rule.compare(b[1].rule, spec.vocabulary)
        if comparison is None:
            continue
        if comparison.relation == "contradicts":
            yield _contradiction(b, a[1], comparison.reason)
        else:
            yield _redundancy(b, a[1]) if comparison.relation == "implies" else _redundancy(a, b[1])
        return


def _find_cycles(group: list[IndexedConstraint]) -> Iterator[Fault]:
    """Yield orders that form a cycle: a above b, b above c, c above a."""
    axes: tuple[Axis, Axis] = ("x", "y")
    for axis in axes:
        edges: dict[str, list[tuple[str, IndexedConstraint]]] = {}
        for item in group:
            for first, second in _find_orders(item[1], axis):
                path = _find_path(edges, second, first)
                if path is not None:
                    others = [other for other in path if other is not item]
                    together = f"together with {join_names([repr(other[1].id) for other in others])} " if others else ""
                    reason = f"{together}it demands a cyclic order"
                    yield _contradiction(item, others[0][1] if others else item[1], reason)
                edges.setdefault(first, []).append((second, item))


def _find_orders(constraint: Constraint, axis: Axis) -> list[tuple[str, str]]:
    """Return the strict orders (first, second) that the rule demands along the axis."""
    return [(order.first, order.second) for order in constraint.rule.orderings() if order.axis == axis]


def _find_path(
    edges: dict[str, list[tuple[str, IndexedConstraint]]], start: str, goal: str
) -> list[IndexedConstraint] | None:
    """Return the constraints on the shortest path from start to goal; None if there is no path."""
    queue: list[tuple[str, list[IndexedConstraint]]] = [(start, [])]
    visited = {start}
    while queue:
        node, path = queue.pop(0)
        if node == goal:
            return path
        for target, item in edges.get(node, []):
            if target not in visited:
                visited.add(target)
                queue.append((target, [*path, item]))
    return None


def _contradiction(item: IndexedConstraint, other: Constraint, reason: str) -> Fault:
    index, constraint = item
    if other is constraint:
        message, advice = f"'{other.id}' contradicts itself: {reason}", "No product can satisfy it: correct it."
    else:
        message = f"'{constraint.id}' contradicts '{other.id}': {reason}"
        advice = "No product can satisfy both: correct one of them."
    return Fault(("constraints", index), message, advice, "LC042")


def _redundancy(item: IndexedConstraint, other: Constraint) -> Fault:
    index, constraint = item
    message = f"'{constraint.id}' is redundant: '{other.id}' implies it"
    return Fault(("constraints", index), message, "Remove it.", "LC043")


def lint_spec(spec: Spec) -> Iterator[Fault]:
    """Yield all faults that can be found without photos, grouped by kind."""
    yield from find_unused_names(spec)
    yield from find_contradictions(spec)
    yield from _find_unbreakable(spec)
    yield from _find_unnamed_violations(spec)
    yield from _find_small_tolerances(spec)
    yield from find_wrong_examples(spec)
    yield from _find_missing_examples(spec)


def find_unused_names(spec: Spec) -> Iterator[Fault]:
    """Yield components, variants and regions that no rule uses (LC040)."""
    referenced = {n.name.partition(".")[0] for c in spec.constraints for n in c.references()}
    used = referenced | {spec.variants[name].of for name in referenced if name in spec.variants}
    used |= {region.of for name, region in spec.regions.items() if region.of and name in referenced}
    used |= {other for c in spec.components.values() for other in (c.fills, c.leaves) if other}
    for kind, names in (("component", spec.components), ("variant", spec.variants), ("region", spec.regions)):
        for name in names:
            if name not in used:
                message = f'no rule uses {kind} "{name}"'
                yield Fault((f"{kind}s", name), message, "Remove it, or add a rule.", "LC040")


def find_wrong_examples(spec: Spec) -> Iterator[Fault]:
    """Yield examples whose violations differ from those they name (LC041)."""
    for index, example in enumerate(spec.examples):
        found, expected = example_violations(spec, example), set(example.breaks)
        if found != expected:
            expected_text, actual = (", ".join(sorted(names)) or "nothing" for names in (expected, found))
            message = f"example {index + 1} should break {expected_text}, but breaks {actual}"
            yield Fault(("examples", index), message, "Correct the rule or the example.", "LC041")


def example_violations(spec: Spec, example: ExampleTest) -> set[str]:
    """Return the violations of an example; without boxes, only of rules that need none."""
    scene, has_boxes = example_to_scene(example.scene, spec)
    results = zip(spec.constraints, evaluate_constraints(spec, build_context(spec, scene)), strict=True)
    return {
        constraint.violation_name(mode)
        for constraint, result in results
        if has_boxes or not needs_boxes(spec, constraint)
        for mode in result.failure_modes
    }


def needs_boxes(spec: Spec, constraint: Constraint) -> bool:
    """Return True if the result of the constraint depends on positions, other than one object in or on another."""
    in_region = any(reference.name in spec.regions for reference in constraint.references())
    clauses = [clause for clause in (constraint, constraint.when) if clause is not None]
    rules = [rule for clause in clauses for _, rule in walk_rules(clause.rule)]
    return in_region or constraint.each is not None or any(rule.needs_boxes for rule in rules)


def example_to_scene(notation: Mapping[str, Any], spec: Spec) -> tuple[Scene, bool]:
    """Convert the short notation of an example to a scene, and return whether it has boxes.

    The notation maps a component to its count; or to a mapping with `count`, `box` or `boxes` (fractions of the photo),
    `angle` (degrees) and attributes, one value for all instances or a list; or to a list of these. Without boxes all
    instances have the same box, so that "in" and "on" hold.
    """
    instances: list[Instance] = []
    has_boxes = False
    for name, body in notation.items():
        for item in body if isinstance(body, list) else [body]:
            fields: dict[str, Any] = {"count": item} if isinstance(item, int) else dict(item)
            has_boxes = has_boxes or "box" in fields or "boxes" in fields
            has_attribute = ANGLE_KEY in spec.attribute_values.get(name, {})
            angle = 0.0 if has_attribute else fields.pop(ANGLE_KEY, 0.0)
            instances += _create_instances(len(instances), name, fields, angle)
    return Scene("example", EXAMPLE_SIZE, EXAMPLE_SIZE, tuple(instances)), has_boxes


def _create_instances(start: int, name: str, fields: dict[str, Any], angle: float | list[float]) -> list[Instance]:
    boxes = [fields.pop("box")] if "box" in fields else fields.pop("boxes", [])
    lists = [value for value in (*fields.values(), angle) if isinstance(value, list)]
    count = int(fields.pop("count", max([len(boxes), *map(len, lists), 0]) or 1))
    instances = []
    for index in range(count):
        edges = boxes[index] if index < len(boxes) else (0.4, 0.4, 0.6, 0.6)
        values = {k: v[min(index, len(v) - 1)] if isinstance(v, list) else v for k, v in fields.items()}
        attributes = tuple(sorted((key, str(value)) for key, value in values.items()))
        box = Box(*(EXAMPLE_SIZE * float(edge) for edge in edges))
        own = angle[min(index, len(angle) - 1)] if isinstance(angle, list) else angle
        instances.append(Instance(start + index + 1, name, box, attributes, float(own)))
    return instances


def _find_unbreakable(spec: Spec) -> Iterator[Fault]:
    """Yield rules that every scene obeys (LC044)."""
    for index, constraint in enumerate(spec.constraints):
        base: Path = ("constraints", index)
        if not constraint.rule.failure_kinds():
            message = f"'{constraint.id}' cannot be broken: it allows everything"
            yield Fault((*base, constraint.family), message, "Narrow its limits, or remove it.", "LC044")
        for path, rule in walk_rules(constraint.rule, (*base, constraint.family)):
            if rule.allows_everything(spec.vocabulary):
                message = f"'{constraint.id}' cannot be broken: it allows every value in the spec"
                yield Fault(path, message, "Narrow it, or remove it.", "LC044")


def _find_unnamed_violations(spec: Spec) -> Iterator[Fault]:
    """Yield failure modes without a violation name, and names of failure modes that the rule does not have (LC045)."""
    for index, constraint in enumerate(spec.constraints):
        if not isinstance(constraint.violation, ViolationNames):
            continue
        base: Path = ("constraints", index, "violation")
        kinds = constraint.rule.failure_kinds()
        named = constraint.violation.named_kinds
        for kind in ViolationNames.model_fields:
            is_limit = kind in ("below", "above")
            if kind in kinds and kind not in named:
                subject = f"values {kind} its limits" if is_limit else f"{kind} parts"
                message = f"'{constraint.id}' has no violation name for {subject}"
                advice = f"Add {kind}: under violation; the default is {constraint.id}-{kind}."
                yield Fault(base, message, advice, "LC045")
            elif kind in named and kind not in kinds:
                way = f"{kind} its limits" if is_limit else f"by {kind} parts"
                yield Fault((*base, kind), f"'{constraint.id}' cannot be broken {way}", f"Remove {kind}:.", "LC045")


def _find_small_tolerances(spec: Spec) -> Iterator[Fault]:
    """Yield tolerances below `MIN_TOLERANCE` (LC046): boxes would have to agree exactly."""
    for index, constraint in enumerate(spec.constraints):
        for path, rule in walk_rules(constraint.rule, ("constraints", index, constraint.family)):
            tolerance = rule.tolerance_terms()
            if tolerance is not None and tolerance.fraction < MIN_TOLERANCE:
                message = f"'{constraint.id}' has a tolerance of {tolerance.fraction:g}, less than a pixel"
                advice = "A tolerance is a fraction of the object's size, not a number of pixels: increase it."
                yield Fault((*path, "tolerance"), message, advice, "LC046")


def _find_missing_examples(spec: Spec) -> Iterator[Fault]:
    """Yield violations that no example shows, if there are examples (LC047); a scene has no look to show one with."""
    if not spec.examples:
        return
    tested = {name for example in spec.examples for name in example.breaks}
    for index, constraint in enumerate(spec.constraints):
        if any(reference.role == "appearance" for reference in constraint.references()):
            continue
        names = [constraint.violation_name(mode) for mode in constraint.failure_modes]
        missing = [name for name in names if name not in tested]
        if missing:
            message = f"no example shows {', '.join(dict.fromkeys(missing))} ('{constraint.id}')"
            yield Fault(("constraints", index), message, "Add one under examples.", "LC047")
