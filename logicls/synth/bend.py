"""Things turned and cables bent: patches that are warped together with their masks."""

from __future__ import annotations

import math

import cv2
import numpy as np

from logicls.records import Box, Instance, Scene
from logicls.synth.masks import Mask
from logicls.synth.pixels import Photo, whole


def turned(patch: Photo, mask: Mask, box: Box, degrees: float) -> tuple[Photo, Mask, Box]:
    """The patch turned anticlockwise about the box's centre, its mask, and the box about what the mask shows."""
    height, width = mask.shape
    side = math.ceil(math.hypot(width, height)) + 2
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    matrix[:, 2] += side / 2 - width / 2, side / 2 - height / 2
    size = side, side
    picture = cv2.warpAffine(patch, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    shown = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR, borderValue=0)
    ys, xs = np.nonzero(shown > 0.5)
    if not len(xs):
        return patch, mask, box
    x1, y1, x2, y2 = int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
    left, top = box.centre[0] - side / 2, box.centre[1] - side / 2
    about = Box(left + x1, top + y1, left + x2, top + y2)
    return np.asarray(picture[y1:y2, x1:x2]), np.asarray(shown[y1:y2, x1:x2]), about


def cable_of(scene: Scene, end: Instance) -> Instance | None:
    """What the end is an end of: the smallest thing that another such end lies on, too; None where there is none."""
    ends = [i for i in scene.of(end.component) if i.id != end.id]
    over = [i for i in scene.instances if i.component != end.component and end.box.covered_by(i.box) >= 0.5]
    both = [i for i in over if any(other.box.covered_by(i.box) >= 0.5 for other in ends)]
    return min(both, key=lambda i: i.box.area, default=None)


def bent(
    photo: Photo, bare: Photo, cable: tuple[Box, Mask], end: Box, by: tuple[float, float]
) -> tuple[Photo, Mask, Box]:
    """A cable whose one end is shifted: nothing moves at its middle, the end all the way, smoothly between.

    Args:
        photo: With the cable as it is.
        bare: The same photo without it.
        cable: Its box and its mask.
        end: Where the end is now.
        by: Pixels across and down that the end moves.

    Returns:
        The photo, the cable's new mask and its new box.
    """
    box, mask = cable
    height, width = photo.shape[:2]
    x1, y1, x2, y2 = whole(box, photo)
    layer = np.zeros((height, width), np.float32)
    layer[y1:y2, x1:x2] = mask
    ex1, ey1, ex2, ey2 = whole(end, photo)
    layer[ey1:ey2, ex1:ex2] = 1
    along = 0 if box.width >= box.height else 1
    middle, tip = box.centre[along], end.centre[along]
    places = np.arange(width if along == 0 else height, dtype=np.float32)
    t = np.clip((places - middle) / (tip - middle if abs(tip - middle) > 1 else 1.0), 0, 1)
    share = t * t * (3 - 2 * t)
    weight = np.broadcast_to(share[None] if along == 0 else share[:, None], (height, width))
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    from_x, from_y = columns - weight * by[0], rows - weight * by[1]
    moved = cv2.remap(photo, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    shown = cv2.remap(layer, from_x, from_y, cv2.INTER_LINEAR, borderValue=0)
    alpha = cv2.GaussianBlur(shown, (0, 0), 0.8)[..., None]
    out = np.clip(bare * (1 - alpha) + moved * alpha + 0.5, 0, 255).astype(np.uint8)
    ys, xs = np.nonzero(shown > 0.5)
    about = Box(float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)) if len(xs) else box
    nx1, ny1, nx2, ny2 = whole(about, photo)
    return out, np.asarray(shown[ny1:ny2, nx1:nx2]), about
