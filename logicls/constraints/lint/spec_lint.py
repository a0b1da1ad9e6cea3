"""What is wrong with a spec that can be read: rules that say nothing, too much, or not what its examples say.

Rules that cannot all be obeyed, and rules that another one already says.
"""

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

Placed = tuple[int, Constraint]
NEITHER = "No product can obey both: mend one of them."


def find_contradictions(spec: Spec) -> Iterator[Fault]:
    """LC042 for rules that contradict each other, LC043 for one that another one makes superfluous.

    Only rules that apply under the same condition and in the same places are compared.
    """
    groups: dict[Hashable, list[Placed]] = {}
    for index, constraint in enumerate(spec.constraints):
        groups.setdefault((constraint.each, repr(constraint.when)), []).append((index, constraint))
    for group in groups.values():
        for one, other in combinations(group, 2):
            yield from _pair(spec, one, other)
        yield from _circles(group)


def _pair(spec: Spec, one: Placed, other: Placed) -> Iterator[Fault]:
    first, second = one[1], other[1]
    if first.rule == second.rule:
        yield _shadowed(other, first)
        return
    for a, b in ((one, other), (other, one)):
        comparison = a[1].rule.compare(b[1].rule, spec.vocabulary)
        if comparison is None:
            continue
        if comparison.relation == "contradicts":
            yield _contradiction(b, a[1], comparison.reason)
        else:
            yield _shadowed(b, a[1]) if comparison.relation == "implies" else _shadowed(a, b[1])
        return


def _circles(group: list[Placed]) -> Iterator[Fault]:
    """Orders that come back to where they began: a above b, b above c, c above a."""
    axes: tuple[Axis, Axis] = ("x", "y")
    for axis in axes:
        after: dict[str, list[tuple[str, Placed]]] = {}
        for placed in group:
            for first, second in _orders(placed[1], axis):
                circle = _way(after, second, first)
                if circle is not None:
                    others = [p for p in circle if p is not placed]
                    with_them = f"with {join_names([repr(p[1].id) for p in others])} " if others else ""
                    told = f"{with_them}it goes in a circle"
                    yield _contradiction(placed, others[0][1] if others else placed[1], told)
                after.setdefault(first, []).append((second, placed))


def _orders(constraint: Constraint, axis: Axis) -> list[tuple[str, str]]:
    """Return the strict orders (first, second) that the rule demands along the axis."""
    return [(order.first, order.second) for order in constraint.rule.orderings() if order.axis == axis]


def _way(after: dict[str, list[tuple[str, Placed]]], start: str, goal: str) -> list[Placed] | None:
    """The constraints that lead from start to goal; None where there is no way."""
    queue: list[tuple[str, list[Placed]]] = [(start, [])]
    seen = {start}
    while queue:
        here, way = queue.pop(0)
        if here == goal:
            return way
        for there, placed in after.get(here, []):
            if there not in seen:
                seen.add(there)
                queue.append((there, [*way, placed]))
    return None


def _contradiction(placed: Placed, other: Constraint, told: str) -> Fault:
    if other is placed[1]:
        message, advice = f"'{other.id}' contradicts itself: {told}", "No product can obey it: mend it."
    else:
        message, advice = f"'{placed[1].id}' contradicts '{other.id}': {told}", NEITHER
    return Fault(("constraints", placed[0]), message, advice, "LC042")


def _shadowed(placed: Placed, by: Constraint) -> Fault:
    message = f"'{placed[1].id}' says nothing that '{by.id}' does not say"
    return Fault(("constraints", placed[0]), message, "Remove it.", "LC043")


FINEST = 0.0005
"""A tolerance below it is less than a pixel even on a thing that is 2000 pixels wide."""
SIDE = 1000
"""Pixels of the imaginary photo on which an example's scene lies."""


def lint_spec(spec: Spec) -> Iterator[Fault]:
    """Everything that can be told from the spec alone, by kind."""
    yield from find_unused_names(spec)
    yield from find_contradictions(spec)
    yield from _unbreakable(spec)
    yield from _unnamed(spec)
    yield from _too_fine(spec)
    yield from find_wrong_examples(spec)
    yield from _untested(spec)


def find_unused_names(spec: Spec) -> Iterator[Fault]:
    """Components, variants and regions that no rule speaks about."""
    named = {n.name.partition(".")[0] for c in spec.constraints for n in c.references()}
    used = named | {spec.variants[name].of for name in named if name in spec.variants}
    used |= {region.of for name, region in spec.regions.items() if region.of and name in named}
    used |= {other for c in spec.components.values() for other in (c.fills, c.leaves) if other}
    for kind, names in (("component", spec.components), ("variant", spec.variants), ("region", spec.regions)):
        for name in names:
            if name not in used:
                message = f'no rule speaks about {kind} "{name}"'
                yield Fault((f"{kind}s", name), message, "Remove it, or write its rule.", "LC040")


def find_wrong_examples(spec: Spec) -> Iterator[Fault]:
    """Examples that do not come to the violations they name.

    Where an example gives no boxes, only rules that need none are held against it.
    """
    for index, example in enumerate(spec.examples):
        found, expected = example_violations(spec, example), set(example.breaks)
        if found != expected:
            told = [", ".join(sorted(names)) or "nothing" for names in (expected, found)]
            message = f"example {index + 1} should break {told[0]}, but breaks {told[1]}"
            yield Fault(("examples", index), message, "Mend the rule or the example.", "LC041")


