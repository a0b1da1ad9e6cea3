"""Things turned and cables bent: patches that are warped together with their masks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from logicls.records import Box, Instance, Scene
from logicls.synth.masks import Mask
from logicls.synth.pixels import Photo, feathered, whole


@dataclass(frozen=True, slots=True)
class Turn:
    """A thing turned in place: its mask and its box afterwards, and the map of its pixels."""

    mask: Mask
    box: Box
    """About what the mask shows."""
    _matrix: Float[np.ndarray, "2 3"]
    _part: tuple[int, int, int, int]
    """x1, y1, x2, y2 of the box on what is turned; beyond it there is nothing of the thing."""

    @classmethod
    def of(cls, mask: Mask, box: Box, degrees: float) -> Turn:
        """Anticlockwise about the box's centre."""
        height, width = mask.shape
        side = math.ceil(math.hypot(width, height)) + 2
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        matrix[:, 2] += side / 2 - width / 2, side / 2 - height / 2
        shown = np.asarray(cv2.warpAffine(mask, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=0))
        ys, xs = np.nonzero(shown > 0.5)
        if not len(xs):
            return cls(mask, box, np.eye(2, 3), (0, 0, width, height))
        x1, y1, x2, y2 = int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
        left, top = box.centre[0] - side / 2, box.centre[1] - side / 2
        about = Box(left + x1, top + y1, left + x2, top + y2)
        return cls(shown[y1:y2, x1:x2], about, matrix, (x1, y1, x2, y2))

    def turned(self, patch: Photo) -> Photo:
        """The pixels of the box that the thing had."""
        x1, y1, x2, y2 = self._part
        matrix = self._matrix - np.array([[0, 0, x1], [0, 0, y1]])
        size = x2 - x1, y2 - y1
        return np.asarray(cv2.warpAffine(patch, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def cable_of(scene: Scene, end: Instance) -> Instance | None:
    """What the end is an end of: the smallest thing that another such end lies on, too; None where there is none."""
    ends = [i for i in scene.of(end.component) if i.id != end.id]
    over = [i for i in scene.instances if i.component != end.component and end.box.covered_by(i.box) >= 0.5]
    both = [i for i in over if any(other.box.covered_by(i.box) >= 0.5 for other in ends)]
    return min(both, key=lambda i: i.box.area, default=None)


@dataclass(frozen=True, slots=True)
class Bend:
    """A cable whose one end is shifted: nothing moves at its middle, the end all the way, smoothly between."""

    mask: Mask
    box: Box
    """Afterwards."""
    _shown: Mask
    """The mask over the photo, the end's whole box with it."""
    _source: tuple[Float[np.ndarray, "height width"], Float[np.ndarray, "height width"]]
    """Where each pixel of the photo comes from: column and row."""

    @classmethod
    def of(cls, scene: Scene, cable: tuple[Box, Mask], end: Box, by: tuple[float, float]) -> Bend:
        """The cable's box and mask, where its end is now, and by how many pixels across and down that moves."""
        box, mask = cable
        width, height = scene.width, scene.height
        x1, y1, x2, y2 = whole(box, scene)
        layer = np.zeros((height, width), np.float32)
        layer[y1:y2, x1:x2] = mask
        ex1, ey1, ex2, ey2 = whole(end, scene)
        layer[ey1:ey2, ex1:ex2] = 1
        along = 0 if box.width >= box.height else 1
        middle, tip = box.centre[along], end.centre[along]
        places = np.arange(width if along == 0 else height, dtype=np.float32)
        t = np.clip((places - middle) / (tip - middle if abs(tip - middle) > 1 else 1.0), 0, 1)
        share = t * t * (3 - 2 * t)
        weight = np.broadcast_to(share[None] if along == 0 else share[:, None], (height, width))
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        source = columns - weight * by[0], rows - weight * by[1]
        shown = np.asarray(cv2.remap(layer, *source, cv2.INTER_LINEAR, borderValue=0))
        ys, xs = np.nonzero(shown > 0.5)
        about = Box(float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)) if len(xs) else box
        nx1, ny1, nx2, ny2 = whole(about, scene)
        return cls(shown[ny1:ny2, nx1:nx2], about, shown, source)

    def laid(self, photo: Photo, bare: Photo) -> Photo:
        """The bent cable of `photo` on `bare`, the same photo without it."""
        moved = cv2.remap(photo, *self._source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return feathered(bare, np.asarray(moved), np.asarray(cv2.GaussianBlur(self._shown, (0, 0), 0.8)))
