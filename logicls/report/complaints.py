"""Errors as people see them: every problem, its place in the file with a caret, and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from logicls.constraints.load import caret
from logicls.constraints.yaml_tree import MAX_BYTES
from logicls.errors import LogiClsError, Problem

FAILED = 2
"""Exit code of a command that could not do its work."""


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show errors of the user's making without a traceback, and end with exit code 2."""
    try:
        yield
    except LogiClsError as error:
        show(error.problems)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped; the same command goes on from here")
        sys.exit(130)


def show(problems: Iterable[Problem]) -> None:
    """Print problems to standard error, those in a YAML file with the line they point at."""
    screen = Console(stderr=True)
    for problem in problems:
        screen.print(Text(str(problem)), soft_wrap=True)
        text = _source(Path(problem.file)) if problem.file and problem.line else None
        if text is not None:
            screen.print(Text(caret(problem, text), style="dim"), soft_wrap=True)


def _source(path: Path) -> str | None:
    """The text of a YAML file; None for any other, and for one that could not be read in the first place."""
    try:
        if path.suffix not in (".yaml", ".yml") or path.stat().st_size > MAX_BYTES:
            return None
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return None
