"""Angles in annotations: rotations of CVAT, oriented boxes by first corner, outlines by their smallest rectangle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from logicls.constraints.families.angles import FULL_TURN, QUARTER_TURN, normalize_angle

Point: TypeAlias = tuple[float, float]
ROTATION = "rotation"
"""Attribute in which CVAT writes the clockwise rotation of a box, degrees; never an attribute of a product."""
SQUARE_RATIO = 1.1
"""Ratio of the sides of a rectangle below which it is not known which of them is longer."""


def pop_rotation(attributes: object) -> float | None:
    """Remove CVAT's rotation from attributes; None if they have none that is a finite number."""
    rotation = attributes.get(ROTATION) if isinstance(attributes, dict) else None
    if not isinstance(attributes, dict) or isinstance(rotation, bool) or not isinstance(rotation, int | float):
        return None
    attributes.pop(ROTATION)
    return float(rotation) if math.isfinite(rotation) else None


def measure_polygon_angle(segmentation: object) -> tuple[float, int] | None:
    """Measure the angle of an annotation's polygon, and the turn in degrees up to which it is known.

    Returns None unless the segmentation is a single polygon of at least three points. The angle is counterclockwise.

    >>> measure_polygon_angle([[10, 20, 10, 0, 20, 0, 20, 20]])
    (90.0, 360)
    >>> measure_polygon_angle([[0, 0, 20, 0, 40, 0, 40, 10, 0, 10]])
    (0.0, 180)
    """
    if not isinstance(segmentation, list) or len(segmentation) != 1 or not isinstance(segmentation[0], list):
        return None
    numbers = [float(n) for n in segmentation[0] if isinstance(n, int | float) and math.isfinite(n)]
    points = list(zip(numbers[::2], numbers[1::2], strict=False))
    if len(numbers) != len(segmentation[0]) or len(numbers) % 2 or len(set(points)) < 3:
        return None
    if len(points) == 4:
        area = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(points, [*points[1:], points[0]], strict=True))
        return _edge_angle(points[0], points[1 if area > 0 else 3]), FULL_TURN
    return _least_rectangle_angle(points)


def _edge_angle(start: Point, end: Point) -> float:
    return normalize_angle(math.degrees(math.atan2(start[1] - end[1], end[0] - start[0])))


def _least_rectangle_angle(points: Sequence[Point]) -> tuple[float, int]:
    """Return the angle of the longer side of the smallest rectangle; of a square, that of any side.

    One side of it lies on an edge of the convex hull (Freeman and Shapira, Communications of the ACM 18, 1975), so that
    the directions of all edges between two points of the polygon's hull are tried.
    """
    hull = _convex_hull(points)
    best = (math.inf, 0.0, 0.0, 0.0)
    for start, end in zip(hull, [*hull[1:], hull[0]], strict=True):
        angle = math.atan2(end[1] - start[1], end[0] - start[0])
        cos, sin = math.cos(angle), math.sin(angle)
        along, across = [x * cos + y * sin for x, y in points], [y * cos - x * sin for x, y in points]
        width, height = max(along) - min(along), max(across) - min(across)
        best = min(best, (width * height, -math.degrees(angle), width, height))
    _, angle, width, height = best
    if max(width, height) < SQUARE_RATIO * min(width, height):
        return normalize_angle(angle, QUARTER_TURN), QUARTER_TURN
    return normalize_angle(angle + (QUARTER_TURN if height > width else 0), FULL_TURN // 2), FULL_TURN // 2


def _convex_hull(points: Sequence[Point]) -> list[Point]:
    """Return the corners of the convex hull in order (Andrew's monotone chain, 1979)."""
    halves: list[list[Point]] = []
    ordered = sorted(set(points))
    for side in (ordered, ordered[::-1]):
        half: list[Point] = []
        for x, y in side:
            while len(half) > 1 and _turns_right(half[-2], half[-1], (x, y)):
                half.pop()
            half.append((x, y))
        halves.append(half[:-1])
    return [*halves[0], *halves[1]]


def _turns_right(a: Point, b: Point, c: Point) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) <= (b[1] - a[1]) * (c[0] - a[0])
