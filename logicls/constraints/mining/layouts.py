"""Mine rules on geometry: positions in a container, heights and widths that hardly vary, and fill levels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from logicls.constraints.mining.intervals import DIGITS, Span, compute_span, describe_coverage, round_down, round_up
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
    RegionProposal,
    list_photos,
    truncate_name,
)
from logicls.constraints.mining.spatial_relations import Nesting

MAX_CENTRE_OFFSET = 0.15
"""Maximum distance of a centred component from its container's centre, share of the container's size."""
MAX_MEAN_OFFSET = 0.05
"""Maximum distance of the middle of its range from the container's centre."""
MAX_POSITION_RANGE = 0.25
"""Maximum range of a component's centre for which its position is fixed, share of the container's size."""
MAX_TOLERANCE = 100.0
"""Largest tolerance that a spec allows."""
MIN_REGION_SIZE = 0.01
"""Minimum width and height of a region, share of what it is a part of."""


@dataclass(frozen=True, slots=True)
class PositionStats:
    """Positions of a component relative to its container."""

    subject: InstanceColumn
    frame: InstanceColumn
    """Container, or the photo."""
    centre: Float[np.ndarray, "rows 2"]
    """Centres, fractions of the frame from its top left corner."""
    size: Float[np.ndarray, "rows 2"]
    """Sizes, fractions of the frame."""
    pixels: Float[np.ndarray, "rows 2"]
    """Size of the frame, pixels."""
    photo: Int[np.ndarray, " rows"]
    """Index of each row's photo."""
    spans: tuple[Span, Span]
    """Spans of the centre along x and y."""

    @property
    def photos(self) -> int:
        """Number of photos with both component and container."""
        return len(np.unique(self.photo))

    @property
    def is_centred(self) -> bool:
        """True if the component is centred in its container, other than the photo."""
        is_near = np.abs(self.centre - 0.5).max() <= MAX_CENTRE_OFFSET
        are_middles_near = all(abs(s.low + s.high - 1) / 2 <= MAX_MEAN_OFFSET for s in self.spans)
        return bool(self.frame.name and is_near and are_middles_near)

    @property
    def fixed_axes(self) -> tuple[int, ...]:
        """Axes along which the position is fixed; 0 for x, 1 for y."""
        return tuple(axis for axis in (0, 1) if self.spans[axis].range <= MAX_POSITION_RANGE)


def mine_positions(table: Observations, nesting: Nesting, orders: MiningResult, names: NameRegistry) -> MiningResult:
    """Propose the position of each component in its container, or that it lies inside."""
    result = MiningResult()
    for name in table.columns:
        stats = _compute_positions(table, nesting, name)
        if stats and stats.fixed_axes:
            order_ids = tuple(p.id for p in orders.proposals if name in (p.body["subject"], p.body["object"]))
            if stats.is_centred:
                result += _create_centring_rule(stats, names)
            else:
                result += _create_region_rule(table, stats, order_ids, names)
        is_fixed = stats is not None and len(stats.fixed_axes) == 2
        if nesting.parent[name] and name not in nesting.fills and not is_fixed:
            result += _create_inside_rule(table, nesting, name, names)
    return result


def _compute_positions(table: Observations, nesting: Nesting, name: str) -> PositionStats | None:
    """Compute relative positions; None for several instances per container, fillings, the product, or few photos."""
    subject, parent = table.columns[name], nesting.parent[name]
    frame = table.columns[parent] if parent else table.frame
    row = nesting.containment[name].row if parent else subject.photo
    is_contained = row >= 0
    photo, row = subject.photo[is_contained], row[is_contained]
    is_unique = are_exceptions_rare(len(row) - len(np.unique(row)), len(row))
    is_few = len(np.unique(photo)) < MIN_PHOTOS
    if name == nesting.product or name in nesting.fills or not is_unique or is_few:
        return None
    size = np.maximum(frame.size[row], 1e-6)
    centre = (subject.centre[is_contained] - frame.box[row, :2]) / size
    x, y = (compute_span(centre[:, axis], photo, len(table.photos)) for axis in (0, 1))
    return PositionStats(subject, frame, centre, subject.size[is_contained] / size, size, photo, (x, y))


