"""The memory of good patches, and how far a photo's patches are from it.

PatchCore (Roth et al., CVPR 2022): the distance to the nearest remembered patch (eq. 6), re-weighted by how alone that
one is (eq. 7). Beyond the paper, measured to be worth it on photos of products that lie where they always lie: a
patch is compared with those remembered from about the same place (`reach`), and its distance is counted in standard
deviations of what good photos have at that place.

A few patches that stand for many: the greedy solution of the k-centre problem.

PatchCore (Roth et al., CVPR 2022), section 3.2, eq. 5 and algorithm 1: the next one is always the patch that is
farthest from all that were taken, after a random linear projection (Johnson and Lindenstrauss 1984), which keeps
distances.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

PROJECTED = 32
"""Axes of the projection."""


def projection(width: int, to: int, generator: torch.Generator) -> Float[Tensor, "width to"]:
    """Random directions; lengths are kept on average."""
    drawn: Tensor = torch.randn(width, to, generator=generator) / to**0.5
    return drawn


def k_centre(patches: Float[Tensor, "patches width"], count: int, generator: torch.Generator) -> Int[Tensor, " taken"]:
    """Places of `count` patches, no other patch farther from them than need be; the first one is drawn."""
    count = min(count, len(patches))
    if patches.shape[1] > PROJECTED:
        patches = patches @ projection(patches.shape[1], PROJECTED, generator)
    taken = torch.empty(count, dtype=torch.long)
    taken[0] = torch.randint(len(patches), (1,), generator=generator)[0]
    far = torch.linalg.vector_norm(patches - patches[taken[0]], dim=1)
    for place in range(1, count):
        far[taken[place - 1]] = -1.0  # never twice, also where all others are the same
        taken[place] = far.argmax()
        far = torch.minimum(far, torch.linalg.vector_norm(patches - patches[taken[place]], dim=1))
    return taken


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

    def distances(self, features: Features) -> Float[Tensor, "p r c"]:
        """To the nearest patch (eq. 6)."""
        return self.nearest(features)[0]

    def nearest(self, features: Features, *passed_over: Int[Tensor, "p r c"]) -> tuple[Tensor, Tensor]:
        """The distance to the nearest patch (eq. 6), and the photo of the fit that is from, of each patch of photos.

        `passed_over`: photos of the fit whose patches do not count, for each patch one; distances are infinite where
        no other is remembered.
        """
        far, owner = features.new_full(features.shape[:3], torch.inf), self.owners.new_zeros(features.shape[:3])
        for rows, columns in tiles(*features.shape[1:3]):
            some = [one[:, rows, columns] for one in passed_over]
            far[:, rows, columns], owner[:, rows, columns] = self._tile(features, rows, columns, some)
        return far, owner

    def _tile(
        self, features: Features, rows: slice, columns: slice, passed_over: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """The same for the cells of a tile."""
        near = self._within(rows, columns)
        asked, owners = features[:, rows, columns], self.owners[near]
        photos, height, width = asked.shape[:3]
        apart = torch.cdist(asked.flatten(0, 2), self.patches[near]).view(photos, height, width, -1)
        for one in passed_over:
            apart.masked_fill_(owners == one[..., None], torch.inf)
        if self.reach < 0:
            far, which = apart.min(-1)
            return far, owners[which]
        down = torch.arange(rows.start, rows.stop)[:, None, None] - self.rows[near]
        across = torch.arange(columns.start, columns.stop)[:, None] - self.columns[near]
        beyond = (down.abs() > self.reach) | (across.abs() > self.reach)
        far, which = apart.masked_fill(beyond, torch.inf).min(-1)
        none = far.isinf()
        if none.any():  # where so few are remembered that none is in reach
            any_far, any_which = apart.min(-1)
            far, which = torch.where(none, any_far, far), torch.where(none, any_which, which)
        return far, owners[which]

    def _within(self, rows: slice, columns: slice) -> Bool[Tensor, " remembered"]:
        """Those that patches of the tile are compared with: all, where none is in reach of any of them."""
        high = (self.rows >= rows.start - self.reach) & (self.rows < rows.stop + self.reach)
        wide = (self.columns >= columns.start - self.reach) & (self.columns < columns.stop + self.reach)
        near = high & wide
        return near if self.reach >= 0 and near.any() else torch.ones_like(near)

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


@dataclass(frozen=True, slots=True)
class Apart:
    """How far the patches of each photo of a fit are from those remembered of the others."""

    nearest: Float[Tensor, "photos rows columns"]
    owner: Int[Tensor, "photos rows columns"]
    """The photo that the nearest is from."""
    next: Float[Tensor, "photos rows columns"]
    """The nearest that is from neither of the two."""

    def without(self, photo: int) -> Float[Tensor, "others rows columns"]:
        """The distances of the other photos, had this one not been there."""
        others = torch.arange(len(self.nearest)) != photo
        return torch.where(self.owner == photo, self.next, self.nearest)[others]


def apart(memory: Memory, features: Features) -> Apart:
    """Of the photos of a fit, in its order."""
    own = torch.arange(len(features))[:, None, None].expand(features.shape[:3])
    nearest, owner = memory.nearest(features, own)
    return Apart(finite(nearest), owner, finite(memory.nearest(features, own, owner)[0]))


def without(memory: Memory, far: Apart, photo: int) -> Memory:
    """What would be remembered, and be usual, had a photo of the fit not been there.

    But for which patches of the others are remembered: some stood for its own as well, and fewer are left. So it is
    farther from them, if anything.
    """
    kept = memory.owners != photo
    kept |= not kept.any()  # where one photo alone is remembered
    left = memory.patches[kept], memory.rows[kept], memory.columns[kept], memory.owners[kept]
    return Memory(*left, memory.reach, *usual(far.without(photo)))


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
    mean, spread = usual(finite(memory.nearest(features, places[..., 0])[0]))
    return replace(memory, mean=mean, spread=spread)


def finite(far: Float[Tensor, "photos rows columns"]) -> Float[Tensor, "photos rows columns"]:
    """Distances, the largest of them also where no photo but those passed over is remembered."""
    known = far[far.isfinite()]
    return far.nan_to_num(posinf=float(known.max()) if len(known) else 0.0)


def usual(far: Float[Tensor, "photos rows columns"]) -> tuple[Float[Tensor, "rows columns"], ...]:
    """The mean and the spread, at each place, of the distances of good photos, none compared with itself."""
    return _smooth(far.mean(0)), steadied(_smooth(far.std(0)))


def steadied(spread: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Standard deviations, the median of all added to each: that a few photos agree at a place proves little.

    It is the constant s0 of significance analysis (Tusher et al., PNAS 2001).
    """
    return (spread + spread.median()).clamp_min(LEAST_SPREAD)


def _smooth(chart: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Each place with those around it: few photos say little about one."""
    return F.avg_pool2d(chart[None, None], AROUND, 1, AROUND // 2, count_include_pad=False)[0, 0]
