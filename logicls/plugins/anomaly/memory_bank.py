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

PROJECTION_WIDTH = 32
"""Axes of the projection."""


def random_projection(width: int, projected_width: int, generator: torch.Generator) -> Float[Tensor, "width to"]:
    """Random directions; lengths are kept on average."""
    matrix: Tensor = torch.randn(width, projected_width, generator=generator) / projected_width**0.5
    return matrix


def select_coreset(
    patches: Float[Tensor, "patches width"], count: int, generator: torch.Generator
) -> Int[Tensor, " taken"]:
    """Places of `count` patches, no other patch farther from them than need be; the first one is drawn."""
    count = min(count, len(patches))
    if patches.shape[1] > PROJECTION_WIDTH:
        patches = patches @ random_projection(patches.shape[1], PROJECTION_WIDTH, generator)
    selected = torch.empty(count, dtype=torch.long)
    selected[0] = torch.randint(len(patches), (1,), generator=generator)[0]
    distances = torch.linalg.vector_norm(patches - patches[selected[0]], dim=1)
    for step in range(1, count):
        distances[selected[step - 1]] = -1.0  # never twice, also where all others are the same
        selected[step] = distances.argmax()
        distances = torch.minimum(distances, torch.linalg.vector_norm(patches - patches[selected[step]], dim=1))
    return selected


TILE_CELLS = 4
"""Cells of the map, on each axis, that are searched and thinned out together."""
NEIGHBOURS = 5
"""`b` of eq. 7."""
STATISTICS_WINDOW = 3
"""Cells, on each axis, whose distances say what is usual at the middle one."""
SCORE_WINDOW = 3
"""Cells, on each axis, over which a score is averaged."""
MIN_DEVIATION = 0.02
"""No place counts as steadier than that."""
PatchFeatures = Float[Tensor, "photos rows columns width"]


