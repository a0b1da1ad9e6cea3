"""What lies under a thing: the photo without it.

A piece of the same ground is laid over the place, chosen for how well its rim fits there, and the difference that
remains at the rim is spread smoothly over the inside: a membrane after Pérez et al. 2003, "Poisson Image Editing", here
by normalised blurring (Knutsson and Westin 1993). Where the ground is too small for a second piece of that size, the
membrane alone carries the colours of the rim inside, and gets the ground's grain.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float

from logicls.records import Box
from logicls.synth.image_ops import (
    INTEGER_LIMIT,
    EDGE_MARGIN,
    Photo,
    apply_gain,
    feather_mask,
    alpha_blend,
    channel_max,
    sample_integers,
    pixel_bounds,
)

CANDIDATES = 160
"""Random pieces that are compared."""
MAX_SPAN = 0.6
"""A thing that spans more than this share of its ground's width or height leaves no room for another piece."""
SHADOW_REACH = 0.3
"""Share of a thing's size by which its shadow reaches beyond it: that goes, too."""
FLAT_REACH = 0.12
"""The same for what fills its box: most often a label, flat on what it lies on, whose box may be drawn too small."""
MEMBRANE_SIGMAS = (0.03, 0.08, 0.25)
"""Reaches of the membrane, shares of the place's smaller side."""
MEMBRANE_SIZE = 40
"""Pixels across the small copy on which the membrane is found."""
FEATHER = 8
"""Pixels beyond what is cleared to which its soft edge reaches."""
GRAIN_SAMPLES = 4096
"""Pixels out of which a ground's grain is drawn, at the most."""
FIT_ROUNDS, FIT_PIXELS, OUTLIER_FACTOR, OUTLIER_LEVELS = 3, 400, 4.0, 12.0
"""Times that a slope is fitted to a rim's colours, about how many pixels it is fitted to, and how far off it a pixel is
left out: so many times the median of all, and so many grey levels at the least."""
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
    """The photo without what `mask` shows in `box`.

    Args:
        photo: What it lies on; not changed.
        box: Where it is.
        mask: 0 to 1 over the box's whole pixels: which of them are the thing.
        rng: Draws the piece of ground.
        ground: The thing that it lies on; the photo if left out. Nothing is learned from elsewhere.
        others: Boxes of other things: nothing is learned from them either.
        fronts: Things beside it, box and mask: their pixels stay.
    """
    frame = pixel_bounds(support, photo, pad=-EDGE_MARGIN) if support else (0, 0, photo.shape[1], photo.shape[0])
    rect, hole = _find_hole(box, mask, photo, frame)
    _exclude_occluders(hole, rect, occluders, photo)
    rim = _find_rim(rect, hole, obstacles, photo, frame)
    if not rim.any():
        return photo.copy()
    x1, y1, x2, y2 = rect
    here = photo[y1:y2, x1:x2]
    roomy = box.width <= MAX_SPAN * (frame[2] - frame[0]) and box.height <= MAX_SPAN * (frame[3] - frame[1])
    piece = _find_patch(photo, rect, rim, frame, [box, *obstacles], rng) if roomy else None
    part = _feathered_bounds(hole)
    membrane = _interpolate_membrane(here, piece, rim, part)
    added = sample_grain(here, rim, membrane.shape[:2], rng) if piece is None else piece[part]
    patch = cv2.add(membrane, added, dtype=cv2.CV_8U)
    out = photo.copy()
    share = cv2.GaussianBlur(hole[part].astype(np.float32), (0, 0), 1.6)
    out[y1:y2, x1:x2][part] = alpha_blend(here[part], patch, share)
    return out


def _feathered_bounds(hole: Region) -> tuple[slice, slice]:
    """Rows and columns of the hole and its soft edge."""
    left, top, width, height = cv2.boundingRect(hole.astype(np.uint8))
    return slice(max(top - FEATHER, 0), top + height + FEATHER), slice(max(left - FEATHER, 0), left + width + FEATHER)


