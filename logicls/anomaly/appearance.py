"""Memory of a component's look on good photos, and the strangeness of its instances on other photos.

The memory is the expert's: PatchCore with a search near the same position (`logicls.anomaly.memory_bank`), on crops of
the component. A crop is cut at the instance's box and angle, and registered by a search of shifts and scales, since
boxes that a model reads are off by some pixels. Levels are replaced by their square roots, which makes the noise of a
sensor equal at all levels, so that print on a black part counts as much as on a white one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor, nn

from logicls.anomaly.features import PatchFeatureExtractor, Whitening, fit_whitening
from logicls.anomaly.heatmaps import bounding_box, connected_region
from logicls.anomaly.memory_bank import (
    MemoryBank,
    PatchFeatures,
    build_memory_bank,
    exclude_photo,
    measure_leave_one_out,
)
from logicls.anomaly.scores import ScoreDistribution
from logicls.models.nano.detection_head import CELL_PIXELS
from logicls.records import Box

Photo = UInt8[np.ndarray, "height width 3"]
CROP_SIDE = 128
"""Longer side of a crop, pixels."""
SIDE_STEP = 16
"""Sides of a crop are multiples of this, pixels."""
MIN_SIDE = 32
"""Shortest side of a crop, pixels."""
TEMPLATE_SIDE = 64
"""Longer side of the template that crops are registered with, pixels."""
SEARCH = 0.08
"""Largest shift of the search, as a share of the crop's longer side."""
SCALES = (1.0, 0.97, 1.03)
"""Scales of the search."""
REACH = 1
"""Cells between a patch and its neighbour in the memory, at most, on each axis."""
MAX_PATCHES = 60
"""Patches in memory for each position."""
MIN_SPREAD = 0.5
"""Least spread of the scores of good photos, standard deviations of a position."""
COVERED_SHARE = 0.2
"""Share of the good instances on which other components must cover a position for it never to count."""
MAX_COVERED = 0.8
"""Share of a component that others may cover for the rest to be registered."""
COVER_MARGIN = 1
"""Cells around another component that do not count."""
UPRIGHT = 5.0
"""Degrees from a multiple of 90 up to which a box is as large as its instance."""


@dataclass(frozen=True, slots=True)
class PlacedInstance:
    """An instance on a photo: where it is, and what lies on it."""

    box: Box
    angle: float = 0.0
    """Degrees, counterclockwise as seen on the photo."""
    covers: tuple[Box, ...] = ()
    """Boxes of other components, which have a look of their own."""


