"""Things turned and cables bent: patches that are warped together with their masks.

Moving a whole photo: one projective map for the pixels and for the boxes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float

from logicls.records import Box, Instance, Scene
from logicls.synth.image_ops import Photo, alpha_blend, pixel_bounds
from logicls.synth.instance_bank import Mask

Rng = np.random.Generator
Homography = Float[np.ndarray, "3 3"]
"""Maps pixels of the photo, homogeneous, edges of pixels at whole numbers."""


def sample_transform(
    size: tuple[int, int], rng: Rng, *, shift: float, scale: float, rotation: float, perspective: float
) -> Homography:
    """A random map about the middle of a photo of `size` (width, height); the strengths as in `synth/augment.yaml`."""
    width, height = size
    factor, angle = 1 + scale * _sample_symmetric(rng), math.radians(rotation * _sample_symmetric(rng))
    cos, sin = factor * math.cos(angle), factor * math.sin(angle)
    x, y = width / 2, height / 2
    dx, dy = x + shift * width * _sample_symmetric(rng), y + shift * height * _sample_symmetric(rng)
    matrix = np.array([[cos, -sin, dx - cos * x + sin * y], [sin, cos, dy - sin * x - cos * y], [0, 0, 1]])
    if not perspective:
        return matrix
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    pulled = corners + rng.uniform(-perspective, perspective, (4, 2)) * size
    return np.asarray(cv2.getPerspectiveTransform(corners, pulled.astype(np.float32)) @ matrix)


def add_flip(matrix: Homography, size: tuple[int, int], axis: str) -> Homography:
    """The map with left and right (`x`) or top and bottom (`y`) exchanged first."""
    flip = np.eye(3)
    row = "xy".index(axis)
    flip[row, row], flip[row, 2] = -1, size[row]
    return np.asarray(matrix @ flip)


def warp_photo(photo: Photo, matrix: Homography) -> Photo:
    """The photo's pixels mapped; what comes in at the edges repeats them."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV has the middles of pixels at whole numbers
    shifted = np.linalg.inv(half) @ matrix @ half
    size = photo.shape[1], photo.shape[0]
    if np.allclose(shifted[2], (0, 0, 1)):
        out = cv2.warpAffine(photo, shifted[:2], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    else:
        out = cv2.warpPerspective(photo, shifted, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out)


def warp_scene(scene: Scene, matrix: Homography) -> tuple[Scene, Scene]:
    """The scene with its boxes mapped: around the mapped box, and around the ellipse in it.

    What is in a box fills at most the box and hardly less than the ellipse: the truth lies between the two. Under
    shifts and scales they are the same.
    """
    outer, inner = (
        zip(*(_map_box(i.box, matrix) for i in scene.instances), strict=True) if scene.instances else ((), ())
    )
    both = (
        tuple(replace(i, box=box) for i, box in zip(scene.instances, boxes, strict=True)) for boxes in (outer, inner)
    )
    loose, tight = (replace(scene, instances=instances) for instances in both)
    return loose, tight


def box_slack(loose: Scene, tight: Scene) -> float:
    """The largest share of a box's side by which the looser box is wider than the tighter one."""
    pairs = [(a.box, b.box) for a, b in zip(loose.instances, tight.instances, strict=True)]
    return max((max(1 - b.width / a.width, 1 - b.height / a.height) for a, b in pairs), default=0.0)


def _map_box(box: Box, matrix: Homography) -> tuple[Box, Box]:
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()

    def there(x: float, y: float) -> tuple[float, float, float]:
        depth = g * x + h * y + i
        return (a * x + b * y + c) / depth, (d * x + e * y + f) / depth, depth

    corners = [there(x, y) for x in (box.x1, box.x2) for y in (box.y1, box.y2)]
    xs, ys = [corner[0] for corner in corners], [corner[1] for corner in corners]
    outer = Box(min(xs), min(ys), max(xs), max(ys))
    x, y, depth = there(*box.centre)
    across = math.hypot((a - g * x) * box.width, (b - h * x) * box.height) / depth / 2
    down = math.hypot((d - g * y) * box.width, (e - h * y) * box.height) / depth / 2
    if g == h == b == d == 0:
        return outer, outer
    return outer, Box(x - across, y - down, x + across, y + down)


def _sample_symmetric(rng: Rng) -> float:
    """Uniform from -1 to 1."""
    return 2 * float(rng.random()) - 1


@dataclass(frozen=True, slots=True)
class RotatedPatch:
    """A thing turned in place: its mask and its box afterwards, and the map of its pixels."""

    mask: Mask
    box: Box
    """About what the mask shows."""
    _matrix: Float[np.ndarray, "2 3"]
    _bounds: tuple[int, int, int, int]
    """x1, y1, x2, y2 of the box on what is turned; beyond it there is nothing of the thing."""

    @classmethod
    def compute(cls, mask: Mask, box: Box, degrees: float) -> RotatedPatch:
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

    def warp(self, patch: Photo) -> Photo:
        """The pixels of the box that the thing had."""
        x1, y1, x2, y2 = self._bounds
        matrix = self._matrix - np.array([[0, 0, x1], [0, 0, y1]])
        size = x2 - x1, y2 - y1
        return np.asarray(cv2.warpAffine(patch, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def find_cable(scene: Scene, end: Instance) -> Instance | None:
    """What the end is an end of: the smallest thing that another such end lies on, too; None where there is none."""
    ends = [i for i in scene.instances_of(end.component) if i.id != end.id]
    over = [i for i in scene.instances if i.component != end.component and end.box.ioa(i.box) >= 0.5]
    both = [i for i in over if any(other.box.ioa(i.box) >= 0.5 for other in ends)]
    return min(both, key=lambda i: i.box.area, default=None)


@dataclass(frozen=True, slots=True)
class CableBend:
    """A cable whose one end is shifted: nothing moves at its middle, the end all the way, smoothly between."""

    mask: Mask
    box: Box
    """Afterwards."""
    _alpha: Mask
    """The mask over the photo, the end's whole box with it."""
    _source: tuple[Float[np.ndarray, "height width"], Float[np.ndarray, "height width"]]
    """Where each pixel of the photo comes from: column and row."""

    @classmethod
    def compute(cls, scene: Scene, cable: tuple[Box, Mask], end: Box, offset: tuple[float, float]) -> CableBend:
        """The cable's box and mask, where its end is now, and by how many pixels across and down that moves."""
        box, mask = cable
        width, height = scene.width, scene.height
        x1, y1, x2, y2 = pixel_bounds(box, scene)
        layer = np.zeros((height, width), np.float32)
        layer[y1:y2, x1:x2] = mask
        ex1, ey1, ex2, ey2 = pixel_bounds(end, scene)
        layer[ey1:ey2, ex1:ex2] = 1
        along = 0 if box.width >= box.height else 1
        middle, tip = box.centre[along], end.centre[along]
        places = np.arange(width if along == 0 else height, dtype=np.float32)
        t = np.clip((places - middle) / (tip - middle if abs(tip - middle) > 1 else 1.0), 0, 1)
        share = t * t * (3 - 2 * t)
        weight = np.broadcast_to(share[None] if along == 0 else share[:, None], (height, width))
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        source = columns - weight * offset[0], rows - weight * offset[1]
        shown = np.asarray(cv2.remap(layer, *source, cv2.INTER_LINEAR, borderValue=0))
        ys, xs = np.nonzero(shown > 0.5)
        about = Box(float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)) if len(xs) else box
        nx1, ny1, nx2, ny2 = pixel_bounds(about, scene)
        return cls(shown[ny1:ny2, nx1:nx2], about, shown, source)

    def composite(self, photo: Photo, background: Photo) -> Photo:
        """The bent cable of `photo` on `bare`, the same photo without it."""
        moved = cv2.remap(photo, *self._source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return alpha_blend(background, np.asarray(moved), np.asarray(cv2.GaussianBlur(self._alpha, (0, 0), 0.8)))
