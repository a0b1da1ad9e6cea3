"""Is this a photo like those that were learned from? Another product, a turned, black or blurred photo is not.

What a photo looks like is a sketch: its colours on a coarse grid. Sketches of a product's photos span a small space. A
new one's distance is that of probabilistic principal components (Tipping and Bishop, J. R. Stat. Soc. B 61, 1999):
Hotelling's T² within the space and the squared error outside of it, in one number. Blur and darkness have measures of
their own: how much fine detail there is against coarse detail, and how much coarse detail.

Does a photo have the pixels that its smallest component needs?
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from logicls.data.image_io import letterbox, letterbox_transform
from logicls.errors import BundleError, Problem
from logicls.io.atomic import write_bytes

MIN_RESOLUTION_SHARE = 0.5
"""Share of the pixels on a side, of those that photos learned from had, below which a photo is too small."""


@dataclass(frozen=True, slots=True)
class TrainingResolution:
    """How fine the photos were that a model learned from."""

    component: str
    """The smallest one."""
    component_size: float
    """Its shorter side, pixels of the photo; at most those of the model's input, for it never sees more."""
    input_size: tuple[int, int]
    """Height and width of the model's input."""
    max_scale: float
    """Pixels of the input for one of the photo, of the smallest photo learned from; 1 where it was larger."""

    def ood_reasons(self, width: int, height: int) -> tuple[str, ...]:
        """Why a photo of that size is too small; empty where it is not."""
        scale = max(letterbox_transform(self.input_size, width, height)[0], 1.0)
        left = self.max_scale / scale
        if left >= MIN_RESOLUTION_SHARE:
            return ()
        told = f"{self.component} is about {self.component_size * left:.1f} pixels across, {self.component_size:.1f} when it was learned"
        return (f"too few pixels: {width} x {height}, on which {told}",)


ComponentSize = tuple[str, float, tuple[int, int]]
"""A component, the shorter side of its box in pixels, and (width, height) of the photo."""


def fit_resolution(input_size: tuple[int, int], component_sizes: Iterable[ComponentSize]) -> TrainingResolution | None:
    """Of the components' boxes on photos; the smallest component is that with the smallest median. None without any."""
    from statistics import median

    sides: dict[str, list[float]] = {}
    largest = 1.0
    for component, side, photo in component_sizes:
        scale = letterbox_transform(input_size, *photo)[0]
        sides.setdefault(component, []).append(side * min(scale, 1.0))
        largest = max(largest, scale)
    if not sides:
        return None
    smallest = min(sides, key=lambda name: median(sides[name]))
    return TrainingResolution(smallest, float(median(sides[smallest])), input_size, largest)


OOD_FILE = "usual.safetensors"
SIDE, CELLS = 128, 8
"""Pixels of the square that a photo is fitted into, and cells of the grid, on each axis."""
EXPLAINED_VARIANCE = 0.98
"""Share of the sketches' variance that the space spans."""
LIMIT_QUANTILE = 0.99
"""Of the photos kept aside: so many of them count as usual however they look."""
LIMIT_FACTOR = 1.25
"""The limit is so much further out than the quantile: days differ more than the photos of one set."""
DETAIL_FACTOR = 2.0
"""The same for detail, in distances from the median to the quantile; of how much is to be seen, to the lowest: a photo
is the emptier the more is missing, and that is no reason to doubt it."""
MIN_PHOTOS = 30
"""Photos below which there is nothing to compare with."""


@dataclass(frozen=True, slots=True)
class OodModel:
    """What the photos of a product look like."""

    mean: Float[np.ndarray, " cells"]
    components: Float[np.ndarray, "axes cells"]
    variances: Float[np.ndarray, " components"]
    """Variance along each axis, and what is left of it elsewhere, by cell, is `rest`."""
    residual_variance: float
    limit: float
    """Distance beyond which a photo is unlike."""
    min_detail: Float[np.ndarray, " 3"]
    """Detail below which a photo is blurred, or empty: of `detail`."""
    input_size: tuple[int, int]
    """Height and width of the model's input: what it does not see is not looked at."""

    def ood_reasons(self, photo: UInt8[np.ndarray, "h w 3"]) -> tuple[str, ...]:
        """Why a photo, or one in the input's size, is not like those that were learned from; empty where it is."""
        small = resize_as_input(photo, self.input_size)
        near, mid, empty = (found < least for found, least in zip(compute_detail(small), self.min_detail, strict=True))
        why = []
        if empty:
            why.append("next to nothing is to be seen on it: darker or emptier than the photos learned from")
        if near or mid:
            why.append("blurred: less fine detail than on the photos learned from")
        far = self.distance(compute_descriptor(small)[None])[0] / self.limit
        if far > 1:
            why.append(
                f"unlike the photos learned from ({far:.1f} times as far from them as they are from one another)"
            )
        return tuple(why)

    def distance(self, descriptors: Float[np.ndarray, "photos cells"]) -> Float[np.ndarray, " photos"]:
        """Root mean square over the cells, in standard deviations; about 1 for usual photos."""
        off = descriptors - self.mean
        along = off @ self.components.T
        outside = np.maximum((off**2).sum(1) - (along**2).sum(1), 0.0) / self.residual_variance
        return np.asarray(np.sqrt(((along**2 / self.variances).sum(1) + outside) / len(self.mean)))

    def write(self, folder: Path) -> None:
        """Into a bundle."""
        values = {"mean": self.mean, "axes": self.components, "spans": self.variances, "least": self.min_detail}
        held = {name: np.ascontiguousarray(value, np.float32) for name, value in values.items()}
        write_bytes(
            folder / OOD_FILE,
            save({**held, "scalars": np.asarray([self.residual_variance, self.limit, *self.input_size], np.float32)}),
        )


