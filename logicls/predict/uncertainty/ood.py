"""Out-of-distribution detection: photos unlike the training photos, stretched or grey ones, and too few pixels.

A photo's descriptor is its colours on a coarse grid. The descriptors of a product's photos span a small linear space;
the distance of a new one is that of probabilistic principal component analysis (Tipping and Bishop, J. R. Stat. Soc. B
61, 1999): Hotelling's T² within the space and the squared error outside of it, in one number. Blur and darkness have
measures of their own: fine detail relative to coarse detail, and coarse detail by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from logicls.data.image_io import letterbox, letterbox_transform
from logicls.errors import BundleError, Problem
from logicls.io.atomic import write_bytes

MIN_RESOLUTION_SHARE = 0.5
"""Share of the training photos' resolution (pixels on a side) below which a photo is too small."""


@dataclass(frozen=True, slots=True)
class TrainingResolution:
    """Resolution of the training photos, by their smallest component."""

    component: str
    """Smallest component."""
    component_size: float
    """Shorter side of its box, median, pixels of the photo; at most pixels of the model's input."""
    input_size: tuple[int, int]
    """Height and width of the model's input."""
    max_scale: float
    """Pixels of the input per pixel of the smallest training photo; 1 if that photo was larger than the input."""

    def ood_reasons(self, width: int, height: int) -> tuple[str, ...]:
        """Return the reason for review of a photo of that size; empty if it has enough pixels."""
        scale = max(letterbox_transform(self.input_size, width, height)[0], 1.0)
        share = self.max_scale / scale
        if share >= MIN_RESOLUTION_SHARE:
            return ()
        detail = (
            f"{self.component} is about {self.component_size * share:.1f} pixels across, "
            f"on training photos {self.component_size:.1f}"
        )
        return (f"too few pixels: {width} x {height}, on which {detail}",)


ComponentSize = tuple[str, float, tuple[int, int]]
"""A component, the shorter side of its box in pixels, and (width, height) of the photo."""


def fit_resolution(input_size: tuple[int, int], component_sizes: Iterable[ComponentSize]) -> TrainingResolution | None:
    """Fit the resolution of training photos from the components' boxes; None without boxes.

    The smallest component is that with the smallest median side.
    """
    sides: dict[str, list[float]] = {}
    max_scale = 1.0
    for component, side, photo in component_sizes:
        scale = letterbox_transform(input_size, *photo)[0]
        sides.setdefault(component, []).append(side * min(scale, 1.0))
        max_scale = max(max_scale, scale)
    if not sides:
        return None
    smallest = min(sides, key=lambda name: median(sides[name]))
    return TrainingResolution(smallest, float(median(sides[smallest])), input_size, max_scale)


MAX_STRETCH = 1.05
"""Largest factor between the aspect ratio of a photo and those of the training photos. Other formats of cameras differ
by 1.11 (16:9 and 16:10) or more, rounding and trimmed borders by less than this."""
GREY_SHARE = 0.05
"""Share of the smallest colour spread of the training photos below which a photo is grey. A grey copy has none; a photo
without its coloured components keeps some, from the ground and the camera's noise."""
MIN_COLOUR_SPREAD = 1.0
"""Colour spread, in grey levels, below which training photos count as grey themselves: then no photo is too grey."""


@dataclass(frozen=True, slots=True)
class PhotoLimits:
    """Aspect ratios and colours of the training photos; a single training photo suffices for them."""

    min_aspect: float
    """Smallest width / height of a training photo."""
    max_aspect: float
    """Largest width / height of a training photo."""
    min_colour_spread: float
    """Smallest colour spread of a training photo (`compute_colour_spread`), grey levels."""
    input_size: tuple[int, int]
    """Height and width of the model's input: the colour spread is computed on what the model receives."""

    def size_reasons(self, width: int, height: int) -> tuple[str, ...]:
        """Return the reason for review of a photo of that size in pixels; empty if its aspect ratio is accepted."""
        aspect = width / height
        if self.min_aspect / MAX_STRETCH <= aspect <= self.max_aspect * MAX_STRETCH:
            return ()
        accepted = f"{self.min_aspect:.3g}"
        if f"{self.max_aspect:.3g}" != accepted:
            accepted += f" to {self.max_aspect:.3g}"
        detail = f"width / height of {width} x {height} is {aspect:.3g}, of training photos {accepted}"
        return (f"stretched or cropped: {detail}",)

    def colour_reasons(self, photo: UInt8[np.ndarray, "h w 3"]) -> tuple[str, ...]:
        """Return the reason for review of a photo (RGB, any size or the input's); empty if it has enough colour."""
        if self.min_colour_spread < MIN_COLOUR_SPREAD:
            return ()
        spread = compute_colour_spread(resize_as_input(photo, self.input_size))
        if spread >= GREY_SHARE * self.min_colour_spread:
            return ()
        detail = f"the spread of its colours is {spread:.1f}, on training photos {self.min_colour_spread:.1f} or more"
        return (f"grey: {detail}",)


