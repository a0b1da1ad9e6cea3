"""Retrieval-augmented prompts of hub models: a reference photo and notes about the product, within a token budget.

They are for a model that was not fine-tuned, or was fine-tuned with few examples: one that was fine-tuned without this
context has learned to answer without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
from logicls.models.hub.protocols import HubProcessor
from logicls.predict.plugin_protocols import ProductMatch, Retriever

MAX_CONTEXT_TOKENS = 1024
"""Largest number of tokens of the context in a prompt."""
RESERVED_TOKENS = 256
"""Tokens of the model's context window that are reserved for a question and its answer."""
NOTES_HEADING = "What is known of this product, and of what can be wrong with it:"
REFERENCE_HEADING = "The first picture shows a good one. "
PHOTO_HEADING = "This is the one to look at:"


@dataclass(frozen=True, slots=True)
class RetrievedContext:
    """Context for the prompt of a photo."""

    notes: tuple[str, ...] = ()
    reference: Path | None = None
    """Photo of a good product."""

    def to_prompt_context(self) -> PromptContext:
        """Convert to text and reference as the prompt contains them."""
        reference = REFERENCE_HEADING if self.reference else ""
        if self.notes:
            lines = [reference + NOTES_HEADING, *(f"- {note}" for note in self.notes), PHOTO_HEADING]
            return PromptContext("\n".join(lines), bool(self.reference))
        return PromptContext(reference + PHOTO_HEADING if self.reference else "", bool(self.reference))

    def shorten(self) -> RetrievedContext:
        """Remove the last note, or without notes the reference photo."""
        return RetrievedContext(self.notes[:-1], self.reference) if self.notes else RetrievedContext()


def retrieve_contexts(retriever: Retriever, photos: Sequence[np.ndarray]) -> list[RetrievedContext]:
    """Retrieve the context of each photo; empty for a photo that does not show the expected product."""
    return [_context_of(match) for match in retriever.match_products(list(photos))]


def _context_of(match: ProductMatch) -> RetrievedContext:
    return RetrievedContext() if match.review_reason else RetrievedContext(match.notes, match.reference)


@dataclass
class RetrievalPrompter:
    """Makes the inputs of a model, with as much context as its window has room for."""

    processor: HubProcessor
    model_name: str
    context_window: int
    """Largest number of tokens that the model accepts."""
    _cache: dict[tuple[RetrievedContext, tuple[int, ...]], tuple[RetrievedContext, ChatFormat]] = field(
        default_factory=dict
    )

    def make_inputs(self, images: Sequence[np.ndarray], context: RetrievedContext) -> dict[str, Tensor]:
        """Process images of one size, each with the context before it."""
        shortened, chat_format = self.fit_context(images[0], context)
        return make_inputs(self.processor, chat_format, images, self._load_reference(shortened))

    def fit_context(self, image: np.ndarray, context: RetrievedContext) -> tuple[RetrievedContext, ChatFormat]:
        """Shorten the context until it fits before such an image. Returns it with its prompt format."""
        key = context, image.shape
        if key not in self._cache:
            self._cache[key] = self._shorten_to_fit(image, context)
        return self._cache[key]

    def _shorten_to_fit(self, image: np.ndarray, context: RetrievedContext) -> tuple[RetrievedContext, ChatFormat]:
        plain = read_chat_format(self.processor, self.model_name)
        plain_length = _count_tokens(make_inputs(self.processor, plain, [image]))
        while context != RetrievedContext():
            chat_format = read_chat_format(self.processor, self.model_name, context.to_prompt_context())
            length = _count_tokens(make_inputs(self.processor, chat_format, [image], self._load_reference(context)))
            if length - plain_length <= MAX_CONTEXT_TOKENS and length + RESERVED_TOKENS <= self.context_window:
                return context, chat_format
            context = context.shorten()
        return context, plain

    def _load_reference(self, context: RetrievedContext) -> np.ndarray | None:
        if context.reference is None:
            return None
        photo = read_photo(context.reference)
        return pad_photo(photo, place_photo((photo.shape[1], photo.shape[0]), self.processor))


def _count_tokens(inputs: dict[str, Tensor]) -> int:
    return int(inputs["input_ids"].shape[1])
