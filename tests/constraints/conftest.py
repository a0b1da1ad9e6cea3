"""Good scenes of every product whose spec ships, from geometry that was written by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import strategies as st

from logicls.records import Box, Instance, Scene

Part = tuple[str, tuple[float, float, float, float], dict[str, str]]
SCREWS = ((0.1, 0.1, 0.4, 0.4), (0.6, 0.1, 0.9, 0.4), (0.1, 0.6, 0.4, 0.9), (0.6, 0.6, 0.9, 0.9))
TABLETS = ((0.5, 0.24, 0.6, 0.32), (0.5, 0.38, 0.6, 0.46), (0.5, 0.52, 0.6, 0.6), (0.5, 0.66, 0.6, 0.74))


def dosing_kit(variant: int, level: float) -> list[Part]:
    """A filled vial with its label and mark, four tablets, a spoon; `level` is 0 to 1 of what is allowed."""
    shape, colour = (("drop", "red"), ("leaf", "yellow"), ("star", "blue"))[variant]
    top = 0.86 - (0.605 + 0.11 * level) * 0.7
    return [
        ("vial", (0.1, 0.16, 0.42, 0.86), {}),
        ("liquid", (0.11, top, 0.41, 0.86), {"colour": colour}),
        ("label", (0.13, 0.58, 0.39, 0.79), {}),
        ("mark", (0.2, 0.64, 0.32, 0.73), {"shape": shape}),
        *(("tablet", box, {}) for box in TABLETS),
        ("spoon", (0.79, 0.28, 0.91, 0.72), {}),
    ]


def juice_bottle(variant: int, level: float) -> list[Part]:
    """A filled bottle with two labels and the fruit's icon."""
    fruit, colour = (("cherry", "red"), ("banana", "white"), ("orange", "yellow"))[variant]
    top = 0.938 - (0.752 + 0.024 * level) * 0.9
    return [
        ("bottle", (0.3, 0.05, 0.7, 0.95), {}),
        ("juice", (0.3, top, 0.7, 0.938), {"colour": colour}),
        ("fruit_label", (0.37, 0.46, 0.63, 0.63), {}),
        ("text_label", (0.37, 0.79, 0.63, 0.87), {}),
        ("fruit_icon", (0.47, 0.52, 0.53, 0.57), {"fruit": fruit}),
    ]


def screws_block(variant: int, level: float) -> list[Part]:
    """A screw in each of the four places."""
    return [("screw", box, {}) for box in SCREWS]


def breakfast_box(variant: int, level: float) -> list[Part]:
    """Three fruit of which another one is the nectarine, and muesli; `level` is that of the fill and of the ratio."""
    kinds = ["tangerine"] * 3
    kinds[variant] = "nectarine"
    fruit = [(0.07 + shift, top, 0.25 + shift, top + 0.25) for shift, top in ((0, 0.08), (0.17, 0.36), (0, 0.64))]
    left, top = 0.54 - 0.03 * level, 0.1 - 0.04 * level
    middle = top + (0.52 + 0.12 * level) * (0.93 - top)
    return [
        *(("fruit", box, {"kind": kind}) for box, kind in zip(fruit, kinds, strict=True)),
        ("muesli", (left, top, 0.94, 0.93), {}),
        ("cereals", (left, top, 0.94, middle), {}),
        ("banana_chips", (left, middle - 0.01, 0.76, 0.93), {}),
        ("almonds", (0.74, middle, 0.94, 0.92), {}),
    ]


def pushpins(variant: int, level: float) -> list[Part]:
    """A case of 15 compartments with a pushpin each, leaning to one side, and the walls between those in a row."""
    lean = (variant - 1) * 0.02
    columns, rows = [0.15, 0.325, 0.5, 0.675, 0.85], [0.25, 0.5, 0.75]
    return [
        ("case", (0.04, 0.1, 0.96, 0.9), {}),
        *(
            ("pushpin", (x + lean - 0.02, y - 0.04 - 0.02 * level, x + lean + 0.02, y + 0.04), {})
            for y in rows
            for x in columns
        ),
        *(("separator", (x + 0.0835, y - 0.11, x + 0.0915, y + 0.11), {}) for y in rows for x in columns[:4]),
    ]


