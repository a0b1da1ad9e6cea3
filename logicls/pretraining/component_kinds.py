"""What a kind of component is, and the finishes that many kinds share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from logicls.pretraining.drawing import Canvas, Points, Pose, Shade, about, block, ellipse, fill, scale_inside, stroke
from logicls.pretraining.surfaces import PAINTS, Rgb

Turn = Literal["any", "slight", "none"]


@dataclass(frozen=True, slots=True)
class Look:
    """How one component of a kind looks."""

    rgb: Rgb
    second: Rgb
    """Of its trimmings."""
    light: tuple[float, float]
    """Where the light comes from, a unit vector on the photo."""
    form: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Proportions that a group of components shares, 0 to 1."""
    value: str = ""
    """Of the kind's attribute."""
    wood: Canvas | None = None
    """(h, w) factors of wood grain, as large as the canvas."""


Paint = Callable[[Canvas, Pose, Look, Points], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """Components that bear the same name."""

    names: tuple[str, ...]
    """What people call one; the first is the usual word."""
    outline: Callable[[Look], Points]
    """Its edge, of unit size."""
    paint: Paint
    colours: tuple[str, ...] = PAINTS
    """What it may be painted in; empty where its colours are its own."""
    smallest: float = 6.0
    """Longer side at which a person can still tell what it is, pixels."""
    turn: Turn = "any"
    attribute: str = ""
    values: tuple[str, ...] = ()
    """What the attribute may be; which one is drawn is in the look."""
    family: str = ""
    """A wider word for it and its like, whose `shape` is the kind's own name."""
    long: bool = False
    """Much longer than wide, the long side upright when not turned."""
    material: str = ""
    word: str = ""
    """What answers call it where that is not the first name."""

    @property
    def value(self) -> str:
        """Its name as an answer."""
        return self.word or self.names[0].replace(" ", "_")


def lit(look: Look, amount: float = 0.16) -> Shade:
    """A slope of brightness towards the light."""
    return Shade(look.light[0], look.light[1], amount)


def rolled(pose: Pose, amount: float = 0.45, *, lying: bool = False) -> Shade:
    """The shade of a round bar that stands upright in the unit frame (`lying`: across)."""
    (x1, y1), (x2, y2) = pose.at(0, 0), pose.at(0, 1) if lying else pose.at(1, 0)
    return Shade((x2 - x1) / pose.size, (y2 - y1) / pose.size, amount, bulge=True)


def darker(rgb: Rgb, factor: float) -> Rgb:
    """The colour with its brightness times `factor`."""
    return min(rgb[0] * factor, 1.0), min(rgb[1] * factor, 1.0), min(rgb[2] * factor, 1.0)


def paler(rgb: Rgb, share: float) -> Rgb:
    """The colour mixed with that share of white."""
    return rgb[0] + (1 - rgb[0]) * share, rgb[1] + (1 - rgb[1]) * share, rgb[2] + (1 - rgb[2]) * share


def shadow(canvas: Canvas, outline: Points, look: Look, reach: float, depth: float) -> None:
    """A soft shadow thrown away from the light, `reach` pixels far."""
    x, y = -look.light[0] * reach, -look.light[1] * reach
    scale_inside(canvas, about(outline, 1.02, x, y), depth, 0.4 + 0.5 * reach)


def flat(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    """Even paint."""
    fill(canvas, outline, look.rgb, shade=lit(look, 0.1))


def glossy(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    """Moulded plastic: a bevel and a bright spot."""
    fill(canvas, outline, darker(look.rgb, 0.72), shade=lit(look, 0.3))
    if pose.size > 8:
        shift = 0.02 * pose.size
        fill(canvas, about(outline, 0.84, look.light[0] * shift, look.light[1] * shift), look.rgb, 1.0, 0.5)
        glint(canvas, pose, look, outline, 0.22)


def glint(
    canvas: Canvas, pose: Pose, look: Look, outline: Points, off: float, *, size: float = 0.16, strength: float = 0.7
) -> None:
    """A highlight, that far from the middle towards the light (share of the size)."""
    x, y = pose.x + look.light[0] * off * pose.size, pose.y + look.light[1] * off * pose.size
    spot = Pose(x, y, size * pose.size).put(ellipse(1, 0.7))
    fill(canvas, spot, (1, 1, 1), strength, 0.03 * pose.size + 0.2, inside=outline)


def metallic(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    """Polished metal: a dark edge and a strong slope of light."""
    fill(canvas, outline, darker(look.rgb, 0.5))
    wide = max(1 - 1.6 / pose.size, 0.6)
    fill(canvas, about(outline, wide), look.rgb, shade=lit(look, 0.38))


def wooden(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    """Wood with its grain."""
    fill(canvas, outline, darker(look.rgb, 0.6), shade=lit(look, 0.2))
    fill(canvas, about(outline, max(1 - 2.0 / pose.size, 0.6)), look.rgb, shade=lit(look, 0.12), grain=look.wood)


def ball(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
    """A sphere."""
    fill(canvas, outline, darker(look.rgb, 0.55), shade=lit(look, 0.25))
    if pose.size > 5:
        x, y = (0.09 * pose.size * side for side in look.light)
        fill(canvas, about(outline, 0.72, x, y), look.rgb, 0.95, 0.1 * pose.size, inside=outline)
        glint(canvas, pose, look, outline, 0.24, size=0.2, strength=0.8)


def holed(hole: float) -> Paint:
    """A flat thing with a round hole of that diameter (share of the size)."""

    def paint(canvas: Canvas, pose: Pose, look: Look, outline: Points) -> None:
        inside = pose.put(ellipse(hole, hole))
        fill(canvas, [outline, inside], darker(look.rgb, 0.7 if pose.size > 9 else 1.0), shade=lit(look, 0.3))
        if pose.size > 9:
            trim = 1.2 / pose.size
            inner = about(inside, 1 + 2 * trim / hole)
            fill(canvas, [about(outline, 1 - 2 * trim), inner], look.rgb, shade=lit(look, 0.32))

    return paint


def slot(
    canvas: Canvas, pose: Pose, wide: float, high: float, rgb: Rgb, *, x: float = 0, y: float = 0, opacity: float = 0.9
) -> None:
    """A small rectangle in the unit frame."""
    fill(canvas, pose.put(block(wide, high, 0, x, y)), rgb, opacity)


def seam(canvas: Canvas, outline: Points, rgb: Rgb, width: float = 0.6, opacity: float = 0.6) -> None:
    """A line round the outline."""
    stroke(canvas, outline, rgb, width, opacity, closed=True)
