"""How much: heights and widths that hardly vary, and the levels of fillings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from logicls.constraints.mining.intervals import Span, down, span, told, up
from logicls.constraints.mining.observations import ENOUGH, Column, Table, beside
from logicls.constraints.mining.proposals import Found, Names, Proposal, Question, fitted, named
from logicls.constraints.mining.spatial_relations import Nesting

NARROW = 0.1
"""A size that varies by no more than this share of itself is a rule, not a habit."""
DEFECTS = {"level": ("too_low", "too_high"), "height": ("too_short", "too_tall"), "width": ("too_narrow", "too_wide")}


@dataclass(frozen=True, slots=True)
class Size:
    """A size that can be measured."""

    of: Column
    axis: str
    """`height` or `width`."""
    frame: Column
    """What it is a fraction of."""
    level: bool
    """Whether it is how far something is filled."""

    @property
    def said(self) -> str:
        """As the draft names it."""
        return f"{self.of.name}-{'level' if self.level else self.axis}"


def measure_rules(table: Table, nesting: Nesting, names: Names) -> Found:
    """Sizes relative to what the component lies in: a size on the photo says more about the camera."""
    return sum((_measured(table, size, names) for size in _sizes(table, nesting)), Found())


def _sizes(table: Table, nesting: Nesting) -> Iterator[Size]:
    for name, column in table.columns.items():
        frame = table.columns.get(nesting.parent[name])
        if frame is None or not (column.alone and frame.alone):
            continue
        level = name in nesting.fills
        for axis in ("height",) if level else ("height", "width"):
            yield Size(column, axis, frame, level)


def _measured(table: Table, size: Size, names: Names) -> Found:
    pairs = beside(size.of, size.frame)
    photos = len(np.unique(pairs.photo))
    if photos < ENOUGH:
        return Found()
    along = ("width", "height").index(size.axis)
    ratio = size.of.size[pairs.inner, along] / np.maximum(size.frame.size[pairs.outer, along], 1e-6)
    seen = span(ratio, pairs.photo, len(table.photos))
    if size.level or seen.range <= NARROW * seen.middle:
        note = f"{told(photos)}; least {table.photos[seen.lowest]}, most {table.photos[seen.highest]}"
        return Found((_rule(size, (seen.low, seen.high), f"{photos}/{photos}", note, names),))
    if seen.core_range <= min(NARROW * seen.middle, seen.range / 2):
        return Found(questions=(_question(table, size, seen, photos, names),))
    return Found()


def _question(table: Table, size: Size, seen: Span, photos: int, names: Names) -> Question:
    """The interval would be narrow, were it not for a few photos."""
    wrong = np.flatnonzero(seen.off)
    support = f"{photos - len(wrong)}/{photos}"
    rule = _rule(size, seen.core, support, "", names)
    between = f"{down(seen.core[0]):.3f} and {up(seen.core[1]):.3f}"
    where = f"of the {size.frame.name}"
    said = f"{size.axis} of {size.of.name} between {between} {where} on {support} photos, not on "
    return Question(f"{said}{named([table.photos[index] for index in wrong])}.", rule)


def _rule(size: Size, limits: tuple[float, float], support: str, note: str, names: Names) -> Proposal:
    low, high = max(down(limits[0]), 0.0), up(limits[1])
    body = {size.axis: size.of.name, "relative_to": size.frame.name, "between": [low, high]}
    below, above = (fitted(f"{size.of.name}_{ending}") for ending in DEFECTS["level" if size.level else size.axis])
    violation: str | dict[str, str] = {"below": below, "above": above} if low > 0 else {"above": above}
    return Proposal(names.new(size.said), "measure", body, violation, support, note=note)
