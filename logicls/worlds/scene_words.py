"""Words of the scenes that are more than a crowd: vessels, trays, labels, cables."""

from __future__ import annotations

from logicls.worlds.vessels import CAPS, LIQUIDS, NAMES

LEVELS = ("empty", "low", "middle", "high")
FRUITS = ("cherry", "banana", "orange", "apple", "lemon", "grape", "pear", "strawberry")
SHAPES = (
    "disc",
    "ring",
    "square",
    "rectangle",
    "triangle",
    "star",
    "cross",
    "heart",
    "hexagon",
    "diamond",
    "crescent",
    "leaf",
    "drop",
    "sun",
)
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "level": LEVELS,
    "size": ("small", "large"),
    "orientation": ("horizontal", "vertical"),
    "fruit": FRUITS,
    "shape": SHAPES,
    "kind": FRUITS,
    "place": ("left", "right", "above", "below", "centred"),
    "state": ("on", "off", "filled", "empty"),
}
"""What is asked of things, and every answer to it."""
DEFECTS = (
    "none",
    "missing",
    "extra",
    "swapped",
    "misplaced",
    "mismatch",
    "low",
    "high",
    "empty",
    "off",
    "wrong",
    "odd",
    "turned",
)
"""What a verdict may name."""
THING_NAMES = (
    *NAMES,
    *LIQUIDS,
    *CAPS,
    "label",
    "paper label",
    "icon",
    "mark",
    "picture",
    "symbol",
    "logo",
    "fruit icon",
    "fruit picture",
    "fruit label",
    "text label",
    "printed label",
    "picture label",
    "icon label",
    "compartment",
    "cell",
    "pocket",
    "tray",
    "case",
    "box insert",
    "plate",
    "panel",
    "board",
    "mounting plate",
    "cable",
    "wire",
    "lead",
    "terminal",
    "slot",
    "terminal block",
    "connector block",
    "part",
    "shape",
    "object",
    "fruit",
)
PLACES = (
    "left right upper lower leftmost rightmost topmost lowest top bottom middle row column corner centre in on of",
)
SAID = (
    "the bottle is filled to a third at most about half more than two thirds",
    "belongs to",
    "behind the icon which colour has",
    "where on the label is the",
    "is centred on its label",
    "one in each compartment with a low level",
    "that is empty filled",
    "which slot of the left block does the red cable end in",
    "the red cable ends in slot two of the right block",
    "small large red green that shows show that is are that points point in the up down position",
    "with the letter horizontal",
)
