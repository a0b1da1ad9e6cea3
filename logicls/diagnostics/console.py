"""Diagnostics on a terminal: problems with their source lines, and the output of `logicls explain`.

The command line imports this module at start, so modules that load pydantic are imported inside functions.
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

from logicls.constraints.families.angles import period_of_options
from logicls.diagnostics.codes import Code, Level, level_of
from logicls.errors import LogiClsError, Problem, count_text

if TYPE_CHECKING:
    from logicls.constraints.spec.models import Constraint, Spec
    from logicls.data.repair_tables import Repair

EXIT_FAILURE = 2
"""Exit code of a command that could not do its work."""
MAX_REPAIRS_PER_KIND = 20
"""Repairs of one kind that are listed; the others are counted."""
_STYLES: dict[Level, str] = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


@contextmanager
def handle_errors() -> Iterator[None]:
    """Print user errors without a traceback and exit with code 2; exit with code 130 on Ctrl-C."""
    try:
        yield
    except LogiClsError as error:
        print_problems(error.problems)
        sys.exit(EXIT_FAILURE)
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped; run the same command again to continue")
        sys.exit(130)


def print_problems(problems: Iterable[Problem], console: Console | None = None) -> None:
    """Print problems, and for YAML files the source line with a caret; notes are labelled.

    Consecutive problems at the same position share one source line, below the last of them. Without a console they go
    to standard error.
    """
    console = console or Console(stderr=True)
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
    """Return the line of a YAML file that a problem refers to, with a caret; empty for other files."""
    from logicls.constraints.spec.loader import format_caret

    text = _read_source(Path(problem.file)) if problem.line else None
    lines = format_caret(problem, text) if text is not None else ""
    return f"{lines}\n" if lines else ""


def _read_source(path: Path) -> str | None:
    """Read the text of a YAML file; return None for other files and for files that cannot be read."""
    from logicls.constraints.spec.yaml_reader import MAX_BYTES

    try:
        if path.suffix not in (".yaml", ".yml") or path.stat().st_size > MAX_BYTES:
            return None
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return None


def format_counts(problems: Sequence[Problem]) -> str:
    """Return the numbers of problems and notes as text: `1 problem, 2 notes`; notes only if there are any."""
    notes = sum(level_of(problem) == "note" for problem in problems)
    counts = [(len(problems) - notes, "problem"), *([(notes, "note")] if notes else [])]
    return ", ".join(count_text(number, noun) for number, noun in counts)


def print_repairs(repairs: Sequence[Repair], out: Path, console: Console) -> None:
    """Print one line per repair, and the path of the repaired copy."""
    by_kind: dict[str, list[Repair]] = defaultdict(list)
    for repair in repairs:
        by_kind[repair.action].append(repair)
    for kind, same_kind in by_kind.items():
        lines = [str(repair) for repair in same_kind[:MAX_REPAIRS_PER_KIND]]
        if len(same_kind) > MAX_REPAIRS_PER_KIND:
            lines.append(f"and {len(same_kind) - MAX_REPAIRS_PER_KIND:,} more: {kind}")
        console.print(Text("\n".join(lines)), soft_wrap=True)
    summary = f"{out}: {count_text(len(repairs), 'repair')}; fix the problems listed below by hand"
    console.print(Text(summary if repairs else "nothing to repair"), soft_wrap=True)


def print_rules(spec: Spec, console: Console) -> None:
    """Print each rule with its questions and the defects that violate it, then all questions."""
    from logicls.prompts.templates import canonical_question

    numbers = {query.id: number for number, query in enumerate(spec.queries, 1)}
    for constraint in spec.constraints:
        _print_rule(constraint, [numbers[query.id] for query in spec.queries_by_constraint[constraint.id]], console)
    console.print()
    for query in spec.queries:
        options = f" ({' / '.join(query.options)})" if query.options else ""
        if query.kind == "orientation":
            options = f" (0° to {period_of_options(query.options) - 1}°, counterclockwise)"
        console.print(Text(f"{numbers[query.id]:>3}  {canonical_question(query, spec)}{options}"))
    rules, defects = count_text(len(spec.constraints), "rule"), count_text(len(spec.violations), "defect")
    compared = [query.component for query in spec.queries if query.kind == "appearance"]
    questions = count_text(len(numbers) - len(compared), "question")
    comparison = f"; {count_text(len(compared), 'component')} compared with good photos" if compared else ""
    console.print(f"{rules}, {defects}; {questions} per photo, and one for the verdict{comparison}")


def _print_rule(constraint: Constraint, questions: Sequence[int], console: Console) -> None:
    console.print()
    console.print(Text.assemble((constraint.id, "bold"), f" ({constraint.severity})"))
    _print_row("holds if", constraint.text, console)
    if constraint.why:
        _print_row("because", constraint.why, console)
    _print_row("questions", ", ".join(map(str, questions)), console)
    for mode in constraint.failure_modes:
        _print_row("defect", f"{constraint.violation_name(mode)}: {constraint.rule.describe_edit(mode)}", console)
    if constraint.unless_broken:
        _print_row("skipped", f"while violated: {', '.join(constraint.unless_broken)}", console)


def _print_row(name: str, text: str, console: Console) -> None:
    """Print a labelled line below a rule, with a hanging indent."""
    grid = Table.grid(padding=(0, 1), pad_edge=True)
    grid.add_column(width=11, style="dim")
    grid.add_column(overflow="fold")
    grid.add_row(f" {name}", Text(text))
    console.print(grid)


def print_code(code: Code, console: Console) -> None:
    """Print an entry of the catalogue of error codes."""
    console.print(Text.assemble((f"{code.code} {code.title}", "bold"), " (", (code.level, _STYLES[code.level]), ")"))
    console.print(Text(f"\n{code.meaning}"))
    _print_part("For example:", code.example, console)
    console.print(Text(f"\n{code.fix}"))
    if code.corrected:
        _print_part("Corrected:", code.corrected, console)


def _print_part(heading: str, text: str, console: Console) -> None:
    """Print a code block under its heading, indented; lines are not wrapped, so that they can be copied."""
    console.print(Text(f"\n{heading}", style="dim"))
    console.print(Text(indent(text.rstrip("\n").replace("\t", "→   "), "    ")), soft_wrap=True)
