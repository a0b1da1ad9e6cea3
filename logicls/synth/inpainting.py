"""Inpainting: remove an instance by filling its pixels from the surface that it lies on.

A patch of the same surface is copied whose rim fits best (exemplar-based inpainting). The remaining difference at the
rim is interpolated smoothly over the inside: a membrane after Pérez et al. 2003, "Poisson Image Editing", here by
normalised convolution (Knutsson and Westin 1993). If the surface is too small for a second patch of that size, the
membrane alone carries the colours of the rim inside, with the grain of the surface added.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float

from logicls.records import Box
from logicls.synth.image_ops import (
    EDGE_MARGIN,
    INTEGER_LIMIT,
    Photo,
    alpha_blend,
    apply_gain,
    channel_max,
    feather_mask,
    pixel_bounds,
    sample_integers,
)

BLEND_RIM, RIM_GAP, RIM_ALPHA = 0.25, 2, 0.999
"""Rim outside a box in which photos are compared: its width as a share of the box's smaller side, the pixels that what
is replaced may extend beyond its box, and the alpha below which a pixel belongs to the rim.
"""
CANDIDATES = 160
"""Random patches that are compared."""
RIM_MARGINS = (0.6, 0.25)
"""Margins around an instance, shares of its longer side, in which its surface is examined. The smaller one finds a
patch of the surface where there is no room for the larger one.
"""
MIN_BARE_RIM = 0.3
"""Share of its rim that a patch must show as bare surface."""
MAX_SPAN = 0.6
"""Share of the surface's width or height; a larger instance leaves no room for a second patch."""
SHADOW_REACH = 0.3
"""Share of an instance's size by which its shadow extends beyond it; the shadow is removed with it."""
FLAT_REACH = 0.12
"""The same margin for instances that fill their box, most often labels, whose box may be drawn too small."""
MEMBRANE_SIGMAS = (0.03, 0.08, 0.25)
"""Standard deviations of the membrane's blurs, as shares of the smaller side."""
MEAN_WEIGHT = 1e-4
"""Weight of the rim's mean colour, which decides where no blur reaches."""
MEMBRANE_SIZE = 40
"""Smaller side of the copy on which the membrane is computed, pixels."""
FEATHER = 8
"""Pixels around the hole over which its alpha falls to 0."""
GRAIN_SAMPLES = 4096
"""Most pixels from which the grain of a surface is sampled."""
FIT_ROUNDS, FIT_PIXELS, OUTLIER_FACTOR, OUTLIER_LEVELS = 3, 400, 4.0, 12.0
"""Robust fit of a colour gradient to the rim: rounds, pixels, and the residual beyond which a pixel is an outlier (that
many medians of all residuals, and at least that many grey levels).
"""
Rect = tuple[int, int, int, int]
Region = Bool[np.ndarray, "height width"]


def inpaint(
    photo: Photo,
    box: Box,
    mask: Float[np.ndarray, "h w"],
    rng: np.random.Generator,
    *,
    support: Box | None = None,
    obstacles: Sequence[Box] = (),
    occluders: Sequence[tuple[Box, Float[np.ndarray, ...]]] = (),
) -> Photo:
    """Remove what `mask` shows in `box`.

    Args:
        photo: The photo; not changed.
        box: Box of the instance.
        mask: Alpha of the instance, 0 to 1 over the box's whole pixels.
        rng: Draws candidate patches and grain.
        support: Box of the surface that it lies on; the photo if left out. Pixels outside are not sampled.
        obstacles: Boxes of other instances; their pixels are not sampled either.
        occluders: Box and mask of adjacent instances; their pixels stay.
    """
    bounds = pixel_bounds(support, photo, pad=-EDGE_MARGIN) if support else (0, 0, photo.shape[1], photo.shape[0])
    has_room = box.width <= MAX_SPAN * (bounds[2] - bounds[0]) and box.height <= MAX_SPAN * (bounds[3] - bounds[1])
    for margin in RIM_MARGINS if has_room else RIM_MARGINS[:1]:
        rect, hole = _find_hole(box, mask, photo, bounds, margin)
        _exclude_occluders(hole, rect, occluders, photo)
        rim = _find_rim(rect, hole, obstacles, photo, bounds)
        if not rim.any():  # No room for the shadow: the instance alone.
            rect, hole = _find_hole(box, mask, photo, bounds, margin, has_shadow=False)
            _exclude_occluders(hole, rect, occluders, photo)
            rim = _find_rim(rect, hole, obstacles, photo, bounds)
        if not rim.any():
            return photo.copy()
        found = _find_patch(photo, rect, (hole, rim), bounds, obstacles, rng) if has_room else None
        if found:
            break
    x1, y1, x2, y2 = rect
    region = photo[y1:y2, x1:x2]
    patch, rim = found or (None, rim)
    if patch is None and support:
        rim = _drop_outliers(region.astype(np.float32), rim)
    window = _feathered_bounds(hole)
    membrane = _interpolate_membrane(region, patch, rim, window)
    texture = sample_grain(region, rim, membrane.shape[:2], rng) if patch is None else patch[window]
    filled = cv2.add(membrane, texture, dtype=cv2.CV_8U)
    out = photo.copy()
    alpha = cv2.GaussianBlur(hole[window].astype(np.float32), (0, 0), 1.6)
    out[y1:y2, x1:x2][window] = alpha_blend(region[window], filled, alpha)
    return out


