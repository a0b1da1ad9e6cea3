"""Memory bank of normal patch features with coreset subsampling (PatchCore, Roth et al., CVPR 2022).

A patch score is the distance to the nearest neighbour in the bank (eq. 6), re-weighted by the density around that
neighbour (eq. 7). Two additions to the paper improved results on products with fixed positions: the search is limited
to neighbours from about the same position (`reach`), and distances are counted in standard deviations of good photos'
distances at that position.

Subsampling is the greedy k-centre solution (section 3.2, eq. 5 and algorithm 1): the next patch is always the farthest
from all selected ones, after a random linear projection, which preserves distances (Johnson and Lindenstrauss 1984).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

PROJECTION_WIDTH = 32
"""Dimensions of the random projection."""


def random_projection(width: int, projected_width: int, generator: torch.Generator) -> Float[Tensor, "width to"]:
    """Return a random Gaussian projection; it preserves lengths in expectation."""
    matrix: Tensor = torch.randn(width, projected_width, generator=generator) / projected_width**0.5
    return matrix


def select_coreset(
    patches: Float[Tensor, "patches width"], count: int, generator: torch.Generator
) -> Int[Tensor, " selected"]:
    """Select `count` patches by greedy k-centre: minimise the largest distance of any patch to the selection.

    The first patch is random. Returns row numbers of `patches`.
    """
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
"""Cells of the feature map, on each axis, that are searched and subsampled together."""
NEIGHBOURS = 5
"""`b` of eq. 7."""
STATISTICS_WINDOW = 3
"""Cells, on each axis, over which distance statistics of a position are averaged."""
SCORE_WINDOW = 3
"""Cells, on each axis, over which a heatmap is averaged."""
MIN_DEVIATION = 0.02
"""Least standard deviation of a position."""
PatchFeatures = Float[Tensor, "photos rows columns width"]


@dataclass(frozen=True, slots=True)
class MemoryBank:
    """Memory bank: normal patch features, their positions, and distance statistics of good photos."""

    patches: Float[Tensor, "bank width"]
    rows: Int[Tensor, " bank"]
    columns: Int[Tensor, " bank"]
    photo_numbers: Int[Tensor, " bank"]
    """Number of the training photo of each patch."""
    reach: int
    """Most cells, on each axis, between a patch and its neighbour; negative: unlimited."""
    mean: Float[Tensor, "all_rows all_columns"]
    """Mean nearest-neighbour distance of good photos at each position."""
    deviation: Float[Tensor, "all_rows all_columns"]
    """Standard deviation of these distances."""

    def distances(self, features: PatchFeatures) -> Float[Tensor, "p r c"]:
        """Return distances to the nearest neighbour (eq. 6)."""
        return self.find_nearest(features)[0]

    def find_nearest(self, features: PatchFeatures, *excluded: Int[Tensor, "p r c"]) -> tuple[Tensor, Tensor]:
        """Return distances to the nearest neighbour (eq. 6), and the training photo that it is from.

        `excluded`: for each patch a training photo whose patches are not searched; distances are infinite if no other
        patch is in the bank.
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
        """Search neighbours for the cells of one tile."""
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
        if is_empty.any():  # no patch of the bank is in reach
            all_nearest, all_indices = distances.min(-1)
            nearest, indices = torch.where(is_empty, all_nearest, nearest), torch.where(is_empty, all_indices, indices)
        return nearest, photo_numbers[indices]

    def _candidates(self, rows: slice, columns: slice) -> Bool[Tensor, " bank"]:
        """Return a mask of patches within reach of the tile; all patches if there are none."""
        in_rows = (self.rows >= rows.start - self.reach) & (self.rows < rows.stop + self.reach)
        in_columns = (self.columns >= columns.start - self.reach) & (self.columns < columns.stop + self.reach)
        in_reach = in_rows & in_columns
        return in_reach if self.reach >= 0 and in_reach.any() else torch.ones_like(in_reach)

    def standardise(
        self,
        distances: Float[Tensor, "photos rows columns"],
        *,
        is_relative: bool = True,
        hidden: Bool[Tensor, "photos rows columns"] | None = None,
    ) -> Float[Tensor, "photos rows columns"]:
        """Return heatmaps of distances in standard deviations of their position, averaged over neighbouring cells.

        Flaws extend over more than a cell. A relative heatmap has the photo's median subtracted: on a whole photo it is
        the effect of lighting, blur and noise. On one instance it is also that of a wrong or turned one.

        Hidden cells do not count, and are 0.
        """
        deviations = (distances - self.mean) / self.deviation
        if is_relative:
            deviations = deviations - deviations.flatten(1).median(1).values[:, None, None]
        if hidden is None:
            return _average_cells(deviations)
        visible = _average_cells((~hidden).float())
        averages = _average_cells(deviations.masked_fill(hidden, 0.0)) / visible.clamp_min(1e-6)
        return averages.masked_fill(hidden, 0.0)

    def reweighting_factor(self, patch: Float[Tensor, " width"]) -> float:
        """Return the factor of eq. 7: near 1 if the nearest neighbour is isolated, small in a dense region."""
        return reweighting_factor(patch, self.patches)


