"""Where: what is always above, or left of, something else.

Which component lies in which, and which one fills another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from logicls.constraints.mining.observations import (
    MIN_PHOTOS,
    InstanceColumn,
    Observations,
    are_exceptions_rare,
    pair_instances,
)
from logicls.constraints.mining.proposals import (
    MiningResult,
    NameRegistry,
    OpenQuestion,
    Proposal,
    list_photos,
    truncate_name,
)

STICKS_OUT = 0.05
"""By this share of the container's size a box that was drawn a little too large may stick out."""
SMALLER = 0.95
"""A thing covers at most this share of what it lies in."""
MOST_PAIRS = 5_000_000
"""Two components with more pairs of instances than this are not compared."""


@dataclass(frozen=True, slots=True)
class Inside:
    """How a component's instances lie in those of another."""

    row: Int[np.ndarray, " instances"]
    """The instance in which each lies, or the nearest to that; -1 where the photo has none."""
    out: Float[np.ndarray, " instances"]
    """By how much each sticks out, share of the other's size; infinite where the photo has none."""
    fits: Bool[np.ndarray, " photos"]
    """Whether all on the photo lie in one, the tolerance granted."""


@dataclass(frozen=True, slots=True)
class Nesting:
    """The tree of containers."""

    parent: Mapping[str, str]
    """Component → the smallest that it lies in; empty for those that lie in none."""
    inside: Mapping[str, Inside]
    """Component that lies in another → how."""
    fills: Mapping[str, str]
    """Filling → what it fills."""

    def siblings(self, parent: str) -> tuple[str, ...]:
        """The components that lie in `parent`, fillings aside."""
        return tuple(name for name, above in self.parent.items() if above == parent and name not in self.fills)

    @property
    def product(self) -> str:
        """The component that holds all others; empty where there is none."""
        roots = self.siblings("")
        return roots[0] if len(roots) == 1 else ""


def find_nesting(table: Observations) -> Nesting:
    """The containers that hold on all photos, or on all but a few."""
    columns = table.columns
    found: dict[str, dict[str, Inside]] = {name: {} for name in columns}
    for inner in columns.values():
        for outer in columns.values():
            lies = lying(inner, outer) if inner is not outer else None
            if lies is not None:
                found[inner.name][outer.name] = lies
    fills = {
        name: outer for name, others in found.items() for outer in others if _fills(columns[name], columns[outer])
    }  # fmt: skip
    parent, inside = {}, {}
    for name, others in found.items():
        rigid = [other for other in others if other not in fills]
        parent[name] = fills.get(name) or min(rigid, key=lambda other: _area(columns[other]), default="")
        if parent[name]:
            inside[name] = others[parent[name]]
    return Nesting(parent, inside, fills)


def lying(inner: InstanceColumn, outer: InstanceColumn) -> Inside | None:
    """How the one lies in the other; None where it does not, or where too few photos show it."""
    present = inner.counts > 0
    if int((present & (outer.counts > 0)).sum()) < MIN_PHOTOS or int(inner.counts @ outer.counts) > MOST_PAIRS:
        return None
    lies = find_containers(inner, outer)
    near = lies.row >= 0
    share = inner.size[near].prod(axis=1) / outer.size[lies.row[near]].prod(axis=1)
    exceptions = int((present & ~lies.fits).sum())
    return lies if np.median(share) <= SMALLER and are_exceptions_rare(exceptions, int(present.sum())) else None


def find_containers(inner: InstanceColumn, outer: InstanceColumn) -> Inside:
    """For every instance the one of the other component that it lies in, or sticks out of the least."""
    pairs = pair_instances(inner, outer)
    a, b = inner.box[pairs.inner], outer.box[pairs.outer]
    beyond = np.concatenate([b[:, :2] - a[:, :2], a[:, 2:] - b[:, 2:]], axis=1)
    share = np.maximum((beyond / np.maximum(np.tile(outer.size[pairs.outer], 2), 1e-6)).max(axis=1), 0.0)
    order = np.lexsort((share, pairs.inner)) if (outer.counts > 1).any() else np.arange(len(share))
    first = order[np.diff(pairs.inner[order], prepend=-1) > 0]
    row, out = np.full(len(inner.photo), -1), np.full(len(inner.photo), np.inf)
    row[pairs.inner[first]], out[pairs.inner[first]] = pairs.outer[first], share[first]
    fits = np.ones(len(inner.counts), dtype=bool)
    fits[inner.photo[out > STICKS_OUT]] = False
    return Inside(row, out, fits)


def _fills(inner: InstanceColumn, outer: InstanceColumn) -> bool:
    """Whether it stands on the other's bottom, reaches from side to side, and varies at its top."""
    if not (inner.is_single and outer.is_single):
        return False
    pairs = pair_instances(inner, outer)
    a, b, size = inner.box[pairs.inner], outer.box[pairs.outer], np.maximum(outer.size[pairs.outer], 1e-6)
    left, top = ((a[:, :2] - b[:, :2]) / size).T
    right, bottom = ((b[:, 2:] - a[:, 2:]) / size).T
    snug = max(np.median(left), np.median(right), np.median(bottom)) <= 0.1
    level = _spread(top)
    return bool(snug and np.median(top) >= 0.03 and level > 0.005 and level >= 2 * _spread(bottom))


def _spread(values: Float[np.ndarray, " rows"]) -> float:
    """The range of the middle nine tenths."""
    low, high = np.quantile(values, (0.05, 0.95))
    return float(high - low)


def _area(column: InstanceColumn) -> float:
    return float(np.median(column.size.prod(axis=1)))


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


def mine_orders(table: Observations, nesting: Nesting, names: NameRegistry) -> MiningResult:
    """The orders that hold among things that lie in the same container, without those that follow from others."""
    found = MiningResult()
    for parent in dict.fromkeys(nesting.parent.values()):
        siblings = nesting.siblings(parent)
        if 1 < len(siblings) <= MOST:
            extents = {name: _extent(table.columns[name]) for name in siblings}
            orders = [order for order in _pairs(extents) if order]
            found += sum((_told(table, order, names) for order in _reduced(orders)), MiningResult())
    return found


def _extent(column: InstanceColumn) -> Extent:
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
    if len(present) < MIN_PHOTOS or not are_exceptions_rare(len(wrong), len(present)):
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


def _told(table: Observations, order: Order, names: NameRegistry) -> MiningResult:
    """A rule, or a question where some photos are exceptions."""
    relation = RELATIONS[order.axis]
    words = relation.replace("_", "-")
    support = f"{order.photos - len(order.wrong)}/{order.photos}"
    body = {"subject": order.first, "relation": relation, "object": order.second}
    id_ = names.add(f"{order.first}-{words}-{order.second}")
    rule = Proposal(id_, "layout", body, truncate_name(f"{order.first}_not_{relation}_{order.second}"), support)
    if not order.wrong:
        return MiningResult((rule,))
    exceptions = list_photos([table.photos[index] for index in order.wrong])
    said = f"{order.first} is {words} {order.second} on {support} photos, not on {exceptions}."
    return MiningResult(questions=(OpenQuestion(said, rule),))
