"""verdicts.csv: one row a photo, for a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from logicls import jsonl
from logicls.predict.result import result_id
from logicls.records import Verdict

UNREADABLE = "unreadable"
"""What the column `stated` says where the model's own verdict could not be read; empty there means: good."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a text begins with that a spreadsheet may take for a formula and run."""


def write_table(verdicts: Iterable[Verdict], path: Path, *, violations: Sequence[str]) -> None:
    """Write one row a verdict, in the order given, one verdict in memory at a time.

    A text that a spreadsheet would run as a formula (a photo may be called `=1+1.jpg`) gets a `'` in front.

    Args:
        verdicts: Read once.
        path: The CSV file; it is replaced as a whole.
        violations: Every violation that the spec knows: each has a column `score:<violation>`.
    """
    with jsonl.replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head(violations))
        for verdict in verdicts:
            cells = row(verdict, violations)
            writer.writerow([f"{cell:.4f}" if isinstance(cell, float) else harmless(cell) for cell in cells])


def head(violations: Sequence[str]) -> list[str]:
    """The names of the columns."""
    scores = [f"score:{name}" for name in violations]
    told = ["photo", "outcome", "violations", "stated", "score", "reasons"]
    return [*told, *scores, "seconds", "result", "sha256", "bundle", "thresholds", "version", "spec"]


def row(verdict: Verdict, violations: Sequence[str]) -> list[str | float]:
    """What stands in them: shares 0 to 1 and seconds as numbers, lists with ';' between."""
    scores = dict(verdict.scores)
    stated = UNREADABLE if verdict.stated is None else ";".join(verdict.stated)
    told = [verdict.photo, verdict.outcome, ";".join(verdict.violations), stated]
    origin = [result_id(verdict), verdict.sha256, verdict.bundle, verdict.thresholds, verdict.version, verdict.spec]
    numbers = [scores.get(name, "") for name in violations]
    return [*told, verdict.score, ";".join(verdict.reasons), *numbers, verdict.seconds or "", *origin]


def harmless(text: str) -> str:
    """The text as a spreadsheet shows it, and never runs it."""
    return f"'{text}" if text.startswith(FORMULA) else text
