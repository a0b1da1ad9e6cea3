"""Does a photo have the pixels that its smallest component needs?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from logicls.models.fitting import placed

FEWER = 0.5
"""Share of the pixels on a side, of those that photos learned from had, below which a photo is too small."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """How fine the photos were that a model learned from."""

    component: str
    """The smallest one."""
    across: float
    """Its shorter side, pixels of the photo; at most those of the model's input, for it never sees more."""
    size: tuple[int, int]
    """Height and width of the model's input."""
    scale: float
    """Pixels of the input for one of the photo, of the smallest photo learned from; 1 where it was larger."""

    def too_few(self, width: int, height: int) -> tuple[str, ...]:
        """Why a photo of that size is too small; empty where it is not."""
        scale = max(placed(self.size, width, height)[0], 1.0)
        left = self.scale / scale
        if left >= FEWER:
            return ()
        told = (
            f"{self.component} is about {self.across * left:.1f} pixels across, {self.across:.1f} when it was learned"
        )
        return (f"too few pixels: {width} x {height}, on which {told}",)


Sighting = tuple[str, float, tuple[int, int]]
"""A component, the shorter side of its box in pixels, and (width, height) of the photo."""


def pixels(size: tuple[int, int], sightings: Iterable[Sighting]) -> Pixels | None:
    """Of the components' boxes on photos; the smallest component is that with the smallest median. None without any."""
    from statistics import median

    sides: dict[str, list[float]] = {}
    largest = 1.0
    for component, side, photo in sightings:
        scale = placed(size, *photo)[0]
        sides.setdefault(component, []).append(side * min(scale, 1.0))
        largest = max(largest, scale)
    if not sides:
        return None
    smallest = min(sides, key=lambda name: median(sides[name]))
    return Pixels(smallest, float(median(sides[smallest])), size, largest)
