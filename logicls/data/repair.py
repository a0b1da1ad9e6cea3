"""Heals damaged annotations, where what is meant is certain; all else stays as it is, for a person to mend."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from logicls.data.coco_parser import BYTE_ORDER_MARK, is_unsafe_path, parse_json, read_utf8
from logicls.data.image_io import PhotoHeader, read_header
from logicls.data.repair_boxes import drop_duplicates, repair_sizes_and_boxes
from logicls.data.repair_log import HeaderReader, Repair
from logicls.data.repair_tables import (
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

_TEXT_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.)*+"|,(?=\s*[]}])', re.DOTALL)


def repair(content: object, look: HeaderReader, components: SpecVocabulary) -> tuple[object, tuple[Repair, ...]]:
    """The content with everything healed that can be, and what that was. `content` itself is left alone.

    Args:
        content: What the JSON holds.
        look: Tells a photo's size and orientation by its file_name.
        components: The spec's components → their attributes → the values that each may have.
    """
    if not isinstance(content, dict):
        return content, ()
    notes: list[Repair] = []
    tables = repair_lists(content, notes)
    repair_numbers(tables, notes)
    repair_file_names(tables, look, notes)
    merge_images(tables, notes)
    repair_categories(tables, components, notes)
    merge_categories(tables, notes)
    drop_orphans(tables, notes)
    repair_attributes(tables, components, notes)
    repair_sizes_and_boxes(tables, look, notes)
    drop_duplicates(tables, notes)
    repair_annotation_ids(tables, notes)
    return {**content, **tables}, tuple(notes)


def repair_file(root: Path, out: Path, components: SpecVocabulary) -> tuple[Repair, ...]:
    """Write a healed copy of the folder's `annotations.json` to `out`; nothing is written where nothing is to heal.

    Raises:
        DataError: The file cannot be read (LC101) or is broken beyond healing (LC130), or `out` is the file itself or
            holds something else (LC132).
    """
    path = root / "annotations.json"
    text = read_utf8(path)
    content, slips = _parsed(text, relative_path(path))
    healed, notes = repair(content, _looking(root / "images"), components)
    if slips or notes:
        _write(path, out, _as_text(healed))
    return (*slips, *notes)


def _parsed(text: str, file: str) -> tuple[object, list[Repair]]:
    """What the JSON holds, read without the commas that JSON does not allow."""
    slips = [Repair("file", "dropped the byte order mark")] if text.startswith(BYTE_ORDER_MARK) else []
    try:
        return parse_json(text, file), slips
    except DataError as error:
        strict = error
    cut = _TEXT_OR_COMMA.sub(lambda found: "" if found[0] == "," else found[0], text)
    try:
        content = parse_json(cut, file)
    except DataError:
        first = strict.problems[0]
        message = f"cannot be healed: it {first.message}"
        raise DataError(Problem("LC130", message, first.file, first.line, first.column, first.advice)) from strict
    commas = text.count(",") - cut.count(",")
    return content, [*slips, Repair("file", "dropped commas before a closing bracket", str(commas))]


def _looking(images: Path) -> HeaderReader:
    def look(name: str) -> PhotoHeader | None:
        path = images / name
        if is_unsafe_path(name) or not os.path.isfile(path):
            return None
        try:
            return read_header(path)
        except PhotoError:
            return None

    return look


def _write(path: Path, out: Path, text: str) -> None:
    if out.exists():
        if out.samefile(path):
            advice = "Name another file with --out."
            raise DataError(Problem("LC132", "the original is never written over.", relative_path(out), advice=advice))
        if read_utf8(out) != text:
            advice = "Move it away, or name another file with --out."
            raise DataError(
                Problem("LC132", "is there already and says something else.", relative_path(out), advice=advice)
            )
    write_text(out, text)


def _as_text(content: object) -> str:
    """JSON with a row of each list on a line of its own, so that a person can mend what remains."""
    if not isinstance(content, dict):
        return json.dumps(content)
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {_listed(value)}" for key, value in content.items()) + "\n}\n"


def _listed(value: object) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value)
    return "[\n" + ",\n".join(json.dumps(row) for row in value) + "\n]"
