"""Verdicts on disk: the lines of verdicts.jsonl and the id of a result."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from logicls.errors import DataError, Problem
from logicls.io import jsonl
from logicls.records import Verdict

RESULT_ID_DIGITS = 12
"""Digits of the SHA-256: two of a million results share an id once in 500 times."""


def result_id(verdict: Verdict) -> str:
    """Return twelve hexadecimal digits that identify a result.

    They are made from the photo's path in its folder, its hash, the ids of bundle and thresholds, and the name, the
    knowledge and the settings of each plug-in. Photos with the same bytes have a result each; one that could not be
    opened has no hash.
    """
    plugins = (plugin.to_text() for plugin in verdict.plugins)
    content = "\0".join((verdict.photo, verdict.sha256, verdict.bundle, verdict.thresholds, *plugins))
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:RESULT_ID_DIGITS]


def read_verdicts(path: Path) -> Iterator[Verdict]:
    """Read the verdicts of a jsonl file, one at a time. Raises `DataError`."""
    return (verdict_from_json(record) for record in jsonl.read_records(path))


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    """Convert a verdict to lists, mappings, numbers and strings, under the record's field names; `result` is its id.

    The photo is the first key: a run that continues a folder reads no more of a line (`jsonl.read_values`).
    """
    record: dict[str, Any] = _adapter().dump_python(verdict, mode="json")
    results = [{**result, "payload": dict(result["payload"])} for result in record["plugin_results"]]
    return {"photo": verdict.photo, "result": result_id(verdict), **record, "plugin_results": results}


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
    upgraded = _rename(record, "")
    for part in ("findings", "answers", "plugins"):
        if isinstance(upgraded.get(part), list):
            upgraded[part] = [_rename(one, part) for one in upgraded[part]]
    results = []
    second_look, documents = upgraded.pop("second_look", None), upgraded.pop("documents", None)
    if isinstance(second_look, Mapping):
        payload = _rename(second_look, "second_look")
        results.append({"kind": "reasoner", "name": payload.pop("reasoner", ""), "payload": payload})
    if documents:
        results.append({"kind": "retriever", "name": "documents", "payload": {"documents": documents}})
    return {**upgraded, "plugin_results": results} if results else upgraded


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
