"""Dead zone: the distance from a rule's limit that synthesis keeps, on both sides.

Nobody can tell from a photo whether a mark that is off by 99 % or by 101 % of its tolerance breaks the rule. An edit
therefore never brings anything that close to a limit; original photos may lie there and keep their annotation. Examples
are dense just outside of the zone, on either side, because that is where a model has to learn the limit.

The zones are in the unit of the rule: a share of its tolerance for layout rules and for regions, a share of the
reference size for measures, degrees for angles, a share of the limit for ratios.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from logicls.constraints.families.context import EvaluationContext, NotApplicable
from logicls.constraints.families.edits import Rng
from logicls.records import Box

TOLERANCE_ZONE = 0.35
"""Share of a layout rule's tolerance, or of `MIN_TOLERANCE` if that is more."""
MIN_TOLERANCE = 0.02
"""Fraction of a location, or of the photo, that replaces a smaller tolerance."""
SIZE_ZONE = 0.008
"""Share of the reference size of a measure; of the photo for absolute sizes. At most a quarter of an interval."""
ANGLE_ZONE = 2.0
"""Degrees."""
ASPECT_ZONE = 0.03
"""Share of the limit of a ratio of two sides: an edge that is off by a pixel changes that of a small part this much."""
MAX_OFFSET = 4.0
"""Largest offset of an edit, in tolerances."""
NEAR_LIMIT_SHARE = 0.4
"""Least share of edits that end within two dead zones of the limit."""


def sample_distance(zone: float, max_distance: float, rng: Rng) -> float:
    """Sample the distance from the limit at which an edit ends: beyond `zone`, mostly near it, in the same unit."""
    max_distance = max(max_distance, zone)
    if rng.random() < NEAR_LIMIT_SHARE:
        return zone + (min(2 * zone, max_distance) - zone) * float(rng.random())
    return zone + (max_distance - zone) * float(rng.random()) ** 2


def sample_violating_offset(rng: Rng) -> float:
    """Sample an offset that breaks a rule, in tolerances."""
    return 1 + sample_distance(TOLERANCE_ZONE, MAX_OFFSET - 1, rng)


def sample_allowed_offset(rng: Rng) -> float:
    """Sample an offset within the tolerance, in tolerances."""
    return 1 - sample_distance(TOLERANCE_ZONE, 1.0, rng)


def photo_units(tolerance: tuple[float, float], context: EvaluationContext) -> tuple[float, float]:
    """Return the pixels across and down that count as one tolerance of a rule about direction or contact."""
    return max(tolerance[0], MIN_TOLERANCE * context.width), max(tolerance[1], MIN_TOLERANCE * context.height)


def location_units(tolerance: tuple[float, float], target: Box) -> tuple[float, float]:
    """Return the pixels across and down that count as one tolerance of a rule about a location."""
    return (
        max(tolerance[0], MIN_TOLERANCE * max(target.width, 1.0)),
        max(tolerance[1], MIN_TOLERANCE * max(target.height, 1.0)),
    )


def group_unit(allowed: float, context: EvaluationContext) -> float:
    """Return the pixels that count as one tolerance of a group; `allowed`: the rule's tolerance, pixels."""
    return max(allowed, MIN_TOLERANCE / 2 * min(context.width, context.height))


def containment_margin(boxes: Iterable[Box], locations: Sequence[Box]) -> float:
    """Return the smallest distance of a box's centre to the edge of a location, in dead zones.

    Raises:
        NotApplicable: There are no boxes or no locations.
    """
    found = []
    for box in boxes:
        x, y = box.centre
        for location in locations:
            width, height = max(location.width, 1e-6), max(location.height, 1e-6)
            across = max(location.x1 - x, x - location.x2) / width
            down = max(location.y1 - y, y - location.y2) / height
            found.append(abs(max(across, down)) / (MIN_TOLERANCE * TOLERANCE_ZONE))
    return smallest_margin(found)


def smallest_margin(margins: Sequence[float]) -> float:
    """Return the smallest margin.

    Raises:
        NotApplicable: There is none.
    """
    if not margins:
        raise NotApplicable("nothing to compare")
    return min(margins)
