"""Encoding of dataset rows: decode the photo, tokenise questions and answers, collect the labelled instances."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from logicls.constraints.checker.decomposition import VERDICT, decompose, locate_query_id
from logicls.constraints.families.angles import period_of_options, split_angle
from logicls.constraints.spec.models import Spec
from logicls.errors import DataError, Problem
from logicls.models.nano.answer_codec import Edges, NanoAnswerCodec
from logicls.models.nano.losses import IGNORE_INDEX
from logicls.records import Box, Subquery


def find_angle_queries(spec: Spec) -> dict[str, Subquery]:
    """Return id → query of the orientation queries of a spec."""
    return {query.id: query for query in decompose(spec) if query.kind == "orientation"}


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


ORIENTATION_PREFIX = "orientation:"
"""Prefix of the ids of queries that ask for the angles of a component."""


class InstanceTarget(NamedTuple):
    """Target of the detection head for one instance and one question."""

    edges: Edges
    """x1, y1, x2, y2 in pixels of the input."""
    value: int = IGNORE_INDEX
    """Token of its value; `IGNORE_INDEX` for locate queries."""
    next_value: int = IGNORE_INDEX
    """Token of the following value, if the true one lies between two tokens, as an angle does."""
    next_share: float = 0.0
    """How far the true value lies from `value` to `next_value`, 0 to 1."""

    @property
    def nearest_value(self) -> int:
        """Token that is nearest to the true value."""
        return self.next_value if self.next_share > 0.5 else self.value


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
    angle_queries: Mapping[str, Subquery] = field(default_factory=dict)
    """Id → orientation query, for the period of its angles."""
    _prompts: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def encode(self, row: Mapping[str, Any]) -> EncodedExample:
        """Encode a row; its image is not needed."""
        size = row["width"], row["height"]
        boxes = {
            query: tuple(self.codec.box_to_input(Box(*box), size) for box in boxes_of_query)
            for query, boxes_of_query in zip(row["queries"], row["boxes"], strict=True)
        }
        is_locate = tuple(query.startswith(LOCATE_PREFIX) for query in row["queries"])
        answers = list(zip(row["queries"], row["values"], strict=True))
        return EncodedExample(
            tuple(self._encode_prompt(question) for question in row["questions"]),
            tuple(tuple(self._encode_answer(query, values, len(boxes[query]))) for query, values in answers),
            tuple(self.verdict_weight if query == VERDICT else 1.0 for query in row["queries"]),
            tuple(self._collect_instances(query, values, boxes) for query, values in answers),
            is_locate,
        )

    def _encode_answer(self, query: str, values: Sequence[str], boxes: int) -> list[int]:
        """Encode the tokens of an answer. Boxes and angles are read by the detection head: their number is said."""
        if query.startswith(ORIENTATION_PREFIX):
            return self.codec.encode_answer((), len(values), located=True)
        return self.codec.encode_answer(values, boxes, located=query.startswith(LOCATE_PREFIX))

    def _collect_instances(
        self, query: str, values: Sequence[str], boxes: Mapping[str, tuple[Edges, ...]]
    ) -> tuple[InstanceTarget, ...]:
        """Return the instances of a question: the located ones, or those with the attribute if their boxes match."""
        if query.startswith(LOCATE_PREFIX):
            return tuple(InstanceTarget(box) for box in boxes[query])
        bearer_boxes = boxes.get(locate_query_id(query), ())
        if len(bearer_boxes) != len(values):
            return ()
        return tuple(self._make_target(query, *pair) for pair in zip(bearer_boxes, values, strict=True))

    def _make_target(self, query: str, box: Edges, value: str) -> InstanceTarget:
        """Return the target of an attribute's value, or of an angle: its two neighbouring tokens."""
        if not query.startswith(ORIENTATION_PREFIX):
            return InstanceTarget(box, self.codec.value_token(value))
        angles = self.angle_queries[query]
        lower, upper, share = split_angle(float(value), period_of_options(angles.options))
        tokens = self.codec.allowed_tokens(angles)
        return InstanceTarget(box, tokens[lower], tokens[upper], share)

    def _encode_prompt(self, question: str) -> tuple[int, ...]:
        if question not in self._prompts:
            self._prompts[question] = tuple(self.codec.encode_prompt(question))
        return self._prompts[question]
