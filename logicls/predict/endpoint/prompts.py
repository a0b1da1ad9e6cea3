"""Requests about a photo to a server, and parsing of its answers, in three modes for three kinds of models.

A model that was not trained for LogiCls answers all questions at once, as JSON. One that `logicls train` trained
answers each question by its line, as with `logicls.predict.readers.hub`. One that another trainer trained on the output
of `logicls synth --format` answers all questions by a chain of thought.

Servers are given the form of answers as JSON Schema, or for lines as regular expressions. Needs neither the network nor
torch.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from logicls import answer_format
from logicls.answer_format import PromptMode
from logicls.constraints.checker.decomposition import decompose
from logicls.constraints.families.angles import angle_pattern, angle_to_text, is_angle, period_of_options
from logicls.constraints.families.context import name_to_text
from logicls.constraints.spec.models import Constraint, Spec
from logicls.models.box_formats import BoxFamily, BoxFormat, Size, decode_boxes
from logicls.predict.endpoint.client import TokenProbability
from logicls.prompts.templates import canonical_question
from logicls.records import Answer, Box, Subquery

MAX_ANSWER_TOKENS = 8192
"""Limit of the length of an answer."""


@dataclass(frozen=True, slots=True)
class PromptOptions:
    """Options of the requests; None for what follows from the bundle and the model."""

    mode: PromptMode | None = None
    boxes: BoxFamily | None = None
    """Box format of the model."""


def box_units(box_format: BoxFormat, size: Size) -> Size:
    """Return the number of units per side of an image of that (width, height), for boxes as JSON numbers."""
    return (box_format.bins, box_format.bins) if box_format.bins else size


def answer_schema(
    queries: Sequence[Subquery], box_format: BoxFormat, size: Size, max_items: int
) -> Mapping[str, object]:
    """Make the JSON Schema of an object with an answer to every question."""
    edge: dict[str, object] = {"type": "integer", "minimum": 0, "maximum": max(box_units(box_format, size))}
    if box_format.bins and box_format.decimals:
        edge["type"] = "number"
    box = {"type": "array", "items": edge, "minItems": 4, "maxItems": 4}

    def value(query: Subquery) -> Mapping[str, object]:
        match query.kind:
            case "locate":
                return {"type": "array", "items": box, "maxItems": max_items}
            case "attribute" | "appearance":
                return {"type": "array", "items": {"type": "string", "enum": [*query.options]}, "maxItems": max_items}
            case "orientation":
                angle = {"type": "integer", "minimum": 0, "maximum": period_of_options(query.options) - 1}
                return {"type": "array", "items": angle, "maxItems": max_items}
            case "verdict":
                names = {"type": "string", "enum": [*query.options]}
                return {"type": "array", "items": names, "maxItems": len(query.options)}
            case _:
                assert_never(query.kind)

    return {
        "type": "object",
        "properties": {query.id: value(query) for query in queries},
        "required": [query.id for query in queries],
        "additionalProperties": False,
    }


def answer_regex(query: Subquery, box_format: BoxFormat, max_items: int) -> str | None:
    """Make a regular expression for the answer lines of a question; None if boxes contain special tokens."""
    head = rf"\s?{escape_regex(f'{answer_format.PREFIX}{query.id} = ')}"
    match query.kind:
        case "locate":
            if re.search(r"<\||<loc", box_format.template):
                return None
            items = _repeat(_box_regex(box_format), escape_regex(box_format.separator), max_items)
        case "attribute" | "appearance":
            items = _repeat(f"({'|'.join(map(escape_regex, query.options))})", ", ", max_items)
        case "orientation":
            items = _repeat(f"({angle_pattern(period_of_options(query.options))})", ", ", max_items)
        case "verdict":
            items = _subset_regex(query.options)
        case _:
            assert_never(query.kind)
    return f"{head}({answer_format.NONE}|{items})"


def escape_regex(text: str) -> str:
    """Escape a text for a regular expression, with the escapes that all dialects have in common."""
    return re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", text)


def _repeat(item: str, separator: str, max_items: int) -> str:
    return f"{item}({separator}{item}){{0,{max_items - 1}}}"


def _box_regex(box_format: BoxFormat) -> str:
    integer = f"[0-9]{{{box_format.digits or 1},5}}"
    number = rf"{integer}\.[0-9]{{{box_format.decimals}}}" if box_format.decimals else integer
    pieces = re.split(r"\{[xy][12]\}", box_format.template)
    return number.join(escape_regex(piece) for piece in pieces)


def _subset_regex(options: Sequence[str]) -> str:
    """Match the non-empty subsets of the options, in alphabetical order as answers list violations."""
    names = [escape_regex(name) for name in sorted(options)]
    starts = [name + "".join(f"(, {later})?" for later in names[place + 1 :]) for place, name in enumerate(names)]
    return f"({'|'.join(starts)})"


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """One request about a photo."""

    text: str
    queries: tuple[Subquery, ...]
    """Questions that it asks."""
    structure: Mapping[str, object]
    """Parameters with which servers constrain the answer; one for each kind of server."""
    max_tokens: int
    """Limit of the length of the answer."""


@dataclass(frozen=True, slots=True)
class RequestBuilder:
    """Builds the requests about a photo for all questions of a spec, and parses the answers."""

    spec: Spec
    mode: PromptMode
    box_format: BoxFormat
    max_items: int
    """Largest number of boxes or values of an answer; a longer one is unreadable."""

    def build(self, size: Size) -> tuple[EndpointRequest, ...]:
        """Build the requests about an image of that (width, height)."""
        queries = decompose(self.spec)
        match self.mode:
            case PromptMode.json:
                structure = {"response_format": {"type": "json_schema", "json_schema": {
                    "name": "answers", "strict": True,
                    "schema": answer_schema(queries, self.box_format, size, self.max_items),
                }}}  # fmt: skip
                text, max_tokens = self._instructions(queries, size), self._estimate_tokens(queries)
                return (EndpointRequest(text, queries, structure, max_tokens),)
            case PromptMode.lines:
                return tuple(
                    EndpointRequest(
                        canonical_question(query, self.spec),
                        (query,),
                        self._line_structure(query),
                        self._estimate_tokens([query]),
                    )
                    for query in queries
                )
            case PromptMode.chain:
                text = "\n".join(canonical_question(query, self.spec) for query in queries)
                return (EndpointRequest(text, queries, {}, MAX_ANSWER_TOKENS),)
            case _:
                assert_never(self.mode)

    def parse(
        self, request: EndpointRequest, text: str, tokens: Sequence[TokenProbability], size: Size
    ) -> tuple[Answer, ...]:
        """Parse the answers to a request's questions, with boxes in pixels of the image.

        An invalid answer is returned as unreadable.
        """
        parsed = self._parse_json(text, size) if self.mode is PromptMode.json else self._parse_lines(text, size)
        heads = [_answer_head(query, self.mode) for query in request.queries]
        answers = []
        for query, head in zip(request.queries, heads, strict=True):
            answer = parsed.get(query.id)
            if answer is None or not _is_valid(query, answer, self.max_items):
                answers.append(Answer(query.id, readable=False, confidence=0.0))
            else:
                answers.append(replace(answer, confidence=_confidence(query, head, heads, tokens)))
        return tuple(answers)

    def _line_structure(self, query: Subquery) -> dict[str, object]:
        pattern = answer_regex(query, self.box_format, self.max_items)
        return {} if pattern is None else {"structured_outputs": {"regex": pattern}, "regex": pattern}

    def _estimate_tokens(self, queries: Sequence[Subquery]) -> int:
        boxes = sum(query.kind == "locate" for query in queries) * self.max_items
        return min(MAX_ANSWER_TOKENS, 128 + 64 * len(queries) + 32 * boxes + 8 * self.max_items * len(queries))

    def _instructions(self, queries: Sequence[Subquery], size: Size) -> str:
        """Write the prompt of the JSON mode."""
        across, down = box_units(self.box_format, size)
        unit = f"x from 0 (left) to {across} (right), y from 0 (top) to {down} (bottom)"
        product = name_to_text(self.spec.product.name)
        lines = [
            f"This is a photo of a product: {product}. Answer every question by what is seen, as "
            "one JSON object and nothing else, with the names in quotes as its keys.",
            f"A box is [x1, y1, x2, y2] around one thing, {unit}. Boxes, and what belongs to them, come in reading "
            "order: from top to bottom, things that are about level from left to right.",
            *(f"{json.dumps(query.id)}: {self._question_with_form(query)}" for query in queries),
            "The rules:",
            *(f"{_violation_names(constraint)}: {constraint.text}" for constraint in self.spec.constraints),
        ]
        return "\n".join(lines)

    def _question_with_form(self, query: Subquery) -> str:
        form = {
            "locate": "A list of boxes, [] if there is none.",
            "attribute": f"A list with one of {', '.join(query.options)} for each, [] if there is none.",
            "orientation": (
                "A list with the angle of each in whole degrees from 0 to below "
                f"{period_of_options(query.options)}, counterclockwise; 0 is as it lies on a good product. [] if there "
                "is none."
            ),
            "verdict": "A list of the names of rules that are broken, [] if all hold.",
        }
        return f"{canonical_question(query, self.spec)} {form[query.kind]}"

    def _parse_json(self, text: str, size: Size) -> dict[str, Answer]:
        try:
            values = json.loads(_strip_fence(text))
        except (ValueError, RecursionError):
            return {}
        if not isinstance(values, dict):
            return {}
        answers = {
            query.id: _parse_value(query, values.get(query.id), self.box_format, size)
            for query in decompose(self.spec)
        }  # fmt: skip
        return {query: answer for query, answer in answers.items() if answer is not None}

    def _parse_lines(self, text: str, size: Size) -> dict[str, Answer]:
        parsed = answer_format.parse_answers(decode_boxes(text.strip(), self.box_format, size))
        invalid = {line.removeprefix(answer_format.PREFIX).partition(" = ")[0] for line in parsed.invalid_lines}
        return {answer.query: answer for answer in parsed.answers if answer.query not in invalid}


def _violation_names(constraint: Constraint) -> str:
    return " or ".join(dict.fromkeys(constraint.violation_name(mode) for mode in constraint.failure_modes))


def _answer_head(query: Subquery, mode: PromptMode) -> str:
    return json.dumps(query.id) if mode is PromptMode.json else f"{answer_format.PREFIX}{query.id} = "


def _strip_fence(text: str) -> str:
    """Remove the Markdown fence that models often put around JSON."""
    fenced = re.fullmatch(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", text, flags=re.DOTALL)
    return fenced[1] if fenced else text


def _parse_value(query: Subquery, value: object, box_format: BoxFormat, size: Size) -> Answer | None:
    """Parse the value of a key; None for an invalid one."""
    if not isinstance(value, list):
        return None
    if query.kind == "orientation":
        period, integers = period_of_options(query.options), [v for v in value if type(v) is int]
        angles = tuple(angle_to_text(angle, period) for angle in integers)
        return Answer(query.id, angles) if len(integers) == len(value) else None
    if query.kind != "locate":
        names = tuple(name for name in value if isinstance(name, str))
        ordered = tuple(sorted(set(names))) if query.kind == "verdict" else names
        return Answer(query.id, ordered) if len(names) == len(value) else None
    boxes = [_parse_box(edges, box_format, size) for edges in value]
    valid = tuple(box for box in boxes if box is not None)
    return Answer(query.id, boxes=valid) if len(valid) == len(boxes) else None


def _parse_box(value: object, box_format: BoxFormat, size: Size) -> Box | None:
    if not isinstance(value, list) or len(value) != 4:
        return None
    if not all(isinstance(edge, int | float) and not isinstance(edge, bool) and math.isfinite(edge) for edge in value):
        return None
    units = box_units(box_format, size)
    x1, y1, x2, y2 = (float(edge) / units[axis % 2] * size[axis % 2] for axis, edge in enumerate(value))
    return Box(x1, y1, x2, y2)


def _is_valid(query: Subquery, answer: Answer, max_items: int) -> bool:
    """Tell whether an answer has at most `max_items` items, all of them among the options."""
    if query.kind == "locate":
        return len(answer.boxes) <= max_items and not answer.values
    if query.kind == "orientation":
        is_option = all(is_angle(value, period_of_options(query.options)) for value in answer.values)
        return is_option and not answer.boxes and len(answer.values) <= max_items
    is_option = set(answer.values) <= set(query.options) and not answer.boxes
    return is_option and len(answer.values) <= (len(query.options) if query.kind == "verdict" else max_items)


def _confidence(query: Subquery, head: str, heads: Sequence[str], tokens: Sequence[TokenProbability]) -> float:
    """Compute the probability of the answer's tokens; for boxes without their coordinates. 1 without probabilities."""
    text = "".join(token.text for token in tokens)
    start = text.find(head) + len(head) if head in text else 0
    end = min((place for other in heads if (place := text.find(other, start)) >= 0), default=len(text))
    probability, at = 1.0, 0
    for token in tokens:
        is_inside = at < end and at + len(token.text) > start
        at += len(token.text)
        word = token.text.strip()
        if is_inside and word and not (query.kind == "locate" and re.search(r"[\d.]", word)):
            probability *= token.probability
    return probability
