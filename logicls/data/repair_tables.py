"""Repair the tables of a COCO file: ids, references, duplicate rows, and names that differ from the spec's in spelling.

Names match if they differ only in case, spaces, hyphens and underscores.

The types that all repairs share, tables and log, are here as well.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from logicls.data.coco import is_unsafe_path
from logicls.data.image_io import PhotoHeader

Row: TypeAlias = dict[str, Any]
Tables: TypeAlias = dict[str, list[Row]]
"""Lists `images`, `categories` and `annotations`; rows may be modified, nested values may not."""

HeaderReader: TypeAlias = Callable[[str], PhotoHeader | None]
"""Function from file_name to the photo's header; None if there is no readable photo below `images/`."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One repair."""

    location: str
    """`annotation 9`, `image 3`, `category 5` or `file`."""
    action: str
    """Description shared by all repairs of this kind."""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.location}: {self.action}: {self.detail}" if self.detail else f"{self.location}: {self.action}"


RepairLog: TypeAlias = list[Repair]


def row_name(kind: str, row: Row) -> str:
    """Name a row by its id: `annotation 9`."""
    return f"{kind} {json.dumps(row['id'])}" if "id" in row else f"{kind} without id"


def is_single_instance(row: Row) -> bool:
    """Return True unless the annotation is a crowd; crowds are not read."""
    return row.get("iscrowd") != 1


SpecVocabulary = Mapping[str, Mapping[str, Sequence[str]]]
"""Category names that the spec allows → their attributes → the values of each."""

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,14}")
_REFERENCES = (("images", "image_id", "image"), ("categories", "category_id", "category"))
"""Table, field of an annotation that refers to it, name of one row."""


def repair_lists(content: Mapping[str, Any], log: RepairLog) -> Tables:
    """Copy the three lists without items that are not objects; add a missing list if an empty one is correct."""
    tables: Tables = {}
    for name in ("images", "categories", "annotations"):
        rows = content.get(name)
        if isinstance(rows, list):
            numbers = [number for number, row in enumerate(rows, 1) if not isinstance(row, dict)]
            action = "deleted an item that is not an object"
            log += [Repair("file", action, f"item {number} of {name}") for number in numbers]
            tables[name] = [dict(row) for row in rows if isinstance(row, dict)]
        elif name == "annotations" or (name == "categories" and not content.get("annotations")):
            log.append(Repair("file", "added the missing list", name))
            tables[name] = []
    return tables


def repair_numbers(tables: Tables, log: RepairLog) -> None:
    """Convert ids and sizes to integers; an id that is other text gets a number, also where it is referred to."""
    for table, key, kind in _REFERENCES:
        rows = tables.get(table, [])
        to_number = _create_numbering(row.get("id") for row in rows)
        for row in rows:
            _convert_number(row, "id", to_number, kind, log)
        for row in tables["annotations"]:
            _convert_number(row, key, to_number, "annotation", log)
    for row in tables.get("images", []):
        for key in ("width", "height"):
            _convert_number(row, key, parse_integer, "image", log)
    for row in filter(is_single_instance, tables["annotations"]):
        _convert_number(row, "id", parse_integer, "annotation", log)


def repair_file_names(tables: Tables, read_header: HeaderReader, log: RepairLog) -> None:
    """Replace backslashes in file names with slashes, unless a photo has that very name."""
    for row in tables.get("images", []):
        name = row.get("file_name")
        if not isinstance(name, str) or "\\" not in name or is_unsafe_path(name) or read_header(name):
            continue
        row["file_name"] = name.replace("\\", "/")
        log.append(Repair(row_name("image", row), "replaced backslashes with slashes", row["file_name"]))


def merge_images(tables: Tables, log: RepairLog) -> None:
    """Merge images of one file_name, unless their sizes differ."""
    _merge_rows(tables, _REFERENCES[0], "file_name", ("width", "height"), log)


def merge_categories(tables: Tables, log: RepairLog) -> None:
    """Merge categories of one name."""
    _merge_rows(tables, _REFERENCES[1], "name", (), log)


