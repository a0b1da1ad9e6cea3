"""`logicls explain CODE` on the screen: what the code means, what brings it about, what to do."""

from __future__ import annotations

from textwrap import indent

from rich.console import Console
from rich.text import Text

from logicls.codes import Code, Level

_STYLES: dict[Level, str] = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


def print_lesson(code: Code, console: Console) -> None:
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
