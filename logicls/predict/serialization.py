"""verdicts.csv: one row a photo, for a spreadsheet.

The name of a result: the same photo in a folder, bundle, thresholds and plug-ins have the same one, whenever.

A verdict as JSON and back: the line of verdicts.jsonl that everything after prediction reads.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from logicls.errors import DataError, Problem
from logicls.io import atomic
from logicls.predict.plugin_protocols import ANOMALY_VIOLATION
from logicls.records import Verdict

RESULT_ID_DIGITS = 12
"""Of the SHA-256: two of a million results share a name once in 500 times."""


def result_id(verdict: Verdict) -> str:
    """Twelve hexadecimal digits made of the photo's path in its folder, its hash, and the ids of bundle and thresholds.

    What was plugged in counts, too: by name, by what it knew, and by its settings.
    Photos with the same bytes have a result each; one that could not be opened has no hash.
    """
    plugged = (plug.to_text() for plug in verdict.plugins)
    made_of = "\0".join((verdict.photo, verdict.sha256, verdict.bundle, verdict.thresholds, *plugged))
    return hashlib.sha256(made_of.encode("utf-8", "surrogatepass")).hexdigest()[:RESULT_ID_DIGITS]


def verdict_to_json(verdict: Verdict) -> dict[str, object]:
    """Plain lists, mappings, numbers and strings, under the names of the record's fields; `result` is its id.

    The photo stands first: who goes on with a folder reads no more of a line (`jsonl.read_values`).
    """
    plain: dict[str, object] = _adapter().dump_python(verdict, mode="json")
    return {"photo": verdict.photo, "result": result_id(verdict), **plain}


def verdict_from_json(record: Mapping[str, object]) -> Verdict:
    """The verdict that `verdict_to_json` was given. Fields that it does not know are passed over.

    Raises:
        DataError: A field is missing or has another type (LC252), one problem a field.
    """
    try:
        verdict: Verdict = _adapter().validate_python(dict(record))
    except ValidationError as error:
        photo = str(record.get("photo", "?"))
        raise DataError([_problem(photo, e["loc"], e["msg"]) for e in error.errors()]) from error
    return verdict


def _problem(photo: str, place: tuple[int | str, ...], message: str) -> Problem:
    key = ".".join(str(part) for part in place)
    message = message[:1].lower() + message[1:]
    return Problem("LC252", f'verdict of "{photo}", {key}: {message}.')


@cache
def _adapter() -> Any:
    return TypeAdapter(Verdict)


UNREADABLE_TEXT = "unreadable"
"""What the column `stated` says where the model's own verdict could not be read; empty there means: good."""
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a text begins with that a spreadsheet may take for a formula and run."""


def write_verdicts_csv(verdicts: Iterable[Verdict], path: Path, *, violations: Sequence[str]) -> None:
    """Write one row a verdict, in the order given, one verdict in memory at a time.

    A text that a spreadsheet would run as a formula (a photo may be called `=1+1.jpg`) gets a `'` in front.

    Args:
        verdicts: Read once.
        path: The CSV file; it is replaced as a whole.
        violations: Every violation that the spec knows: each has a column `score:<violation>`; so has what an expert
            finds, where there is one.
    """
    columns, all_ = columns_of(verdicts, violations)
    with atomic.open_atomic(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns.head)
        for verdict in all_:
            cells = columns.row(verdict)
            writer.writerow([f"{cell:.4f}" if isinstance(cell, float) else escape_formula(cell) for cell in cells])


@dataclass(frozen=True, slots=True)
class Columns:
    """Of a table of verdicts."""

    violations: tuple[str, ...]
    """Each has one."""
    plugged: bool
    """Whether the last one says what was plugged in."""

    @property
    def head(self) -> list[str]:
        """Their names."""
        scores = [f"score:{name}" for name in self.violations]
        told = ["photo", "outcome", "violations", "stated", "score", "reasons"]
        origin = ["result", "sha256", "bundle", "thresholds", "version", "spec"]
        return [*told, *scores, "seconds", *origin, *(["plugins"] if self.plugged else [])]

    def row(self, verdict: Verdict) -> list[str | float]:
        """What stands in them: shares 0 to 1 and seconds as numbers, lists with ';' between."""
        cells = _row(verdict, self.violations)
        return [*cells, ";".join(plug.to_text() for plug in verdict.plugins)] if self.plugged else cells


def columns_of(verdicts: Iterable[Verdict], violations: Sequence[str]) -> tuple[Columns, Iterator[Verdict]]:
    """The columns, and all verdicts. Those of a folder were made with the same plug-ins: the first one tells them."""
    rest = iter(verdicts)
    first = next(rest, None)
    if first is None:
        return Columns(tuple(violations), False), rest
    flaws = (ANOMALY_VIOLATION,) if any(plug.kind == "expert" for plug in first.plugins) else ()
    return Columns((*violations, *flaws), bool(first.plugins)), chain([first], rest)


def _row(verdict: Verdict, violations: Sequence[str]) -> list[str | float]:
    scores = dict(verdict.scores)
    stated = UNREADABLE_TEXT if verdict.stated is None else ";".join(verdict.stated)
    told = [verdict.photo, verdict.outcome, ";".join(verdict.violations), stated]
    origin = [result_id(verdict), verdict.sha256, verdict.bundle, verdict.thresholds, verdict.version, verdict.spec]
    numbers = [scores.get(name, "") for name in violations]
    return [*told, verdict.score, ";".join(verdict.reasons), *numbers, verdict.seconds or "", *origin]


def escape_formula(text: str) -> str:
    """The text as a spreadsheet shows it, and never runs it."""
    return f"'{text}" if text.startswith(FORMULA_PREFIXES) else text
