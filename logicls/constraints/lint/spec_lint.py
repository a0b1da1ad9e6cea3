"""What is wrong with a spec that can be read: rules that say nothing, too much, or not what its examples say.

Rules that cannot all be obeyed, and rules that another one already says.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from itertools import combinations
from typing import Any

from logicls.constraints.checker.evaluation import build_context, evaluate_constraints
from logicls.constraints.families.attribute import Attribute
from logicls.constraints.families.composition import Composition
from logicls.constraints.families.connection import Connection
from logicls.constraints.families.context import join_names
from logicls.constraints.families.layout import TOLERANT, Layout
from logicls.constraints.families.match import Match
from logicls.constraints.families.measure import Measure
from logicls.constraints.families.quantity import UNLIMITED, Quantity
from logicls.constraints.spec.models import Constraint, ExampleTest, Spec, ViolationNames
from logicls.constraints.spec.references import Fault, Path, walk_rules
from logicls.records import Box, Instance, Scene

Interval = tuple[float, float]
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
        yield from _crowded(group)


def _pair(spec: Spec, one: Placed, other: Placed) -> Iterator[Fault]:
    first, second = one[1], other[1]
    if first.rule == second.rule:
        yield _shadowed(other, first)
        return
    intervals = _limits(first), _limits(second)
    if intervals[0] and intervals[1] and intervals[0][0] == intervals[1][0]:
        yield from _compared(one, other, intervals[0][1], intervals[1][1])
    elif isinstance(first.rule, Attribute) and isinstance(second.rule, Attribute):
        yield from _attributes(spec, one, other, first.rule, second.rule)
    elif isinstance(first.rule, Match) and isinstance(second.rule, Match):
        yield from _matches(one, other, first.rule, second.rule)
    else:
        yield from _sets(one, other)
        yield from _sets(other, one)


def _limits(constraint: Constraint) -> tuple[Hashable, Interval] | None:
    """What is limited, and its limits."""
    rule = constraint.rule
    if isinstance(rule, Quantity):
        return ("quantity", tuple(sorted(rule.weights.items())), rule.required_attributes, rule.in_), rule.limits
    if isinstance(rule, Measure) and rule.kind != "angle":
        return (rule.kind, rule.of, rule.other, rule.relative_to, rule.unit), rule.limits
    return None


def _compared(one: Placed, other: Placed, first: Interval, second: Interval) -> Iterator[Fault]:
    if first[0] > second[1] or second[0] > first[1]:
        yield _contradiction(other, one[1], f"{one[1].rule.to_text()}; {other[1].rule.to_text()}")
    elif first[0] <= second[0] and second[1] <= first[1]:
        yield _shadowed(one, other[1])
    elif second[0] <= first[0] and first[1] <= second[1]:
        yield _shadowed(other, one[1])


def _attributes(spec: Spec, one: Placed, other: Placed, first: Attribute, second: Attribute) -> Iterator[Fault]:
    if first.of != second.of or first.same or second.same:
        return
    known = set(spec.vocabulary.values(*first.of.split(".")))
    allowed = [
        known & set(rule.listed_values) if rule.is_ is not None else known - set(rule.listed_values)
        for rule in (first, second)
    ]
    if not allowed[0] & allowed[1]:
        yield _contradiction(other, one[1], f"{first.to_text()}; {second.to_text()}")
    elif allowed[0] <= allowed[1]:
        yield _shadowed(other, one[1])
    elif allowed[1] <= allowed[0]:
        yield _shadowed(one, other[1])


def _matches(one: Placed, other: Placed, first: Match, second: Match) -> Iterator[Fault]:
    if (first.left, first.right) != (second.left, second.right):
        return
    lefts = set(first.pairs) & set(second.pairs)
    none = sorted(left for left in lefts if not set(first.allowed_values(left)) & set(second.allowed_values(left)))
    if none:
        yield _contradiction(other, one[1], f"nothing goes with {none[0]}")


def _sets(one: Placed, other: Placed) -> Iterator[Fault]:
    """A required set against a quantity that does not allow it."""
    needs, limits = one[1].rule, other[1].rule
    if not isinstance(needs, Composition) or needs.required is None or not isinstance(limits, Quantity):
        return
    if not isinstance(limits.of, str) or limits.required_attributes or (limits.in_ and limits.in_ != needs.in_):
        return
    fewest = needs.required[limits.of] if isinstance(needs.required, dict) and limits.of in needs.required else 1
    if limits.of in needs.required and not (needs.in_ and not limits.in_) and not _within(fewest, limits, needs):
        yield _contradiction(other, one[1], f"{needs.to_text()}; {limits.to_text()}")


def _within(fewest: int, limits: Quantity, needs: Composition) -> bool:
    low, high = limits.limits
    return low <= fewest <= high if isinstance(needs.required, dict) else high >= fewest


def _crowded(group: list[Placed]) -> Iterator[Fault]:
    """A thing of which more must be in a place than there may be altogether."""
    rules = [(p, p[1].rule) for p in group]
    counted = [(p, r) for p, r in rules if isinstance(r, Quantity) and isinstance(r.of, str)]
    for placed, rule in counted:
        for total, whole in counted:
            if (
                rule.in_
                and not whole.in_
                and (rule.of, rule.required_attributes) == (whole.of, whole.required_attributes)
            ):
                if rule.limits[0] > whole.limits[1]:
                    yield _contradiction(placed, total[1], f"{rule.to_text()}; {whole.to_text()}")
                elif rule.limits[1] >= whole.limits[1] < UNLIMITED and rule.limits[0] == 0:
                    yield _shadowed(placed, total[1])


def _circles(group: list[Placed]) -> Iterator[Fault]:
    """Orders that come back to where they began: a above b, b above c, c above a."""
    for axis in ("x", "y"):
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


def _orders(constraint: Constraint, axis: str) -> list[tuple[str, str]]:
    """Pairs (first, second) along the axis that a strict layout rule asks for."""
    rule = constraint.rule
    if not isinstance(rule, Layout) or max(rule.tolerances) > 0:
        return []
    if rule.relation == "in_order" and rule.axis == axis:
        return list(zip(rule.subjects, rule.subjects[1:], strict=False))
    pair = rule.subjects[0], rule.object or ""
    if rule.relation == ("left_of" if axis == "x" else "above"):
        return [pair]
    return [pair[::-1]] if rule.relation == ("right_of" if axis == "x" else "below") else []


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
    where = any(named.name in spec.regions for named in constraint.references())
    rules = [*walk_rules(constraint.rule, ()), *(walk_rules(constraint.when.rule, ()) if constraint.when else ())]
    return where or constraint.each is not None or any(isinstance(r, Layout | Measure | Connection) for _, r in rules)


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
        if not constraint.rule.failure_modes():
            message = f"nothing can break '{constraint.id}': it allows everything"
            yield Fault((*here, constraint.family), message, "Narrow its limits, or remove it.", "LC044")
        for path, rule in walk_rules(constraint.rule, (*here, constraint.family)):
            if _allows_all(spec, rule):
                message = f"nothing can break '{constraint.id}': every value that the spec knows is right"
                yield Fault(path, message, "Narrow it, or remove it.", "LC044")


def _allows_all(spec: Spec, rule: object) -> bool:
    if isinstance(rule, Attribute) and not rule.same:
        known = set(spec.vocabulary.values(*rule.of.split(".")))
        wrong = known - set(rule.listed_values) if rule.is_ is not None else known & set(rule.listed_values)
        return not wrong
    if isinstance(rule, Match):
        lefts, rights = (spec.vocabulary.values(*what.split(".")) for what in (rule.left, rule.right))
        return all(set(rights) <= set(rule.allowed_values(left)) for left in lefts)
    return False


def _unnamed(spec: Spec) -> Iterator[Fault]:
    """Sides on which a rule can be broken that have no name, and names of sides on which it cannot."""
    for index, constraint in enumerate(spec.constraints):
        if not isinstance(constraint.violation, ViolationNames):
            continue
        here: Path = ("constraints", index, "violation")
        kinds = constraint.rule.failure_modes()
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
            if isinstance(rule, Layout) and _finer_than_a_pixel(rule):
                message = f"'{constraint.id}' has a tolerance of {max(rule.tolerances):g}, less than any pixel"
                advice = "It is a fraction of the object's size, not a number of pixels: widen it."
                yield Fault((*path, "tolerance"), message, advice, "LC046")


def _finer_than_a_pixel(rule: Layout) -> bool:
    most = max(rule.tolerances)
    return most < FINEST and (most > 0 or rule.relation in TOLERANT)


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
