"""Patch features: maps of nano's stem and of fixed filters, whitened: what good photos never vary in counts as well.

Of all of nano's maps the stem's finer one tells flaws best: later ones know what a thing is and not how it looks. The
weights are the bundle's own; those of the shipped base serve where a hub model answers. Filters (`edges`) see what the
stem was taught to overlook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from logicls.extras.expert import edges
from logicls.extras.expert.places import Frame
from logicls.models.bundle import Bundle
from logicls.models.fitting import fitted
from logicls.models.nano import NanoForImageTextToText
from logicls.models.nano.config import STRIDE
from logicls.models.nano.point import CELL

AT_A_TIME = 8
"""Photos."""
BLOCK = 3
"""Modules of the stem's last layer: convolution, norm, rectifier."""
KEPT = 0.995
"""Share of the features' variance that whitening keeps."""
FLOOR = 1e-8


@dataclass(frozen=True, slots=True)
class Tower:
    """The stem, and the size that photos are brought to for it."""

    stem: nn.Sequential
    size: tuple[int, int]
    """(height, width), pixels."""

    @torch.inference_mode()
    def maps(self, photos: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Float[Tensor, "photos channels rows columns"]:
        """A feature for each 8 x 8 pixels of the input: the stem's, then the filters' on half the input's size."""
        return torch.cat([self._maps(photos[k : k + AT_A_TIME]) for k in range(0, len(photos), AT_A_TIME)])

    def _maps(self, photos: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Tensor:
        small = tuple(side * edges.CELL // CELL for side in self.size)
        filtered = np.stack([edges.edges(fitted(small, photo)) for photo in photos])
        return torch.cat([self._layers(photos)[-1], torch.from_numpy(filtered)], 1)

    @torch.inference_mode()
    def layers(self, photos: Sequence[UInt8[np.ndarray, "h w 3"]]) -> list[Float[Tensor, "p channels rows columns"]]:
        """The stem's last two maps, each with a feature for 8 x 8 pixels: what is there, and what is around it."""
        return self._layers(photos)

    def both(self, photos: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Float[Tensor, "photos channels rows columns"]:
        """The two as one."""
        return torch.cat(self.layers(photos), 1)

    def _layers(self, photos: Sequence[UInt8[np.ndarray, "h w 3"]]) -> list[Tensor]:
        pixels = torch.from_numpy(np.stack([fitted(self.size, photo) for photo in photos])).permute(0, 3, 1, 2)
        first = self.stem[:-BLOCK]((pixels.float() - 127.5) / 64.0)
        return [first, self.stem[-BLOCK:](first)]

    @property
    def channels(self) -> int:
        """Of `maps`."""
        return len(next(self.stem[-BLOCK].parameters())) + edges.CHANNELS

    @property
    def frame(self) -> Frame:
        """How its maps lie on photos."""
        return Frame(self.size, CELL)


def tower_of(bundle: Bundle, size: tuple[int, int]) -> Tower:
    """The bundle's own where it is nano's, which its training has made fit for the product; else the shipped base's."""
    from logicls.assets import share

    model = bundle.model
    if bundle.hub is not None or bundle.foreign or model is None:
        model = NanoForImageTextToText.from_pretrained(share("train/base"), local_files_only=True)
    return Tower(model.stem.near.float().eval(), size)


def input_size(photos: Sequence[UInt8[np.ndarray, "h w 3"]], cells: int) -> tuple[int, int]:
    """(height, width) of an input of photos like these whose map has about so many cells."""
    aspect = float(np.median([photo.shape[0] / photo.shape[1] for photo in photos]))
    rows = max(4, round((cells * aspect) ** 0.5))
    columns = max(4, round(cells / rows))
    side = STRIDE // CELL
    return -(-rows // side) * STRIDE, -(-columns // side) * STRIDE


def averaged(maps: Float[Tensor, "photos channels rows columns"], around: int) -> Tensor:
    """Each feature with its neighbours', mean over `around` x `around` cells (PatchCore, Roth et al. 2022, eq. 1-2)."""
    if around == 1:
        return maps
    return F.avg_pool2d(maps, around, 1, around // 2, count_include_pad=False)


@dataclass(frozen=True, slots=True)
class Whitening:
    """Makes distances count in standard deviations of good patches, along the axes in which they vary."""

    mean: Float[Tensor, " channels"]
    axes: Float[Tensor, "channels kept"]
    """Principal axes over their standard deviations, over the root of their number: distances do not grow with it."""

    def __call__(
        self, maps: Float[Tensor, "photos channels rows columns"]
    ) -> Float[Tensor, "photos rows columns kept"]:
        """The features of maps, the channel last."""
        return (maps.permute(0, 2, 3, 1) - self.mean) @ self.axes


def whitening(maps: Float[Tensor, "photos channels rows columns"]) -> Whitening:
    """That of good photos' maps: of the stem's channels and of the filters' apart, so that each counts as much."""
    parts = maps[:, : -edges.CHANNELS], maps[:, -edges.CHANNELS :]
    mean, axes = zip(*map(_whitened, parts), strict=True)
    return Whitening(torch.cat(mean), torch.block_diag(*axes))


def _whitened(maps: Float[Tensor, "photos channels rows columns"]) -> tuple[Tensor, Tensor]:
    """Mean and axes of some channels."""
    flat = maps.permute(0, 2, 3, 1).flatten(0, 2).double()
    mean = flat.mean(0)
    spans, axes = torch.linalg.eigh((flat - mean).T @ (flat - mean) / max(len(flat) - 1, 1))
    spans, axes = spans.flip(0).clamp_min(FLOOR), axes.flip(1)
    kept = min(int((spans.cumsum(0) / spans.sum() < KEPT).sum()) + 1, len(spans))
    return mean.float(), (axes[:, :kept] / spans[:kept].sqrt() / kept**0.5).float()
