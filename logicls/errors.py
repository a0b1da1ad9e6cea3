"""Exceptions for errors that the user can correct, and the problems they report.

LogiClsError
 ├─ SpecError       a spec (YAML) is invalid
 ├─ DataError       annotations, images or a dataset are invalid
 ├─ PhotoError      one photo cannot be read
 ├─ RecipeError     a training recipe is invalid
 ├─ BundleError     a trained bundle is damaged or incompatible
 └─ InferenceError  the model cannot run on this machine

An error reports every problem found, not only the first. A broken rule on a *product* is never an error: it is a
`logicls.records.Finding`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: its location, its description and advice."""

    code: str
    """Stable code, `LC` and three digits."""
    message: str
    """Description of the problem, quoting the invalid text."""
    file: str = ""
    line: int = 0
    """Line number, from 1; 0 if the location is unknown."""
    column: int = 0
    """Column number, from 1; 0 if the location is unknown."""
    advice: str = ""
    """Remedy in one sentence; may be empty."""

    def __str__(self) -> str:
        location = self.file
        if self.line:
            location += f":{self.line}:{self.column}"
        text = f"{self.code} {self.message}"
        if self.advice:
            text += f" {self.advice}"
        return f"{location} {text}" if location else text


class LogiClsError(Exception):
    """Base class of all errors that the user can correct. `problems` holds every problem found."""

    def __init__(self, problems: Sequence[Problem] | Problem) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))

    def __reduce__(self) -> tuple[type[LogiClsError], tuple[tuple[Problem, ...]]]:
        """Pickle the problems: an error raised in a worker process keeps them, not only its text."""
        return type(self), (self.problems,)


class SpecError(LogiClsError):
    """A spec is invalid."""


class DataError(LogiClsError):
    """Annotations, images or a dataset are invalid."""


class PhotoError(LogiClsError):
    """One photo cannot be read; the run continues without it."""


class RecipeError(LogiClsError):
    """A training recipe is invalid."""


class BundleError(LogiClsError):
    """A trained bundle is damaged, or its predictions differ from those recorded when it was saved."""


class InferenceError(LogiClsError):
    """The model cannot run on this machine: out of memory, or a fault of the GPU. Nothing is written for the photo."""


def suggest_name(word: str, candidates: Iterable[str]) -> str:
    """Advise the valid name closest to `word`, or list the valid names; empty if there are none."""
    names = sorted(set(candidates))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f'Did you mean "{close[0]}"?'
    return f"Available: {', '.join(names)}." if names else ""


def relative_path(path: Path) -> str:
    """Return `path` as a user would type it: relative to the working directory if it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def count_text(count: int, noun: str, plural: str | None = None) -> str:
    """Return a count with its noun: `1 photo`, `2 photos`, `1,204 photos`. `plural` is for irregular nouns."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
