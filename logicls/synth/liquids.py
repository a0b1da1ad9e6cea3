"""Liquids: lower, raise and recolour them. The look of the empty part is learned from what is empty already.

What lies above a liquid is often a short neck, and does not look like the complete vessel when it is empty. How much
shows through and where highlights lie is randomised (domain randomisation, Tobin et al. 2017), so that a model does not
take one appearance of emptiness for the only one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from logicls.records import Box, Instance
from logicls.synth.compositor import Canvas, Compositor
from logicls.synth.image_ops import (
    BACKGROUND_STRIP,
    Photo,
    channel_max,
    extend_profile,
    interpolate_background,
    pixel_bounds,
    trace_silhouette,
    transfer_colour,
)
from logicls.synth.masks import SUPPORT, Mask, Region

Rng = np.random.Generator
WallEdges = Float[np.ndarray, " rows"]
Intensity = Float[np.ndarray, "rows columns"]
OPACITY_THRESHOLD = 70.0
"""Median difference from the background, grey levels, above which a vessel is opaque."""
BACKGROUND_BLUR = 15
"""Rows over which the background is averaged."""
DENT_FRACTION = 30
"""Dents up to twice the wall's length divided by this are closed."""
MAX_WALL_HIGHLIGHTS, MAX_SHEENS = 3, 2
"""Most highlights along each wall, and most bright patches between the walls."""


def render_glass(
    photo: Photo, parent: Box, rows: tuple[int, int], walls: tuple[WallEdges, WallEdges], rng: Rng
) -> Photo:
    """Render the empty rows of a vessel more like glass, with the background behind it.

    Args:
        photo: The photo; not changed. It is returned as it is if the vessel is opaque.
        parent: Box of the vessel.
        rows: First and last row (exclusive) to render.
        walls: Left and right edge of the vessel in each of the rows, pixels.
        rng: Source of randomness.
    """
    (y1, y2), (px1, _, px2, _) = rows, pixel_bounds(parent, photo)
    region = photo[y1:y2, px1:px2].astype(np.float32)
    background = cv2.blur(interpolate_background(photo, parent, y1, y2), (1, BACKGROUND_BLUR))
    columns = np.arange(px1, px2, dtype=np.float32)[None] + 0.5
    lefts, rights = _smooth_wall(walls[0], cv2.MORPH_ERODE), _smooth_wall(walls[1], cv2.MORPH_DILATE)
    is_inside = (columns > lefts) & (columns < rights)
    if not is_inside.any() or np.median(channel_max(np.abs(region - background))[is_inside]) > OPACITY_THRESHOLD:
        return photo
    position = (columns - lefts) / np.maximum(rights - lefts, 1)
    opacity = np.clip(float(rng.uniform(-0.4, 0.9)) + 0.6 * _sample_profile(y2 - y1, rng), 0, 1)[:, None, None]
    rendered = background + opacity * (region - background)
    highlights = np.maximum(_draw_wall_highlights(position, rights - lefts, rng), _draw_sheens(position, rng))[
        ..., None
    ]
    is_dark = float(background.mean()) > 127 and rng.random() < 0.5
    rendered += highlights * ((0.0 if is_dark else 255.0) - rendered)
    out = photo.copy()
    mask = cv2.GaussianBlur(is_inside.astype(np.float32), (0, 0), 0.8)[..., None]
    out[y1:y2, px1:px2] = np.clip(region + mask * (rendered - region), 0, 255)
    return out


def _smooth_wall(wall: WallEdges, operation: int) -> Float[np.ndarray, "rows 1"]:
    """Wall without dents, which highlights and labels leave in its silhouette, and without corners."""
    reach = max(len(wall) // DENT_FRACTION, 1) * 2 + 1
    filled = cv2.morphologyEx(np.asarray(wall, np.float32)[:, None], operation, np.ones((reach, 1), np.uint8))
    return np.asarray(cv2.blur(filled, (1, reach), borderType=cv2.BORDER_REPLICATE))


def _sample_profile(rows: int, rng: Rng) -> Float[np.ndarray, " rows"]:
    """Sample a number for each row, about -1 to 1, that varies slowly."""
    knots = rng.uniform(-1, 1, int(rng.integers(3, 9))).astype(np.float32)
    return np.asarray(cv2.resize(knots[:, None], (1, rows), interpolation=cv2.INTER_CUBIC)[:, 0])


def _draw_wall_highlights(position: Intensity, width: Intensity, rng: Rng) -> Intensity:
    """Draw highlights of varying brightness along both walls, 0 to 1.

    `position` is 0 at the left wall and 1 at the right.
    """
    highlights = np.zeros_like(position)
    for from_wall in (position, 1 - position):
        for _ in range(int(rng.integers(0, MAX_WALL_HIGHLIGHTS + 1))):
            inset = float(rng.uniform(0.0, 0.14)) + 0.02 * _sample_profile(len(position), rng)[:, None]
            thickness = float(rng.uniform(0.006, 0.03)) + 0.6 / width
            brightness = (
                float(rng.uniform(0.1, 0.8)) * np.clip(0.6 + 0.6 * _sample_profile(len(position), rng), 0, 1)[:, None]
            )
            highlights = np.maximum(highlights, brightness * np.exp(-(((from_wall - inset) / thickness) ** 2)))
    return highlights


def _draw_sheens(position: Intensity, rng: Rng) -> Intensity:
    """Draw bright patches between the walls, sharp at one end and fading at the other, 0 to 1."""
    row_position, sheens = np.linspace(0, 1, len(position), dtype=np.float32)[:, None], np.zeros_like(position)
    for _ in range(int(rng.integers(0, MAX_SHEENS + 1))):
        start, height = float(rng.uniform(0, 0.9)), float(rng.uniform(0.03, 0.2))
        fade = (row_position - start) / height
        fade = fade if rng.random() < 0.5 else 1 - fade
        profile = np.where((fade >= 0) & (fade <= 1), fade, 0)
        centre, width = float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.15, 0.45))
        falloff = np.exp(-(((position - centre) / width) ** 8))
        sheens = np.maximum(sheens, float(rng.uniform(0.1, 0.8)) * profile * falloff)
    return sheens


