"""Scene under construction: canvas, components, and what may be asked about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from logicls.pretraining.camera import blur_halo
from logicls.pretraining.component_kinds import ComponentKind, ComponentStyle, draw_shadow
from logicls.pretraining.drawing import SCALE, Canvas, Points, Pose
from logicls.pretraining.surfaces import COLOURS, Rgb, Rng, crop_texture, draw_background, sample_shade, vary_shade


@dataclass(frozen=True, slots=True)
class SceneComponent:
    """Component that was drawn."""

    names: tuple[str, ...]
    contour: Points
    """Pixels of the photo before the camera's warp."""
    colour: str = ""
    """Empty if it has no clear colour."""
    size: str = ""
    """`small` or `large` if the photo holds both."""
    attributes: tuple[tuple[str, str], ...] = ()
    family: str = ""

    def attribute(self, name: str) -> str:
        """Return the value of an attribute; empty if it has none."""
        return dict(self.attributes).get(name, "")


@dataclass(frozen=True, slots=True)
class QuestionDraft:
    """Question whose boxes are not yet known: `components` are numbers of the scene's components."""

    kind: Literal["locate", "attribute", "verdict"]
    text: str
    components: tuple[int, ...] = ()
    values: tuple[str, ...] = ()
    is_paired: bool = False
    """Whether each value belongs to the component at its index; both are then sorted into reading order."""


@dataclass(frozen=True, slots=True)
class SceneRule:
    """Rule about a product, in words."""

    text: str
    defect: str = ""
    """Defect as one word; empty if the rule holds."""


@dataclass(slots=True)
class SceneBuilder:
    """Builder of a scene."""

    rng: Rng
    height: int
    width: int
    canvas: Canvas = field(init=False, repr=False)
    background: Rgb = field(init=False)
    light_direction: tuple[float, float] = field(init=False)
    wood_grain: Canvas = field(init=False, repr=False)
    shadow_brightness: float = field(init=False)
    """Brightness of a shadow; 1 for none."""
    has_seams: bool = field(init=False)
    """Whether some components have a halo, as compositing leaves it."""
    components: list[SceneComponent] = field(default_factory=list)
    drafts: list[QuestionDraft] = field(default_factory=list)
    rules: list[SceneRule] = field(default_factory=list)
    kinds: list[ComponentKind] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.canvas, self.background = draw_background(self.rng, self.height, self.width)
        angle = self.rng.uniform(0, 2 * np.pi)
        self.light_direction = float(np.cos(angle)), float(np.sin(angle))
        high, wide = self.canvas.shape[1:]
        self.wood_grain = np.asarray(1 + np.float32(1.5) * crop_texture("wood", high, wide, self.rng), dtype=np.float32)
        self.shadow_brightness = float(self.rng.uniform(0.4, 1)) if self.rng.random() < 0.8 else 1.0
        self.has_seams = bool(self.rng.random() < 0.12)

    @property
    def short_side(self) -> int:
        """Length of the shorter side, pixels."""
        return min(self.height, self.width)

    def sample_style(
        self, kind: ComponentKind, colour: str, form: tuple[float, float, float], value: str = ""
    ) -> ComponentStyle:
        """Sample a style of that colour; secondary parts get another colour."""
        rgb = sample_shade(colour, self.rng) if colour else (0.8, 0.8, 0.8)
        second = sample_shade(str(self.rng.choice(COLOURS)), self.rng)
        return ComponentStyle(rgb, second, self.light_direction, form, value, self.wood_grain)

    def plain_style(self, colour: str) -> ComponentStyle:
        """Return a style of that colour for labels and glass, which have no kind."""
        rgb = sample_shade(colour, self.rng)
        first, second, third = self.rng.random(3).tolist()
        dark = sum(rgb) > 1.5
        return ComponentStyle(
            rgb, (0.15, 0.15, 0.16) if dark else (0.92, 0.92, 0.9), self.light_direction, (first, second, third)
        )

    def colour_at(self, x: float, y: float) -> Rgb:
        """Return the canvas's colour at a point of the photo."""
        row = min(max(int(y * SCALE), 0), self.canvas.shape[1] - 1)
        column = min(max(int(x * SCALE), 0), self.canvas.shape[2] - 1)
        red, green, blue = self.canvas[:, row, column].tolist()
        return red, green, blue

    def exclude_from_absent(self, *kinds: ComponentKind) -> None:
        """Mark kinds as present, or as similar to something present, so no question treats them as absent."""
        self.kinds.extend(kind for kind in kinds if kind not in self.kinds)

    def add(
        self,
        kind: ComponentKind,
        pose: Pose,
        style: ComponentStyle,
        *,
        colour: str = "",
        size: str = "",
        family: str = "",
        extra: tuple[tuple[str, str], ...] = (),
    ) -> int:
        """Draw a component, add it, and return its number."""
        contour = pose.transform(kind.contour(style))
        if self.has_seams and self.rng.random() < 0.5:
            blur_halo(self.canvas, self.rng, contour)
        if self.shadow_brightness < 1 and kind.names[0] != "hole":
            draw_shadow(self.canvas, contour, style, min(0.06 * pose.size + 0.5, 4), self.shadow_brightness)
        kind.paint(self.canvas, pose, style, contour)
        own = ((kind.attribute, style.value),) if kind.attribute else ()
        if kind.family == "shape":
            own = (*own, ("shape", kind.value))
        elif kind.family == "fruit":
            own = (*own, ("fruit" if family == "icon" else "kind", kind.value))
        names = kind.names[:1] if family == "icon" else kind.names
        self.components.append(SceneComponent(names, contour, colour, size, (*own, *extra), family or kind.family))
        return len(self.components) - 1

    def vary_style(self, style: ComponentStyle) -> ComponentStyle:
        """Return the style of the next component of the same group."""
        rgb = vary_shade(style.rgb, self.rng)
        return ComponentStyle(rgb, style.second, style.light_direction, style.form, style.value, style.wood_grain)