def read_ood_model(folder: Path) -> OodModel | None:
    """That of a bundle; None where it has none. Raises `BundleError` (LC622)."""
    file = folder / OOD_FILE
    if not file.exists():
        return None
    try:
        held = {name: value.astype(np.float64) for name, value in load_file(file).items()}
        rest, limit, height, width = held.pop("scalars").tolist()
        return OodModel(residual_variance=rest, limit=limit, input_size=(int(height), int(width)), **held)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        problem = Problem("LC622", f"cannot be read: {error}.", str(file), advice="Train again.")
        raise BundleError(problem) from error


def resize_as_input(photo: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "side side 3"]:
    """The photo as the model sees it, as a square."""
    inside = photo if photo.shape[:2] == size else letterbox(size, photo)
    return np.asarray(cv2.resize(inside, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def compute_descriptor(small: UInt8[np.ndarray, "side side 3"]) -> Float[np.ndarray, " cells"]:
    """Mean luminance and colour of each cell."""
    colours = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    return cv2.resize(colours, (CELLS, CELLS), interpolation=cv2.INTER_AREA).reshape(-1).astype(np.float64)


def compute_detail(small: UInt8[np.ndarray, "side side 3"]) -> Float[np.ndarray, " 3"]:
    """How much the finest of three octaves has against the second and the third, and the third by itself; logarithms.

    The octaves are those of a Laplacian pyramid (Burt and Adelson, IEEE Transactions on Communications 31, 1983).
    """
    light = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    octaves = []
    for _ in range(3):
        half = cv2.pyrDown(light)
        back = cv2.pyrUp(half, dstsize=(light.shape[1], light.shape[0]))
        octaves.append(float(np.log(0.05 + np.abs(light - back).mean())))
        light = half.astype(np.float32)
    return np.asarray([octaves[0] - octaves[1], octaves[0] - octaves[2], octaves[2]])


def fit_ood_model(
    photos: Sequence[UInt8[np.ndarray, "h w 3"]],
    validation_photos: Sequence[UInt8[np.ndarray, "h w 3"]],
    input_size: tuple[int, int],
) -> OodModel | None:
    """The space is that of `photos`; limits are set on those kept `aside`. None where either are too few.

    `size`: (height, width) of the model's input.
    """
    if len(photos) < MIN_PHOTOS or len(validation_photos) < MIN_PHOTOS:
        return None
    small = [resize_as_input(photo, input_size) for photo in photos]
    held = [resize_as_input(photo, input_size) for photo in validation_photos]
    sketches = np.stack([compute_descriptor(one) for one in small])
    mean = sketches.mean(0)
    _, sizes, axes = np.linalg.svd(sketches - mean, full_matrices=False)
    spans = sizes**2 / (len(small) - 1)
    share = np.cumsum(spans) / max(float(spans.sum()), 1e-9)
    count = min(int(np.searchsorted(share, EXPLAINED_VARIANCE)) + 1, len(small) // 5)
    rest = max(float(spans[count:].sum()) / (len(mean) - count), 1e-3)
    details = np.stack([compute_detail(one) for one in [*small, *held]])
    middle, low = np.median(details, 0), np.quantile(details, 1 - LIMIT_QUANTILE, 0)
    low[2] = details[:, 2].min()
    found = OodModel(
        mean,
        axes[:count],
        np.maximum(spans[:count], rest),
        rest,
        1.0,
        middle - DETAIL_FACTOR * (middle - low),
        input_size,
    )
    far = found.distance(np.stack([compute_descriptor(one) for one in held]))
    limit = LIMIT_FACTOR * float(np.quantile(far, LIMIT_QUANTILE))
    return OodModel(
        found.mean, found.components, found.variances, found.residual_variance, limit, found.min_detail, input_size
    )
