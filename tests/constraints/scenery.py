"""Random products with a good photo of each, and what is where on it: worked out apart from the code that is tested."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from logicls.records import Box, Instance, Scene

COLOURS = ("red", "green", "blue")
PX_PER_MM = 2.5
VARIANTS = {
    "red_pin": {"of": "pin", "with": {"colour": "red"}},
    "small_pin": {"of": "pin", "with": {"size": "s", "colour": ["red", "green"]}},
    "blue_cap": {"of": "cap", "with": {"colour": "blue"}},
}
ATTRIBUTES: dict[str, dict[str, list[str]]] = {
    "pin": {"colour": list(COLOURS), "size": ["s", "l"]},
    "cap": {"colour": list(COLOURS)},
    "gel": {"colour": list(COLOURS)},
    "socket": {"slots": ["2", "3"]},
}
COMPONENTS = ("tray", "pin", "cap", "nut", "hole", "jar", "gel", "socket", "plug")


@dataclass(frozen=True)
class Truth:
    """A photo and the names that may be used of it."""

    scene: Scene
    regions: dict[str, dict[str, Any]]

    @property
    def head(self) -> dict[str, Any]:
        """The spec without its rules."""
        more: dict[str, dict[str, Any]] = {
            "nut": {"leaves": "hole"},
            "hole": {"optional": True},
            "gel": {"fills": "jar"},
        }
        return {
            "logicls": 1,
            "product": {"name": "generated", "px_per_mm": PX_PER_MM},
            "components": {name: {"attributes": ATTRIBUTES.get(name, {}), **more.get(name, {})} for name in COMPONENTS},
            "variants": VARIANTS,
            "regions": self.regions,
        }

    def things(self, name: str, frame: Box | None = None) -> list[Instance]:
        """The instances of a component or a variant, those with their centre in the frame."""
        variant: dict[str, Any] = VARIANTS.get(name, {"of": name, "with": {}})
        return [
            i
            for i in self.scene.instances_of(str(variant["of"]))
            if (frame is None or centred(i.box, frame))
            and all(i.attribute(key) in [values, *values] for key, values in variant["with"].items())
        ]

    def places(self, name: str, frame: Box | None = None) -> list[Box]:
        """The boxes of a thing or a region; of a component in the frame, for a region of one."""
        region = self.regions.get(name)
        if region is None:
            return [i.box for i in self.things(name, frame)]
        photo = Box(0, 0, self.scene.width, self.scene.height)
        frames = [i.box for i in self.things(region["of"], frame)] if "of" in region else [photo]
        return [cell for box in frames for cell in cells(region, box)]

    def present(self) -> list[str]:
        """Components and variants that are there."""
        return [name for name in (*COMPONENTS, *VARIANTS) if self.things(name)]

    def here(self) -> list[str]:
        """Places that are there."""
        return [name for name in (*self.present(), *self.regions) if self.places(name)]

    def wide(self) -> list[str]:
        """Places that something can be in."""
        return [name for name in ("tray", "jar", "socket", *self.regions) if self.places(name)]

    def absent(self) -> list[str]:
        """Components and variants that are not."""
        return [name for name in (*COMPONENTS, *VARIANTS) if not self.things(name)]


def kind(name: str) -> str:
    """The component of a thing or variant."""
    return str(VARIANTS.get(name, {"of": name})["of"])


def cells(region: dict[str, Any], frame: Box) -> Iterator[Box]:
    """Row by row."""
    left, top, right, bottom = region["box"]
    columns, rows = region.get("grid", (1, 1))
    for number in range(columns * rows):
        column, row = number % columns, number // columns
        xs = [left + (right - left) * c / columns for c in (column, column + 1)]
        ys = [top + (bottom - top) * r / rows for r in (row, row + 1)]
        yield Box(
            frame.x1 + xs[0] * frame.width,
            frame.y1 + ys[0] * frame.height,
            frame.x1 + xs[1] * frame.width,
            frame.y1 + ys[1] * frame.height,
        )


def centred(box: Box, place: Box) -> bool:
    """Whether the box's centre is in the place."""
    x, y = box.centre
    return place.x1 <= x <= place.x2 and place.y1 <= y <= place.y2


