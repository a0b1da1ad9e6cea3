"""Image operations of the edits: crop, paste, alpha blending, colour transfer, profile extension.

Photos are uint8 [height, width, 3] RGB, boxes xyxy in pixels. Random numbers come from precomputed pools: drawing
millions of them anew would take longer than everything else that is done to a photo.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from jaxtyping import Float, Int8, Real, UInt8, UInt16

from logicls.records import Box, Scene

POOL_SIZE = 1 << 22
"""Random numbers in each pool."""
NOISE_UNIT = 32
"""Standard deviation of the normal pool."""
INTEGER_LIMIT = 4096
"""Upper bound, exclusive, of the integer pool."""


def sample_noise(shape: tuple[int, ...], offset: float) -> Int8[np.ndarray, "*shape"]:
    """Normal numbers of standard deviation `NOISE_UNIT`, truncated at four of them.

    `offset` (0 to 1) is where they start in the pool.
    """
    return _slice_pool(_normal_pool(), shape, offset)


def sample_integers(shape: tuple[int, ...], offset: float) -> UInt16[np.ndarray, "*shape"]:
    """Uniform integers from 0 to `INTEGER_LIMIT` - 1; `offset` (0 to 1) is where they start in the pool."""
    return _slice_pool(_integer_pool(), shape, offset)


def _slice_pool(pool: np.ndarray, shape: tuple[int, ...], offset: float) -> np.ndarray:
    size, start = math.prod(shape), int(offset * POOL_SIZE)
    if start + size <= POOL_SIZE:
        return pool[start : start + size].reshape(shape)
    return np.take(pool, np.arange(start, start + size), mode="wrap").reshape(shape)


@cache
def _normal_pool() -> Int8[np.ndarray, " draws"]:
    normal = np.random.default_rng(0).standard_normal(POOL_SIZE, np.float32)
    return np.clip(np.round(normal * NOISE_UNIT), -4 * NOISE_UNIT + 1, 4 * NOISE_UNIT - 1).astype(np.int8)


@cache
def _integer_pool() -> UInt16[np.ndarray, " draws"]:
    return np.random.default_rng(1).integers(INTEGER_LIMIT, size=POOL_SIZE, dtype=np.uint16)


Photo = UInt8[np.ndarray, "height width 3"]
Mask = Float[np.ndarray, "height width"]
Trace = Callable[[int, int], tuple[np.ndarray, np.ndarray]]
"""First and last row (exclusive) → left and right edge of a vessel in each of these rows, columns of the photo."""
BACKGROUND_STRIP = 5
"""Width of the strip beside a box from which its background is estimated, pixels."""
CONTRAST_LIMITS = (18.0, 30.0)
"""Lower and upper bound of the foreground threshold, grey levels of difference from the background."""
EDGE_MARGIN = 3
"""Pixels at the edge of an instance that do not look like its face, and are not sampled."""


def pixel_bounds(box: Box, photo: Photo | Scene, pad: int = 0) -> tuple[int, int, int, int]:
    """Integer x1, y1, x2, y2 of the box, padded by `pad`, inside the photo and at least one pixel large."""
    height, width = (photo.height, photo.width) if isinstance(photo, Scene) else photo.shape[:2]
    x1, y1 = max(round(box.x1) - pad, 0), max(round(box.y1) - pad, 0)
    x2, y2 = min(round(box.x2) + pad, width), min(round(box.y2) + pad, height)
    x1, y1 = min(x1, width - 1), min(y1, height - 1)
    return x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)


def paste(photo: Photo, patch: Photo, box: Box, *, gain: float = 1.0, mask: np.ndarray | None = None) -> Photo:
    """Paste `patch`, scaled to the box, with feathered edges.

    Args:
        photo: Background; not changed.
        patch: Pixels to paste.
        box: Destination.
        gain: Factor for the pixel values of the patch.
        mask: Alpha of the patch, 0 to 1, of its size; the complete patch if left out.
    """
    x1, y1, x2, y2 = (round(v) for v in (box.x1, box.y1, box.x2, box.y2))
    size = max(x2 - x1, 1), max(y2 - y1, 1)
    is_shrinking = patch.shape[1] > size[0]
    scaled = cv2.resize(patch, size, interpolation=cv2.INTER_AREA if is_shrinking else cv2.INTER_LINEAR)
    alpha = feather_mask((size[1], size[0]), 2)
    if mask is not None and mask.min() < 0.5:
        # A known mask has soft edges itself, and the edge of the box needs no feathering.
        alpha = cv2.GaussianBlur(cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR), (0, 0), 0.8)
    return _composite(photo, apply_gain(scaled, gain), x1, y1, alpha)


def crop(photo: Photo, box: Box) -> Photo:
    """Copy the pixels of the box."""
    x1, y1, x2, y2 = pixel_bounds(box, photo)
    return photo[y1:y2, x1:x2].copy()


def measure_surrounding_colour(photo: Photo, box: Box) -> Float[np.ndarray, " rgb"]:
    """Mean colour of the strip around the box, each channel 0 to 255."""
    x1, y1, x2, y2 = pixel_bounds(box, photo, pad=BACKGROUND_STRIP)
    ix1, iy1, ix2, iy2 = pixel_bounds(box, photo)
    outer, inner = (np.array(cv2.sumElems(part)[:3]) for part in (photo[y1:y2, x1:x2], photo[iy1:iy2, ix1:ix2]))
    area = (y2 - y1) * (x2 - x1)
    pixels = area - (iy2 - iy1) * (ix2 - ix1)
    return np.asarray((outer - inner) / pixels if pixels > 0 else outer / area)


def channel_max(values: Real[np.ndarray, "*shape rgb"]) -> Real[np.ndarray, "*shape"]:
    """Maximum over the three channels; ten times as fast as `max(-1)`."""
    return np.asarray(np.maximum(np.maximum(values[..., 0], values[..., 1]), values[..., 2]))


def interpolate_background(photo: Photo, parent: Box, y1: int, y2: int) -> Float[np.ndarray, "rows columns rgb"]:
    """Interpolate the background in rows `y1` to `y2` of `parent` linearly, from its left to its right side."""
    px1, _, px2, _ = pixel_bounds(parent, photo)
    rows = photo[y1:y2]
    left = rows[:, max(px1 - BACKGROUND_STRIP, 0) : max(px1, 1)].mean(1, keepdims=True, dtype=np.float32)
    right = rows[:, min(px2, photo.shape[1] - 1) : px2 + BACKGROUND_STRIP].mean(1, keepdims=True, dtype=np.float32)
    ramp = np.linspace(0, 1, px2 - px1, dtype=np.float32)[None, :, None]
    return np.asarray(left + (right - left) * ramp)


def trace_silhouette(photo: Photo, parent: Box, y1: int, y2: int) -> tuple[np.ndarray, np.ndarray]:
    """Left and right edge of the instance inside `parent` in each row, by difference from the background.

    Rows without contrast get the edges of the box.
    """
    px1, _, px2, _ = pixel_bounds(parent, photo)
    rows = photo[y1:y2, px1:px2]
    difference = channel_max(
        cv2.absdiff(np.ascontiguousarray(rows), interpolate_background(photo, parent, y1, y2).astype(np.uint8))
    )
    high_difference = np.searchsorted(np.bincount(difference.ravel(), minlength=256).cumsum(), 0.98 * difference.size)
    is_foreground = difference > np.clip(0.25 * float(high_difference), *CONTRAST_LIMITS)
    lefts = np.where(is_foreground.any(1), is_foreground.argmax(1), 0)
    rights = np.where(is_foreground.any(1), is_foreground.shape[1] - is_foreground[:, ::-1].argmax(1), px2 - px1)
    is_narrow = rights - lefts < 0.25 * (px2 - px1)
    lefts[is_narrow], rights[is_narrow] = 0, px2 - px1
    return px1 + _smooth_edge(lefts), px1 + _smooth_edge(rights)


def extend_profile(
    photo: Photo, trace: Trace, rows: tuple[int, int], reference: tuple[int, int], rng: np.random.Generator
) -> Photo:
    """Render rows `rows` of a vessel with the mean profile of its rows `reference`, at the width that `trace` gives."""
    (y1, y2), (m1, m2) = rows, reference
    lefts, rights = trace(y1, y2)
    m_left, m_right, profile = _measure_profile(photo, trace, m1, m2)
    x1, x2 = int(lefts.min()), int(rights.max())
    columns = np.arange(x1, x2, dtype=np.float32)[None]
    source_columns = (columns + 0.5 - lefts[:, None]) * (
        profile.shape[1] / np.maximum(rights - lefts, 1)[:, None]
    ) - 0.5
    rendered = cv2.remap(
        profile,
        source_columns.astype(np.float32),
        np.zeros_like(source_columns, np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    modulation = cv2.GaussianBlur(rng.normal(0, 1, (y2 - y1, 1)).astype(np.float32), (1, 0), sigmaX=1, sigmaY=12) * 8
    rendered = rendered * (1 + 0.06 * modulation)[..., None]
    noise = sample_noise(rendered.shape, rng.random())
    rendered = cv2.addWeighted(
        rendered, 1, noise, _measure_texture(photo[m1:m2, m_left:m_right]) / NOISE_UNIT, 0.5, dtype=cv2.CV_32F
    )
    is_inside = (columns >= lefts[:, None]) & (columns < rights[:, None])
    out = photo.copy()
    region = out[y1:y2, x1:x2]
    np.copyto(region, np.clip(rendered, 0, 255).astype(np.uint8), where=is_inside[..., None])
    region[:] = cv2.GaussianBlur(region, (0, 0), sigmaX=0.5, sigmaY=1.5)
    return out


def _measure_texture(photo: Photo) -> float:
    """Standard deviation of the high-frequency residue, at most three grey levels."""
    residue = cv2.subtract(photo, cv2.GaussianBlur(photo, (0, 0), 1.5), dtype=cv2.CV_16S)
    return min(float(np.std(residue)), 3.0)


def _measure_profile(photo: Photo, trace: Trace, y1: int, y2: int) -> tuple[int, int, np.ndarray]:
    """Left and right edge of the silhouette, and the mean over the rows between them, float32 [1, 96, 3]."""
    lefts, rights = trace(y1, y2)
    left, right = int(np.median(lefts)), max(int(np.median(rights)), int(np.median(lefts)) + 2)
    resampled = cv2.resize(
        photo[y1:y2, left:right].astype(np.float32).mean(0)[None], (96, 1), interpolation=cv2.INTER_LINEAR
    )
    return left, right, np.asarray(resampled)


def transfer_colour(photo: Photo, region: Mask, reference: Float[np.ndarray, "pixels 3"]) -> Photo:
    """Transfer the colours of `reference` to the region, in CIELAB.

    Lightness is matched in location and scale (Reinhard et al. 2001, with medians in place of means, so that highlights
    and edges have no leverage). The colour channels are those that the reference has at that lightness: matched by
    location and scale, a saturated red would leave the gamut on its way to blue.
    """
    x1, y1, x2, y2 = _region_bounds(region)
    if x2 <= x1:
        return photo.copy()
    part, mask = photo[y1:y2, x1:x2], region[y1:y2, x1:x2]
    lab = cv2.cvtColor(part, cv2.COLOR_RGB2LAB).astype(np.float32)
    target = cv2.cvtColor(reference[None].astype(np.uint8), cv2.COLOR_RGB2LAB)[0].astype(np.float32)
    region_lightness = lab[mask > 0.5][:, :1]
    ratio = np.clip(
        (_absolute_deviation(target[:, :1]) + 1.0) / (_absolute_deviation(region_lightness) + 1.0), 0.7, 1.3
    )
    lightness = np.clip((lab[..., 0] - np.median(region_lightness)) * ratio + np.median(target[:, 0]), 0, 255)
    levels, chroma_levels = _chroma_by_lightness(target)
    chroma = [np.interp(lightness, levels, chroma_levels[:, channel]) for channel in (0, 1)]
    rgb = cv2.cvtColor(np.stack([lightness, *chroma], 2).astype(np.uint8), cv2.COLOR_LAB2RGB)
    out = photo.copy()
    out[y1:y2, x1:x2] = alpha_blend(part, rgb, cv2.GaussianBlur(mask, (0, 0), 1.0))
    return out


def _region_bounds(region: Mask) -> tuple[int, int, int, int]:
    """Bounding box of the region in whole pixels, padded by three, inside the photo."""
    rows, columns = np.flatnonzero((region > 0).any(1)), np.flatnonzero((region > 0).any(0))
    if not len(rows):
        return 0, 0, 0, 0
    height, width = region.shape
    x2, y2 = min(int(columns[-1]) + 4, width), min(int(rows[-1]) + 4, height)
    return max(int(columns[0]) - 3, 0), max(int(rows[0]) - 3, 0), x2, y2


def _chroma_by_lightness(target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lightness levels, ascending, and the mean colour (a, b) of the reference at each."""
    ordered = target[np.argsort(target[:, 0], kind="stable")]
    groups = np.array_split(ordered, min(24, len(ordered)))
    means = np.stack([group.mean(0) for group in groups])
    return means[:, 0], means[:, 1:]