def blend_patch(photo: Photo, patch: Photo, box: Box, gain: Float[np.ndarray, " rgb"]) -> Photo:
    """`patch`, a thing on ground of its own, scaled to the box and laid there so that the two grounds meet.

    `gain` multiplies it first, so that its contrast fits, too.
    """
    x1, y1, x2, y2 = pixel_bounds(box, photo)
    here = photo[y1:y2, x1:x2]
    scaled = apply_gain(cv2.resize(patch, (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA), gain)
    rim = np.ones(here.shape[:2], bool)
    edge = max(2, round(FLAT_REACH / 2 * min(here.shape[:2])))
    rim[edge:-edge, edge:-edge] = False
    laid = cv2.add(scaled, _interpolate_membrane(here, scaled, rim, (slice(None), slice(None))), dtype=cv2.CV_8U)
    out = photo.copy()
    out[y1:y2, x1:x2] = alpha_blend(here, laid, feather_mask((y2 - y1, x2 - x1), edge))
    return out


def _find_hole(box: Box, mask: Float[np.ndarray, "h w"], photo: Photo, frame: Rect) -> tuple[Rect, Region]:
    """The box with a margin, inside the frame, and which of its pixels must go: the thing and the shadow beside it."""
    x1, y1, x2, y2 = pixel_bounds(box, photo)
    margin = max(10, round(0.6 * max(x2 - x1, y2 - y1)))
    rect = (
        max(x1 - margin, min(frame[0], x1)),
        max(y1 - margin, min(frame[1], y1)),
        min(x2 + margin, max(frame[2], x2)),
        min(y2 + margin, max(frame[3], y2)),
    )
    flat = bool(mask.min() > 0.5)
    reach = max(5, round((FLAT_REACH if flat else SHADOW_REACH) * min(x2 - x1, y2 - y1)))
    # Only so far beyond the box is there anything to be found.
    wx1, wy1 = max(x1 - reach, rect[0]), max(y1 - reach, rect[1])
    wx2, wy2 = min(x2 + reach, rect[2]), min(y2 + reach, rect[3])
    outside = np.ones((wy2 - wy1, wx2 - wx1), np.uint8)
    outside[y1 - wy1 : y2 - wy1, x1 - wx1 : x2 - wx1] = mask <= 0.2
    hole = np.zeros((rect[3] - rect[1], rect[2] - rect[0]), bool)
    near = cv2.distanceTransform(outside, cv2.DIST_L2, 3) <= reach
    hole[wy1 - rect[1] : wy2 - rect[1], wx1 - rect[0] : wx2 - rect[0]] = near
    return rect, hole


def _exclude_occluders(
    hole: Region, rect: Rect, fronts: Sequence[tuple[Box, Float[np.ndarray, ...]]], photo: Photo
) -> None:
    """Take out of the hole what belongs to things beside it."""
    for box, mask in fronts:
        x1, y1, x2, y2 = pixel_bounds(box, photo)
        across = slice(max(x1 - rect[0], 0), max(x2 - rect[0], 0)), slice(max(y1 - rect[1], 0), max(y2 - rect[1], 0))
        part = hole[across[1], across[0]]
        theirs = mask[max(rect[1] - y1, 0) :, max(rect[0] - x1, 0) :][: part.shape[0], : part.shape[1]]
        np.logical_and(part, theirs < 0.5, out=part)


def _find_rim(rect: Rect, hole: Region, others: Sequence[Box], photo: Photo, frame: Rect) -> Region:
    """Which pixels of the rectangle are the ground as it is."""
    rim = ~hole
    x1, y1, x2, y2 = frame
    rim[: max(y1 - rect[1], 0)] = rim[:, : max(x1 - rect[0], 0)] = False
    rim[max(y2 - rect[1], 0) :] = rim[:, max(x2 - rect[0], 0) :] = False
    for other in others:
        ox1, oy1, ox2, oy2 = pixel_bounds(other, photo, pad=3)
        rim[max(oy1 - rect[1], 0) : max(oy2 - rect[1], 0), max(ox1 - rect[0], 0) : max(ox2 - rect[0], 0)] = False
    return rim


def _find_patch(
    photo: Photo, rect: Rect, rim: Region, frame: Rect, taken: Sequence[Box], rng: np.random.Generator
) -> Photo | None:
    """The random piece of ground whose rim fits best, apart from its mean colour; None where there is none."""
    height, width = rim.shape
    if rim.mean() < 0.1 or frame[2] - frame[0] <= width or frame[3] - frame[1] <= height:
        return None
    xs = rng.integers(frame[0], frame[2] - width + 1, CANDIDATES)
    ys = rng.integers(frame[1], frame[3] - height + 1, CANDIDATES)
    blocked = np.array([pixel_bounds(other, photo, pad=2) for other in taken])
    across = (xs[:, None] < blocked[:, 2]) & (blocked[:, 0] < xs[:, None] + width)
    down = (ys[:, None] < blocked[:, 3]) & (blocked[:, 1] < ys[:, None] + height)
    free = ~(across & down).any(1)
    if not free.any():
        return None
    step = max(1, min(height, width) // 24)
    rows, columns = (step * at for at in np.nonzero(rim[::step, ::step]))
    xs, ys = xs[free], ys[free]
    off = photo[ys[:, None] + rows, xs[:, None] + columns].astype(np.float32) - photo[rect[1] + rows, rect[0] + columns]
    mean = off.mean(1, keepdims=True)
    best = int((np.abs(off - mean).mean((1, 2)) + 0.3 * np.abs(mean).mean((1, 2))).argmin())
    x, y = int(xs[best]), int(ys[best])
    return photo[y : y + height, x : x + width]


def _interpolate_membrane(
    here: Photo, base: Photo | None, rim: Region, part: tuple[slice, slice]
) -> Float[np.ndarray, "h w 3"]:
    """By how much `here` differs from `base` (from black, where there is none) at the rim, spread over the inside.

    Near things count more, and no grain is carried along. It is smooth, so that it is found on a small copy, and scaled
    up only for those rows and columns that are asked for.
    """
    shrink = min(1.0, MEMBRANE_SIZE / min(rim.shape))
    step = max(int(0.5 / shrink), 1)
    thin = rim[::step, ::step]
    off = here[::step, ::step].astype(np.float32)
    if base is None:
        thin = _drop_outliers(off, thin)
    else:
        off -= base[::step, ::step]
    shown = np.dstack([off * thin[..., None], thin.astype(np.float32)])
    shown = cv2.resize(shown, None, fx=shrink * step, fy=shrink * step, interpolation=cv2.INTER_AREA)
    total: np.ndarray = np.zeros_like(shown[..., :3])
    weight: np.ndarray = np.zeros_like(shown[..., 3])
    for share in MEMBRANE_SIGMAS:
        reach = share * min(shown.shape[:2])
        taps = 2 * int(2.5 * reach) + 3
        blurred = cv2.GaussianBlur(shown, (taps, taps), reach)
        near = blurred[..., 3]
        counts = np.minimum(near, 0.5) / share**1.5
        total = total + blurred[..., :3] * (counts / np.maximum(near, 1e-4))[..., None]
        weight = weight + counts
    coarse = total / np.maximum(weight, 1e-9)[..., None]
    return _upscale(coarse, rim.shape, part)


def _drop_outliers(here: Float[np.ndarray, "h w 3"], rim: Region) -> Region:
    """The rim without what is unlike most of it, such as the dark glass at a bottle's side: that would leak inside.

    Alike is what lies close to a slope of colour, fitted again and again to what is closest to it. All of the rim is
    kept where that is less than half.
    """
    rows, columns = np.nonzero(rim)
    places = np.column_stack([np.ones(len(rows)), rows / rim.shape[0], columns / rim.shape[1]]).astype(np.float32)
    colours = here[rows, columns]
    few = slice(None, None, max(len(rows) // FIT_PIXELS, 1))
    some, theirs = places[few], colours[few]
    off = channel_max(np.abs(theirs - np.sort(theirs, axis=0)[len(theirs) // 2]))
    for _ in range(FIT_ROUNDS):
        close = off <= np.sort(off)[len(off) // 2]
        slope = _fit_colour_slope(some[close], theirs[close])
        off = channel_max(np.abs(theirs - some @ slope))
    kept = channel_max(np.abs(colours - places @ slope)) <= max(
        OUTLIER_FACTOR * float(np.sort(off)[len(off) // 2]), OUTLIER_LEVELS
    )
    if kept.mean() < 0.5:
        return rim
    out = np.zeros_like(rim)
    out[rows[kept], columns[kept]] = True
    return out


def _fit_colour_slope(
    places: Float[np.ndarray, "n 3"], colours: Float[np.ndarray, "n rgb"]
) -> Float[np.ndarray, "3 rgb"]:
    """Least squares by the normal equations: ten times as fast as a decomposition, and three columns can bear it."""
    squares = places.T @ places + 1e-4 * len(places) * np.eye(3, dtype=np.float32)
    return np.asarray(np.linalg.solve(squares, places.T @ colours))


def _upscale(
    coarse: Float[np.ndarray, "coarse_h coarse_w 3"], shape: tuple[int, ...], part: tuple[slice, slice]
) -> Float[np.ndarray, "h w 3"]:
    """Those rows and columns of `coarse` at the size (height, width) of `shape`."""
    (top, bottom, _), (left, right, _) = (across.indices(side) for across, side in zip(part, shape, strict=True))
    down, across = coarse.shape[0] / shape[0], coarse.shape[1] / shape[1]
    there = np.array([[across, 0, (left + 0.5) * across - 0.5], [0, down, (top + 0.5) * down - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = right - left, bottom - top
    return np.asarray(cv2.warpAffine(coarse, there, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def sample_grain(
    here: Photo, rim: Region, size: tuple[int, int], rng: np.random.Generator
) -> Float[np.ndarray, "height width 3"]:
    """What blurring takes away at the rim, its pixels drawn at random for a place of that height and width."""
    residue = cv2.subtract(here, cv2.GaussianBlur(here, (0, 0), 1.5), dtype=cv2.CV_16S)
    inner = cv2.erode(rim.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    places = np.flatnonzero(inner if inner.any() else rim)
    if len(places) > GRAIN_SAMPLES:
        places = places[rng.integers(len(places), size=GRAIN_SAMPLES)]
    known = np.clip(residue.reshape(-1, 3).take(places, axis=0), -12, 12)
    strength = channel_max(np.abs(known))
    known = np.resize(1.5 * known[strength <= np.quantile(strength, 0.8)].astype(np.float32), (INTEGER_LIMIT, 3))
    drawn = known.take(sample_integers(size, rng.random()), axis=0)
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), 0.6))
