"""verdicts.xlsx: the table of verdicts as a workbook, and a second sheet that says what they were made with."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from logicls.errors import DataError, Problem, relative
from logicls.io.jsonl import in_place_of
from logicls.predict.serialization import Columns, columns_of
from logicls.records import SEVERITIES, Verdict
from logicls.report.card_view import Words
from logicls.report.summary import Origin

FILLS = {
    "pass": "C6E7D3", "fail": "F6C9C7", "review": "FBE3B4", "critical": "E58B8B", "major": "F4B97F", "minor": "F1E79A",
}  # fmt: skip
HEAD, HEAD_TEXT = "2C333D", "FFFFFF"
WIDTHS = {"photo": 34, "violations": 34, "stated": 24, "reasons": 50, "severity": 11, "sha256": 20, "spec": 20}
MOST_ROWS = 1_048_575
"""Of a worksheet, less its head."""
_NOT_IN_SHEETS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def write_sheet(verdicts: Iterable[Verdict], path: Path, words: Words, *, most: int = MOST_ROWS) -> None:
    """Write one row a verdict, in the order given; the verdicts are read once, and one is in memory at a time.

    The columns are those of verdicts.csv, and after the violations their worst severity. The head stays in view, and
    every column can be filtered. A text is never a formula. There may be `most` verdicts.

    Raises:
        DataError: openpyxl is not installed (LC644), there are more verdicts than a worksheet has rows (LC646), or
            the file cannot be written (LC253).
    """
    book = workbook()
    sheet = book.create_sheet("verdicts")
    columns, all_ = columns_of(verdicts, tuple(words.severities))
    titles = columns.head
    titles.insert(titles.index("violations") + 1, "severity")
    _begin(sheet, titles)
    with in_place_of(path) as temporary:
        with ExitStack() as unsaved:
            unsaved.callback(sheet.close)
            origin, outcomes = _fill(sheet, all_, words, columns, most)
            if outcomes.total() > most:
                message = f"there are more than {most:,} verdicts, and a worksheet has no row for them."
                raise DataError(Problem("LC646", message, relative(path), advice="Use verdicts.csv."))
            unsaved.pop_all()
        sheet.auto_filter.ref = f"A1:{_letter(len(titles))}{outcomes.total() + 1}"
        _tell(book.create_sheet("run"), words, origin, outcomes)
        book.save(temporary)


def _fill(
    sheet: Any, verdicts: Iterable[Verdict], words: Words, columns: Columns, most: int
) -> tuple[Origin, Counter[str]]:
    """One row a verdict, up to `most`; what they were made with, and how many there are, one more where too many."""
    outcomes: Counter[str] = Counter()
    origin, titles = Origin(), columns.head
    place = titles.index("violations") + 1
    titles.insert(place, "severity")
    for verdict in verdicts:
        outcomes[verdict.outcome] += 1
        origin.add(verdict)
        if outcomes.total() > most:
            break
        cells = columns.row(verdict)
        cells.insert(place, words.worst(verdict.violations) or "")
        sheet.append([_cell(sheet, value, title) for value, title in zip(cells, titles, strict=True)])
    return origin, outcomes


def workbook() -> Any:
    """An empty one that is written row by row."""
    try:
        from openpyxl import Workbook
    except ImportError as error:
        message = "a workbook needs openpyxl, which is not installed."
        advice = "Run `pip install logicls[xlsx]`, or use verdicts.csv, which has the same rows."
        raise DataError(Problem("LC644", message, advice=advice)) from error
    return Workbook(write_only=True)


def _begin(sheet: Any, titles: list[str]) -> None:
    """Widths, what stays in view, and the head."""
    for place, title in enumerate(titles, start=1):
        sheet.column_dimensions[_letter(place)].width = WIDTHS.get(title, max(11, len(title) + 4))
    sheet.freeze_panes = "B2"
    sheet.append([_head(sheet, title) for title in titles])


def _tell(sheet: Any, words: Words, origin: Origin, outcomes: Counter[str]) -> None:
    """The sheet of facts: name, value."""
    sheet.column_dimensions["A"].width, sheet.column_dimensions["B"].width = 22, 70
    facts: list[tuple[str, str | float]] = [
        ("product", words.title), ("spec version", ", ".join(sorted(origin.versions))),
        ("spec", ", ".join(sorted(origin.specs))), ("bundle", ", ".join(sorted(origin.bundles))),
        ("thresholds", ", ".join(sorted(origin.thresholds))),
        *([("plug-ins", ", ".join(sorted(origin.plugs)))] if origin.plugs else []), ("photos", float(outcomes.total())),
        *((outcome, float(outcomes[outcome])) for outcome in ("pass", "fail", "review")),
    ]  # fmt: skip
    facts += [(f"{severity} violations", ", ".join(n for n, s in words.severities.items() if s == severity))
              for severity in SEVERITIES]  # fmt: skip
    for name, value in facts:
        sheet.append([_head(sheet, name), _cell(sheet, value, name)])


def _head(sheet: Any, text: str) -> Any:
    from openpyxl.styles import Font, PatternFill

    cell = _cell(sheet, text, "")
    cell.font, cell.fill = Font(bold=True, color=HEAD_TEXT), PatternFill("solid", fgColor=HEAD)
    return cell


def _cell(sheet: Any, value: str | float, title: str) -> Any:
    """A cell; outcomes and severities have their colour beside their word."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import PatternFill

    if isinstance(value, float):
        cell = WriteOnlyCell(sheet, value)
        cell.number_format = "0.0000" if title.startswith("score") or title == "seconds" else "0"
        return cell
    cell = WriteOnlyCell(sheet, _NOT_IN_SHEETS.sub("\N{REPLACEMENT CHARACTER}", value))
    cell.data_type = "s"  # or a text that begins with "=" would become a formula
    if title in ("outcome", "severity") and value in FILLS:
        cell.fill = PatternFill("solid", fgColor=FILLS[value])
    return cell


def _letter(place: int) -> str:
    from openpyxl.utils import get_column_letter

    letter: str = get_column_letter(place)
    return letter
