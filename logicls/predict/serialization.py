"""Verdicts on disk: lines of verdicts.jsonl, ids of results, and the columns of the table.

A column is declared once, for verdicts.csv and verdicts.xlsx.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from logicls.errors import DataError, Problem
from logicls.io import atomic, jsonl
from logicls.predict.plugin_protocols import ANOMALY_VIOLATION
from logicls.records import Verdict

RESULT_ID_DIGITS = 12
"""Digits of the SHA-256: two of a million results share an id once in 500 times."""


def result_id(verdict: Verdict) -> str:
    """Return twelve hexadecimal digits that identify a result.

    They are made from the photo's path in its folder, its hash, the ids of bundle and thresholds, the name, the
    knowledge and the settings of each plug-in, and the hash of the spec if the model was trained with another one.
    Photos with the same bytes have a result each; one that could not be opened has no hash.
    """
    plugins = (plugin.to_text() for plugin in verdict.plugins)
    spec = () if verdict.trained_spec in ("", verdict.spec) else (f"spec {verdict.spec}",)
    content = "\0".join((verdict.photo, verdict.sha256, verdict.bundle, verdict.thresholds, *plugins, *spec))
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:RESULT_ID_DIGITS]


def read_verdicts(path: Path) -> Iterator[Verdict]:
    """Read the verdicts of a jsonl file, one at a time. Raises `DataError`."""
    return (verdict_from_json(record) for record in jsonl.read_records(path))


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    """Convert a verdict to lists, mappings, numbers and strings, under the record's field names; `result` is its id.

    The photo is the first key: a run that continues a folder reads no more of a line (`jsonl.read_values`).
    """
    record: dict[str, Any] = _adapter().dump_python(verdict, mode="json")
    record["answers"] = [_drop_unused(answer) for answer in record["answers"]]
    results = [{**result, "payload": dict(result["payload"])} for result in record["plugin_results"]]
    return {"photo": verdict.photo, "result": result_id(verdict), **record, "plugin_results": results}


_COMPACT_FIELDS = ("rarities", "heatmaps", "ranks", "candidates", "places")
"""Fields of an answer that are written only if they are not empty; boxes of candidates as lists of their edges."""


def _drop_unused(answer: dict[str, Any]) -> dict[str, Any]:
    """Leave out the compact fields that are empty, and the keys of candidates' edges."""
    if answer["candidates"]:
        answer = {**answer, "candidates": [list(box.values()) for box in answer["candidates"]]}
    return {key: value for key, value in answer.items() if value or key not in _COMPACT_FIELDS}


def verdict_from_json(record: Mapping[str, Any]) -> Verdict:
    """Convert the output of `verdict_to_json` back, of older versions too. Unknown fields are ignored.

    Raises:
        DataError: A field is missing or has another type (LC252), one problem for each.
    """
    try:
        verdict: Verdict = _adapter().validate_python(_with_payload_pairs(_upgrade(record)))
    except ValidationError as error:
        photo = str(record.get("photo", "?"))
        raise DataError([_problem(photo, e["loc"], e["msg"]) for e in error.errors()]) from error
    return verdict


_RENAMED_FIELDS: Mapping[str, Mapping[str, str]] = {
    "": {"doubts": "unconditional_reasons", "plugged": "plugins"},
    "findings": {"chance": "probability"},
    "answers": {"chances": "probabilities"},
    "plugins": {"knows": "knowledge_id"},
    "second_look": {"kept": "retained_views", "taken": "is_accepted"},
}
"""Part of the record (empty for the record itself) → old field → field."""


