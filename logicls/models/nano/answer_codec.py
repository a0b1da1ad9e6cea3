"""Conversion between answers and nano's tokens and boxes.

Every value is one token. Boxes are in pixels of the model's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from logicls.models.nano.processor import (
    ANSWER,
    END,
    IMAGE,
    MAX_COUNT,
    NONE,
    PAD,
    NanoProcessor,
    box_to_input,
    boxes_to_photo,
)
from logicls.records import Box, Subquery

Edges = tuple[float, ...]
"""x1, y1, x2, y2 in pixels of the model's input."""


@dataclass(frozen=True, slots=True)
class NanoAnswerCodec:
    """Token numbers and coordinate frame of one processor."""

    processor: NanoProcessor

    @property
    def end(self) -> int:
        """Token that closes an answer."""
        return self.token_id(END)

    @property
    def none(self) -> int:
        """Token of the empty answer."""
        return self.token_id(NONE)

    @property
    def image(self) -> int:
        """Placeholder token of one visual token."""
        return self.token_id(IMAGE)

    @property
    def answer_start(self) -> int:
        """Token after which an answer begins."""
        return self.token_id(ANSWER)

    @property
    def pad(self) -> int:
        """Padding token."""
        return self.token_id(PAD)

    def token_id(self, text: str) -> int:
        """Return the number of a token. Raises `KeyError` for an unknown token."""
        number: Any = self.processor.tokenizer.convert_tokens_to_ids(text)
        if number is None:
            raise KeyError(text)
        return int(number)

    def encode_prompt(self, question: str) -> list[int]:
        """Tokenize a question and append the token after which the answer begins."""
        return [*self.processor.tokenizer(question, add_special_tokens=False)["input_ids"], self.answer_start]

    def encode_answer(self, values: Sequence[str], count: int, *, located: bool) -> list[int]:
        """Encode an answer with its end token: its values, or the number of boxes where `located`."""
        tokens = [self.count_token(count)] if located else [self.value_token(value) for value in values]
        return [*(tokens or [self.none]), self.end]

    def value_token(self, value: str) -> int:
        """Return the token of a value."""
        return self.token_id(f"<{value}>")

    def count_token(self, count: int) -> int:
        """Return the token of a number of boxes; numbers above `MAX_COUNT` share one token."""
        return self.token_id(f"<{min(count, MAX_COUNT)}>")

    def box_to_input(self, box: Box, size: tuple[int, int]) -> Edges:
        """Convert a box of a photo of that size (width, height) into pixels of the input."""
        return box_to_input(box, *size, self.processor.image_processor)

    def boxes_to_photo(
        self, edges: Float[np.ndarray, "boxes 4"], size: tuple[int, int]
    ) -> Float[np.ndarray, "boxes 4"]:
        """Convert boxes x1, y1, x2, y2 of the input into pixels of a photo of that size (width, height)."""
        return boxes_to_photo(edges, *size, self.processor.image_processor)

    def allowed_tokens(self, query: Subquery) -> list[int]:
        """List the tokens that an answer to this question may contain, besides `<none>` and the end token."""
        if query.kind == "locate":
            return [self.count_token(count) for count in range(MAX_COUNT + 1)]
        return [self.value_token(name) for name in option_names(query)]


def option_names(query: Subquery) -> list[str]:
    """List the names under which a query's options are tokens: angles have a unit, because counts are numbers, too."""
    return [f"{option}°" if query.kind == "orientation" else option for option in query.options]


def collect_values(queries: Sequence[Subquery]) -> list[str]:
    """Collect the values of all answers, sorted; each becomes one token."""
    return sorted({name for query in queries for name in option_names(query)})
