"""Catalogue of all component kinds, and pairs that one photo must not hold together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from logicls.pretraining import devices
from logicls.pretraining import hardware as metal
from logicls.pretraining import hardware as plain
from logicls.pretraining import printed_parts as printed
from logicls.pretraining.component_kinds import ComponentKind
from logicls.pretraining.surfaces import Rng

KINDS: tuple[ComponentKind, ...] = (
    *plain.SHAPE_KINDS,
    *plain.OBJECT_KINDS,
    *metal.METAL_KINDS,
    *devices.DEVICE_KINDS,
    *printed.FRUIT_KINDS,
    *printed.SYMBOL_KINDS,
    *printed.PRINT_KINDS,
)
PICTOGRAM_KINDS: tuple[ComponentKind, ...] = (*printed.FRUIT_KINDS, *printed.SYMBOL_KINDS, *plain.SHAPE_KINDS)
"""Kinds that are printed on labels."""
_ATTRIBUTE_WEIGHT = 3.0
_LOOKALIKES = (
    {
        "disc",
        "coin",
        "tablet",
        "button",
        "cap",
        "wooden disc",
        "capacitor",
        "lamp",
        "candy",
        "ball",
        "egg",
        "dot",
        "hole",
        "pea",
        "berry",
        "badge",
        "screw",
        "rivet",
        "biscuit",
    },
    {
        "ball",
        "pea",
        "berry",
        "dot",
        "candy",
        "rivet",
        "orange",
        "apple",
        "bunch of grapes",
        "cherry pair",
        "lemon",
        "egg",
    },
    {"ring", "washer", "bearing", "nut", "gear", "hole", "button"},
    {"hexagon", "nut", "bolt", "screw", "rivet", "disc", "coin", "washer"},
    {
        "square",
        "rectangle",
        "eraser",
        "wooden block",
        "block",
        "box",
        "diamond",
        "letter tile",
        "number tile",
        "die",
        "sticker",
        "line of text",
        "bar code",
        "label",
        "socket",
    },
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
)
"""Kinds that may be confused when they are small."""


@cache
def _confusable_pairs() -> frozenset[tuple[str, str]]:
    """Return pairs of first names of kinds that share a word or look alike."""
    words = {kind.names[0]: {name.split()[-1] for name in kind.names} | {kind.names[0]} for kind in KINDS}
    return frozenset(
        (one, other)
        for one in words
        for other in words
        if one != other and (words[one] & words[other] or any({one, other} <= group for group in _LOOKALIKES))
    )


def are_confusable(one: ComponentKind, other: ComponentKind) -> bool:
    """Return whether a photo with one kind leaves it open whether it holds the other."""
    return (one.names[0], other.names[0]) in _confusable_pairs()


def find_absent_kinds(
    present: Sequence[ComponentKind], kinds: Sequence[ComponentKind] = KINDS
) -> tuple[ComponentKind, ...]:
    """Return the kinds that are not present and cannot be confused with a present one."""
    present_names = {kind.names[0] for kind in present}
    pairs = _confusable_pairs()
    return tuple(
        kind
        for kind in kinds
        if kind.names[0] not in present_names and not any((kind.names[0], name) in pairs for name in present_names)
    )


def kinds_by_name(*names: str) -> tuple[ComponentKind, ...]:
    """Return the kinds with these first names."""
    return tuple(kind for kind in KINDS if kind.names[0] in names)


def sample_kinds(rng: Rng, count: int, kinds: Sequence[ComponentKind], size: float) -> list[ComponentKind]:
    """Sample up to `count` kinds that can be distinguished at that size, pixels; those with an attribute more often."""
    candidates = [kind for kind in kinds if kind.min_size <= size]
    # Keys of a weighted draw without repeats (Efraimidis and Spirakis 2006).
    keys = rng.random(len(candidates)) ** (
        1 / np.array([_ATTRIBUTE_WEIGHT if kind.attribute else 1.0 for kind in candidates])
    )
    selected: list[ComponentKind] = []
    for number in np.argsort(-keys).tolist():
        if len(selected) == count:
            break
        if not any(are_confusable(candidates[number], other) for other in selected):
            selected.append(candidates[number])
    return selected
