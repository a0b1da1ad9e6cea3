"""Columns of the table of verdicts, declared once for verdicts.csv and verdicts.xlsx."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from logicls.io import atomic
from logicls.predict.plugin_protocols import ANOMALY_VIOLATION
from logicls.predict.serialization import result_id
from logicls.records import Verdict

ColumnKind = Literal["text", "outcome", "severity", "probability", "seconds"]
"""Kind of a column's values: numbers for the last two, texts for all others."""
UNREADABLE_TEXT = "unreadable"
"""Cell of `stated_violations` if the stated verdict was unreadable; an empty cell there means: good."""
SEPARATOR = ";"
"""Between several values in one cell."""
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n")
"""First characters of a text that a spreadsheet may interpret as a formula."""


@dataclass(frozen=True, slots=True)
class VerdictColumn:
    """One column of the table of verdicts."""

    header: str
    value: Callable[[Verdict], str | float]
    """Return the cell of a verdict; an empty text for a number that it does not have."""
    kind: ColumnKind = "text"
    min_width: int = 11
    """Least width in a workbook, characters."""

    @property
    def width(self) -> int:
        """Width in a workbook, characters: at least that of the header."""
        return max(self.min_width, len(self.header) + 4)


def verdict_columns(violations: Sequence[str], *, has_expert: bool, has_plugins: bool) -> tuple[VerdictColumn, ...]:
    """Return the columns of verdicts on these `violations` of a spec; one more with an expert's score, and plug-ins."""
    scored = (*violations, *((ANOMALY_VIOLATION,) if has_expert else ()))
    plugins = VerdictColumn("plugins", lambda v: SEPARATOR.join(plugin.to_text() for plugin in v.plugins))
    return (
        VerdictColumn("photo", lambda v: v.photo, min_width=34),
        VerdictColumn("outcome", lambda v: v.outcome, "outcome"),
        VerdictColumn("violations", lambda v: SEPARATOR.join(v.violations), min_width=34),
        VerdictColumn("stated_violations", _stated_text, min_width=24),
        VerdictColumn("anomaly_score", lambda v: v.score, "probability"),
        VerdictColumn("review_reasons", lambda v: SEPARATOR.join(v.reasons), min_width=50),
        *map(_score_column, scored),
        VerdictColumn("seconds", lambda v: v.seconds or "", "seconds"),
        VerdictColumn("result_id", result_id),
        VerdictColumn("sha256", lambda v: v.sha256, min_width=20),
        VerdictColumn("bundle_id", lambda v: v.bundle),
        VerdictColumn("thresholds_id", lambda v: v.thresholds),
        VerdictColumn("spec_version", lambda v: v.version),
        VerdictColumn("spec_hash", lambda v: v.spec, min_width=20),
        *((plugins,) if has_plugins else ()),
    )


def _stated_text(verdict: Verdict) -> str:
    return UNREADABLE_TEXT if verdict.stated is None else SEPARATOR.join(verdict.stated)


def _score_column(violation: str) -> VerdictColumn:
    return VerdictColumn(f"score:{violation}", lambda v: dict(v.scores).get(violation, ""), "probability")


def columns_for(
    verdicts: Iterable[Verdict], violations: Sequence[str]
) -> tuple[tuple[VerdictColumn, ...], Iterator[Verdict]]:
    """Return the columns for the verdicts of one folder, and an iterator over all of them.

    All verdicts of a folder have the same plug-ins, so the first one determines the columns.
    """
    rest = iter(verdicts)
    first = next(rest, None)
    plugins = first.plugins if first is not None else ()
    has_expert = any(plugin.kind == "expert" for plugin in plugins)
    columns = verdict_columns(violations, has_expert=has_expert, has_plugins=bool(plugins))
    return columns, chain([first] if first is not None else [], rest)


def write_verdicts_csv(verdicts: Iterable[Verdict], path: Path, *, violations: Sequence[str]) -> None:
    """Write verdicts.csv, one row per verdict in the order given, with one verdict in memory at a time.

    A text that a spreadsheet would interpret as a formula (a photo may be called `=1+1.jpg`) is prefixed with `'`.

    Args:
        verdicts: Read once.
        path: The file; it is replaced as a whole.
        violations: Violations of the spec: each has a column `score:<violation>`, and so has an expert's violation.
    """
    columns, rows = columns_for(verdicts, violations)
    with atomic.open_atomic(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column.header for column in columns])
        for verdict in rows:
            cells = (column.value(verdict) for column in columns)
            writer.writerow([f"{cell:.4f}" if isinstance(cell, float) else escape_formula(cell) for cell in cells])


def escape_formula(text: str) -> str:
    """Prefix a text that a spreadsheet would interpret as a formula with an apostrophe."""
    return f"'{text}" if text.startswith(FORMULA_PREFIXES) else text
