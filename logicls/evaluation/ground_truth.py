"""Rows of a table that people write: CSV in UTF-8, the names of its columns in the first line.

The truth about photos, as people write it down: truth.csv.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from logicls.errors import DataError, Problem, relative_path

Row = Mapping[str, str]
"""Column → what stands there, without spaces around it."""


@dataclass(frozen=True, slots=True)
class TableCodes:
    """How the problems of one kind of table are called."""

    unreadable: str
    column: str
    length: str
    empty: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it was read; rows of another length are problems, not rows."""

    file: str
    rows: tuple[tuple[int, Row], ...]
    """With the line that each ends on."""
    problems: tuple[Problem, ...]


def read_rows(path: Path, columns: Sequence[str], codes: TableCodes, *, length_advice: str = "") -> Table:
    """The rows that are not blank.

    Raises:
        DataError: It cannot be read, has not all of the columns, or no row.
    """
    file = relative_path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            head = [cell.strip() for cell in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except UnicodeDecodeError as error:
        raise DataError(Problem(codes.unreadable, "is not UTF-8.", file, advice="Save it as CSV in UTF-8.")) from error
    except (OSError, csv.Error) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise DataError(Problem(codes.unreadable, f"cannot be read: {reason}.", file)) from error
    missing = [name for name in columns if name not in head]
    if missing:
        advice = f'The first line should be "{",".join(columns)}".'
        raise DataError([Problem(codes.column, f'no column "{name}".', file, 1, 1, advice) for name in missing])
    if not rows:
        raise DataError(Problem(codes.empty, "names no photo.", file, 1, 1, "Write one line a photo."))
    return Table(file, *_whole(file, head, rows, codes.length, length_advice))


def _whole(
    file: str, head: Sequence[str], rows: Sequence[tuple[int, list[str]]], code: str, advice: str
) -> tuple[tuple[tuple[int, Row], ...], tuple[Problem, ...]]:
    said = f"fields where the first line has {len(head)}."
    problems = [Problem(code, f"{len(r)} {said}", file, line, 1, advice) for line, r in rows if len(r) != len(head)]
    whole = [(line, dict(zip(head, map(str.strip, row), strict=True))) for line, row in rows if len(row) == len(head)]
    return tuple(whole), tuple(problems)


Truth = Mapping[str, tuple[str, ...]]
"""Photo → the violations it has; empty for a good one."""
TRUTH_CODES = TableCodes(unreadable="LC240", column="LC241", length="LC242", empty="LC246")


def read_truth(path: Path) -> dict[str, tuple[str, ...]]:
    """Read truth.csv: columns `image` and `violations`, several with ';' between, none for a good photo.

    Raises:
        DataError: All that is wrong with it (LC240 to LC246), with the line.
    """
    advice = "Put ';' between several violations."
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
            problems.append(Problem("LC244", message, table.file, line, 1, "Keep one row a photo."))
        for name in sorted(names & {"good", "ok", "none", "pass"}):
            advice = "Leave the field empty for a good photo."
            problems.append(Problem("LC245", f'"{name}" is not a violation.', table.file, line, 1, advice))
        lines.setdefault(image, line)
        truth[image] = tuple(sorted(names))
    if problems:
        raise DataError(sorted(problems, key=lambda problem: problem.line))
    return truth