def _upgrade(record: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the fields of an older record, and make plug-in results of the fields that plug-ins had of their own."""
    if record.get("trained_spec") and isinstance(record.get("answers"), list):  # a record of this version
        return {**record, "answers": [_expand_candidates(answer) for answer in record["answers"]]}
    upgraded = _rename(record, "")
    for part in ("findings", "answers", "plugins"):
        if isinstance(upgraded.get(part), list):
            upgraded[part] = [_rename(one, part) for one in upgraded[part]]
    if isinstance(upgraded.get("answers"), list):
        upgraded["answers"] = [_expand_candidates(answer) for answer in upgraded["answers"]]
    results = []
    second_look, documents = upgraded.pop("second_look", None), upgraded.pop("documents", None)
    if isinstance(second_look, Mapping):
        payload = _rename(second_look, "second_look")
        results.append({"kind": "reasoner", "name": payload.pop("reasoner", ""), "payload": payload})
    if documents:
        results.append({"kind": "retriever", "name": "documents", "payload": {"documents": documents}})
    return {**upgraded, "plugin_results": results} if results else upgraded


def _expand_candidates(answer: Any) -> Any:
    """Restore the keys of candidates' edges."""
    if not isinstance(answer, dict) or not isinstance(answer.get("candidates"), list):
        return answer
    boxes = [dict(zip(_EDGES, one, strict=False)) if isinstance(one, list) else one for one in answer["candidates"]]
    return {**answer, "candidates": boxes}


_EDGES = ("x1", "y1", "x2", "y2")


def _rename(value: Any, part: str) -> Any:
    names = _RENAMED_FIELDS[part]
    return {names.get(key, key): one for key, one in value.items()} if isinstance(value, Mapping) else value


def _with_payload_pairs(record: dict[str, Any]) -> dict[str, Any]:
    """Convert the payloads of plug-in results to the pairs that the record has."""
    results = record.get("plugin_results")
    if not isinstance(results, list):
        return record
    return {**record, "plugin_results": [_payload_pairs(result) for result in results]}


def _payload_pairs(result: Any) -> Any:
    payload = result.get("payload") if isinstance(result, Mapping) else None
    return {**result, "payload": tuple(payload.items())} if isinstance(payload, Mapping) else result


def _problem(photo: str, location: tuple[int | str, ...], message: str) -> Problem:
    key = ".".join(str(part) for part in location)
    message = message[:1].lower() + message[1:]
    return Problem("LC252", f'verdict of "{photo}", {key}: {message}.')


@cache
def _adapter() -> Any:
    return TypeAdapter(Verdict)


ColumnKind = Literal["text", "outcome", "severity", "probability", "seconds"]
"""Kind of a column's values: numbers for the last two, texts for all others."""
UNREADABLE_TEXT = "unreadable"
"""Cell of `stated_violations` if the stated verdict was unreadable; an empty cell there means: good."""
SEPARATOR = ";"
"""Between several values in one cell."""
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n")
"""First characters of a text that a spreadsheet may interpret as a formula."""


@dataclass(frozen=True, slots=True)
class VerdictColumn:
    """One column of the table of verdicts."""

    header: str
    value: Callable[[Verdict], str | float]
    """Return the cell of a verdict; an empty text for a number that it does not have."""
    kind: ColumnKind = "text"
    min_width: int = 11
    """Least width in a workbook, characters."""

    @property
    def width(self) -> int:
        """Width in a workbook, characters: at least that of the header."""
        return max(self.min_width, len(self.header) + 4)


def verdict_columns(violations: Sequence[str], *, has_expert: bool, has_plugins: bool) -> tuple[VerdictColumn, ...]:
    """Return the columns of verdicts on these `violations` of a spec; one more with an expert's score, and plug-ins."""
    scored = (*violations, *((ANOMALY_VIOLATION,) if has_expert else ()))
    plugins = VerdictColumn("plugins", lambda v: SEPARATOR.join(plugin.to_text() for plugin in v.plugins))
    return (
        VerdictColumn("photo", lambda v: v.photo, min_width=34),
        VerdictColumn("outcome", lambda v: v.outcome, "outcome"),
        VerdictColumn("violations", lambda v: SEPARATOR.join(v.violations), min_width=34),
        VerdictColumn("stated_violations", _stated_text, min_width=24),
        VerdictColumn("anomaly_score", lambda v: v.score, "probability"),
        VerdictColumn("review_reasons", lambda v: SEPARATOR.join(v.reasons), min_width=50),
        *map(_score_column, scored),
        VerdictColumn("seconds", lambda v: v.seconds or "", "seconds"),
        VerdictColumn("result_id", result_id),
        VerdictColumn("sha256", lambda v: v.sha256, min_width=20),
        VerdictColumn("bundle_id", lambda v: v.bundle),
        VerdictColumn("thresholds_id", lambda v: v.thresholds),
        VerdictColumn("spec_version", lambda v: v.version),
        VerdictColumn("spec_hash", lambda v: v.spec, min_width=20),
        VerdictColumn("trained_spec_hash", lambda v: v.trained_spec or v.spec, min_width=20),
        *((plugins,) if has_plugins else ()),
    )


def _stated_text(verdict: Verdict) -> str:
    return UNREADABLE_TEXT if verdict.stated is None else SEPARATOR.join(verdict.stated)


def _score_column(violation: str) -> VerdictColumn:
    return VerdictColumn(f"score:{violation}", lambda v: dict(v.scores).get(violation, ""), "probability")


def columns_for(
    verdicts: Iterable[Verdict], violations: Sequence[str]
) -> tuple[tuple[VerdictColumn, ...], Iterator[Verdict]]:
    """Return the columns for the verdicts of one folder, and an iterator over all of them.

    All verdicts of a folder have the same plug-ins, so the first one determines the columns.
    """
    rest = iter(verdicts)
    first = next(rest, None)
    plugins = first.plugins if first is not None else ()
    has_expert = any(plugin.kind == "expert" for plugin in plugins)
    columns = verdict_columns(violations, has_expert=has_expert, has_plugins=bool(plugins))
    return columns, chain([first] if first is not None else [], rest)


def write_verdicts_csv(verdicts: Iterable[Verdict], path: Path, *, violations: Sequence[str]) -> None:
    """Write verdicts.csv, one row per verdict in the order given, with one verdict in memory at a time.

    A text that a spreadsheet would interpret as a formula (a photo may be called `=1+1.jpg`) is prefixed with `'`.

    Args:
        verdicts: Read once.
        path: The file; it is replaced as a whole.
        violations: Violations of the spec: each has a column `score:<violation>`, and so has an expert's violation.
    """
    columns, rows = columns_for(verdicts, violations)
    with atomic.open_atomic(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column.header for column in columns])
        for verdict in rows:
            cells = (column.value(verdict) for column in columns)
            writer.writerow([f"{cell:.4f}" if isinstance(cell, float) else escape_formula(cell) for cell in cells])


def escape_formula(text: str) -> str:
    """Prefix a text that a spreadsheet would interpret as a formula with an apostrophe."""
    return f"'{text}" if text.startswith(FORMULA_PREFIXES) else text
