"""Text format of answers: one canonical line per answer between lines of free text.

    @ locate:fruit_icon = [150.0 398.0 203.0 445.0]
    @ attribute:juice.colour = yellow
    @ verdict = none

`parse_answers(format_answers(answers)).answers == answers` if box edges are multiples of 0.1 pixel and the answers have
no probabilities, which are not written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from logicls.records import Answer, Box

PREFIX = "@ "
"""Start of every line that holds an answer."""
NONE = "none"
"""Value of an answer without boxes and values."""
_BOX = re.compile(r"\[(-?\d+\.\d) (-?\d+\.\d) (-?\d+\.\d) (-?\d+\.\d)\]")
_BOXES = re.compile(rf"{_BOX.pattern}(?: {_BOX.pattern})*")
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


class PromptMode(StrEnum):
    """Format in which a model is asked and answers."""

    json = "json"
    """One prompt with all questions and an answer in JSON, for models that LogiCls did not train."""
    lines = "lines"
    """One prompt per question and an answer of one line, as `logicls train` trains it."""
    chain = "chain"
    """One prompt with all questions and a chain of thought, as other trainers train it with data of `logicls synth`."""


@dataclass(frozen=True, slots=True)
class ParsedAnswers:
    """Answers found in a text."""

    answers: tuple[Answer, ...]
    invalid_lines: tuple[str, ...]
    """Lines with the prefix that cannot be parsed or repeat a query, verbatim."""


def format_answers(answers: Iterable[Answer]) -> str:
    """Write canonical lines, without a final newline. Box edges are rounded to 0.1 pixel."""
    return "\n".join(f"{PREFIX}{answer.query} = {_format_value(answer)}" for answer in answers)


def parse_answers(text: str) -> ParsedAnswers:
    """Parse the answers in a text that may hold free text as well. Never raises: invalid lines are returned."""
    answers: list[Answer] = []
    invalid: list[str] = []
    for line in text.splitlines():
        if not line.startswith(PREFIX):
            continue
        answer = _parse_answer(line[len(PREFIX) :])
        if answer is None or any(answer.query == other.query for other in answers):
            invalid.append(line)
        else:
            answers.append(answer)
    return ParsedAnswers(tuple(answers), tuple(invalid))


def _format_value(answer: Answer) -> str:
    if answer.boxes:
        return " ".join(f"[{b.x1:.1f} {b.y1:.1f} {b.x2:.1f} {b.y2:.1f}]" for b in answer.boxes)
    return ", ".join(answer.values) or NONE


def _parse_answer(line: str) -> Answer | None:
    query, equals, value = line.partition(" = ")
    if not equals or not query or " " in query:
        return None
    if value == NONE:
        return Answer(query)
    if query.startswith("locate:"):
        return Answer(query, boxes=_parse_boxes(value)) if _BOXES.fullmatch(value) else None
    words = tuple(value.split(", "))
    return Answer(query, words) if all(_WORD.fullmatch(word) for word in words) else None


def _parse_boxes(value: str) -> tuple[Box, ...]:
    return tuple(Box(*(float(edge) for edge in match)) for match in _BOX.findall(value))
