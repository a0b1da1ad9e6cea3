"""Conversion between answers and text of a hub model: one canonical answer line, with boxes in the family's format.

The grammar of a question contains exactly the possible answers, so that text generated within it can always be parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from transformers import PreTrainedTokenizerBase

from logicls import answer_format
from logicls.constraints.families.angles import angle_pattern, period_of_options
from logicls.models.box_formats import BoxFormat, Size, decode_boxes, encode_boxes
from logicls.models.hub.chat_template import ChatFormat
from logicls.records import Answer, Subquery

EDGE_PLACEHOLDER = re.compile(r"\{[xy][12]\}")


@dataclass(frozen=True, slots=True)
class HubAnswerCodec:
    """Answers of one model as text."""

    box_format: BoxFormat
    chat_format: ChatFormat
    tokenizer: PreTrainedTokenizerBase

    def encode(self, answer: Answer, size: Size) -> str:
        """Write an answer as text. `size`: (width, height) of the image whose pixels its boxes are in."""
        line = encode_boxes(answer_format.format_answers([answer]), self.box_format, size)
        return self.chat_format.format_answer(line)

    def decode(self, text: str, size: Size) -> Answer | None:
        """Parse the answer in a text; None unless there is exactly one."""
        parsed = answer_format.parse_answers(decode_boxes(text.strip(), self.box_format, size))
        return parsed.answers[0] if len(parsed.answers) == 1 and not parsed.invalid_lines else None

    def tokenize(self, text: str) -> list[int]:
        """Tokenize a text that continues another one."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, special tokens included."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def answer_prefix(self, query: Subquery) -> str:
        """Return the text with which every answer to the question begins."""
        return self.chat_format.format_answer(f"{answer_format.PREFIX}{query.id} = ")

    def make_grammar(self, query: Subquery, max_items: int) -> str:
        """Write all answers with at most `max_items` boxes or values as a grammar of llguidance (Lark's notation)."""
        prefix = json.dumps(self.answer_prefix(query), ensure_ascii=False)
        start = f"start: {prefix} (NONE | items)\nNONE: {json.dumps(answer_format.NONE)}\n"
        match query.kind:
            case "locate":
                return start + self._box_rules(max_items)
            case "attribute" | "appearance":
                value = _alternatives(query.options)
                return start + f'items: VALUE ( ", " VALUE ){{0,{max_items - 1}}}\nVALUE: {value}\n'
            case "orientation":
                value = f"/{angle_pattern(period_of_options(query.options))}/"
                return start + f'items: VALUE ( ", " VALUE ){{0,{max_items - 1}}}\nVALUE: {value}\n'
            case "verdict":
                return start + _subset_rules(query.options)
            case _:
                assert_never(query.kind)

    def _box_rules(self, max_items: int) -> str:
        special = {str(token) for token in self.tokenizer.get_added_vocab()}
        separator, template = self.box_format.separator, self.box_format.template
        box = " ".join(_terminal(piece, special) for piece in _split_template(template, special))
        repeated = f"( {json.dumps(separator)} box )" if separator else "box"
        more = f"{repeated}{{0,{max_items - 1}}}"
        return f"items: box {more}\nbox: {box}\nEDGE: /{_edge_pattern(self.box_format)}/\n"


def _alternatives(options: Sequence[str]) -> str:
    return " | ".join(json.dumps(option) for option in options)


def _subset_rules(options: Sequence[str]) -> str:
    """Write rules for the non-empty subsets of the options, in alphabetical order as answers list violations."""
    names = sorted(options)
    lines = ["items: from0"]
    for number, name in enumerate(names):
        last = number + 1 == len(names)
        lines.append(f"from{number}: {json.dumps(name)} rest{number}" + ("" if last else f" | from{number + 1}"))
        lines.append(f"rest{number}:" + (' ""' if last else f' "" | ", " from{number + 1}'))
    return "\n".join(lines) + "\n"


def _split_template(template: str, special: set[str]) -> list[str]:
    """Split the template of a box at its edges and at special tokens."""
    tokens = sorted((token for token in special if token in template), key=len, reverse=True)
    pattern = "|".join([EDGE_PLACEHOLDER.pattern, *map(re.escape, tokens)])
    return [piece for piece in re.split(f"({pattern})", template) if piece]


def _terminal(piece: str, special: set[str]) -> str:
    if EDGE_PLACEHOLDER.fullmatch(piece):
        return "EDGE"
    return piece if piece in special else json.dumps(piece)


def _edge_pattern(box_format: BoxFormat) -> str:
    """Write a regular expression for one edge, without leading zeros. Edges outside the photo are clipped later."""
    if box_format.decimals:
        integer = "0" if box_format.bins == 1 else "0|[1-9][0-9]{0,4}"
        fraction = rf"({integer})\.[0-9]{{{box_format.decimals}}}"
        return rf"{fraction}|1\.0{{{box_format.decimals}}}" if box_format.bins == 1 else fraction
    if box_format.digits:
        return f"[0-9]{{{box_format.digits}}}"
    if not box_format.bins:
        return "0|[1-9][0-9]{0,4}"
    digits = len(str(box_format.max_value))
    if box_format.max_value == 10 ** (digits - 1):
        return f"0|[1-9][0-9]{{0,{digits - 2}}}|{box_format.max_value}"
    return f"0|[1-9][0-9]{{0,{digits - 1}}}"