def compute_colour_spread(small: UInt8[np.ndarray, "side side 3"]) -> float:
    """Compute the standard deviation of a photo's opponent colours, in grey levels; 0 for a grey photo.

    It is the first term of the colourfulness of Hasler and Süsstrunk, "Measuring Colourfulness in Natural Images",
    SPIE 5007, 2003: a colour cast, as of another white balance, does not change it.
    """
    red, green, blue = np.moveaxis(small.astype(np.float32), -1, 0)
    return float(np.hypot((red - green).std(), ((red + green) / 2 - blue).std()))


def fit_photo_limits(
    sizes: Iterable[tuple[int, int]], photos: Iterable[UInt8[np.ndarray, "h w 3"]], input_size: tuple[int, int]
) -> PhotoLimits:
    """Fit the limits to the (width, height) of all training photos, and to pixels (RGB) of some; at least one of each.

    `input_size`: (height, width) of the model's input.
    """
    aspects = [width / height for width, height in sizes]
    spreads = [compute_colour_spread(resize_as_input(photo, input_size)) for photo in photos]
    return PhotoLimits(min(aspects), max(aspects), min(spreads), input_size)


OOD_FILE = "usual.safetensors"
SIDE, CELLS = 128, 8
"""Side of the square that a photo is resized to, pixels, and number of grid cells on each axis."""
EXPLAINED_VARIANCE = 0.98
"""Share of the descriptors' variance that the principal components explain."""
LIMIT_QUANTILE = 0.99
"""Share of the validation photos within the limit before `LIMIT_FACTOR`."""
LIMIT_FACTOR = 1.25
"""Factor on the quantile that gives the limit: photos of different days differ more than those of one set."""
DETAIL_FACTOR = 2.0
"""Limit of each detail measure, in distances from the median to the lower quantile. Coarse detail is measured to its
minimum instead: the more components are missing the emptier is a photo, and that is no reason for review."""
MIN_PHOTOS = 30
"""Photos below which no model is fitted."""


@dataclass(frozen=True, slots=True)
class OodModel:
    """Distribution of the descriptors of a product's photos."""

    mean: Float[np.ndarray, " cells"]
    components: Float[np.ndarray, "components cells"]
    """Principal components, orthonormal."""
    variances: Float[np.ndarray, " components"]
    """Variance along each component."""
    residual_variance: float
    """Variance of each cell outside the components."""
    limit: float
    """Distance beyond which a photo is out of distribution."""
    min_detail: Float[np.ndarray, " 3"]
    """Lower limits of `compute_detail`: below them a photo is blurred (first two) or empty (third)."""
    input_size: tuple[int, int]
    """Height and width of the model's input: descriptors are computed on what the model receives."""

    def ood_reasons(self, photo: UInt8[np.ndarray, "h w 3"]) -> tuple[str, ...]:
        """Return the reasons for review of a photo (RGB, any size or the input's); empty if it is in distribution."""
        small = resize_as_input(photo, self.input_size)
        is_low = [value < limit for value, limit in zip(compute_detail(small), self.min_detail, strict=True)]
        reasons = []
        if is_low[2]:
            reasons.append("dark or empty: less content than on the training photos")
        if is_low[0] or is_low[1]:
            reasons.append("blurred: less fine detail than on the training photos")
        ratio = self.distance(compute_descriptor(small)[None])[0] / self.limit
        if ratio > 1:
            reasons.append(f"unlike the training photos: {ratio:.1f} times the largest accepted distance from them")
        return tuple(reasons)

    def distance(self, descriptors: Float[np.ndarray, "photos cells"]) -> Float[np.ndarray, " photos"]:
        """Return the root mean square over the cells in standard deviations; about 1 in distribution."""
        centred = descriptors - self.mean
        scores = centred @ self.components.T
        residual = np.maximum((centred**2).sum(1) - (scores**2).sum(1), 0.0) / self.residual_variance
        return np.asarray(np.sqrt(((scores**2 / self.variances).sum(1) + residual) / len(self.mean)))

    def write(self, folder: Path) -> None:
        """Write the model to the folder of a bundle."""
        values = {"mean": self.mean, "axes": self.components, "spans": self.variances, "least": self.min_detail}
        tensors = {name: np.ascontiguousarray(value, np.float32) for name, value in values.items()}
        scalars = np.asarray([self.residual_variance, self.limit, *self.input_size], np.float32)
        write_bytes(folder / OOD_FILE, save({**tensors, "scalars": scalars}))


