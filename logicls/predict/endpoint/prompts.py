"""What a server is asked about a photo, and what its answers say: three manners, for three kinds of models.

A model that knows nothing of LogiCls answers all questions at once, as JSON. One that `logicls train` trained answers
each question by its line, as `logicls.predict.readers.hub` asks it. One that another trainer trained, on what
`logicls synth --format` wrote, answers all questions by its chain of thought.

How a server is asked, as people choose it. Needs neither the network nor torch.

The form of answers, as servers are told it: JSON Schema for all of them, regular expressions for lines.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from logicls import answer_format
from logicls.constraints.checker.decomposition import decompose
from logicls.constraints.families.context import name_to_text
from logicls.constraints.spec.models import Constraint, Spec
from logicls.models.box_formats import BoxFormat, BoxFamily, Size, decode_boxes
from logicls.predict.endpoint.client import TokenProbability
from logicls.prompts.templates import canonical_question
from logicls.records import Answer, Box, Subquery


class PromptMode(StrEnum):
    """How questions are put and answered."""

    json = "json"
    """All at once; the answer is JSON. For a model that knows nothing of LogiCls."""
    lines = "lines"
    """One by one; each answer is a line, as `logicls train` teaches it."""
    chain = "chain"
    """All at once; the answer is a chain of thought, as other trainers teach it by `logicls synth --format`."""


@dataclass(frozen=True, slots=True)
class PromptOptions:
    """How to ask; what is left open follows from the bundle and the model."""

    mode: PromptMode | None = None
    boxes: BoxFamily | None = None


def box_units(coordinates: BoxFormat, size: Size) -> Size:
    """How many units the sides of a picture of that (width, height) have, where boxes are numbers of JSON."""
    return (coordinates.bins, coordinates.bins) if coordinates.bins else size


def answer_schema(
    queries: Sequence[Subquery], box_format: BoxFormat, size: Size, max_items: int
) -> Mapping[str, object]:
    """JSON Schema of an object with an answer to every question."""
    edge: dict[str, object] = {"type": "integer", "minimum": 0, "maximum": max(box_units(box_format, size))}
    if box_format.bins and box_format.decimals:
        edge["type"] = "number"
    box = {"type": "array", "items": edge, "minItems": 4, "maxItems": 4}

    def value(query: Subquery) -> Mapping[str, object]:
        match query.kind:
            case "locate":
                return {"type": "array", "items": box, "maxItems": max_items}
            case "attribute":
                return {"type": "array", "items": {"type": "string", "enum": [*query.options]}, "maxItems": max_items}
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
    """Every line that answers a question; None where the model's boxes have tokens that are no text."""
    head = rf"\s?{escape_regex(f'{answer_format.PREFIX}{query.id} = ')}"
    match query.kind:
        case "locate":
            if re.search(r"<\||<loc", box_format.template):
                return None
            some = _repeated(_box_schema(box_format), escape_regex(box_format.separator), max_items)
        case "attribute":
            some = _repeated(f"({'|'.join(map(escape_regex, query.options))})", ", ", max_items)
        case "verdict":
            some = _subsets(query.options)
        case _:
            assert_never(query.kind)
    return f"{head}({answer_format.NONE}|{some})"


def escape_regex(text: str) -> str:
    """The text as a regular expression, by the signs that every dialect knows."""
    return re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", text)


def _repeated(one: str, between: str, most: int) -> str:
    return f"{one}({between}{one}){{0,{most - 1}}}"


def _box_schema(coordinates: BoxFormat) -> str:
    whole = f"[0-9]{{{coordinates.digits or 1},5}}"
    number = rf"{whole}\.[0-9]{{{coordinates.decimals}}}" if coordinates.decimals else whole
    pieces = re.split(r"\{[xy][12]\}", coordinates.template)
    return number.join(escape_regex(piece) for piece in pieces)


