"""What `logicls explain` shows: of a spec its rules in plain English, of a code what it means and what to do."""

from __future__ import annotations

from textwrap import indent

from rich.console import Console
from rich.text import Text

from logicls.codes import Code, Level
from logicls.constraints.decompose import decompose, queries_of
from logicls.constraints.spec import Spec

_STYLES: dict[Level, str] = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


def print_rules(spec: Spec, console: Console) -> None:
    """Print each rule, its questions and its defects."""
    for constraint in spec.constraints:
        console.print(f"[bold]{constraint.id}[/] ({constraint.severity}): {constraint.rule.say()}")
        console.print("  asks: " + ", ".join(q.id for q in queries_of(spec, constraint)))
        sides = [constraint.violation_on(side) for side in constraint.rule.sides()]
        console.print("  defects: " + ", ".join(dict.fromkeys(sides)))
        if constraint.unless_broken:
            console.print("  not asked while broken: " + ", ".join(constraint.unless_broken))
    console.print(f"{len(decompose(spec))} questions a photo")


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
