"""Heals damaged annotations, where what is meant is certain; all else stays as it is, for a person to mend."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from logicls.data.coco_parser import BYTE_ORDER_MARK, leaves, parse, read_text
from logicls.data.image_io import Header, photo_header
from logicls.data.repair_boxes import drop_repeats, heal_sizes_and_boxes
from logicls.data.repair_log import Healed, Look
from logicls.data.repair_tables import (
    Vocabulary,
    drop_orphans,
    heal_annotation_ids,
    heal_attributes,
    heal_categories,
    heal_file_names,
    heal_lists,
    heal_numbers,
    merge_categories,
    merge_images,
)
from logicls.errors import DataError, PhotoError, Problem, relative
from logicls.io.atomic import write_text

_TEXT_OR_COMMA = re.compile(r'"(?:[^"\\]|\\.)*+"|,(?=\s*[]}])', re.DOTALL)


def heal(content: object, look: Look, components: Vocabulary) -> tuple[object, tuple[Healed, ...]]:
    """The content with everything healed that can be, and what that was. `content` itself is left alone.

    Args:
        content: What the JSON holds.
        look: Tells a photo's size and orientation by its file_name.
        components: The spec's components → their attributes → the values that each may have.
    """
    if not isinstance(content, dict):
        return content, ()
    notes: list[Healed] = []
    tables = heal_lists(content, notes)
    heal_numbers(tables, notes)
    heal_file_names(tables, look, notes)
    merge_images(tables, notes)
    heal_categories(tables, components, notes)
    merge_categories(tables, notes)
    drop_orphans(tables, notes)
    heal_attributes(tables, components, notes)
    heal_sizes_and_boxes(tables, look, notes)
    drop_repeats(tables, notes)
    heal_annotation_ids(tables, notes)
    return {**content, **tables}, tuple(notes)


def heal_file(root: Path, out: Path, components: Vocabulary) -> tuple[Healed, ...]:
    """Write a healed copy of the folder's `annotations.json` to `out`; nothing is written where nothing is to heal.

    Raises:
        DataError: The file cannot be read (LC101) or is broken beyond healing (LC130), or `out` is the file itself or
            holds something else (LC132).
    """
    path = root / "annotations.json"
    text = read_text(path)
    content, slips = _parsed(text, relative(path))
    healed, notes = heal(content, _looking(root / "images"), components)
    if slips or notes:
        _write(path, out, _as_text(healed))
    return (*slips, *notes)


def _parsed(text: str, file: str) -> tuple[object, list[Healed]]:
    """What the JSON holds, read without the commas that JSON does not allow."""
    slips = [Healed("file", "dropped the byte order mark")] if text.startswith(BYTE_ORDER_MARK) else []
    try:
        return parse(text, file), slips
    except DataError as error:
        strict = error
    cut = _TEXT_OR_COMMA.sub(lambda found: "" if found[0] == "," else found[0], text)
    try:
        content = parse(cut, file)
    except DataError:
        first = strict.problems[0]
        message = f"cannot be healed: it {first.message}"
        raise DataError(Problem("LC130", message, first.file, first.line, first.column, first.advice)) from strict
    commas = text.count(",") - cut.count(",")
    return content, [*slips, Healed("file", "dropped commas before a closing bracket", str(commas))]


def _looking(images: Path) -> Look:
    def look(name: str) -> Header | None:
        path = images / name
        if leaves(name) or not os.path.isfile(path):
            return None
        try:
            return photo_header(path)
        except PhotoError:
            return None

    return look


def _write(path: Path, out: Path, text: str) -> None:
    if out.exists():
        if out.samefile(path):
            advice = "Name another file with --out."
            raise DataError(Problem("LC132", "the original is never written over.", relative(out), advice=advice))
        if read_text(out) != text:
            advice = "Move it away, or name another file with --out."
            raise DataError(Problem("LC132", "is there already and says something else.", relative(out), advice=advice))
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
