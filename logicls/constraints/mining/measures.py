"""Mine rules on sizes: heights and widths that hardly vary, and fill levels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from logicls.constraints.mining.intervals import Span, compute_span, describe_coverage, round_down, round_up
from logicls.constraints.mining.observations import MIN_PHOTOS, InstanceColumn, Observations, pair_instances
from logicls.constraints.mining.proposals import (
    MiningResult,
    NameRegistry,
    OpenQuestion,
    Proposal,
    list_photos,
    truncate_name,
)
from logicls.constraints.mining.spatial_relations import Nesting

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