def _create_centring_rule(stats: PositionStats, names: NameRegistry) -> MiningResult:
    name, frame = stats.subject.name, stats.frame.name
    x, y = _compute_tolerances(stats, (0.0, 0.0, 1.0, 1.0))
    body = {"subject": name, "relation": "centred_in", "object": frame, "tolerance": x if x == y else [x, y]}
    support = f"{stats.photos}/{stats.photos}"
    id_, violation = names.add(f"{name}-centred-in-{frame}"), truncate_name(f"misplaced_{name}")
    note = describe_coverage(stats.photos)
    return MiningResult((Proposal(id_, "layout", body, violation, support, note=note),))


def _create_region_rule(
    table: Observations, stats: PositionStats, order_ids: tuple[str, ...], names: NameRegistry
) -> MiningResult:
    """Propose a region around the middle of the observed positions, and a tolerance."""
    name = stats.subject.name
    box = _compute_region(stats)
    region = RegionProposal(names.add(f"{name}_place"), box, stats.frame.name)
    tolerances = _compute_tolerances(stats, box)
    body: dict[str, object] = {"subject": name, "relation": "centred_in", "object": region.name}
    if len(stats.fixed_axes) == 2:
        body["tolerance"] = tolerances
    else:
        [axis] = stats.fixed_axes
        pixel = round_up(1 / float(stats.pixels[:, 1 - axis].min()))
        body |= {"tolerance": min(max(tolerances[axis], pixel), MAX_TOLERANCE), "axis": "xy"[axis]}
    note = f"{describe_coverage(stats.photos, 2 * len(stats.fixed_axes))}; {_describe_extremes(table, stats)}"
    rule = Proposal(
        id=names.add(f"{name}-in-place"),
        family="layout",
        body=body,
        violation=truncate_name(f"misplaced_{name}"),
        support=f"{stats.photos}/{stats.photos}",
        note=note,
        unless_broken=order_ids,
    )
    return MiningResult((rule,), regions=(region,))


def _compute_region(stats: PositionStats) -> tuple[float, float, float, float]:
    """Return a box of median size at the middle of the observed centres; it spans the frame along the other axis."""
    edges = [0.0, 0.0, 1.0, 1.0]
    for axis in stats.fixed_axes:
        middle = (stats.spans[axis].low + stats.spans[axis].high) / 2
        half = max(float(np.median(stats.size[:, axis])), MIN_REGION_SIZE) / 2
        low = min(max(middle - half, 0.0), 1.0 - MIN_REGION_SIZE)
        edges[axis], edges[axis + 2] = low, max(min(middle + half, 1.0), low + MIN_REGION_SIZE)
    x1, y1, x2, y2 = (round(edge, DIGITS) for edge in edges)
    return x1, y1, x2, y2


def _compute_tolerances(stats: PositionStats, box: tuple[float, float, float, float]) -> list[float]:
    """Return the maximum distance of centres from the box's centre along x and y, at least a pixel, as shares of it."""
    middle, size = np.array([box[0] + box[2], box[1] + box[3]]) / 2, np.array([box[2] - box[0], box[3] - box[1]])
    distance, pixel = np.abs(stats.centre - middle).max(axis=0), 1 / stats.pixels.min(axis=0)
    return [min(round_up(float(tolerance)), MAX_TOLERANCE) for tolerance in np.maximum(distance, pixel) / size]


def _describe_extremes(table: Observations, stats: PositionStats) -> str:
    labels = (("leftmost", "rightmost"), ("topmost", "bottommost"))
    extremes = ((labels[axis], stats.spans[axis]) for axis in stats.fixed_axes)
    return ", ".join(
        f"{label} {table.photos[photo]}"
        for pair, span in extremes
        for label, photo in zip(pair, (span.lowest, span.highest), strict=True)
    )


def _create_inside_rule(table: Observations, nesting: Nesting, name: str, names: NameRegistry) -> MiningResult:
    """Propose that a component lies inside its container, with the necessary tolerance; ask if a few photos differ."""
    containment, parent = nesting.containment[name], nesting.parent[name]
    is_used = np.isfinite(containment.excess) & containment.is_inside[table.columns[name].photo]
    excess = containment.excess[is_used]
    has_both = (table.columns[name].counts > 0) & (table.columns[parent].counts > 0)
    exceptions, photos = np.flatnonzero(has_both & ~containment.is_inside), int(has_both.sum())
    tolerance = {"tolerance": round_up(float(excess.max()))} if excess.max() > 0 else {}
    body = {"subject": name, "relation": "inside", "object": parent, **tolerance}
    support = f"{photos - len(exceptions)}/{photos}"
    id_ = names.add(f"{name}-inside-{parent}")
    rule = Proposal(id_, "layout", body, truncate_name(f"{name}_outside_{parent}"), support)
    if not len(exceptions):
        return MiningResult((rule,))
    photo_list = list_photos([table.photos[index] for index in exceptions])
    text = f"{name} lies inside {parent} on {support} photos, not on {photo_list}."
    return MiningResult(questions=(OpenQuestion(text, rule),))


