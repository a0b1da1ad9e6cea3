"""Rows of a dataset to tokens.

Pictures of a training set.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from logicls.constraints.checker.decomposition import VERDICT, locate_query_id
from logicls.errors import DataError, Problem
from logicls.models.nano.answer_codec import NanoAnswerCodec, Edges
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.records import Box


def decode_image(data: bytes, number: int) -> np.ndarray:
    """RGB pixels of an example's picture. Raises `DataError`."""
    try:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except UnidentifiedImageError as error:  # its own text is the address of the bytes in memory
        raise DataError(Problem("LC403", f"example {number} has no readable picture: it is no image.")) from error
    except OSError as error:
        raise DataError(Problem("LC403", f"example {number} has no readable picture: {error}.")) from error


LOCATE_PREFIX = "locate:"
"""How the ids of questions begin that are answered with boxes."""


InstanceTarget = tuple[Edges, int]
"""A thing's box, and the token that is to be read of it; `IGNORED` where the question is where it is."""


@dataclass(frozen=True, slots=True)
class EncodedExample:
    """One example: prompt and answer of each question in tokens, and the things that it is about."""

    prompts: tuple[tuple[int, ...], ...]
    answers: tuple[tuple[int, ...], ...]
    weights: tuple[float, ...]
    """Of each answer in the loss."""
    instances: tuple[tuple[InstanceTarget, ...], ...]
    is_locate: tuple[bool, ...]
    """Whether the question is where things are."""


@dataclass(frozen=True, slots=True)
class ExampleEncoder:
    """Encodes questions and answers; a question that comes again costs nothing."""

    codec: NanoAnswerCodec
    verdict_weight: float
    """Weight of the stated verdict in the loss; that of every other answer is 1."""
    _prompts: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def encode(self, row: Mapping[str, Any]) -> EncodedExample:
        """A row, of which its picture is not needed."""
        size = row["width"], row["height"]
        boxes = {
            query: tuple(self.codec.box_to_input(Box(*box), size) for box in boxes_of_query)
            for query, boxes_of_query in zip(row["queries"], row["boxes"], strict=True)
        }
        is_locate = tuple(query.startswith(LOCATE_PREFIX) for query in row["queries"])
        answers = list(zip(row["queries"], row["values"], is_locate, strict=True))
        return EncodedExample(
            tuple(self._prompt(question) for question in row["questions"]),
            tuple(
                tuple(self.codec.encode_answer(values, len(boxes[query]), located=located))
                for query, values, located in answers
            ),
            tuple(self.verdict_weight if query == VERDICT else 1.0 for query in row["queries"]),
            tuple(self._instances(query, values, boxes) for query, values, _ in answers),
            is_locate,
        )

    def _instances(
        self, query: str, values: Sequence[str], boxes: Mapping[str, tuple[Edges, ...]]
    ) -> tuple[InstanceTarget, ...]:
        """What a question is about: for an attribute, its bearers, where it is asked where they are."""
        if query.startswith(LOCATE_PREFIX):
            return tuple((box, IGNORE_INDEX) for box in boxes[query])
        bearer_boxes = boxes.get(locate_query_id(query), ())
        if len(bearer_boxes) != len(values):
            return ()
        return tuple((box, self.codec.value_token(value)) for box, value in zip(bearer_boxes, values, strict=True))

    def _prompt(self, question: str) -> tuple[int, ...]:
        if question not in self._prompts:
            self._prompts[question] = tuple(self.codec.encode_prompt(question))
        return self._prompts[question]
