"""The trail: answers as text, and back. One canonical line an answer; everything else on the page is prose.

    @ locate:fruit_icon = [150.0 398.0 203.0 445.0]
    @ attribute:juice.colour = yellow
    @ verdict = none

`read(write(answers)) == answers` for answers with boxes on tenths of a pixel, but for their confidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from logicls.records import Answer, Box

PREFIX = "@ "
NONE = "none"
_BOX = re.compile(r"\[(-?\d+\.\d) (-?\d+\.\d) (-?\d+\.\d) (-?\d+\.\d)\]")
_BOXES = re.compile(rf"{_BOX.pattern}(?: {_BOX.pattern})*")
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class ParsedAnswers:
    """What a text says."""

    answers: tuple[Answer, ...]
    invalid_lines: tuple[str, ...]
    """Marked lines that could not be read, as they stand."""


def format_answers(answers: Iterable[Answer]) -> str:
    """Canonical lines, without a final newline. Boxes are rounded to tenths of a pixel."""
    return "\n".join(f"{PREFIX}{answer.query} = {_value(answer)}" for answer in answers)


def parse_answers(text: str) -> ParsedAnswers:
    """The answers in a text that may hold prose as well. Never raises: what makes no sense is returned as strange."""
    answers: list[Answer] = []
    strange: list[str] = []
    for line in text.splitlines():
        if not line.startswith(PREFIX):
            continue
        answer = _answer(line[len(PREFIX) :])
        if answer is None or any(answer.query == other.query for other in answers):
            strange.append(line)
        else:
            answers.append(answer)
    return ParsedAnswers(tuple(answers), tuple(strange))


def _value(answer: Answer) -> str:
    if answer.boxes:
        return " ".join(f"[{b.x1:.1f} {b.y1:.1f} {b.x2:.1f} {b.y2:.1f}]" for b in answer.boxes)
    return ", ".join(answer.values) or NONE


def _answer(line: str) -> Answer | None:
    query, equals, value = line.partition(" = ")
    if not equals or not query or " " in query:
        return None
    if value == NONE:
        return Answer(query)
    if query.startswith("locate:"):
        return Answer(query, boxes=_boxes(value)) if _BOXES.fullmatch(value) else None
    words = tuple(value.split(", "))
    return Answer(query, words) if all(_WORD.fullmatch(word) for word in words) else None


def _boxes(value: str) -> tuple[Box, ...]:
    return tuple(Box(*(float(edge) for edge in match)) for match in _BOX.findall(value))
