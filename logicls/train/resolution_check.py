"""From how many pixels the values of attributes are told, and whether it takes more than the input has.

Small things are not always hard to tell apart: a fruit's picture shows its colour in a few pixels, the pips of a die
do not. So a plain classifier tries: if it tells the values on photos that it has not seen from the input's own pixels,
the network will, and nothing has to be looked at closely.
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
from sklearn.model_selection import GroupKFold, cross_val_predict

from logicls.constraints.checker.decomposition import locate_query_id
from logicls.models.nano import NanoImageProcessor
from logicls.train.encoding import LOCATE_PREFIX, decode_image
from logicls.train.recipe import MAX_DETAIL

LEGIBLE_PIXELS = 32.0
"""Pixels across from which on a small mark on a thing, such as the pips of a die, can be read."""
MIN_ACCURACY = 0.9
"""Balanced accuracy from which on values are told from the input's own pixels."""
MAX_EXAMPLES, MAX_INSTANCES = 240, 2000
"""Examples and things by which that is found out."""
PATCH_SIDE = 12
"""Pixels on a side in which the classifier is given a thing."""
FOLDS = 3


@dataclass(frozen=True, slots=True)
class ResolutionCheck:
    """How well the values of attributes can be told."""

    attribute: str
    """The one that is hardest to tell: that of the narrowest things of those that need a closer look, else of all."""
    median_pixels: float
    """Pixels of the input on the shorter side of its bearers, the median; infinite where nothing bears one."""
    required_detail: int
    """How many times the input's pixels on each axis it takes to tell it, as far as photos have them; 1: no more."""

    def report(self, detail: int) -> list[str]:
        """A plain line for the terminal, where there is something to say; `detail`: what the model is given."""
        requirement = f"{self.attribute} is told from {self.median_pixels * detail:.0f} pixels across"
        if detail > 1:
            return [f"{requirement}: photos come in {detail} times the input's pixels on each axis (detail)"]
        if self.required_detail > 1:
            return [
                f"{requirement}, too few for a plain classifier: raise detail in the recipe (to {self.required_detail})"
            ]
        return []


def check_resolution(rows: Any, coarse: NanoImageProcessor) -> ResolutionCheck:
    """Of a set's rows (a `datasets.Dataset` with undecoded images), as the model is given them."""
    medians = _median_sides(rows, coarse)
    small = [query for query in sorted(medians, key=medians.__getitem__) if medians[query] < LEGIBLE_PIXELS]
    hard = next((query for query in small if measure_linear_accuracy(rows, coarse, query) < MIN_ACCURACY), None)
    query = hard or min(medians, key=medians.__getitem__, default=":")
    median_pixels = medians.get(query, math.inf)
    return ResolutionCheck(
        query.partition(":")[2], median_pixels, _required_detail(rows, coarse, median_pixels) if hard else 1
    )


def measure_linear_accuracy(rows: Any, coarse: NanoImageProcessor, query: str) -> float:
    """Mean share of an attribute's values that linear discriminants tell, of photos that they have not seen.

    From `PATCH` x `PATCH` pixels of each bearer, as it is in the input (Ledoit and Wolf 2004 for the covariance). 1
    where there is but one value; 0 where there are too few photos to try.
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
        warnings.simplefilter("ignore")  # a value that no photo of a fold shows
        predicted = cross_val_predict(
            LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
            patches,
            values,
            groups=photos,
            cv=GroupKFold(FOLDS),
        )
        return float(balanced_accuracy_score(values, predicted))


def _extract_patches(
    rows: Any, coarse: NanoImageProcessor, query: str
) -> Iterator[tuple[Float[np.ndarray, " numbers"], str, str]]:
    """Each bearer in a spread of the examples: what it looks like in the input, its value, and its source photo."""
    step = max(len(rows) // MAX_EXAMPLES, 1)
    for number in range(0, len(rows), step):
        row = rows[number]
        values, boxes = _attribute_instances(row, query)
        if not values or len(values) != len(boxes):
            continue
        photo = coarse.letterbox(decode_image(row["image"]["bytes"], number)).astype(np.float32)
        scale, left, top = coarse.letterbox_transform(row["width"], row["height"])
        for value, box in zip(values, boxes, strict=True):
            yield _extract_patch(photo, np.array(box) * scale + (left, top, left, top)), value, row["photo"]


def _extract_patch(
    photo: Float[np.ndarray, "height across 3"], box: Float[np.ndarray, " 4"]
) -> Float[np.ndarray, " numbers"]:
    """The pixels of a box, brought to a square."""
    (x1, y1), (x2, y2) = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
    x1, y1 = np.clip((x1, y1), 0, (photo.shape[1] - 1, photo.shape[0] - 1))
    inside = photo[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
    return np.asarray(cv2.resize(inside, (PATCH_SIDE, PATCH_SIDE), interpolation=cv2.INTER_LINEAR)).ravel()


def _median_sides(rows: Any, coarse: NanoImageProcessor) -> dict[str, float]:
    """Of each attribute's question the median of its bearers' shorter sides, in pixels of the input."""
    sides: dict[str, list[float]] = {}
    for row in rows.select_columns(["width", "height", "queries", "values", "boxes"]):
        scale, _, _ = coarse.letterbox_transform(row["width"], row["height"])
        for query in (query for query in row["queries"] if not query.startswith(LOCATE_PREFIX)):
            sides.setdefault(query, []).extend(shorter_side(box) * scale for box in _attribute_instances(row, query)[1])
    return {query: float(np.median(lengths)) for query, lengths in sides.items() if lengths}


def _attribute_instances(row: Mapping[str, Any], query: str) -> tuple[Sequence[str], Sequence[Sequence[float]]]:
    """An attribute's values on an example, and the boxes of the things that bear it."""
    values = dict(zip(row["queries"], row["values"], strict=True))
    boxes = dict(zip(row["queries"], row["boxes"], strict=True))
    return values.get(query, ()), boxes.get(locate_query_id(query), ())


def _required_detail(rows: Any, coarse: NanoImageProcessor, median_pixels: float) -> int:
    """So many times the pixels, as far as most photos have them."""
    scales = [
        coarse.letterbox_transform(width, height)[0]
        for width, height in zip(rows["width"], rows["height"], strict=True)
    ]
    required = math.ceil(LEGIBLE_PIXELS / max(median_pixels, 1.0))
    return max(min(required, MAX_DETAIL, round(1 / float(np.median(scales)))), 1)


def shorter_side(box: Sequence[float]) -> float:
    """Shorter side of x1, y1, x2, y2."""
    return min(box[2] - box[0], box[3] - box[1])
