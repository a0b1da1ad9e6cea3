"""verdicts.csv: one row a photo, for a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from logicls import jsonl
from logicls.records import Verdict

UNREADABLE = "unreadable"
"""What the column `stated` says where the model's own verdict could not be read; empty there means: good."""


def write_table(verdicts: Iterable[Verdict], path: Path, *, violations: Sequence[str]) -> None:
    """Write one row a verdict, in the order given, one verdict in memory at a time.

    Args:
        verdicts: Read once.
        path: The CSV file; it is replaced as a whole.
        violations: Every violation that the spec knows: each has a column `score:<violation>`.
    """
    head = ["photo", "outcome", "violations", "stated", "score", "reasons"]
    head += [f"score:{name}" for name in violations]
    head += ["sha256", "bundle", "spec"]
    with jsonl.replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(_row(verdict, violations) for verdict in verdicts)


def _row(verdict: Verdict, violations: Sequence[str]) -> list[str]:
    scores = dict(verdict.scores)
    stated = UNREADABLE if verdict.stated is None else ";".join(verdict.stated)
    row = [verdict.photo, verdict.outcome, ";".join(verdict.violations), stated]
    row += [f"{verdict.score:.4f}", ";".join(verdict.reasons)]
    row += [f"{scores[name]:.4f}" if name in scores else "" for name in violations]
    return [*row, verdict.sha256, verdict.bundle, verdict.spec]
