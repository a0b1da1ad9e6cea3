"""Kinds of electronics, medicine, kitchen and desk."""

from __future__ import annotations

import numpy as np

from logicls.pretraining.component_kinds import (
    Kind,
    Look,
    ball,
    darker,
    flat,
    glint,
    glossy,
    lit,
    paler,
    rolled,
    seam,
    slot,
)
from logicls.pretraining.drawing import Canvas, Points, Pose, about, block, ellipse, fill, fitted, stroke
from logicls.pretraining.hardware import fixed

_DARK = (0.08, 0.08, 0.09)
_STEEL = (0.75, 0.76, 0.78)
NUMBERS = ("one", "two", "three", "four", "five", "six")
_PIPS: dict[str, tuple[tuple[float, float], ...]] = {
    "one": ((0, 0),),
    "two": ((-1, -1), (1, 1)),
    "three": ((-1, -1), (0, 0), (1, 1)),
    "four": ((-1, -1), (1, 1), (-1, 1), (1, -1)),
    "five": ((-1, -1), (1, 1), (-1, 1), (1, -1), (0, 0)),
    "six": ((-1, -1), (1, 1), (-1, 1), (1, -1), (-1, 0), (1, 0)),
}


def ink_on(rgb: tuple[float, float, float]) -> tuple[float, float, float]:
    """Black or white, whichever can be read on that colour."""
    return (0.95, 0.95, 0.93) if sum(rgb) < 1.55 else (0.07, 0.07, 0.08)


def _die(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, darker(look.rgb, 0.75), shade=lit(look, 0.3))
    fill(canvas, about(outline, 0.86), look.rgb, 1.0, 0.3)
    for x, y in _PIPS[look.value]:
        fill(canvas, pose.put(ellipse(0.19, 0.19, 0.26 * x, 0.26 * y)), ink_on(look.rgb))