def _subsets(options: Sequence[str]) -> str:
    """Some of the options, each at most once and in alphabetical order, as the trail names violations."""
    names = [escape_regex(name) for name in sorted(options)]
    begun = [name + "".join(f"(, {later})?" for later in names[place + 1 :]) for place, name in enumerate(names)]
    return f"({'|'.join(begun)})"


MAX_ANSWER_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """One request about a photo."""

    text: str
    queries: tuple[Subquery, ...]
    """What it asks for."""
    structure: Mapping[str, object]
    """What makes a server hold the answer to its form, in the words of those that can."""
    max_tokens: int
    """The longest answer that makes sense."""


@dataclass(frozen=True, slots=True)
class RequestBuilder:
    """All that a spec asks about a photo, in one manner."""

    spec: Spec
    mode: PromptMode
    box_format: BoxFormat
    max_items: int
    """Boxes or values of an answer; one with more is none."""

    def build(self, size: Size) -> tuple[EndpointRequest, ...]:
        """The requests about a picture of that (width, height)."""
        queries = decompose(self.spec)
        match self.mode:
            case PromptMode.json:
                structure = {"response_format": {"type": "json_schema", "json_schema": {
                    "name": "answers", "strict": True,
                    "schema": answer_schema(queries, self.box_format, size, self.max_items),
                }}}  # fmt: skip
                return (EndpointRequest(self._instructed(queries, size), queries, structure, self._longest(queries)),)
            case PromptMode.lines:
                return tuple(
                    EndpointRequest(
                        canonical_question(query, self.spec), (query,), self._line(query), self._longest([query])
                    )
                    for query in queries
                )
            case PromptMode.chain:
                text = "\n".join(canonical_question(query, self.spec) for query in queries)
                return (EndpointRequest(text, queries, {}, MAX_ANSWER_TOKENS),)
            case _:
                assert_never(self.manner)

    def parse(
        self, ask: EndpointRequest, text: str, tokens: Sequence[TokenProbability], size: Size
    ) -> tuple[Answer, ...]:
        """The answer to each of its questions, boxes in pixels of the picture. What makes no sense is unreadable."""
        found = self._parsed(text, size) if self.mode is PromptMode.json else self._lines(text, size)
        heads = [_head(query, self.mode) for query in ask.queries]
        answers = []
        for query, head in zip(ask.queries, heads, strict=True):
            answer = found.get(query.id)
            if answer is None or not _sensible(query, answer, self.max_items):
                answers.append(Answer(query.id, readable=False, confidence=0.0))
            else:
                answers.append(replace(answer, confidence=_confidence(query, head, heads, tokens)))
        return tuple(answers)

    def _line(self, query: Subquery) -> dict[str, object]:
        pattern = answer_regex(query, self.box_format, self.max_items)
        return {} if pattern is None else {"structured_outputs": {"regex": pattern}, "regex": pattern}

    def _longest(self, queries: Sequence[Subquery]) -> int:
        boxes = sum(query.kind == "locate" for query in queries) * self.max_items
        return min(MAX_ANSWER_TOKENS, 128 + 64 * len(queries) + 32 * boxes + 8 * self.max_items * len(queries))

    def _instructed(self, queries: Sequence[Subquery], size: Size) -> str:
        across, down = box_units(self.box_format, size)
        unit = f"x from 0 (left) to {across} (right), y from 0 (top) to {down} (bottom)"
        lines = [
            f"This is a photo of a product: {name_to_text(self.spec.product.name)}. Answer every question by what is seen, as "
            "one JSON object and nothing else, with the names in quotes as its keys.",
            f"A box is [x1, y1, x2, y2] around one thing, {unit}. Boxes, and what belongs to them, come in reading "
            "order: from top to bottom, things that are about level from left to right.",
            *(f"{json.dumps(query.id)}: {self._asked(query)}" for query in queries),
            "The rules:",
            *(f"{_names(constraint)}: {constraint.text}" for constraint in self.spec.constraints),
        ]
        return "\n".join(lines)

    def _asked(self, query: Subquery) -> str:
        form = {
            "locate": "A list of boxes, [] if there is none.",
            "attribute": f"A list with one of {', '.join(query.options)} for each, [] if there is none.",
            "verdict": "A list of the names of rules that are broken, [] if all hold.",
        }
        return f"{canonical_question(query, self.spec)} {form[query.kind]}"

    def _parsed(self, text: str, size: Size) -> dict[str, Answer]:
        try:
            said = json.loads(_unfenced(text))
        except (ValueError, RecursionError):
            return {}
        if not isinstance(said, dict):
            return {}
        made = {query.id: _answer(query, said.get(query.id), self.box_format, size) for query in decompose(self.spec)}
        return {query: answer for query, answer in made.items() if answer is not None}

    def _lines(self, text: str, size: Size) -> dict[str, Answer]:
        said = answer_format.parse_answers(decode_boxes(text.strip(), self.box_format, size))
        strange = {line.removeprefix(answer_format.PREFIX).partition(" = ")[0] for line in said.invalid_lines}
        return {answer.query: answer for answer in said.answers if answer.query not in strange}