def drop_orphans(tables: Tables, log: RepairLog) -> None:
    """Delete annotations whose image or category does not exist, if the ids of all images or categories are valid."""
    for table, key, kind in _REFERENCES:
        ids = [row.get("id") for row in tables[table]] if table in tables else [None]
        valid_ids = {number for number in ids if type(number) is int}
        if len(valid_ids) < len(ids):
            continue
        remaining = []
        for row in tables["annotations"]:
            if not is_single_instance(row) or (type(row.get(key)) is int and row[key] in valid_ids):
                remaining.append(row)
                continue
            detail = f"{kind} {json.dumps(row.get(key))}"
            log.append(Repair(row_name("annotation", row), f"deleted, its {kind} does not exist", detail))
        tables["annotations"] = remaining


def repair_annotation_ids(tables: Tables, log: RepairLog) -> None:
    """Assign a new id to annotations without a unique integer id; the first one with an id keeps it."""
    rows = tables["annotations"]
    unused = max((row["id"] for row in rows if type(row.get("id")) is int), default=0) + 1
    used: set[int] = set()
    for row in filter(is_single_instance, rows):
        number = row.get("id")
        if type(number) is not int or number in used:
            reason = "is a duplicate" if type(number) is int else "is not an integer"
            detail = f"id {json.dumps(number)} {reason}" if "id" in row else "it had no id"
            row["id"], unused = unused, unused + 1
            log.append(Repair(f"annotation {row['id']}", "assigned a new id", detail))
        used.add(row["id"])


def repair_categories(tables: Tables, vocabulary: SpecVocabulary, log: RepairLog) -> None:
    """Rename categories to the spec's spelling."""
    for row in tables.get("categories", []):
        name = row.get("name")
        match = _match_name(name, vocabulary)
        if match is not None:
            row["name"] = match
            log.append(Repair(row_name("category", row), "renamed to match the spec", f"{name} → {match}"))


def repair_attributes(tables: Tables, vocabulary: SpecVocabulary, log: RepairLog) -> None:
    """Convert attributes to an object, and rename attributes and values to the spec's spelling."""
    names: dict[int, set[object]] = defaultdict(set)
    for row in tables.get("categories", []):
        if type(row.get("id")) is int:
            names[row["id"]].add(row.get("name"))
    for row in filter(is_single_instance, tables["annotations"]):
        if "attributes" not in row:
            continue
        raw = row["attributes"]
        attributes = _to_object(raw)
        if attributes is None:
            continue
        if attributes is not raw:
            log.append(Repair(row_name("annotation", row), "converted attributes to an object", json.dumps(raw)[:80]))
        category = names.get(row["category_id"], set()) if type(row.get("category_id")) is int else set()
        valid = [vocabulary[name] for name in category if isinstance(name, str) and name in vocabulary]
        is_unique = len(category) == len(valid) == 1
        row["attributes"] = _rename_attributes(attributes, valid[0], row, log) if is_unique else attributes


def parse_integer(value: object) -> int | None:
    """Return the integer that a value is or is written as (7, 7.0 or "7"); None for anything else."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return int(value) if isinstance(value, str) and _INTEGER.fullmatch(value) else None


def _to_object(attributes: object) -> Row | None:
    """Convert a list of names and values to an object; None if it is neither."""
    if isinstance(attributes, dict):
        return attributes
    pairs = [] if attributes is None else attributes
    if not isinstance(pairs, list):
        return None
    result: dict[str, Any] = {}
    for pair in pairs:
        if not isinstance(pair, dict) or set(pair) != {"name", "value"} or not isinstance(pair["name"], str):
            return None
        if result.setdefault(pair["name"], pair["value"]) != pair["value"]:
            return None
    return result


def _rename_attributes(attributes: Row, vocabulary: Mapping[str, Sequence[str]], row: Row, log: RepairLog) -> Row:
    """Return the attributes in the spec's spelling; the same object if nothing changes."""
    renamed: Row = {}
    changes: list[str] = []
    for name, value in attributes.items():
        match = _match_name(name, vocabulary)
        new_name = name if match is None or match in attributes or match in renamed else match
        new_value = _match_name(value, vocabulary.get(new_name, ())) or value
        changes += [f"{name} → {new_name}"] if new_name != name else []
        changes += [f"{value} → {new_value}"] if new_value is not value else []
        renamed[new_name] = new_value
    log += [Repair(row_name("annotation", row), "renamed to match the spec", change) for change in changes]
    return renamed if changes else attributes


