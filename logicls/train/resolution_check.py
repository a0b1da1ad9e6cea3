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
from logicls.train.encoding import LOCATED, decoded
from logicls.train.recipe import FINEST

LEGIBLE = 32.0
"""Pixels across from which on a small mark on a thing, such as the pips of a die, can be read."""
PLAIN = 0.9
"""Balanced accuracy from which on values are told from the input's own pixels."""
LOOKED_AT, MOST = 240, 2000
"""Examples and things by which that is found out."""
PATCH = 12
"""Pixels on a side in which the classifier is given a thing."""
FOLDS = 3


@dataclass(frozen=True, slots=True)
class Legibility:
    """How well the values of attributes can be told."""

    attribute: str
    """The one that is hardest to tell: that of the narrowest things of those that need a closer look, else of all."""
    across: float
    """Pixels of the input on the shorter side of its bearers, the median; infinite where nothing bears one."""
    finer: int
    """How many times the input's pixels on each axis it takes to tell it, as far as photos have them; 1: no more."""

    def report(self, detail: int) -> list[str]:
        """A plain line for the terminal, where there is something to say; `detail`: what the model is given."""
        told = f"{self.attribute} is told from {self.across * detail:.0f} pixels across"
        if detail > 1:
            return [f"{told}: photos come in {detail} times the input's pixels on each axis (detail)"]
        if self.finer > 1:
            return [f"{told}, too few for a plain classifier: raise detail in the recipe (to {self.finer})"]
        return []


def legibility(rows: Any, coarse: NanoImageProcessor) -> Legibility:
    """Of a set's rows (a `datasets.Dataset` with undecoded images), as the model is given them."""
    medians = _medians(rows, coarse)
    small = [query for query in sorted(medians, key=medians.__getitem__) if medians[query] < LEGIBLE]
    hard = next((query for query in small if told_plainly(rows, coarse, query) < PLAIN), None)
    query = hard or min(medians, key=medians.__getitem__, default=":")
    across = medians.get(query, math.inf)
    return Legibility(query.partition(":")[2], across, _times(rows, coarse, across) if hard else 1)


def told_plainly(rows: Any, coarse: NanoImageProcessor, query: str) -> float:
    """Mean share of an attribute's values that linear discriminants tell, of photos that they have not seen.

    From `PATCH` x `PATCH` pixels of each bearer, as it is in the input (Ledoit and Wolf 2004 for the covariance). 1
    where there is but one value; 0 where there are too few photos to try.
    """
    things = list(islice(_things(rows, coarse, query), MOST))
    values = np.array([value for _, value, _ in things])
    photos = np.array([photo for *_, photo in things])
    if len(set(values)) < 2:
        return 1.0
    if len(set(photos)) < FOLDS:
        return 0.0
    seen = np.stack([patch for patch, *_ in things])
    seen += np.random.default_rng(0).normal(0, 1, seen.shape)  # pixels that never vary have no covariance to invert
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a value that no photo of a fold shows
        told = cross_val_predict(
            LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
            seen,
            values,
            groups=photos,
            cv=GroupKFold(FOLDS),
        )
        return float(balanced_accuracy_score(values, told))


def _things(
    rows: Any, coarse: NanoImageProcessor, query: str
) -> Iterator[tuple[Float[np.ndarray, " numbers"], str, str]]:
    """Each bearer in a spread of the examples: what it looks like in the input, its value, and its source photo."""
    step = max(len(rows) // LOOKED_AT, 1)
    for number in range(0, len(rows), step):
        row = rows[number]
        values, boxes = _borne(row, query)
        if not values or len(values) != len(boxes):
            continue
        photo = coarse.letterbox(decoded(row["image"]["bytes"], number)).astype(np.float32)
        scale, left, top = coarse.letterbox_transform(row["width"], row["height"])
        for value, box in zip(values, boxes, strict=True):
            yield _patch(photo, np.array(box) * scale + (left, top, left, top)), value, row["photo"]


def _patch(photo: Float[np.ndarray, "height across 3"], box: Float[np.ndarray, " 4"]) -> Float[np.ndarray, " numbers"]:
    """The pixels of a box, brought to a square."""
    (x1, y1), (x2, y2) = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
    x1, y1 = np.clip((x1, y1), 0, (photo.shape[1] - 1, photo.shape[0] - 1))
    inside = photo[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
    return np.asarray(cv2.resize(inside, (PATCH, PATCH), interpolation=cv2.INTER_LINEAR)).ravel()


def _medians(rows: Any, coarse: NanoImageProcessor) -> dict[str, float]:
    """Of each attribute's question the median of its bearers' shorter sides, in pixels of the input."""
    sides: dict[str, list[float]] = {}
    for row in rows.select_columns(["width", "height", "queries", "values", "boxes"]):
        scale, _, _ = coarse.letterbox_transform(row["width"], row["height"])
        for query in (query for query in row["queries"] if not query.startswith(LOCATED)):
            sides.setdefault(query, []).extend(narrow(box) * scale for box in _borne(row, query)[1])
    return {query: float(np.median(some)) for query, some in sides.items() if some}


def _borne(row: Mapping[str, Any], query: str) -> tuple[Sequence[str], Sequence[Sequence[float]]]:
    """An attribute's values on an example, and the boxes of the things that bear it."""
    values = dict(zip(row["queries"], row["values"], strict=True))
    boxes = dict(zip(row["queries"], row["boxes"], strict=True))
    return values.get(query, ()), boxes.get(locate_query_id(query), ())


def _times(rows: Any, coarse: NanoImageProcessor, across: float) -> int:
    """So many times the pixels, as far as most photos have them."""
    scales = [
        coarse.letterbox_transform(width, height)[0]
        for width, height in zip(rows["width"], rows["height"], strict=True)
    ]
    wanted = math.ceil(LEGIBLE / max(across, 1.0))
    return max(min(wanted, FINEST, round(1 / float(np.median(scales)))), 1)


def narrow(box: Sequence[float]) -> float:
    """Shorter side of x1, y1, x2, y2."""
    return min(box[2] - box[0], box[3] - box[1])
