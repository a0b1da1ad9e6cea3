"""Fillings: emptied, topped up and dyed. What a lower level reveals is learned from the part that is empty already.

Emptied glass: what is behind it shows through, and light shines on its walls.

What lies above a filling (`pixels.poured`) is often a short neck, and what it looks like is not what the whole looks
like when it is empty. How much shows through and where light falls is drawn anew each time (domain randomisation, Tobin
et al. 2017), so that a model does not hold one look of emptiness for the only one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from logicls.records import Box, Instance
from logicls.synth.compositor import Canvas
from logicls.synth.image_ops import (
    Photo,
    interpolate_background,
    channel_max,
    trace_silhouette,
    extend_profile,
    transfer_colour,
    pixel_bounds,
)
from logicls.synth.instance_bank import Mask

Rng = np.random.Generator
WallEdges = Float[np.ndarray, " rows"]
Intensity = Float[np.ndarray, "rows columns"]
OPACITY_THRESHOLD = 70.0
"""Grey levels: what differs more from the background, in the middle of its pixels, lets nothing be seen through."""
BACKGROUND_BLUR = 15
"""Rows over which the background is the mean."""
DENT_FRACTION = 30
"""Dents of up to two such parts of the wall's length are bridged."""
MAX_WALL_HIGHLIGHTS, MAX_SHEENS = 3, 2
"""Bright lines along each wall, and bright patches between the walls, at most."""


def render_glass(
    photo: Photo, parent: Box, rows: tuple[int, int], walls: tuple[WallEdges, WallEdges], rng: Rng
) -> Photo:
    """Rows `rows` of a vessel that look empty already, made to look more like glass before what is behind it.

    `walls`: left and right edge of the vessel in each of the rows, in pixels. The photo itself comes back where the
    vessel is opaque.
    """
    (y1, y2), (px1, _, px2, _) = rows, pixel_bounds(parent, photo)
    part = photo[y1:y2, px1:px2].astype(np.float32)
    ground = cv2.blur(interpolate_background(photo, parent, y1, y2), (1, BACKGROUND_BLUR))
    columns = np.arange(px1, px2, dtype=np.float32)[None] + 0.5
    lefts, rights = _smooth_wall(walls[0], cv2.MORPH_ERODE), _smooth_wall(walls[1], cv2.MORPH_DILATE)
    inside = (columns > lefts) & (columns < rights)
    if not inside.any() or np.median(channel_max(np.abs(part - ground))[inside]) > OPACITY_THRESHOLD:
        return photo
    across = (columns - lefts) / np.maximum(rights - lefts, 1)
    stays = np.clip(float(rng.uniform(-0.4, 0.9)) + 0.6 * _sample_profile(y2 - y1, rng), 0, 1)[:, None, None]
    seen = ground + stays * (part - ground)
    light = np.maximum(_draw_wall_highlights(across, rights - lefts, rng), _draw_sheens(across, rng))[..., None]
    dark = float(ground.mean()) > 127 and rng.random() < 0.5
    seen += light * ((0.0 if dark else 255.0) - seen)
    out = photo.copy()
    mask = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.8)[..., None]
    out[y1:y2, px1:px2] = np.clip(part + mask * (seen - part), 0, 255)
    return out


def _smooth_wall(wall: WallEdges, outwards: int) -> Float[np.ndarray, "rows 1"]:
    """The wall without dents, which light and labels leave in what is seen of it, and without corners."""
    reach = max(len(wall) // DENT_FRACTION, 1) * 2 + 1
    full = cv2.morphologyEx(np.asarray(wall, np.float32)[:, None], outwards, np.ones((reach, 1), np.uint8))
    return np.asarray(cv2.blur(full, (1, reach), borderType=cv2.BORDER_REPLICATE))


def _sample_profile(rows: int, rng: Rng) -> Float[np.ndarray, " rows"]:
    """A number for each row, about -1 to 1, that changes slowly, a few times over all rows."""
    knots = rng.uniform(-1, 1, int(rng.integers(3, 9))).astype(np.float32)
    return np.asarray(cv2.resize(knots[:, None], (1, rows), interpolation=cv2.INTER_CUBIC)[:, 0])


def _draw_wall_highlights(across: Intensity, width: Intensity, rng: Rng) -> Intensity:
    """Lines of light along both walls, here brighter and there fainter, 0 to 1; `across`: from wall (0) to wall (1)."""
    light = np.zeros_like(across)
    for from_wall in (across, 1 - across):
        for _ in range(int(rng.integers(0, MAX_WALL_HIGHLIGHTS + 1))):
            inset = float(rng.uniform(0.0, 0.14)) + 0.02 * _sample_profile(len(across), rng)[:, None]
            thick = float(rng.uniform(0.006, 0.03)) + 0.6 / width
            bright = (
                float(rng.uniform(0.1, 0.8)) * np.clip(0.6 + 0.6 * _sample_profile(len(across), rng), 0, 1)[:, None]
            )
            light = np.maximum(light, bright * np.exp(-(((from_wall - inset) / thick) ** 2)))
    return light


def _draw_sheens(across: Intensity, rng: Rng) -> Intensity:
    """Patches of light between the walls, with a sharp end and one that fades, 0 to 1."""
    down, light = np.linspace(0, 1, len(across), dtype=np.float32)[:, None], np.zeros_like(across)
    for _ in range(int(rng.integers(0, MAX_SHEENS + 1))):
        start, tall = float(rng.uniform(0, 0.9)), float(rng.uniform(0.03, 0.2))
        fade = (down - start) / tall
        fade = fade if rng.random() < 0.5 else 1 - fade
        shown = np.where((fade >= 0) & (fade <= 1), fade, 0)
        middle, wide = float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.15, 0.45))
        sides = np.exp(-(((across - middle) / wide) ** 8))
        light = np.maximum(light, float(rng.uniform(0.1, 0.8)) * shown * sides)
    return light


