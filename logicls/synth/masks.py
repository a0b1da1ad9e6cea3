"""Masks of instances that are annotated by a box alone: several segmentations of each, and how far they agree.

A single GrabCut (Rother et al. 2004) that starts from the box fails on slanted things: they fill a tenth of their box,
so most of what it takes for the foreground is ground. Here several starts are compared: the box, the pixels unlike the
surroundings, an ellipse along their principal axis, strips along both diagonals, the inscribed ellipse. "Unlike" does
not count shadows: the distance from the ground's colours leaves out brightness down to about half (brightness and
chromaticity distortion, Horprasert et al. 1999). The mask is what most starts agree on, its confidence how well they
agree (mean pairwise IoU), and whether the mask is unlike its surroundings and extends over the box.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from logicls.records import Box
from logicls.synth.image_ops import Photo, pixel_bounds

Mask = Float[np.ndarray, "h w"]
Region = Bool[np.ndarray, "height width"]
Distance = Float[np.ndarray, "height width"]
CROP_SIDE = 96
"""Longer side of the crop on which a mask is estimated, pixels."""
COMPACT, COMPACT_SIDE = 0.5, 80
"""Share of pixels unlike the surroundings from which on a box is compact, and the longer side of its crop, pixels."""
MARGIN = 0.25
"""Margin of the crop around the box, share of the box's longer side."""
MIN_SIDE = 6
"""Smallest side of a box that is segmented, pixels."""
MAX_COVERAGE = 0.86
"""Share of the box from which on an instance counts as filling it: the mask is the box."""
MIN_CONFIDENCE = 0.6
"""Confidence from which on a mask is used without reserve."""
SUPPORT = 0.85
"""Share of a box inside another from which on one thing lies on the other."""
GROUND_COLOURS, GROUND_SAMPLES = 4, 500
"""Colours by which the surroundings are described, and most pixels from which they are found."""
SHADOW_LIMITS, BRIGHTNESS_STEP = (0.55, 1.12), 0.06
"""Brightness relative to the ground that shadows and highlights have, and the excess that counts as one unit."""
MIN_CHROMA_NOISE = 2.5
"""Smallest chromaticity noise of the ground, grey levels: JPEG artefacts are not a difference."""
UNLIKE, CLEARLY_UNLIKE = 1.5, 2.5
"""Distances from the ground, in 90 % quantiles of its own, of pixels that differ probably and certainly."""
ENOUGH_AGREEMENT = {2: 0.9, 3: 0.85}
"""Number of segmentations → smallest pairwise IoU at which no more starts are tried."""
MIN_EXTENT = 0.25
"""Share of the annotated box that the mask's own box has; below, the confidence falls in proportion."""
MIN_LENGTH = 0.52
"""Length of a mask, as a share of the box's diagonal, below which it shows a part of the thing: half the confidence."""
STRIP_WIDTH = 0.3
"""Width of the strips along the diagonals, share of the box's shorter side."""


@dataclass(frozen=True, slots=True)
class MaskEstimate:
    """Estimated mask of a box."""

    mask: Mask
    """0 to 1 over the box's whole pixels."""
    confidence: float
    """0 to 1; 0 if nothing could be segmented: the mask is the box."""


class _Crop(NamedTuple):
    """A box with its surroundings, scaled down."""

    pixels: UInt8[np.ndarray, "height width rgb"]
    rect: tuple[int, int, int, int]
    """The box."""
    inside: Region
    ground: Region
    """Pixels around the box, outside the boxes of other instances where possible."""


