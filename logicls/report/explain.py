"""What `logicls explain` shows: of a spec its rules in plain English, of a code what it means and what to do."""

from __future__ import annotations

from textwrap import indent

from rich.console import Console
from rich.table import Table
from rich.text import Text

from logicls.codes import Code, Level
from logicls.constraints.spec import Spec
from logicls.synth.write import question

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
