"""Emptied glass: what is behind it shows through, and light shines on its walls.

What lies above a filling (`pixels.poured`) is often a short neck, and what it looks like is not what the whole looks
like when it is empty. How much shows through and where light falls is drawn anew each time (domain randomisation, Tobin
et al. 2017), so that a model does not hold one look of emptiness for the only one.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from logicls.records import Box
from logicls.synth.pixels import Photo, behind, largest, whole

Rng = np.random.Generator
Edges = Float[np.ndarray, " rows"]
Light = Float[np.ndarray, "rows columns"]
OPAQUE = 70.0
"""Grey levels: what differs more from the background, in the middle of its pixels, lets nothing be seen through."""
FADES = 15
"""Rows over which the background is the mean."""
DENT = 30
"""Dents of up to two such parts of the wall's length are bridged."""
WALLS, SHEENS = 3, 2
"""Bright lines along each wall, and bright patches between the walls, at most."""


def see_through(photo: Photo, parent: Box, rows: tuple[int, int], walls: tuple[Edges, Edges], rng: Rng) -> Photo:
    """Rows `rows` of a vessel that look empty already, made to look more like glass before what is behind it.

    `walls`: left and right edge of the vessel in each of the rows, in pixels. The photo itself comes back where the
    vessel is opaque.
    """
    (y1, y2), (px1, _, px2, _) = rows, whole(parent, photo)
    part = photo[y1:y2, px1:px2].astype(np.float32)
    ground = cv2.blur(behind(photo, parent, y1, y2), (1, FADES))
    columns = np.arange(px1, px2, dtype=np.float32)[None] + 0.5
    lefts, rights = _smoothed(walls[0], cv2.MORPH_ERODE), _smoothed(walls[1], cv2.MORPH_DILATE)
    inside = (columns > lefts) & (columns < rights)
    if not inside.any() or np.median(largest(np.abs(part - ground))[inside]) > OPAQUE:
        return photo
    across = (columns - lefts) / np.maximum(rights - lefts, 1)
    stays = np.clip(float(rng.uniform(-0.4, 0.9)) + 0.6 * _wavering(y2 - y1, rng), 0, 1)[:, None, None]
    seen = ground + stays * (part - ground)
    light = np.maximum(_on_walls(across, rights - lefts, rng), _between(across, rng))[..., None]
    dark = float(ground.mean()) > 127 and rng.random() < 0.5
    seen += light * ((0.0 if dark else 255.0) - seen)
    out = photo.copy()
    mask = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.8)[..., None]
    out[y1:y2, px1:px2] = np.clip(part + mask * (seen - part), 0, 255)
    return out


def _smoothed(wall: Edges, outwards: int) -> Float[np.ndarray, "rows 1"]:
    """The wall without dents, which light and labels leave in what is seen of it, and without corners."""
    reach = max(len(wall) // DENT, 1) * 2 + 1
    full = cv2.morphologyEx(np.asarray(wall, np.float32)[:, None], outwards, np.ones((reach, 1), np.uint8))
    return np.asarray(cv2.blur(full, (1, reach), borderType=cv2.BORDER_REPLICATE))


def _wavering(rows: int, rng: Rng) -> Float[np.ndarray, " rows"]:
    """A number for each row, about -1 to 1, that changes slowly, a few times over all rows."""
    knots = rng.uniform(-1, 1, int(rng.integers(3, 9))).astype(np.float32)
    return np.asarray(cv2.resize(knots[:, None], (1, rows), interpolation=cv2.INTER_CUBIC)[:, 0])


def _on_walls(across: Light, width: Light, rng: Rng) -> Light:
    """Lines of light along both walls, here brighter and there fainter, 0 to 1; `across`: from wall (0) to wall (1)."""
    light = np.zeros_like(across)
    for from_wall in (across, 1 - across):
        for _ in range(int(rng.integers(0, WALLS + 1))):
            inset = float(rng.uniform(0.0, 0.14)) + 0.02 * _wavering(len(across), rng)[:, None]
            thick = float(rng.uniform(0.006, 0.03)) + 0.6 / width
            bright = float(rng.uniform(0.1, 0.8)) * np.clip(0.6 + 0.6 * _wavering(len(across), rng), 0, 1)[:, None]
            light = np.maximum(light, bright * np.exp(-(((from_wall - inset) / thick) ** 2)))
    return light


def _between(across: Light, rng: Rng) -> Light:
    """Patches of light between the walls, with a sharp end and one that fades, 0 to 1."""
    down, light = np.linspace(0, 1, len(across), dtype=np.float32)[:, None], np.zeros_like(across)
    for _ in range(int(rng.integers(0, SHEENS + 1))):
        start, tall = float(rng.uniform(0, 0.9)), float(rng.uniform(0.03, 0.2))
        fade = (down - start) / tall
        fade = fade if rng.random() < 0.5 else 1 - fade
        shown = np.where((fade >= 0) & (fade <= 1), fade, 0)
        middle, wide = float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.15, 0.45))
        sides = np.exp(-(((across - middle) / wide) ** 8))
        light = np.maximum(light, float(rng.uniform(0.1, 0.8)) * shown * sides)
    return light