def _absolute_deviation(values: np.ndarray) -> np.ndarray:
    """Median absolute deviation of each column."""
    return np.asarray(np.median(np.abs(values - np.median(values, 0)), 0))


def alpha_blend(background: Photo, foreground: Photo, alpha: Mask) -> Photo:
    """Blend `foreground` over `background`, both of one size; `alpha` is the foreground's share, 0 to 1."""
    return np.asarray(
        cv2.blendLinear(np.ascontiguousarray(foreground), np.ascontiguousarray(background), alpha, 1 - alpha)
    )


def apply_gain(photo: Photo, gain: float | Float[np.ndarray, " rgb"]) -> Photo:
    """Multiply the photo by one gain, or by one gain per channel."""
    return np.asarray(cv2.transform(photo, np.eye(3) * gain))


def feather_mask(shape: tuple[int, int], width: int) -> Mask:
    """Mask of that height and width: 1 inside, falling to 0 over `width` pixels at every edge."""
    height, width_px = shape
    ramps = [np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)) / (width + 1) for n in (height, width_px)]
    return np.minimum(np.minimum(ramps[0], 1)[:, None], np.minimum(ramps[1], 1)[None]).astype(np.float32)


def _composite(photo: Photo, patch: Photo, x1: int, y1: int, alpha: Mask) -> Photo:
    """Composite `patch` with its top left corner at (x1, y1); what lies outside the photo is clipped."""
    height, width = photo.shape[:2]
    cx1, cy1 = max(x1, 0), max(y1, 0)
    cx2, cy2 = min(x1 + patch.shape[1], width), min(y1 + patch.shape[0], height)
    out = photo.copy()
    if cx2 > cx1 and cy2 > cy1:
        visible = slice(cy1 - y1, cy2 - y1), slice(cx1 - x1, cx2 - x1)
        out[cy1:cy2, cx1:cx2] = alpha_blend(
            photo[cy1:cy2, cx1:cx2], patch[visible], np.ascontiguousarray(alpha[visible])
        )
    return out


def _smooth_edge(edge: np.ndarray) -> np.ndarray:
    """Median filter over 25 rows."""
    if len(edge) < 25:
        return np.full(len(edge), int(np.median(edge)))
    padded = np.pad(edge, 12, mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, 25), axis=1), dtype=int)
