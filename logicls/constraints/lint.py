"""What is wrong with a spec that can be read: rules that say nothing, too much, or not what its examples say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from logicls.constraints.attribute import Attribute
from logicls.constraints.connection import Connection
from logicls.constraints.contradict import clashes
from logicls.constraints.judge import checked
from logicls.constraints.layout import TOLERANT, Layout
from logicls.constraints.look import read_off
from logicls.constraints.match import Match
from logicls.constraints.measure import Measure
from logicls.constraints.resolve import Fault, Path, members
from logicls.constraints.spec import Constraint, ExampleTest, Sides, Spec
from logicls.records import Box, Instance, Scene

FINEST = 0.0005
"""A tolerance below it is less than a pixel even on a thing that is 2000 pixels wide."""
SIDE = 1000
"""Pixels of the imaginary photo on which an example's scene lies."""


def lint(spec: Spec) -> Iterator[Fault]:
    """Everything that can be told from the spec alone, by kind."""
    yield from lint_unused(spec)
    yield from clashes(spec)
    yield from _unbreakable(spec)
    yield from _unnamed(spec)
    yield from _too_fine(spec)
    yield from lint_examples(spec)
    yield from _untested(spec)


def lint_unused(spec: Spec) -> Iterator[Fault]:
    """Components, variants and regions that no rule speaks about."""
    named = {n.name.partition(".")[0] for c in spec.constraints for n in c.names()}
    used = named | {spec.variants[name].of for name in named if name in spec.variants}
    used |= {region.of for name, region in spec.regions.items() if region.of and name in named}
    used |= {other for c in spec.components.values() for other in (c.fills, c.leaves) if other}
    for kind, names in (("component", spec.components), ("variant", spec.variants), ("region", spec.regions)):
        for name in names:
            if name not in used:
                message = f'no rule speaks about {kind} "{name}"'
                yield Fault((f"{kind}s", name), message, "Remove it, or write its rule.", "LC040")


def lint_examples(spec: Spec) -> Iterator[Fault]:
    """Examples that do not come to the violations they name.

    Where an example gives no boxes, only rules that need none are held against it.
    """
    for index, example in enumerate(spec.examples):
        found, expected = broken_by(spec, example), set(example.breaks)
        if found != expected:
            told = [", ".join(sorted(names)) or "nothing" for names in (expected, found)]
            message = f"example {index + 1} should break {told[0]}, but breaks {told[1]}"
            yield Fault(("examples", index), message, "Mend the rule or the example.", "LC041")


def broken_by(spec: Spec, example: ExampleTest) -> set[str]:
    """The violations that an example comes to."""
    scene, placed = scene_of(example.scene)
    checks = zip(spec.constraints, checked(spec, read_off(spec, scene)), strict=True)
    return {
        constraint.violation_on(side)
        for constraint, check in checks
        if placed or not needs_boxes(spec, constraint)
        for side in check.sides
    }


def needs_boxes(spec: Spec, constraint: Constraint) -> bool:
    """Whether what it comes to depends on where things are, other than on or in one another."""
    where = any(named.name in spec.regions for named in constraint.names())
    rules = [*members(constraint.rule, ()), *(members(constraint.when.rule, ()) if constraint.when else ())]
    return where or constraint.each is not None or any(isinstance(r, Layout | Measure | Connection) for _, r in rules)


def scene_of(short: Mapping[str, Any]) -> tuple[Scene, bool]:
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
        if not constraint.rule.sides():
            message = f"nothing can break '{constraint.id}': it allows everything"
            yield Fault((*here, constraint.family), message, "Narrow its limits, or remove it.", "LC044")
        for path, rule in members(constraint.rule, (*here, constraint.family)):
            if _allows_all(spec, rule):
                message = f"nothing can break '{constraint.id}': every value that the spec knows is right"
                yield Fault(path, message, "Narrow it, or remove it.", "LC044")


def _allows_all(spec: Spec, rule: object) -> bool:
    if isinstance(rule, Attribute) and not rule.same:
        known = set(spec.world.values(*rule.of.split(".")))
        wrong = known - set(rule.listed) if rule.is_ is not None else known & set(rule.listed)
        return not wrong
    if isinstance(rule, Match):
        lefts, rights = (spec.world.values(*what.split(".")) for what in (rule.left, rule.right))
        return all(set(rights) <= set(rule.partners(left)) for left in lefts)
    return False


def _unnamed(spec: Spec) -> Iterator[Fault]:
    """Sides on which a rule can be broken that have no name, and names of sides on which it cannot."""
    for index, constraint in enumerate(spec.constraints):
        if not isinstance(constraint.violation, Sides):
            continue
        here: Path = ("constraints", index, "violation")
        kinds = constraint.rule.sides()
        for kind in ("below", "above"):
            named = constraint.violation.names(kind)
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
        for path, rule in members(constraint.rule, ("constraints", index, constraint.family)):
            if isinstance(rule, Layout) and _finer_than_a_pixel(rule):
                message = f"'{constraint.id}' has a tolerance of {max(rule.slack):g}, less than any pixel"
                advice = "It is a fraction of the object's size, not a number of pixels: widen it."
                yield Fault((*path, "tolerance"), message, advice, "LC046")


def _finer_than_a_pixel(rule: Layout) -> bool:
    most = max(rule.slack)
    return most < FINEST and (most > 0 or rule.relation in TOLERANT)


def _untested(spec: Spec) -> Iterator[Fault]:
    """Violations that no example comes to, where there are examples."""
    if not spec.examples:
        return
    tested = {name for example in spec.examples for name in example.breaks}
    for index, constraint in enumerate(spec.constraints):
        missing = [name for side in constraint.sides if (name := constraint.violation_on(side)) not in tested]
        if missing:
            message = f"no example breaks '{constraint.id}' by {', '.join(dict.fromkeys(missing))}"
            yield Fault(("constraints", index), message, "Add one under examples.", "LC047")
