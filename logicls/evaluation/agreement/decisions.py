"""Decisions of inspectors: the input table of an attribute agreement study."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import get_args

from logicls.data.ground_truth import Row, TableCodes, read_rows
from logicls.errors import DataError, Problem, suggest_name
from logicls.io import atomic
from logicls.records import Outcome

COLUMNS = ("photo", "inspector", "trial", "decision")
DECISION_CODES = TableCodes(unreadable="LC660", column="LC661", length="LC662", empty="LC661")
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
BUNDLE_INSPECTOR = "logicls"
"""Name of the bundle as an inspector."""
MAX_NAMED = 10
"""Photos without a decision that are listed."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Decision of one inspector on one photo in one trial."""

    photo: str
    inspector: str
    trial: int
    """Number of the trial, from 1."""
    outcome: Outcome


def read_decisions(path: Path, photos: Collection[str]) -> tuple[Decision, ...]:
    """Read inspectors' decisions: columns photo, inspector, trial, decision (pass, fail or review).

    Raises:
        DataError: Every error, with its line: file (LC660, LC661), rows (LC662), trials (LC663), decisions (LC664),
            duplicates (LC665), photos that are not in the truth (LC666); or, if every row is valid, the missing
            decisions: an inspector decides each photo in each trial (LC667).
    """
    table = read_rows(path, COLUMNS, DECISION_CODES)
    problems = list(table.problems)
    lines: dict[tuple[str, str, int], int] = {}
    decisions: list[Decision] = []
    for line, row in table.rows:
        errors = list(_check_row(row, photos))
        problems += [Problem(code, message, table.file, line, 1, advice) for code, message, advice in errors]
        if errors:
            continue
        decision = Decision(row["photo"], row["inspector"], int(row["trial"]), _parse_outcome(row["decision"]))
        key = decision.photo, decision.inspector, decision.trial
        if key in lines:
            message = f'{key[1]} decided on "{key[0]}" in trial {key[2]} on line {lines[key]} already.'
            problems.append(Problem("LC665", message, table.file, line, 1, "Keep one of the two."))
        lines.setdefault(key, line)
        decisions.append(decision)
    problems = problems or list(_find_missing(decisions, photos, table.file))
    if problems:
        raise DataError(sorted(problems, key=lambda problem: problem.line))
    return tuple(decisions)


def _check_row(row: Row, photos: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Yield code, message and advice of every error in a row."""
    for column in ("photo", "inspector"):
        if not row[column]:
            yield "LC662", f"no {column} in this row.", ""
    if row["inspector"] == BUNDLE_INSPECTOR:
        yield "LC662", f'the inspector "{BUNDLE_INSPECTOR}" is the bundle itself.', "Give the inspector another name."
    if row["photo"] and row["photo"] not in photos:
        yield "LC666", f'the photo "{row["photo"]}" is not in the truth.', _suggest_photo(row["photo"], photos)
    if not re.fullmatch(r"[1-9][0-9]{0,5}", row["trial"]):
        yield "LC663", f'the trial is "{row["trial"]}".', "Count the trials: 1, 2, 3."
    if row["decision"] not in OUTCOMES:
        yield "LC664", f'the decision is "{row["decision"]}".', f"Write one of {', '.join(OUTCOMES)}."


def _suggest_photo(photo: str, photos: Collection[str]) -> str:
    advice = suggest_name(photo, photos)
    return advice if advice.startswith("Did") else ""


def _parse_outcome(text: str) -> Outcome:
    return next(outcome for outcome in OUTCOMES if outcome == text)


def _find_missing(decisions: Sequence[Decision], photos: Collection[str], file: str) -> Iterator[Problem]:
    """Yield a problem for each inspector and trial with missing decisions."""
    decided: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for one in decisions:
        decided[one.inspector][one.trial].add(one.photo)
    advice = "Every inspector decides each photo in each trial."
    for inspector, trials in sorted(decided.items()):
        skipped = next(number for number in count(1) if number not in trials)
        if skipped < max(trials):
            yield Problem("LC667", f"{inspector} has trial {max(trials)} but not trial {skipped}.", file, advice=advice)
        for trial in sorted(trials):
            missing = sorted(set(photos) - trials[trial])
            if missing:
                named = ", ".join(missing[:MAX_NAMED]) + (
                    f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
                )
                yield Problem("LC667", f"{inspector} has no decision in trial {trial} on {named}.", file, advice=advice)


def group_decisions(decisions: Iterable[Decision]) -> Mapping[str, Mapping[str, tuple[Outcome, ...]]]:
    """Group decisions: inspector → photo → outcomes, in the order of the trials."""
    groups: dict[str, dict[str, list[Decision]]] = defaultdict(lambda: defaultdict(list))
    for one in decisions:
        groups[one.inspector][one.photo].append(one)
    return {
        inspector: {
            photo: tuple(one.outcome for one in sorted(repeats, key=lambda one: one.trial))
            for photo, repeats in by_photo.items()
        }
        for inspector, by_photo in groups.items()
    }


def write_decisions(decisions: Iterable[Decision], standard: Mapping[str, Outcome], path: Path) -> None:
    """Write study.csv: every decision with its reference. Without the last column `read_decisions` can read it."""
    with atomic.open_atomic(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, "standard"])
        writer.writerows([d.photo, d.inspector, d.trial, d.outcome, standard[d.photo]] for d in decisions)