def _average_cells(values: Float[Tensor, "photos rows columns"]) -> Float[Tensor, "photos rows columns"]:
    """Average over neighbouring cells of heatmaps."""
    return F.avg_pool2d(values[:, None], SCORE_WINDOW, 1, SCORE_WINDOW // 2, count_include_pad=False)[:, 0]


def reweighting_factor(patch: Float[Tensor, " width"], bank: Float[Tensor, "bank width"]) -> float:
    """Return 1 - exp|p - m*| / Σ_m exp|p - m|, m* the nearest neighbour and m its `NEIGHBOURS` nearest ones (eq. 7)."""
    distances = torch.linalg.vector_norm(bank - patch, dim=1)
    nearest = bank[distances.argmin()]
    neighbours = torch.linalg.vector_norm(bank - nearest, dim=1).topk(min(NEIGHBOURS, len(bank)), largest=False)
    return 1.0 - float(torch.exp(distances.min() - torch.logsumexp(distances[neighbours.indices], 0)))


def iter_tiles(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Yield row and column slices of a feature map's tiles."""
    for top in range(0, rows, TILE_CELLS):
        for left in range(0, columns, TILE_CELLS):
            yield slice(top, min(top + TILE_CELLS, rows)), slice(left, min(left + TILE_CELLS, columns))


@dataclass(frozen=True, slots=True)
class LeaveOneOutDistances:
    """Nearest-neighbour distances of the training photos, each to the patches of all other photos.

    Several feature maps may be of one photo, as those of several instances are.
    """

    photo_numbers: Int[Tensor, " photos"]
    """Photo of each feature map."""
    nearest: Float[Tensor, "photos rows columns"]
    nearest_photo: Int[Tensor, "photos rows columns"]
    """Photo of the nearest neighbour."""
    second_nearest: Float[Tensor, "photos rows columns"]
    """Distance to the nearest neighbour from a third photo."""

    def exclude(self, photo: int) -> Float[Tensor, "others rows columns"]:
        """Return the other photos' distances if this photo had not been in the training set."""
        others = self.photo_numbers != photo
        others |= not others.any()  # there is one photo only
        return torch.where(self.nearest_photo == photo, self.second_nearest, self.nearest)[others]


def measure_leave_one_out(
    bank: MemoryBank, features: PatchFeatures, photo_numbers: Int[Tensor, " photos"] | None = None
) -> LeaveOneOutDistances:
    """Measure the distances of all feature maps that the bank was built from, given in their order.

    `photo_numbers`: photo of each feature map; one each by default.
    """
    numbers = torch.arange(len(features)) if photo_numbers is None else photo_numbers
    own_photo = numbers[:, None, None].expand(features.shape[:3])
    nearest, nearest_photo = bank.find_nearest(features, own_photo)
    return LeaveOneOutDistances(
        numbers,
        replace_infinite(nearest),
        nearest_photo,
        replace_infinite(bank.find_nearest(features, own_photo, nearest_photo)[0]),
    )


def exclude_photo(bank: MemoryBank, distances: LeaveOneOutDistances, photo: int) -> MemoryBank:
    """Return the memory bank and its statistics without one training photo.

    The coreset is not selected anew: where it held this photo's patches fewer patches remain, so distances of the photo
    are at most overestimated.
    """
    is_included = bank.photo_numbers != photo
    is_included |= not is_included.any()  # the bank has patches of one photo only
    remaining = (
        bank.patches[is_included],
        bank.rows[is_included],
        bank.columns[is_included],
        bank.photo_numbers[is_included],
    )
    return MemoryBank(*remaining, bank.reach, *fit_position_statistics(distances.exclude(photo)))


def build_memory_bank(
    features: PatchFeatures,
    ratio: float,
    reach: int,
    generator: torch.Generator,
    numbers: Int[Tensor, " photos"] | None = None,
) -> MemoryBank:
    """Build the memory bank of good photos.

    The coreset holds `ratio` of each tile's patches, or of all patches together if `reach` is negative. `numbers`:
    photo of each feature map; one each by default.
    """
    photos, rows, columns = features.shape[:3]
    positions = torch.stack(torch.meshgrid(*(torch.arange(n) for n in (photos, rows, columns)), indexing="ij"), -1)
    selected = []
    for tile_rows, tile_columns in iter_tiles(rows, columns) if reach >= 0 else [(slice(0, rows), slice(0, columns))]:
        candidates = positions[:, tile_rows, tile_columns].flatten(0, 2)
        coreset = select_coreset(
            features[:, tile_rows, tile_columns].flatten(0, 2), max(1, round(ratio * len(candidates))), generator
        )
        selected.append(candidates[coreset])
    map_numbers, rows_of, columns_of = torch.cat(selected).T
    numbers = torch.arange(photos) if numbers is None else numbers
    zeros = features.new_zeros(rows, columns)
    bank = MemoryBank(
        features[map_numbers, rows_of, columns_of], rows_of, columns_of, numbers[map_numbers], reach, zeros, zeros + 1
    )
    mean, deviation = fit_position_statistics(
        replace_infinite(bank.find_nearest(features, numbers[positions[..., 0]])[0])
    )
    return replace(bank, mean=mean, deviation=deviation)


def replace_infinite(distances: Float[Tensor, "photos rows columns"]) -> Float[Tensor, "photos rows columns"]:
    """Replace infinite distances (no patch of another photo in the bank) by the largest finite one."""
    finite_distances = distances[distances.isfinite()]
    return distances.nan_to_num(posinf=float(finite_distances.max()) if len(finite_distances) else 0.0)


def fit_position_statistics(
    distances: Float[Tensor, "photos rows columns"],
) -> tuple[Float[Tensor, "rows columns"], ...]:
    """Return mean and standard deviation of good photos' distances at each position."""
    return _smooth(distances.mean(0)), regularise_deviation(_smooth(distances.std(0)))


def regularise_deviation(deviation: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Add the median to all standard deviations, since few photos may agree by coincidence.

    It is the constant s0 of significance analysis (Tusher et al., PNAS 2001).
    """
    return (deviation + deviation.median()).clamp_min(MIN_DEVIATION)


def _smooth(values: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Average over neighbouring positions, since there are few photos."""
    return F.avg_pool2d(values[None, None], STATISTICS_WINDOW, 1, STATISTICS_WINDOW // 2, count_include_pad=False)[0, 0]