def _chip(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    for x in np.linspace(-0.4, 0.4, 5):
        slot(canvas, pose, 0.07, 0.6, _STEEL, x=float(x), opacity=1.0)
    body = pose.put(block(1.0, 0.44))
    fill(canvas, body, (0.13, 0.13, 0.14), shade=lit(look, 0.3))
    fill(canvas, pose.put(ellipse(0.09, 0.09, -0.4, 0.1)), (0.3, 0.3, 0.31))
    slot(canvas, pose, 0.5, 0.05, (0.6, 0.6, 0.6), y=-0.05, opacity=0.5)


def _resistor(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    slot(canvas, pose, 0.05, 1.0, _STEEL, opacity=1.0)
    fill(canvas, pose.put(block(0.24, 0.56, 0.1)), (0.83, 0.7, 0.5), shade=rolled(pose, 0.4))
    for y, rgb in ((-0.17, look.rgb), (-0.05, look.second), (0.07, look.rgb)):
        slot(canvas, pose, 0.24, 0.05, rgb, y=y)


def _capacitor(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, darker(look.rgb, 0.7), shade=lit(look, 0.3))
    fill(canvas, about(outline, 0.82), _STEEL, shade=lit(look, 0.3))
    stroke(canvas, pose.put(np.array([(-0.28, 0), (0.28, 0)])), darker(_STEEL, 0.6), 0.6)
    stroke(canvas, pose.put(np.array([(0, -0.28), (0, 0.28)])), darker(_STEEL, 0.6), 0.6)


def _lamp(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, (0.12, 0.12, 0.13), shade=lit(look, 0.3))
    inside = about(outline, 0.74)
    if look.value == "on":
        fill(canvas, about(outline, 1.25), look.rgb, 0.45, 0.12 * pose.size)
        fill(canvas, inside, look.rgb)
        fill(canvas, about(outline, 0.42), paler(look.rgb, 0.85), 1.0, 0.08 * pose.size)
    else:
        fill(canvas, inside, darker(look.rgb, 0.5))
        glint(canvas, pose, look, outline, 0.15, size=0.1, strength=0.4)


def _switch(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, (0.9, 0.9, 0.88), shade=lit(look, 0.15))
    fill(canvas, pose.put(block(0.34, 0.7, 0.05)), (0.15, 0.15, 0.16))
    y = -0.17 if look.value == "up" else 0.17
    fill(canvas, pose.put(block(0.3, 0.32, 0.05, 0, y)), look.rgb, shade=lit(look, 0.25))


def _button(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    glossy(canvas, pose, look, outline)
    for x, y in ((-0.12, -0.12), (0.12, 0.12), (-0.12, 0.12), (0.12, -0.12)):
        fill(canvas, pose.put(ellipse(0.11, 0.11, x, y)), darker(look.rgb, 0.25))


def _socket(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, look.rgb, shade=lit(look, 0.2))
    count = int(2 + look.form[1] * 3.9)
    for number in range(count):
        x = (number - (count - 1) / 2) * 0.8 / count
        slot(canvas, pose, 0.5 / count, 0.24, _DARK, x=x)


def _plug(look: Look) -> Points:
    half = [(0.0, -0.5), (0.2, -0.5), (0.2, -0.1), (0.28, -0.1), (0.28, 0.25), (0.08, 0.34), (0.08, 0.5), (0, 0.5)]
    return np.array([*half, *[(-x, y) for x, y in half[-2:0:-1]]])


def _plugged(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, look.rgb, shade=rolled(pose, 0.35))
    slot(canvas, pose, 0.4, 0.38, _STEEL, y=-0.31, opacity=1.0)
    for x in (-0.08, 0.08):
        slot(canvas, pose, 0.08, 0.14, _DARK, x=x, y=-0.38)


def _battery(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, look.rgb, shade=rolled(pose, 0.5))
    fill(canvas, pose.put(block(0.36, 0.24, 0.02, 0, -0.33)), (0.8, 0.62, 0.25), shade=rolled(pose, 0.5))
    slot(canvas, pose, 0.13, 0.05, _STEEL, y=-0.475, opacity=1.0)


def _battery_edge(look: Look) -> Points:
    half = [(0.065, -0.5), (0.065, -0.45), (0.18, -0.45), (0.18, 0.5)]
    return np.array([*half, *[(-x, y) for x, y in half[::-1]]])


def _fuse(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, (0.85, 0.9, 0.92), 0.55, shade=rolled(pose, 0.4))
    for y in (-0.38, 0.38):
        fill(canvas, pose.put(block(0.26, 0.24, 0, 0, y)), look.rgb, shade=rolled(pose, 0.6))
    slot(canvas, pose, 0.03, 0.56, _DARK)
    seam(canvas, outline, _DARK, 0.5, 0.5)


def _tablet(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, darker(look.rgb, 0.78), shade=lit(look, 0.2))
    fill(canvas, about(outline, 0.82), look.rgb, 1.0, 0.5)
    slot(canvas, pose, 0.66, 0.07, darker(look.rgb, 0.5), opacity=0.8)


def _capsule(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, look.rgb, shade=rolled(pose, 0.45))
    whole = block(0.38, 1.0, 0.19)
    fill(canvas, pose.put(whole[whole[:, 1] > 0]), paler(look.rgb, 0.35), shade=rolled(pose, 0.45))
    stroke(canvas, pose.put(np.array([(-0.19, 0), (0.19, 0)])), darker(look.rgb, 0.6), 0.5, 0.7)
    fill(canvas, pose.put(block(0.06, 0.7, 0.03, -0.08, 0)), (1, 1, 1), 0.5, 0.4)


def _syringe_edge(look: Look) -> Points:
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


def _syringe(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, (0.88, 0.91, 0.93), 0.8, shade=rolled(pose, 0.35))
    fill(canvas, pose.put(block(0.15, 0.3, 0.01, 0, -0.1)), look.rgb, 0.85, shade=rolled(pose, 0.35))
    slot(canvas, pose, 0.16, 0.05, _DARK, y=0.07)
    seam(canvas, outline, (0.3, 0.33, 0.35), 0.5, 0.5)


def _cap(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, darker(look.rgb, 0.6), shade=lit(look, 0.2))
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    for angle in turn if pose.size > 18 else ():
        ends = 0.42 * np.array([(np.cos(angle), np.sin(angle)), (1.1 * np.cos(angle), 1.1 * np.sin(angle))])
        stroke(canvas, pose.put(ends), paler(look.rgb, 0.2), 0.6)
    fill(canvas, about(outline, 0.74), look.rgb, shade=lit(look, 0.3))
    seam(canvas, about(outline, 0.56), darker(look.rgb, 0.75), 0.6, 0.7)


def _spoon_edge(look: Look) -> Points:
    bowl = ellipse(0.26, 0.36, 0, -0.32)
    handle = np.array(
        [(0.025, -0.14), (0.025, 0.2), (0.05, 0.48), (0, 0.5), (-0.05, 0.48), (-0.025, 0.2), (-0.025, -0.14)]
    )
    return np.concatenate([np.roll(bowl, -11, axis=0)[:38], handle])


def _spoon(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, look.rgb, shade=lit(look, 0.3))
    bowl = pose.put(ellipse(0.2, 0.28, 0, -0.32))
    fill(canvas, bowl, darker(look.rgb, 0.65), 1.0, 0.02 * pose.size, shade=lit(look, -0.4))


def _fork(look: Look) -> Points:
    half = [(0.13, -0.5), (0.16, -0.5), (0.16, -0.2), (0.03, -0.06), (0.03, 0.2), (0.05, 0.5)]
    tines = [(0.07, -0.26), (0.07, -0.5), (0.04, -0.5), (0.04, -0.26)]
    left = [(-x, y) for x, y in half[::-1]]
    return np.array(
        [*half, *left, (-0.13, -0.26), *[(-x + 0.0, y) for x, y in tines[::-1]][::-1], *tines[::-1], (0.13, -0.26)]
    )


def _pushpin(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, _STEEL)
    for part, tone in (
        (block(0.3, 0.4, 0.05, 0, -0.1), 0.85),
        (block(0.52, 0.14, 0.06, 0, 0.1), 1.0),
        (block(0.46, 0.16, 0.06, 0, -0.42), 1.05),
    ):
        fill(canvas, pose.put(part), darker(look.rgb, tone), shade=rolled(pose, 0.5))


def _pushpin_edge(look: Look) -> Points:
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


def _pencil_edge(look: Look) -> Points:
    half = [(0, -0.5), (0.06, -0.36), (0.06, 0.5)]
    return np.array([*half, *[(-x, y) for x, y in half[:0:-1]]])


def _pencil(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, (0.86, 0.68, 0.45), shade=rolled(pose, 0.3))
    fill(canvas, pose.put(block(0.12, 0.8, 0, 0, 0.06)), look.rgb, shade=rolled(pose, 0.45))
    slot(canvas, pose, 0.12, 0.06, (0.85, 0.5, 0.5), y=0.47, opacity=1.0)


def _peg(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, look.rgb, shade=rolled(pose, 0.3))
    slot(canvas, pose, 0.05, 0.96, darker(look.rgb, 0.45), y=0.0)
    fill(canvas, pose.put(block(0.24, 0.07, 0.02, 0, -0.05)), _STEEL)


def _bulb_edge(look: Look) -> Points:
    top = fitted(ellipse(1, 1)) * 0.62 + (0, -0.19)
    foot = np.array([(0.14, 0.08), (0.14, 0.42), (0.06, 0.5), (-0.06, 0.5), (-0.14, 0.42), (-0.14, 0.08)])
    return np.concatenate([np.roll(top, -12, axis=0)[:37], foot])


def _bulb(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    fill(canvas, outline, (0.97, 0.95, 0.85), shade=lit(look, 0.15))
    fill(canvas, pose.put(block(0.28, 0.34, 0.04, 0, 0.3)), _STEEL, shade=rolled(pose, 0.6))
    for y in (0.2, 0.28, 0.36):
        slot(canvas, pose, 0.28, 0.025, (0.35, 0.35, 0.36), y=y)
    glint(canvas, pose, look, outline, 0.25, size=0.12)


ROUND = fixed(ellipse(1, 1))
KINDS = (
    Kind(("die", "dice cube"), fixed(block(1, 1, 0.16)), _die, smallest=15, attribute="number", values=NUMBERS),
    Kind(("chip", "microchip", "integrated circuit"), fixed(block(1, 0.6)), _chip, (), 16),
    Kind(("resistor",), fixed(block(0.24, 1.0)), _resistor, (), 20, long=True),
    Kind(("capacitor",), ROUND, _capacitor, ("blue", "green", "black", "brown", "purple"), 14),
    Kind(
        ("lamp", "light", "indicator lamp"),
        ROUND,
        _lamp,
        ("red", "green", "yellow", "blue"),
        10,
        "any",
        "state",
        ("on", "off"),
    ),
    Kind(
        ("switch", "toggle switch"),
        fixed(block(0.55, 1.0, 0.06)),
        _switch,
        ("red", "green", "blue", "orange"),
        18,
        "none",
        "position",
        ("up", "down"),
    ),
    Kind(("button", "shirt button"), ROUND, _button, smallest=12),
    Kind(("socket", "connector", "terminal strip"), fixed(block(1, 0.45, 0.04)), _socket, smallest=16),
    Kind(("plug",), _plug, _plugged, smallest=16, long=True),
    Kind(("battery",), _battery_edge, _battery, smallest=18, long=True),
    Kind(("fuse",), fixed(block(0.26, 1.0, 0.02)), _fuse, ("silver", "gold"), 18, long=True),
    Kind(("tablet", "pill"), ROUND, _tablet, ("white", "yellow", "pink", "red", "blue", "green", "orange"), 9),
    Kind(("capsule",), fixed(block(0.38, 1.0, 0.19)), _capsule, smallest=12, long=True),
    Kind(("syringe",), _syringe_edge, _syringe, smallest=28, long=True),
    Kind(("cap", "lid", "bottle cap"), ROUND, _cap, smallest=14),
    Kind(("spoon",), _spoon_edge, _spoon, ("silver", "white", "red", "blue", "green"), 18, long=True),
    Kind(("fork",), _fork, flat, ("silver", "white", "red", "blue", "green"), 20, long=True),
    Kind(("pushpin", "drawing pin", "thumbtack"), _pushpin_edge, _pushpin, smallest=14),
    Kind(("pencil", "crayon"), _pencil_edge, _pencil, smallest=22, long=True),
    Kind(("clothes peg", "peg"), fixed(block(0.24, 1.0, 0.04)), _peg, smallest=16, long=True),
    Kind(("bulb", "light bulb"), _bulb_edge, _bulb, (), 16, long=True),
    Kind(("eraser", "rubber"), fixed(block(1, 0.5, 0.1)), glossy, ("pink", "white", "blue", "green"), 12),
    Kind(("pea",), ROUND, ball, ("green",), 5),
    Kind(("berry",), ROUND, ball, ("red", "blue", "purple"), 5),
)
