"""What can go wrong, and how it is said.

LogiClsError
 ├─ SpecError     the YAML that a person wrote
 ├─ DataError     annotations, images, datasets
 ├─ PhotoError    one photo that cannot be read
 ├─ RecipeError   a training recipe
 └─ BundleError   a trained bundle that cannot be trusted

An error carries every problem found, not only the first. A broken *product* is never an error: it is a
`logicls.records.Finding`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where it is, what it is, and what to do about it."""

    code: str
    """Stable code, `LC` and three digits."""
    message: str
    """What is wrong, quoting what was written."""
    file: str = ""
    line: int = 0
    """Counted from 1; 0 where the place is unknown."""
    column: int = 0
    advice: str = ""
    """What to do, one sentence; empty where nothing useful can be said."""

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}:{self.column}"
        text = f"{self.code} {self.message}"
        if self.advice:
            text += f" {self.advice}"
        return f"{place} {text}" if place else text


class LogiClsError(Exception):
    """Base of every error that is the user's to mend. `problems` holds all of them."""

    def __init__(self, problems: Sequence[Problem] | Problem) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))

    def __reduce__(self) -> tuple[type[LogiClsError], tuple[tuple[Problem, ...]]]:
        """Out of a worker process it comes whole, not as its text."""
        return type(self), (self.problems,)


class SpecError(LogiClsError):
    """The spec cannot be used."""


class DataError(LogiClsError):
    """Annotations, images or a dataset cannot be used."""


class PhotoError(LogiClsError):
    """One photo cannot be read; the run goes on without it."""


class RecipeError(LogiClsError):
    """The training recipe cannot be used."""


class BundleError(LogiClsError):
    """The bundle is damaged, or does not answer as it did when it was made."""


def suggest_name(word: str, candidates: Iterable[str]) -> str:
    """Advice naming the closest known word, or listing the known ones; empty when there are none."""
    names = sorted(set(candidates))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f'Did you mean "{close[0]}"?'
    return f"Known: {', '.join(names)}." if names else ""


def relative_path(path: Path) -> str:
    """`path` as a person would type it: relative to the working folder where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
