"""Rows of a dataset to tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from logicls.constraints.decompose import VERDICT
from logicls.models.codec import Codec
from logicls.records import Box


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example in tokens: prompt and answer of each question."""

    prompts: tuple[tuple[int, ...], ...]
    answers: tuple[tuple[int, ...], ...]
    weights: tuple[float, ...]
    """Of each answer in the loss."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes questions and answers; a question that comes again costs nothing."""

    codec: Codec
    verdict_weight: float
    """Weight of the stated verdict in the loss; that of every other answer is 1."""
    _prompts: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def encode(self, row: Mapping[str, Any]) -> Encoded:
        """A row, of which its picture is not needed."""
        size = row["width"], row["height"]
        answers = (
            self.codec.answer(values, [Box(*box) for box in boxes], size)
            for values, boxes in zip(row["values"], row["boxes"], strict=True)
        )
        return Encoded(
            tuple(self._prompt(question) for question in row["questions"]),
            tuple(tuple(answer) for answer in answers),
            tuple(self.verdict_weight if query == VERDICT else 1.0 for query in row["queries"]),
        )

    def _prompt(self, question: str) -> tuple[int, ...]:
        if question not in self._prompts:
            self._prompts[question] = tuple(self.codec.prompt(question))
        return self._prompts[question]
