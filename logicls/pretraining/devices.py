"""Kinds of electronics, medicine, kitchen and office supplies."""

from __future__ import annotations

import numpy as np

from logicls.pretraining.component_kinds import (
    ComponentKind,
    ComponentStyle,
    cylinder_shade,
    darken,
    directional_shade,
    draw_contour,
    draw_highlight,
    draw_slot,
    lighten,
    paint_flat,
    paint_glossy,
    paint_sphere,
)
from logicls.pretraining.drawing import (
    Canvas,
    Points,
    Pose,
    ellipse,
    fill,
    normalize_points,
    rectangle,
    scale_points,
    stroke,
)
from logicls.pretraining.hardware import constant_contour

_DARK = (0.08, 0.08, 0.09)
_STEEL = (0.75, 0.76, 0.78)
DIE_VALUES = ("one", "two", "three", "four", "five", "six")
_PIPS: dict[str, tuple[tuple[float, float], ...]] = {
    "one": ((0, 0),),
    "two": ((-1, -1), (1, 1)),
    "three": ((-1, -1), (0, 0), (1, 1)),
    "four": ((-1, -1), (1, 1), (-1, 1), (1, -1)),
    "five": ((-1, -1), (1, 1), (-1, 1), (1, -1), (0, 0)),
    "six": ((-1, -1), (1, 1), (-1, 1), (1, -1), (-1, 0), (1, 0)),
}


