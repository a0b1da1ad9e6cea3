"""The scoreboard on a terminal, and how its figures are written everywhere."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from logicls.score import Rate, Scoreboard
from logicls.score.rate import Share


def print_scoreboard(board: Scoreboard, console: Console) -> None:
    """Print the rates with their intervals, the violations, and what may be claimed about escapes."""
    rates = Table("", "share", "95 % interval", "count", title=f"{board.n} photos", title_justify="left")
    for name, rate in named_rates(board):
        rates.add_row(name, percent(rate.value), interval(rate), f"{rate.count} of {rate.of}")
    for name, value in named_figures(board):
        rates.add_row(name, figure(value), "", "")
    violations = Table("violation", "n", "precision", "recall", "F1", "AUROC")
    for v in board.violations:
        figures = (figure(v.precision), figure(v.recall), figure(v.f1), figure(v.auroc))
        violations.add_row(Text(v.name), str(v.n), *figures)
    for column in (*rates.columns[1:], *violations.columns[1:]):
        column.justify = "right"
    console.print(rates)
    if board.violations:
        console.print(violations)
    for note in notes(board):
        console.print(Text(note))


def named_rates(board: Scoreboard) -> tuple[tuple[str, Rate], ...]:
    """Every rate under the name that people read."""
    return (
        ("escape rate", board.escape),
        ("overkill rate", board.overkill),
        ("review rate", board.review),
        ("exact match", board.exact_match),
        ("exact match without review", board.exact_match_without_review),
        ("agreement of stated and derived", board.agreement),
    )


def named_figures(board: Scoreboard) -> tuple[tuple[str, float | None], ...]:
    """Every other figure under the name that people read."""
    return ("macro F1", board.macro_f1), ("micro F1", board.micro_f1), ("AUROC", board.auroc)


def notes(board: Scoreboard, most: int = 10) -> tuple[str, ...]:
    """Sentences to go with the figures: the claim, and names that met no partner."""
    said = [board.claim]
    if board.unlabelled:
        said.append(f"Verdicts without truth, not counted ({len(board.unlabelled)}): {_list(board.unlabelled, most)}.")
    if board.unknown:
        said.append(f"Violations of the truth that the spec does not know: {_list(board.unknown, most)}.")
    return tuple(said)


def percent(value: float | None) -> str:
    """A share as `12.3 %`; a dash where it is undefined."""
    return "–" if value is None else f"{100 * value:.1f} %"


def figure(value: float | None) -> str:
    """A figure from 0 to 1 with three decimals; a dash where it is undefined."""
    return "–" if value is None else f"{value:.3f}"


def interval(rate: Share) -> str:
    """The rate's 95 % interval as `1.2 – 30.8 %`; a dash where it is undefined."""
    if rate.ci95 is None:
        return "–"
    low, high = rate.ci95
    return f"{100 * low:.1f} – {100 * high:.1f} %"


def _list(names: tuple[str, ...], most: int) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
