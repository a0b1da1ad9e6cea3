"""Geometric transforms: homographies of photos with their boxes, rotated patches, and bent cables."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float

from logicls.constraints.families.angles import fold_angle, normalize_angle
from logicls.records import Box, Instance, Scene
from logicls.synth.image_ops import Photo, alpha_blend, pixel_bounds
from logicls.synth.masks import Mask

Rng = np.random.Generator
MAX_CORE_MARGIN = 0.25
"""Largest margin on either side of a box that may not belong to a part, as a share of its width or height."""
MIN_TURN = 1e-6
"""Degrees below which a map turns nothing."""
Homography = Float[np.ndarray, "3 3"]
"""Projective map of the photo's pixels in homogeneous coordinates; pixel edges lie at whole numbers."""


def sample_transform(
    size: tuple[int, int], rng: Rng, *, shift: float, scale: float, rotation: float, perspective: float
) -> Homography:
    """Sample a map about the centre of a photo of `size` (width, height); strengths as in `synth/augment.yaml`."""
    width, height = size
    factor, angle = 1 + scale * _sample_symmetric(rng), math.radians(rotation * _sample_symmetric(rng))
    cos, sin = factor * math.cos(angle), factor * math.sin(angle)
    x, y = width / 2, height / 2
    dx, dy = x + shift * width * _sample_symmetric(rng), y + shift * height * _sample_symmetric(rng)
    homography = np.array([[cos, -sin, dx - cos * x + sin * y], [sin, cos, dy - sin * x - cos * y], [0, 0, 1]])
    if not perspective:
        return homography
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    displaced = corners + rng.uniform(-perspective, perspective, (4, 2)) * size
    return np.asarray(cv2.getPerspectiveTransform(corners, displaced.astype(np.float32)) @ homography)


def add_flip(homography: Homography, size: tuple[int, int], axis: str) -> Homography:
    """Compose the map with a flip before it: left and right (`x`) or top and bottom (`y`)."""
    flip = np.eye(3)
    row = "xy".index(axis)
    flip[row, row], flip[row, 2] = -1, size[row]
    return np.asarray(homography @ flip)