def read_ood_model(folder: Path) -> OodModel | None:
    """Read the model of a bundle; None without one.

    Raises:
        BundleError: The file cannot be read (LC622).
    """
    file = folder / OOD_FILE
    if not file.exists():
        return None
    try:
        tensors = {name: value.astype(np.float64) for name, value in load_file(file).items()}
        residual_variance, limit, height, width = tensors["scalars"].tolist()
        return OodModel(
            tensors["mean"], tensors["axes"], tensors["spans"], residual_variance, limit, tensors["least"],
            (int(height), int(width)),
        )  # fmt: skip
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        problem = Problem("LC622", f"cannot be read: {error}.", str(file), advice="Train again.")
        raise BundleError(problem) from error


def resize_as_input(photo: UInt8[np.ndarray, "h w 3"], input_size: tuple[int, int]) -> UInt8[np.ndarray, "side side 3"]:
    """Letterbox a photo as for the model's input (height, width), then resize it to a square of `SIDE` pixels."""
    letterboxed = photo if photo.shape[:2] == input_size else letterbox(input_size, photo)
    return np.asarray(cv2.resize(letterboxed, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def compute_descriptor(small: UInt8[np.ndarray, "side side 3"]) -> Float[np.ndarray, " cells"]:
    """Compute the mean luminance and chrominance (YCrCb) of each grid cell."""
    colours = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    return cv2.resize(colours, (CELLS, CELLS), interpolation=cv2.INTER_AREA).reshape(-1).astype(np.float64)


def compute_detail(small: UInt8[np.ndarray, "side side 3"]) -> Float[np.ndarray, " 3"]:
    """Compute the log energy of the finest octave relative to the second and to the third, and that of the third.

    The octaves are those of a Laplacian pyramid (Burt and Adelson, IEEE Transactions on Communications 31, 1983).
    """
    level = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    octaves = []
    for _ in range(3):
        half = cv2.pyrDown(level)
        restored = cv2.pyrUp(half, dstsize=(level.shape[1], level.shape[0]))
        octaves.append(float(np.log(0.05 + np.abs(level - restored).mean())))
        level = half.astype(np.float32)
    return np.asarray([octaves[0] - octaves[1], octaves[0] - octaves[2], octaves[2]])


def fit_ood_model(
    photos: Sequence[UInt8[np.ndarray, "h w 3"]],
    validation_photos: Sequence[UInt8[np.ndarray, "h w 3"]],
    input_size: tuple[int, int],
) -> OodModel | None:
    """Fit the principal components on `photos` and the limits on `validation_photos`.

    `input_size`: (height, width) of the model's input. None if there are fewer than `MIN_PHOTOS` of either.
    """
    if len(photos) < MIN_PHOTOS or len(validation_photos) < MIN_PHOTOS:
        return None
    train = [resize_as_input(photo, input_size) for photo in photos]
    validation = [resize_as_input(photo, input_size) for photo in validation_photos]
    descriptors = np.stack([compute_descriptor(one) for one in train])
    mean = descriptors.mean(0)
    _, singular_values, components = np.linalg.svd(descriptors - mean, full_matrices=False)
    variances = singular_values**2 / (len(train) - 1)
    explained = np.cumsum(variances) / max(float(variances.sum()), 1e-9)
    count = min(int(np.searchsorted(explained, EXPLAINED_VARIANCE)) + 1, len(train) // 5)
    residual = max(float(variances[count:].sum()) / (len(mean) - count), 1e-3)
    details = np.stack([compute_detail(one) for one in [*train, *validation]])
    middle, low = np.median(details, 0), np.quantile(details, 1 - LIMIT_QUANTILE, 0)
    low[2] = details[:, 2].min()
    min_detail = middle - DETAIL_FACTOR * (middle - low)
    retained = components[:count], np.maximum(variances[:count], residual), residual
    unlimited = OodModel(mean, *retained, 1.0, min_detail, input_size)
    distances = unlimited.distance(np.stack([compute_descriptor(one) for one in validation]))
    limit = LIMIT_FACTOR * float(np.quantile(distances, LIMIT_QUANTILE))
    return OodModel(mean, *retained, limit, min_detail, input_size)
