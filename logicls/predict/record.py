"""A verdict as JSON and back: the line of verdicts.jsonl that everything after prediction reads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from logicls.errors import DataError, Problem
from logicls.predict.result import result_id
from logicls.records import Verdict


def verdict_to_json(verdict: Verdict) -> dict[str, object]:
    """Plain lists, mappings, numbers and strings, under the names of the record's fields; `result` is its id.

    The photo stands first: who goes on with a folder reads no more of a line (`jsonl.read_names`).
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
