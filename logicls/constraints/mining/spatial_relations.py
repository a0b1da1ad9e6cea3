"""Mine spatial relations: which component contains or fills which, and orders from left to right and top to bottom."""

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

MAX_EXCESS = 0.05
"""Maximum amount by which a box may exceed its container, share of the container's size: annotations are inexact."""
MAX_AREA_SHARE = 0.95
"""Maximum share of its container's area that a component covers."""
MAX_PAIRS = 5_000_000
"""Maximum number of pairs of instances for which two components are compared."""
MAX_ORDERED_COMPONENTS = 8
"""Maximum number of components in a container for which orders are mined; for more, positions need fewer rules."""
RELATIONS = ("left_of", "above")
"""Relation along x and along y."""


@dataclass(frozen=True, slots=True)
class Containment:
    """Relation of a component's instances to those of a container."""

    row: Int[np.ndarray, " instances"]
    """Row of the container that each instance exceeds least; -1 if the photo has none."""
    excess: Float[np.ndarray, " instances"]
    """Amount by which each instance exceeds its container, share of its size; infinite if the photo has none."""
    is_inside: Bool[np.ndarray, " photos"]
    """True if all instances of the photo are inside a container, up to `MAX_EXCESS`."""


@dataclass(frozen=True, slots=True)
class Nesting:
    """Tree of containers."""

    parent: Mapping[str, str]
    """Component → smallest component that contains it; empty if there is none."""
    containment: Mapping[str, Containment]
    """Component with a container → relation to it."""
    fills: Mapping[str, str]
    """Filling → component that it fills."""

    def siblings(self, parent: str) -> tuple[str, ...]:
        """Return the components directly inside `parent`, without fillings."""
        return tuple(name for name, other in self.parent.items() if other == parent and name not in self.fills)

    @property
    def product(self) -> str:
        """Component that contains all others; empty if there is none."""
        roots = self.siblings("")
        return roots[0] if len(roots) == 1 else ""


def find_nesting(table: Observations) -> Nesting:
    """Find the containers that hold on all photos, with rare exceptions."""
    columns = table.columns
    containers: dict[str, dict[str, Containment]] = {name: {} for name in columns}
    for inner in columns.values():
        for outer in columns.values():
            containment = _test_containment(inner, outer) if inner is not outer else None
            if containment is not None:
                containers[inner.name][outer.name] = containment
    fills = {
        name: outer
        for name, others in containers.items()
        for outer in others
        if _is_filling(columns[name], columns[outer])
    }
    parent, containments = {}, {}
    for name, others in containers.items():
        solid = [other for other in others if other not in fills]
        parent[name] = fills.get(name) or min(solid, key=lambda other: _median_area(columns[other]), default="")
        if parent[name]:
            containments[name] = others[parent[name]]
    return Nesting(parent, containments, fills)


def _test_containment(inner: InstanceColumn, outer: InstanceColumn) -> Containment | None:
    """Return the containment of one component in another; None if it does not hold or too few photos show it."""
    present = inner.counts > 0
    is_few = int((present & (outer.counts > 0)).sum()) < MIN_PHOTOS
    if is_few or int(inner.counts @ outer.counts) > MAX_PAIRS:
        return None
    containment = find_containers(inner, outer)
    is_contained = containment.row >= 0
    area_share = inner.size[is_contained].prod(axis=1) / outer.size[containment.row[is_contained]].prod(axis=1)
    exceptions = int((present & ~containment.is_inside).sum())
    is_rare = are_exceptions_rare(exceptions, int(present.sum()))
    return containment if np.median(area_share) <= MAX_AREA_SHARE and is_rare else None


def find_containers(inner: InstanceColumn, outer: InstanceColumn) -> Containment:
    """Find the container that each instance exceeds least."""
    pairs = pair_instances(inner, outer)
    a, b = inner.box[pairs.inner], outer.box[pairs.outer]
    distance = np.concatenate([b[:, :2] - a[:, :2], a[:, 2:] - b[:, 2:]], axis=1)
    share = np.maximum((distance / np.maximum(np.tile(outer.size[pairs.outer], 2), 1e-6)).max(axis=1), 0.0)
    order = np.lexsort((share, pairs.inner)) if (outer.counts > 1).any() else np.arange(len(share))
    first = order[np.diff(pairs.inner[order], prepend=-1) > 0]
    row, excess = np.full(len(inner.photo), -1), np.full(len(inner.photo), np.inf)
    row[pairs.inner[first]], excess[pairs.inner[first]] = pairs.outer[first], share[first]
    is_inside = np.ones(len(inner.counts), dtype=bool)
    is_inside[inner.photo[excess > MAX_EXCESS]] = False
    return Containment(row, excess, is_inside)


def _is_filling(inner: InstanceColumn, outer: InstanceColumn) -> bool:
    """Return True if the inner component reaches the outer one's bottom and sides, and only its top edge varies."""
    if not (inner.is_single and outer.is_single):
        return False
    pairs = pair_instances(inner, outer)
    a, b, size = inner.box[pairs.inner], outer.box[pairs.outer], np.maximum(outer.size[pairs.outer], 1e-6)
    left, top = ((a[:, :2] - b[:, :2]) / size).T
    right, bottom = ((b[:, 2:] - a[:, 2:]) / size).T
    is_tight = max(np.median(left), np.median(right), np.median(bottom)) <= 0.1
    variation = _central_range(top)
    is_level = np.median(top) >= 0.03 and variation > 0.005 and variation >= 2 * _central_range(bottom)
    return bool(is_tight and is_level)


