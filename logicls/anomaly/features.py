"""Patch features of the experts, and localization maps over them.

Features are maps of nano's stem and of fixed filters, whitened so that directions of small variance count equally. Of
all nano maps the finer one of the stem detects flaws best, since later ones encode the object class. The weights are
the bundle's own, or those of the shipped base for hub models.

Fixed filters keep what stem training discards, dents above all: the local jet of Gaussian derivatives (Koenderink and
van Doorn 1987) in opponent colours (van de Sande et al., TPAMI 2010), both signs apart, pooled to cells as in SIFT and
HOG. They are local, while each stem feature depends on the whole photo through its norms.

The localization map of the AD Expert (ADSeeker, arXiv 2508.03088) is

    Loc = upsample( cos(E_p, E_t-) / (cos(E_p, E_t+) + cos(E_p, E_t-)) )

with E_p the embedding of a patch, E_t+ and E_t- those of normal and anomalous texts of a CLIP-type encoder, or learned
prototypes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from logicls.anomaly.heatmaps import HeatmapFrame
from logicls.data.image_io import letterbox
from logicls.models.bundle import Bundle
from logicls.models.nano import NanoForImageTextToText
from logicls.models.nano.config import TOKEN_STRIDE
from logicls.models.nano.detection_head import CELL_PIXELS

FILTER_CELL = 4
"""Pixels, on each axis, over which filter responses are averaged."""
SIGMAS = (1.0, 2.0)
"""Standard deviations of the Gaussians, pixels."""
DERIVATIVE_ORDERS = ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
"""Derivative orders along x and along y."""
FILTER_CHANNELS = 3 * (1 + 2 * len(SIGMAS) * len(DERIVATIVE_ORDERS))
"""Three opponent colours, and of each the positive and the negative part of every derivative."""


def filter_photo(photo: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "channels rows columns"]:
    """Return filter responses of an RGB photo, one for each `FILTER_CELL` x `FILTER_CELL` pixels.

    Height and width are multiples of `FILTER_CELL`.
    """
    colours = opponent_colours(photo)
    cells = photo.shape[1] // FILTER_CELL, photo.shape[0] // FILTER_CELL
    responses = [colours]
    for sigma in SIGMAS:
        kernels = [gaussian_kernel(sigma, order) for order in range(3)]
        for order_x, order_y in DERIVATIVE_ORDERS:
            response = cv2.sepFilter2D(
                colours, cv2.CV_32F, kernels[order_x], kernels[order_y], borderType=cv2.BORDER_REFLECT
            )
            responses += [np.maximum(response, 0), np.maximum(-response, 0)]
    pooled = [cv2.resize(one, cells, interpolation=cv2.INTER_AREA) for one in responses]
    return np.concatenate(pooled, axis=-1).transpose(2, 0, 1)


def opponent_colours(photo: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, "height width 3"]:
    """Convert to intensity, red-green and yellow-blue; 1 equals 64 levels."""
    red, green, blue = np.moveaxis(photo.astype(np.float32) / 64, -1, 0)
    return np.stack([(red + green + blue) / 3, red - green, (red + green) / 2 - blue], axis=-1)


def gaussian_kernel(sigma: float, order: int) -> Float32[np.ndarray, " taps"]:
    """Return a one-dimensional Gaussian or its derivative for correlation, times `sigma` to the power of `order`.

    The factor makes all scales count equally. The truncated second derivative is corrected to have zero response on a
    constant signal.
    """
    x = np.arange(-int(np.ceil(3 * sigma)), int(np.ceil(3 * sigma)) + 1) / sigma
    density = np.exp(-(x**2) / 2)
    density /= density.sum()
    polynomial = (np.ones_like(x), x, x**2 - (x**2 * density).sum())[order]
    return np.asarray(polynomial * density, np.float32)


BATCH_SIZE = 8
"""Photos per forward pass."""
LAYER_MODULES = 3
"""Modules of the stem's last layer: convolution, norm, rectifier."""
RETAINED_VARIANCE = 0.995
"""Share of the features' variance that whitening retains."""
MIN_VARIANCE = 1e-8