def _feathered_bounds(hole: Region) -> tuple[slice, slice]:
    """Rows and columns of the hole with its feathered edge."""
    left, top, width, height = cv2.boundingRect(hole.astype(np.uint8))
    return slice(max(top - FEATHER, 0), top + height + FEATHER), slice(max(left - FEATHER, 0), left + width + FEATHER)


def blend_patch(photo: Photo, box: Box, source: Photo, source_box: Box, gain: Float[np.ndarray, " rgb"]) -> Photo:
    """Blend the box of another photo, background included, into the box so that the surroundings match.

    Both photos are compared in a rim around the boxes: inside the box, what is replaced may fill it to its edge. Where
    there is no rim, because the box reaches the photo's edges, the outermost pixels of the box serve.

    Args:
        photo: The photo; not changed.
        box: Box to replace.
        source: The other photo.
        source_box: Its box.
        gain: Factor for each channel of the other photo, to match the contrast.
    """
    bounds, source_bounds = pixel_bounds(box, photo), pixel_bounds(source_box, source)
    size = bounds[2] - bounds[0], bounds[3] - bounds[1]
    scale = size[0] / (source_bounds[2] - source_bounds[0]), size[1] / (source_bounds[3] - source_bounds[1])
    wanted = max(RIM_GAP + 2, round(BLEND_RIM * min(size)))
    margins = [
        min(wanted, room, int(source_room * scale[side % 2]))
        for side, (room, source_room) in enumerate(
            zip(_measure_room(bounds, photo), _measure_room(source_bounds, source), strict=True)
        )
    ]
    x1, y1, x2, y2 = bounds[0] - margins[0], bounds[1] - margins[1], bounds[2] + margins[2], bounds[3] + margins[3]
    sides = zip(source_bounds, (-1, -1, 1, 1), margins, scale * 2, strict=True)
    sx1, sy1, sx2, sy2 = (edge + sign * round(margin / factor) for edge, sign, margin, factor in sides)
    region, window = photo[y1:y2, x1:x2], (slice(None), slice(None))
    scaled = apply_gain(cv2.resize(source[sy1:sy2, sx1:sx2], (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA), gain)
    alpha = _fade_out(region.shape[:2], margins)
    rim = alpha < RIM_ALPHA
    if not rim.any():
        rim = feather_mask(region.shape[:2], max(2, round(FLAT_REACH / 2 * min(size)))) < 1
        alpha = feather_mask(region.shape[:2], 2)
    difference = cv2.subtract(region, scaled, dtype=cv2.CV_32F)
    rim = _drop_outliers(difference, rim)
    blended = cv2.add(scaled, _interpolate_membrane(region, scaled, rim, window), dtype=cv2.CV_8U)
    out = photo.copy()
    out[y1:y2, x1:x2] = alpha_blend(region, blended, alpha)
    return out


def _measure_room(bounds: Rect, photo: Photo) -> Rect:
    """Pixels between the bounds and the left, top, right and bottom edge of the photo."""
    return bounds[0], bounds[1], photo.shape[1] - bounds[2], photo.shape[0] - bounds[3]


def _fade_out(shape: tuple[int, ...], margins: Sequence[int]) -> Float[np.ndarray, "h w"]:
    """Alpha of a box with margins (left, top, right, bottom): 1 up to `RIM_GAP` pixels outside, then falling."""
    ramps = []
    for size, before, after in ((shape[1], margins[0], margins[2]), (shape[0], margins[1], margins[3])):
        position = np.arange(size, dtype=np.float32) + 0.5
        falling = [
            np.clip((distance - 0.5) / max(margin - RIM_GAP, 1), 0, 1) if margin else np.ones(size, np.float32)
            for distance, margin in ((position, before), (size - position, after))
        ]
        ramps.append(np.minimum(*falling))
    return np.minimum(ramps[0][None], ramps[1][:, None]).astype(np.float32)


def _find_hole(
    box: Box,
    mask: Float[np.ndarray, "h w"],
    photo: Photo,
    bounds: Rect,
    relative_margin: float,
    *,
    has_shadow: bool = True,
) -> tuple[Rect, Region]:
    """Rectangle to work on (the box with a margin, inside the bounds), and the pixels to fill: instance and shadow."""
    x1, y1, x2, y2 = pixel_bounds(box, photo)
    margin = max(10, round(relative_margin * max(x2 - x1, y2 - y1)))
    rect = (
        max(x1 - margin, min(bounds[0], x1)),
        max(y1 - margin, min(bounds[1], y1)),
        min(x2 + margin, max(bounds[2], x2)),
        min(y2 + margin, max(bounds[3], y2)),
    )
    fills_box = bool(mask.min() > 0.5)
    reach = max(5, round((FLAT_REACH if fills_box else SHADOW_REACH) * min(x2 - x1, y2 - y1)))
    reach = reach if has_shadow else EDGE_MARGIN
    # The hole extends at most this far beyond the box.
    wx1, wy1 = max(x1 - reach, rect[0]), max(y1 - reach, rect[1])
    wx2, wy2 = min(x2 + reach, rect[2]), min(y2 + reach, rect[3])
    outside = np.ones((wy2 - wy1, wx2 - wx1), np.uint8)
    outside[y1 - wy1 : y2 - wy1, x1 - wx1 : x2 - wx1] = mask <= 0.2
    hole = np.zeros((rect[3] - rect[1], rect[2] - rect[0]), bool)
    is_near = cv2.distanceTransform(outside, cv2.DIST_L2, 3) <= reach
    hole[wy1 - rect[1] : wy2 - rect[1], wx1 - rect[0] : wx2 - rect[0]] = is_near
    return rect, hole


def _exclude_occluders(
    hole: Region, rect: Rect, fronts: Sequence[tuple[Box, Float[np.ndarray, ...]]], photo: Photo
) -> None:
    """Remove the pixels of adjacent instances from the hole, in place."""
    for box, mask in fronts:
        x1, y1, x2, y2 = pixel_bounds(box, photo)
        columns_rows = (
            slice(max(x1 - rect[0], 0), max(x2 - rect[0], 0)),
            slice(max(y1 - rect[1], 0), max(y2 - rect[1], 0)),
        )
        part = hole[columns_rows[1], columns_rows[0]]
        occluder_mask = mask[max(rect[1] - y1, 0) :, max(rect[0] - x1, 0) :][: part.shape[0], : part.shape[1]]
        np.logical_and(part, occluder_mask < 0.5, out=part)


def _find_rim(rect: Rect, hole: Region, obstacles: Sequence[Box], photo: Photo, bounds: Rect) -> Region:
    """Pixels of the rectangle that show the bare surface."""
    rim = ~hole
    x1, y1, x2, y2 = bounds
    rim[: max(y1 - rect[1], 0)] = rim[:, : max(x1 - rect[0], 0)] = False
    rim[max(y2 - rect[1], 0) :] = rim[:, max(x2 - rect[0], 0) :] = False
    for obstacle in obstacles:
        ox1, oy1, ox2, oy2 = pixel_bounds(obstacle, photo, pad=3)
        rim[max(oy1 - rect[1], 0) : max(oy2 - rect[1], 0), max(ox1 - rect[0], 0) : max(ox2 - rect[0], 0)] = False
    return rim


def _find_patch(
    photo: Photo,
    rect: Rect,
    regions: tuple[Region, Region],
    bounds: Rect,
    occupied: Sequence[Box],
    rng: np.random.Generator,
) -> tuple[Photo, Region] | None:
    """Find the random patch of surface whose rim fits best, apart from its mean colour.

    Only what fills the hole must be bare surface. Where the patch shows something else, its rim does not count.

    Args:
        photo: The photo.
        rect: Rectangle to fill.
        regions: Hole and rim in the rectangle.
        bounds: Rectangle from which patches are taken.
        occupied: Boxes of other instances.
        rng: Draws the candidates.

    Returns:
        The patch, and the part of the rim at which it shows bare surface; None if there is no such patch.
    """
    hole, rim = regions
    height, width = rim.shape
    step = max(1, min(height, width) // 24)
    is_bare = np.ones(photo.shape[:2], bool)
    for x1, y1, x2, y2 in (pixel_bounds(box, photo, pad=2) for box in occupied):
        is_bare[y1:y2, x1:x2] = False
    is_bare[rect[1] : rect[3], rect[0] : rect[2]] &= ~hole
    if rim.mean() < 0.1:
        return None
    xs, ys = _list_positions(is_bare, hole, bounds, step)
    if not len(xs):
        return None
    drawn = rng.integers(len(xs), size=CANDIDATES)
    xs, ys = xs[drawn], ys[drawn]
    rows, columns = (step * at for at in np.nonzero(rim[::step, ::step]))
    counts = is_bare[ys[:, None] + rows, xs[:, None] + columns].astype(np.float32)[..., None]
    difference = (
        photo[ys[:, None] + rows, xs[:, None] + columns].astype(np.float32) - photo[rect[1] + rows, rect[0] + columns]
    )
    totals = np.maximum(counts.sum(1, keepdims=True), 1)
    mean_difference = (difference * counts).sum(1, keepdims=True) / totals
    misfit = ((np.abs(difference - mean_difference) * counts).sum(1) / totals[:, 0]).mean(1)
    misfit += 0.3 * np.abs(mean_difference).mean((1, 2)) + np.where(counts.mean((1, 2)) < MIN_BARE_RIM, 1e3, 0)
    best = int(misfit.argmin())
    x, y = int(xs[best]), int(ys[best])
    shown = rim & is_bare[y : y + height, x : x + width]
    return photo[y : y + height, x : x + width], shown if shown.any() else rim


def _list_positions(is_bare: Region, hole: Region, bounds: Rect, step: int) -> tuple[np.ndarray, np.ndarray]:
    """List the top left corners, `step` pixels apart, at which the hole with its feathered edge is bare surface."""
    height, width = hole.shape
    x1, y1, x2, y2 = bounds
    if x2 - x1 < width or y2 - y1 < height:
        return np.zeros(0, int), np.zeros(0, int)
    reach = 2 * step + 1
    blocked = cv2.dilate((~is_bare[y1:y2, x1:x2]).astype(np.uint8), np.ones((reach, reach), np.uint8))
    needed = cv2.dilate(hole.astype(np.uint8), np.ones((FEATHER + reach, FEATHER + reach), np.uint8))
    coarse = [array[::step, ::step].astype(np.float32) for array in (blocked, needed)]
    overlap = cv2.matchTemplate(coarse[0], coarse[1], cv2.TM_CCORR)
    rows, columns = (step * at for at in np.nonzero(overlap < 0.5))
    is_inside = (columns + width <= x2 - x1) & (rows + height <= y2 - y1)
    return x1 + columns[is_inside], y1 + rows[is_inside]


def _interpolate_membrane(
    region: Photo, reference: Photo | None, rim: Region, window: tuple[slice, slice]
) -> Float[np.ndarray, "h w 3"]:
    """Interpolate the rim's difference between `region` and `reference` (black if None) over the inside.

    Close pixels weigh more, and grain is blurred away. The membrane is smooth, so it is computed on a small copy, and
    upscaled for the rows and columns of `window` alone.
    """
    shrink = min(1.0, MEMBRANE_SIZE / min(rim.shape))
    step = max(int(0.5 / shrink), 1)
    is_boundary = rim[::step, ::step]
    difference = region[::step, ::step].astype(np.float32)
    if reference is not None:
        difference -= reference[::step, ::step]
    weighted = np.dstack([difference * is_boundary[..., None], is_boundary.astype(np.float32)])
    weighted = cv2.resize(weighted, None, fx=shrink * step, fy=shrink * step, interpolation=cv2.INTER_AREA)
    # Far from the rim the blurs vanish: the mean of the rim stands in for them.
    rim_mean = weighted[..., :3].sum((0, 1)) / max(float(weighted[..., 3].sum()), 1e-6)
    total: np.ndarray = np.full_like(weighted[..., :3], MEAN_WEIGHT * rim_mean)
    weight: np.ndarray = np.full_like(weighted[..., 3], MEAN_WEIGHT)
    for relative_sigma in MEMBRANE_SIGMAS:
        sigma = relative_sigma * min(weighted.shape[:2])
        taps = 2 * int(2.5 * sigma) + 3
        blurred = cv2.GaussianBlur(weighted, (taps, taps), sigma)
        local_weight = blurred[..., 3]
        contribution = np.minimum(local_weight, 0.5) / relative_sigma**1.5
        total = total + blurred[..., :3] * (contribution / np.maximum(local_weight, 1e-9))[..., None]
        weight = weight + contribution
    coarse = total / weight[..., None]
    return _upscale(coarse, rim.shape, window)


def _drop_outliers(region: Float[np.ndarray, "h w 3"], rim: Region) -> Region:
    """Drop rim pixels that do not fit a linear colour gradient, such as the dark glass at a bottle's side.

    The gradient is fitted repeatedly to the half with the smallest residuals. If less than half of the rim would
    remain, all of it does.
    """
    rows, columns = np.nonzero(rim)
    positions = np.column_stack([np.ones(len(rows)), rows / rim.shape[0], columns / rim.shape[1]]).astype(np.float32)
    colours = region[rows, columns]
    subset = slice(None, None, max(len(rows) // FIT_PIXELS, 1))
    subset_positions, subset_colours = positions[subset], colours[subset]
    residuals = channel_max(np.abs(subset_colours - np.sort(subset_colours, axis=0)[len(subset_colours) // 2]))
    for _ in range(FIT_ROUNDS):
        is_close = residuals <= np.sort(residuals)[len(residuals) // 2]
        slope = _fit_colour_slope(subset_positions[is_close], subset_colours[is_close])
        residuals = channel_max(np.abs(subset_colours - subset_positions @ slope))
    is_inlier = channel_max(np.abs(colours - positions @ slope)) <= max(
        OUTLIER_FACTOR * float(np.sort(residuals)[len(residuals) // 2]), OUTLIER_LEVELS
    )
    if is_inlier.mean() < 0.5:
        return rim
    out = np.zeros_like(rim)
    out[rows[is_inlier], columns[is_inlier]] = True
    return out


def _fit_colour_slope(
    positions: Float[np.ndarray, "n 3"], colours: Float[np.ndarray, "n rgb"]
) -> Float[np.ndarray, "3 rgb"]:
    """Fit least squares by the normal equations: ten times as fast as a decomposition, stable for three columns."""
    squares = positions.T @ positions + 1e-4 * len(positions) * np.eye(3, dtype=np.float32)
    return np.asarray(np.linalg.solve(squares, positions.T @ colours))


def _upscale(
    coarse: Float[np.ndarray, "coarse_h coarse_w 3"], shape: tuple[int, ...], window: tuple[slice, slice]
) -> Float[np.ndarray, "h w 3"]:
    """Rows and columns `window` of `coarse`, upscaled to the size (height, width) of `shape`."""
    (top, bottom, _), (left, right, _) = (scale_x.indices(side) for scale_x, side in zip(window, shape, strict=True))
    scale_y, scale_x = coarse.shape[0] / shape[0], coarse.shape[1] / shape[1]
    affine = np.array([[scale_x, 0, (left + 0.5) * scale_x - 0.5], [0, scale_y, (top + 0.5) * scale_y - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = right - left, bottom - top
    return np.asarray(cv2.warpAffine(coarse, affine, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def sample_grain(
    region: Photo, rim: Region, size: tuple[int, int], rng: np.random.Generator
) -> Float[np.ndarray, "height width 3"]:
    """Sample the high-frequency residue of the rim at random for a region of that height and width."""
    residue = cv2.subtract(region, cv2.GaussianBlur(region, (0, 0), 1.5), dtype=cv2.CV_16S)
    is_inner = cv2.erode(rim.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    positions = np.flatnonzero(is_inner if is_inner.any() else rim)
    if len(positions) > GRAIN_SAMPLES:
        positions = positions[rng.integers(len(positions), size=GRAIN_SAMPLES)]
    samples = np.clip(residue.reshape(-1, 3).take(positions, axis=0), -12, 12)
    strength = channel_max(np.abs(samples))
    samples = np.resize(1.5 * samples[strength <= np.quantile(strength, 0.8)].astype(np.float32), (INTEGER_LIMIT, 3))
    grain = samples.take(sample_integers(size, rng.random()), axis=0)
    return np.asarray(cv2.GaussianBlur(grain, (0, 0), 0.6))
