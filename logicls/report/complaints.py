"""Errors as people see them: every problem, its place in the file with a caret, and an exit code."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from logicls.codes import level_of
from logicls.constraints.load import caret
from logicls.constraints.yaml_tree import MAX_BYTES
from logicls.errors import LogiClsError, Problem

if TYPE_CHECKING:
    from logicls.data.healed import Healed

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


MAX_HEALED = 20
"""Lines of one kind of healing that are shown; the rest are counted."""


def show(problems: Iterable[Problem]) -> None:
    """Print problems to standard error, those in a YAML file with the line they point at; a note is called one.

    A line that several problems in a row point at stands under the last of them.
    """
    screen = Console(stderr=True)
    listed = list(problems)
    for index, problem in enumerate(listed):
        note = level_of(problem) == "note"
        told = replace(problem, message=f"note: {problem.message}") if note else problem
        screen.print(Text(str(told)), soft_wrap=True)
        if index + 1 == len(listed) or _place(listed[index + 1]) != _place(problem):
            screen.print(Text(_quoted(problem), style="dim"), soft_wrap=True, end="")


def _place(problem: Problem) -> tuple[str, int, int]:
    return problem.file, problem.line, problem.column


def _quoted(problem: Problem) -> str:
    """The line of a YAML file that a problem points at, with a caret; empty for other files."""
    text = _source(Path(problem.file)) if problem.line else None
    lines = caret(problem, text) if text is not None else ""
    return f"{lines}\n" if lines else ""


def _source(path: Path) -> str | None:
    """The text of a YAML file; None for any other, and for one that could not be read in the first place."""
    try:
        if path.suffix not in (".yaml", ".yml") or path.stat().st_size > MAX_BYTES:
            return None
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return None


def counted(problems: Sequence[Problem]) -> str:
    """How many there are: `1 problem, 2 notes`; notes are named only where there are some."""
    notes = sum(level_of(problem) == "note" for problem in problems)
    numbers = [(len(problems) - notes, "problem"), *([(notes, "note")] if notes else [])]
    return ", ".join(f"{number} {word}{'' if number == 1 else 's'}" for number, word in numbers)


def show_healed(healed: Sequence[Healed], out: Path, screen: Console) -> None:
    """Print what was healed, a line each, and where the healed copy is."""
    kinds: dict[str, list[Healed]] = defaultdict(list)
    for one in healed:
        kinds[one.kind].append(one)
    for kind, found in kinds.items():
        lines = [str(one) for one in found[:MAX_HEALED]]
        if len(found) > MAX_HEALED:
            lines.append(f"and {len(found) - MAX_HEALED} more: {kind}")
        screen.print(Text("\n".join(lines)), soft_wrap=True)
    said = f"{out}: {len(healed)} healed; what is named below is for a person to mend" if healed else "nothing to heal"
    screen.print(Text(said), soft_wrap=True)
