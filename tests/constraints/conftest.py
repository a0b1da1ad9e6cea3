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


PRODUCTS: Mapping[str, Callable[[int, float], list[Part]]] = {
    "dosing_kit": dosing_kit,
    "juice_bottle": juice_bottle,
    "screws_block": screws_block,
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
            Box(x1 * width, y1 * height, x2 * width, y2 * height).moved(dx * width, dy * height),
            tuple(sorted(facts.items())),
        )
        for number, (component, (x1, y1, x2, y2), facts) in enumerate(parts, 1)
    ]
    return Scene("good.png", width, height, tuple(instances))


@pytest.fixture(scope="session")
def good() -> Callable[[str], st.SearchStrategy[Scene]]:
    """Product → a strategy of its good scenes."""
    return _good
