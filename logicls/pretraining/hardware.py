"""Kinds of simple shape, everyday objects, and metal hardware."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from logicls.pretraining.component_kinds import (
    ComponentKind,
    ComponentStyle,
    Painter,
    cylinder_shade,
    darken,
    directional_shade,
    draw_highlight,
    draw_slot,
    lighten,
    paint_flat,
    paint_glossy,
    paint_metallic,
    paint_sphere,
    paint_wooden,
    ring_painter,
)
from logicls.pretraining.drawing import (
    Canvas,
    Points,
    Pose,
    arrow,
    crescent,
    cross,
    ellipse,
    fill,
    gear,
    heart,
    lobed_disc,
    normalize_points,
    polygon,
    rectangle,
    ribbon,
    scale_points,
    stroke,
)
from logicls.pretraining.surfaces import METAL_COLOURS

PATTERNS = ("plain", "striped", "dotted")
MATERIALS = ("metal", "wood", "plastic", "glass")
_PLASTIC = ((0.8, 0.1, 0.12), (0.12, 0.3, 0.8), (0.1, 0.6, 0.25))
DIRECTIONS = ("up", "right", "down", "left")


def constant_contour(points: Points) -> Callable[[ComponentStyle], Points]:
    """Return a contour function that ignores the style."""
    return lambda style: points


def _bar_contour(style: ComponentStyle) -> Points:
    return rectangle(0.2 + 0.25 * style.form[0], 1.0, 0.06 * style.form[1])


def _plate_contour(style: ComponentStyle) -> Points:
    return rectangle(1.0, 0.55 + 0.3 * style.form[0], 0.12 * style.form[1])


def _paint_box(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, style.rgb, shade=directional_shade(style, 0.12))
    high = 0.5 + 0.35 * style.form[0]
    fill(canvas, pose.transform(rectangle(1.0, 0.24 * high, 0, 0, 0.38 * high)), darken(style.rgb, 0.62))
    fill(canvas, pose.transform(rectangle(0.07, 0.76 * high, 0, 0, -0.12 * high)), lighten(style.rgb, 0.4), 0.8)


def _half_disc_contour(style: ComponentStyle) -> Points:
    return normalize_points(ellipse(1, 1)[:21])


def _ring_contour(style: ComponentStyle) -> Points:
    return ellipse(1, 1)


def _paint_ring(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    ring_painter(0.5 + 0.2 * style.form[0])(canvas, pose, style, contour)


def _paint_candy(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    paint_sphere(canvas, pose, style, contour)
    if pose.size > 10:
        fill(canvas, pose.transform(rectangle(0.12, 0.9)), lighten(style.rgb, 0.7), 0.5)


def _paint_biscuit(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, (0.62, 0.4, 0.2), shade=directional_shade(style, 0.2))
    fill(canvas, scale_points(contour, 0.88), (0.85, 0.62, 0.36), 1.0, 0.6, shade=directional_shade(style, 0.15))
    for x, y in ((-0.2, -0.15), (0.2, -0.2), (0, 0.1), (-0.22, 0.24), (0.24, 0.2)):
        fill(canvas, pose.transform(ellipse(0.11, 0.1, x, y)), (0.28, 0.15, 0.08), 0.9)


def _paint_badge(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, darken(style.rgb, 0.7))
    fill(canvas, scale_points(contour, 0.9), style.rgb, shade=directional_shade(style, 0.15))
    other = lighten(style.rgb, 0.75) if sum(style.rgb) < 1.6 else darken(style.rgb, 0.3)
    if style.value == "striped":
        for x, high in ((-0.3, 0.62), (-0.1, 0.82), (0.1, 0.82), (0.3, 0.62)):
            fill(canvas, pose.transform(rectangle(0.09, high, 0, x, 0)), other)
    elif style.value == "dotted":
        for x, y in ((0, 0), (0.26, 0.1), (-0.26, -0.1), (0.08, -0.27), (-0.08, 0.27), (0.2, -0.2), (-0.22, 0.2)):
            fill(canvas, pose.transform(ellipse(0.12, 0.12, x, y)), other)


def _paint_material(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    if style.value == "wood":
        paint_wooden(canvas, pose, replace(style, rgb=(0.72, 0.5, 0.3)), contour)
    elif style.value == "metal":
        paint_metallic(canvas, pose, replace(style, rgb=(0.74, 0.76, 0.8)), contour)
    elif style.value == "glass":
        fill(canvas, contour, (0.75, 0.9, 0.9), 0.35)
        stroke(canvas, scale_points(contour, 0.95), (0.85, 0.97, 0.95), 1.0, 0.9, closed=True)
        stroke(canvas, contour, (0.2, 0.4, 0.38), 0.6, 0.8, closed=True)
        fill(canvas, pose.transform(np.array([(-0.3, -0.2), (-0.18, -0.2), (0.0, 0.2), (-0.12, 0.2)])), (1, 1, 1), 0.6)
    else:
        paint_glossy(canvas, pose, replace(style, rgb=_PLASTIC[int(style.form[2] * 2.99)]), contour)


def _egg_contour(style: ComponentStyle) -> Points:
    points = ellipse(0.8, 1.0).copy()
    points[:, 0] *= 1 + 0.25 * points[:, 1]
    return normalize_points(points)


def _paint_flower(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, darken(style.rgb, 0.8), shade=directional_shade(style, 0.3))
    draw_highlight(canvas, pose, style, contour, 0.18, size=0.25, strength=0.5)


def _shape_kind(
    names: tuple[str, ...], points: Points, paint: Painter = paint_glossy, min_size: float = 8
) -> ComponentKind:
    return ComponentKind(names, constant_contour(points), paint, min_size=min_size, family="shape")


SHAPE_KINDS = (
    _shape_kind(("disc", "disk", "counter"), ellipse(1, 1), min_size=4),
    ComponentKind(("ring", "hoop"), _ring_contour, _paint_ring, min_size=8, family="shape"),
    ComponentKind(
        ("square", "square tile"),
        constant_contour(rectangle(1, 1, 0.04)),
        paint_glossy,
        min_size=5,
        family="shape",
        rotation="slight",
    ),
    ComponentKind(
        ("rectangle", "rectangular plate"), _plate_contour, paint_flat, min_size=9, family="shape", rotation="slight"
    ),
    _shape_kind(("triangle", "wedge"), polygon(3)),
    _shape_kind(("star",), polygon(5, 0.42), paint_flat),
    ComponentKind(
        ("cross", "plus"), constant_contour(cross(0.32)), paint_flat, min_size=8, family="shape", rotation="slight"
    ),
    _shape_kind(("heart",), heart()),
    _shape_kind(("hexagon",), polygon(6), min_size=12),
    ComponentKind(
        ("diamond", "rhombus"), constant_contour(polygon(4)), paint_flat, min_size=9, family="shape", rotation="slight"
    ),
    _shape_kind(("crescent", "moon"), crescent(), paint_flat, 10),
    _shape_kind(
        ("half disc", "semicircle"), _half_disc_contour(ComponentStyle((0, 0, 0), (0, 0, 0), (0, -1))), paint_flat, 9
    ),
)
"""Kinds whose attribute `shape` may be asked for."""

OBJECT_KINDS = (
    ComponentKind(("dot", "spot", "point"), constant_contour(ellipse(1, 1)), paint_flat, min_size=2.0),
    ComponentKind(("ball", "marble", "bead"), constant_contour(ellipse(1, 1)), paint_sphere, min_size=5),
    ComponentKind(("bar", "stick", "rod"), _bar_contour, paint_glossy, min_size=10, is_elongated=True),
    ComponentKind(("wooden block", "wood block"), _plate_contour, paint_wooden, ("beige",), 12, material="wood"),
    ComponentKind(("wooden disc",), constant_contour(ellipse(1, 1)), paint_wooden, ("beige",), 12, material="wood"),
    ComponentKind(
        ("box", "carton", "parcel"),
        lambda style: rectangle(1.0, 0.5 + 0.35 * style.form[0]),
        _paint_box,
        min_size=12,
        rotation="slight",
    ),
    ComponentKind(
        ("arrow",),
        constant_contour(arrow()),
        paint_flat,
        min_size=9,
        rotation="slight",
        attribute="direction",
        values=DIRECTIONS,
    ),
    ComponentKind(
        ("flower", "blossom"),
        constant_contour(lobed_disc(6, 0.18)),
        _paint_flower,
        ("red", "yellow", "purple", "pink", "white", "blue"),
        10,
    ),
    ComponentKind(("candy", "sweet"), constant_contour(ellipse(1, 0.9)), _paint_candy, min_size=10),
    ComponentKind(("biscuit", "cookie"), constant_contour(lobed_disc(18, 0.03)), _paint_biscuit, (), 14),
    ComponentKind(
        ("badge", "round badge"),
        constant_contour(ellipse(1, 1)),
        _paint_badge,
        min_size=16,
        attribute="pattern",
        values=PATTERNS,
    ),
    ComponentKind(("block", "brick"), _plate_contour, _paint_material, (), 20, attribute="material", values=MATERIALS),
    ComponentKind(("egg",), _egg_contour, paint_sphere, ("white", "brown", "beige"), 10),
)


_DARK = (0.08, 0.08, 0.09)


def _paint_screw_head(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    paint_metallic(canvas, pose, style, contour)
    fill(canvas, scale_points(contour, 0.66), lighten(style.rgb, 0.15), 0.8, 0.4, shade=directional_shade(style, 0.4))
    if style.form[0] < 0.4:
        draw_slot(canvas, pose, 0.72, 0.14, _DARK)
    elif style.form[0] < 0.75:
        draw_slot(canvas, pose, 0.6, 0.13, _DARK)
        draw_slot(canvas, pose, 0.13, 0.6, _DARK)
    else:
        fill(canvas, pose.transform(rectangle(0.34, 0.34)), _DARK, 0.85)


def _paint_bolt_head(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    paint_metallic(canvas, pose, style, contour)
    fill(
        canvas,
        pose.transform(ellipse(0.62, 0.62)),
        lighten(style.rgb, 0.25),
        0.9,
        0.4,
        shade=directional_shade(style, 0.35),
    )


def _paint_nut(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    ring_painter(0.46)(canvas, pose, style, contour)


def _long_screw_contour(style: ComponentStyle) -> Points:
    wide = 0.09 + 0.06 * style.form[1]
    half = [(0.0, -0.5), (0.17, -0.5), (0.17, -0.44), (wide, -0.34), (wide, 0.38), (0.02, 0.5)]
    return np.array([*half, *[(-x, y) for x, y in half[:0:-1]]])


def _paint_shank(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, style.rgb, shade=cylinder_shade(pose, 0.55))
    wide = 0.2 + 0.12 * style.form[1]
    if pose.size > 16:
        for y in np.linspace(-0.24, 0.36, int(min(pose.size / 3, 16))):
            ends = np.array([pose.transform_point(-wide / 2, y), pose.transform_point(wide / 2, y - 0.03)])
            stroke(canvas, ends, darken(style.rgb, 0.35), 0.8, 0.7)


def _nail_contour(style: ComponentStyle) -> Points:
    half = [(0.0, -0.5), (0.09, -0.5), (0.09, -0.46), (0.03, -0.44), (0.03, 0.44), (0.0, 0.5)]
    return np.array([*half, *[(-x, y) for x, y in half[-2:0:-1]]])


def _paint_bar(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, style.rgb, shade=cylinder_shade(pose, 0.55))


def _paint_washer(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    ring_painter(0.42 + 0.15 * style.form[0])(canvas, pose, style, contour)


def _gear_contour(style: ComponentStyle) -> Points:
    return gear(9 + int(style.form[0] * 5))


def _paint_bearing(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    ring_painter(0.36)(canvas, pose, style, contour)
    groove = [pose.transform(ellipse(0.76, 0.76)), pose.transform(ellipse(0.56, 0.56))]
    fill(canvas, groove, _DARK, 0.7)
    for angle in np.arange(8) * np.pi / 4:
        ball = pose.transform(ellipse(0.13, 0.13, 0.33 * np.cos(angle), 0.33 * np.sin(angle)))
        fill(canvas, ball, lighten(style.rgb, 0.5))


def _spring_contour(style: ComponentStyle) -> Points:
    return rectangle(0.34, 1.0, 0.03)


def _paint_spring(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, scale_points(contour, 0.9), _DARK, 0.45)
    turns = 6 + int(style.form[0] * 4)
    for number in range(turns):
        y = -0.46 + 0.92 * number / (turns - 1)
        ends = np.array([pose.transform_point(-0.145, y + 0.02), pose.transform_point(0.145, y - 0.02)])
        stroke(canvas, ends, style.rgb, max(0.05 * pose.size, 1.0))


def _hook_contour(style: ComponentStyle) -> Points:
    turn = np.linspace(-0.1, np.pi * 1.05, 18)
    bend = np.stack([0.2 * np.cos(turn), 0.25 + 0.2 * np.sin(turn)], axis=1)
    stem = np.array([(0.2, -0.45), (0.2, -0.2), (0.2, 0.1)])
    return normalize_points(ribbon(np.concatenate([stem, bend]), 0.13))


def _key_contour(style: ComponentStyle) -> Points:
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


def _paint_key(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(
        canvas,
        [contour, pose.transform(ellipse(0.17, 0.17, 0, -0.34))],
        style.rgb,
        shade=directional_shade(style, 0.35),
    )


def _bracket_contour(style: ComponentStyle) -> Points:
    arm = 0.24 + 0.1 * style.form[0]
    return np.array(
        [(-0.5, -0.5), (-0.5 + arm, -0.5), (-0.5 + arm, 0.5 - arm), (0.5, 0.5 - arm), (0.5, 0.5), (-0.5, 0.5)]
    )


def _paint_bracket(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    paint_metallic(canvas, pose, style, contour)
    for x, y in ((-0.36, -0.3), (0.3, 0.36)):
        fill(canvas, pose.transform(ellipse(0.13, 0.13, x, y)), _DARK, 0.9)


def _paint_coin(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    paint_metallic(canvas, pose, style, contour)
    stroke(canvas, scale_points(contour, 0.78), darken(style.rgb, 0.6), 0.7, 0.8, closed=True)
    fill(canvas, pose.transform(rectangle(0.16, 0.4)), darken(style.rgb, 0.65), 0.8)


def _paint_hinge(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    paint_metallic(canvas, pose, style, contour)
    fill(canvas, pose.transform(rectangle(0.12, 0.85)), style.rgb, shade=cylinder_shade(pose, 0.6))
    for x in (-0.3, 0.3):
        for y in (-0.3, 0.3):
            fill(canvas, pose.transform(ellipse(0.1, 0.1, x, y)), _DARK, 0.85)


def _wrench_contour(style: ComponentStyle) -> Points:
    half = [(0.05, -0.5), (0.17, -0.42), (0.17, -0.3), (0.06, -0.2), (0.05, 0.26), (0.13, 0.36), (0.1, 0.5)]
    mouth, foot = [(0.05, -0.36), (-0.05, -0.36)], [(0.04, 0.4), (-0.04, 0.4)]
    return np.array([*half, *foot, *[(-x, y) for x, y in half[::-1]], *mouth[::-1]])


def _paint_hole(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, _DARK, 0.96)
    x, y = style.light_direction[0] * 0.12 * pose.size, style.light_direction[1] * 0.12 * pose.size
    fill(canvas, scale_points(contour, 0.7, -x, -y), (0.2, 0.19, 0.18), 0.5, 0.6)


def _paperclip_contour(style: ComponentStyle) -> Points:
    return rectangle(0.3, 1.0, 0.15)


def _paint_paperclip(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    width = max(0.045 * pose.size, 0.9)
    trim = 1 - width / (0.3 * pose.size)
    stroke(
        canvas, pose.transform(rectangle(0.3 * trim, 1 - 0.3 * (1 - trim), 0.13 * trim)), style.rgb, width, closed=True
    )
    stroke(canvas, pose.transform(rectangle(0.14, 0.66, 0.07, 0, 0.06)), darken(style.rgb, 0.8), width, closed=True)


def _metal_kind(
    names: tuple[str, ...],
    contour: Callable[[ComponentStyle], Points],
    paint: Painter,
    min_size: float,
    *,
    is_elongated: bool = False,
) -> ComponentKind:
    return ComponentKind(names, contour, paint, METAL_COLOURS, min_size, material="metal", is_elongated=is_elongated)


METAL_KINDS = (
    _metal_kind(("screw", "screw head"), constant_contour(ellipse(1, 1)), _paint_screw_head, 9),
    _metal_kind(("bolt", "hex bolt", "bolt head"), constant_contour(polygon(6)), _paint_bolt_head, 12),
    _metal_kind(("nut", "hex nut"), constant_contour(polygon(6)), _paint_nut, 11),
    _metal_kind(("washer", "flat washer"), constant_contour(ellipse(1, 1)), _paint_washer, 9),
    _metal_kind(("gear", "cog", "gear wheel", "cogwheel"), _gear_contour, ring_painter(0.28), 12),
    _metal_kind(("long screw", "wood screw"), _long_screw_contour, _paint_shank, 20, is_elongated=True),
    _metal_kind(("nail",), _nail_contour, _paint_bar, 18, is_elongated=True),
    _metal_kind(("bearing", "ball bearing"), constant_contour(ellipse(1, 1)), _paint_bearing, 20),
    _metal_kind(("spring", "coil spring"), _spring_contour, _paint_spring, 18, is_elongated=True),
    _metal_kind(("hook",), _hook_contour, _paint_bar, 14),
    _metal_kind(("key",), _key_contour, _paint_key, 18, is_elongated=True),
    _metal_kind(("bracket", "corner bracket"), _bracket_contour, _paint_bracket, 14),
    _metal_kind(("coin",), constant_contour(ellipse(1, 1)), _paint_coin, 12),
    _metal_kind(("hinge",), constant_contour(rectangle(1, 0.85, 0.05)), _paint_hinge, 16),
    _metal_kind(("wrench", "spanner"), _wrench_contour, paint_metallic, 20, is_elongated=True),
    _metal_kind(("rivet", "stud"), constant_contour(ellipse(1, 1)), _paint_bolt_head, 7),
    _metal_kind(("paper clip", "paperclip"), _paperclip_contour, _paint_paperclip, 16, is_elongated=True),
    ComponentKind(("hole", "drill hole", "bore"), constant_contour(ellipse(1, 1)), _paint_hole, (), 4),
)