@dataclass(frozen=True, slots=True)
class PatchFeatureExtractor:
    """Extractor of patch features: nano's stem and fixed filters."""

    stem: nn.Sequential
    size: tuple[int, int]
    """(height, width) of the input, pixels."""

    @torch.inference_mode()
    def extract(self, photos: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Float[Tensor, "photos channels rows columns"]:
        """Return a feature for each 8 x 8 pixels of the input.

        Channels are the stem's, then those of the filters at half the input size.
        """
        return torch.cat([self._extract_batch(photos[k : k + BATCH_SIZE]) for k in range(0, len(photos), BATCH_SIZE)])

    def _extract_batch(self, photos: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Tensor:
        small = tuple(side * FILTER_CELL // CELL_PIXELS for side in self.size)
        responses = np.stack([filter_photo(letterbox(small, photo)) for photo in photos])
        return torch.cat([self._run_stem(photos)[-1], torch.from_numpy(responses)], 1)

    @torch.inference_mode()
    def extract_layers(
        self, photos: Sequence[UInt8[np.ndarray, "h w 3"]]
    ) -> list[Float[Tensor, "p channels rows columns"]]:
        """Return the stem's last two maps, with a feature for each 8 x 8 pixels: local, and with surroundings."""
        return self._run_stem(photos)

    def extract_stem(
        self, photos: Sequence[UInt8[np.ndarray, "h w 3"]]
    ) -> Float[Tensor, "photos channels rows columns"]:
        """Return the stem's last two maps, concatenated."""
        return torch.cat(self.extract_layers(photos), 1)

    def _run_stem(self, photos: Sequence[UInt8[np.ndarray, "h w 3"]]) -> list[Tensor]:
        pixels = torch.from_numpy(np.stack([letterbox(self.size, photo) for photo in photos])).permute(0, 3, 1, 2)
        penultimate = self.stem[:-LAYER_MODULES]((pixels.float() - 127.5) / 64.0)
        return [penultimate, self.stem[-LAYER_MODULES:](penultimate)]

    @property
    def channels(self) -> int:
        """Channels of `extract`."""
        return len(next(self.stem[-LAYER_MODULES].parameters())) + FILTER_CHANNELS

    @property
    def frame(self) -> HeatmapFrame:
        """Transform from its feature maps to photos."""
        return HeatmapFrame(self.size, CELL_PIXELS)


def build_extractor(bundle: Bundle, size: tuple[int, int]) -> PatchFeatureExtractor:
    """Build an extractor from the bundle's stem, or from the shipped base for hub models."""
    from logicls.io.resources import resource_path

    if bundle.hub is not None or bundle.is_external or bundle.model is None:
        model = NanoForImageTextToText.from_pretrained(resource_path("train/base"), local_files_only=True)
    else:
        model = bundle.nano_model
    return PatchFeatureExtractor(model.stem.fine.float().eval(), size)


def input_size(photos: Sequence[UInt8[np.ndarray, "h w 3"]], cells: int) -> tuple[int, int]:
    """Return (height, width) of an input with the photos' aspect ratio whose feature map has about `cells` cells."""
    aspect = float(np.median([photo.shape[0] / photo.shape[1] for photo in photos]))
    rows = max(4, round((cells * aspect) ** 0.5))
    columns = max(4, round(cells / rows))
    side = TOKEN_STRIDE // CELL_PIXELS
    return -(-rows // side) * TOKEN_STRIDE, -(-columns // side) * TOKEN_STRIDE


def average_neighbourhood(maps: Float[Tensor, "photos channels rows columns"], window: int) -> Tensor:
    """Average features over `window` x `window` cells: locally aware patch features.

    PatchCore (Roth et al. 2022), eq. 1-2.
    """
    if window == 1:
        return maps
    return F.avg_pool2d(maps, window, 1, window // 2, count_include_pad=False)


@dataclass(frozen=True, slots=True)
class Whitening:
    """PCA whitening: distances count in standard deviations of normal patches along their principal axes."""

    mean: Float[Tensor, " channels"]
    axes: Float[Tensor, "channels retained"]
    """Principal axes over their standard deviations and over the root of their number, so distances do not grow with
    it."""

    def __call__(
        self, maps: Float[Tensor, "photos channels rows columns"]
    ) -> Float[Tensor, "photos rows columns retained"]:
        """Return the whitened features of maps, channel last."""
        return (maps.permute(0, 2, 3, 1) - self.mean) @ self.axes


def fit_whitening(maps: Float[Tensor, "photos channels rows columns"]) -> Whitening:
    """Fit to feature maps of good photos; stem and filter channels are whitened separately and count equally."""
    parts = maps[:, :-FILTER_CHANNELS], maps[:, -FILTER_CHANNELS:]
    mean, axes = zip(*map(_fit_part, parts), strict=True)
    return Whitening(torch.cat(mean), torch.block_diag(*axes))


def _fit_part(maps: Float[Tensor, "photos channels rows columns"]) -> tuple[Tensor, Tensor]:
    """Return mean and scaled axes of a group of channels."""
    flat = maps.permute(0, 2, 3, 1).flatten(0, 2).double()
    mean = flat.mean(0)
    variances, axes = torch.linalg.eigh((flat - mean).T @ (flat - mean) / max(len(flat) - 1, 1))
    variances, axes = variances.flip(0).clamp_min(MIN_VARIANCE), axes.flip(1)
    count = min(int((variances.cumsum(0) / variances.sum() < RETAINED_VARIANCE).sum()) + 1, len(variances))
    return mean.float(), (axes[:, :count] / variances[:count].sqrt() / count**0.5).float()


MIN_SIMILARITY = 1e-4
"""Lower bound of a cosine: an embedding opposite to both kinds of prototype gets 0.5."""


def max_similarity(
    patches: Float[Tensor, "*cells width"], prototypes: Float[Tensor, "prototypes width"]
) -> Float[Tensor, "*cells"]:
    """Return the cosine similarity to the nearest prototype, at least `MIN_SIMILARITY`."""
    similarity = F.normalize(patches, dim=-1) @ F.normalize(prototypes, dim=-1).T
    return similarity.amax(-1).clamp_min(MIN_SIMILARITY)


def localization_ratio(
    patches: Float[Tensor, "*cells width"],
    normal: Float[Tensor, "normals width"],
    anomalous: Float[Tensor, "anomalies width"],
) -> Float[Tensor, "*cells"]:
    """Return cos(E_p, E_t-) / (cos(E_p, E_t+) + cos(E_p, E_t-)), to the nearest prototype of each kind.

    It is 0.5 for a patch that is equally similar to both.
    """
    to_normal, to_anomalous = max_similarity(patches, normal), max_similarity(patches, anomalous)
    return to_anomalous / (to_normal + to_anomalous)


def upsample(
    heatmaps: Float[Tensor, "photos rows columns"], size: tuple[int, int]
) -> Float[Tensor, "photos height width"]:
    """Upsample heatmaps to (height, width) pixels, bilinear."""
    return F.interpolate(heatmaps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
