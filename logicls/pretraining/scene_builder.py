"""What a photo is built on: the canvas, what was drawn on it, and what may be asked of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from logicls.pretraining.camera import halo
from logicls.pretraining.component_kinds import Kind, Look, shadow
from logicls.pretraining.drawing import SCALE, Canvas, Points, Pose
from logicls.pretraining.surfaces import COLOURS, Rgb, Rng, cut, ground, shade_of, varied


@dataclass(frozen=True, slots=True)
class Thing:
    """One component that was drawn."""

    names: tuple[str, ...]
    outline: Points
    """Pixels of the photo before the camera."""
    colour: str = ""
    """Empty where nobody would name it by one."""
    size: str = ""
    """`small` or `large` where the photo holds both."""
    attributes: tuple[tuple[str, str], ...] = ()
    family: str = ""

    def attribute(self, name: str) -> str:
        """The value of an attribute; empty where it has none."""
        return dict(self.attributes).get(name, "")


@dataclass(frozen=True, slots=True)
class Draft:
    """A question whose boxes are not yet known: `things` are numbers of the stage's things."""

    kind: Literal["locate", "attribute", "verdict"]
    text: str
    things: tuple[int, ...] = ()
    values: tuple[str, ...] = ()
    paired: bool = False
    """Each value belongs to the thing at its place; both are brought into reading order."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that a good product would obey, in words."""

    text: str
    broken: str = ""
    """What is wrong, one word; empty where it holds."""


@dataclass(slots=True)
class Stage:
    """A photo in the making."""

    rng: Rng
    height: int
    width: int
    canvas: Canvas = field(init=False, repr=False)
    ground: Rgb = field(init=False)
    light: tuple[float, float] = field(init=False)
    wood: Canvas = field(init=False, repr=False)
    shadows: float = field(init=False)
    """Brightness of a shadow; 1 for none."""
    seamed: bool = field(init=False)
    """Some things stand on a patch, as an edit leaves it."""
    things: list[Thing] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    kinds: list[Kind] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.canvas, self.ground = ground(self.rng, self.height, self.width)
        angle = self.rng.uniform(0, 2 * np.pi)
        self.light = float(np.cos(angle)), float(np.sin(angle))
        high, wide = self.canvas.shape[1:]
        self.wood = np.asarray(1 + np.float32(1.5) * cut("wood", high, wide, self.rng), dtype=np.float32)
        self.shadows = float(self.rng.uniform(0.4, 1)) if self.rng.random() < 0.8 else 1.0
        self.seamed = bool(self.rng.random() < 0.12)

    @property
    def short(self) -> int:
        """The shorter side, pixels."""
        return min(self.height, self.width)

    def look(self, kind: Kind, colour: str, form: tuple[float, float, float], value: str = "") -> Look:
        """A look in that colour; the trimmings take another."""
        rgb = shade_of(colour, self.rng) if colour else (0.8, 0.8, 0.8)
        second = shade_of(str(self.rng.choice(COLOURS)), self.rng)
        return Look(rgb, second, self.light, form, value, self.wood)

    def look_of(self, colour: str) -> Look:
        """A look in that colour for what is no kind: labels, glass."""
        rgb = shade_of(colour, self.rng)
        first, second, third = self.rng.random(3).tolist()
        dark = sum(rgb) > 1.5
        return Look(rgb, (0.15, 0.15, 0.16) if dark else (0.92, 0.92, 0.9), self.light, (first, second, third))

    def ground_at(self, x: float, y: float) -> Rgb:
        """The canvas' colour at a place of the photo."""
        row = min(max(int(y * SCALE), 0), self.canvas.shape[1] - 1)
        column = min(max(int(x * SCALE), 0), self.canvas.shape[2] - 1)
        red, green, blue = self.canvas[:, row, column].tolist()
        return red, green, blue

    def mention(self, *kinds: Kind) -> None:
        """These are there, or something like them: no question may take them for absent."""
        self.kinds.extend(kind for kind in kinds if kind not in self.kinds)

    def add(
        self,
        kind: Kind,
        pose: Pose,
        look: Look,
        *,
        colour: str = "",
        size: str = "",
        family: str = "",
        extra: tuple[tuple[str, str], ...] = (),
    ) -> int:
        """Draw one component and keep it; returns its number."""
        outline = pose.put(kind.outline(look))
        if self.seamed and self.rng.random() < 0.5:
            halo(self.canvas, self.rng, outline)
        if self.shadows < 1 and kind.names[0] != "hole":
            shadow(self.canvas, outline, look, min(0.06 * pose.size + 0.5, 4), self.shadows)
        kind.paint(self.canvas, pose, look, outline)
        own = ((kind.attribute, look.value),) if kind.attribute else ()
        if kind.family == "shape":
            own = (*own, ("shape", kind.value))
        elif kind.family == "fruit":
            own = (*own, ("fruit" if family == "icon" else "kind", kind.value))
        names = kind.names[:1] if family == "icon" else kind.names
        self.things.append(Thing(names, outline, colour, size, (*own, *extra), family or kind.family))
        return len(self.things) - 1

    def vary(self, look: Look) -> Look:
        """The look of the next component of the same group."""
        rgb = varied(look.rgb, self.rng)
        return Look(rgb, look.second, look.light, look.form, look.value, look.wood)
