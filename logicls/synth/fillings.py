"""Fillings: emptied, topped up and dyed. What a lower level reveals is learned from the part that is empty already."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from logicls.records import Instance
from logicls.synth.canvas import Canvas
from logicls.synth.glass import see_through
from logicls.synth.masks import Mask
from logicls.synth.pixels import Photo, outline, poured, recoloured, whole

Rng = np.random.Generator
GLASSY = 0.6
"""Share of what is emptied that looks more like glass than what lies above the filling does."""


@dataclass(frozen=True, slots=True)
class Filling:
    """A filling, what it fills, and the photo of both."""

    canvas: Canvas
    target: Instance
    parent: Instance

    @property
    def photo(self) -> Photo:
        """The pixels."""
        return self.canvas.photo

    @property
    def can_be_emptied(self) -> bool:
        """Whether something of its parent shows above the level."""
        first, last = self._above
        return last - first >= 4

    @property
    def _above(self) -> tuple[int, int]:
        """Rows of the parent just above the level."""
        level = round(self.target.box.y1)
        reach = max(8, int(0.06 * self.parent.box.height))
        return max(int(self.parent.box.y1), level - reach - 3), level - 3

    def emptied(self, bottom: float, rng: Rng) -> Photo:
        """Down to row `bottom` it looks like its parent just above the level, or more like glass (`GLASSY`)."""
        first, last = self._above
        rows = last + 1 - int(rng.integers((last - first) // 2)), min(round(bottom), self.canvas.scene.height)
        empty = poured(self.photo, self.parent.box, rows, self._above, rng)
        if rng.random() < GLASSY:
            empty = see_through(empty, self.parent.box, rows, outline(self.photo, self.parent.box, *rows), rng)
        return self._behind(empty)

    def topped_up(self, top: float, rng: Rng) -> Photo:
        """Drawn up to row `top`: its uppermost rows go to the new level, those below continue it."""
        level, new = round(self.target.box.y1), round(top)
        if new >= level:
            return self.photo.copy()
        depth = min(max(8, int(0.06 * self.parent.box.height)), int(self.target.box.height) - 2)
        model = level + 4, level + 4 + depth
        return self._behind(poured(self.photo, self.parent.box, (new, level + 4), model, rng))

    def repoured(self, rng: Rng) -> Photo:
        """The same level; a part of random height below it is drawn anew, as topping up draws it."""
        level, height = round(self.target.box.y1), int(self.target.box.height)
        depth = min(max(8, int(0.06 * self.parent.box.height)), height - 6)
        if depth < 2:
            return self.photo.copy()
        below = level + 4 + int((0.1 + 0.6 * float(rng.random())) * height)
        return self._behind(
            poured(self.photo, self.parent.box, (level + 4, below), (level + 4, level + 4 + depth), rng)
        )

    def dyed(self, model: Filling) -> Photo:
        """In the colours of another filling."""
        return recoloured(self.photo, self.visible(), model.photo[model.visible() > 0.5])

    def visible(self) -> Mask:
        """1 where it shows, else 0, over the photo: inside its parent's outline, not behind anything."""
        x1, y1, x2, y2 = whole(self.target.box, self.photo)
        mask = np.zeros(self.photo.shape[:2], np.float32)
        lefts, rights = outline(self.photo, self.parent.box, y1, y2)
        for row in range(y1, y2):
            mask[row, max(x1, int(lefts[row - y1])) : min(x2, int(rights[row - y1]))] = 1
        for front in self._in_front((self.target,)):
            fx1, fy1, fx2, fy2 = whole(front.box, self.photo)
            mask[fy1:fy2, fx1:fx2] = 0
        return mask

    def _behind(self, changed: Photo) -> Photo:
        """`changed`, but for everything that stands in front."""
        out = changed.copy()
        for front in self._in_front((self.target, self.parent)):
            x1, y1, x2, y2 = whole(front.box, out)
            out[y1:y2, x1:x2] = self.photo[y1:y2, x1:x2]
        return out

    def _in_front(self, parts: Iterable[Instance]) -> list[Instance]:
        ids, largest = {i.id for i in parts}, max(i.box.area for i in parts)
        return [i for i in self.canvas.scene.instances if i.id not in ids and i.box.area < largest]


def filling_of(canvas: Canvas, target: Instance, fills: str) -> Filling | None:
    """The filling together with the instance of `fills` that it is in; None where there is none."""
    parents = canvas.scene.of(fills)
    parent = max(parents, key=lambda p: target.box.covered_by(p.box), default=None)
    return Filling(canvas, target, parent) if parent else None