def contrasting_ink(rgb: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return black or white, whichever is legible on that colour."""
    return (0.95, 0.95, 0.93) if sum(rgb) < 1.55 else (0.07, 0.07, 0.08)


def _paint_die(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, darken(style.rgb, 0.75), shade=directional_shade(style, 0.3))
    fill(canvas, scale_points(contour, 0.86), style.rgb, 1.0, 0.3)
    for x, y in _PIPS[style.value]:
        fill(canvas, pose.transform(ellipse(0.19, 0.19, 0.26 * x, 0.26 * y)), contrasting_ink(style.rgb))


def _paint_chip(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    for x in np.linspace(-0.4, 0.4, 5):
        draw_slot(canvas, pose, 0.07, 0.6, _STEEL, x=float(x), opacity=1.0)
    body = pose.transform(rectangle(1.0, 0.44))
    fill(canvas, body, (0.13, 0.13, 0.14), shade=directional_shade(style, 0.3))
    fill(canvas, pose.transform(ellipse(0.09, 0.09, -0.4, 0.1)), (0.3, 0.3, 0.31))
    draw_slot(canvas, pose, 0.5, 0.05, (0.6, 0.6, 0.6), y=-0.05, opacity=0.5)


def _paint_resistor(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    draw_slot(canvas, pose, 0.05, 1.0, _STEEL, opacity=1.0)
    fill(canvas, pose.transform(rectangle(0.24, 0.56, 0.1)), (0.83, 0.7, 0.5), shade=cylinder_shade(pose, 0.4))
    for y, rgb in ((-0.17, style.rgb), (-0.05, style.second), (0.07, style.rgb)):
        draw_slot(canvas, pose, 0.24, 0.05, rgb, y=y)


def _paint_capacitor(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, darken(style.rgb, 0.7), shade=directional_shade(style, 0.3))
    fill(canvas, scale_points(contour, 0.82), _STEEL, shade=directional_shade(style, 0.3))
    stroke(canvas, pose.transform(np.array([(-0.28, 0), (0.28, 0)])), darken(_STEEL, 0.6), 0.6)
    stroke(canvas, pose.transform(np.array([(0, -0.28), (0, 0.28)])), darken(_STEEL, 0.6), 0.6)


def _paint_lamp(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, (0.12, 0.12, 0.13), shade=directional_shade(style, 0.3))
    inside = scale_points(contour, 0.74)
    if style.value == "on":
        fill(canvas, scale_points(contour, 1.25), style.rgb, 0.45, 0.12 * pose.size)
        fill(canvas, inside, style.rgb)
        fill(canvas, scale_points(contour, 0.42), lighten(style.rgb, 0.85), 1.0, 0.08 * pose.size)
    else:
        fill(canvas, inside, darken(style.rgb, 0.5))
        draw_highlight(canvas, pose, style, contour, 0.15, size=0.1, strength=0.4)


def _paint_switch(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, (0.9, 0.9, 0.88), shade=directional_shade(style, 0.15))
    fill(canvas, pose.transform(rectangle(0.34, 0.7, 0.05)), (0.15, 0.15, 0.16))
    y = -0.17 if style.value == "up" else 0.17
    fill(canvas, pose.transform(rectangle(0.3, 0.32, 0.05, 0, y)), style.rgb, shade=directional_shade(style, 0.25))


def _paint_button(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    paint_glossy(canvas, pose, style, contour)
    for x, y in ((-0.12, -0.12), (0.12, 0.12), (-0.12, 0.12), (0.12, -0.12)):
        fill(canvas, pose.transform(ellipse(0.11, 0.11, x, y)), darken(style.rgb, 0.25))


def _paint_socket(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, style.rgb, shade=directional_shade(style, 0.2))
    count = int(2 + style.form[1] * 3.9)
    for number in range(count):
        x = (number - (count - 1) / 2) * 0.8 / count
        draw_slot(canvas, pose, 0.5 / count, 0.24, _DARK, x=x)


def _plug_contour(style: ComponentStyle) -> Points:
    half = [(0.0, -0.5), (0.2, -0.5), (0.2, -0.1), (0.28, -0.1), (0.28, 0.25), (0.08, 0.34), (0.08, 0.5), (0, 0.5)]
    return np.array([*half, *[(-x, y) for x, y in half[-2:0:-1]]])


def _paint_plug(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, style.rgb, shade=cylinder_shade(pose, 0.35))
    draw_slot(canvas, pose, 0.4, 0.38, _STEEL, y=-0.31, opacity=1.0)
    for x in (-0.08, 0.08):
        draw_slot(canvas, pose, 0.08, 0.14, _DARK, x=x, y=-0.38)


def _paint_battery(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, style.rgb, shade=cylinder_shade(pose, 0.5))
    fill(
        canvas,
        pose.transform(rectangle(0.36, 0.24, 0.02, 0, -0.33)),
        (0.8, 0.62, 0.25),
        shade=cylinder_shade(pose, 0.5),
    )
    draw_slot(canvas, pose, 0.13, 0.05, _STEEL, y=-0.475, opacity=1.0)


def _battery_contour(style: ComponentStyle) -> Points:
    half = [(0.065, -0.5), (0.065, -0.45), (0.18, -0.45), (0.18, 0.5)]
    return np.array([*half, *[(-x, y) for x, y in half[::-1]]])


def _paint_fuse(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, (0.85, 0.9, 0.92), 0.55, shade=cylinder_shade(pose, 0.4))
    for y in (-0.38, 0.38):
        fill(canvas, pose.transform(rectangle(0.26, 0.24, 0, 0, y)), style.rgb, shade=cylinder_shade(pose, 0.6))
    draw_slot(canvas, pose, 0.03, 0.56, _DARK)
    draw_contour(canvas, contour, _DARK, 0.5, 0.5)


def _paint_tablet(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, darken(style.rgb, 0.78), shade=directional_shade(style, 0.2))
    fill(canvas, scale_points(contour, 0.82), style.rgb, 1.0, 0.5)
    draw_slot(canvas, pose, 0.66, 0.07, darken(style.rgb, 0.5), opacity=0.8)


def _paint_capsule(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, style.rgb, shade=cylinder_shade(pose, 0.45))
    shape = rectangle(0.38, 1.0, 0.19)
    fill(canvas, pose.transform(shape[shape[:, 1] > 0]), lighten(style.rgb, 0.35), shade=cylinder_shade(pose, 0.45))
    stroke(canvas, pose.transform(np.array([(-0.19, 0), (0.19, 0)])), darken(style.rgb, 0.6), 0.5, 0.7)
    fill(canvas, pose.transform(rectangle(0.06, 0.7, 0.03, -0.08, 0)), (1, 1, 1), 0.5, 0.4)


def _syringe_contour(style: ComponentStyle) -> Points:
    half = [
        (0, -0.5),
        (0.012, -0.5),
        (0.02, -0.3),
        (0.09, -0.27),
        (0.09, 0.22),
        (0.16, 0.22),
        (0.16, 0.26),
        (0.04, 0.26),
        (0.04, 0.46),
        (0.12, 0.46),
        (0.12, 0.5),
        (0, 0.5),
    ]
    return np.array([*half, *[(-x, y) for x, y in half[-2:0:-1]]])


def _paint_syringe(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, (0.88, 0.91, 0.93), 0.8, shade=cylinder_shade(pose, 0.35))
    fill(canvas, pose.transform(rectangle(0.15, 0.3, 0.01, 0, -0.1)), style.rgb, 0.85, shade=cylinder_shade(pose, 0.35))
    draw_slot(canvas, pose, 0.16, 0.05, _DARK, y=0.07)
    draw_contour(canvas, contour, (0.3, 0.33, 0.35), 0.5, 0.5)


def _paint_cap(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, darken(style.rgb, 0.6), shade=directional_shade(style, 0.2))
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    for angle in turn if pose.size > 18 else ():
        ends = 0.42 * np.array([(np.cos(angle), np.sin(angle)), (1.1 * np.cos(angle), 1.1 * np.sin(angle))])
        stroke(canvas, pose.transform(ends), lighten(style.rgb, 0.2), 0.6)
    fill(canvas, scale_points(contour, 0.74), style.rgb, shade=directional_shade(style, 0.3))
    draw_contour(canvas, scale_points(contour, 0.56), darken(style.rgb, 0.75), 0.6, 0.7)


def _spoon_contour(style: ComponentStyle) -> Points:
    bowl = ellipse(0.26, 0.36, 0, -0.32)
    handle = np.array(
        [(0.025, -0.14), (0.025, 0.2), (0.05, 0.48), (0, 0.5), (-0.05, 0.48), (-0.025, 0.2), (-0.025, -0.14)]
    )
    return np.concatenate([np.roll(bowl, -11, axis=0)[:38], handle])


def _paint_spoon(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, style.rgb, shade=directional_shade(style, 0.3))
    bowl = pose.transform(ellipse(0.2, 0.28, 0, -0.32))
    fill(canvas, bowl, darken(style.rgb, 0.65), 1.0, 0.02 * pose.size, shade=directional_shade(style, -0.4))


def _fork_contour(style: ComponentStyle) -> Points:
    half = [(0.13, -0.5), (0.16, -0.5), (0.16, -0.2), (0.03, -0.06), (0.03, 0.2), (0.05, 0.5)]
    tines = [(0.07, -0.26), (0.07, -0.5), (0.04, -0.5), (0.04, -0.26)]
    left = [(-x, y) for x, y in half[::-1]]
    return np.array(
        [*half, *left, (-0.13, -0.26), *[(-x + 0.0, y) for x, y in tines[::-1]][::-1], *tines[::-1], (0.13, -0.26)]
    )


def _paint_pushpin(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, _STEEL)
    for part, tone in (
        (rectangle(0.3, 0.4, 0.05, 0, -0.1), 0.85),
        (rectangle(0.52, 0.14, 0.06, 0, 0.1), 1.0),
        (rectangle(0.46, 0.16, 0.06, 0, -0.42), 1.05),
    ):
        fill(canvas, pose.transform(part), darken(style.rgb, tone), shade=cylinder_shade(pose, 0.5))


def _pushpin_contour(style: ComponentStyle) -> Points:
    half = [
        (0.23, -0.5),
        (0.23, -0.34),
        (0.15, -0.32),
        (0.15, 0.03),
        (0.26, 0.05),
        (0.26, 0.17),
        (0.03, 0.18),
        (0, 0.5),
    ]
    return np.array([*half, *[(-x, y) for x, y in half[-2::-1]]])


def _pencil_contour(style: ComponentStyle) -> Points:
    half = [(0, -0.5), (0.06, -0.36), (0.06, 0.5)]
    return np.array([*half, *[(-x, y) for x, y in half[:0:-1]]])


def _paint_pencil(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, (0.86, 0.68, 0.45), shade=cylinder_shade(pose, 0.3))
    fill(canvas, pose.transform(rectangle(0.12, 0.8, 0, 0, 0.06)), style.rgb, shade=cylinder_shade(pose, 0.45))
    draw_slot(canvas, pose, 0.12, 0.06, (0.85, 0.5, 0.5), y=0.47, opacity=1.0)


def _paint_peg(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, style.rgb, shade=cylinder_shade(pose, 0.3))
    draw_slot(canvas, pose, 0.05, 0.96, darken(style.rgb, 0.45), y=0.0)
    fill(canvas, pose.transform(rectangle(0.24, 0.07, 0.02, 0, -0.05)), _STEEL)


def _bulb_contour(style: ComponentStyle) -> Points:
    top = normalize_points(ellipse(1, 1)) * 0.62 + (0, -0.19)
    foot = np.array([(0.14, 0.08), (0.14, 0.42), (0.06, 0.5), (-0.06, 0.5), (-0.14, 0.42), (-0.14, 0.08)])
    return np.concatenate([np.roll(top, -12, axis=0)[:37], foot])


def _paint_bulb(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    fill(canvas, contour, (0.97, 0.95, 0.85), shade=directional_shade(style, 0.15))
    fill(canvas, pose.transform(rectangle(0.28, 0.34, 0.04, 0, 0.3)), _STEEL, shade=cylinder_shade(pose, 0.6))
    for y in (0.2, 0.28, 0.36):
        draw_slot(canvas, pose, 0.28, 0.025, (0.35, 0.35, 0.36), y=y)
    draw_highlight(canvas, pose, style, contour, 0.25, size=0.12)


ROUND_CONTOUR = constant_contour(ellipse(1, 1))
DEVICE_KINDS = (
    ComponentKind(
        ("die", "dice cube"),
        constant_contour(rectangle(1, 1, 0.16)),
        _paint_die,
        min_size=15,
        attribute="number",
        values=DIE_VALUES,
    ),
    ComponentKind(
        ("chip", "microchip", "integrated circuit"), constant_contour(rectangle(1, 0.6)), _paint_chip, (), 16
    ),
    ComponentKind(("resistor",), constant_contour(rectangle(0.24, 1.0)), _paint_resistor, (), 20, is_elongated=True),
    ComponentKind(("capacitor",), ROUND_CONTOUR, _paint_capacitor, ("blue", "green", "black", "brown", "purple"), 14),
    ComponentKind(
        ("lamp", "light", "indicator lamp"),
        ROUND_CONTOUR,
        _paint_lamp,
        ("red", "green", "yellow", "blue"),
        10,
        "any",
        "state",
        ("on", "off"),
    ),
    ComponentKind(
        ("switch", "toggle switch"),
        constant_contour(rectangle(0.55, 1.0, 0.06)),
        _paint_switch,
        ("red", "green", "blue", "orange"),
        18,
        "none",
        "position",
        ("up", "down"),
    ),
    ComponentKind(("button", "shirt button"), ROUND_CONTOUR, _paint_button, min_size=12),
    ComponentKind(
        ("socket", "connector", "terminal strip"),
        constant_contour(rectangle(1, 0.45, 0.04)),
        _paint_socket,
        min_size=16,
    ),
    ComponentKind(("plug",), _plug_contour, _paint_plug, min_size=16, is_elongated=True),
    ComponentKind(("battery",), _battery_contour, _paint_battery, min_size=18, is_elongated=True),
    ComponentKind(
        ("fuse",), constant_contour(rectangle(0.26, 1.0, 0.02)), _paint_fuse, ("silver", "gold"), 18, is_elongated=True
    ),
    ComponentKind(
        ("tablet", "pill"),
        ROUND_CONTOUR,
        _paint_tablet,
        ("white", "yellow", "pink", "red", "blue", "green", "orange"),
        9,
    ),
    ComponentKind(
        ("capsule",), constant_contour(rectangle(0.38, 1.0, 0.19)), _paint_capsule, min_size=12, is_elongated=True
    ),
    ComponentKind(("syringe",), _syringe_contour, _paint_syringe, min_size=28, is_elongated=True),
    ComponentKind(("cap", "lid", "bottle cap"), ROUND_CONTOUR, _paint_cap, min_size=14),
    ComponentKind(
        ("spoon",), _spoon_contour, _paint_spoon, ("silver", "white", "red", "blue", "green"), 18, is_elongated=True
    ),
    ComponentKind(
        ("fork",), _fork_contour, paint_flat, ("silver", "white", "red", "blue", "green"), 20, is_elongated=True
    ),
    ComponentKind(("pushpin", "drawing pin", "thumbtack"), _pushpin_contour, _paint_pushpin, min_size=14),
    ComponentKind(("pencil", "crayon"), _pencil_contour, _paint_pencil, min_size=22, is_elongated=True),
    ComponentKind(
        ("clothes peg", "peg"), constant_contour(rectangle(0.24, 1.0, 0.04)), _paint_peg, min_size=16, is_elongated=True
    ),
    ComponentKind(("bulb", "light bulb"), _bulb_contour, _paint_bulb, (), 16, is_elongated=True),
    ComponentKind(
        ("eraser", "rubber"),
        constant_contour(rectangle(1, 0.5, 0.1)),
        paint_glossy,
        ("pink", "white", "blue", "green"),
        12,
    ),
    ComponentKind(("pea",), ROUND_CONTOUR, paint_sphere, ("green",), 5),
    ComponentKind(("berry",), ROUND_CONTOUR, paint_sphere, ("red", "blue", "purple"), 5),
)
