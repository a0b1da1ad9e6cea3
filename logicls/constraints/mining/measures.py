"""How much: heights and widths that hardly vary, and the levels of fillings."""

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

NARROW = 0.1
"""A size that varies by no more than this share of itself is a rule, not a habit."""
DEFECTS = {"level": ("too_low", "too_high"), "height": ("too_short", "too_tall"), "width": ("too_narrow", "too_wide")}


@dataclass(frozen=True, slots=True)
class Size:
    """A size that can be measured."""

    of: InstanceColumn
    axis: str
    """`height` or `width`."""
    frame: InstanceColumn
    """What it is a fraction of."""
    level: bool
    """Whether it is how far something is filled."""

    @property
    def said(self) -> str:
        """As the draft names it."""
        return f"{self.of.name}-{'level' if self.level else self.axis}"


def mine_measures(table: Observations, nesting: Nesting, names: NameRegistry) -> MiningResult:
    """Sizes relative to what the component lies in: a size on the photo says more about the camera."""
    return sum((_measured(table, size, names) for size in _sizes(table, nesting)), MiningResult())


def _sizes(table: Observations, nesting: Nesting) -> Iterator[Size]:
    for name, column in table.columns.items():
        frame = table.columns.get(nesting.parent[name])
        if frame is None or not (column.is_single and frame.is_single):
            continue
        level = name in nesting.fills
        for axis in ("height",) if level else ("height", "width"):
            yield Size(column, axis, frame, level)


def _measured(table: Observations, size: Size, names: NameRegistry) -> MiningResult:
    pairs = pair_instances(size.of, size.frame)
    photos = len(np.unique(pairs.photo))
    if photos < MIN_PHOTOS:
        return MiningResult()
    along = ("width", "height").index(size.axis)
    ratio = size.of.size[pairs.inner, along] / np.maximum(size.frame.size[pairs.outer, along], 1e-6)
    seen = compute_span(ratio, pairs.photo, len(table.photos))
    if size.level or seen.range <= NARROW * seen.middle:
        note = f"{describe_coverage(photos)}; least {table.photos[seen.lowest]}, most {table.photos[seen.highest]}"
        return MiningResult((_rule(size, (seen.low, seen.high), f"{photos}/{photos}", note, names),))
    if seen.core_range <= min(NARROW * seen.middle, seen.range / 2):
        return MiningResult(questions=(_question(table, size, seen, photos, names),))
    return MiningResult()


def _question(table: Observations, size: Size, seen: Span, photos: int, names: NameRegistry) -> OpenQuestion:
    """The interval would be narrow, were it not for a few photos."""
    wrong = np.flatnonzero(seen.off)
    support = f"{photos - len(wrong)}/{photos}"
    rule = _rule(size, seen.core, support, "", names)
    between = f"{round_down(seen.core[0]):.3f} and {round_up(seen.core[1]):.3f}"
    where = f"of the {size.frame.name}"
    said = f"{size.axis} of {size.of.name} between {between} {where} on {support} photos, not on "
    return OpenQuestion(f"{said}{list_photos([table.photos[index] for index in wrong])}.", rule)


def _rule(size: Size, limits: tuple[float, float], support: str, note: str, names: NameRegistry) -> Proposal:
    low, high = max(round_down(limits[0]), 0.0), round_up(limits[1])
    body = {size.axis: size.of.name, "relative_to": size.frame.name, "between": [low, high]}
    below, above = (
        truncate_name(f"{size.of.name}_{ending}") for ending in DEFECTS["level" if size.level else size.axis]
    )
    violation: str | dict[str, str] = {"below": below, "above": above} if low > 0 else {"above": above}
    return Proposal(names.add(size.said), "measure", body, violation, support, note=note)
