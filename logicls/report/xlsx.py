"""verdicts.xlsx: the table of verdicts as a workbook, and a second sheet that says what they were made with."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from logicls.errors import DataError, Problem, relative_path
from logicls.io.atomic import atomic_path
from logicls.predict.serialization import Columns, columns_of
from logicls.records import SEVERITIES, Verdict
from logicls.report.card_view import Labels
from logicls.report.summary import Provenance

FILLS = {
    "pass": "C6E7D3", "fail": "F6C9C7", "review": "FBE3B4", "critical": "E58B8B", "major": "F4B97F", "minor": "F1E79A",
}  # fmt: skip
HEADER_FILL, HEADER_TEXT = "2C333D", "FFFFFF"
WIDTHS = {"photo": 34, "violations": 34, "stated": 24, "reasons": 50, "severity": 11, "sha256": 20, "spec": 20}
MAX_ROWS = 1_048_575
"""Of a worksheet, less its head."""
_INVALID_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def write_xlsx(verdicts: Iterable[Verdict], path: Path, labels: Labels, *, max_rows: int = MAX_ROWS) -> None:
    """Write one row a verdict, in the order given; the verdicts are read once, and one is in memory at a time.

    The columns are those of verdicts.csv, and after the violations their worst severity. The head stays in view, and
    every column can be filtered. A text is never a formula. There may be `most` verdicts.

    Raises:
        DataError: openpyxl is not installed (LC644), there are more verdicts than a worksheet has rows (LC646), or
            the file cannot be written (LC253).
    """
    book = open_workbook()
    sheet = book.create_sheet("verdicts")
    columns, all_ = columns_of(verdicts, tuple(labels.severities))
    titles = columns.head
    titles.insert(titles.index("violations") + 1, "severity")
    _write_header(sheet, titles)
    with atomic_path(path) as temporary:
        with ExitStack() as unsaved:
            unsaved.callback(sheet.close)
            provenance, outcomes = _write_rows(sheet, all_, labels, columns, max_rows)
            if outcomes.total() > max_rows:
                message = f"there are more than {max_rows:,} verdicts, and a worksheet has no row for them."
                raise DataError(Problem("LC646", message, relative_path(path), advice="Use verdicts.csv."))
            unsaved.pop_all()
        sheet.auto_filter.ref = f"A1:{_column_letter(len(titles))}{outcomes.total() + 1}"
        _write_run_sheet(book.create_sheet("run"), labels, provenance, outcomes)
        book.save(temporary)


def _write_rows(
    sheet: Any, verdicts: Iterable[Verdict], labels: Labels, columns: Columns, max_rows: int
) -> tuple[Provenance, Counter[str]]:
    """One row a verdict, up to `most`; what they were made with, and how many there are, one more where too many."""
    outcomes: Counter[str] = Counter()
    provenance, titles = Provenance(), columns.head
    place = titles.index("violations") + 1
    titles.insert(place, "severity")
    for verdict in verdicts:
        outcomes[verdict.outcome] += 1
        provenance.add(verdict)
        if outcomes.total() > max_rows:
            break
        cells = columns.row(verdict)
        cells.insert(place, labels.worst_severity(verdict.violations) or "")
        sheet.append([_cell(sheet, value, title) for value, title in zip(cells, titles, strict=True)])
    return provenance, outcomes


def open_workbook() -> Any:
    """An empty one that is written row by row."""
    try:
        from openpyxl import Workbook
    except ImportError as error:
        message = "a workbook needs openpyxl, which is not installed."
        advice = "Run `pip install logicls[xlsx]`, or use verdicts.csv, which has the same rows."
        raise DataError(Problem("LC644", message, advice=advice)) from error
    return Workbook(write_only=True)


def _write_header(sheet: Any, titles: list[str]) -> None:
    """Widths, what stays in view, and the head."""
    for place, title in enumerate(titles, start=1):
        sheet.column_dimensions[_column_letter(place)].width = WIDTHS.get(title, max(11, len(title) + 4))
    sheet.freeze_panes = "B2"
    sheet.append([_header_cell(sheet, title) for title in titles])


def _write_run_sheet(sheet: Any, labels: Labels, provenance: Provenance, outcomes: Counter[str]) -> None:
    """The sheet of facts: name, value."""
    sheet.column_dimensions["A"].width, sheet.column_dimensions["B"].width = 22, 70
    rows: list[tuple[str, str | float]] = [
        ("product", labels.title), ("spec version", ", ".join(sorted(provenance.versions))),
        ("spec", ", ".join(sorted(provenance.specs))), ("bundle", ", ".join(sorted(provenance.bundles))),
        ("thresholds", ", ".join(sorted(provenance.thresholds))),
        *([("plug-ins", ", ".join(sorted(provenance.plugins)))] if provenance.plugins else []), ("photos", float(outcomes.total())),
        *((outcome, float(outcomes[outcome])) for outcome in ("pass", "fail", "review")),
    ]  # fmt: skip
    rows += [(f"{severity} violations", ", ".join(n for n, s in labels.severities.items() if s == severity))
              for severity in SEVERITIES]  # fmt: skip
    for name, value in rows:
        sheet.append([_header_cell(sheet, name), _cell(sheet, value, name)])


def _header_cell(sheet: Any, text: str) -> Any:
    from openpyxl.styles import Font, PatternFill

    cell = _cell(sheet, text, "")
    cell.font, cell.fill = Font(bold=True, color=HEADER_TEXT), PatternFill("solid", fgColor=HEADER_FILL)
    return cell


def _cell(sheet: Any, value: str | float, title: str) -> Any:
    """A cell; outcomes and severities have their colour beside their word."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import PatternFill

    if isinstance(value, float):
        cell = WriteOnlyCell(sheet, value)
        cell.number_format = "0.0000" if title.startswith("score") or title == "seconds" else "0"
        return cell
    cell = WriteOnlyCell(sheet, _INVALID_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", value))
    cell.data_type = "s"  # or a text that begins with "=" would become a formula
    if title in ("outcome", "severity") and value in FILLS:
        cell.fill = PatternFill("solid", fgColor=FILLS[value])
    return cell


def _column_letter(column: int) -> str:
    from openpyxl.utils import get_column_letter

    letter: str = get_column_letter(column)
    return letter
