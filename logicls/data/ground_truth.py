"""Ground truth of photos: truth.csv, and the reading of CSV tables that people write (UTF-8, with a header)."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from logicls.errors import DataError, Problem, relative_path

Row = Mapping[str, str]
"""Column → cell, without surrounding spaces."""


@dataclass(frozen=True, slots=True)
class TableCodes:
    """Error codes of one kind of table."""

    unreadable: str
    column: str
    length: str
    empty: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a CSV table; rows of another length than the header are problems instead."""

    file: str
    rows: tuple[tuple[int, Row], ...]
    """(line on which the row ends, row)."""
    problems: tuple[Problem, ...]


def read_rows(path: Path, columns: Sequence[str], codes: TableCodes, *, length_advice: str = "") -> Table:
    """Read the rows of a table that are not blank.

    Raises:
        DataError: The file cannot be read, lacks one of the columns, or has no row.
    """
    file = relative_path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            header = [cell.strip() for cell in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except UnicodeDecodeError as error:
        raise DataError(Problem(codes.unreadable, "is not UTF-8.", file, advice="Save it as CSV in UTF-8.")) from error
    except (OSError, csv.Error) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise DataError(Problem(codes.unreadable, f"cannot be read: {reason}.", file)) from error
    missing = [name for name in columns if name not in header]
    if missing:
        advice = f'The first line should be "{",".join(columns)}".'
        raise DataError([Problem(codes.column, f'no column "{name}".', file, 1, 1, advice) for name in missing])
    if not rows:
        raise DataError(Problem(codes.empty, "lists no photo.", file, 1, 1, "Write one line per photo."))
    return Table(file, *_check_lengths(file, header, rows, codes.length, length_advice))


def _check_lengths(
    file: str, header: Sequence[str], rows: Sequence[tuple[int, list[str]]], code: str, advice: str
) -> tuple[tuple[tuple[int, Row], ...], tuple[Problem, ...]]:
    expected = f"fields, but the header has {len(header)}."
    problems = [
        Problem(code, f"{len(row)} {expected}", file, line, 1, advice) for line, row in rows if len(row) != len(header)
    ]
    complete = [
        (line, dict(zip(header, map(str.strip, row), strict=True))) for line, row in rows if len(row) == len(header)
    ]
    return tuple(complete), tuple(problems)


Truth = Mapping[str, tuple[str, ...]]
"""Photo → its violations; empty for a good one."""
TRUTH_CODES = TableCodes(unreadable="LC240", column="LC241", length="LC242", empty="LC246")


def read_truth(path: Path) -> dict[str, tuple[str, ...]]:
    """Read truth.csv: columns `image` and `violations`, several violations separated by ';', none for a good photo.

    Raises:
        DataError: Every error of the file (LC240 to LC246), with its line.
    """
    advice = "Separate several violations with ';'."
    return _truth_of_rows(read_rows(path, ("image", "violations"), TRUTH_CODES, length_advice=advice))


def _truth_of_rows(table: Table) -> dict[str, tuple[str, ...]]:
    truth: dict[str, tuple[str, ...]] = {}
    lines: dict[str, int] = {}
    problems = list(table.problems)
    for line, row in table.rows:
        image = row["image"]
        names = {name.strip() for name in row["violations"].split(";")} - {""}
        if not image:
            problems.append(Problem("LC243", "no image in this row.", table.file, line, 1))
        elif image in lines:
            message = f'image "{image}" is already on line {lines[image]}.'
            problems.append(Problem("LC244", message, table.file, line, 1, "Keep one row per photo."))
        for name in sorted(names & {"good", "ok", "none", "pass"}):
            advice = "Leave the field empty for a good photo."
            problems.append(Problem("LC245", f'"{name}" is not a violation.', table.file, line, 1, advice))
        lines.setdefault(image, line)
        truth[image] = tuple(sorted(names))
    if problems:
        raise DataError(sorted(problems, key=lambda problem: problem.line))
    return truth
