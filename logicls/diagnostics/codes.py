"""The catalogue of codes: what each means, what brings it about, and what to do. `codes.yaml` holds the texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml

from logicls.errors import LogiClsError, Problem, did_you_mean

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Code:
    """One entry of the catalogue."""

    code: str
    """`LC` and three digits."""
    title: str
    """The bad thing, in a few words."""
    level: Level
    """error: the spec or the data cannot be used; warning: `check` ends with exit code 1; note: shown, and no more."""
    meaning: str
    example: str
    """What was written; of a spec often only the part that matters."""
    fix: str
    corrected: str = ""
    """The example without the problem; empty where the example is not (part of) a spec."""


@cache
def catalogue() -> Mapping[str, Code]:
    """Every code, in order."""
    text = (Path(__file__).parent / "codes.yaml").read_text(encoding="utf-8")
    # The C loader where there is one: ten times as fast.
    entries = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {code: Code(code=code, **entry) for code, entry in entries.items()}


def is_code(word: str) -> bool:
    """True for what is meant as a code: `LC021`, `lc21`, `LC-021`."""
    return re.fullmatch(r"lc-?\d+", word, flags=re.IGNORECASE) is not None


def find_code(word: str) -> Code:
    """The code, however it is capitalised. Raises `LogiClsError` where there is none (LC904)."""
    codes = catalogue()
    if word.upper() not in codes:
        raise LogiClsError(Problem("LC904", f'there is no code "{word}".', advice=_suggest_code(word)))
    return codes[word.upper()]


def level_of(problem: Problem) -> Level:
    """How bad the problem is; an error where its code is not in the catalogue."""
    entry = catalogue().get(problem.code)
    return entry.level if entry else "error"


def exit_code(problems: Iterable[Problem]) -> int:
    """Exit code of a check that found these: 1 where one is worse than a note."""
    return 1 if any(level_of(problem) != "note" for problem in problems) else 0


def _suggest_code(word: str) -> str:
    """Advice with the code of that number, or the closest one; all of them would fill the screen."""
    digits = "".join(c for c in word if c.isdigit())
    advice = did_you_mean(f"LC{digits.lstrip('0'):0>3}", catalogue())
    return advice if advice.startswith("Did") else "Codes are LC and three digits."