@dataclass(frozen=True, slots=True)
class CropFrame:
    """A rotated rectangle on a photo, whose content becomes a crop."""

    centre: tuple[float, float]
    size: tuple[float, float]
    """(width, height), pixels of the photo."""
    angle: float

    @property
    def axes(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Unit vectors along the rectangle's width and height; y points down."""
        c, s = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        return (c, -s), (s, c)

    def shift(self, dx: float, dy: float, scale: float = 1.0) -> CropFrame:
        """Return the frame moved by shares of its width and height, and scaled about its new centre."""
        width, height = self.size
        (ux, uy), (vx, vy) = self.axes
        x, y = self.centre
        centre = (x + dx * width * ux + dy * height * vx, y + dx * width * uy + dy * height * vy)
        return CropFrame(centre, (width * scale, height * scale), self.angle)

    def expand(self, across: float, down: float) -> CropFrame:
        """Return the frame enlarged about its centre by factors."""
        return replace(self, size=(self.size[0] * across, self.size[1] * down))

    def cut(self, photo: Photo, height: int, width: int) -> Photo:
        """Return the content as a crop of that size; pixels beyond the photo repeat its edge."""
        factor = max(1, math.ceil(max(self.size[0] / width, self.size[1] / height) - 0.25))
        columns, rows = width * factor, height * factor
        (ux, uy), (vx, vy) = self.axes
        step_x, step_y = self.size[0] / columns, self.size[1] / rows
        matrix = np.array([[ux * step_x, vx * step_y, 0.0], [uy * step_x, vy * step_y, 0.0]])
        matrix[:, 2] = np.array(self.centre) - 0.5 - matrix[:, :2] @ ((columns - 1) / 2, (rows - 1) / 2)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(photo, matrix, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(crop if factor == 1 else cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA))

    def locate_cells(self, rows: int, columns: int) -> Float[np.ndarray, "rows columns 2"]:
        """Return (x, y) on the photo of the centre of each cell that divides the frame evenly."""
        across, down = (np.arange(columns) + 0.5) / columns - 0.5, (np.arange(rows) + 0.5) / rows - 0.5
        (ux, uy), (vx, vy) = self.axes
        u, v = across[None, :] * self.size[0], down[:, None] * self.size[1]
        return np.stack([self.centre[0] + u * ux + v * vx, self.centre[1] + u * uy + v * vy], axis=-1)

    @property
    def upright_box(self) -> Box:
        """Box of the rectangle before its rotation."""
        (x, y), (width, height) = self.centre, self.size
        return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def to_photo(self, cells: Box, rows: int, columns: int) -> Box:
        """Return the box around some cells on the photo."""
        left, top = cells.x1 / columns - 0.5, cells.y1 / rows - 0.5
        right, bottom = cells.x2 / columns - 0.5, cells.y2 / rows - 0.5
        (ux, uy), (vx, vy) = self.axes
        corners = [(u * self.size[0], v * self.size[1]) for u in (left, right) for v in (top, bottom)]
        xs = [self.centre[0] + u * ux + v * vx for u, v in corners]
        ys = [self.centre[1] + u * uy + v * vy for u, v in corners]
        return Box(min(xs), min(ys), max(xs), max(ys))


@dataclass(frozen=True, slots=True)
class Look:
    """How strange an instance looks."""

    score: float
    """Standard deviations of its strangest place from good photos."""
    rarity: float
    """Estimated share of good photos with such a score or a higher one."""
    is_anomalous: bool
    """True if it is stranger than good photos are, by their spread."""
    limit: float
    """Score above which it is."""
    box: Box
    """Box around the strangest place on the photo."""
    heatmap: Float32[np.ndarray, "rows columns"] = field(compare=False, repr=False)
    frame: CropFrame = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Registration:
    """Finds the frame in which an instance looks most like the mean of the good ones."""

    template: Float32[np.ndarray, "height width 3"]
    """Mean of good crops."""
    size: tuple[float, float]
    """(width, height) of a good instance, pixels of the photo: the medians."""
    is_own: Bool[np.ndarray, "height width"] | None = None
    """Pixels of the template that count, where other components cover the rest on good photos; all if None."""

    def place(self, instance: PlacedInstance) -> CropFrame:
        """Return the frame of a box and an angle, before the search."""
        box, off = instance.box, abs((instance.angle + 45) % 90 - 45)
        size = (box.width, box.height)
        if off > UPRIGHT:
            size = self.size
        elif abs((instance.angle + 90) % 180 - 90) > 45:
            size = (box.height, box.width)
        return CropFrame(box.centre, (max(size[0], 1.0), max(size[1], 1.0)), instance.angle)

    def find(self, photo: Photo, instance: PlacedInstance) -> CropFrame:
        """Return the best frame near the instance's box: its own angle or none, some shifts and scales."""
        start = self.place(instance)
        starts = [start] if start.angle == 0 else [start, self.place(replace(instance, angle=0.0))]
        return max((self._search(photo, one) for one in starts), key=lambda found: found[0])[1]

    def _search(self, photo: Photo, start: CropFrame) -> tuple[float, CropFrame]:
        """Return the highest correlation with the template, and its frame."""
        height, width = self.template.shape[:2]
        pad = max(1, round(SEARCH * max(height, width)))
        best = (-math.inf, start)
        mask = None if self.is_own is None else np.repeat(self.is_own[..., None], 3, -1).astype(np.float32)
        for scale in SCALES:
            area = start.shift(0, 0, scale).expand(1 + 2 * pad / width, 1 + 2 * pad / height)
            pixels = _equalize_noise(area.cut(photo, height + 2 * pad, width + 2 * pad)).astype(np.float32)
            correlation = cv2.matchTemplate(pixels, self.template, cv2.TM_CCOEFF_NORMED, mask=mask)
            y, x = np.unravel_index(int(np.nan_to_num(correlation, nan=-1.0).argmax()), correlation.shape)
            value = float(np.nan_to_num(correlation[y, x], nan=-1.0))
            if value > best[0] + 1e-6:
                peak = _refine_peak(correlation[y], int(x)), _refine_peak(correlation[:, x], int(y))
                shift = (peak[0] - pad) / width * scale, (peak[1] - pad) / height * scale
                best = value, replace(start.shift(*shift), size=(start.size[0] * scale, start.size[1] * scale))
        return best


def _refine_peak(values: Float[np.ndarray, " shifts"], peak: int) -> float:
    """Return the position of a maximum between samples, by a parabola through its neighbours."""
    if not 0 < peak < len(values) - 1:
        return float(peak)
    before, at, after = (float(value) for value in values[peak - 1 : peak + 2])
    curvature = before - 2 * at + after
    return peak + (0.5 * (before - after) / curvature if curvature < -1e-9 else 0.0)


def _equalize_noise(crop: Photo) -> Photo:
    """Return the square roots of all levels, 0 to 255: shot noise is equal at all of them (Anscombe 1948)."""
    return cv2.LUT(crop, _ROOTS)


_ROOTS = np.round(np.sqrt(np.arange(256) / 255) * 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class AppearanceMemory:
    """Everything learned about the look of a component. Photos are letterboxed to one size before."""

    registration: Registration
    crop: tuple[int, int]
    """(height, width) of a crop, pixels."""
    whitening: Whitening
    bank: MemoryBank
    is_covered: Bool[np.ndarray, "rows columns"]
    """Positions that other components cover on good photos."""
    scores: ScoreDistribution
    """Highest score of each good photo, left out of the memory."""
    photo_names: tuple[str, ...] = ()
    """Good photos that belong to the scores."""

    def compare(self, stem: nn.Sequential, photo: Photo, instances: Sequence[PlacedInstance]) -> list[Look]:
        """Compare the instances on a photo with the memory."""
        if not instances:
            return []
        frames = [self.registration.find(photo, instance) for instance in instances]
        crops = [
            cut_crop(photo, frame, self.crop, self.is_covered, instance.covers)
            for frame, instance in zip(frames, instances, strict=True)
        ]
        features: PatchFeatures = self.whitening(PatchFeatureExtractor(stem, self.crop).extract(crops))
        hidden = self.find_hidden(frames, instances)
        heatmaps = self.bank.standardise(self.bank.distances(features), is_relative=False, hidden=hidden).numpy()
        return [self._to_look(heatmap, frame) for heatmap, frame in zip(heatmaps, frames, strict=True)]

    def find_hidden(
        self, frames: Sequence[CropFrame], instances: Sequence[PlacedInstance]
    ) -> Bool[Tensor, "instances rows columns"]:
        """Return the cells that do not count: other components lie there, or do on good photos.

        Cells beside them do not count either, since features cover more than a cell. Where nothing is left, all count.
        """
        shape = self.is_covered.shape
        covered = [
            self.is_covered | find_covered_cells(frame, shape, instance.covers)
            for frame, instance in zip(frames, instances, strict=True)
        ]
        kernel = np.ones((2 * COVER_MARGIN + 1, 2 * COVER_MARGIN + 1), np.uint8)
        hidden = [cv2.dilate(one.astype(np.uint8), kernel).astype(bool) for one in covered]
        return torch.from_numpy(np.stack([np.zeros_like(one) if one.all() else one for one in hidden]))

    def _to_look(self, heatmap: Float32[np.ndarray, "rows columns"], frame: CropFrame) -> Look:
        rows, columns = heatmap.shape
        peak = int(heatmap.argmax())
        score = float(heatmap.flat[peak])
        box = frame.to_photo(bounding_box(connected_region(heatmap, peak)), rows, columns)
        limit = self.scores.review_score
        return Look(score, self.scores.rarity(score), score > limit, limit, box, heatmap, frame)


def cut_crop(
    photo: Photo,
    frame: CropFrame,
    size: tuple[int, int],
    is_covered: Bool[np.ndarray, "rows columns"],
    covers: Sequence[Box],
) -> Photo:
    """Return the crop in a frame, (height, width) in `size`, with a mean colour where other components lie.

    Features depend on the whole crop through their norms: a label that is missing would change all of them.
    """
    crop = _equalize_noise(frame.cut(photo, *size))
    usual = cv2.resize(is_covered.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
    hidden = usual | find_covered_cells(frame, size, covers) if covers else usual
    if not hidden.any() or hidden.all():
        return crop
    return np.asarray(np.where(hidden[..., None], crop[~hidden].mean(0), crop), np.uint8)


def find_covered_cells(
    frame: CropFrame, shape: tuple[int, ...], covers: Sequence[Box]
) -> Bool[np.ndarray, "rows columns"]:
    """Return which cells of a frame have their centre in one of the boxes."""
    cells = frame.locate_cells(shape[0], shape[1])
    is_covered = np.zeros(shape, bool)
    for box in covers:
        is_inside = (box.x1 <= cells[..., 0]) & (cells[..., 0] <= box.x2)
        is_covered |= is_inside & (box.y1 <= cells[..., 1]) & (cells[..., 1] <= box.y2)
    return is_covered


MAX_TRIM = 0.4
"""Largest share of a side by which a box is trimmed; boxes that overlap more are of one instance in another."""


def trim_overlaps(boxes: Sequence[Box]) -> list[Box]:
    """Return the boxes of touching instances of one component without their overlaps: the larger box gives way.

    A box that is read where two instances touch often includes a strip of the neighbour, which looks like no instance.
    Each box is cut at the edge of a smaller one that overlaps it, along the axis on which less is lost.

    >>> trim_overlaps([Box(0, 0, 35, 28), Box(28, 0, 58, 28)])
    [Box(x1=0, y1=0, x2=28, y2=28), Box(x1=28, y1=0, x2=58, y2=28)]
    """
    trimmed = list(boxes)
    for number, box in sorted(enumerate(boxes), key=lambda pair: -pair[1].area):
        for other in (one for index, one in enumerate(trimmed) if index != number and one.area <= box.area):
            trimmed[number] = _trim(trimmed[number], other)
    return trimmed


def _trim(box: Box, other: Box) -> Box:
    """Return the box cut at the edge of another one that overlaps it, if little is lost; otherwise as it is."""
    if box.intersection(other) <= 0:
        return box
    cuts = [
        (replace(box, x2=other.x1), (box.x2 - other.x1) / box.width),
        (replace(box, x1=other.x2), (other.x2 - box.x1) / box.width),
        (replace(box, y2=other.y1), (box.y2 - other.y1) / box.height),
        (replace(box, y1=other.y2), (other.y2 - box.y1) / box.height),
    ]
    cut, lost = min(cuts, key=lambda pair: pair[1])
    return cut if lost <= MAX_TRIM else box


def find_covers(box: Box, others: Sequence[Box]) -> tuple[Box, ...]:
    """Return the boxes that lie over a larger one: parts on it, and smaller things in front of it."""
    return tuple(other for other in others if other.area < box.area and other.intersection(box) > 0)


def choose_crop_size(size: tuple[float, float]) -> tuple[int, int]:
    """Return (height, width) of crops of a component whose instances have this (width, height)."""
    scale = CROP_SIDE / max(size)
    width, height = (max(MIN_SIDE, round(side * scale / SIDE_STEP) * SIDE_STEP) for side in size)
    return height, width


@dataclass(frozen=True, slots=True)
class GoodPhoto:
    """A good photo, letterboxed, with the instances of one component; several places of one instance are allowed."""

    name: str
    pixels: Photo
    instances: tuple[PlacedInstance, ...]


def fit_memory(stem: nn.Sequential, photos: Sequence[GoodPhoto], seed: int = 0) -> AppearanceMemory:
    """Fit the memory of one component to good photos, and score each of them without its own patches.

    Raises `ValueError` without instances on two photos.
    """
    photos = [photo for photo in photos if photo.instances]
    if len(photos) < 2:
        raise ValueError(f"instances on {len(photos)} good photos")
    registration = _fit_registration(photos)
    is_covered = _find_usual_covers(registration, photos, registration.template.shape[:2])
    if 0 < is_covered.mean() < MAX_COVERED:
        registration = replace(registration, is_own=~is_covered)
    crop = choose_crop_size(registration.size)
    frames = [[registration.find(photo.pixels, instance) for instance in photo.instances] for photo in photos]
    cells = crop[0] // CELL_PIXELS, crop[1] // CELL_PIXELS
    is_covered = _find_usual_covers(registration, photos, cells)
    crops = [
        cut_crop(photo.pixels, frame, crop, is_covered, instance.covers)
        for photo, own in zip(photos, frames, strict=True)
        for frame, instance in zip(own, photo.instances, strict=True)
    ]
    maps = PatchFeatureExtractor(stem, crop).extract(crops)
    whitening = fit_whitening(maps)
    features: PatchFeatures = whitening(maps)
    numbers = torch.tensor([n for n, photo in enumerate(photos) for _ in photo.instances])
    generator = torch.Generator().manual_seed(seed)
    bank = build_memory_bank(features, min(1.0, MAX_PATCHES / len(features)), REACH, generator, numbers)
    memory = AppearanceMemory(registration, crop, whitening, bank, is_covered, ScoreDistribution((0.0,), MIN_SPREAD))
    scores = dict(_leave_photos_out(memory, features, numbers, photos, frames))
    names = sorted(scores, key=lambda name: -scores[name])
    return replace(
        memory,
        scores=ScoreDistribution(tuple(scores[name] for name in names), MIN_SPREAD),
        photo_names=tuple(names),
    )


def _find_usual_covers(
    registration: Registration, photos: Sequence[GoodPhoto], shape: tuple[int, ...]
) -> Bool[np.ndarray, "rows columns"]:
    """Return the positions that other components cover on good photos, of a grid of that (height, width)."""
    covered = [
        find_covered_cells(registration.place(instance), shape, instance.covers)
        for photo in photos
        for instance in photo.instances
    ]
    return np.asarray(np.mean(covered, axis=0) >= COVERED_SHARE)


def _fit_registration(photos: Sequence[GoodPhoto]) -> Registration:
    """Return the mean of all good crops as a template, each registered with the mean of the crops as they are."""
    placed = [(photo.pixels, instance) for photo in photos for instance in photo.instances]
    first = Registration(np.zeros((1, 1, 3), np.float32), (1.0, 1.0))
    upright = [first.place(one).size for _, one in placed if abs((one.angle + 45) % 90 - 45) <= UPRIGHT]
    sizes = upright or [_solve_size(one) for _, one in placed]
    width, height = (float(np.median([size[axis] for size in sizes])) for axis in (0, 1))
    scale = TEMPLATE_SIDE / max(width, height)
    shape = max(8, round(height * scale)), max(8, round(width * scale))
    registration = replace(first, size=(width, height))
    frames = [registration.place(instance) for _, instance in placed]
    for _ in range(2):
        crops = [_equalize_noise(frame.cut(one, *shape)) for frame, (one, _) in zip(frames, placed, strict=True)]
        registration = replace(registration, template=np.asarray(np.mean(crops, axis=0), np.float32))
        frames = [registration.find(pixels, instance) for pixels, instance in placed]
    return registration


def _solve_size(instance: PlacedInstance) -> tuple[float, float]:
    """Return (width, height) of a rectangle from the box around it and its angle; those of the box near 45 degrees."""
    c, s = (abs(f(math.radians(instance.angle))) for f in (math.cos, math.sin))
    box, difference = instance.box, c * c - s * s
    if abs(difference) < 0.2:
        return box.width, box.height
    width, height = (box.width * c - box.height * s) / difference, (box.height * c - box.width * s) / difference
    return max(width, 1.0), max(height, 1.0)


def _leave_photos_out(
    memory: AppearanceMemory,
    features: PatchFeatures,
    numbers: Tensor,
    photos: Sequence[GoodPhoto],
    frames: Sequence[Sequence[CropFrame]],
) -> Iterator[tuple[str, float]]:
    """Yield the name and the highest score of each photo without its own patches (the whitening includes them)."""
    distances = measure_leave_one_out(memory.bank, features, numbers)
    for number, photo in enumerate(photos):
        bank, hidden = (
            exclude_photo(memory.bank, distances, number),
            memory.find_hidden(frames[number], photo.instances),
        )
        heatmaps = bank.standardise(distances.nearest[numbers == number], is_relative=False, hidden=hidden)
        yield photo.name, float(heatmaps.max())


def memory_to_tensors(memory: AppearanceMemory) -> dict[str, Tensor]:
    """Return the tensors of a memory by name."""
    bank, whitening, registration = memory.bank, memory.whitening, memory.registration
    return {
        "patches": bank.patches.half(), "rows": bank.rows.short(), "columns": bank.columns.short(),
        "mean": bank.mean, "deviation": bank.deviation, "centre": whitening.mean, "axes": whitening.axes,
        "template": torch.from_numpy(registration.template), "own": _own_to_tensor(registration),
        "size": torch.tensor(registration.size),
        "crop": torch.tensor(memory.crop), "covered": torch.from_numpy(memory.is_covered),
        "scores": torch.tensor(memory.scores.scores, dtype=torch.float64),
    }  # fmt: skip


def _own_to_tensor(registration: Registration) -> Bool[Tensor, "height width"]:
    """Return the pixels of the template that count; empty if all do."""
    return torch.from_numpy(np.zeros((0, 0), bool) if registration.is_own is None else registration.is_own)


def memory_from_tensors(tensors: Mapping[str, Tensor], photo_names: Sequence[str]) -> AppearanceMemory:
    """Restore a memory. Raises `KeyError`, `ValueError`."""
    rows, columns = tensors["rows"].long(), tensors["columns"].long()
    bank = MemoryBank(
        tensors["patches"].float(), rows, columns, torch.full_like(rows, -1), REACH, tensors["mean"],
        tensors["deviation"],
    )  # fmt: skip
    width, height = tensors["size"].tolist()
    own = tensors["own"].numpy()
    crop_height, crop_width = (int(side) for side in tensors["crop"].tolist())
    return AppearanceMemory(
        Registration(tensors["template"].numpy(), (width, height), own if len(own) else None),
        (crop_height, crop_width),
        Whitening(tensors["centre"], tensors["axes"]),
        bank,
        tensors["covered"].numpy(),
        ScoreDistribution(tuple(tensors["scores"].tolist()), MIN_SPREAD),
        tuple(photo_names),
    )
