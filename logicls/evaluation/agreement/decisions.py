"""Decisions of inspectors on photos, several times each: the table that an attribute study begins with."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import get_args

from logicls.errors import DataError, Problem, suggest_name
from logicls.evaluation.ground_truth import TableCodes, Row, read_rows
from logicls.io import atomic
from logicls.records import Outcome

COLUMNS = ("photo", "inspector", "trial", "decision")
DECISION_CODES = TableCodes(unreadable="LC660", column="LC661", length="LC662", empty="LC661")
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
BUNDLE_INSPECTOR = "logicls"
"""The inspector that a bundle is."""
MAX_NAMED = 10
"""Photos that are named where decisions on them are missing."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one inspector said of one photo, once."""

    photo: str
    inspector: str
    trial: int
    """Counted from 1."""
    outcome: Outcome


def read_decisions(path: Path, photos: Collection[str]) -> tuple[Decision, ...]:
    """Read inspectors' decisions: columns photo, inspector, trial, decision (pass, fail or review).

    Raises:
        DataError: All that is wrong, with the line: the file (LC660, LC661), rows (LC662), trials (LC663), decisions
            (LC664), repeats (LC665), photos that the truth does not name (LC666); or, where every row is right, what
            is missing: an inspector decides each photo in each of the trials (LC667).
    """
    table = read_rows(path, COLUMNS, DECISION_CODES)
    problems = list(table.problems)
    lines: dict[tuple[str, str, int], int] = {}
    decisions: list[Decision] = []
    for line, row in table.rows:
        found = [
            Problem(code, message, table.file, line, 1, advice) for code, message, advice in _check_row(row, photos)
        ]
        problems += found
        if found:
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
    """Code, message and advice of all that is wrong in one row."""
    for column in ("photo", "inspector"):
        if not row[column]:
            yield "LC662", f"no {column} in this row.", ""
    if row["inspector"] == BUNDLE_INSPECTOR:
        yield "LC662", f'the inspector "{BUNDLE_INSPECTOR}" is the bundle itself.', "Give the person another name."
    if row["photo"] and row["photo"] not in photos:
        yield "LC666", f'the truth does not name the photo "{row["photo"]}".', _suggest_photo(row["photo"], photos)
    if not re.fullmatch(r"[1-9][0-9]{0,5}", row["trial"]):
        yield "LC663", f'the trial is "{row["trial"]}".', "Count the trials: 1, 2, 3."
    if row["decision"] not in OUTCOMES:
        yield "LC664", f'the decision is "{row["decision"]}".', f"Write one of {', '.join(OUTCOMES)}."


def _suggest_photo(photo: str, photos: Collection[str]) -> str:
    advice = suggest_name(photo, photos)
    return advice if advice.startswith("Did") else ""


def _parse_outcome(word: str) -> Outcome:
    return next(outcome for outcome in OUTCOMES if outcome == word)


def _find_missing(decisions: Sequence[Decision], photos: Collection[str], file: str) -> Iterator[Problem]:
    """What an inspector has not decided."""
    there: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for one in decisions:
        there[one.inspector][one.trial].add(one.photo)
    advice = "Everybody decides on each photo in each trial."
    for inspector, trials in sorted(there.items()):
        skipped = next(number for number in count(1) if number not in trials)
        if skipped < max(trials):
            yield Problem(
                "LC667", f"{inspector} has a trial {max(trials)} and no trial {skipped}.", file, advice=advice
            )
        for trial in sorted(trials):
            missing = sorted(set(photos) - trials[trial])
            if missing:
                named = ", ".join(missing[:MAX_NAMED]) + (
                    f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
                )
                yield Problem("LC667", f"{inspector} has not decided in trial {trial} on {named}.", file, advice=advice)


def group_decisions(decisions: Iterable[Decision]) -> Mapping[str, Mapping[str, tuple[Outcome, ...]]]:
    """Inspector → photo → what was said of it, in the order of the trials."""
    found: dict[str, dict[str, list[Decision]]] = defaultdict(lambda: defaultdict(list))
    for one in decisions:
        found[one.inspector][one.photo].append(one)
    return {
        inspector: {
            photo: tuple(one.outcome for one in sorted(some, key=lambda one: one.trial)) for photo, some in said.items()
        }
        for inspector, said in found.items()
    }


def write_decisions(decisions: Iterable[Decision], standard: Mapping[str, Outcome], path: Path) -> None:
    """Write study.csv: every decision, beside it what is right. Without its last column it can be read again."""
    with atomic.open_atomic(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, "standard"])
        writer.writerows([d.photo, d.inspector, d.trial, d.outcome, standard[d.photo]] for d in decisions)
