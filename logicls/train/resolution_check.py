"""Resolution check: whether attribute values can be read at the input's resolution, or need crops of a finer one.

Small components are not always hard to read: the picture of a fruit shows its colour in a few pixels, the pips of a die
do not show. A linear classifier is trained on the input's own pixels; if it generalises to other photos, the network
will too, and no crops are needed.

Thin parts at any angle, such as loose screws, are narrow in boxes of any size. Where a linear classifier cannot read
them, crops along the diagonals of the boxes are needed (`logicls.models.nano.crop_encoder`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold

from logicls.constraints.checker.decomposition import locate_query_id
from logicls.constraints.families.angles import QUARTER_TURN
from logicls.models.nano import NanoImageProcessor
from logicls.models.nano.crop_encoder import DIAGONAL_CROP_MARGIN, DIAGONAL_CROP_SHAPE
from logicls.train.encoding import LOCATE_PREFIX, ORIENTATION_PREFIX, decode_image
from logicls.train.recipe import MAX_DETAIL

LEGIBLE_PIXELS = 32.0
"""Shorter side in pixels at which a small mark on a component, such as the pips of a die, can be read."""
MIN_ACCURACY = 0.9
"""Balanced accuracy of the linear classifier from which an attribute counts as readable."""
ELONGATED_RATIO = 1.5
"""Ratio of the sides of a box from which on it is that of an elongated part along an axis of the photo."""
MIN_ELONGATED_SHARE = 0.05
"""Share of the boxes that must be elongated along either axis where parts lie at any angle."""
MAX_EXAMPLES, MAX_INSTANCES = 240, 2000
"""Examples and instances that are used at most."""
PATCH_SIDE = 12
"""Side in pixels of the patches that are classified."""
FOLDS = 3
"""Folds of the cross-validation."""


@dataclass(frozen=True, slots=True)
class ResolutionCheck:
    """Result of the check."""

    attribute: str
    """Attribute that is hardest to read: of those that need crops, or of all, the one of the narrowest instances."""
    median_pixels: float
    """Median of the shorter sides of its instances in pixels of the input; infinite without instances."""
    required_detail: int
    """Resolution relative to the input, per axis, that it takes, as far as photos have it; 1: the input's own."""
    along_diagonals: bool = False
    """The attribute is of thin parts at any angle, and needs crops along the diagonals of their boxes."""

    def report(self, detail: int) -> list[str]:
        """Describe the result in a line, if there is something to say; `detail` is the model's resolution."""
        if self.along_diagonals:
            return [f"{self.attribute} is of thin parts at any angle: crops lie along the diagonals of the boxes"]
        size = f"{self.attribute} is read from {self.median_pixels * detail:.0f} pixels across"
        if detail > 1:
            return [f"{size}: crops have {detail} times the input's resolution (detail)"]
        if self.required_detail > 1:
            return [f"{size}, too few for a linear classifier: raise detail in the recipe (to {self.required_detail})"]
        return []


def check_resolution(rows: Any, coarse: NanoImageProcessor, *, orientation_invariant: bool = False) -> ResolutionCheck:
    """Check the attributes of a dataset's rows at the resolution of `coarse`.

    Args:
        rows: A `datasets.Dataset` with undecoded images.
        coarse: Image processor of the model's input.
        orientation_invariant: Instances keep their attributes when they are rotated or mirrored; only then crops may
            lie along diagonals.
    """
    sizes = _collect_sizes(rows, coarse)
    medians = {query: float(np.median(sides.min(1))) for query, sides in sizes.items()}
    slanted = {query for query, sides in sizes.items() if orientation_invariant and lie_at_any_angle(sides)}
    order = sorted(medians, key=medians.__getitem__)
    small = [query for query in order if medians[query] < LEGIBLE_PIXELS or query in slanted]
    hard = next((query for query in small if measure_linear_accuracy(rows, coarse, query) < MIN_ACCURACY), None)
    query = hard or min(medians, key=medians.__getitem__, default=":")
    name, median_pixels = query.partition(":")[2], medians.get(query, math.inf)
    if not hard:
        return ResolutionCheck(name, median_pixels, 1)
    if hard in slanted:
        length = float(np.median(np.linalg.norm(sizes[hard], axis=1))) * DIAGONAL_CROP_MARGIN
        return ResolutionCheck(name, median_pixels, _choose_detail(rows, coarse, DIAGONAL_CROP_SHAPE[1] / length), True)
    return ResolutionCheck(name, median_pixels, _choose_detail(rows, coarse, LEGIBLE_PIXELS / max(median_pixels, 1.0)))


def lie_at_any_angle(sides: Float[np.ndarray, "boxes 2"]) -> bool:
    """Return True if boxes of that width and height are those of thin parts that lie at any angle.

    Some are much wider than high, and some much higher than wide.
    """
    ratio = np.log(np.maximum(sides[:, 0], 1.0) / np.maximum(sides[:, 1], 1.0))
    shares = (ratio > math.log(ELONGATED_RATIO)).mean(), (ratio < -math.log(ELONGATED_RATIO)).mean()
    return bool(min(shares) >= MIN_ELONGATED_SHARE)


