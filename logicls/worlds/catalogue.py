"""All kinds there are, and which of them one photo must not hold together."""

from __future__ import annotations

from functools import cache

from logicls.worlds import devices, metal, plain, printed
from logicls.worlds.colours import Rng
from logicls.worlds.kind import Kind

KINDS: tuple[Kind, ...] = (
    *plain.SHAPES, *plain.THINGS, *metal.KINDS, *devices.KINDS, *printed.FRUIT, *printed.MARKS, *printed.PRINT
)  # fmt: skip
PICTURES: tuple[Kind, ...] = (*printed.FRUIT, *printed.MARKS, *plain.SHAPES)
"""What is printed on labels."""
_LOOKALIKES = (
    {"disc", "coin", "tablet", "button", "cap", "wooden disc", "capacitor", "lamp", "candy", "ball", "egg", "dot", "hole",
     "pea", "berry", "badge", "screw", "rivet", "biscuit"},
    {"ball", "pea", "berry", "dot", "candy", "rivet", "orange", "apple", "bunch of grapes", "cherry pair", "lemon", "egg"},
    {"ring", "washer", "bearing", "nut", "gear", "hole", "button"},
    {"hexagon", "nut", "bolt", "screw", "rivet", "disc", "coin", "washer"},
    {"square", "rectangle", "eraser", "wooden block", "block", "box", "diamond", "letter tile", "number tile", "die", "sticker",
     "line of text", "bar code", "label", "socket"},
    {"bar", "nail", "pencil", "long screw", "spring", "fuse", "capsule", "clothes peg", "battery", "resistor", "plug"},
    {"star", "sun", "flower", "gear", "biscuit", "strawberry"},
    {"cross", "letter tile", "number tile"},
    {"crescent", "banana", "hook"},
    {"leaf", "lemon", "drop", "pear", "egg", "capsule"},
    {"triangle", "warning sign", "arrow", "drop", "strawberry"},
    {"socket", "chip", "hinge", "rectangle"},
    {"spoon", "fork", "wrench", "key"},
    {"capsule", "eraser", "tablet"},
    {"half disc", "crescent", "triangle"},
    {"bulb", "pushpin", "plug", "pear"},
    {"heart", "strawberry", "apple"},
)  # fmt: skip
"""Kinds that a person may take for one another when they are small."""


@cache
def clash(one: Kind, other: Kind) -> bool:
    """Whether they share a word or look alike."""
    words = [{name.split()[-1] for name in kind.names} | {kind.names[0]} for kind in (one, other)]
    both = {one.names[0], other.names[0]}
    return one is not other and (bool(words[0] & words[1]) or any(both <= group for group in _LOOKALIKES))


def named(*names: str) -> tuple[Kind, ...]:
    """The kinds whose first names these are."""
    return tuple(kind for kind in KINDS if kind.names[0] in names)


def together(rng: Rng, count: int, kinds: tuple[Kind, ...], size: float) -> list[Kind]:
    """Up to `count` kinds that can be told apart at that size, pixels."""
    chosen: list[Kind] = []
    for number in rng.permutation(len(kinds)).tolist():
        kind = kinds[number]
        if len(chosen) == count:
            break
        if kind.smallest <= size and not any(clash(kind, other) for other in chosen):
            chosen.append(kind)
    return chosen