def _central_range(values: Float[np.ndarray, " rows"]) -> float:
    """Return the range of the central 90 %."""
    low, high = np.quantile(values, (0.05, 0.95))
    return float(high - low)


def _median_area(column: InstanceColumn) -> float:
    return float(np.median(column.size.prod(axis=1)))


@dataclass(frozen=True, slots=True)
class ComponentOrder:
    """Order of two components along an axis."""

    first: str
    second: str
    axis: int
    """0: from left to right, 1: from top to bottom."""
    gap: float
    """Median distance of their centres, pixels."""
    photos: int
    """Number of photos with both components."""
    exceptions: tuple[int, ...]
    """Indices of the photos on which the order does not hold."""


@dataclass(frozen=True, slots=True)
class ComponentExtent:
    """Extremes of a component's instances on each photo along x and y; NaN if the photo has none."""

    min_centre: Float[np.ndarray, "photos 2"]
    max_centre: Float[np.ndarray, "photos 2"]
    min_edge: Float[np.ndarray, "photos 2"]
    max_edge: Float[np.ndarray, "photos 2"]


def mine_orders(table: Observations, nesting: Nesting, names: NameRegistry) -> MiningResult:
    """Propose the orders of components in the same container, without those that follow from others."""
    result = MiningResult()
    for parent in dict.fromkeys(nesting.parent.values()):
        siblings = nesting.siblings(parent)
        if 1 < len(siblings) <= MAX_ORDERED_COMPONENTS:
            extents = {name: _compute_extent(table.columns[name]) for name in siblings}
            orders = [order for order in _find_orders(extents) if order]
            result += sum((_create_rule(table, order, names) for order in _reduce_orders(orders)), MiningResult())
    return result


def _compute_extent(column: InstanceColumn) -> ComponentExtent:
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
    return ComponentExtent(*edges)


def _find_orders(extents: Mapping[str, ComponentExtent]) -> Iterator[ComponentOrder | None]:
    """Yield the clearest order of every two components; None if there is none."""
    components = list(extents)
    for index, a in enumerate(components):
        for b in components[index + 1 :]:
            orders = [
                order
                for axis in (0, 1)
                for first, second in ((a, b), (b, a))
                if (order := _test_order(first, second, axis, extents))
            ]
            yield max(orders, key=lambda order: (-len(order.exceptions), order.gap), default=None)


def _test_order(first: str, second: str, axis: int, extents: Mapping[str, ComponentExtent]) -> ComponentOrder | None:
    """Return the order; None if it does not hold or may be a coincidence.

    It is no coincidence if the boxes never overlap along the axis, or if the smallest gap exceeds the gap's range.
    """
    a, b = extents[first], extents[second]
    gap = b.min_centre[:, axis] - a.max_centre[:, axis]
    clearance = b.min_edge[:, axis] - a.max_edge[:, axis]
    present = np.flatnonzero(~np.isnan(gap))
    exceptions = present[gap[present] <= 0]
    regular = np.setdiff1d(present, exceptions)
    if len(present) < MIN_PHOTOS or not are_exceptions_rare(len(exceptions), len(present)):
        return None
    is_clear = (clearance[regular] >= 0).all() or gap[regular].min() >= np.ptp(gap[regular])
    if not is_clear:
        return None
    return ComponentOrder(first, second, axis, float(np.median(gap[regular])), len(present), tuple(exceptions))


def _reduce_orders(orders: Sequence[ComponentOrder]) -> list[ComponentOrder]:
    """Remove the orders that follow from a chain of others along the same axis."""
    successors: dict[tuple[str, int], set[str]] = {}
    for order in orders:
        if not order.exceptions:
            successors.setdefault((order.first, order.axis), set()).add(order.second)
    return [order for order in orders if not _is_implied(order, successors)]


def _is_implied(order: ComponentOrder, successors: Mapping[tuple[str, int], set[str]]) -> bool:
    """Return True if a chain of two or more orders leads from the first to the second component."""
    visited: set[str] = set()
    stack = [name for name in successors.get((order.first, order.axis), ()) if name != order.second]
    while stack:
        name = stack.pop()
        if name not in visited:
            visited.add(name)
            stack += successors.get((name, order.axis), ())
    return order.second in visited


def _create_rule(table: Observations, order: ComponentOrder, names: NameRegistry) -> MiningResult:
    """Create a rule, or a question if some photos are exceptions."""
    relation = RELATIONS[order.axis]
    label = relation.replace("_", "-")
    support = f"{order.photos - len(order.exceptions)}/{order.photos}"
    body = {"subject": order.first, "relation": relation, "object": order.second}
    id_ = names.add(f"{order.first}-{label}-{order.second}")
    violation = truncate_name(f"{order.first}_not_{relation}_{order.second}")
    rule = Proposal(id_, "layout", body, violation, support)
    if not order.exceptions:
        return MiningResult((rule,))
    photo_list = list_photos([table.photos[index] for index in order.exceptions])
    text = f"{order.first} is {relation.replace('_', ' ')} {order.second} on {support} photos, not on {photo_list}."
    return MiningResult(questions=(OpenQuestion(text, rule),))
