"""Protocol of readers, and their predictions, which have one form whatever the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from logicls.errors import PhotoError, Problem
from logicls.predict.input.loader import LoadedPhoto, Size
from logicls.records import DETECTION_THRESHOLD, Answer, Box

if TYPE_CHECKING:
    from logicls.models.bundle import Bundle

Edges = tuple[float, ...]
"""x1, y1, x2, y2."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A detected instance."""

    probability: float
    cell_box: Edges
    """x1, y1, x2, y2 in cells of the feature map."""
    box: Box
    """Box in pixels of the photo."""
    place: int | None = None
    """Number of the place on the photo that it shares with detections of other components, of which only one can be
    there; None if it shares its place with none."""
    rivals: tuple[float, ...] = ()
    """Probabilities of the other detections at its place."""
    is_suppressed: bool = False
    """True where another detection at its place is more probable."""

    @property
    def is_detected(self) -> bool:
        """True if the candidate counts as an instance."""
        return self.probability >= DETECTION_THRESHOLD and not self.is_suppressed


@dataclass(frozen=True, slots=True)
class Prediction:
    """Raw output of a reader for one photo."""

    answers: tuple[Answer, ...]
    """Answers to all subqueries but the verdict."""
    stated: Answer
    """Verdict that the model states, as the answer to a question of its own."""
    violation_probabilities: tuple[tuple[str, float], ...]
    """Probability that the model gives to each violation when asked for its verdict."""
    feature: np.ndarray | None = field(default=None, compare=False, repr=False)
    """Mean feature of the photo's visual tokens, float32 [width]: similar for similar photos."""
    detections: tuple[tuple[str, tuple[Detection, ...]], ...] = field(default=(), compare=False, repr=False)
    """Candidate detections of each question for locations, by descending probability; empty for readers without."""


def condition_on_rivals(probability: float, rivals: Sequence[float]) -> float:
    """Compute the probability of an instance, given that at most one of it and its rivals is there.

    Bayes' theorem for independent detections: the odds of each are its weight, and that of none of them is 1.

    >>> round(condition_on_rivals(0.9, (0.75,)), 3)
    0.692
    """
    if not rivals:
        return probability
    own, *others = (p / max(1 - p, 1e-9) for p in (probability, *rivals))
    return own / (1 + own + sum(others))


@runtime_checkable
class Reader(Protocol):
    """Reads photos and answers the questions of a bundle's spec."""

    bundle: Bundle
    """Bundle whose spec, calibration and thresholds apply to the predictions."""

    @property
    def input_size(self) -> Size | None:
        """(height, width) to which photos may be letterboxed beforehand; None if they must keep their own size."""
        ...

    def predict_raw(self, photos: Sequence[LoadedPhoto]) -> list[Prediction]:
        """Read photos, in their own size or letterboxed to `input_size`, and answer the questions about each.

        Raises:
            PhotoError: The model's processor rejects a photo (LC610). Any other error is none of the photo.
        """
        ...


def predict_arrays(reader: Reader, photos: Sequence[UInt8[np.ndarray, "_height _width 3"]]) -> list[Prediction]:
    """Read RGB photos that are in memory in their own size."""
    return reader.predict_raw([LoadedPhoto("", photo, (photo.shape[1], photo.shape[0])) for photo in photos])


def unpack_pixels(photos: Sequence[LoadedPhoto]) -> list[UInt8[np.ndarray, "_height _width 3"]]:
    """Return the pixels of loaded photos. Raises `ValueError` for one without pixels."""
    pixels = [photo.pixels for photo in photos if photo.pixels is not None]
    if len(pixels) < len(photos):
        raise ValueError("a photo that could not be decoded cannot be read")
    return pixels


def rejected_photo(error: Exception) -> PhotoError:
    """Make the error for a photo that the model's processor rejects."""
    reason = str(error) or type(error).__name__
    return PhotoError(Problem("LC610", f"the model does not accept this photo: {reason.rstrip('.')}."))
