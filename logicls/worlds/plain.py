"""Kinds of simple shape, painted, turned of wood or moulded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from logicls.worlds.canvas import Canvas, Points, fill, stroke
from logicls.worlds.kind import (
    Kind,
    Look,
    Paint,
    ball,
    darker,
    flat,
    glint,
    glossy,
    holed,
    lit,
    metallic,
    paler,
    wooden,
)
from logicls.worlds.shapes import (
    Pose,
    about,
    arrow,
    block,
    cloud,
    cross,
    ellipse,
    fitted,
    heart,
    moon,
    polygon,
)

PATTERNS = ("plain", "striped", "dotted")
MATERIALS = ("metal", "wood", "plastic", "glass")
_PLASTIC = ((0.8, 0.1, 0.12), (0.12, 0.3, 0.8), (0.1, 0.6, 0.25))
DIRECTIONS = ("up", "right", "down", "left")


def fixed(points: Points) -> Callable[[Look], Points]:
    """An outline that is always the same."""
    return lambda look: points


def _bar(look: Look) -> Points:
    return block(0.2 + 0.25 * look.form[0], 1.0, 0.06 * look.form[1])


def _plate(look: Look) -> Points:
    return block(1.0, 0.55 + 0.3 * look.form[0], 0.12 * look.form[1])


def _cube(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, look.rgb, shade=lit(look, 0.12))
    high = 0.5 + 0.35 * look.form[0]
    fill(canvas, pose.put(block(1.0, 0.24 * high, 0, 0, 0.38 * high)), darker(look.rgb, 0.62))
    fill(canvas, pose.put(block(0.07, 0.76 * high, 0, 0, -0.12 * high)), paler(look.rgb, 0.4), 0.8)


def _half(look: Look) -> Points:
    return fitted(ellipse(1, 1)[:21])


def _ring(look: Look) -> Points:
    return ellipse(1, 1)


def _tyre(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    holed(0.5 + 0.2 * look.form[0])(canvas, pose, look, outline)


def _candy(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    ball(canvas, pose, look, outline)
    if pose.size > 10:
        fill(canvas, pose.put(block(0.12, 0.9)), paler(look.rgb, 0.7), 0.5)


def _biscuit(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, (0.62, 0.4, 0.2), shade=lit(look, 0.2))
    fill(canvas, about(outline, 0.88), (0.85, 0.62, 0.36), 1.0, 0.6, shade=lit(look, 0.15))
    for x, y in ((-0.2, -0.15), (0.2, -0.2), (0, 0.1), (-0.22, 0.24), (0.24, 0.2)):
        fill(canvas, pose.put(ellipse(0.11, 0.1, x, y)), (0.28, 0.15, 0.08), 0.9)


def _patterned(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, darker(look.rgb, 0.7))
    fill(canvas, about(outline, 0.9), look.rgb, shade=lit(look, 0.15))
    other = paler(look.rgb, 0.75) if sum(look.rgb) < 1.6 else darker(look.rgb, 0.3)
    if look.value == "striped":
        for x, high in ((-0.3, 0.62), (-0.1, 0.82), (0.1, 0.82), (0.3, 0.62)):
            fill(canvas, pose.put(block(0.09, high, 0, x, 0)), other)
    elif look.value == "dotted":
        for x, y in ((0, 0), (0.26, 0.1), (-0.26, -0.1), (0.08, -0.27), (-0.08, 0.27), (0.2, -0.2), (-0.22, 0.2)):
            fill(canvas, pose.put(ellipse(0.12, 0.12, x, y)), other)


def _made_of(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    if look.value == "wood":
        wooden(canvas, pose, replace(look, rgb=(0.72, 0.5, 0.3)), outline)
    elif look.value == "metal":
        metallic(canvas, pose, replace(look, rgb=(0.74, 0.76, 0.8)), outline)
    elif look.value == "glass":
        fill(canvas, outline, (0.75, 0.9, 0.9), 0.35)
        stroke(canvas, about(outline, 0.95), (0.85, 0.97, 0.95), 1.0, 0.9, closed=True)
        stroke(canvas, outline, (0.2, 0.4, 0.38), 0.6, 0.8, closed=True)
        fill(canvas, pose.put(np.array([(-0.3, -0.2), (-0.18, -0.2), (0.0, 0.2), (-0.12, 0.2)])), (1, 1, 1), 0.6)
    else:
        glossy(canvas, pose, replace(look, rgb=_PLASTIC[int(look.form[2] * 2.99)]), outline)


def _egg(look: Look) -> Points:
    points = ellipse(0.8, 1.0).copy()
    points[:, 0] *= 1 + 0.25 * points[:, 1]
    return fitted(points)


def _shiny(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, darker(look.rgb, 0.8), shade=lit(look, 0.3))
    glint(canvas, pose, look, outline, 0.18, size=0.25, strength=0.5)


def _shape(names: tuple[str, ...], points: Points, paint: Paint = glossy, smallest: float = 8) -> Kind:
    return Kind(names, fixed(points), paint, smallest=smallest, family="shape")


SHAPES = (
    _shape(("disc", "disk", "counter"), ellipse(1, 1), smallest=4),
    Kind(("ring", "hoop"), _ring, _tyre, smallest=8, family="shape"),
    Kind(("square", "square tile"), fixed(block(1, 1, 0.04)), glossy, smallest=5, family="shape", turn="slight"),
    Kind(("rectangle", "rectangular plate"), _plate, flat, smallest=9, family="shape", turn="slight"),
    _shape(("triangle", "wedge"), polygon(3)),
    _shape(("star",), polygon(5, 0.42), flat),
    Kind(("cross", "plus"), fixed(cross(0.32)), flat, smallest=8, family="shape", turn="slight"),
    _shape(("heart",), heart()),
    _shape(("hexagon",), polygon(6), smallest=12),
    Kind(("diamond", "rhombus"), fixed(polygon(4)), flat, smallest=9, family="shape", turn="slight"),
    _shape(("crescent", "moon"), moon(), flat, 10),
    _shape(("half disc", "semicircle"), _half(Look((0, 0, 0), (0, 0, 0), (0, -1))), flat, 9),
)
"""Those whose `shape` may be asked for."""

THINGS = (
    Kind(("dot", "spot", "point"), fixed(ellipse(1, 1)), flat, smallest=2.0),
    Kind(("ball", "marble", "bead"), fixed(ellipse(1, 1)), ball, smallest=5),
    Kind(("bar", "stick", "rod"), _bar, glossy, smallest=10, long=True),
    Kind(("wooden block", "wood block"), _plate, wooden, ("beige",), 12, material="wood"),
    Kind(("wooden disc",), fixed(ellipse(1, 1)), wooden, ("beige",), 12, material="wood"),
    Kind(
        ("box", "carton", "parcel"),
        lambda look: block(1.0, 0.5 + 0.35 * look.form[0]),
        _cube,
        smallest=12,
        turn="slight",
    ),
    Kind(("arrow",), fixed(arrow()), flat, smallest=9, turn="slight", attribute="direction", values=DIRECTIONS),
    Kind(
        ("flower", "blossom"), fixed(cloud(6, 0.18)), _shiny, ("red", "yellow", "purple", "pink", "white", "blue"), 10
    ),
    Kind(("candy", "sweet"), fixed(ellipse(1, 0.9)), _candy, smallest=10),
    Kind(("biscuit", "cookie"), fixed(cloud(18, 0.03)), _biscuit, (), 14),
    Kind(("badge", "round badge"), fixed(ellipse(1, 1)), _patterned, smallest=16, attribute="pattern", values=PATTERNS),
    Kind(("block", "brick"), _plate, _made_of, (), 20, attribute="material", values=MATERIALS),
    Kind(("egg",), _egg, ball, ("white", "brown", "beige"), 10),
)
