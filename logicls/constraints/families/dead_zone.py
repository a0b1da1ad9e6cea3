"""The dead zone: how far from a rule's limit synthesis stays, on both sides. It is stated here and nowhere else.

Nobody can say of a mark that is off by 99 % or by 101 % of its tolerance whether the rule holds. An edit therefore
never brings anything that close to a limit; photos as they were taken may lie there, and keep what the annotation says.
Just outside of the zone, on either side, examples are dense, for that is where a reader has to learn the limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logicls.constraints.families.context import EvaluationContext
from logicls.constraints.families.edits import Rng
from logicls.records import Box

if TYPE_CHECKING:
    from logicls.constraints.families.layout import Layout
    from logicls.constraints.families.measure import Measure

TOLERANCE_ZONE = 0.35
"""Of a layout rule's tolerance, or of `FINE` where that is more."""
MIN_TOLERANCE = 0.02
"""Fraction of a place, or of the photo, that stands for the tolerance of a rule that has next to none."""
SIZE_ZONE = 0.008
"""Of the size that a measure is relative to; of the photo for absolute sizes. At most a quarter of an interval."""
ANGLE_ZONE = 2.0
"""Degrees."""
NEAR_LIMIT_SHARE = 0.4
"""Share of edits, at least, that end within two dead zones of the limit: in the zone next to the dead one."""


def sample_distance(zone: float, max_distance: float, rng: Rng) -> float:
    """How far from the limit an edit ends: beyond `zone`, up to `far`, in the unit of both; mostly near."""
    max_distance = max(max_distance, zone)
    if rng.random() < NEAR_LIMIT_SHARE:
        return zone + (min(2 * zone, max_distance) - zone) * float(rng.random())
    return zone + (max_distance - zone) * float(rng.random()) ** 2


def location_units(rule: Layout, context: EvaluationContext, target: Box) -> tuple[float, float]:
    """Pixels across and down that count as one tolerance of a rule about being in a place; it has one at least."""
    slack = rule.tolerance_px(context, target)
    return max(slack[0], MIN_TOLERANCE * max(target.width, 1.0)), max(slack[1], MIN_TOLERANCE * max(target.height, 1.0))


def group_unit(allowed: float, context: EvaluationContext) -> float:
    """Pixels that count as one tolerance of a rule about a row; `allowed` are those that it allows."""
    return max(allowed, MIN_TOLERANCE / 2 * min(context.width, context.height))


def photo_units(slack: tuple[float, float], context: EvaluationContext) -> tuple[float, float]:
    """Pixels across and down that count as one tolerance of a rule about sides and contact."""
    return max(slack[0], MIN_TOLERANCE * context.width), max(slack[1], MIN_TOLERANCE * context.height)


def measure_zone(rule: Measure, context: EvaluationContext) -> float:
    """The dead zone beyond a measure's limits, in the measure's unit."""
    if rule.kind == "angle":
        return ANGLE_ZONE
    if not rule.unit:
        return SIZE_ZONE
    size = context.photo_box.height if rule.kind == "height" else context.photo_box.width
    return SIZE_ZONE * size / rule.unit_px(context, context.photo_box)


def inner_zone(rule: Measure, zone: float) -> float:
    """The dead zone between a measure's limits."""
    low, high = rule.limits
    return min(zone, (high - low) / 4)
