"""Where: what is always above, or left of, something else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from logicls.constraints.drafting.nesting import Nesting
from logicls.constraints.drafting.proposal import Found, Names, Proposal, Question, fitted, named
from logicls.constraints.drafting.table import ENOUGH, Column, Table, mostly

RELATIONS = ("left_of", "above")
MOST = 8
"""Among more things than this, orders are not drafted: places say the same with fewer rules."""


@dataclass(frozen=True, slots=True)
class Order:
    """One component before another along an axis."""

    first: str
    second: str
    axis: int
    """0: from left to right, 1: from top to bottom."""
    gap: float
    """Pixels between their centres, median."""
    photos: int
    wrong: tuple[int, ...]
    """Photos on which it is not so."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a component reaches on each photo, along x and along y; not a number where there is none."""

    first: Float[np.ndarray, "photos 2"]
    """Smallest centre."""
    last: Float[np.ndarray, "photos 2"]
    """Largest centre."""
    near: Float[np.ndarray, "photos 2"]
    """Smallest edge."""
    far: Float[np.ndarray, "photos 2"]
    """Largest edge."""


def order_rules(table: Table, nesting: Nesting, names: Names) -> Found:
    """The orders that hold among things that lie in the same container, without those that follow from others."""
    found = Found()
    for parent in dict.fromkeys(nesting.parent.values()):
        siblings = nesting.siblings(parent)
        if 1 < len(siblings) <= MOST:
            extents = {name: _extent(table.columns[name]) for name in siblings}
            orders = [order for order in _pairs(extents) if order]
            found += sum((_told(table, order, names) for order in _reduced(orders)), Found())
    return found


def _extent(column: Column) -> Extent:
    """The extremes on each photo."""
    shape = len(column.counts), 2
    edges = [np.full(shape, np.inf), np.full(shape, -np.inf), np.full(shape, np.inf), np.full(shape, -np.inf)]
    for edge, values, extreme in (
        (edges[0], column.centre, np.minimum),
        (edges[1], column.centre, np.maximum),
        (edges[2], column.box[:, :2], np.minimum),
        (edges[3], column.box[:, 2:], np.maximum),
    ):
        extreme.at(edge, column.photo, values)
        edge[column.counts == 0] = np.nan
    return Extent(*edges)


def _pairs(extents: Mapping[str, Extent]) -> Iterator[Order | None]:
    """For every two things the order that is the clearer one."""
    things = list(extents)
    for index, one in enumerate(things):
        for other in things[index + 1 :]:
            found = [
                order
                for axis in (0, 1)
                for a, b in ((one, other), (other, one))
                if (order := _order(a, b, axis, extents))
            ]
            yield max(found, key=lambda order: (-len(order.wrong), order.gap), default=None)


def _order(first: str, second: str, axis: int, extents: Mapping[str, Extent]) -> Order | None:
    """None where it does not hold, or may be a coincidence.

    It is none where the boxes clear each other on every photo, or where the gap is larger than what it varies by.
    """
    a, b = extents[first], extents[second]
    gap = b.first[:, axis] - a.last[:, axis]
    apart = b.near[:, axis] - a.far[:, axis]
    present = np.flatnonzero(~np.isnan(gap))
    wrong = present[gap[present] <= 0]
    right = np.setdiff1d(present, wrong)
    if len(present) < ENOUGH or not mostly(len(wrong), len(present)):
        return None
    clear = (apart[right] >= 0).all() or gap[right].min() >= np.ptp(gap[right])
    return Order(first, second, axis, float(np.median(gap[right])), len(present), tuple(wrong)) if clear else None


def _reduced(orders: Sequence[Order]) -> list[Order]:
    """Without the orders that follow from a chain of others along the same axis."""
    after: dict[tuple[str, int], set[str]] = {}
    for order in orders:
        if not order.wrong:
            after.setdefault((order.first, order.axis), set()).add(order.second)
    return [order for order in orders if not _follows(order, after)]


def _follows(order: Order, after: Mapping[tuple[str, int], set[str]]) -> bool:
    """Whether a chain of two or more steps leads from the first to the second."""
    reached: set[str] = set()
    ahead = [step for step in after.get((order.first, order.axis), ()) if step != order.second]
    while ahead:
        thing = ahead.pop()
        if thing not in reached:
            reached.add(thing)
            ahead += after.get((thing, order.axis), ())
    return order.second in reached


def _told(table: Table, order: Order, names: Names) -> Found:
    """A rule, or a question where some photos are exceptions."""
    relation = RELATIONS[order.axis]
    words = relation.replace("_", "-")
    support = f"{order.photos - len(order.wrong)}/{order.photos}"
    body = {"subject": order.first, "relation": relation, "object": order.second}
    id_ = names.new(f"{order.first}-{words}-{order.second}")
    rule = Proposal(id_, "layout", body, fitted(f"{order.first}_not_{relation}_{order.second}"), support)
    if not order.wrong:
        return Found((rule,))
    exceptions = named([table.photos[index] for index in order.wrong])
    said = f"{order.first} is {words} {order.second} on {support} photos, not on {exceptions}."
    return Found(questions=(Question(said, rule),))
