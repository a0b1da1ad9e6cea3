"""Encoding of dataset rows: decode the photo, tokenise questions and answers, collect the labelled instances."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from logicls.constraints.checker.decomposition import VERDICT, locate_query_id
from logicls.errors import DataError, Problem
from logicls.models.nano.answer_codec import Edges, NanoAnswerCodec
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.records import Box


def decode_image(data: bytes, number: int) -> np.ndarray:
    """Decode the image file of example `number` to RGB, uint8 [height width 3]. Raises `DataError` (LC403)."""
    try:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except UnidentifiedImageError as error:  # its own text is the address of the bytes in memory
        raise DataError(Problem("LC403", f"the photo of example {number} is not an image.")) from error
    except OSError as error:
        raise DataError(Problem("LC403", f"the photo of example {number} cannot be decoded: {error}.")) from error


LOCATE_PREFIX = "locate:"
"""Prefix of the ids of queries that ask for the boxes of a component."""


InstanceTarget = tuple[Edges, int]
"""Box of an instance (x1, y1, x2, y2 in pixels of the input), and the token of its value; `IGNORE_INDEX` for locate
queries."""


@dataclass(frozen=True, slots=True)
class EncodedExample:
    """Questions of one example as tokens, with the instances that each question is about."""

    prompts: tuple[tuple[int, ...], ...]
    """Tokens of each question."""
    answers: tuple[tuple[int, ...], ...]
    """Tokens of each answer, its end token included."""
    weights: tuple[float, ...]
    """Loss weight of each answer."""
    instances: tuple[tuple[InstanceTarget, ...], ...]
    """Targets of the detection head for each question."""
    is_locate: tuple[bool, ...]
    """True for questions that ask for the boxes of a component."""


@dataclass(frozen=True, slots=True)
class ExampleEncoder:
    """Encoder of dataset rows for nano; caches the tokens of questions."""

    codec: NanoAnswerCodec
    verdict_weight: float
    """Loss weight of the stated verdict; every other answer has weight 1."""
    _prompts: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def encode(self, row: Mapping[str, Any]) -> EncodedExample:
        """Encode a row; its image is not needed."""
        size = row["width"], row["height"]
        boxes = {
            query: tuple(self.codec.box_to_input(Box(*box), size) for box in boxes_of_query)
            for query, boxes_of_query in zip(row["queries"], row["boxes"], strict=True)
        }
        is_locate = tuple(query.startswith(LOCATE_PREFIX) for query in row["queries"])
        answers = list(zip(row["queries"], row["values"], is_locate, strict=True))
        return EncodedExample(
            tuple(self._encode_prompt(question) for question in row["questions"]),
            tuple(
                tuple(self.codec.encode_answer(values, len(boxes[query]), located=located))
                for query, values, located in answers
            ),
            tuple(self.verdict_weight if query == VERDICT else 1.0 for query in row["queries"]),
            tuple(self._collect_instances(query, values, boxes) for query, values, _ in answers),
            is_locate,
        )

    def _collect_instances(
        self, query: str, values: Sequence[str], boxes: Mapping[str, tuple[Edges, ...]]
    ) -> tuple[InstanceTarget, ...]:
        """Return the instances of a question: the located ones, or those with the attribute if their boxes match."""
        if query.startswith(LOCATE_PREFIX):
            return tuple((box, IGNORE_INDEX) for box in boxes[query])
        bearer_boxes = boxes.get(locate_query_id(query), ())
        if len(bearer_boxes) != len(values):
            return ()
        return tuple((box, self.codec.value_token(value)) for box, value in zip(bearer_boxes, values, strict=True))

    def _encode_prompt(self, question: str) -> tuple[int, ...]:
        if question not in self._prompts:
            self._prompts[question] = tuple(self.codec.encode_prompt(question))
        return self._prompts[question]
