"""Kinds of component and the finishes that they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from logicls.pretraining.drawing import (
    Canvas,
    Points,
    Pose,
    Shade,
    ellipse,
    fill,
    rectangle,
    scale_inside,
    scale_points,
    stroke,
)
from logicls.pretraining.surfaces import PAINT_COLOURS, Rgb

RotationRange = Literal["any", "slight", "none"]


@dataclass(frozen=True, slots=True)
class ComponentStyle:
    """Appearance of one component."""

    rgb: Rgb
    second: Rgb
    """Colour of its secondary parts."""
    light_direction: tuple[float, float]
    """Direction towards the light source, a unit vector on the photo."""
    form: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Proportions that a group of components shares, 0 to 1."""
    value: str = ""
    """Value of the kind's attribute."""
    wood_grain: Canvas | None = None
    """(h, w) brightness factors of wood grain, the size of the canvas."""


Painter = Callable[[Canvas, Pose, ComponentStyle, Points], None]


@dataclass(frozen=True, slots=True)
class ComponentKind:
    """Kind of component with one name."""

    names: tuple[str, ...]
    """Synonyms, the most common first."""
    contour: Callable[[ComponentStyle], Points]
    """Contour of unit size."""
    paint: Painter
    colours: tuple[str, ...] = PAINT_COLOURS
    """Possible colours; empty if the kind has colours of its own."""
    min_size: float = 6.0
    """Least longer side at which it is recognisable, pixels."""
    rotation: RotationRange = "any"
    attribute: str = ""
    values: tuple[str, ...] = ()
    """Values of the attribute; the style holds the one to draw."""
    family: str = ""
    """Hypernym; its members' attribute `shape` or `fruit` is the kind's own name."""
    is_elongated: bool = False
    """Whether it is much longer than wide; upright if not rotated."""
    material: str = ""
    answer_word: str = ""
    """Name in answers, if not the first name."""

    @property
    def value(self) -> str:
        """Its name as an answer."""
        return self.answer_word or self.names[0].replace(" ", "_")


def directional_shade(style: ComponentStyle, amount: float = 0.16) -> Shade:
    """Return a linear shading towards the light."""
    return Shade(style.light_direction[0], style.light_direction[1], amount)


def cylinder_shade(pose: Pose, amount: float = 0.45, *, is_horizontal: bool = False) -> Shade:
    """Return the shading of a cylinder, upright in the unit frame or horizontal."""
    (x1, y1), (x2, y2) = (
        pose.transform_point(0, 0),
        pose.transform_point(0, 1) if is_horizontal else pose.transform_point(1, 0),
    )
    return Shade((x2 - x1) / pose.size, (y2 - y1) / pose.size, amount, is_cylinder=True)


def darken(rgb: Rgb, factor: float) -> Rgb:
    """Scale the brightness of a colour."""
    return min(rgb[0] * factor, 1.0), min(rgb[1] * factor, 1.0), min(rgb[2] * factor, 1.0)


def lighten(rgb: Rgb, share: float) -> Rgb:
    """Mix a colour with a share of white."""
    return rgb[0] + (1 - rgb[0]) * share, rgb[1] + (1 - rgb[1]) * share, rgb[2] + (1 - rgb[2]) * share


def draw_shadow(canvas: Canvas, contour: Points, style: ComponentStyle, distance: float, brightness: float) -> None:
    """Draw a soft shadow away from the light, `distance` pixels far."""
    x, y = -style.light_direction[0] * distance, -style.light_direction[1] * distance
    scale_inside(canvas, scale_points(contour, 1.02, x, y), brightness, 0.4 + 0.5 * distance)


def paint_flat(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    """Paint a uniform surface."""
    fill(canvas, contour, style.rgb, shade=directional_shade(style, 0.1))


def paint_glossy(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    """Paint moulded plastic: a bevel and a highlight."""
    fill(canvas, contour, darken(style.rgb, 0.72), shade=directional_shade(style, 0.3))
    if pose.size > 8:
        shift = 0.02 * pose.size
        fill(
            canvas,
            scale_points(contour, 0.84, style.light_direction[0] * shift, style.light_direction[1] * shift),
            style.rgb,
            1.0,
            0.5,
        )
        draw_highlight(canvas, pose, style, contour, 0.22)


def draw_highlight(
    canvas: Canvas,
    pose: Pose,
    style: ComponentStyle,
    contour: Points,
    offset: float,
    *,
    size: float = 0.16,
    strength: float = 0.7,
) -> None:
    """Draw a highlight, offset from the centre towards the light (share of the size)."""
    x, y = (
        pose.x + style.light_direction[0] * offset * pose.size,
        pose.y + style.light_direction[1] * offset * pose.size,
    )
    spot = Pose(x, y, size * pose.size).transform(ellipse(1, 0.7))
    fill(canvas, spot, (1, 1, 1), strength, 0.03 * pose.size + 0.2, inside=contour)


def paint_metallic(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    """Paint polished metal: a dark edge and strong shading."""
    fill(canvas, contour, darken(style.rgb, 0.5))
    wide = max(1 - 1.6 / pose.size, 0.6)
    fill(canvas, scale_points(contour, wide), style.rgb, shade=directional_shade(style, 0.38))


def paint_wooden(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    """Paint wood with its grain."""
    fill(canvas, contour, darken(style.rgb, 0.6), shade=directional_shade(style, 0.2))
    fill(
        canvas,
        scale_points(contour, max(1 - 2.0 / pose.size, 0.6)),
        style.rgb,
        shade=directional_shade(style, 0.12),
        grain=style.wood_grain,
    )


def paint_sphere(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
    """Paint a sphere."""
    fill(canvas, contour, darken(style.rgb, 0.55), shade=directional_shade(style, 0.25))
    if pose.size > 5:
        x, y = (0.09 * pose.size * side for side in style.light_direction)
        fill(canvas, scale_points(contour, 0.72, x, y), style.rgb, 0.95, 0.1 * pose.size, inside=contour)
        draw_highlight(canvas, pose, style, contour, 0.24, size=0.2, strength=0.8)


def ring_painter(hole: float) -> Painter:
    """Return a painter of a flat ring with a round hole of that diameter (share of the size)."""

    def paint(canvas: Canvas, pose: Pose, style: ComponentStyle, contour: Points) -> None:
        inside = pose.transform(ellipse(hole, hole))
        fill(
            canvas,
            [contour, inside],
            darken(style.rgb, 0.7 if pose.size > 9 else 1.0),
            shade=directional_shade(style, 0.3),
        )
        if pose.size > 9:
            trim = 1.2 / pose.size
            inner = scale_points(inside, 1 + 2 * trim / hole)
            fill(canvas, [scale_points(contour, 1 - 2 * trim), inner], style.rgb, shade=directional_shade(style, 0.32))

    return paint


def draw_slot(
    canvas: Canvas, pose: Pose, wide: float, high: float, rgb: Rgb, *, x: float = 0, y: float = 0, opacity: float = 0.9
) -> None:
    """Draw a small rectangle in the unit frame."""
    fill(canvas, pose.transform(rectangle(wide, high, 0, x, y)), rgb, opacity)


def draw_contour(canvas: Canvas, contour: Points, rgb: Rgb, width: float = 0.6, opacity: float = 0.6) -> None:
    """Draw a line along the contour."""
    stroke(canvas, contour, rgb, width, opacity, closed=True)
