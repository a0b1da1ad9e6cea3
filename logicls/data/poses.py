"""Poses on good photos: whether the instances of a component look alike as they lie, and different when turned.

Every instance is resized to a small grey square and correlated with the mean of the others (normalized
cross-correlation, Lewis 1995), as it is, turned by 180 degrees (by 90 and 270 as well if boxes are nearly square), and
tilted a little.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float

from logicls.constraints.mining.orientations import PoseObservation
from logicls.data.coco import Dataset
from logicls.data.image_io import read_photo
from logicls.errors import PhotoError

SIDE = 32
"""Side of the squares in pixels."""
MAX_INSTANCES = 60
"""Instances of a component that are compared; evenly spaced photos."""
SHADING_SIGMA = 4.0
"""Standard deviation of the blur, in pixels of the squares, that leaves the shading alone."""
NEARLY_SQUARE = 1.25
"""Ratio of the sides of a box up to which a part fits after a quarter turn."""
TILTS = tuple(range(-15, 16, 3))
"""Angles in degrees at which an instance is compared for its tilt."""
MARGIN = 0.15
"""Share of the side that is left out on every side: what a tilt brings in there is unknown."""
Square = Float[np.ndarray, "side side"]


def measure_poses(dataset: Dataset) -> dict[str, tuple[PoseObservation, ...]]:
    """Compare the instances of each component on evenly spaced photos. Unreadable photos are left out."""
    squares: dict[str, list[tuple[str, Square, float]]] = defaultdict(list)
    step = len(dataset.scenes) // MAX_INSTANCES + 1
    for scene in dataset.scenes[::step]:
        try:
            photo = read_photo(dataset.image_path(scene))
        except PhotoError:
            continue
        grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
        for i in scene.instances:
            if len(squares[i.component]) < MAX_INSTANCES and min(i.box.width, i.box.height) >= 2:
                x1, y1, x2, y2 = (round(edge) for edge in (i.box.x1, i.box.y1, i.box.x2, i.box.y2))
                crop = grey[max(y1, 0) : max(y2, y1 + 1), max(x1, 0) : max(x2, x1 + 1)]
                square = _flatten(cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
                squares[i.component].append((scene.photo, square, i.box.width / i.box.height))
    return {component: _compare(found) for component, found in squares.items() if len(found) > 1}


def _compare(found: Sequence[tuple[str, Square, float]]) -> tuple[PoseObservation, ...]:
    normalized = np.stack([_normalize(square) for _, square, _ in found])
    total = normalized.sum(0)
    ratio = float(np.median([ratio for _, _, ratio in found]))
    turns = (1, 2, 3) if 1 / NEARLY_SQUARE < ratio < NEARLY_SQUARE else (2,)
    observations = []
    for (photo, square, _), own in zip(found, normalized, strict=True):
        others = total - own
        tilts = {tilt: _correlate(_tilt(square, tilt, ratio), others) for tilt in TILTS}
        turned = max(_correlate(np.rot90(square, turn), others) for turn in turns)
        best = max(tilts, key=lambda tilt: (tilts[tilt], -abs(tilt)))
        observations.append(PoseObservation(photo, tilts[0], turned, float(-best)))
    return tuple(observations)


def _flatten(square: np.ndarray) -> Square:
    """Return a square without its slow changes of brightness: shading stays where it is when a part turns."""
    values = square.astype(np.float64)
    return np.asarray(values - cv2.GaussianBlur(values, (0, 0), SHADING_SIGMA))


def _tilt(square: Square, degrees: float, ratio: float) -> Square:
    """Turn what the square shows counterclockwise about its middle; `ratio`: width / height before it was resized."""
    middle = (SIDE - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), degrees, 1.0)
    matrix[0, 1], matrix[1, 0] = matrix[0, 1] / ratio, matrix[1, 0] * ratio
    matrix[:, 2] = middle - matrix[:, :2] @ (middle, middle)
    return np.asarray(cv2.warpAffine(square, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE))


def _normalize(square: Square) -> Square:
    centred = square - square.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-6))


def _correlate(square: Square, reference: Square) -> float:
    """Return the correlation of the inner parts of two squares, -1 to 1."""
    inner = slice(round(MARGIN * SIDE), round((1 - MARGIN) * SIDE))
    return float((_normalize(square[inner, inner]) * _normalize(reference[inner, inner])).sum())
