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
from logicls.synth.dataset_card import DatasetSummary, format_shares, summary_tables, table_total


def print_scoreboard(board: Scoreboard, console: Console) -> None:
    """Print the rates with their intervals, the violations, and what may be claimed about escapes."""
    rates = Table("", "share", "95 % interval", "count", title=f"{board.n} photos", title_justify="left")
    for name, rate in rate_rows(board):
        rates.add_row(name, format_percent(rate.value), format_interval(rate), f"{rate.count} of {rate.of}")
    for name, value in figure_rows(board):
        rates.add_row(name, format_figure(value), "", "")
    violations = Table("violation", "n", "precision", "recall", "F1", "AUROC")
    for v in board.violations:
        figures = (format_figure(v.precision), format_figure(v.recall), format_figure(v.f1), format_figure(v.auroc))
        violations.add_row(Text(v.name), str(v.n), *figures)
    for column in (*rates.columns[1:], *violations.columns[1:]):
        column.justify = "right"
    console.print(rates)
    if board.violations:
        console.print(violations)
    for note in notes(board):
        console.print(Text(note))


def rate_rows(board: Scoreboard) -> tuple[tuple[str, Rate], ...]:
    """Every rate under the name that people read."""
    return (
        ("escape rate", board.escape),
        ("overkill rate", board.overkill),
        ("review rate", board.review),
        ("exact match", board.exact_match),
        ("exact match without review", board.exact_match_without_review),
        ("agreement of stated and derived", board.agreement),
    )


def figure_rows(board: Scoreboard) -> tuple[tuple[str, float | None], ...]:
    """Every other figure under the name that people read."""
    return ("macro F1", board.macro_f1), ("micro F1", board.micro_f1), ("AUROC", board.auroc)


def notes(board: Scoreboard, max_names: int = 10) -> tuple[str, ...]:
    """Sentences to go with the figures: the claim, and names that met no partner."""
    sentences = [board.claim]
    if board.unlabelled:
        sentences.append(
            f"Verdicts without truth, not counted ({len(board.unlabelled)}): {_join_names(board.unlabelled, max_names)}."
        )
    if board.unknown:
        sentences.append(
            f"Violations of the truth that the spec does not know: {_join_names(board.unknown, max_names)}."
        )
    return tuple(sentences)


def format_percent(value: float | None) -> str:
    """A share as `12.3 %`; a dash where it is undefined."""
    return "–" if value is None else f"{100 * value:.1f} %"


def format_figure(value: float | None) -> str:
    """A figure from 0 to 1 with three decimals; a dash where it is undefined."""
    return "–" if value is None else f"{value:.3f}"


def format_interval(rate: Share) -> str:
    """The rate's 95 % interval as `1.2 – 30.8 %`; a dash where it is undefined."""
    if rate.ci95 is None:
        return "–"
    low, high = rate.ci95
    return f"{100 * low:.1f} – {100 * high:.1f} %"


def _join_names(names: tuple[str, ...], max_names: int) -> str:
    return ", ".join(names[:max_names]) + (f" and {len(names) - max_names} more" if len(names) > max_names else "")


