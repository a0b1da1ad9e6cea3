"""What a set of training data holds, on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from logicls.synth.card import shares, tables_of, total
from logicls.synth.tally import Tally


def print_made(tally: Tally, console: Console) -> None:
    """Print the counts in one table, then the defects that no example has."""
    table = Table("", "count", "share", title=f"{tally.examples} examples", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for title, _, counts in tables_of(tally):
        if counts:
            table.add_section()
            table.add_row(Text(title, style="bold"), "", "")
        for name, number, share in shares(counts, total(tally, counts)):
            table.add_row(Text(f"  {name}"), number, share)
    console.print(table)
    never = [name for name, number in tally.violations if not number and name != "none"]
    if never:
        told = f"No example has {', '.join(never)}: make more, or see `logicls check --data`."
        console.print(Text(told), soft_wrap=True)
