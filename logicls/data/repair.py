"""Repair damaged annotation files where the correction is unambiguous; everything else is left unchanged."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from logicls.data.coco import BYTE_ORDER_MARK, is_unsafe_path, parse_json, read_utf8
from logicls.data.image_io import PhotoHeader, read_header
from logicls.data.repair_boxes import drop_duplicates, repair_sizes_and_boxes
from logicls.data.repair_tables import (
    HeaderReader,
    Repair,
    SpecVocabulary,
    drop_orphans,
    merge_categories,
    merge_images,
    repair_annotation_ids,
    repair_attributes,
    repair_categories,
    repair_file_names,
    repair_lists,
    repair_numbers,
)
from logicls.errors import DataError, PhotoError, Problem, relative_path
from logicls.io.atomic import write_text

_STRING_OR_TRAILING_COMMA = re.compile(r'"(?:[^"\\]|\\.)*+"|,(?=\s*[]}])', re.DOTALL)


def repair(content: object, read_header: HeaderReader, vocabulary: SpecVocabulary) -> tuple[object, tuple[Repair, ...]]:
    """Return a repaired copy of a COCO file's content, and the repairs.

    Args:
        content: Parsed JSON; not modified.
        read_header: Returns a photo's size and orientation.
        vocabulary: Category names that the spec allows → their attributes → the values of each.
    """
    if not isinstance(content, dict):
        return content, ()
    log: list[Repair] = []
    tables = repair_lists(content, log)
    repair_numbers(tables, log)
    repair_file_names(tables, read_header, log)
    merge_images(tables, log)
    repair_categories(tables, vocabulary, log)
    merge_categories(tables, log)
    drop_orphans(tables, log)
    repair_attributes(tables, vocabulary, log)
    repair_sizes_and_boxes(tables, read_header, log)
    drop_duplicates(tables, log)
    repair_annotation_ids(tables, log)
    return {**content, **tables}, tuple(log)


def repair_file(root: Path, out: Path, vocabulary: SpecVocabulary) -> tuple[Repair, ...]:
    """Write a repaired copy of the dataset's `annotations.json` to `out`, unless nothing needs repair.

    Raises:
        DataError: The file cannot be read (LC101) or parsed (LC130), or `out` is the file itself or exists with other
            content (LC132).
    """
    path = root / "annotations.json"
    text = read_utf8(path)
    content, syntax_repairs = _parse_leniently(text, relative_path(path))
    repaired, log = repair(content, _create_header_reader(root / "images"), vocabulary)
    if syntax_repairs or log:
        _write_copy(path, out, _to_json(repaired))
    return (*syntax_repairs, *log)


def _parse_leniently(text: str, file: str) -> tuple[object, list[Repair]]:
    """Parse JSON that may have a byte order mark and trailing commas."""
    log = [Repair("file", "removed the byte order mark")] if text.startswith(BYTE_ORDER_MARK) else []
    try:
        return parse_json(text, file), log
    except DataError as error:
        strict_error = error
    stripped = _STRING_OR_TRAILING_COMMA.sub(lambda match: "" if match[0] == "," else match[0], text)
    try:
        content = parse_json(stripped, file)
    except DataError:
        first = strict_error.problems[0]
        message = f"cannot be repaired: it {first.message}"
        problem = Problem("LC130", message, first.file, first.line, first.column, first.advice)
        raise DataError(problem) from strict_error
    commas = text.count(",") - stripped.count(",")
    return content, [*log, Repair("file", "removed trailing commas", str(commas))]


def _create_header_reader(images: Path) -> HeaderReader:
    def read_if_valid(name: str) -> PhotoHeader | None:
        path = images / name
        if is_unsafe_path(name) or not os.path.isfile(path):
            return None
        try:
            return read_header(path)
        except PhotoError:
            return None

    return read_if_valid


def _write_copy(path: Path, out: Path, text: str) -> None:
    if out.exists():
        if out.samefile(path):
            advice = "Choose another file with --out."
            raise DataError(
                Problem("LC132", "the original file is not overwritten.", relative_path(out), advice=advice)
            )
        if read_utf8(out) != text:
            advice = "Move it, or choose another file with --out."
            raise DataError(Problem("LC132", "exists already with other content.", relative_path(out), advice=advice))
    write_text(out, text)


def _to_json(content: object) -> str:
    """Write JSON with one row per line, so that a person can edit it."""
    if not isinstance(content, dict):
        return json.dumps(content)
    items = (f"{json.dumps(key)}: {_list_to_json(value)}" for key, value in content.items())
    return "{\n" + ",\n".join(items) + "\n}\n"


def _list_to_json(value: object) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value)
    return "[\n" + ",\n".join(json.dumps(row) for row in value) + "\n]"
