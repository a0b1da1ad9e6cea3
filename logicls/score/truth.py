"""The truth about photos, as people write it down: truth.csv."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from logicls.errors import DataError, Problem
from logicls.score.csv_rows import Codes, Rows, read_rows

Truth = Mapping[str, tuple[str, ...]]
"""Photo → the violations it has; empty for a good one."""
CODES = Codes(unreadable="LC240", column="LC241", length="LC242", empty="LC246")


def read_truth(path: Path) -> dict[str, tuple[str, ...]]:
    """Read truth.csv: columns `image` and `violations`, several with ';' between, none for a good photo.

    Raises:
        DataError: All that is wrong with it (LC240 to LC246), with the line.
    """
    advice = "Put ';' between several violations."
    return _truth_of_rows(read_rows(path, ("image", "violations"), CODES, length_advice=advice))


def _truth_of_rows(table: Rows) -> dict[str, tuple[str, ...]]:
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
