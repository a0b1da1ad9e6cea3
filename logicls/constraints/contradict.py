"""Rules that cannot all be obeyed, and rules that another one already says."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import combinations

from logicls.constraints.attribute import Attribute
from logicls.constraints.composition import Composition
from logicls.constraints.layout import Layout
from logicls.constraints.match import Match
from logicls.constraints.measure import Measure
from logicls.constraints.quantity import MOST, Quantity
from logicls.constraints.reading import listed
from logicls.constraints.resolve import Fault
from logicls.constraints.spec import Constraint, Spec

Interval = tuple[float, float]
Placed = tuple[int, Constraint]
NEITHER = "No product can obey both: mend one of them."


def clashes(spec: Spec) -> Iterator[Fault]:
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
        return ("quantity", tuple(sorted(rule.weights.items())), rule.wanted, rule.in_), rule.limits
    if isinstance(rule, Measure) and rule.kind != "angle":
        return (rule.kind, rule.of, rule.other, rule.relative_to, rule.unit), rule.limits
    return None


def _compared(one: Placed, other: Placed, first: Interval, second: Interval) -> Iterator[Fault]:
    if first[0] > second[1] or second[0] > first[1]:
        yield _contradiction(other, one[1], f"{one[1].rule.say()}; {other[1].rule.say()}")
    elif first[0] <= second[0] and second[1] <= first[1]:
        yield _shadowed(one, other[1])
    elif second[0] <= first[0] and first[1] <= second[1]:
        yield _shadowed(other, one[1])


def _attributes(spec: Spec, one: Placed, other: Placed, first: Attribute, second: Attribute) -> Iterator[Fault]:
    if first.of != second.of or first.same or second.same:
        return
    known = set(spec.world.values(*first.of.split(".")))
    allowed = [
        known & set(rule.listed) if rule.is_ is not None else known - set(rule.listed) for rule in (first, second)
    ]
    if not allowed[0] & allowed[1]:
        yield _contradiction(other, one[1], f"{first.say()}; {second.say()}")
    elif allowed[0] <= allowed[1]:
        yield _shadowed(other, one[1])
    elif allowed[1] <= allowed[0]:
        yield _shadowed(one, other[1])


def _matches(one: Placed, other: Placed, first: Match, second: Match) -> Iterator[Fault]:
    if (first.left, first.right) != (second.left, second.right):
        return
    lefts = set(first.pairs) & set(second.pairs)
    none = sorted(left for left in lefts if not set(first.partners(left)) & set(second.partners(left)))
    if none:
        yield _contradiction(other, one[1], f"nothing goes with {none[0]}")


def _sets(one: Placed, other: Placed) -> Iterator[Fault]:
    """A required set against a quantity that does not allow it."""
    needs, limits = one[1].rule, other[1].rule
    if not isinstance(needs, Composition) or needs.required is None or not isinstance(limits, Quantity):
        return
    if not isinstance(limits.of, str) or limits.wanted or (limits.in_ and limits.in_ != needs.in_):
        return
    fewest = needs.required[limits.of] if isinstance(needs.required, dict) and limits.of in needs.required else 1
    if limits.of in needs.required and not (needs.in_ and not limits.in_) and not _within(fewest, limits, needs):
        yield _contradiction(other, one[1], f"{needs.say()}; {limits.say()}")


def _within(fewest: int, limits: Quantity, needs: Composition) -> bool:
    low, high = limits.limits
    return low <= fewest <= high if isinstance(needs.required, dict) else high >= fewest


def _crowded(group: list[Placed]) -> Iterator[Fault]:
    """A thing of which more must be in a place than there may be altogether."""
    rules = [(p, p[1].rule) for p in group]
    counted = [(p, r) for p, r in rules if isinstance(r, Quantity) and isinstance(r.of, str)]
    for placed, rule in counted:
        for total, whole in counted:
            if rule.in_ and not whole.in_ and (rule.of, rule.wanted) == (whole.of, whole.wanted):
                if rule.limits[0] > whole.limits[1]:
                    yield _contradiction(placed, total[1], f"{rule.say()}; {whole.say()}")
                elif rule.limits[1] >= whole.limits[1] < MOST and rule.limits[0] == 0:
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
                    with_them = f"with {listed([repr(p[1].id) for p in others])} " if others else ""
                    told = f"{with_them}it goes in a circle"
                    yield _contradiction(placed, others[0][1] if others else placed[1], told)
                after.setdefault(first, []).append((second, placed))


def _orders(constraint: Constraint, axis: str) -> list[tuple[str, str]]:
    """Pairs (first, second) along the axis that a strict layout rule asks for."""
    rule = constraint.rule
    if not isinstance(rule, Layout) or max(rule.slack) > 0:
        return []
    if rule.relation == "in_order" and rule.axis == axis:
        return list(zip(rule.things, rule.things[1:], strict=False))
    pair = rule.things[0], rule.object or ""
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