def _match_name(name: object, valid: Iterable[str]) -> str | None:
    """Return the only valid name that differs in spelling; None if `name` is valid, or if there is none or several."""
    if not isinstance(name, str) or name in valid:
        return None
    matches = [word for word in valid if _normalize(word) == _normalize(name)]
    return matches[0] if len(matches) == 1 else None


def _normalize(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def _create_numbering(ids: Iterable[object]) -> Callable[[object], int | None]:
    """Create a map from ids to integers: text that is no number, or another row's number, gets an unused one."""
    raw_ids = list(ids)
    used = {number for number in raw_ids if type(number) is int}
    texts = dict.fromkeys(text for text in raw_ids if isinstance(text, str))
    ambiguous = [text for text in texts if parse_integer(text) is None or parse_integer(text) in used]
    unused = max((number for number in map(parse_integer, raw_ids) if number is not None), default=0) + 1
    numbers = {text: unused + index for index, text in enumerate(ambiguous)}
    return lambda raw: numbers[raw] if isinstance(raw, str) and raw in numbers else parse_integer(raw)


def _convert_number(row: Row, key: str, to_number: Callable[[object], int | None], kind: str, log: RepairLog) -> None:
    raw = row.get(key)
    number = raw if type(raw) is int else to_number(raw)
    if number is not None and number is not raw:
        log.append(Repair(row_name(kind, row), f"converted {key} to an integer", f"{json.dumps(raw)} → {number}"))
        row[key] = number


def _merge_rows(
    tables: Tables, reference: tuple[str, str, str], key: str, equal_fields: tuple[str, ...], log: RepairLog
) -> None:
    """Merge rows of one `key` into the first, add fields that only the others have, and redirect references.

    Rows that differ in one of `equal_fields`, or whose id another name shares, are left unchanged: which one is correct
    is not certain.
    """
    table, reference_key, kind = reference
    named_rows = [row for row in tables.get(table, []) if isinstance(row.get(key), str)]
    names_by_id: dict[object, set[str]] = defaultdict(set)
    for row in named_rows:
        if type(row.get("id")) is int:
            names_by_id[row["id"]].add(row[key])
    first: dict[str, Row] = {}
    new_ids: dict[int, int] = {}
    merged: set[int] = set()
    for row in named_rows:
        target = first.setdefault(row[key], row)
        if target is row or not _can_merge(target, row, equal_fields, names_by_id):
            continue
        if type(row.get("id")) is int:
            new_ids[row["id"]] = target["id"]
        target.update({field: value for field, value in row.items() if field not in target})
        merged.add(id(row))
        log.append(Repair(row_name(kind, row), f"merged into {kind} {target['id']}", row[key]))
    if merged:
        tables[table] = [row for row in tables[table] if id(row) not in merged]
    for row in tables["annotations"] if new_ids else []:
        if type(row.get(reference_key)) is int:
            row[reference_key] = new_ids.get(row[reference_key], row[reference_key])


def _can_merge(target: Row, row: Row, equal_fields: tuple[str, ...], names_by_id: Mapping[object, set[str]]) -> bool:
    ids = [r["id"] for r in (target, row) if type(r.get("id")) is int]
    if type(target.get("id")) is not int or any(len(names_by_id[number]) > 1 for number in ids):
        return False
    return all(field not in row or field not in target or row[field] == target[field] for field in equal_fields)