GLASS_PROBABILITY = 0.6
"""Probability that the emptied part looks like glass rather than like the part above the liquid."""
MIN_RELATIVE_WIDTH = 0.9
"""Smallest width of a traced silhouette, as a share of the liquid's width, that is trusted without an outline."""
MIN_OUTLINE_WIDTH = 0.85
"""Smallest width of an outline just above the level, as a share of the liquid's width just below it."""
OUTLINE_TOLERANCE = 0.04
"""Largest difference between a traced wall and the vessel's outline, share of the vessel's width."""


@dataclass(frozen=True, slots=True)
class Liquid:
    """A liquid, its vessel, and the canvas with both."""

    canvas: Canvas
    target: Instance
    parent: Instance
    compositor: Compositor

    @property
    def photo(self) -> Photo:
        """Pixels of the canvas."""
        return self.canvas.photo

    @property
    def has_headspace(self) -> bool:
        """True if enough of the vessel is visible above the level."""
        first, last = self._headspace_rows
        return last - first >= 4

    @property
    def _headspace_rows(self) -> tuple[int, int]:
        """Rows of the vessel just above the level."""
        level = round(self.target.box.y1)
        depth = max(8, int(0.06 * self.parent.box.height))
        return max(int(self.parent.box.y1), level - depth - 3), level - 3

    def lower(self, bottom: float, rng: Rng) -> Photo:
        """Render the vessel empty down to row `bottom`: like its headspace, or like glass (`GLASS_PROBABILITY`)."""
        first, last = self._headspace_rows
        rows = last + 1 - int(rng.integers((last - first) // 2)), min(round(bottom), self.canvas.scene.height)
        lowered = extend_profile(self.photo, self.trace_walls, rows, self._headspace_rows, rng)
        if rng.random() < GLASS_PROBABILITY and self._has_bare_sides():
            lowered = render_glass(lowered, self.parent.box, rows, self.trace_walls(*rows), rng)
        return self._restore_occluders(lowered)

    def top_up(self, top: float, rng: Rng) -> Photo:
        """Raise the level to row `top`: the uppermost rows move there, and those below continue the liquid."""
        level, new_level = round(self.target.box.y1), round(top)
        if new_level >= level:
            return self.photo.copy()
        depth = min(max(8, int(0.06 * self.parent.box.height)), int(self.target.box.height) - 2)
        reference = level + 4, level + 4 + depth
        return self._restore_occluders(
            extend_profile(self.photo, self.trace_walls, (new_level, level + 4), reference, rng)
        )

    def redraw(self, rng: Rng) -> Photo:
        """Keep the level, and render a part of random height below it anew, as `top_up` does (control edit)."""
        level, height = round(self.target.box.y1), int(self.target.box.height)
        depth = min(max(8, int(0.06 * self.parent.box.height)), height - 6)
        if depth < 2:
            return self.photo.copy()
        last_row = level + 4 + int((0.1 + 0.6 * float(rng.random())) * height)
        return self._restore_occluders(
            extend_profile(self.photo, self.trace_walls, (level + 4, last_row), (level + 4, level + 4 + depth), rng)
        )

    def recolour(self, reference: Liquid) -> Photo:
        """Render the liquid in the colours of `reference`."""
        return transfer_colour(
            self.photo, self.build_visible_mask(), reference.photo[reference.build_visible_mask() > 0.5]
        )

    def build_visible_mask(self) -> Mask:
        """Mask over the photo, 0 or 1: inside the vessel's walls, not behind other instances."""
        x1, y1, x2, y2 = pixel_bounds(self.target.box, self.photo)
        mask = np.zeros(self.photo.shape[:2], np.float32)
        lefts, rights = self.trace_walls(y1, y2)
        for row in range(y1, y2):
            mask[row, max(x1, int(lefts[row - y1])) : min(x2, int(rights[row - y1]))] = 1
        mask[self._draw_occluders()] = 0
        return mask

    def trace_walls(self, y1: int, y2: int) -> tuple[np.ndarray, np.ndarray]:
        """Left and right wall of the vessel in rows `y1` to `y2`, columns of the photo.

        They are traced by contrast. Where they leave the outline of the component, as beside a neighbour that touches
        the vessel, the outline holds. Without an outline, rows that are much narrower than the liquid are as wide as
        the liquid: empty glass on a dark background has hardly a silhouette.
        """
        lefts, rights = trace_silhouette(self.photo, self.parent.box, y1, y2)
        traced = trace_silhouette(self.photo, self.parent.box, *self._body_rows)
        left, right = (int(np.median(edge)) for edge in traced)
        outline = self._measure_outline(right - left)
        if outline is None:
            is_narrow = rights - lefts < MIN_RELATIVE_WIDTH * (right - left)
            lefts[is_narrow], rights[is_narrow] = left, right
            return lefts, rights
        firsts, lasts = outline
        rows = np.clip(np.arange(y1, y2) - pixel_bounds(self.parent.box, self.photo)[1], 0, len(firsts) - 1)
        tolerance = max(OUTLINE_TOLERANCE * self.parent.box.width, 2)
        for walls, known in ((lefts, firsts[rows]), (rights, lasts[rows])):
            is_off = (lasts[rows] > firsts[rows]) & (np.abs(walls - known) > tolerance)
            walls[is_off] = known[is_off]
        return lefts, rights

    def _measure_outline(self, liquid_width: int) -> tuple[np.ndarray, np.ndarray] | None:
        """First and last column (exclusive) of the vessel's outline in each row of its box, equal where it has none.

        None without an outline, or if it is narrower above the level than the liquid is below it: then it does not
        show the empty glass.
        """
        outline = self.compositor.find_outline(self.canvas, self.parent)
        if outline is None:
            return None
        x1, top, _, _ = pixel_bounds(self.parent.box, self.photo)
        is_inside = outline > 0.5
        firsts = np.where(is_inside.any(1), x1 + is_inside.argmax(1), x1)
        lasts = np.where(is_inside.any(1), x1 + is_inside.shape[1] - is_inside[:, ::-1].argmax(1), x1)
        first, last = (min(max(row - top, 0), len(firsts)) for row in self._headspace_rows)
        above = lasts[first:last] - firsts[first:last]
        is_too_narrow = not len(above) or float(np.median(above)) < MIN_OUTLINE_WIDTH * liquid_width
        return None if is_too_narrow else (firsts, lasts)

    @property
    def _body_rows(self) -> tuple[int, int]:
        """Rows of the liquid just below its level."""
        _, y1, _, y2 = pixel_bounds(self.target.box, self.photo)
        return y1, min(y2, y1 + max(8, int(0.06 * self.parent.box.height)))

    def _restore_occluders(self, changed: Photo) -> Photo:
        """Copy the pixels of what lies in front back into `changed`."""
        return np.where(self._draw_occluders()[..., None], self.photo, changed)

    def _draw_occluders(self) -> Region:
        """Pixels of the photo that lie in front of the vessel: what is fixed to it, and neighbours that overlap it."""
        out = np.zeros(self.photo.shape[:2], bool)
        for other in self._list_neighbours():
            is_fixed = other.box.ioa(self.parent.box) >= SUPPORT
            if is_fixed or self.compositor.is_in_front(self.canvas, other, self.parent):
                out |= self.compositor.draw_region(self.canvas, other)
        return out

    def _list_neighbours(self) -> list[Instance]:
        """Instances that overlap the vessel, without liquids, what it lies on, and what is fixed to a neighbour."""
        liquids, box = self.compositor.spec.liquids, self.parent.box
        around = [
            i
            for i in self.canvas.scene.instances
            if i.id not in (self.target.id, self.parent.id)
            and i.component not in liquids
            and i.box.intersection(box) > 0
            and box.ioa(i.box) < SUPPORT
        ]
        vessels = self.canvas.scene.instances_of(self.parent.component)
        return [
            i
            for i in around
            if i.component == self.parent.component
            or max(vessels, key=lambda vessel: i.box.intersection(vessel.box)).id == self.parent.id
        ]

    def _has_bare_sides(self) -> bool:
        """True if no other vessel stands beside this one, so that the background beside it continues behind it."""
        box = self.parent.box
        strip = Box(box.x1 - BACKGROUND_STRIP, box.y1, box.x2 + BACKGROUND_STRIP, box.y2)
        vessels = self.canvas.scene.instances_of(self.parent.component)
        return not any(i.id != self.parent.id and i.box.intersection(strip) > 0 for i in vessels)


def find_liquid(compositor: Compositor, canvas: Canvas, target: Instance, fills: str) -> Liquid | None:
    """Pair the liquid with the instance of `fills` that contains it; None if there is none."""
    parents = canvas.scene.instances_of(fills)
    parent = max(parents, key=lambda p: target.box.ioa(p.box), default=None)
    return Liquid(canvas, target, parent, compositor) if parent else None