def warp_photo(photo: Photo, homography: Homography) -> Photo:
    """Warp the pixels of a photo; borders are replicated."""
    centre_shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV: pixel centres
    shifted = np.linalg.inv(centre_shift) @ homography @ centre_shift
    size = photo.shape[1], photo.shape[0]
    if np.allclose(shifted[2], (0, 0, 1)):
        out = cv2.warpAffine(photo, shifted[:2], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    else:
        out = cv2.warpPerspective(photo, shifted, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out)


def warp_scene(scene: Scene, homography: Homography) -> tuple[Scene, Scene]:
    """Warp the boxes of a scene; returns the bounding boxes of the warped boxes, and of the ellipses inscribed in them.

    The content of a box fills at most the box and hardly less than the ellipse, so the true box lies between the two.
    They are equal under translation and scaling.
    """
    outer, inner = (
        zip(*(_map_box(i.box, homography) for i in scene.instances), strict=True) if scene.instances else ((), ())
    )
    angles = [_map_angle(i, homography) for i in scene.instances]
    instances_by_bound = (
        tuple(replace(i, box=box, angle=angle) for i, box, angle in zip(scene.instances, boxes, angles, strict=True))
        for boxes in (outer, inner)
    )
    loose, tight = (replace(scene, instances=instances) for instances in instances_by_bound)
    return loose, tight


def _map_angle(instance: Instance, homography: Homography) -> float:
    """Return the angle of the instance's own direction after the map, at the centre of its box."""
    radians, (x, y) = math.radians(instance.angle), instance.box.centre
    step = np.array([[x, y, 1.0], [x + 1e-3 * math.cos(radians), y - 1e-3 * math.sin(radians), 1.0]])
    start, end = ((point[0] / point[2], point[1] / point[2]) for point in step @ homography.T)
    turned = math.degrees(math.atan2(start[1] - end[1], end[0] - start[0]))
    return normalize_angle(instance.angle if abs(fold_angle(turned - instance.angle)) < MIN_TURN else turned)


def measure_box_slack(loose: Scene, tight: Scene) -> float:
    """Largest share of a box's side by which the loose box exceeds the tight one."""
    pairs = [(a.box, b.box) for a, b in zip(loose.instances, tight.instances, strict=True)]
    return max((max(1 - b.width / a.width, 1 - b.height / a.height) for a, b in pairs), default=0.0)


def _map_box(box: Box, homography: Homography) -> tuple[Box, Box]:
    """Bounding boxes of the warped box and of the warped ellipse in it."""
    (a, b, c), (d, e, f), (g, h, i) = homography.tolist()

    def project(x: float, y: float) -> tuple[float, float, float]:
        depth = g * x + h * y + i
        return (a * x + b * y + c) / depth, (d * x + e * y + f) / depth, depth

    corners = [project(x, y) for x in (box.x1, box.x2) for y in (box.y1, box.y2)]
    xs, ys = [corner[0] for corner in corners], [corner[1] for corner in corners]
    outer = Box(min(xs), min(ys), max(xs), max(ys))
    x, y, depth = project(*box.centre)
    half_width = math.hypot((a - g * x) * box.width, (b - h * x) * box.height) / depth / 2
    half_height = math.hypot((d - g * y) * box.width, (e - h * y) * box.height) / depth / 2
    if g == h == b == d == 0:
        return outer, outer
    return outer, Box(x - half_width, y - half_height, x + half_width, y + half_height)


def _sample_symmetric(rng: Rng) -> float:
    """Sample uniformly from -1 to 1."""
    return 2 * float(rng.random()) - 1


@dataclass(frozen=True, slots=True)
class RotatedPatch:
    """An instance rotated in place: mask and box after the rotation, and the map of its pixels."""

    mask: Mask
    box: Box
    """Bounding box of the rotated mask."""
    degrees: float
    """Anticlockwise."""
    _affine: Float[np.ndarray, "2 3"]
    """Map of the patch's pixels to the rotated patch."""
    _bounds: tuple[int, int, int, int]
    """x1, y1, x2, y2 of that box on the rotated patch; there is no foreground outside."""

    @classmethod
    def compute(cls, mask: Mask, box: Box, degrees: float) -> RotatedPatch:
        """Rotate a mask anticlockwise about the centre of its box."""
        height, width = mask.shape
        side = math.ceil(math.hypot(width, height)) + 2
        # An even distance from the patch keeps its pixels on the grid; OpenCV counts from the centre of a pixel.
        across, down = side + (side - width) % 2, side + (side - height) % 2
        affine = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
        affine[:, 2] += (across - width) / 2, (down - height) / 2
        rotated = np.asarray(cv2.warpAffine(mask, affine, (across, down), flags=cv2.INTER_LINEAR, borderValue=0))
        ys, xs = np.nonzero(rotated > 0.5)
        if not len(xs):
            return cls(mask, box, degrees, np.eye(2, 3), (0, 0, width, height))
        x1, y1, x2, y2 = int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
        left, top = box.centre[0] - across / 2, box.centre[1] - down / 2
        bounds = Box(left + x1, top + y1, left + x2, top + y2)
        return cls(rotated[y1:y2, x1:x2], bounds, degrees, affine, (x1, y1, x2, y2))

    def warp(self, patch: Photo) -> Photo:
        """Rotate the pixels of the instance's original box."""
        x1, y1, x2, y2 = self._bounds
        affine = self._affine - np.array([[0, 0, x1], [0, 0, y1]])
        size = x2 - x1, y2 - y1
        return np.asarray(cv2.warpAffine(patch, affine, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def make_core_mask(shape: tuple[int, ...], rng: Rng) -> Mask:
    """Return a mask of a box of (height, width) without margins, random on each axis: 0 to `MAX_CORE_MARGIN`."""
    height, width = shape
    mask = np.zeros((height, width), np.float32)
    rows, columns = (round(MAX_CORE_MARGIN * float(rng.random()) * side) for side in (height, width))
    mask[rows : height - rows, columns : width - columns] = 1
    return mask


def find_cable(scene: Scene, end: Instance) -> Instance | None:
    """Smallest instance that ends at `end` and at another instance of the same component; None if there is none."""
    other_ends = [i for i in scene.instances_of(end.component) if i.id != end.id]
    candidates = [i for i in scene.instances if i.component != end.component and end.box.ioa(i.box) >= 0.5]
    shared = [i for i in candidates if any(other.box.ioa(i.box) >= 0.5 for other in other_ends)]
    return min(shared, key=lambda i: i.box.area, default=None)


@dataclass(frozen=True, slots=True)
class CableBend:
    """A cable with one end displaced: the middle stays, the end moves fully, with a smooth transition."""

    mask: Mask
    box: Box
    """Bounding box after the displacement."""
    _alpha: Mask
    """Mask over the photo, including the end's complete box."""
    _source: tuple[Float[np.ndarray, "height width"], Float[np.ndarray, "height width"]]
    """Source column and row of each pixel of the photo."""

    @classmethod
    def compute(cls, scene: Scene, cable: tuple[Box, Mask], end: Box, offset: tuple[float, float]) -> CableBend:
        """Compute the bend.

        Args:
            scene: Scene of the photo.
            cable: Box and mask of the cable.
            end: Box of the end before the displacement.
            offset: Displacement across and down, pixels.
        """
        box, mask = cable
        width, height = scene.width, scene.height
        x1, y1, x2, y2 = pixel_bounds(box, scene)
        mask_layer = np.zeros((height, width), np.float32)
        mask_layer[y1:y2, x1:x2] = mask
        ex1, ey1, ex2, ey2 = pixel_bounds(end, scene)
        mask_layer[ey1:ey2, ex1:ex2] = 1
        axis = 0 if box.width >= box.height else 1
        middle, tip = box.centre[axis], end.centre[axis]
        positions = np.arange(width if axis == 0 else height, dtype=np.float32)
        t = np.clip((positions - middle) / (tip - middle if abs(tip - middle) > 1 else 1.0), 0, 1)
        share = t * t * (3 - 2 * t)
        weight = np.broadcast_to(share[None] if axis == 0 else share[:, None], (height, width))
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        source = columns - weight * offset[0], rows - weight * offset[1]
        alpha = np.asarray(cv2.remap(mask_layer, *source, cv2.INTER_LINEAR, borderValue=0))
        ys, xs = np.nonzero(alpha > 0.5)
        bounds = Box(float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)) if len(xs) else box
        nx1, ny1, nx2, ny2 = pixel_bounds(bounds, scene)
        return cls(alpha[ny1:ny2, nx1:nx2], bounds, alpha, source)

    def composite(self, photo: Photo, background: Photo) -> Photo:
        """Composite the bent cable of `photo` onto `background`, the same photo without the cable."""
        warped = cv2.remap(photo, *self._source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return alpha_blend(background, np.asarray(warped), np.asarray(cv2.GaussianBlur(self._alpha, (0, 0), 0.8)))
