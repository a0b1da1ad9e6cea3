"""An attribute agreement study on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from logicls.report.screen import figure, interval, percent
from logicls.score.rate import Rate
from logicls.study.figures import (
    EFFECTIVENESS,
    FALSE_ALARM,
    MISS,
    Appraisal,
    Repeated,
    Study,
    grade,
    kappa_word,
    notes,
)
from logicls.study.kappa import Kappa

Cells = tuple[str, str, str, str]
"""Value, interval, count, and what AIAG says of it."""


def print_study(found: Study, console: Console) -> None:
    """Print each inspector, how they agree, and what the figures leave open."""
    title = f"{found.photos} photos, {found.bad} of them bad"
    table = Table("inspector", "", "value", "95 % interval", "count", "by AIAG", title=title, title_justify="left")
    for one in found.appraisals:
        table.add_section()
        for number, (name, cells) in enumerate(_figures(one).items()):
            table.add_row(Text(one.name if not number else ""), name, *cells)
    if found.between is not None:
        table.add_section()
        table.add_row("all together", "all alike", *_share(found.between))
        table.add_row("", "kappa", *_kappa(found.between_kappa))
        table.add_row("", "all right", *_share(found.between_standard))
        for first, second, kappa in found.pairs:
            table.add_row("", Text(f"kappa of {first}, {second}"), *_kappa(kappa))
    for column in table.columns[2:5]:
        column.justify = "right"
    console.print(table)
    console.print(Text(_guidance()))
    for note in notes(found):
        console.print(Text(note))


def _figures(one: Appraisal) -> dict[str, Cells]:
    without = {"  without review": _share(one.decided)} if one.review.count else {}
    return {
        "trials alike": _share(one.within),
        "kappa of trials": _kappa(one.within_kappa),
        "effectiveness": _share(one.effectiveness, EFFECTIVENESS),
        **without,
        "kappa to the standard": _kappa(one.kappa),
        "miss rate": _share(one.miss, MISS),
        "false-alarm rate": _share(one.false_alarm, FALSE_ALARM),
        "review rate": _share(one.review),
    }


def _share(rate: Rate | Repeated | None, limits: tuple[float, float] | None = None) -> Cells:
    if rate is None:
        return "–", "–", "", ""
    said = grade(rate.value, limits) if limits else None
    return percent(rate.value), interval(rate), f"{rate.count} of {rate.of}", said or ""


def _kappa(kappa: Kappa | None) -> Cells:
    ci95 = kappa.ci95 if kappa else None
    told = f"{ci95[0]:.3f} – {ci95[1]:.3f}" if ci95 else "–"
    return figure(kappa.value if kappa else None), told, "", kappa_word(kappa)


def _guidance() -> str:
    limits = (
        ("effectiveness at least", EFFECTIVENESS),
        ("misses at most", MISS),
        ("false alarms at most", FALSE_ALARM),
    )
    said = ", ".join(f"{name} {100 * good:g} % (marginal: {100 * fair:g} %)" for name, (good, fair) in limits)
    return f"Guidance of AIAG: {said}. It is no substitute for the cost of a miss."
