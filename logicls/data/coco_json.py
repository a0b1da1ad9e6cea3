"""Parses a COCO file, each annotation cut down to what is read of it before the next one is parsed.

Outlines can be most of a file; they never stand in memory all at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from logicls.errors import DataError, Problem, relative

Attributes = tuple[tuple[str, str], ...]
BYTE_ORDER_MARK = "\ufeff"


class Annotation(NamedTuple):
    """What is read of an annotation whose ids are whole numbers."""

    id: int
    image_id: int
    category_id: int
    bbox: object
    attributes: Attributes | None
    """None where they are not an object."""
    outlined: bool
    """True where there is a segmentation."""


class Trimmer:
    """Called with each JSON object in turn: annotations are cut down, all else stays as it is."""

    def __init__(self) -> None:
        self._seen: dict[Attributes, Attributes] = {}

    def __call__(self, row: dict[str, Any]) -> dict[str, Any] | Annotation:
        """The annotation; the row itself where it is none, is a crowd, or lacks a usable id."""
        number, image, category = row.get("id"), row.get("image_id"), row.get("category_id")
        if type(number) is not int or type(image) is not int or type(category) is not int or row.get("iscrowd") == 1:
            return row
        attributes, outlined = self._told(row.get("attributes")), bool(row.get("segmentation"))
        return Annotation(number, image, category, row.get("bbox"), attributes, outlined)

    def _told(self, attributes: object) -> Attributes | None:
        """The attributes as text; equal ones are kept once."""
        if not attributes:
            return ()
        if not isinstance(attributes, dict):
            return None
        told = tuple([(key, as_text(value)) for key, value in attributes.items() if value is not None])
        return self._seen.setdefault(told, told)


def as_text(value: object) -> str:
    """An attribute's value as the spec writes it."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else json.dumps(value)


def read_text(path: Path) -> str:
    """The file's text.

    Raises:
        DataError: The file cannot be read (LC101), or is not UTF-8 (LC102).
    """
    file = relative(path)
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise DataError(Problem("LC101", f"cannot be read: {error.strerror or error}.", file)) from error
    except UnicodeDecodeError as error:
        raise DataError(Problem("LC102", "is not JSON: it is not UTF-8.", file, advice="Save it as UTF-8.")) from error


def parse(text: str, file: str, hook: Callable[[dict[str, Any]], object] | None = None) -> object:
    """The JSON in the text.

    Args:
        text: What stands in the file, with or without a byte order mark.
        file: What the file is called in a complaint.
        hook: Called with each object, innermost first; what it returns takes the object's place.

    Raises:
        DataError: It is not JSON (LC102).
    """
    try:
        return json.loads(text.removeprefix(BYTE_ORDER_MARK), object_hook=hook)
    except json.JSONDecodeError as error:
        raise DataError(Problem("LC102", f"is not JSON: {error.msg}.", file, error.lineno, error.colno)) from error
    except (ValueError, RecursionError) as error:
        raise DataError(Problem("LC102", f"is not JSON: {error}.", file)) from error
