"""Excel workbook of verdicts, with a second sheet about the run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from logicls.errors import DataError, Problem, relative_path
from logicls.io.atomic import atomic_path
from logicls.predict.serialization import ColumnKind, VerdictColumn, columns_for
from logicls.records import SEVERITIES, Verdict
from logicls.report.card_view import Labels
from logicls.report.summary import Provenance

FILLS = {
    "pass": "C6E7D3", "fail": "F6C9C7", "review": "FBE3B4", "critical": "E58B8B", "major": "F4B97F", "minor": "F1E79A",
}  # fmt: skip
HEADER_FILL, HEADER_TEXT = "2C333D", "FFFFFF"
MAX_ROWS = 1_048_575
"""Rows of a worksheet, without the header."""
_INVALID_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def write_xlsx(verdicts: Iterable[Verdict], path: Path, labels: Labels, *, max_rows: int = MAX_ROWS) -> None:
    """Write one row per verdict, in the given order; the verdicts are read once, one in memory at a time.

    The columns are those of verdicts.csv, plus the highest severity after the violations. The header is frozen, and
    every column has a filter. Texts are never formulas.

    Raises:
        DataError: openpyxl is not installed (LC644), there are more than `max_rows` verdicts (LC646), or the file
            cannot be written (LC253).
    """
    book = open_workbook()
    sheet = book.create_sheet("verdicts")
    table_columns, rows = columns_for(verdicts, tuple(labels.severities))
    columns = _insert_severity(table_columns, labels)
    _write_header(sheet, columns)
    with atomic_path(path) as temporary:
        with ExitStack() as unsaved:
            unsaved.callback(sheet.close)
            provenance, outcomes = _write_rows(sheet, rows, columns, max_rows)
            if outcomes.total() > max_rows:
                message = f"there are more than {max_rows:,} verdicts, the largest number of rows of a worksheet."
                raise DataError(Problem("LC646", message, relative_path(path), advice="Use verdicts.csv."))
            unsaved.pop_all()
        sheet.auto_filter.ref = f"A1:{_column_letter(len(columns))}{outcomes.total() + 1}"
        _write_run_sheet(book.create_sheet("run"), labels, provenance, outcomes)
        book.save(temporary)


def _insert_severity(columns: Sequence[VerdictColumn], labels: Labels) -> list[VerdictColumn]:
    """Return the columns with that of the highest severity after the violations."""
    severity = VerdictColumn("severity", lambda v: labels.worst_severity(v.violations) or "", "severity")
    place = [column.header for column in columns].index("violations") + 1
    return [*columns[:place], severity, *columns[place:]]


def _write_rows(
    sheet: Any, verdicts: Iterable[Verdict], columns: Sequence[VerdictColumn], max_rows: int
) -> tuple[Provenance, Counter[str]]:
    """Write up to `max_rows` rows; return provenance and outcome counts, which total `max_rows` + 1 if cut off."""
    outcomes: Counter[str] = Counter()
    provenance = Provenance()
    for verdict in verdicts:
        outcomes[verdict.outcome] += 1
        provenance.add(verdict)
        if outcomes.total() > max_rows:
            break
        sheet.append([_cell(sheet, column.value(verdict), column.kind) for column in columns])
    return provenance, outcomes


def open_workbook() -> Any:
    """Return an empty write-only workbook. Raises `DataError` if openpyxl is not installed (LC644)."""
    try:
        from openpyxl import Workbook
    except ImportError as error:
        message = "openpyxl is not installed."
        advice = "Run `pip install logicls[xlsx]`, or use verdicts.csv, which has the same rows."
        raise DataError(Problem("LC644", message, advice=advice)) from error
    return Workbook(write_only=True)


def _write_header(sheet: Any, columns: Sequence[VerdictColumn]) -> None:
    """Set column widths, freeze panes, and write the header."""
    for number, column in enumerate(columns, start=1):
        sheet.column_dimensions[_column_letter(number)].width = column.width
    sheet.freeze_panes = "B2"
    sheet.append([_header_cell(sheet, column.header) for column in columns])


def _write_run_sheet(sheet: Any, labels: Labels, provenance: Provenance, outcomes: Counter[str]) -> None:
    """Write the sheet about the run: name and value per row."""
    sheet.column_dimensions["A"].width, sheet.column_dimensions["B"].width = 22, 70
    rows: list[tuple[str, str | float]] = [
        ("product", labels.title), ("spec version", ", ".join(sorted(provenance.versions))),
        ("spec", ", ".join(sorted(provenance.specs))), ("bundle", ", ".join(sorted(provenance.bundles))),
        ("thresholds", ", ".join(sorted(provenance.thresholds))),
        *([("plug-ins", ", ".join(sorted(provenance.plugins)))] if provenance.plugins else []),
        ("photos", float(outcomes.total())),
        *((outcome, float(outcomes[outcome])) for outcome in ("pass", "fail", "review")),
    ]  # fmt: skip
    rows += [(f"{severity} violations", ", ".join(n for n, s in labels.severities.items() if s == severity))
              for severity in SEVERITIES]  # fmt: skip
    for name, value in rows:
        sheet.append([_header_cell(sheet, name), _cell(sheet, value, "text")])


def _header_cell(sheet: Any, text: str) -> Any:
    from openpyxl.styles import Font, PatternFill

    cell = _cell(sheet, text, "text")
    cell.font, cell.fill = Font(bold=True, color=HEADER_TEXT), PatternFill("solid", fgColor=HEADER_FILL)
    return cell


def _cell(sheet: Any, value: str | float, kind: ColumnKind) -> Any:
    """Return a cell; outcomes and severities are coloured."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import PatternFill

    if isinstance(value, float):
        cell = WriteOnlyCell(sheet, value)
        cell.number_format = "0.0000" if kind in ("probability", "seconds") else "0"
        return cell
    cell = WriteOnlyCell(sheet, _INVALID_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", value))
    cell.data_type = "s"  # otherwise a text that begins with "=" would become a formula
    if kind in ("outcome", "severity") and value in FILLS:
        cell.fill = PatternFill("solid", fgColor=FILLS[value])
    return cell


def _column_letter(column: int) -> str:
    from openpyxl.utils import get_column_letter

    letter: str = get_column_letter(column)
    return letter