def _names(constraint: Constraint) -> str:
    return " or ".join(dict.fromkeys(constraint.violation_name(side) for side in constraint.failure_modes))


def _head(query: Subquery, manner: PromptMode) -> str:
    return json.dumps(query.id) if manner is PromptMode.json else f"{answer_format.PREFIX}{query.id} = "


def _unfenced(text: str) -> str:
    """The text without the fence that models like to put around JSON."""
    fenced = re.fullmatch(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", text, flags=re.DOTALL)
    return fenced[1] if fenced else text


def _answer(query: Subquery, said: object, coordinates: BoxFormat, size: Size) -> Answer | None:
    """What the value of a key says; None where it makes no sense."""
    if not isinstance(said, list):
        return None
    if query.kind != "locate":
        names = tuple(name for name in said if isinstance(name, str))
        ordered = tuple(sorted(set(names))) if query.kind == "verdict" else names
        return Answer(query.id, ordered) if len(names) == len(said) else None
    boxes = [_box(edges, coordinates, size) for edges in said]
    whole = tuple(box for box in boxes if box is not None)
    return Answer(query.id, boxes=whole) if len(whole) == len(boxes) else None


def _box(said: object, coordinates: BoxFormat, size: Size) -> Box | None:
    if not isinstance(said, list) or len(said) != 4:
        return None
    if not all(isinstance(edge, int | float) and not isinstance(edge, bool) and math.isfinite(edge) for edge in said):
        return None
    units = box_units(coordinates, size)
    x1, y1, x2, y2 = (float(edge) / units[axis % 2] * size[axis % 2] for axis, edge in enumerate(said))
    return Box(x1, y1, x2, y2)


def _sensible(query: Subquery, answer: Answer, most: int) -> bool:
    """False for too many, and for what is none of the options."""
    if query.kind == "locate":
        return len(answer.boxes) <= most and not answer.values
    known = set(answer.values) <= set(query.options) and not answer.boxes
    return known and len(answer.values) <= (len(query.options) if query.kind == "verdict" else most)


def _confidence(query: Subquery, head: str, heads: Sequence[str], tokens: Sequence[TokenProbability]) -> float:
    """Probability of the answer's words; of boxes, that there are so many, not where they lie. 1 where none is told."""
    text = "".join(token.text for token in tokens)
    begin = text.find(head) + len(head) if head in text else 0
    end = min((place for other in heads if (place := text.find(other, begin)) >= 0), default=len(text))
    chance, at = 1.0, 0
    for token in tokens:
        inside = at < end and at + len(token.text) > begin
        at += len(token.text)
        word = token.text.strip()
        if inside and word and not (query.kind == "locate" and re.search(r"[\d.]", word)):
            chance *= token.probability
    return chance