@dataclass(frozen=True, slots=True)
class MemoryBank:
    """Remembered patches and where they were."""

    patches: Float[Tensor, "remembered width"]
    rows: Int[Tensor, " remembered"]
    columns: Int[Tensor, " remembered"]
    photo_numbers: Int[Tensor, " remembered"]
    """Which photo of the fit each is from."""
    reach: int
    """Cells, on each axis, within which a patch is compared; negative: with all."""
    mean: Float[Tensor, "all_rows all_columns"]
    """Usual distance of a good photo's patch at each place, and its standard deviation."""
    deviation: Float[Tensor, "all_rows all_columns"]

    def distances(self, features: PatchFeatures) -> Float[Tensor, "p r c"]:
        """To the nearest patch (eq. 6)."""
        return self.find_nearest(features)[0]

    def find_nearest(self, features: PatchFeatures, *excluded: Int[Tensor, "p r c"]) -> tuple[Tensor, Tensor]:
        """The distance to the nearest patch (eq. 6), and the photo of the fit that is from, of each patch of photos.

        `passed_over`: photos of the fit whose patches do not count, for each patch one; distances are infinite where
        no other is remembered.
        """
        distances, photo_numbers = (
            features.new_full(features.shape[:3], torch.inf),
            self.photo_numbers.new_zeros(features.shape[:3]),
        )
        for rows, columns in iter_tiles(*features.shape[1:3]):
            excluded_here = [one[:, rows, columns] for one in excluded]
            distances[:, rows, columns], photo_numbers[:, rows, columns] = self._search_tile(
                features, rows, columns, excluded_here
            )
        return distances, photo_numbers

    def _search_tile(
        self, features: PatchFeatures, rows: slice, columns: slice, excluded: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """The same for the cells of a tile."""
        candidates = self._candidates(rows, columns)
        queries, photo_numbers = features[:, rows, columns], self.photo_numbers[candidates]
        photos, height, width = queries.shape[:3]
        distances = torch.cdist(queries.flatten(0, 2), self.patches[candidates]).view(photos, height, width, -1)
        for one in excluded:
            distances.masked_fill_(photo_numbers == one[..., None], torch.inf)
        if self.reach < 0:
            nearest, indices = distances.min(-1)
            return nearest, photo_numbers[indices]
        row_offset = torch.arange(rows.start, rows.stop)[:, None, None] - self.rows[candidates]
        column_offset = torch.arange(columns.start, columns.stop)[:, None] - self.columns[candidates]
        out_of_reach = (row_offset.abs() > self.reach) | (column_offset.abs() > self.reach)
        nearest, indices = distances.masked_fill(out_of_reach, torch.inf).min(-1)
        is_empty = nearest.isinf()
        if is_empty.any():  # where so few are remembered that none is in reach
            all_nearest, all_indices = distances.min(-1)
            nearest, indices = torch.where(is_empty, all_nearest, nearest), torch.where(is_empty, all_indices, indices)
        return nearest, photo_numbers[indices]

    def _candidates(self, rows: slice, columns: slice) -> Bool[Tensor, " remembered"]:
        """Those that patches of the tile are compared with: all, where none is in reach of any of them."""
        in_rows = (self.rows >= rows.start - self.reach) & (self.rows < rows.stop + self.reach)
        in_columns = (self.columns >= columns.start - self.reach) & (self.columns < columns.stop + self.reach)
        in_reach = in_rows & in_columns
        return in_reach if self.reach >= 0 and in_reach.any() else torch.ones_like(in_reach)

    def standardise(self, distances: Float[Tensor, "photos rows columns"]) -> Float[Tensor, "photos rows columns"]:
        """Distances in standard deviations from what is usual at their place and on this photo, a few cells together.

        The photo's own median is what its light, blur and noise do everywhere, no flaw; flaws are wider than a cell.
        """
        deviations = (distances - self.mean) / self.deviation
        median = deviations.flatten(1).median(1).values[:, None, None]
        return F.avg_pool2d(
            (deviations - median)[:, None], SCORE_WINDOW, 1, SCORE_WINDOW // 2, count_include_pad=False
        )[:, 0]

    def reweighting_factor(self, patch: Float[Tensor, " width"]) -> float:
        """The weight of eq. 7: near 1 where the nearest patch has no like, small among many alike."""
        return reweighting_factor(patch, self.patches)


def reweighting_factor(patch: Float[Tensor, " width"], bank: Float[Tensor, "remembered width"]) -> float:
    """1 - exp|p - m*| / sum over m of exp|p - m|, m* the nearest and m its `NEIGHBOURS` nearest with itself (eq. 7)."""
    distances = torch.linalg.vector_norm(bank - patch, dim=1)
    nearest = bank[distances.argmin()]
    neighbours = torch.linalg.vector_norm(bank - nearest, dim=1).topk(min(NEIGHBOURS, len(bank)), largest=False)
    return 1.0 - float(torch.exp(distances.min() - torch.logsumexp(distances[neighbours.indices], 0)))


def iter_tiles(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Those of a map."""
    for top in range(0, rows, TILE_CELLS):
        for left in range(0, columns, TILE_CELLS):
            yield slice(top, min(top + TILE_CELLS, rows)), slice(left, min(left + TILE_CELLS, columns))


@dataclass(frozen=True, slots=True)
class LeaveOneOutDistances:
    """How far the patches of each photo of a fit are from those remembered of the others."""

    nearest: Float[Tensor, "photos rows columns"]
    nearest_photo: Int[Tensor, "photos rows columns"]
    """The photo that the nearest is from."""
    second_nearest: Float[Tensor, "photos rows columns"]
    """The nearest that is from neither of the two."""

    def exclude(self, photo: int) -> Float[Tensor, "others rows columns"]:
        """The distances of the other photos, had this one not been there."""
        others = torch.arange(len(self.nearest)) != photo
        return torch.where(self.nearest_photo == photo, self.second_nearest, self.nearest)[others]


def measure_leave_one_out(bank: MemoryBank, features: PatchFeatures) -> LeaveOneOutDistances:
    """Of the photos of a fit, in its order."""
    own_photo = torch.arange(len(features))[:, None, None].expand(features.shape[:3])
    nearest, nearest_photo = bank.find_nearest(features, own_photo)
    return LeaveOneOutDistances(
        replace_infinite(nearest),
        nearest_photo,
        replace_infinite(bank.find_nearest(features, own_photo, nearest_photo)[0]),
    )


def exclude_photo(bank: MemoryBank, distances: LeaveOneOutDistances, photo: int) -> MemoryBank:
    """What would be remembered, and be usual, had a photo of the fit not been there.

    But for which patches of the others are remembered: some stood for its own as well, and fewer are left. So it is
    farther from them, if anything.
    """
    is_kept = bank.photo_numbers != photo
    is_kept |= not is_kept.any()  # where one photo alone is remembered
    remaining = bank.patches[is_kept], bank.rows[is_kept], bank.columns[is_kept], bank.photo_numbers[is_kept]
    return MemoryBank(*remaining, bank.reach, *fit_position_statistics(distances.exclude(photo)))


def build_memory_bank(features: PatchFeatures, ratio: float, reach: int, generator: torch.Generator) -> MemoryBank:
    """The memory of good photos: `share` of the patches of each tile; of all together where `reach` is negative."""
    photos, rows, columns = features.shape[:3]
    positions = torch.stack(torch.meshgrid(*(torch.arange(n) for n in (photos, rows, columns)), indexing="ij"), -1)
    selected = []
    for tile_rows, tile_columns in iter_tiles(rows, columns) if reach >= 0 else [(slice(0, rows), slice(0, columns))]:
        candidates = positions[:, tile_rows, tile_columns].flatten(0, 2)
        coreset = select_coreset(
            features[:, tile_rows, tile_columns].flatten(0, 2), max(1, round(ratio * len(candidates))), generator
        )
        selected.append(candidates[coreset])
    photo_numbers, rows_of, columns_of = torch.cat(selected).T
    zeros = features.new_zeros(rows, columns)
    bank = MemoryBank(
        features[photo_numbers, rows_of, columns_of], rows_of, columns_of, photo_numbers, reach, zeros, zeros + 1
    )
    mean, deviation = fit_position_statistics(replace_infinite(bank.find_nearest(features, positions[..., 0])[0]))
    return replace(bank, mean=mean, deviation=deviation)


def replace_infinite(distances: Float[Tensor, "photos rows columns"]) -> Float[Tensor, "photos rows columns"]:
    """Distances, the largest of them also where no photo but those passed over is remembered."""
    known_distances = distances[distances.isfinite()]
    return distances.nan_to_num(posinf=float(known_distances.max()) if len(known_distances) else 0.0)


def fit_position_statistics(
    distances: Float[Tensor, "photos rows columns"],
) -> tuple[Float[Tensor, "rows columns"], ...]:
    """The mean and the spread, at each place, of the distances of good photos, none compared with itself."""
    return _smooth(distances.mean(0)), regularise_deviation(_smooth(distances.std(0)))


def regularise_deviation(deviation: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Standard deviations, the median of all added to each: that a few photos agree at a place proves little.

    It is the constant s0 of significance analysis (Tusher et al., PNAS 2001).
    """
    return (deviation + deviation.median()).clamp_min(MIN_DEVIATION)


def _smooth(values: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Each place with those around it: few photos say little about one."""
    return F.avg_pool2d(values[None, None], STATISTICS_WINDOW, 1, STATISTICS_WINDOW // 2, count_include_pad=False)[0, 0]