def screw_bag(variant: int, level: float) -> list[Part]:
    """Two washers, two nuts, a long screw that lies across the bag, level or along it, and a short one."""
    long = ((0.1, 0.6, 0.5, 0.9), (0.08, 0.72, 0.62, 0.79), (0.25, 0.4, 0.33, 0.94))[variant]
    return [
        ("washer", (0.1, 0.1 + 0.05 * level, 0.22, 0.22 + 0.05 * level), {}),
        ("washer", (0.5, 0.1, 0.62, 0.22), {}),
        ("nut", (0.28, 0.12, 0.37, 0.21), {}),
        ("nut", (0.42, 0.32, 0.51, 0.41), {}),
        ("screw", long, {"length": "long"}),
        ("screw", (0.7, 0.35, 0.77, 0.6), {"length": "short"}),
    ]


def splicing_connectors(variant: int, level: float) -> list[Part]:
    """Two connectors of one size, and a cable of its colour from a clamp of the one to the same clamp of the other."""
    clamps, colour = ((2, "yellow"), (3, "blue"), (5, "red"))[variant]
    top, pitch = 0.6 - 0.04 * clamps, 0.08
    y = top + pitch * (0.5 + round(level * (clamps - 1)))
    return [
        ("connector", (0.06, top, 0.26, top + pitch * clamps), {"clamps": str(clamps)}),
        ("connector", (0.74, top, 0.94, top + pitch * clamps), {"clamps": str(clamps)}),
        ("cable", (0.25, y - 0.02, 0.75, y + 0.02), {"colour": colour, "state": "whole"}),
        ("cable_end", (0.25, y - 0.02, 0.28, y + 0.02), {}),
        ("cable_end", (0.72, y - 0.02, 0.75, y + 0.02), {}),
    ]


def dice(variant: int, level: float) -> list[Part]:
    """Three or four dice, any two of which have enough pips; or ten to twelve that leave room for some more."""
    few, many = ("six", "five", "four", "five"), ("three", "two", "four", "two", "three") * 3
    shown = many[: 10 + round(2 * level)] if variant else few[: 4 - round(level)]
    corners = [(0.08 + 0.22 * (n % 4), 0.08 + 0.22 * (n // 4)) for n in range(16)]
    placed = zip(shown, corners[variant:], strict=False)
    return [("die", (x, y, x + 0.08, y + 0.08), {"face": face}) for face, (x, y) in placed]


PRODUCTS: Mapping[str, Callable[[int, float], list[Part]]] = {
    "breakfast_box": breakfast_box,
    "dice": dice,
    "dosing_kit": dosing_kit,
    "juice_bottle": juice_bottle,
    "pushpins": pushpins,
    "screw_bag": screw_bag,
    "screws_block": screws_block,
    "splicing_connectors": splicing_connectors,
}


@st.composite
def _good(draw: st.DrawFn, product: str) -> Scene:
    """The product in one of its variants, filled as far as it may be, a little off, on a photo of some size."""
    parts = PRODUCTS[product](draw(st.integers(0, 2)), draw(st.floats(0, 1)))
    width, height = draw(st.integers(200, 900)), draw(st.integers(200, 900))
    dx, dy = draw(st.floats(-0.01, 0.01)), draw(st.floats(-0.01, 0.01))
    instances = [
        Instance(
            number,
            component,
            Box(x1 * width, y1 * height, x2 * width, y2 * height).translate(dx * width, dy * height),
            tuple(sorted(facts.items())),
        )
        for number, (component, (x1, y1, x2, y2), facts) in enumerate(parts, 1)
    ]
    return Scene("good.png", width, height, tuple(instances))


@pytest.fixture(scope="session")
def good() -> Callable[[str], st.SearchStrategy[Scene]]:
    """Product → a strategy of its good scenes."""
    return _good
