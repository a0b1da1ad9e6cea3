"""Catalogue of error codes: meaning, example and fix of each code. The texts are in `codes.yaml`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from logicls.errors import LogiClsError, Problem, suggest_name

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Code:
    """Entry of the catalogue."""

    code: str
    """`LC` and three digits."""
    title: str
    """Short name of the problem."""
    level: Level
    """error: the spec or the data cannot be used; warning: `check` ends with exit code 1; note: information only."""
    meaning: str
    example: str
    """Input with this problem; of a spec often only the relevant part."""
    fix: str
    corrected: str = ""
    """The example without the problem; empty if the example is not (part of) a spec."""


@cache
def catalogue() -> Mapping[str, Code]:
    """Return every code with its entry, in ascending order."""
    import yaml

    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    # The C loader is ten times as fast; it is missing in some builds of PyYAML.
    entries = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {code: Code(code=code, **entry) for code, entry in entries.items()}


def is_code(word: str) -> bool:
    """Return whether a word is meant as a code: `LC021`, `lc21`, `LC-021`."""
    return re.fullmatch(r"lc-?\d+", word, flags=re.IGNORECASE) is not None


def find_code(word: str) -> Code:
    """Return the entry of a code, ignoring case.

    Raises:
        LogiClsError: There is no such code (LC904).
    """
    codes = catalogue()
    if word.upper() not in codes:
        raise LogiClsError(Problem("LC904", f'there is no code "{word}".', advice=_suggest_code(word)))
    return codes[word.upper()]


def level_of(problem: Problem) -> Level:
    """Return the severity level of a problem; "error" if its code is not in the catalogue."""
    entry = catalogue().get(problem.code)
    return entry.level if entry else "error"


def exit_code(problems: Iterable[Problem]) -> int:
    """Return the exit code of a check with these problems: 1 if any is more severe than a note, else 0."""
    return 1 if any(level_of(problem) != "note" for problem in problems) else 0


def _suggest_code(word: str) -> str:
    """Return advice that names the code with the same number, or the most similar one."""
    digits = "".join(c for c in word if c.isdigit())
    advice = suggest_name(f"LC{digits.lstrip('0'):0>3}", catalogue())
    return advice if advice.startswith("Did") else "Codes consist of LC and three digits."