def estimate_mask(photo: Photo, box: Box, others: Sequence[Box] = ()) -> MaskEstimate:
    """Estimate the mask of the thing in a box.

    Args:
        photo: The photo.
        box: The box, which may be loose.
        others: Boxes of other instances; their pixels do not count as surroundings.
    """
    x1, y1, x2, y2 = pixel_bounds(box, photo)
    full = MaskEstimate(np.ones((y2 - y1, x2 - x1), np.float32), 0.0)
    crop = _crop(photo, box, others)
    if min(x2 - x1, y2 - y1) < MIN_SIDE or not crop.inside.any() or not crop.ground.any():
        return full
    distance, nearest = _measure_distance(crop)
    if (distance[crop.inside] > UNLIKE).mean() > COMPACT:
        crop = _crop(photo, box, others, COMPACT_SIDE)
        distance, nearest = _measure_distance(crop)
    if not (crop.inside & (distance > UNLIKE)).any():
        return full
    cleaned = np.where((~crop.inside & (distance > UNLIKE))[..., None], nearest, crop.pixels)
    regions = _segment(crop, np.ascontiguousarray(cleaned[..., ::-1]), distance)
    consensus, agreement = _find_consensus(regions, crop)
    ix1, iy1, ix2, iy2 = crop.rect
    foreground = consensus[iy1:iy2, ix1:ix2]
    if not foreground.any():
        return full
    unlike = float((distance[consensus] > UNLIKE).mean())
    confidence = agreement * unlike * min(1.0, _measure_extent(consensus, crop) / MIN_EXTENT)
    if _measure_length(consensus) < MIN_LENGTH * math.hypot(ix2 - ix1, iy2 - iy1):
        confidence /= 2
    if foreground.mean() > MAX_COVERAGE:
        return MaskEstimate(full.mask, confidence)
    mask = cv2.resize(foreground.astype(np.float32), full.mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return MaskEstimate(np.asarray(mask), confidence)


def _crop(photo: Photo, box: Box, others: Sequence[Box], side: int = CROP_SIDE) -> _Crop:
    x1, y1, x2, y2 = pixel_bounds(box, photo)
    left, top, right, bottom = pixel_bounds(box, photo, pad=max(4, round(MARGIN * max(x2 - x1, y2 - y1))))
    pixels = cv2.medianBlur(np.ascontiguousarray(photo[top:bottom, left:right]), 3)
    scale = min(1.0, side / max(pixels.shape[:2]))
    pixels = np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))

    def to_crop(box: Box) -> tuple[int, int, int, int]:
        edges = (box.x1 - left, box.y1 - top, box.x2 - left, box.y2 - top)
        ex1, ey1, ex2, ey2 = (max(round(edge * scale), 0) for edge in edges)
        return ex1, ey1, ex2, ey2

    rect = to_crop(Box(x1, y1, x2, y2))
    inside = np.zeros(pixels.shape[:2], bool)
    inside[rect[1] : rect[3], rect[0] : rect[2]] = True
    bare = ~inside
    for other in others:
        if box.ioa(other) < SUPPORT:
            ox1, oy1, ox2, oy2 = to_crop(other)
            bare[oy1:oy2, ox1:ox2] = False
    return _Crop(pixels, rect, inside, bare if bare.sum() >= 0.15 * (~inside).sum() else ~inside)