MAX_RELATIVE_RANGE = 0.1
"""Maximum range of a size, as a share of its median, for which a rule is proposed."""
DEFECTS = {"level": ("too_low", "too_high"), "height": ("too_short", "too_tall"), "width": ("too_narrow", "too_wide")}
"""Kind of size → suffixes of the violations below and above its limits."""


@dataclass(frozen=True, slots=True)
class RelativeSize:
    """Size of a component relative to its container."""

    of: InstanceColumn
    axis: str
    """`height` or `width`."""
    frame: InstanceColumn
    """Container."""
    is_level: bool
    """True for the fill level of a container."""

    @property
    def rule_name(self) -> str:
        """Name of the rule on this size."""
        return f"{self.of.name}-{'level' if self.is_level else self.axis}"


def mine_measures(table: Observations, nesting: Nesting, names: NameRegistry) -> MiningResult:
    """Propose rules on sizes relative to the container; sizes relative to the photo depend on the camera."""
    return sum((_mine_size(table, size, names) for size in _relative_sizes(table, nesting)), MiningResult())


def _relative_sizes(table: Observations, nesting: Nesting) -> Iterator[RelativeSize]:
    for name, column in table.columns.items():
        frame = table.columns.get(nesting.parent[name])
        if frame is None or not (column.is_single and frame.is_single):
            continue
        is_level = name in nesting.fills
        for axis in ("height",) if is_level else ("height", "width"):
            yield RelativeSize(column, axis, frame, is_level)


def _mine_size(table: Observations, size: RelativeSize, names: NameRegistry) -> MiningResult:
    pairs = pair_instances(size.of, size.frame)
    photos = len(np.unique(pairs.photo))
    if photos < MIN_PHOTOS:
        return MiningResult()
    axis = ("width", "height").index(size.axis)
    ratio = size.of.size[pairs.inner, axis] / np.maximum(size.frame.size[pairs.outer, axis], 1e-6)
    span = compute_span(ratio, pairs.photo, len(table.photos))
    if size.is_level or span.range <= MAX_RELATIVE_RANGE * span.median:
        extremes = f"minimum on {table.photos[span.lowest]}, maximum on {table.photos[span.highest]}"
        note = f"{describe_coverage(photos)}; {extremes}"
        return MiningResult((_create_rule(size, (span.low, span.high), f"{photos}/{photos}", note, names),))
    if span.core_range <= min(MAX_RELATIVE_RANGE * span.median, span.range / 2):
        return MiningResult(questions=(_create_question(table, size, span, photos, names),))
    return MiningResult()


def _create_question(
    table: Observations, size: RelativeSize, span: Span, photos: int, names: NameRegistry
) -> OpenQuestion:
    """Ask about an interval that is narrow without a few photos."""
    exceptions = np.flatnonzero(span.outliers)
    support = f"{photos - len(exceptions)}/{photos}"
    rule = _create_rule(size, span.core, support, "", names)
    interval = f"{round_down(span.core[0]):.3f} and {round_up(span.core[1]):.3f}"
    subject = f"the {size.axis} of {size.of.name} is between {interval} of the {size.frame.name}"
    photo_list = list_photos([table.photos[index] for index in exceptions])
    return OpenQuestion(f"{subject} on {support} photos, not on {photo_list}.", rule)


def _create_rule(
    size: RelativeSize, limits: tuple[float, float], support: str, note: str, names: NameRegistry
) -> Proposal:
    low, high = max(round_down(limits[0]), 0.0), round_up(limits[1])
    body = {size.axis: size.of.name, "relative_to": size.frame.name, "between": [low, high]}
    suffixes = DEFECTS["level" if size.is_level else size.axis]
    below, above = (truncate_name(f"{size.of.name}_{suffix}") for suffix in suffixes)
    violation: str | dict[str, str] = {"below": below, "above": above} if low > 0 else {"above": above}
    return Proposal(names.add(size.rule_name), "measure", body, violation, support, note=note)
