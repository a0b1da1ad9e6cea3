"""Bottles and other glass, what is in them, their caps and labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from logicls.pretraining.catalogue import named
from logicls.pretraining.component_kinds import darker, paler, shadow
from logicls.pretraining.drawing import Points, Pose, Shade, block, ellipse, fill, stroke
from logicls.pretraining.labels import put_label
from logicls.pretraining.phrases import drawn
from logicls.pretraining.scene_builder import Draft, Rule, Stage, Thing
from logicls.pretraining.surfaces import Rgb, palette, shade_of

NAMES = ("bottle", "vial", "jar", "flask", "test tube", "beaker")
LIQUIDS = ("liquid", "juice", "fluid", "drink", "syrup")
CAPS = ("cap", "stopper", "screw cap", "lid")
_SHARES = ((0.06, 0.31), (0.41, 0.59), (0.71, 0.93), (0.06, 0.93))
"""Of the inner height; the last has levels that have no name."""
_PAINTS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "turquoise")


def vessels(stage: Stage) -> None:
    """One vessel that fills the photo, or a row of them."""
    rng = stage.rng
    count = 1 if rng.random() < 0.55 else int(rng.integers(2, 6))
    name, liquid = drawn(rng, NAMES), drawn(rng, LIQUIDS)
    form = rng.random(3)
    share = _width(name, form)
    cell = stage.width / count
    high = min(float(rng.uniform(0.55, 0.94)) * stage.height, cell * float(rng.uniform(0.7, 0.94)) / share)
    colours = palette(rng, int(rng.integers(1, 4)), stage.ground, _PAINTS) or ["red"]
    capped, cap = rng.random() < 0.6 and name not in ("beaker", "test tube"), drawn(rng, CAPS)
    caps = palette(rng, 2, stage.ground) or ["blue"]
    stage.mention(*named("cap", "sticker", "battery", "pencil", "capsule", "box", "bulb", "socket"))
    for number in range(count):
        middle = cell * (number + 0.5) + float(rng.uniform(-0.3, 0.3)) * (cell - share * high)
        y = stage.height / 2 + float(rng.uniform(-0.5, 0.5)) * (stage.height - high) * (0.9 if count == 1 else 0.15)
        pose = Pose(middle, y, high, float(rng.normal(0, 1)))
        place = _Vessel(stage, pose, name, form, lone=count == 1)
        filled = place.fill(liquid, drawn(rng, colours))
        if capped and rng.random() < 0.85:
            place.cap(cap, drawn(rng, caps))
        if count == 1 or rng.random() < 0.4:
            place.labels(single=count == 1, liquid=liquid, colour=filled)


def _width(name: str, form: Points) -> float:
    return 2 * float(_profile(name, form)[:, 0].max())


def _profile(name: str, form: Points) -> Points:
    """The right edge from the mouth to the foot, unit height."""
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


def _closed(right: Points) -> Points:
    return np.concatenate([right, right[::-1] * (-1, 1)])


class _Vessel:
    """One vessel on the stage; drawing it adds it and what belongs to it."""

    def __init__(self, stage: Stage, pose: Pose, name: str, form: Points, *, lone: bool) -> None:
        self.stage, self.pose, self.name, self.lone = stage, pose, name, lone
        self.right = _profile(name, form)
        self.wall = 0.02
        self.top = 1.0
        """Where the liquid begins, in units of the height."""
        self.glass()

    def glass(self) -> None:
        """The back of the glass, and the vessel itself among the things."""
        stage, outline = self.stage, self.pose.put(_closed(self.right))
        if stage.shadows < 1:
            shadow(stage.canvas, outline, stage.look_of("white"), 3, stage.shadows)
        dark = sum(stage.ground) < 0.9
        fill(stage.canvas, outline, (0.8, 0.87, 0.9) if not dark else (0.35, 0.4, 0.42), 0.25)
        tone = (0.75, 0.8, 0.82) if dark else (0.25, 0.3, 0.32)
        stroke(stage.canvas, outline, tone, 1.0, 0.6, closed=True)
        self.number = len(stage.things)
        stage.things.append(Thing((self.name,), outline))

    def fill(self, liquid: str, colour: str) -> str:
        """Pour in; returns the liquid's colour, empty where it stays empty."""
        rng = self.stage.rng
        share = 0.0 if rng.random() < 0.12 else float(rng.uniform(*_SHARES[int(rng.integers(len(_SHARES)))]))
        if share:
            self._liquid(share, liquid, colour)
        self._front()
        self._name_level(share)
        return colour if share else ""

    def _name_level(self, share: float) -> None:
        """Keep how full it is, where there is a plain word for it."""
        stage, order = self.stage, ("empty", "low", "middle", "high")
        level = "low" if share < 0.32 else "middle" if 0.4 < share < 0.6 else "high" if share > 0.7 else ""
        level = level if share else "empty"
        if not level:
            return
        thing = stage.things[self.number]
        stage.things[self.number] = replace(thing, attributes=(("level", level),))
        wanted = drawn(stage.rng, order[1:])
        off = "low" if order.index(level) < order.index(wanted) else "high"
        off = "" if level == wanted else "empty" if level == "empty" else off
        where = {"low": "a third at most", "middle": "about half", "high": "more than two thirds"}[wanted]
        if self.lone:
            stage.rules.append(Rule(f"the {self.name} is filled to {where}", off))

    def _liquid(self, share: float, liquid: str, colour: str) -> None:
        stage = self.stage
        inner = self.right * (1, 1) - (self.wall, 0)
        foot, mouth = 0.5 - 1.2 * self.wall, -0.46
        y = foot - share * (foot - mouth)
        below = inner[(inner[:, 1] > y) & (inner[:, 1] < foot)]
        self.top = y
        wide = float(np.interp(y, inner[:, 1], inner[:, 0]))
        right = np.concatenate([[(wide, y)], below, [(float(np.interp(foot, inner[:, 1], inner[:, 0])), foot)]])
        outline = self.pose.put(_closed(right))
        rgb = shade_of(colour, stage.rng)
        (x1, y1), (x2, y2) = self.pose.at(0, 0), self.pose.at(1, 0)
        bulge = Shade((x2 - x1) / self.pose.size, (y2 - y1) / self.pose.size, 0.4, bulge=True)
        fill(stage.canvas, outline, rgb, float(stage.rng.uniform(0.82, 0.98)), shade=bulge)
        deep = min(0.12 * wide, 0.02)
        if deep * self.pose.size > 0.6:
            fill(stage.canvas, self.pose.put(ellipse(2 * wide, 2 * deep, 0, y + deep)), paler(rgb, 0.35), 0.8)
        stage.things.append(Thing((liquid,), outline, colour))

    def _front(self) -> None:
        """Streaks of light on the glass."""
        body = float(self.right[:, 0].max())
        glass = self.pose.put(_closed(self.right))
        for x, wide, bright in ((-0.72, 0.12, 0.4), (0.8, 0.06, 0.25)):
            streak = self.pose.put(block(wide * body, 0.62, 0.01, x * body, 0.12))
            strength = bright * float(self.stage.rng.uniform(0.4, 1.2))
            fill(self.stage.canvas, streak, (1, 1, 1), strength, 0.5, inside=glass)
        neck = float(self.right[0, 0])
        fill(self.stage.canvas, self.pose.put(block(2 * neck, 0.015, 0, 0, -0.49)), (0.9, 0.93, 0.95), 0.5)

    def cap(self, name: str, colour: str) -> None:
        """Close it."""
        stage, neck = self.stage, float(self.right[0, 0])
        outline = self.pose.put(block(2 * neck + 0.03, 0.09, 0.01, 0, -0.455))
        rgb: Rgb = shade_of(colour, stage.rng)
        (x1, y1), (x2, y2) = self.pose.at(0, 0), self.pose.at(1, 0)
        bulge = Shade((x2 - x1) / self.pose.size, (y2 - y1) / self.pose.size, 0.5, bulge=True)
        fill(stage.canvas, outline, rgb, shade=bulge)
        stroke(stage.canvas, outline, darker(rgb, 0.4), 0.5, 0.6, closed=True)
        stage.things.append(Thing((name,), outline, colour))

    def labels(self, *, single: bool, liquid: str, colour: str) -> None:
        """Up to three labels on the body, below one another."""
        stage, rng = self.stage, self.stage.rng
        body, top = (
            float(self.right[:, 0].max()),
            float(self.right[self.right[:, 0] > 0.93 * self.right[:, 0].max(), 1].min()),
        )
        if self.name in ("flask", "test tube"):
            return
        low, size = max(top, -0.3) + 0.03, self.pose.size
        room = 0.44 - low
        count = int(rng.choice((0, 1, 1, 2, 2, 3))) if single else 1
        icons: list[str] = []
        for number in range(count):
            share = room / count
            wide, high = 2 * body * float(rng.uniform(0.6, 0.94)), share * float(rng.uniform(0.45, 0.85))
            y = low + share * (number + 0.5) + float(rng.uniform(-0.5, 0.5)) * (share - high)
            x = float(rng.uniform(-1, 1)) * (body - wide / 2) * (0.3 if rng.random() < 0.7 else 1)
            hides = y - high / 2 < self.top < y + high / 2 or (self.top > 0 and y + high / 2 > self.top)
            if hides:
                wide, x = min(wide, 1.3 * body), 0.0
            px, py = self.pose.at(x, y)
            icons += put_label(
                stage, Pose(px, py, size, self.pose.degrees + float(rng.normal(0, 0.7))), wide, high, single=single
            )
        if single and len(icons) == 1 and colour:
            self._pairs(icons[0], liquid, colour)

    def _pairs(self, icon: str, liquid: str, colour: str) -> None:
        """A rule about which picture belongs to which colour."""
        rng = self.stage.rng
        other = drawn(rng, [name for name in _PAINTS if name != colour])
        right = rng.random() < 0.5
        text = f"the {icon} belongs to {colour if right else other} {liquid}"
        self.stage.rules.append(Rule(text, "" if right else "mismatch"))
        self.stage.drafts.append(Draft("attribute", f"which colour has the {liquid} behind the {icon}?", (), (colour,)))
