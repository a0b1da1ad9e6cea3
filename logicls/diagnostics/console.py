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

from logicls.constraints.spec.loader import format_caret
from logicls.constraints.spec.models import Spec
from logicls.constraints.spec.yaml_reader import MAX_BYTES
from logicls.diagnostics.codes import Code, Level, level_of
from logicls.errors import LogiClsError, Problem
from logicls.prompts.templates import canonical_question

if TYPE_CHECKING:
    from logicls.data.repair_log import Healed

EXIT_FAILURE = 2
"""Exit code of a command that could not do its work."""


@contextmanager
def handle_errors() -> Iterator[None]:
    """Show errors of the user's making without a traceback, and end with exit code 2."""
    try:
        yield
    except LogiClsError as error:
        print_problems(error.problems)
        sys.exit(EXIT_FAILURE)
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped; the same command goes on from here")
        sys.exit(130)


MAX_REPAIRS_PER_KIND = 20
"""Lines of one kind of healing that are shown; the rest are counted."""


def print_problems(problems: Iterable[Problem]) -> None:
    """Print problems to standard error, those in a YAML file with the line they point at; a note is called one.

    A line that several problems in a row point at stands under the last of them.
    """
    console = Console(stderr=True)
    problem_list = list(problems)
    for index, problem in enumerate(problem_list):
        note = level_of(problem) == "note"
        labelled = replace(problem, message=f"note: {problem.message}") if note else problem
        console.print(Text(str(labelled)), soft_wrap=True)
        if index + 1 == len(problem_list) or _location(problem_list[index + 1]) != _location(problem):
            console.print(Text(_quote_line(problem), style="dim"), soft_wrap=True, end="")


def _location(problem: Problem) -> tuple[str, int, int]:
    return problem.file, problem.line, problem.column


def _quote_line(problem: Problem) -> str:
    """The line of a YAML file that a problem points at, with a caret; empty for other files."""
    text = _read_source(Path(problem.file)) if problem.line else None
    lines = format_caret(problem, text) if text is not None else ""
    return f"{lines}\n" if lines else ""


def _read_source(path: Path) -> str | None:
    """The text of a YAML file; None for any other, and for one that could not be read in the first place."""
    try:
        if path.suffix not in (".yaml", ".yml") or path.stat().st_size > MAX_BYTES:
            return None
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return None


def format_counts(problems: Sequence[Problem]) -> str:
    """How many there are: `1 problem, 2 notes`; notes are named only where there are some."""
    notes = sum(level_of(problem) == "note" for problem in problems)
    counts = [(len(problems) - notes, "problem"), *([(notes, "note")] if notes else [])]
    return ", ".join(f"{number} {word}{'' if number == 1 else 's'}" for number, word in counts)


def print_repairs(repairs: Sequence[Healed], out: Path, console: Console) -> None:
    """Print what was healed, a line each, and where the healed copy is."""
    by_kind: dict[str, list[Healed]] = defaultdict(list)
    for one in repairs:
        by_kind[one.kind].append(one)
    for kind, same_kind in by_kind.items():
        lines = [str(repair) for repair in same_kind[:MAX_REPAIRS_PER_KIND]]
        if len(same_kind) > MAX_REPAIRS_PER_KIND:
            lines.append(f"and {len(same_kind) - MAX_REPAIRS_PER_KIND} more: {kind}")
        console.print(Text("\n".join(lines)), soft_wrap=True)
    summary = (
        f"{out}: {len(repairs)} healed; what is named below is for a person to mend" if repairs else "nothing to heal"
    )
    console.print(Text(summary), soft_wrap=True)


_STYLES: dict[Level, str] = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


def print_rules(spec: Spec, console: Console) -> None:
    """Print each rule, its questions, and the defects that synthesis makes of it."""
    numbers = {query.id: number for number, query in enumerate(spec.queries, 1)}
    for constraint in spec.constraints:
        console.print()
        console.print(Text.assemble((constraint.id, "bold"), f" ({constraint.severity})"))
        _print_row("holds if", constraint.text, console)
        if constraint.why:
            _print_row("because", constraint.why, console)
        _print_row(
            "asks", ", ".join(str(numbers[query.id]) for query in spec.queries_by_constraint[constraint.id]), console
        )
        for side in constraint.failure_modes:
            _print_row("defect", f"{constraint.violation_name(side)}: {constraint.rule.describe_edit(side)}", console)
        if constraint.unless_broken:
            _print_row("skipped", "while broken: " + ", ".join(constraint.unless_broken), console)
    console.print()
    for query, number in numbers.items():
        question_query = next(q for q in spec.queries if q.id == query)
        options = f" ({' / '.join(question_query.options)})" if question_query.options else ""
        console.print(Text(f"{number:>3}  {canonical_question(question_query, spec)}{options}"))
    rules, violations = len(spec.constraints), len(spec.violations)
    console.print(f"{rules} rules, {violations} defects; {len(numbers)} questions a photo, and one for the verdict")


def _print_row(name: str, text: str, console: Console) -> None:
    """A line under a rule; further lines of a long text begin where it does."""
    grid = Table.grid(padding=(0, 1), pad_edge=True)
    grid.add_column(width=10, style="dim")
    grid.add_column(overflow="fold")
    grid.add_row(f" {name}", Text(text))
    console.print(grid)


def print_code(code: Code, console: Console) -> None:
    """Print one entry of the catalogue."""
    console.print(Text.assemble((f"{code.code} {code.title}", "bold"), " (", (code.level, _STYLES[code.level]), ")"))
    console.print(Text(f"\n{code.meaning}"))
    _print_part("For example:", code.example, console)
    console.print(Text(f"\n{code.fix}"))
    if code.corrected:
        _print_part("Mended:", code.corrected, console)


def _print_part(heading: str, text: str, console: Console) -> None:
    """A piece of a file under its heading, indented; its lines are left whole, so that they can be copied."""
    console.print(Text(f"\n{heading}", style="dim"))
    console.print(Text(indent(text.rstrip("\n").replace("\t", "→   "), "    ")), soft_wrap=True)
