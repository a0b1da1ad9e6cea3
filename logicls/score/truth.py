"""The truth about photos, as people write it down: truth.csv."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from logicls.errors import DataError, Problem, relative

Truth = Mapping[str, tuple[str, ...]]
"""Photo → the violations it has; empty for a good one."""


def read_truth(path: Path) -> dict[str, tuple[str, ...]]:
    """Read truth.csv: columns `image` and `violations`, several with ';' between, none for a good photo.

    Raises:
        DataError: All that is wrong with it (LC240 to LC246), with the line.
    """
    file = relative(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            head = [cell.strip() for cell in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except UnicodeDecodeError as error:
        raise DataError(Problem("LC240", "is not UTF-8.", file, advice="Save it as CSV in UTF-8.")) from error
    except (OSError, csv.Error) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise DataError(Problem("LC240", f"cannot be read: {reason}.", file)) from error
    missing = [name for name in ("image", "violations") if name not in head]
    if missing:
        advice = 'The first line should be "image,violations".'
        raise DataError([Problem("LC241", f'no column "{name}".', file, 1, 1, advice) for name in missing])
    if not rows:
        raise DataError(Problem("LC246", "names no photo.", file, 1, 1, "Write one line a photo."))
    return _truth_of_rows(file, head, rows)


def _truth_of_rows(file: str, head: list[str], rows: list[tuple[int, list[str]]]) -> dict[str, tuple[str, ...]]:
    truth: dict[str, tuple[str, ...]] = {}
    lines: dict[str, int] = {}
    problems: list[Problem] = []
    for line, row in rows:
        if len(row) != len(head):
            advice = "Put ';' between several violations."
            message = f"{len(row)} fields where the first line has {len(head)}."
            problems.append(Problem("LC242", message, file, line, 1, advice))
            continue
        image = row[head.index("image")].strip()
        names = {name.strip() for name in row[head.index("violations")].split(";")} - {""}
        if not image:
            problems.append(Problem("LC243", "no image in this row.", file, line, 1))
        elif image in lines:
            message = f'image "{image}" is already on line {lines[image]}.'
            problems.append(Problem("LC244", message, file, line, 1, "Keep one row a photo."))
        for name in sorted(names & {"good", "ok", "none", "pass"}):
            advice = "Leave the field empty for a good photo."
            problems.append(Problem("LC245", f'"{name}" is not a violation.', file, line, 1, advice))
        lines.setdefault(image, line)
        truth[image] = tuple(sorted(names))
    if problems:
        raise DataError(problems)
    return truth