def measure_linear_accuracy(rows: Any, coarse: NanoImageProcessor, query: str) -> float:
    """Measure the balanced accuracy of linear discriminant analysis for an attribute, on photos not trained on.

    Features are `PATCH_SIDE` x `PATCH_SIDE` pixels of each instance at the input's resolution; the covariance is shrunk
    (Ledoit and Wolf 2004); folds are split by source photo, with similar shares of values. Returns 1 where there is
    only one value, 0 where there are too few photos.
    """
    instances = list(islice(_extract_patches(rows, coarse, query), MAX_INSTANCES))
    values = np.array([value for _, value, _ in instances])
    photos = np.array([photo for *_, photo in instances])
    if len(set(values)) < 2:
        return 1.0
    if len(set(photos)) < FOLDS:
        return 0.0
    patches = np.stack([patch for patch, *_ in instances])
    patches += np.random.default_rng(0).normal(
        0, 1, patches.shape
    )  # pixels that never vary have no covariance to invert
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a value that is missing in a fold
        predicted = values.copy()
        for others, fold in StratifiedGroupKFold(FOLDS).split(patches, values, photos):
            if len(set(values[others])) < 2:  # all instances of a rare value are on the photos of this fold
                predicted[fold] = values[others][0]
                continue
            classifier = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
            predicted[fold] = classifier.fit(patches[others], values[others]).predict(patches[fold])
        return float(balanced_accuracy_score(values, predicted))


def _extract_patches(
    rows: Any, coarse: NanoImageProcessor, query: str
) -> Iterator[tuple[Float[np.ndarray, " numbers"], str, str]]:
    """Yield patch, value and source photo of each instance, from evenly spaced examples."""
    step = max(len(rows) // MAX_EXAMPLES, 1)
    for number in range(0, len(rows), step):
        row = rows[number]
        values, boxes = _select_attribute_instances(row, query)
        if not values or len(values) != len(boxes):
            continue
        photo = coarse.letterbox(decode_image(row["image"]["bytes"], number)).astype(np.float32)
        scale, left, top = coarse.letterbox_transform(row["width"], row["height"])
        for value, box in zip(values, boxes, strict=True):
            yield _extract_patch(photo, np.array(box) * scale + (left, top, left, top)), value, row["photo"]


def _extract_patch(
    photo: Float[np.ndarray, "height across 3"], box: Float[np.ndarray, " 4"]
) -> Float[np.ndarray, " numbers"]:
    """Crop a box (pixels of the input) and resize it to a square; returns its flattened pixels."""
    (x1, y1), (x2, y2) = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
    x1, y1 = np.clip((x1, y1), 0, (photo.shape[1] - 1, photo.shape[0] - 1))
    inside = photo[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
    return np.asarray(cv2.resize(inside, (PATCH_SIDE, PATCH_SIDE), interpolation=cv2.INTER_LINEAR)).ravel()


def _collect_sizes(rows: Any, coarse: NanoImageProcessor) -> dict[str, Float[np.ndarray, "boxes 2"]]:
    """Collect width and height of each attribute's instances, in pixels of the input."""
    sides: dict[str, list[tuple[float, float]]] = {}
    for row in rows.select_columns(["width", "height", "queries", "values", "boxes"]):
        scale, _, _ = coarse.letterbox_transform(row["width"], row["height"])
        for query in (query for query in row["queries"] if not query.startswith(LOCATE_PREFIX)):
            sides.setdefault(query, []).extend(
                ((box[2] - box[0]) * scale, (box[3] - box[1]) * scale)
                for box in _select_attribute_instances(row, query)[1]
            )
    return {query: np.array(found) for query, found in sides.items() if found}


def _select_attribute_instances(row: Mapping[str, Any], query: str) -> tuple[Sequence[str], Sequence[Sequence[float]]]:
    """Return an attribute's values on an example, or quarter turns, and the boxes of the instances that have it."""
    values = dict(zip(row["queries"], row["values"], strict=True)).get(query, ())
    boxes = dict(zip(row["queries"], row["boxes"], strict=True))
    if query.startswith(ORIENTATION_PREFIX):  # a classifier tells quarter turns apart, not single degrees
        values = [str(round(float(value) / QUARTER_TURN) % 4) for value in values]
    return values, boxes.get(locate_query_id(query), ())


def _choose_detail(rows: Any, coarse: NanoImageProcessor, factor: float) -> int:
    """Choose the resolution that is at least `factor` times the input's, limited by that of the median photo."""
    scales = [
        coarse.letterbox_transform(width, height)[0]
        for width, height in zip(rows["width"], rows["height"], strict=True)
    ]
    return max(min(math.ceil(factor), MAX_DETAIL, round(1 / float(np.median(scales)))), 1)


def shorter_side(box: Sequence[float]) -> float:
    """Return the shorter side of a box x1, y1, x2, y2."""
    return min(box[2] - box[0], box[3] - box[1])
