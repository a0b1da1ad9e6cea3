"""Answers ↔ tokens of nano. Coordinates are bin numbers of the model's input; every value is one token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from logicls.models.nano.processor import ANSWER, END, IMAGE, NONE, PAD, to_bins
from logicls.records import Box, Subquery


@dataclass(frozen=True, slots=True)
class Codec:
    """Token numbers of one processor."""

    processor: Any
    bins: int

    @property
    def first_loc(self) -> int:
        """Token of bin 0; the others follow."""
        return self.token("<loc000>")

    @property
    def end(self) -> int:
        """Token that closes an answer."""
        return self.token(END)

    @property
    def none(self) -> int:
        """Token of the empty answer."""
        return self.token(NONE)

    @property
    def image(self) -> int:
        """Placeholder of one visual token."""
        return self.token(IMAGE)

    @property
    def pad(self) -> int:
        """Padding."""
        return self.token(PAD)

    def token(self, text: str) -> int:
        """The number of a token. Raises `KeyError` for a text that is none."""
        number = self.processor.tokenizer.convert_tokens_to_ids(text)
        if number is None:
            raise KeyError(text)
        return int(number)

    def prompt(self, question: str) -> list[int]:
        """Tokens of a question and the mark after which the answer begins."""
        return [*self.processor.tokenizer(question, add_special_tokens=False)["input_ids"], self.token(ANSWER)]

    def answer(self, values: Sequence[str], boxes: Sequence[Box], size: tuple[int, int]) -> list[int]:
        """Tokens of an answer, closed. `size`: (width, height) of the photo that the boxes' pixels belong to."""
        image_processor = self.processor.image_processor
        places = [self.first_loc + b for box in boxes for b in to_bins(box, *size, image_processor, self.bins)]
        words = [self.token(f"<{value}>") for value in values]
        return [*(places or words or [self.none]), self.end]

    def allowed(self, query: Subquery) -> list[int]:
        """Tokens that an answer to this question may hold, besides its end and `<none>`."""
        if query.kind == "locate":
            return list(range(self.first_loc, self.first_loc + self.bins))
        return [self.token(f"<{value}>") for value in query.options]


def values_of(queries: Sequence[Subquery]) -> list[str]:
    """Every value that an answer may have: each becomes a token."""
    return sorted({value for query in queries for value in query.options})
