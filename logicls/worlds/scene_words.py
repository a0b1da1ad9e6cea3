"""Words of the scenes that are more than a crowd: vessels, trays, labels, cables."""

from __future__ import annotations

VESSELS = ("bottle", "vial", "jar", "flask", "test tube", "beaker", "tank")
LIQUIDS = ("liquid", "juice", "fluid", "drink", "syrup", "filling")
LEVELS = ("empty", "low", "middle", "high")
FRUITS = ("cherry", "banana", "orange", "apple", "lemon", "grape", "pear", "strawberry")
SHAPES = (
    "disc", "ring", "square", "rectangle", "triangle", "star", "cross", "heart", "hexagon", "diamond", "crescent", "leaf",
    "drop", "sun",
)  # fmt: skip
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "level": LEVELS,
    "size": ("small", "large"),
    "orientation": ("horizontal", "vertical"),
    "fruit": FRUITS,
    "shape": SHAPES,
    "material": ("metal", "wood", "plastic", "glass", "paper", "cloth"),
    "place": ("left", "right", "above", "below", "centred", "inside", "outside"),
    "pattern": ("plain", "striped", "dotted"),
    "state": ("on", "off", "open", "closed", "filled", "free"),
}
"""What is asked of things, and every answer to it."""
DEFECTS = ("none", "missing", "extra", "swapped", "misplaced", "mismatch", "low", "high", "empty", "off", "wrong", "odd", "turned")
"""What a verdict may name."""
THING_NAMES = (
    *VESSELS, *LIQUIDS, "label", "paper label", "icon", "mark", "picture", "symbol", "logo", "fruit icon", "fruit label",
    "text label", "compartment", "cell", "tray", "case", "plate", "panel", "board", "mounting plate", "cable", "wire", "lead",
    "terminal", "slot", "terminal block", "stopper", "screw cap", "part", "object", "fruit",
)  # fmt: skip
PLACES = ("left right upper lower leftmost rightmost topmost lowest top bottom middle row column corner centre in on of",)
SAID = (
    "small large red green that shows show that is are that points point in the up down position with the letter horizontal",
)
