"""What a server is asked about a photo, and what its answers say: three manners, for three kinds of models.

A model that knows nothing of LogiCls answers all questions at once, as JSON. One that `logicls train` trained answers
each question by its line, as `logicls.predict.read.hub_pass` asks it. One that another trainer trained, on what
`logicls synth --format` wrote, answers all questions by its chain of thought.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from logicls import trail
from logicls.constraints.decompose import decompose
from logicls.constraints.reading import words
from logicls.constraints.spec import Constraint, Spec
from logicls.models.coordinates import Coordinates, Size, back
from logicls.predict.endpoint.chat import Token
from logicls.predict.endpoint.manner import Manner
from logicls.predict.endpoint.shape import regex_of, schema_of, units_of
from logicls.records import Answer, Box, Subquery
from logicls.synth.write import question

MOST_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class Ask:
    """One request about a photo."""

    text: str
    queries: tuple[Subquery, ...]
    """What it asks for."""
    structure: Mapping[str, object]
    """What makes a server hold the answer to its form, in the words of those that can."""
    tokens: int
    """The longest answer that makes sense."""


@dataclass(frozen=True, slots=True)
class Asks:
    """All that a spec asks about a photo, in one manner."""

    spec: Spec
    manner: Manner
    coordinates: Coordinates
    most: int
    """Boxes or values of an answer; one with more is none."""

    def of(self, size: Size) -> tuple[Ask, ...]:
        """The requests about a picture of that (width, height)."""
        queries = decompose(self.spec)
        match self.manner:
            case Manner.json:
                structure = {"response_format": {"type": "json_schema", "json_schema": {
                    "name": "answers", "strict": True,
                    "schema": schema_of(queries, self.coordinates, size, self.most),
                }}}  # fmt: skip
                return (Ask(self._instructed(queries, size), queries, structure, self._longest(queries)),)
            case Manner.lines:
                return tuple(
                    Ask(question(query, self.spec), (query,), self._line(query), self._longest([query]))
                    for query in queries
                )
            case Manner.chain:
                text = "\n".join(question(query, self.spec) for query in queries)
                return (Ask(text, queries, {}, MOST_TOKENS),)
            case _:
                assert_never(self.manner)

    def read(self, ask: Ask, text: str, tokens: Sequence[Token], size: Size) -> tuple[Answer, ...]:
        """The answer to each of its questions, boxes in pixels of the picture. What makes no sense is unreadable."""
        found = self._parsed(text, size) if self.manner is Manner.json else self._lines(text, size)
        heads = [_head(query, self.manner) for query in ask.queries]
        answers = []
        for query, head in zip(ask.queries, heads, strict=True):
            answer = found.get(query.id)
            if answer is None or not _sensible(query, answer, self.most):
                answers.append(Answer(query.id, readable=False, confidence=0.0))
            else:
                answers.append(replace(answer, confidence=_confidence(query, head, heads, tokens)))
        return tuple(answers)

    def _line(self, query: Subquery) -> dict[str, object]:
        pattern = regex_of(query, self.coordinates, self.most)
        return {} if pattern is None else {"structured_outputs": {"regex": pattern}, "regex": pattern}

    def _longest(self, queries: Sequence[Subquery]) -> int:
        boxes = sum(query.kind == "locate" for query in queries) * self.most
        return min(MOST_TOKENS, 128 + 64 * len(queries) + 32 * boxes + 8 * self.most * len(queries))

    def _instructed(self, queries: Sequence[Subquery], size: Size) -> str:
        across, down = units_of(self.coordinates, size)
        unit = f"x from 0 (left) to {across} (right), y from 0 (top) to {down} (bottom)"
        lines = [
            f"This is a photo of a product: {words(self.spec.product.name)}. Answer every question by what is seen, as "
            "one JSON object and nothing else, with the names in quotes as its keys.",
            f"A box is [x1, y1, x2, y2] around one thing, {unit}. Boxes, and what belongs to them, come in reading "
            "order: from top to bottom, things that are about level from left to right.",
            *(f"{json.dumps(query.id)}: {self._asked(query)}" for query in queries),
            "The rules:",
            *(f"{_names(constraint)}: {constraint.said}" for constraint in self.spec.constraints),
        ]
        return "\n".join(lines)

    def _asked(self, query: Subquery) -> str:
        form = {
            "locate": "A list of boxes, [] if there is none.",
            "attribute": f"A list with one of {', '.join(query.options)} for each, [] if there is none.",
            "verdict": "A list of the names of rules that are broken, [] if all hold.",
        }
        return f"{question(query, self.spec)} {form[query.kind]}"

    def _parsed(self, text: str, size: Size) -> dict[str, Answer]:
        try:
            said = json.loads(_unfenced(text))
        except (ValueError, RecursionError):
            return {}
        if not isinstance(said, dict):
            return {}
        made = {query.id: _answer(query, said.get(query.id), self.coordinates, size) for query in decompose(self.spec)}
        return {query: answer for query, answer in made.items() if answer is not None}

    def _lines(self, text: str, size: Size) -> dict[str, Answer]:
        said = trail.read(back(text.strip(), self.coordinates, size))
        strange = {line.removeprefix(trail.MARK).partition(" = ")[0] for line in said.strange}
        return {answer.query: answer for answer in said.answers if answer.query not in strange}


def _names(constraint: Constraint) -> str:
    return " or ".join(dict.fromkeys(constraint.violation_on(side) for side in constraint.sides))


def _head(query: Subquery, manner: Manner) -> str:
    return json.dumps(query.id) if manner is Manner.json else f"{trail.MARK}{query.id} = "


def _unfenced(text: str) -> str:
    """The text without the fence that models like to put around JSON."""
    fenced = re.fullmatch(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", text, flags=re.DOTALL)
    return fenced[1] if fenced else text


def _answer(query: Subquery, said: object, coordinates: Coordinates, size: Size) -> Answer | None:
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


def _box(said: object, coordinates: Coordinates, size: Size) -> Box | None:
    if not isinstance(said, list) or len(said) != 4:
        return None
    if not all(isinstance(edge, int | float) and not isinstance(edge, bool) and math.isfinite(edge) for edge in said):
        return None
    units = units_of(coordinates, size)
    x1, y1, x2, y2 = (float(edge) / units[axis % 2] * size[axis % 2] for axis, edge in enumerate(said))
    return Box(x1, y1, x2, y2)


def _sensible(query: Subquery, answer: Answer, most: int) -> bool:
    """False for too many, and for what is none of the options."""
    if query.kind == "locate":
        return len(answer.boxes) <= most and not answer.values
    known = set(answer.values) <= set(query.options) and not answer.boxes
    return known and len(answer.values) <= (len(query.options) if query.kind == "verdict" else most)


def _confidence(query: Subquery, head: str, heads: Sequence[str], tokens: Sequence[Token]) -> float:
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
            chance *= token.chance
    return chance
