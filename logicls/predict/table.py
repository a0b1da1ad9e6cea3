"""verdicts.csv: one row a photo, for a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from logicls import jsonl
from logicls.plugins import VIOLATION
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
        violations: Every violation that the spec knows: each has a column `score:<violation>`; so has what an expert
            finds, where there is one.
    """
    columns, all_ = columns_of(verdicts, violations)
    with jsonl.replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns.head)
        for verdict in all_:
            cells = columns.row(verdict)
            writer.writerow([f"{cell:.4f}" if isinstance(cell, float) else harmless(cell) for cell in cells])


@dataclass(frozen=True, slots=True)
class Columns:
    """Of a table of verdicts."""

    violations: tuple[str, ...]
    """Each has one."""
    plugged: bool
    """Whether the last one says what was plugged in."""

    @property
    def head(self) -> list[str]:
        """Their names."""
        scores = [f"score:{name}" for name in self.violations]
        told = ["photo", "outcome", "violations", "stated", "score", "reasons"]
        origin = ["result", "sha256", "bundle", "thresholds", "version", "spec"]
        return [*told, *scores, "seconds", *origin, *(["plugins"] if self.plugged else [])]

    def row(self, verdict: Verdict) -> list[str | float]:
        """What stands in them: shares 0 to 1 and seconds as numbers, lists with ';' between."""
        cells = _row(verdict, self.violations)
        return [*cells, ";".join(plug.said for plug in verdict.plugged)] if self.plugged else cells


def columns_of(verdicts: Iterable[Verdict], violations: Sequence[str]) -> tuple[Columns, Iterator[Verdict]]:
    """The columns, and all verdicts. Those of a folder were made with the same plug-ins: the first one tells them."""
    rest = iter(verdicts)
    first = next(rest, None)
    if first is None:
        return Columns(tuple(violations), False), rest
    flaws = (VIOLATION,) if any(plug.kind == "expert" for plug in first.plugged) else ()
    return Columns((*violations, *flaws), bool(first.plugged)), chain([first], rest)


def _row(verdict: Verdict, violations: Sequence[str]) -> list[str | float]:
    scores = dict(verdict.scores)
    stated = UNREADABLE if verdict.stated is None else ";".join(verdict.stated)
    told = [verdict.photo, verdict.outcome, ";".join(verdict.violations), stated]
    origin = [result_id(verdict), verdict.sha256, verdict.bundle, verdict.thresholds, verdict.version, verdict.spec]
    numbers = [scores.get(name, "") for name in violations]
    return [*told, verdict.score, ";".join(verdict.reasons), *numbers, verdict.seconds or "", *origin]


def harmless(text: str) -> str:
    """The text as a spreadsheet shows it, and never runs it."""
    return f"'{text}" if text.startswith(FORMULA) else text
