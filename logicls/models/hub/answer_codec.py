"""Answers ↔ text of a hub model: one canonical line of the trail, with boxes as the model's family writes them.

The grammar of a question holds every answer that there may be and nothing else, so that what a model says within it can
always be read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from logicls import answer_format
from logicls.models.box_formats import BoxFormat, Size, decode_boxes, encode_boxes
from logicls.models.hub.chat_template import ChatFormat
from logicls.records import Answer, Subquery

EDGE_PLACEHOLDER = re.compile(r"\{[xy][12]\}")


@dataclass(frozen=True, slots=True)
class HubAnswerCodec:
    """Answers of one model."""

    box_format: BoxFormat
    chat_format: ChatFormat
    tokenizer: Any

    def encode(self, answer: Answer, size: Size) -> str:
        """The text of an answer. `size`: (width, height) of the picture that its boxes lie on."""
        return self.chat_format.format_answer(
            encode_boxes(answer_format.format_answers([answer]), self.box_format, size)
        )

    def decode(self, text: str, size: Size) -> Answer | None:
        """The answer in a text; None where there is not exactly one."""
        found = answer_format.parse_answers(decode_boxes(text.strip(), self.box_format, size))
        return found.answers[0] if len(found.answers) == 1 and not found.invalid_lines else None

    def tokenize(self, text: str) -> list[int]:
        """Tokens of a text that another one stands before."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The other way round."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def answer_prefix(self, query: Subquery) -> str:
        """What every answer to the question begins with."""
        return self.chat_format.format_answer(f"{answer_format.PREFIX}{query.id} = ")

    def make_grammar(self, query: Subquery, max_items: int) -> str:
        """Every answer with at most `most` boxes or values, as a grammar of llguidance (Lark's notation)."""
        head = json.dumps(self.answer_prefix(query), ensure_ascii=False)
        head = f"start: {head} (NONE | some)\nNONE: {json.dumps(answer_format.NONE)}\n"
        match query.kind:
            case "locate":
                return head + self._boxes(max_items)
            case "attribute":
                return head + f'some: VALUE ( ", " VALUE ){{0,{max_items - 1}}}\nVALUE: {_any(query.options)}\n'
            case "verdict":
                return head + _subsets(query.options)
            case _:
                assert_never(query.kind)

    def _boxes(self, most: int) -> str:
        special = {str(token) for token in self.tokenizer.get_added_vocab()}
        between = json.dumps(self.box_format.separator)
        form = " ".join(_term(piece, special) for piece in _pieces(self.box_format.template, special))
        more = f"( {between} box ){{0,{most - 1}}}" if self.box_format.separator else f"box{{0,{most - 1}}}"
        return f"some: box {more}\nbox: {form}\nEDGE: /{_number(self.box_format)}/\n"


def _any(options: Sequence[str]) -> str:
    return " | ".join(json.dumps(option) for option in options)


def _subsets(options: Sequence[str]) -> str:
    """Rules for some of the options, each at most once and in alphabetical order, as the trail names violations."""
    names = sorted(options)
    lines = ["some: from0"]
    for number, name in enumerate(names):
        last = number + 1 == len(names)
        lines.append(f"from{number}: {json.dumps(name)} rest{number}" + ("" if last else f" | from{number + 1}"))
        lines.append(f"rest{number}:" + (' ""' if last else f' "" | ", " from{number + 1}'))
    return "\n".join(lines) + "\n"


def _pieces(form: str, special: set[str]) -> list[str]:
    """The form of a box cut at its edges and at special tokens."""
    marks = sorted((token for token in special if token in form), key=len, reverse=True)
    pattern = "|".join([EDGE_PLACEHOLDER.pattern, *map(re.escape, marks)])
    return [piece for piece in re.split(f"({pattern})", form) if piece]


def _term(piece: str, special: set[str]) -> str:
    if EDGE_PLACEHOLDER.fullmatch(piece):
        return "EDGE"
    return piece if piece in special else json.dumps(piece)


def _number(coordinates: BoxFormat) -> str:
    """A regular expression for one edge, without zeros before it. What is beyond the photo is cut off when read."""
    if coordinates.decimals:
        whole = "0" if coordinates.bins == 1 else "0|[1-9][0-9]{0,4}"
        fraction = rf"({whole})\.[0-9]{{{coordinates.decimals}}}"
        return rf"{fraction}|1\.0{{{coordinates.decimals}}}" if coordinates.bins == 1 else fraction
    if coordinates.digits:
        return f"[0-9]{{{coordinates.digits}}}"
    if not coordinates.bins:
        return "0|[1-9][0-9]{0,4}"
    digits = len(str(coordinates.max_value))
    if coordinates.max_value == 10 ** (digits - 1):
        return f"0|[1-9][0-9]{{0,{digits - 2}}}|{coordinates.max_value}"
    return f"0|[1-9][0-9]{{0,{digits - 1}}}"
