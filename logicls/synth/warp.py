"""Moving a whole photo: one projective map for the pixels and for the boxes."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Float

from logicls.records import Box, Scene
from logicls.synth.pixels import Photo

Rng = np.random.Generator
Matrix = Float[np.ndarray, "3 3"]
"""Maps pixels of the photo, homogeneous, edges of pixels at whole numbers."""


def drawn_map(
    size: tuple[int, int], rng: Rng, *, shift: float, scale: float, turn: float, perspective: float
) -> Matrix:
    """A random map about the middle of a photo of `size` (width, height); the strengths as in `synth/augment.yaml`."""
    width, height = size
    factor, angle = 1 + scale * _either(rng), math.radians(turn * _either(rng))
    cos, sin = factor * math.cos(angle), factor * math.sin(angle)
    x, y = width / 2, height / 2
    dx, dy = x + shift * width * _either(rng), y + shift * height * _either(rng)
    matrix = np.array([[cos, -sin, dx - cos * x + sin * y], [sin, cos, dy - sin * x - cos * y], [0, 0, 1]])
    if not perspective:
        return matrix
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    pulled = corners + rng.uniform(-perspective, perspective, (4, 2)) * size
    return np.asarray(cv2.getPerspectiveTransform(corners, pulled.astype(np.float32)) @ matrix)


def mirrored(matrix: Matrix, size: tuple[int, int], axis: str) -> Matrix:
    """The map with left and right (`x`) or top and bottom (`y`) exchanged first."""
    flip = np.eye(3)
    row = "xy".index(axis)
    flip[row, row], flip[row, 2] = -1, size[row]
    return np.asarray(matrix @ flip)


def warped(photo: Photo, matrix: Matrix) -> Photo:
    """The photo's pixels mapped; what comes in at the edges repeats them."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV has the middles of pixels at whole numbers
    shifted = np.linalg.inv(half) @ matrix @ half
    size = photo.shape[1], photo.shape[0]
    if np.allclose(shifted[2], (0, 0, 1)):
        out = cv2.warpAffine(photo, shifted[:2], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    else:
        out = cv2.warpPerspective(photo, shifted, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out)


def carried_over(scene: Scene, matrix: Matrix) -> tuple[Scene, Scene]:
    """The scene with its boxes mapped: around the mapped box, and around the ellipse in it.

    What is in a box fills at most the box and hardly less than the ellipse: the truth lies between the two. Under
    shifts and scales they are the same.
    """
    outer, inner = zip(*(_around(i.box, matrix) for i in scene.instances), strict=True) if scene.instances else ((), ())
    both = (
        tuple(replace(i, box=box) for i, box in zip(scene.instances, boxes, strict=True)) for boxes in (outer, inner)
    )
    loose, tight = (replace(scene, instances=instances) for instances in both)
    return loose, tight


def looseness(loose: Scene, tight: Scene) -> float:
    """The largest share of a box's side by which the looser box is wider than the tighter one."""
    pairs = [(a.box, b.box) for a, b in zip(loose.instances, tight.instances, strict=True)]
    return max((max(1 - b.width / a.width, 1 - b.height / a.height) for a, b in pairs), default=0.0)


def _around(box: Box, matrix: Matrix) -> tuple[Box, Box]:
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


def _either(rng: Rng) -> float:
    """Uniform from -1 to 1."""
    return 2 * float(rng.random()) - 1
