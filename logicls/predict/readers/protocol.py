"""Who reads a photo: whatever kind of model a bundle holds, what is read looks alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from logicls.models.bundle import Bundle
from logicls.predict.input.loader import LoadedPhoto, Size
from logicls.predict.plugin_protocols import Retriever
from logicls.predict.readers.hub import HubReader
from logicls.predict.readers.nano import Prediction, NanoReader


@runtime_checkable
class Reader(Protocol):
    """Answers the questions of a bundle's spec."""

    bundle: Bundle

    def predict_pixels(self, photos: Sequence[np.ndarray]) -> list[Prediction]:
        """Read photos, uint8 RGB [height width 3] of any sizes."""
        ...


def input_size(reader: Reader) -> Size | None:
    """(height, width) that photos may be brought to before they are looked at; None where it takes them as they are."""
    if not isinstance(reader, NanoReader):
        return None
    height, width = reader.bundle.processor.image_processor.shape
    return int(height), int(width)


def predict_raw(reader: Reader, photos: Sequence[LoadedPhoto]) -> list[Prediction]:
    """Read loaded photos, which are in the size that `input_size` says."""
    pixels = [photo.pixels for photo in photos if photo.pixels is not None]
    if isinstance(reader, NanoReader):
        return reader.predict_letterboxed(pixels, [photo.size for photo in photos if photo.pixels is not None])
    return reader.predict_pixels(pixels)


def make_reader(bundle: Bundle, retriever: Retriever | None = None) -> Reader:
    """The reader for a bundle's kind of model; a hub model's prompt says what a `retriever` knows of each photo."""
    return NanoReader(bundle) if bundle.hub is None else HubReader(bundle, retriever)
