"""Answers written by hand, for the tests of the families."""

from __future__ import annotations

from logicls.constraints.families.context import EvaluationContext, RegionGrid, Variant, Vocabulary
from logicls.records import Answer, Box

TRAY = Box(100, 100, 300, 200)
VOCABULARY = Vocabulary(
    variants={
        "red_pin": Variant("pin", (("colour", frozenset({"red"})),)),
        "small_pin": Variant("pin", (("size", frozenset({"s", "xs"})),)),
    },
    regions={
        "corner": RegionGrid((0, 0, 0.5, 0.5)),
        "left": RegionGrid((0, 0, 0.5, 1), "tray"),
        "bays": RegionGrid((0, 0, 1, 1), "tray", (2, 1)),
    },
    fills={"gel": "jar"},
    attribute_values={"pin": {"colour": ("red", "blue"), "size": ("s", "xs", "l")}},
    px_per_mm=4.0,
)


def make_context(*answers: Answer) -> EvaluationContext:
    """Answers of a photo of 400 x 400 pixels."""
    return EvaluationContext({answer.query: answer for answer in answers}, 400, 400, VOCABULARY)


def locate_answer(component: str, *boxes: Box) -> Answer:
    """The component is there."""
    return Answer(f"locate:{component}", boxes=boxes)


def attribute_answer(path: str, *values: str) -> Answer:
    """The attribute of each instance, `thing.attribute`."""
    return Answer(f"attribute:{path}", values)


def at(x: float, y: float, side: float = 20) -> Box:
    """A square about a point."""
    return Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def pins(count: int) -> Answer:
    """So many pins on the tray, from left to right."""
    return locate_answer("pin", *(at(110 + 30 * number, 150) for number in range(count)))
