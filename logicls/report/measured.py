"""What was measured beyond the scoreboard, on a terminal: LOCO test sets and faithfulness."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from logicls.report.screen import figure, interval, percent
from logicls.score.faithful import Faithfulness
from logicls.score.on_loco import Areas, LocoScore
from logicls.score.rate import Rate
from logicls.score.spro import LIMITS
from logicls.score.trial import Trials


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
            console.print(Text(f"{name}, but not on {_list(failed)}."))
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


def _list(names: Sequence[str], most: int = 5) -> str:
    return "; ".join(names[:most]) + (f"; and {len(names) - most} more" if len(names) > most else "")