def print_dataset_summary(counts: DatasetSummary, console: Console) -> None:
    """Print the counts in one table, then the defects that no example has."""
    table = Table("", "count", "share", title=f"{counts.examples} examples", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for title, _, category_counts in summary_tables(counts):
        if category_counts:
            table.add_section()
            table.add_row(Text(title, style="bold"), "", "")
        for name, number, share in format_shares(category_counts, table_total(counts, category_counts)):
            table.add_row(Text(f"  {name}"), number, share)
    console.print(table)
    missing = [name for name, number in counts.violations if not number and name != "none"]
    if missing:
        message = f"No example has {', '.join(missing)}: make more, or see `logicls check --data`."
        console.print(Text(message), soft_wrap=True)


def print_loco(score: LocoScore, console: Console) -> None:
    """Print the splits, every defect, and what was not counted."""
    heads = [f"sPRO to {limit:g}" for limit in LIMITS]
    splits = Table("anomalies", "n", "AUROC", *heads, "failed", "passed", title="MVTec LOCO", title_justify="left")
    for split in score.splits:
        rates = format_percent(split.failed.value), format_percent(split.escape.value)
        splits.add_row(split.name, str(split.n), format_figure(split.auroc), *_area_cells(split.spro), *rates)
    splits.add_row("mean", "", format_figure(score.mean_auroc), *_area_cells(score.mean_spro), "", "")
    _print_table(splits, console)
    defects = Table("defect", "", "n", "AUROC", "recall", "95 % interval", "failed")
    for d in score.defects:
        recall = (format_percent(d.recall.value), format_interval(d.recall)) if d.recall else ("no rule", "")
        defects.add_row(
            Text(d.name), d.split, str(d.n), format_figure(d.auroc), *recall, format_percent(d.failed.value)
        )
    _print_table(defects, console)
    chance_level = ", ".join(f"{limit / 2:g}" for limit in LIMITS)
    console.print(
        Text(f"sPRO is of the boxes that broken rules rest on; a map that tells nothing comes to {chance_level}.")
    )
    if score.left_out:
        console.print(Text(f"Verdicts on photos that are not of the test set, not counted: {score.left_out}."))


def print_faithfulness(result: Faithfulness, console: Console) -> None:
    """Print the three tests, each with its kinds, and some of what failed."""
    table = Table("faithfulness", "of", "share", "95 % interval", "count", title_justify="left")
    tests: list[tuple[str, Trials]] = [
        ("blanked: the answer changes", result.necessity),
        ("kept alone: the answer stays", result.sufficiency),
    ]
    if result.counterfactual:
        tests.append(("one edit flips just its rule", result.counterfactual))
    for name, tested in tests:
        table.add_section()
        for kind, rate in (("all", tested.rate), *tested.kinds):
            table.add_row(name if kind == "all" else "", kind, *_rate_row(rate))
    _print_table(table, console, left=2)
    for name, tested in tests:
        failed = [trial.told for trial in tested.trials if not trial.passed]
        if failed:
            console.print(Text(f"{name}, but not on {_join_sentences(failed)}."))
    if result.counterfactual is None:
        console.print(Text("Edits were not tried: they need annotated photos of good products (--data)."))


def _rate_row(rate: Rate) -> tuple[str, str, str]:
    return format_percent(rate.value), format_interval(rate), f"{rate.count} of {rate.of}"


def _area_cells(areas: Areas) -> list[str]:
    return [format_figure(dict(areas).get(limit)) for limit in LIMITS]


def _print_table(table: Table, console: Console, *, left: int = 1) -> None:
    for column in table.columns[left:]:
        column.justify = "right"
    console.print(table)


def _join_sentences(names: Sequence[str], max_names: int = 5) -> str:
    return "; ".join(names[:max_names]) + (f"; and {len(names) - max_names} more" if len(names) > max_names else "")


StudyCells = tuple[str, str, str, str]
"""Value, interval, count, and what AIAG says of it."""


def print_study(result: Study, console: Console) -> None:
    """Print each inspector, how they agree, and what the figures leave open."""
    title = f"{result.photos} photos, {result.bad} of them bad"
    table = Table("inspector", "", "value", "95 % interval", "count", "by AIAG", title=title, title_justify="left")
    for appraisal in result.appraisals:
        table.add_section()
        for number, (name, cells) in enumerate(_appraisal_rows(appraisal).items()):
            table.add_row(Text(appraisal.name if not number else ""), name, *cells)
    if result.between is not None:
        table.add_section()
        table.add_row("all together", "all alike", *_rate_cells(result.between))
        table.add_row("", "kappa", *_kappa_cells(result.between_kappa))
        table.add_row("", "all right", *_rate_cells(result.between_standard))
        for first, second, kappa in result.pairs:
            table.add_row("", Text(f"kappa of {first}, {second}"), *_kappa_cells(kappa))
    for column in table.columns[2:5]:
        column.justify = "right"
    console.print(table)
    console.print(Text(_aiag_guidance()))
    for note in study_notes(result):
        console.print(Text(note))


def _appraisal_rows(appraisal: Appraisal) -> dict[str, StudyCells]:
    without = {"  without review": _rate_cells(appraisal.decided)} if appraisal.review.count else {}
    return {
        "trials alike": _rate_cells(appraisal.within),
        "kappa of trials": _kappa_cells(appraisal.within_kappa),
        "effectiveness": _rate_cells(appraisal.effectiveness, EFFECTIVENESS),
        **without,
        "kappa to the standard": _kappa_cells(appraisal.kappa),
        "miss rate": _rate_cells(appraisal.miss, MISS),
        "false-alarm rate": _rate_cells(appraisal.false_alarm, FALSE_ALARM),
        "review rate": _rate_cells(appraisal.review),
    }


def _rate_cells(rate: Rate | Repeated | None, limits: tuple[float, float] | None = None) -> StudyCells:
    if rate is None:
        return "–", "–", "", ""
    verdict = grade(rate.value, limits) if limits else None
    return format_percent(rate.value), format_interval(rate), f"{rate.count} of {rate.of}", verdict or ""


def _kappa_cells(kappa: Kappa | None) -> StudyCells:
    ci95 = kappa.ci95 if kappa else None
    ci_text = f"{ci95[0]:.3f} – {ci95[1]:.3f}" if ci95 else "–"
    return format_figure(kappa.value if kappa else None), ci_text, "", kappa_word(kappa)


def _aiag_guidance() -> str:
    limits = (
        ("effectiveness at least", EFFECTIVENESS),
        ("misses at most", MISS),
        ("false alarms at most", FALSE_ALARM),
    )
    criteria = ", ".join(f"{name} {100 * good:g} % (marginal: {100 * fair:g} %)" for name, (good, fair) in limits)
    return f"Guidance of AIAG: {criteria}. It is no substitute for the cost of a miss."
