"""The memory of good patches, and how far a photo's patches are from it.

PatchCore (Roth et al., CVPR 2022): the distance to the nearest remembered patch (eq. 6), re-weighted by how alone that
one is (eq. 7). Beyond the paper, measured to be worth it on photos of products that lie where they always lie: a
patch is compared with those remembered from about the same place (`reach`), and its distance is counted in standard
deviations of what good photos have at that place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from logicls.extras.expert.coreset import k_centre

TILE = 4
"""Cells of the map, on each axis, that are searched and thinned out together."""
NEIGHBOURS = 5
"""`b` of eq. 7."""
AROUND = 3
"""Cells, on each axis, whose distances say what is usual at the middle one."""
TOGETHER = 3
"""Cells, on each axis, over which a score is averaged."""
LEAST_SPREAD = 0.02
"""No place counts as steadier than that."""
Features = Float[Tensor, "photos rows columns width"]


@dataclass(frozen=True, slots=True)
class Memory:
    """Remembered patches and where they were."""

    patches: Float[Tensor, "remembered width"]
    rows: Int[Tensor, " remembered"]
    columns: Int[Tensor, " remembered"]
    owners: Int[Tensor, " remembered"]
    """Which photo of the fit each is from."""
    reach: int
    """Cells, on each axis, within which a patch is compared; negative: with all."""
    mean: Float[Tensor, "all_rows all_columns"]
    """Usual distance of a good photo's patch at each place, and its standard deviation."""
    spread: Float[Tensor, "all_rows all_columns"]

    def distances(self, features: Features, *, own: Int[Tensor, " photos"] | None = None) -> Float[Tensor, "p r c"]:
        """To the nearest patch (eq. 6). `own`: each photo's place in the fit; it is not compared with itself."""
        far = features.new_full(features.shape[:3], torch.inf)
        for rows, columns in tiles(*features.shape[1:3]):
            far[:, rows, columns] = self._tile(features, rows, columns, own)
        return far

    def _tile(self, features: Features, rows: slice, columns: slice, own: Tensor | None) -> Tensor:
        """The same for the cells of a tile."""
        near = self._within(rows, columns)
        asked = features[:, rows, columns]
        photos, height, width = asked.shape[:3]
        apart = torch.cdist(asked.flatten(0, 2), self.patches[near]).view(photos, height, width, -1)
        if own is not None:
            apart.masked_fill_((self.owners[near] == own[:, None])[:, None, None], torch.inf)
        if self.reach < 0:
            return apart.amin(-1)
        down = torch.arange(rows.start, rows.stop)[:, None, None] - self.rows[near]
        across = torch.arange(columns.start, columns.stop)[:, None] - self.columns[near]
        beyond = (down.abs() > self.reach) | (across.abs() > self.reach)
        far = apart.masked_fill(beyond, torch.inf).amin(-1)
        if far.isinf().any():  # where so few are remembered that none is in reach
            far = torch.where(far.isinf(), apart.amin(-1), far)
        return far

    def _within(self, rows: slice, columns: slice) -> Bool[Tensor, " remembered"]:
        """Those that patches of the tile are compared with."""
        if self.reach < 0:
            return torch.ones_like(self.rows, dtype=torch.bool)
        high = (self.rows >= rows.start - self.reach) & (self.rows < rows.stop + self.reach)
        out: Tensor = high & (self.columns >= columns.start - self.reach) & (self.columns < columns.stop + self.reach)
        return out

    def standardised(self, far: Float[Tensor, "photos rows columns"]) -> Float[Tensor, "photos rows columns"]:
        """Distances in standard deviations from what is usual at their place and on this photo, a few cells together.

        The photo's own median is what its light, blur and noise do everywhere, no flaw; flaws are wider than a cell.
        """
        counted = (far - self.mean) / self.spread
        usual = counted.flatten(1).median(1).values[:, None, None]
        return F.avg_pool2d((counted - usual)[:, None], TOGETHER, 1, TOGETHER // 2, count_include_pad=False)[:, 0]

    def alone(self, patch: Float[Tensor, " width"]) -> float:
        """The weight of eq. 7: near 1 where the nearest patch has no like, small among many alike."""
        return reweight(patch, self.patches)


def reweight(patch: Float[Tensor, " width"], memory: Float[Tensor, "remembered width"]) -> float:
    """1 - exp|p - m*| / sum over m of exp|p - m|, m* the nearest and m its `NEIGHBOURS` nearest with itself (eq. 7)."""
    far = torch.linalg.vector_norm(memory - patch, dim=1)
    nearest = memory[far.argmin()]
    around = torch.linalg.vector_norm(memory - nearest, dim=1).topk(min(NEIGHBOURS, len(memory)), largest=False)
    return 1.0 - float(torch.exp(far.min() - torch.logsumexp(far[around.indices], 0)))


def tiles(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Those of a map."""
    for top in range(0, rows, TILE):
        for left in range(0, columns, TILE):
            yield slice(top, min(top + TILE, rows)), slice(left, min(left + TILE, columns))


def remember(features: Features, share: float, reach: int, generator: torch.Generator) -> Memory:
    """The memory of good photos: `share` of the patches of each tile; of all together where `reach` is negative."""
    photos, rows, columns = features.shape[:3]
    places = torch.stack(torch.meshgrid(*(torch.arange(n) for n in (photos, rows, columns)), indexing="ij"), -1)
    kept = []
    for high, wide in tiles(rows, columns) if reach >= 0 else [(slice(0, rows), slice(0, columns))]:
        there = places[:, high, wide].flatten(0, 2)
        few = k_centre(features[:, high, wide].flatten(0, 2), max(1, round(share * len(there))), generator)
        kept.append(there[few])
    owners, down, across = torch.cat(kept).T
    flat = features.new_zeros(rows, columns)
    memory = Memory(features[owners, down, across], down, across, owners, reach, flat, flat + 1)
    far = memory.distances(features, own=torch.arange(photos))
    known = far[far.isfinite()]
    far = far.nan_to_num(posinf=float(known.max()) if len(known) else 0.0)  # where only the photo itself is remembered
    return replace(memory, mean=_smooth(far.mean(0)), spread=steadied(_smooth(far.std(0))))


def steadied(spread: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Standard deviations, the median of all added to each: that a few photos agree at a place proves little.

    It is the constant s0 of significance analysis (Tusher et al., PNAS 2001).
    """
    return (spread + spread.median()).clamp_min(LEAST_SPREAD)


def _smooth(chart: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Each place with those around it: few photos say little about one."""
    return F.avg_pool2d(chart[None, None], AROUND, 1, AROUND // 2, count_include_pad=False)[0, 0]
