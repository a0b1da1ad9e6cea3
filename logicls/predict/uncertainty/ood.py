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

from logicls.data.image_io import fitted, placed
from logicls.errors import BundleError, Problem
from logicls.io.atomic import write_bytes

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


FILE = "usual.safetensors"
SIDE, CELLS = 128, 8
"""Pixels of the square that a photo is fitted into, and cells of the grid, on each axis."""
EXPLAINED = 0.98
"""Share of the sketches' variance that the space spans."""
QUANTILE = 0.99
"""Of the photos kept aside: so many of them count as usual however they look."""
WIDER = 1.25
"""The limit is so much further out than the quantile: days differ more than the photos of one set."""
LOWER = 2.0
"""The same for detail, in distances from the median to the quantile; of how much is to be seen, to the lowest: a photo
is the emptier the more is missing, and that is no reason to doubt it."""
LEAST = 30
"""Photos below which there is nothing to compare with."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What the photos of a product look like."""

    mean: Float[np.ndarray, " cells"]
    axes: Float[np.ndarray, "axes cells"]
    spans: Float[np.ndarray, " axes"]
    """Variance along each axis, and what is left of it elsewhere, by cell, is `rest`."""
    rest: float
    limit: float
    """Distance beyond which a photo is unlike."""
    least: Float[np.ndarray, " 3"]
    """Detail below which a photo is blurred, or empty: of `detail`."""
    size: tuple[int, int]
    """Height and width of the model's input: what it does not see is not looked at."""

    def unlike(self, photo: UInt8[np.ndarray, "h w 3"]) -> tuple[str, ...]:
        """Why a photo, or one in the input's size, is not like those that were learned from; empty where it is."""
        small = seen(photo, self.size)
        near, mid, empty = (found < least for found, least in zip(detail(small), self.least, strict=True))
        why = []
        if empty:
            why.append("next to nothing is to be seen on it: darker or emptier than the photos learned from")
        if near or mid:
            why.append("blurred: less fine detail than on the photos learned from")
        far = self.distance(sketch(small)[None])[0] / self.limit
        if far > 1:
            why.append(
                f"unlike the photos learned from ({far:.1f} times as far from them as they are from one another)"
            )
        return tuple(why)

    def distance(self, sketches: Float[np.ndarray, "photos cells"]) -> Float[np.ndarray, " photos"]:
        """Root mean square over the cells, in standard deviations; about 1 for usual photos."""
        off = sketches - self.mean
        along = off @ self.axes.T
        outside = np.maximum((off**2).sum(1) - (along**2).sum(1), 0.0) / self.rest
        return np.asarray(np.sqrt(((along**2 / self.spans).sum(1) + outside) / len(self.mean)))

    def write(self, folder: Path) -> None:
        """Into a bundle."""
        values = {"mean": self.mean, "axes": self.axes, "spans": self.spans, "least": self.least}
        held = {name: np.ascontiguousarray(value, np.float32) for name, value in values.items()}
        write_bytes(
            folder / FILE, save({**held, "scalars": np.asarray([self.rest, self.limit, *self.size], np.float32)})
        )


def read_usual(folder: Path) -> Usual | None:
    """That of a bundle; None where it has none. Raises `BundleError` (LC622)."""
    file = folder / FILE
    if not file.exists():
        return None
    try:
        held = {name: value.astype(np.float64) for name, value in load_file(file).items()}
        rest, limit, height, width = held.pop("scalars").tolist()
        return Usual(rest=rest, limit=limit, size=(int(height), int(width)), **held)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        problem = Problem("LC622", f"cannot be read: {error}.", str(file), advice="Train again.")
        raise BundleError(problem) from error


def seen(photo: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "side side 3"]:
    """The photo as the model sees it, as a square."""
    inside = photo if photo.shape[:2] == size else fitted(size, photo)
    return np.asarray(cv2.resize(inside, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def sketch(small: UInt8[np.ndarray, "side side 3"]) -> Float[np.ndarray, " cells"]:
    """Mean luminance and colour of each cell."""
    colours = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    return cv2.resize(colours, (CELLS, CELLS), interpolation=cv2.INTER_AREA).reshape(-1).astype(np.float64)


def detail(small: UInt8[np.ndarray, "side side 3"]) -> Float[np.ndarray, " 3"]:
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


def usual(
    photos: Sequence[UInt8[np.ndarray, "h w 3"]],
    aside: Sequence[UInt8[np.ndarray, "h w 3"]],
    size: tuple[int, int],
) -> Usual | None:
    """The space is that of `photos`; limits are set on those kept `aside`. None where either are too few.

    `size`: (height, width) of the model's input.
    """
    if len(photos) < LEAST or len(aside) < LEAST:
        return None
    small = [seen(photo, size) for photo in photos]
    held = [seen(photo, size) for photo in aside]
    sketches = np.stack([sketch(one) for one in small])
    mean = sketches.mean(0)
    _, sizes, axes = np.linalg.svd(sketches - mean, full_matrices=False)
    spans = sizes**2 / (len(small) - 1)
    share = np.cumsum(spans) / max(float(spans.sum()), 1e-9)
    count = min(int(np.searchsorted(share, EXPLAINED)) + 1, len(small) // 5)
    rest = max(float(spans[count:].sum()) / (len(mean) - count), 1e-3)
    details = np.stack([detail(one) for one in [*small, *held]])
    middle, low = np.median(details, 0), np.quantile(details, 1 - QUANTILE, 0)
    low[2] = details[:, 2].min()
    found = Usual(mean, axes[:count], np.maximum(spans[:count], rest), rest, 1.0, middle - LOWER * (middle - low), size)
    far = found.distance(np.stack([sketch(one) for one in held]))
    limit = WIDER * float(np.quantile(far, QUANTILE))
    return Usual(found.mean, found.axes, found.spans, found.rest, limit, found.least, size)
