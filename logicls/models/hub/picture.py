"""The picture that a processor is given of a photo: all of it, even where the processor would cut its sides off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from logicls.models.coordinates import Size
from logicls.models.fitting import GREY
from logicls.records import Answer, Box


@dataclass(frozen=True, slots=True)
class Shown:
    """What of a picture is the photo."""

    size: Size
    """(width, height) of the picture."""
    left: int
    """Pixels of border before the photo begins."""
    top: int
    photo: Size

    def there(self, boxes: tuple[Box, ...]) -> tuple[Box, ...]:
        """Boxes on the photo as boxes on the picture."""
        return tuple(box.moved(self.left, self.top) for box in boxes)

    def back(self, answer: Answer) -> Answer:
        """An answer about the picture as one about the photo: edges in order, and inside."""
        boxes = tuple(_inside(box.moved(-self.left, -self.top), self.photo) for box in answer.boxes)
        return replace(answer, boxes=boxes)


def shown_of(size: Size, processor: Any) -> Shown:
    """How a photo of that (width, height) is shown: as it is, or within a square where the processor cuts one out."""
    if not getattr(processor.image_processor, "do_center_crop", False):
        return Shown(size, 0, 0, size)
    width, height = size
    side = max(size)
    return Shown((side, side), (side - width) // 2, (side - height) // 2, size)


def picture_of(photo: np.ndarray, shown: Shown) -> np.ndarray:
    """The picture, uint8 RGB [height width 3], of a photo of the same kind."""
    if shown.size == shown.photo:
        return photo
    canvas = np.full((shown.size[1], shown.size[0], 3), GREY, np.uint8)
    canvas[shown.top : shown.top + photo.shape[0], shown.left : shown.left + photo.shape[1]] = photo
    return canvas


def _inside(box: Box, size: Size) -> Box:
    (x1, x2), (y1, y2) = (
        sorted(min(max(edge, 0.0), float(side)) for edge in edges)
        for edges, side in zip(((box.x1, box.x2), (box.y1, box.y2)), size, strict=True)
    )
    return Box(x1, y1, x2, y2)
