"""Bottles and other glass vessels, with liquids, caps and labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from logicls.pretraining.catalogue import kinds_by_name
from logicls.pretraining.component_kinds import darken, draw_shadow, lighten
from logicls.pretraining.drawing import Points, Pose, Shade, ellipse, fill, rectangle, stroke
from logicls.pretraining.labels import draw_label
from logicls.pretraining.phrases import choose
from logicls.pretraining.scene_builder import QuestionDraft, SceneBuilder, SceneComponent, SceneRule
from logicls.pretraining.surfaces import Rgb, sample_palette, sample_shade

VESSEL_NAMES = ("bottle", "vial", "jar", "flask", "test tube", "beaker")
LIQUIDS = ("liquid", "juice", "fluid", "drink", "syrup")
CAPS = ("cap", "stopper", "screw cap", "lid")
_FILL_RANGES = ((0.06, 0.31), (0.41, 0.59), (0.71, 0.93), (0.06, 0.93))
"""Fill levels as shares of the inner height; the last range includes levels without a name."""
_LIQUID_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "turquoise")


def draw_vessels(scene: SceneBuilder) -> None:
    """Draw one vessel that fills the photo, or a row of them."""
    rng = scene.rng
    count = 1 if rng.random() < 0.55 else int(rng.integers(2, 6))
    name, liquid = choose(rng, VESSEL_NAMES), choose(rng, LIQUIDS)
    form = rng.random(3)
    share = _vessel_width(name, form)
    cell = scene.width / count
    high = min(float(rng.uniform(0.55, 0.94)) * scene.height, cell * float(rng.uniform(0.7, 0.94)) / share)
    colours = sample_palette(rng, int(rng.integers(1, 4)), scene.background, _LIQUID_COLOURS) or ["red"]
    has_caps, cap = rng.random() < 0.6 and name not in ("beaker", "test tube"), choose(rng, CAPS)
    caps = sample_palette(rng, 2, scene.background) or ["blue"]
    scene.exclude_from_absent(*kinds_by_name("cap", "sticker", "battery", "pencil", "capsule", "box", "bulb", "socket"))
    for number in range(count):
        middle = cell * (number + 0.5) + float(rng.uniform(-0.3, 0.3)) * (cell - share * high)
        y = scene.height / 2 + float(rng.uniform(-0.5, 0.5)) * (scene.height - high) * (0.9 if count == 1 else 0.15)
        pose = Pose(middle, y, high, float(rng.normal(0, 1)))
        vessel = _Vessel(scene, pose, name, form, is_only=count == 1)
        liquid_colour = vessel.fill(liquid, choose(rng, colours))
        if has_caps and rng.random() < 0.85:
            vessel.draw_cap(cap, choose(rng, caps))
        if count == 1 or rng.random() < 0.4:
            vessel.draw_labels(is_only=count == 1, liquid=liquid, colour=liquid_colour)


def _vessel_width(name: str, form: Points) -> float:
    return 2 * float(_profile(name, form)[:, 0].max())


def _profile(name: str, form: Points) -> Points:
    """Return the right edge of a vessel from mouth to foot, unit height."""
    a, b, c = form.tolist()
    if name == "beaker":
        return np.array([(0.33 + 0.1 * a, -0.5), (0.33 + 0.1 * a, 0.47), (0.3 + 0.1 * a, 0.5)])
    if name == "test tube":
        turn = np.linspace(0, np.pi / 2, 7)
        wide = 0.06 + 0.05 * a
        foot = np.stack([wide * np.cos(turn), 0.5 - wide + wide * np.sin(turn)], axis=1)
        return np.concatenate([[(wide, -0.5)], foot])
    if name == "flask":
        return np.array(
            [(0.08 + 0.04 * a, -0.5), (0.08 + 0.04 * a, -0.2 - 0.1 * b), (0.3 + 0.08 * c, 0.44), (0.28 + 0.08 * c, 0.5)]
        )
    body = {"bottle": 0.14 + 0.09 * a, "vial": 0.18 + 0.1 * a, "jar": 0.3 + 0.12 * a}[name]
    neck = body * {"bottle": 0.35 + 0.25 * b, "vial": 0.6 + 0.15 * b, "jar": 0.82 + 0.1 * b}[name]
    low = {"bottle": -0.3 + 0.12 * c, "vial": -0.34, "jar": -0.36}[name]
    top = low - (0.12 if name == "bottle" else 0.05)
    bend = [(neck + (body - neck) * s, top + (low - top) * (1 - (1 - s) ** 2)) for s in (0, 0.3, 0.6, 0.85, 1)]
    return np.array([(neck, -0.5), *bend, (body, 0.46), (body - 0.03, 0.5)])


def _mirror(right: Points) -> Points:
    return np.concatenate([right, right[::-1] * (-1, 1)])


class _Vessel:
    """Vessel that is drawn and added to the scene with its parts."""

    def __init__(self, scene: SceneBuilder, pose: Pose, name: str, form: Points, *, is_only: bool) -> None:
        self.scene, self.pose, self.name, self.is_only = scene, pose, name, is_only
        self.right = _profile(name, form)
        self.wall = 0.02
        self.top = 1.0
        """Where the liquid begins, in units of the height."""
        self.draw_glass()

    def draw_glass(self) -> None:
        """Draw the back of the glass, and add the vessel to the components."""
        scene, contour = self.scene, self.pose.transform(_mirror(self.right))
        if scene.shadow_brightness < 1:
            draw_shadow(scene.canvas, contour, scene.plain_style("white"), 3, scene.shadow_brightness)
        dark = sum(scene.background) < 0.9
        fill(scene.canvas, contour, (0.8, 0.87, 0.9) if not dark else (0.35, 0.4, 0.42), 0.25)
        tone = (0.75, 0.8, 0.82) if dark else (0.25, 0.3, 0.32)
        stroke(scene.canvas, contour, tone, 1.0, 0.6, closed=True)
        self.number = len(scene.components)
        scene.components.append(SceneComponent((self.name,), contour))

    def fill(self, liquid: str, colour: str) -> str:
        """Draw a random amount of liquid, and return its colour; empty if there is none."""
        rng = self.scene.rng
        share = 0.0 if rng.random() < 0.12 else float(rng.uniform(*_FILL_RANGES[int(rng.integers(len(_FILL_RANGES)))]))
        if share:
            self._draw_liquid(share, liquid, colour)
        self._draw_reflections()
        self._record_level(share)
        return colour if share else ""

    def _record_level(self, share: float) -> None:
        """Add the fill level to the vessel's attributes, if it has a clear name."""
        scene, order = self.scene, ("empty", "low", "middle", "high")
        level = "low" if share < 0.32 else "middle" if 0.4 < share < 0.6 else "high" if share > 0.7 else ""
        level = level if share else "empty"
        if not level:
            return
        component = scene.components[self.number]
        scene.components[self.number] = replace(component, attributes=(("level", level),))
        required = choose(scene.rng, order[1:])
        defect = "low" if order.index(level) < order.index(required) else "high"
        defect = "" if level == required else "empty" if level == "empty" else defect
        amount = {"low": "a third at most", "middle": "about half", "high": "more than two thirds"}[required]
        if self.is_only:
            scene.rules.append(SceneRule(f"the {self.name} is filled to {amount}", defect))

    def _draw_liquid(self, share: float, liquid: str, colour: str) -> None:
        scene = self.scene
        inner = self.right * (1, 1) - (self.wall, 0)
        foot, mouth = 0.5 - 1.2 * self.wall, -0.46
        y = foot - share * (foot - mouth)
        below = inner[(inner[:, 1] > y) & (inner[:, 1] < foot)]
        self.top = y
        wide = float(np.interp(y, inner[:, 1], inner[:, 0]))
        right = np.concatenate([[(wide, y)], below, [(float(np.interp(foot, inner[:, 1], inner[:, 0])), foot)]])
        contour = self.pose.transform(_mirror(right))
        rgb = sample_shade(colour, scene.rng)
        (x1, y1), (x2, y2) = self.pose.transform_point(0, 0), self.pose.transform_point(1, 0)
        bulge = Shade((x2 - x1) / self.pose.size, (y2 - y1) / self.pose.size, 0.4, is_cylinder=True)
        fill(scene.canvas, contour, rgb, float(scene.rng.uniform(0.82, 0.98)), shade=bulge)
        deep = min(0.12 * wide, 0.02)
        if deep * self.pose.size > 0.6:
            fill(scene.canvas, self.pose.transform(ellipse(2 * wide, 2 * deep, 0, y + deep)), lighten(rgb, 0.35), 0.8)
        scene.components.append(SceneComponent((liquid,), contour, colour))

    def _draw_reflections(self) -> None:
        """Draw reflections on the glass."""
        body = float(self.right[:, 0].max())
        glass = self.pose.transform(_mirror(self.right))
        for x, wide, bright in ((-0.72, 0.12, 0.4), (0.8, 0.06, 0.25)):
            streak = self.pose.transform(rectangle(wide * body, 0.62, 0.01, x * body, 0.12))
            strength = bright * float(self.scene.rng.uniform(0.4, 1.2))
            fill(self.scene.canvas, streak, (1, 1, 1), strength, 0.5, inside=glass)
        neck = float(self.right[0, 0])
        fill(self.scene.canvas, self.pose.transform(rectangle(2 * neck, 0.015, 0, 0, -0.49)), (0.9, 0.93, 0.95), 0.5)

    def draw_cap(self, name: str, colour: str) -> None:
        """Draw a cap."""
        scene, neck = self.scene, float(self.right[0, 0])
        contour = self.pose.transform(rectangle(2 * neck + 0.03, 0.09, 0.01, 0, -0.455))
        rgb: Rgb = sample_shade(colour, scene.rng)
        (x1, y1), (x2, y2) = self.pose.transform_point(0, 0), self.pose.transform_point(1, 0)
        bulge = Shade((x2 - x1) / self.pose.size, (y2 - y1) / self.pose.size, 0.5, is_cylinder=True)
        fill(scene.canvas, contour, rgb, shade=bulge)
        stroke(scene.canvas, contour, darken(rgb, 0.4), 0.5, 0.6, closed=True)
        scene.components.append(SceneComponent((name,), contour, colour))

    def draw_labels(self, *, is_only: bool, liquid: str, colour: str) -> None:
        """Draw up to three labels on the body, one below the other."""
        scene, rng = self.scene, self.scene.rng
        body, top = (
            float(self.right[:, 0].max()),
            float(self.right[self.right[:, 0] > 0.93 * self.right[:, 0].max(), 1].min()),
        )
        if self.name in ("flask", "test tube"):
            return
        low, size = max(top, -0.3) + 0.03, self.pose.size
        available = 0.44 - low
        count = int(rng.choice((0, 1, 1, 2, 2, 3))) if is_only else 1
        icons: list[str] = []
        for number in range(count):
            share = available / count
            wide, high = 2 * body * float(rng.uniform(0.6, 0.94)), share * float(rng.uniform(0.45, 0.85))
            y = low + share * (number + 0.5) + float(rng.uniform(-0.5, 0.5)) * (share - high)
            x = float(rng.uniform(-1, 1)) * (body - wide / 2) * (0.3 if rng.random() < 0.7 else 1)
            hides_level = y - high / 2 < self.top < y + high / 2 or (self.top > 0 and y + high / 2 > self.top)
            if hides_level:
                wide, x = min(wide, 1.3 * body), 0.0
            px, py = self.pose.transform_point(x, y)
            icons += draw_label(
                scene, Pose(px, py, size, self.pose.degrees + float(rng.normal(0, 0.7))), wide, high, is_only=is_only
            )
        if is_only and len(icons) == 1 and colour:
            self._add_pairing_rule(icons[0], liquid, colour)

    def _add_pairing_rule(self, icon: str, liquid: str, colour: str) -> None:
        """Add a rule about which pictogram belongs to which liquid colour."""
        rng = self.scene.rng
        other = choose(rng, [name for name in _LIQUID_COLOURS if name != colour])
        right = rng.random() < 0.5
        text = f"the {icon} belongs to {colour if right else other} {liquid}"
        self.scene.rules.append(SceneRule(text, "" if right else "mismatch"))
        self.scene.drafts.append(
            QuestionDraft("attribute", f"which colour has the {liquid} behind the {icon}?", (), (colour,))
        )
