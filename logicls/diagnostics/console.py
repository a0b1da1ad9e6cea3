"""Errors as people see them: every problem, its place in the file with a caret, and an exit code.

What `logicls explain` shows: of a spec its rules in plain English, of a code what it means and what to do.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from logicls.constraints.spec.loader import caret
from logicls.constraints.spec.models import Spec
from logicls.constraints.spec.yaml_reader import MAX_BYTES
from logicls.diagnostics.codes import Code, Level, level_of
from logicls.errors import LogiClsError, Problem
from logicls.prompts.templates import question

if TYPE_CHECKING:
    from logicls.data.repair_log import Healed

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


_STYLES: dict[Level, str] = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


def print_rules(spec: Spec, console: Console) -> None:
    """Print each rule, its questions, and the defects that synthesis makes of it."""
    numbers = {query.id: number for number, query in enumerate(spec.questions, 1)}
    for constraint in spec.constraints:
        console.print()
        console.print(Text.assemble((constraint.id, "bold"), f" ({constraint.severity})"))
        _row("holds if", constraint.said, console)
        if constraint.why:
            _row("because", constraint.why, console)
        _row("asks", ", ".join(str(numbers[query.id]) for query in spec.queries[constraint.id]), console)
        for side in constraint.sides:
            _row("defect", f"{constraint.violation_on(side)}: {constraint.rule.how(side)}", console)
        if constraint.unless_broken:
            _row("skipped", "while broken: " + ", ".join(constraint.unless_broken), console)
    console.print()
    for query, number in numbers.items():
        told = next(q for q in spec.questions if q.id == query)
        options = f" ({' / '.join(told.options)})" if told.options else ""
        console.print(Text(f"{number:>3}  {question(told, spec)}{options}"))
    rules, violations = len(spec.constraints), len(spec.violations)
    console.print(f"{rules} rules, {violations} defects; {len(numbers)} questions a photo, and one for the verdict")


def _row(name: str, told: str, console: Console) -> None:
    """A line under a rule; further lines of a long text begin where it does."""
    grid = Table.grid(padding=(0, 1), pad_edge=True)
    grid.add_column(width=10, style="dim")
    grid.add_column(overflow="fold")
    grid.add_row(f" {name}", Text(told))
    console.print(grid)


def print_code(code: Code, console: Console) -> None:
    """Print one entry of the catalogue."""
    console.print(Text.assemble((f"{code.code} {code.title}", "bold"), " (", (code.level, _STYLES[code.level]), ")"))
    console.print(Text(f"\n{code.meaning}"))
    _print_part("For example:", code.example, console)
    console.print(Text(f"\n{code.fix}"))
    if code.mended:
        _print_part("Mended:", code.mended, console)


def _print_part(heading: str, text: str, console: Console) -> None:
    """A piece of a file under its heading, indented; its lines are left whole, so that they can be copied."""
    console.print(Text(f"\n{heading}", style="dim"))
    console.print(Text(indent(text.rstrip("\n").replace("\t", "→   "), "    ")), soft_wrap=True)