def scenery(rng: random.Random) -> Truth:
    """A photo of four columns by three rows of things: on a tray or beside it, full of gel, or plugged together."""
    width, height = rng.randint(300, 900), rng.randint(300, 900)
    jitter = rng.choice((0.0, 0.1, 0.25))
    slots = [(column, row) for row in range(3) for column in range(4)]
    parts: list[tuple[str, Box]] = []
    if rng.random() < 0.7:
        parts.append(("tray", Box(0.02, 0.02, 0.49, 0.65)))
    if rng.random() < 0.4:
        parts += plugged(rng, slots)
    for name in shuffled(rng, ["pin"] * rng.randint(1, 4) + ["cap"] * rng.randint(0, 3) + ["nut"] * rng.randint(0, 3)):
        parts.append((name, placed(rng, slots, jitter, rng.uniform(0.25, 0.6))))
    if rng.random() < 0.5:
        jar = placed(rng, [(column, 2) for column, row in slots if row == 2] or [(3, 2)], 0.0, 0.8)
        parts = [(name, box) for name, box in parts if box.iou(jar) == 0]
        top = jar.y1 + jar.height * rng.uniform(0.2, 0.7)
        parts += [("jar", jar), ("gel", Box(jar.x1 + 0.01, top, jar.x2 - 0.01, jar.y2))]
    instances = [
        Instance(
            number,
            name,
            Box(box.x1 * width, box.y1 * height, box.x2 * width, box.y2 * height),
            tuple(sorted((key, rng.choice(values)) for key, values in ATTRIBUTES.get(name, {}).items())),
        )
        for number, (name, box) in enumerate(parts, 1)
    ]
    return Truth(Scene("generated.png", width, height, alike(rng, instances)), regions(rng, instances))


def shuffled(rng: random.Random, items: list[Any]) -> list[Any]:
    """In random order."""
    return rng.sample(items, len(items))


def placed(rng: random.Random, slots: list[tuple[int, int]], jitter: float, size: float) -> Box:
    """A box about the middle of a slot, which is taken."""
    column, row = slots.pop(rng.randrange(len(slots)))
    x, y = (column + 0.5 + jitter * rng.uniform(-1, 1)) / 4, (row + 0.5 + jitter * rng.uniform(-1, 1)) / 3
    width, height = size / 8 * rng.uniform(0.7, 1), size / 6 * rng.uniform(0.7, 1)
    return Box(x - width, y - height, x + width, y + height)


def plugged(rng: random.Random, slots: list[tuple[int, int]]) -> Iterator[tuple[str, Box]]:
    """Two sockets of three slots, one below the other, with plugs in the same slots of both."""
    rows = sorted(rng.sample([1, 2, 3], rng.randint(1, 2)))
    for _ in range(2):
        socket = placed(rng, slots, 0.0, 0.85)
        yield "socket", socket
        pitch = socket.height / 3
        for row in rows:
            y = socket.y1 + (row - 0.5) * pitch
            yield "plug", Box(socket.x1 + 0.01, y - 0.3 * pitch, socket.x2 - 0.01, y + 0.3 * pitch)


def alike(rng: random.Random, instances: list[Instance]) -> tuple[Instance, ...]:
    """The sockets have three slots; now and then all things of a kind, or a gel and the caps, have one colour."""
    colour = rng.choice(COLOURS)
    same = {name for name in ("pin", "cap", "gel") if rng.random() < 0.4}
    facts = {"socket": {"slots": "3"}} | {name: {"colour": colour} for name in same}
    turned = {name: rng.choice((0.0, 0.0, 90.0, 180.0, 217.0)) for name in COMPONENTS}
    return tuple(
        Instance(
            i.id,
            i.component,
            i.box,
            tuple(sorted({**dict(i.attributes), **facts.get(i.component, {})}.items())),
            turned[i.component] if rng.random() < 0.9 else 90.0,
        )
        for i in instances
    )


def regions(rng: random.Random, instances: list[Instance]) -> dict[str, dict[str, Any]]:
    """Parts of the photo and of things, and a grid of either."""
    x, y = rng.uniform(0, 0.6), rng.uniform(0, 0.6)
    found: dict[str, dict[str, Any]] = {
        "left_half": {"box": [0, 0, 0.5, 1]},
        "spot": {"box": [x, y, x + 0.3, y + 0.3]},
        "quarters": {"box": [0, 0, 1, 1], "grid": [2, 2]},
        "rim": {"box": [-0.05, -0.05, 1.05, 0.6], "of": rng.choice(instances).component},
        "bays": {"box": [0, 0, 1, 1], "of": "tray", "grid": [rng.randint(1, 3), rng.randint(1, 2)]},
    }
    return found
