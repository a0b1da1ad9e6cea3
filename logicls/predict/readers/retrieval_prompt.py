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
from logicls.models.hub.chat_template import (
    ChatFormat,
    PromptContext,
    make_inputs,
    pad_photo,
    place_photo,
    read_chat_format,
)
from logicls.predict.plugin_protocols import ProductMatch, Retriever

MAX_CONTEXT_TOKENS = 1024
"""Tokens that knowledge takes in a prompt at most."""
RESERVED_TOKENS = 256
"""Tokens of the model's window that are kept for a question and its answer."""
NOTES_HEADING = "What is known of this product, and of what can be wrong with it:"
REFERENCE_HEADING = "The first picture shows a good one. " + NOTES_HEADING
PHOTO_HEADING = "This is the one to look at:"


@dataclass(frozen=True, slots=True)
class RetrievedContext:
    """What goes into the prompt of a photo."""

    notes: tuple[str, ...] = ()
    reference: Path | None = None

    def to_prompt_context(self) -> PromptContext:
        """As the talk with a model has it."""
        if not self.notes:
            return PromptContext(
                "The first picture shows a good one. " + PHOTO_HEADING if self.reference else "", bool(self.reference)
            )
        opening = REFERENCE_HEADING if self.reference else NOTES_HEADING
        return PromptContext(
            "\n".join([opening, *(f"- {note}" for note in self.notes), PHOTO_HEADING]), bool(self.reference)
        )

    def shorten(self) -> RetrievedContext:
        """Less of it: without the last note; where there is none, without the photo."""
        return RetrievedContext(self.notes[:-1], self.reference) if self.notes else RetrievedContext()


def retrieve_contexts(retriever: Retriever, photos: Sequence[np.ndarray]) -> list[RetrievedContext]:
    """What is known of each photo; nothing of one that does not show what it should."""
    return [_known(recall) for recall in retriever.match_products(list(photos))]


def _known(recall: ProductMatch) -> RetrievedContext:
    return RetrievedContext() if recall.review_reason else RetrievedContext(recall.notes, recall.reference)


@dataclass
class RetrievalPrompter:
    """Makes the inputs of a model, as much of what is known in them as its window has room for."""

    processor: Any
    model_name: str
    """Of the model."""
    context_window: int
    """Tokens that it takes at most."""
    _fitting: dict[tuple[RetrievedContext, tuple[int, ...]], tuple[RetrievedContext, ChatFormat]] = field(
        default_factory=dict
    )

    def make_inputs(self, pictures: Sequence[np.ndarray], known: RetrievedContext) -> dict[str, Tensor]:
        """What the processor makes of pictures of one size, each with what is known before it."""
        kept, talk = self.fit_context(pictures[0], known)
        return make_inputs(self.processor, talk, pictures, self._reference(kept))

    def fit_context(self, picture: np.ndarray, known: RetrievedContext) -> tuple[RetrievedContext, ChatFormat]:
        """As much of what is known as there is room for before such a picture, and the text around it."""
        key = known, picture.shape
        if key not in self._fitting:
            self._fitting[key] = self._fitted(picture, known)
        return self._fitting[key]

    def _fitted(self, picture: np.ndarray, known: RetrievedContext) -> tuple[RetrievedContext, ChatFormat]:
        bare = read_chat_format(self.processor, self.model_name)
        without = _length(make_inputs(self.processor, bare, [picture]))
        while known != RetrievedContext():
            talk = read_chat_format(self.processor, self.model_name, known.to_prompt_context())
            length = _length(make_inputs(self.processor, talk, [picture], self._reference(known)))
            if length - without <= MAX_CONTEXT_TOKENS and length + RESERVED_TOKENS <= self.context_window:
                return known, talk
            known = known.shorten()
        return known, bare

    def _reference(self, known: RetrievedContext) -> np.ndarray | None:
        if known.reference is None:
            return None
        photo = read_photo(known.reference)
        return pad_photo(photo, place_photo((photo.shape[1], photo.shape[0]), self.processor))


def _length(inputs: dict[str, Tensor]) -> int:
    return int(inputs["input_ids"].shape[1])