def _measure_distance(crop: _Crop) -> tuple[Distance, Photo]:
    """Distance of each pixel from the ground's colours, shadows aside, and the nearest of these colours."""
    rgb = crop.pixels.astype(np.float32) + 1
    samples = rgb[crop.ground]
    samples = samples[:: max(len(samples) // GROUND_SAMPLES, 1)]
    cv2.setRNGSeed(0)
    count = min(GROUND_COLOURS, len(samples))
    _, _, centres = cv2.kmeans(samples, count, None, (3, 8, 0.5), 1, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    brightness = np.stack([rgb @ centre / (centre @ centre) for centre in centres])
    chroma = np.sqrt(((rgb - brightness[..., None] * centres[:, None, None]) ** 2).sum(-1))
    noise = max(float(np.quantile(chroma.min(0)[crop.ground], 0.9)), MIN_CHROMA_NOISE)
    dark, bright = SHADOW_LIMITS
    excess = (np.maximum(brightness - bright, 0) + np.maximum(dark - brightness, 0)) / BRIGHTNESS_STEP
    distances = np.sqrt((chroma / noise) ** 2 + excess**2)
    distance = distances.min(0)
    nearest = np.clip(centres[distances.argmin(0)] - 1, 0, 255).astype(np.uint8)
    return distance / max(float(np.quantile(distance[crop.ground], 0.9)), 0.5), nearest


def _segment(crop: _Crop, colours: Photo, distance: Distance) -> list[Region]:
    """Segment from several starts; later ones are tried only if the first two, or three, do not agree."""
    clipped = np.where(crop.inside, distance, np.minimum(distance, UNLIKE))
    grey = np.clip(40 * clipped, 0, 255).astype(np.uint8)
    images = {"colours": colours, "distance": np.dstack([grey] * 3)}
    regions: list[Region] = []
    for seed, (image, start) in enumerate(_list_starts(crop, distance)):
        region = _largest_component(start) if image == "itself" else _cut(images[image], _trimap(start, crop), seed)
        regions.append(region if image == "colours" else _refine(colours, region, crop))
        ious = [_iou(a, b) for number, a in enumerate(regions) for b in regions[:number]]
        if len(regions) in ENOUGH_AGREEMENT and min(ious) > ENOUGH_AGREEMENT[len(regions)]:
            break
    return regions


def _list_starts(crop: _Crop, distance: Distance) -> Iterator[tuple[str, Region]]:
    """Yield starts, the quickest first: what GrabCut looks at, and the probable foreground."""
    x1, y1, x2, y2 = crop.rect
    shape, inside = distance.shape, crop.inside
    yield "colours", inside
    yield "itself", inside & (distance > CLEARLY_UNLIKE)
    yield "distance", inside & _draw_principal_ellipse(np.clip(distance - UNLIKE, 0, 4) * inside)
    yield "colours", inside & (distance > UNLIKE)
    width = max(round(STRIP_WIDTH * min(x2 - x1, y2 - y1)), 2)
    for ends in (((x1, y1), (x2 - 1, y2 - 1)), ((x1, y2 - 1), (x2 - 1, y1))):
        yield "distance", inside & np.asarray(cv2.line(np.zeros(shape, np.uint8), *ends, (1,), width), bool)
    centre, radii = ((x1 + x2 - 1) / 2, (y1 + y2 - 1) / 2), ((x2 - x1) / 2, (y2 - y1) / 2)
    yield "colours", inside & _draw_ellipse(shape, centre, radii, 0.0)


def _draw_principal_ellipse(weight: Distance) -> Region:
    """Ellipse of two standard deviations of the weight, along its principal axis."""
    rows, columns = np.nonzero(weight)
    weights = weight[rows, columns]
    points = np.stack([columns, rows]).astype(np.float32)
    centre = np.average(points, axis=1, weights=weights)
    variances, axes = np.linalg.eigh(np.cov(points, aweights=weights, bias=True))
    radii = 2 * np.sqrt(np.maximum(variances[::-1], 0.5))
    degrees = math.degrees(math.atan2(axes[1, 1], axes[0, 1]))
    return _draw_ellipse(weight.shape, (centre[0], centre[1]), (radii[0], radii[1]), degrees)


def _draw_ellipse(
    shape: tuple[int, ...], centre: tuple[float, float], radii: tuple[float, float], degrees: float
) -> Region:
    """Filled ellipse, at a sixteenth of a pixel."""
    x, y, a, b = (round(16 * float(value)) for value in (*centre, *radii))
    canvas = np.zeros(shape, np.uint8)
    cv2.ellipse(canvas, (x, y), (max(a, 16), max(b, 16)), degrees, 0, 360, (1,), cv2.FILLED, cv2.LINE_8, 4)
    return canvas.astype(bool)


def _trimap(start: Region, crop: _Crop) -> UInt8[np.ndarray, "height width"]:
    labels = np.where(crop.inside, cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    labels[start] = cv2.GC_PR_FGD
    return labels


def _refine(colours: Photo, region: Region, crop: _Crop) -> Region:
    """Draw the outline anew in a band of three pixels, by the colours on both sides."""
    kernel = np.ones((3, 3), np.uint8)
    labels = np.zeros(region.shape, np.uint8)
    labels[cv2.dilate(region.astype(np.uint8), kernel) > 0] = cv2.GC_PR_BGD
    labels[region] = cv2.GC_PR_FGD
    labels[cv2.erode(region.astype(np.uint8), kernel) > 0] = cv2.GC_FGD
    labels[~crop.inside] = cv2.GC_BGD
    return _cut(colours, labels, 0)


def _cut(image: Photo, labels: UInt8[np.ndarray, "height width"], seed: int) -> Region:
    """Largest foreground component of GrabCut, in the window of pixels that are not certainly background."""
    out = np.zeros(labels.shape, bool)
    rows, columns = np.flatnonzero(labels.any(1)), np.flatnonzero(labels.any(0))
    if not len(rows):
        return out
    window = (
        slice(max(int(rows[0]) - 8, 0), int(rows[-1]) + 9),
        slice(max(int(columns[0]) - 8, 0), int(columns[-1]) + 9),
    )
    part = np.ascontiguousarray(labels[window])
    is_foreground = part % 2 == 1
    if not is_foreground.any() or is_foreground.all():
        return out
    cv2.setRNGSeed(seed)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(image[window]), part, (0, 0, 0, 0), *models, 2, cv2.GC_INIT_WITH_MASK)
    out[window] = part % 2 == 1
    return _largest_component(out)


def _largest_component(region: Region) -> Region:
    """Largest connected component without holes: the pips belong to the die."""
    contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    out = np.zeros(region.shape, np.uint8)
    if contours:
        cv2.drawContours(out, [max(contours, key=cv2.contourArea)], -1, (1,), cv2.FILLED)
    return out.astype(bool)


def _find_consensus(regions: Sequence[Region], crop: _Crop) -> tuple[Region, float]:
    """Region that most segmentations agree on, and their mean pairwise IoU.

    The centre of the majority is the segmentation closest to half of the others; one that extends over more of the box
    has precedence, because the annotator drew the box around everything.
    """
    ious = np.array([[_iou(a, b) for b in regions] for a in regions])
    majority = len(regions) // 2 + 1
    others = [np.sort(np.delete(row, number))[::-1][: majority - 1].mean() for number, row in enumerate(ious)]
    extents = [_measure_extent(region, crop) for region in regions]
    centre = int(np.argmax(np.array(others) * np.sqrt(extents)))
    members = np.argsort(-ious[centre], kind="stable")[:majority]
    agreement = float(np.mean([ious[a, b] for a in members for b in members if a < b]))
    return _largest_component(np.mean([regions[number] for number in members], axis=0) >= 0.5), agreement


def _measure_extent(region: Region, crop: _Crop) -> float:
    """Area of the region's bounding box as a share of the annotated box."""
    x1, y1, x2, y2 = crop.rect
    _, _, width, height = cv2.boundingRect(region.astype(np.uint8))
    return width * height / max((x2 - x1) * (y2 - y1), 1)


def _measure_length(region: Region) -> float:
    """Longer side of the smallest rectangle around the region, at any angle, pixels."""
    points = cv2.findNonZero(region.astype(np.uint8))
    return max(cv2.minAreaRect(points)[1]) + 1


def _iou(a: Region, b: Region) -> float:
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 0.0
