"""What was measured beyond the scoreboard, on a terminal: LOCO test sets and faithfulness.

The scoreboard on a terminal, and how its figures are written everywhere.

What a set of training data holds, on a terminal.

An attribute agreement study on a terminal.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from logicls.evaluation import Scoreboard
from logicls.evaluation.agreement.statistics import (
    EFFECTIVENESS,
    FALSE_ALARM,
    MISS,
    Appraisal,
    Kappa,
    Repeated,
    Study,
    grade,
    kappa_word,
)
from logicls.evaluation.agreement.statistics import (
    notes as study_notes,
)
from logicls.evaluation.faithfulness import Faithfulness
from logicls.evaluation.intervals import Rate, Share
from logicls.evaluation.mvtec_loco_scores import LIMITS, Areas, LocoScore
from logicls.evaluation.necessity import Trials
from logicls.synth.dataset_card import Tally, shares, tables_of, total


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


def print_loco(score: LocoScore, console: Console) -> None:
    """Print the splits, every defect, and what was not counted."""
    heads = [f"sPRO to {limit:g}" for limit in LIMITS]
    splits = Table("anomalies", "n", "AUROC", *heads, "failed", "passed", title="MVTec LOCO", title_justify="left")
    for split in score.splits:
        rates = percent(split.failed.value), percent(split.escape.value)
        splits.add_row(split.name, str(split.n), figure(split.auroc), *_areas(split.spro), *rates)
    splits.add_row("mean", "", figure(score.mean_auroc), *_areas(score.mean_spro), "", "")
    _shown(splits, console)
    defects = Table("defect", "", "n", "AUROC", "recall", "95 % interval", "failed")
    for d in score.defects:
        recall = (percent(d.recall.value), interval(d.recall)) if d.recall else ("no rule", "")
        defects.add_row(Text(d.name), d.split, str(d.n), figure(d.auroc), *recall, percent(d.failed.value))
    _shown(defects, console)
    chance = ", ".join(f"{limit / 2:g}" for limit in LIMITS)
    console.print(Text(f"sPRO is of the boxes that broken rules rest on; a map that tells nothing comes to {chance}."))
    if score.left_out:
        console.print(Text(f"Verdicts on photos that are not of the test set, not counted: {score.left_out}."))


def print_faithful(found: Faithfulness, console: Console) -> None:
    """Print the three tests, each with its kinds, and some of what failed."""
    table = Table("faithfulness", "of", "share", "95 % interval", "count", title_justify="left")
    tests: list[tuple[str, Trials]] = [
        ("blanked: the answer changes", found.necessity),
        ("kept alone: the answer stays", found.sufficiency),
    ]
    if found.counterfactual:
        tests.append(("one edit flips just its rule", found.counterfactual))
    for name, tested in tests:
        table.add_section()
        for kind, rate in (("all", tested.rate), *tested.kinds):
            table.add_row(name if kind == "all" else "", kind, *_row(rate))
    _shown(table, console, left=2)
    for name, tested in tests:
        failed = [trial.told for trial in tested.trials if not trial.passed]
        if failed:
            console.print(Text(f"{name}, but not on {_listed(failed)}."))
    if found.counterfactual is None:
        console.print(Text("Edits were not tried: they need annotated photos of good products (--data)."))


def _row(rate: Rate) -> tuple[str, str, str]:
    return percent(rate.value), interval(rate), f"{rate.count} of {rate.of}"


def _areas(areas: Areas) -> list[str]:
    return [figure(dict(areas).get(limit)) for limit in LIMITS]


def _shown(table: Table, console: Console, *, left: int = 1) -> None:
    for column in table.columns[left:]:
        column.justify = "right"
    console.print(table)


def _listed(names: Sequence[str], most: int = 5) -> str:
    return "; ".join(names[:most]) + (f"; and {len(names) - most} more" if len(names) > most else "")


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
    for note in study_notes(found):
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