GLASS_PROBABILITY = 0.6
"""Share of what is emptied that looks more like glass than what lies above the filling does."""


@dataclass(frozen=True, slots=True)
class Liquid:
    """A filling, what it fills, and the photo of both."""

    canvas: Canvas
    target: Instance
    parent: Instance

    @property
    def photo(self) -> Photo:
        """The pixels."""
        return self.canvas.photo

    @property
    def has_headspace(self) -> bool:
        """Whether something of its parent shows above the level."""
        first, last = self._headspace_rows
        return last - first >= 4

    @property
    def _headspace_rows(self) -> tuple[int, int]:
        """Rows of the parent just above the level."""
        level = round(self.target.box.y1)
        reach = max(8, int(0.06 * self.parent.box.height))
        return max(int(self.parent.box.y1), level - reach - 3), level - 3

    def lower(self, bottom: float, rng: Rng) -> Photo:
        """Down to row `bottom` it looks like its parent just above the level, or more like glass (`GLASSY`)."""
        first, last = self._headspace_rows
        rows = last + 1 - int(rng.integers((last - first) // 2)), min(round(bottom), self.canvas.scene.height)
        empty = extend_profile(self.photo, self.parent.box, rows, self._headspace_rows, rng)
        if rng.random() < GLASS_PROBABILITY:
            empty = render_glass(
                empty, self.parent.box, rows, trace_silhouette(self.photo, self.parent.box, *rows), rng
            )
        return self._restore_occluders(empty)

    def top_up(self, top: float, rng: Rng) -> Photo:
        """Drawn up to row `top`: its uppermost rows go to the new level, those below continue it."""
        level, new = round(self.target.box.y1), round(top)
        if new >= level:
            return self.photo.copy()
        depth = min(max(8, int(0.06 * self.parent.box.height)), int(self.target.box.height) - 2)
        model = level + 4, level + 4 + depth
        return self._restore_occluders(extend_profile(self.photo, self.parent.box, (new, level + 4), model, rng))

    def redraw(self, rng: Rng) -> Photo:
        """The same level; a part of random height below it is drawn anew, as topping up draws it."""
        level, height = round(self.target.box.y1), int(self.target.box.height)
        depth = min(max(8, int(0.06 * self.parent.box.height)), height - 6)
        if depth < 2:
            return self.photo.copy()
        below = level + 4 + int((0.1 + 0.6 * float(rng.random())) * height)
        return self._restore_occluders(
            extend_profile(self.photo, self.parent.box, (level + 4, below), (level + 4, level + 4 + depth), rng)
        )

    def recolour(self, model: Liquid) -> Photo:
        """In the colours of another filling."""
        return transfer_colour(self.photo, self.visible_mask(), model.photo[model.visible_mask() > 0.5])

    def visible_mask(self) -> Mask:
        """1 where it shows, else 0, over the photo: inside its parent's outline, not behind anything."""
        x1, y1, x2, y2 = pixel_bounds(self.target.box, self.photo)
        mask = np.zeros(self.photo.shape[:2], np.float32)
        lefts, rights = trace_silhouette(self.photo, self.parent.box, y1, y2)
        for row in range(y1, y2):
            mask[row, max(x1, int(lefts[row - y1])) : min(x2, int(rights[row - y1]))] = 1
        for front in self._find_occluders((self.target,)):
            fx1, fy1, fx2, fy2 = pixel_bounds(front.box, self.photo)
            mask[fy1:fy2, fx1:fx2] = 0
        return mask

    def _restore_occluders(self, changed: Photo) -> Photo:
        """`changed`, but for everything that stands in front."""
        out = changed.copy()
        for front in self._find_occluders((self.target, self.parent)):
            x1, y1, x2, y2 = pixel_bounds(front.box, out)
            out[y1:y2, x1:x2] = self.photo[y1:y2, x1:x2]
        return out

    def _find_occluders(self, parts: Iterable[Instance]) -> list[Instance]:
        ids, largest = {i.id for i in parts}, max(i.box.area for i in parts)
        return [i for i in self.canvas.scene.instances if i.id not in ids and i.box.area < largest]


def find_liquid(canvas: Canvas, target: Instance, fills: str) -> Liquid | None:
    """The filling together with the instance of `fills` that it is in; None where there is none."""
    parents = canvas.scene.instances_of(fills)
    parent = max(parents, key=lambda p: target.box.ioa(p.box), default=None)
    return Liquid(canvas, target, parent) if parent else None
