"""What is known of a photo's product, in the prompt of a hub model: a reference photo and notes, within its tokens.

A model that was tuned without them has learned to answer without them: they are for one that is asked as it came, or
that was tuned on what a product hardly ever shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from logicls.data.image_io import read_photo
from logicls.models.hub.chat_template import Talk, Told, inputs_of, picture_of, shown_of, talk_of
from logicls.predict.plugin_protocols import Recall, Retriever

MOST = 1024
"""Tokens that knowledge takes in a prompt at most."""
ROOM = 256
"""Tokens of the model's window that are kept for a question and its answer."""
BEFORE = "What is known of this product, and of what can be wrong with it:"
WITH_PHOTO = "The first picture shows a good one. " + BEFORE
AFTER = "This is the one to look at:"


@dataclass(frozen=True, slots=True)
class Known:
    """What goes into the prompt of a photo."""

    notes: tuple[str, ...] = ()
    reference: Path | None = None

    def told(self) -> Told:
        """As the talk with a model has it."""
        if not self.notes:
            return Told("The first picture shows a good one. " + AFTER if self.reference else "", bool(self.reference))
        opening = WITH_PHOTO if self.reference else BEFORE
        return Told("\n".join([opening, *(f"- {note}" for note in self.notes), AFTER]), bool(self.reference))

    def shorter(self) -> Known:
        """Less of it: without the last note; where there is none, without the photo."""
        return Known(self.notes[:-1], self.reference) if self.notes else Known()


def known_of(retriever: Retriever, photos: Sequence[np.ndarray]) -> list[Known]:
    """What is known of each photo; nothing of one that does not show what it should."""
    return [_known(recall) for recall in retriever.recall(list(photos))]


def _known(recall: Recall) -> Known:
    return Known() if recall.doubt else Known(recall.notes, recall.reference)


@dataclass
class Prompter:
    """Makes the inputs of a model, as much of what is known in them as its window has room for."""

    processor: Any
    name: str
    """Of the model."""
    window: int
    """Tokens that it takes at most."""
    _fitting: dict[tuple[Known, tuple[int, ...]], tuple[Known, Talk]] = field(default_factory=dict)

    def inputs(self, pictures: Sequence[np.ndarray], known: Known) -> dict[str, Tensor]:
        """What the processor makes of pictures of one size, each with what is known before it."""
        kept, talk = self.fitting(pictures[0], known)
        return inputs_of(self.processor, talk, pictures, self._reference(kept))

    def fitting(self, picture: np.ndarray, known: Known) -> tuple[Known, Talk]:
        """As much of what is known as there is room for before such a picture, and the text around it."""
        key = known, picture.shape
        if key not in self._fitting:
            self._fitting[key] = self._fitted(picture, known)
        return self._fitting[key]

    def _fitted(self, picture: np.ndarray, known: Known) -> tuple[Known, Talk]:
        bare = talk_of(self.processor, self.name)
        without = _length(inputs_of(self.processor, bare, [picture]))
        while known != Known():
            talk = talk_of(self.processor, self.name, known.told())
            length = _length(inputs_of(self.processor, talk, [picture], self._reference(known)))
            if length - without <= MOST and length + ROOM <= self.window:
                return known, talk
            known = known.shorter()
        return known, bare

    def _reference(self, known: Known) -> np.ndarray | None:
        if known.reference is None:
            return None
        photo = read_photo(known.reference)
        return picture_of(photo, shown_of((photo.shape[1], photo.shape[0]), self.processor))


def _length(inputs: dict[str, Tensor]) -> int:
    return int(inputs["input_ids"].shape[1])
