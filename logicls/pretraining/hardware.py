"""Kinds of metal: screws and what goes with them, and other hardware.

Kinds of simple shape, painted, turned of wood or moulded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from logicls.pretraining.component_kinds import (
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
    rolled,
    slot,
    wooden,
)
from logicls.pretraining.drawing import (
    Canvas,
    Points,
    Pose,
    about,
    arrow,
    block,
    cloud,
    cog,
    cross,
    ellipse,
    fill,
    fitted,
    heart,
    moon,
    polygon,
    ribbon,
    stroke,
)
from logicls.pretraining.surfaces import METALS

PATTERNS = ("plain", "striped", "dotted")
MATERIALS = ("metal", "wood", "plastic", "glass")
_PLASTIC = ((0.8, 0.1, 0.12), (0.12, 0.3, 0.8), (0.1, 0.6, 0.25))
DIRECTIONS = ("up", "right", "down", "left")


def fixed(points: Points) -> Callable[[Look], Points]:
    """An outline that is always the same."""
    return lambda look: points


def _plain_bar(look: Look) -> Points:
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
    Kind(("bar", "stick", "rod"), _plain_bar, glossy, smallest=10, long=True),
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


_DARK = (0.08, 0.08, 0.09)


def _head(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    metallic(canvas, pose, look, outline)
    fill(canvas, about(outline, 0.66), paler(look.rgb, 0.15), 0.8, 0.4, shade=lit(look, 0.4))
    if look.form[0] < 0.4:
        slot(canvas, pose, 0.72, 0.14, _DARK)
    elif look.form[0] < 0.75:
        slot(canvas, pose, 0.6, 0.13, _DARK)
        slot(canvas, pose, 0.13, 0.6, _DARK)
    else:
        fill(canvas, pose.put(block(0.34, 0.34)), _DARK, 0.85)


def _bolt_head(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    metallic(canvas, pose, look, outline)
    fill(canvas, pose.put(ellipse(0.62, 0.62)), paler(look.rgb, 0.25), 0.9, 0.4, shade=lit(look, 0.35))


def _nut(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    holed(0.46)(canvas, pose, look, outline)


def _long_screw(look: Look) -> Points:
    wide = 0.09 + 0.06 * look.form[1]
    half = [(0.0, -0.5), (0.17, -0.5), (0.17, -0.44), (wide, -0.34), (wide, 0.38), (0.02, 0.5)]
    return np.array([*half, *[(-x, y) for x, y in half[:0:-1]]])


def _shank(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, look.rgb, shade=rolled(pose, 0.55))
    wide = 0.2 + 0.12 * look.form[1]
    if pose.size > 16:
        for y in np.linspace(-0.24, 0.36, int(min(pose.size / 3, 16))):
            ends = np.array([pose.at(-wide / 2, y), pose.at(wide / 2, y - 0.03)])
            stroke(canvas, ends, darker(look.rgb, 0.35), 0.8, 0.7)


def _nail(look: Look) -> Points:
    half = [(0.0, -0.5), (0.09, -0.5), (0.09, -0.46), (0.03, -0.44), (0.03, 0.44), (0.0, 0.5)]
    return np.array([*half, *[(-x, y) for x, y in half[-2:0:-1]]])


def _bar(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, look.rgb, shade=rolled(pose, 0.55))


def _washer(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    holed(0.42 + 0.15 * look.form[0])(canvas, pose, look, outline)


def _gear(look: Look) -> Points:
    return cog(9 + int(look.form[0] * 5))


def _bearing(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    holed(0.36)(canvas, pose, look, outline)
    groove = [pose.put(ellipse(0.76, 0.76)), pose.put(ellipse(0.56, 0.56))]
    fill(canvas, groove, _DARK, 0.7)
    for angle in np.arange(8) * np.pi / 4:
        place = pose.put(ellipse(0.13, 0.13, 0.33 * np.cos(angle), 0.33 * np.sin(angle)))
        fill(canvas, place, paler(look.rgb, 0.5))


def _spring(look: Look) -> Points:
    return block(0.34, 1.0, 0.03)


def _coil(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, about(outline, 0.9), _DARK, 0.45)
    turns = 6 + int(look.form[0] * 4)
    for number in range(turns):
        y = -0.46 + 0.92 * number / (turns - 1)
        ends = np.array([pose.at(-0.145, y + 0.02), pose.at(0.145, y - 0.02)])
        stroke(canvas, ends, look.rgb, max(0.05 * pose.size, 1.0))


def _hook(look: Look) -> Points:
    turn = np.linspace(-0.1, np.pi * 1.05, 18)
    bend = np.stack([0.2 * np.cos(turn), 0.25 + 0.2 * np.sin(turn)], axis=1)
    stem = np.array([(0.2, -0.45), (0.2, -0.2), (0.2, 0.1)])
    return fitted(ribbon(np.concatenate([stem, bend]), 0.13))


def _key(look: Look) -> Points:
    head = ellipse(0.42, 0.42, 0, -0.29)
    shaft = np.array(
        [
            (0.05, -0.09),
            (0.05, 0.22),
            (0.19, 0.22),
            (0.19, 0.3),
            (0.05, 0.3),
            (0.05, 0.36),
            (0.16, 0.36),
            (0.16, 0.44),
            (0.05, 0.5),
            (-0.05, 0.5),
            (-0.05, -0.09),
        ]
    )
    return np.concatenate([np.roll(head, -11, axis=0)[:38], shaft])


def _key_head(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, [outline, pose.put(ellipse(0.17, 0.17, 0, -0.34))], look.rgb, shade=lit(look, 0.35))


def _bracket(look: Look) -> Points:
    arm = 0.24 + 0.1 * look.form[0]
    return np.array(
        [(-0.5, -0.5), (-0.5 + arm, -0.5), (-0.5 + arm, 0.5 - arm), (0.5, 0.5 - arm), (0.5, 0.5), (-0.5, 0.5)]
    )


def _angle(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    metallic(canvas, pose, look, outline)
    for x, y in ((-0.36, -0.3), (0.3, 0.36)):
        fill(canvas, pose.put(ellipse(0.13, 0.13, x, y)), _DARK, 0.9)


def _coin(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    metallic(canvas, pose, look, outline)
    stroke(canvas, about(outline, 0.78), darker(look.rgb, 0.6), 0.7, 0.8, closed=True)
    fill(canvas, pose.put(block(0.16, 0.4)), darker(look.rgb, 0.65), 0.8)


def _hinge_plate(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    metallic(canvas, pose, look, outline)
    fill(canvas, pose.put(block(0.12, 0.85)), look.rgb, shade=rolled(pose, 0.6))
    for x in (-0.3, 0.3):
        for y in (-0.3, 0.3):
            fill(canvas, pose.put(ellipse(0.1, 0.1, x, y)), _DARK, 0.85)


def _spanner(look: Look) -> Points:
    half = [(0.05, -0.5), (0.17, -0.42), (0.17, -0.3), (0.06, -0.2), (0.05, 0.26), (0.13, 0.36), (0.1, 0.5)]
    mouth, foot = [(0.05, -0.36), (-0.05, -0.36)], [(0.04, 0.4), (-0.04, 0.4)]
    return np.array([*half, *foot, *[(-x, y) for x, y in half[::-1]], *mouth[::-1]])


def _hole(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, _DARK, 0.96)
    x, y = look.light[0] * 0.12 * pose.size, look.light[1] * 0.12 * pose.size
    fill(canvas, about(outline, 0.7, -x, -y), (0.2, 0.19, 0.18), 0.5, 0.6)


def _paperclip(look: Look) -> Points:
    return block(0.3, 1.0, 0.15)


def _wire(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    width = max(0.045 * pose.size, 0.9)
    trim = 1 - width / (0.3 * pose.size)
    stroke(canvas, pose.put(block(0.3 * trim, 1 - 0.3 * (1 - trim), 0.13 * trim)), look.rgb, width, closed=True)
    stroke(canvas, pose.put(block(0.14, 0.66, 0.07, 0, 0.06)), darker(look.rgb, 0.8), width, closed=True)


def _part(names: tuple[str, ...], outline: object, paint: object, smallest: float, **more: object) -> Kind:
    return Kind(names, outline, paint, METALS, smallest, material="metal", **more)  # type: ignore[arg-type]


KINDS = (
    _part(("screw", "screw head"), fixed(ellipse(1, 1)), _head, 9),
    _part(("bolt", "hex bolt", "bolt head"), fixed(polygon(6)), _bolt_head, 12),
    _part(("nut", "hex nut"), fixed(polygon(6)), _nut, 11),
    _part(("washer", "flat washer"), fixed(ellipse(1, 1)), _washer, 9),
    _part(("gear", "cog", "gear wheel", "cogwheel"), _gear, holed(0.28), 12),
    _part(("long screw", "wood screw"), _long_screw, _shank, 20, long=True),
    _part(("nail",), _nail, _bar, 18, long=True),
    _part(("bearing", "ball bearing"), fixed(ellipse(1, 1)), _bearing, 20),
    _part(("spring", "coil spring"), _spring, _coil, 18, long=True),
    _part(("hook",), _hook, _bar, 14),
    _part(("key",), _key, _key_head, 18, long=True),
    _part(("bracket", "corner bracket"), _bracket, _angle, 14),
    _part(("coin",), fixed(ellipse(1, 1)), _coin, 12),
    _part(("hinge",), fixed(block(1, 0.85, 0.05)), _hinge_plate, 16),
    _part(("wrench", "spanner"), _spanner, metallic, 20, long=True),
    _part(("rivet", "stud"), fixed(ellipse(1, 1)), _bolt_head, 7),
    _part(("paper clip", "paperclip"), _paperclip, _wire, 16, long=True),
    Kind(("hole", "drill hole", "bore"), fixed(ellipse(1, 1)), _hole, (), 4),
)