def example_violations(spec: Spec, example: ExampleTest) -> set[str]:
    """The violations that an example comes to."""
    scene, placed = example_to_scene(example.scene)
    checks = zip(spec.constraints, evaluate_constraints(spec, build_context(spec, scene)), strict=True)
    return {
        constraint.violation_name(side)
        for constraint, check in checks
        if placed or not needs_boxes(spec, constraint)
        for side in check.failure_modes
    }


def needs_boxes(spec: Spec, constraint: Constraint) -> bool:
    """Whether what it comes to depends on where things are, other than on or in one another."""
    in_region = any(reference.name in spec.regions for reference in constraint.references())
    clauses = [clause for clause in (constraint, constraint.when) if clause is not None]
    rules = [rule for clause in clauses for _, rule in walk_rules(clause.rule)]
    return in_region or constraint.each is not None or any(rule.needs_boxes for rule in rules)


def example_to_scene(short: Mapping[str, Any]) -> tuple[Scene, bool]:
    """A scene written in short, and whether it gives boxes.

    Component → how many; or a mapping with `count`, `box` or `boxes` (fractions of the photo) and attributes, one value
    for all or a list; or a list of such. Without boxes everything lies on one spot, so that "in" and "on" hold.
    """
    instances: list[Instance] = []
    placed = False
    for name, body in short.items():
        for item in body if isinstance(body, list) else [body]:
            facts: dict[str, Any] = {"count": item} if isinstance(item, int) else dict(item)
            placed = placed or "box" in facts or "boxes" in facts
            instances += _instances(len(instances), name, facts)
    return Scene("example", SIDE, SIDE, tuple(instances)), placed


def _instances(start: int, name: str, facts: dict[str, Any]) -> list[Instance]:
    boxes = [facts.pop("box")] if "box" in facts else facts.pop("boxes", [])
    lists = [value for value in facts.values() if isinstance(value, list)]
    count = int(facts.pop("count", max([len(boxes), *map(len, lists), 0]) or 1))
    found = []
    for index in range(count):
        edges = boxes[index] if index < len(boxes) else (0.4, 0.4, 0.6, 0.6)
        told = {k: v[min(index, len(v) - 1)] if isinstance(v, list) else v for k, v in facts.items()}
        attributes = tuple(sorted((key, str(value)) for key, value in told.items()))
        found.append(Instance(start + index + 1, name, Box(*(SIDE * float(edge) for edge in edges)), attributes))
    return found


def _unbreakable(spec: Spec) -> Iterator[Fault]:
    """Rules that every scene obeys."""
    for index, constraint in enumerate(spec.constraints):
        here: Path = ("constraints", index)
        if not constraint.rule.failure_kinds():
            message = f"nothing can break '{constraint.id}': it allows everything"
            yield Fault((*here, constraint.family), message, "Narrow its limits, or remove it.", "LC044")
        for path, rule in walk_rules(constraint.rule, (*here, constraint.family)):
            if rule.allows_everything(spec.vocabulary):
                message = f"nothing can break '{constraint.id}': every value that the spec knows is right"
                yield Fault(path, message, "Narrow it, or remove it.", "LC044")


def _unnamed(spec: Spec) -> Iterator[Fault]:
    """Sides on which a rule can be broken that have no name, and names of sides on which it cannot."""
    for index, constraint in enumerate(spec.constraints):
        if not isinstance(constraint.violation, ViolationNames):
            continue
        here: Path = ("constraints", index, "violation")
        kinds = constraint.rule.failure_kinds()
        for kind in ("below", "above"):
            named = constraint.violation.names_by_amount(kind)
            if kind in kinds and not named:
                message = f"'{constraint.id}' has no name for the defect {kind} its limits"
                advice = f"Write {kind}: under violation; until then it is called {constraint.id}-{kind}."
                yield Fault(here, message, advice, "LC045")
            elif named and kind not in kinds:
                message = f"'{constraint.id}' cannot be broken {kind} its limits"
                yield Fault((*here, kind), message, f"Remove {kind}:.", "LC045")


def _too_fine(spec: Spec) -> Iterator[Fault]:
    """Tolerances of nothing, where boxes would have to meet exactly."""
    for index, constraint in enumerate(spec.constraints):
        for path, rule in walk_rules(constraint.rule, ("constraints", index, constraint.family)):
            tolerance = rule.tolerance_terms()
            if tolerance is not None and tolerance.fraction < FINEST:
                message = f"'{constraint.id}' has a tolerance of {tolerance.fraction:g}, less than any pixel"
                advice = "It is a fraction of the object's size, not a number of pixels: widen it."
                yield Fault((*path, "tolerance"), message, advice, "LC046")


def _untested(spec: Spec) -> Iterator[Fault]:
    """Violations that no example comes to, where there are examples."""
    if not spec.examples:
        return
    tested = {name for example in spec.examples for name in example.breaks}
    for index, constraint in enumerate(spec.constraints):
        missing = [name for side in constraint.failure_modes if (name := constraint.violation_name(side)) not in tested]
        if missing:
            message = f"no example breaks '{constraint.id}' by {', '.join(dict.fromkeys(missing))}"
            yield Fault(("constraints", index), message, "Add one under examples.", "LC047")
