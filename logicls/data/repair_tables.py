"""Heals what holds a COCO file's lists together: ids, repeated rows, references.

Heals names that differ from the spec's only in case, spaces, hyphens and underscores.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from logicls.data.coco_parser import is_unsafe_path
from logicls.data.repair_log import HeaderReader, Repair, RepairLog, Row, Tables, is_single_instance, row_name

SpecVocabulary = Mapping[str, Mapping[str, Sequence[str]]]
"""The spec's components → their attributes → the values that each may have."""


def repair_categories(tables: Tables, components: SpecVocabulary, notes: RepairLog) -> None:
    """Categories are called as the spec's components."""
    for row in tables.get("categories", []):
        name = row.get("name")
        meant = _meant(name, components)
        if meant is not None:
            row["name"] = meant
            notes.append(Repair(row_name("category", row), "renamed as in the spec", f"{name} → {meant}"))


def repair_attributes(tables: Tables, components: SpecVocabulary, notes: RepairLog) -> None:
    """Attributes are an object, with the spec's names and values."""
    names: dict[int, set[object]] = defaultdict(set)
    for row in tables.get("categories", []):
        if type(row.get("id")) is int:
            names[row["id"]].add(row.get("name"))
    for row in filter(is_single_instance, tables["annotations"]):
        if "attributes" not in row:
            continue
        given = row["attributes"]
        attributes = _as_object(given)
        if attributes is None:
            continue
        if attributes is not given:
            notes.append(Repair(row_name("annotation", row), "attributes made an object", json.dumps(given)[:80]))
        category = names.get(row["category_id"], set()) if type(row.get("category_id")) is int else set()
        known = [components[name] for name in category if isinstance(name, str) and name in components]
        row["attributes"] = (
            _renamed(attributes, known[0], row, notes) if len(category) == len(known) == 1 else attributes
        )


def _as_object(attributes: object) -> Row | None:
    """Attributes by name; None where they are neither an object nor a list of names and values."""
    if isinstance(attributes, dict):
        return attributes
    pairs = [] if attributes is None else attributes
    if not isinstance(pairs, list):
        return None
    found: dict[str, Any] = {}
    for pair in pairs:
        if not isinstance(pair, dict) or set(pair) != {"name", "value"} or not isinstance(pair["name"], str):
            return None
        if found.setdefault(pair["name"], pair["value"]) != pair["value"]:
            return None
    return found


def _renamed(attributes: Row, known: Mapping[str, Sequence[str]], row: Row, notes: RepairLog) -> Row:
    """The attributes under the spec's names and with its values; the very same object where nothing changes."""
    renamed: Row = {}
    changes: list[str] = []
    for name, value in attributes.items():
        meant = _meant(name, known)
        new_name = name if meant is None or meant in attributes or meant in renamed else meant
        new_value = _meant(value, known.get(new_name, ())) or value
        changes += [f"{name} → {new_name}"] if new_name != name else []
        changes += [f"{value} → {new_value}"] if new_value is not value else []
        renamed[new_name] = new_value
    notes += [Repair(row_name("annotation", row), "renamed as in the spec", change) for change in changes]
    return renamed if changes else attributes


def _meant(name: object, known: Iterable[str]) -> str | None:
    """The one known word that a text stands for; None where it is known itself, or where there is none or several."""
    if not isinstance(name, str) or name in known:
        return None
    alike = [word for word in known if _bare(word) == _bare(name)]
    return alike[0] if len(alike) == 1 else None


def _bare(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,14}")
_REFERENCES = (("images", "image_id", "image"), ("categories", "category_id", "category"))


def repair_lists(content: Mapping[str, Any], notes: RepairLog) -> Tables:
    """The lists that are there, without the items that are no objects; an empty one where that cannot hurt."""
    tables: Tables = {}
    for name in ("images", "categories", "annotations"):
        rows = content.get(name)
        if isinstance(rows, list):
            dropped = [number for number, row in enumerate(rows, 1) if not isinstance(row, dict)]
            notes += [Repair("file", "dropped what is no object", f"item {n} of {name}") for n in dropped]
            tables[name] = [dict(row) for row in rows if isinstance(row, dict)]
        elif name == "annotations" or (name == "categories" and not content.get("annotations")):
            notes.append(Repair("file", "added the missing list", name))
            tables[name] = []
    return tables


def repair_numbers(tables: Tables, notes: RepairLog) -> None:
    """Ids and sizes are whole numbers; an id that is other text is numbered, in the references too."""
    for table, key, one in _REFERENCES:
        rows = tables.get(table, [])
        number_of = _numbering(row.get("id") for row in rows)
        for row in rows:
            _renumber(row, "id", number_of, one, notes)
        for row in tables["annotations"]:
            _renumber(row, key, number_of, "annotation", notes)
    for row in tables.get("images", []):
        for key in ("width", "height"):
            _renumber(row, key, parse_integer, "image", notes)
    for row in filter(is_single_instance, tables["annotations"]):
        _renumber(row, "id", parse_integer, "annotation", notes)


def repair_file_names(tables: Tables, look: HeaderReader, notes: RepairLog) -> None:
    """Backslashes become slashes, unless the photo is really called so."""
    for row in tables.get("images", []):
        name = row.get("file_name")
        if not isinstance(name, str) or "\\" not in name or is_unsafe_path(name) or look(name):
            continue
        row["file_name"] = name.replace("\\", "/")
        notes.append(Repair(row_name("image", row), "backslashes made slashes", row["file_name"]))


def merge_images(tables: Tables, notes: RepairLog) -> None:
    """One row for each file_name, where the rows do not contradict one another."""
    _merge(tables, _REFERENCES[0], "file_name", ("width", "height"), notes)


def merge_categories(tables: Tables, notes: RepairLog) -> None:
    """One row for each name."""
    _merge(tables, _REFERENCES[1], "name", (), notes)


def drop_orphans(tables: Tables, notes: RepairLog) -> None:
    """No annotation is of an image or category that does not exist; while an id is missing or shared, none is sure."""
    for table, key, one in _REFERENCES:
        ids = [row.get("id") for row in tables[table]] if table in tables else [None]
        known = {number for number in ids if type(number) is int}
        if len(known) < len(ids):
            continue
        for row in filter(is_single_instance, tables["annotations"]):
            if type(row.get(key)) is not int or row[key] not in known:
                said = f"{one} {json.dumps(row.get(key))}"
                notes.append(Repair(row_name("annotation", row), "dropped, what it is of is not in the file", said))
        tables["annotations"] = [
            row
            for row in tables["annotations"]
            if not is_single_instance(row) or (type(row.get(key)) is int and row[key] in known)
        ]


def repair_annotation_ids(tables: Tables, notes: RepairLog) -> None:
    """Each annotation has an id of its own; the first one with an id keeps it."""
    rows = tables["annotations"]
    free = max((row["id"] for row in rows if type(row.get("id")) is int), default=0) + 1
    seen: set[int] = set()
    for row in filter(is_single_instance, rows):
        number = row.get("id")
        if type(number) is not int or number in seen:
            why = "stands there already" if type(number) is int else "is no whole number"
            detail = f"id {json.dumps(number)} {why}" if "id" in row else "it had none"
            row["id"], free = free, free + 1
            notes.append(Repair(f"annotation {row['id']}", "got a new id", detail))
        seen.add(row["id"])


def parse_integer(value: object) -> int | None:
    """The whole number that a value is, or is written as: 7, 7.0 or "7"; None for anything else."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else None


def _numbering(ids: Iterable[object]) -> Callable[[object], int | None]:
    """Gives the number of an id: text that is no number, or that of another id, gets a free one."""
    found = list(ids)
    taken = {number for number in found if type(number) is int}
    texts = dict.fromkeys(text for text in found if isinstance(text, str))
    unclear = [text for text in texts if parse_integer(text) is None or parse_integer(text) in taken]
    free = max((number for number in map(parse_integer, found) if number is not None), default=0) + 1
    numbers = {text: free + index for index, text in enumerate(unclear)}
    return lambda raw: numbers[raw] if isinstance(raw, str) and raw in numbers else parse_integer(raw)


def _renumber(row: Row, key: str, number_of: Callable[[object], int | None], one: str, notes: RepairLog) -> None:
    raw = row.get(key)
    number = raw if type(raw) is int else number_of(raw)
    if number is not None and number is not raw:
        notes.append(Repair(row_name(one, row), f"{key} made a whole number", f"{json.dumps(raw)} → {number}"))
        row[key] = number


def _merge(
    tables: Tables, reference: tuple[str, str, str], key: str, agreeing: tuple[str, ...], notes: RepairLog
) -> None:
    """Leave the first row of those that share `key`, with what only the others tell, and point references at it.

    Rows that differ in one of `agreeing`, or whose id another name shares, stay: a person must say which is right.
    """
    table, refers, one = reference
    named = [row for row in tables.get(table, []) if isinstance(row.get(key), str)]
    names_of: dict[object, set[str]] = defaultdict(set)
    for row in named:
        if type(row.get("id")) is int:
            names_of[row["id"]].add(row[key])
    first: dict[str, Row] = {}
    became: dict[int, int] = {}
    gone: set[int] = set()
    for row in named:
        kept = first.setdefault(row[key], row)
        if kept is row or not _mergeable(kept, row, agreeing, names_of):
            continue
        if type(row.get("id")) is int:
            became[row["id"]] = kept["id"]
        kept.update({field: value for field, value in row.items() if field not in kept})
        gone.add(id(row))
        notes.append(Repair(row_name(one, row), f"merged into {one} {kept['id']}", row[key]))
    if gone:
        tables[table] = [row for row in tables[table] if id(row) not in gone]
    for row in tables["annotations"] if became else []:
        if type(row.get(refers)) is int:
            row[refers] = became.get(row[refers], row[refers])


def _mergeable(kept: Row, row: Row, agreeing: tuple[str, ...], names_of: Mapping[object, set[str]]) -> bool:
    if type(kept.get("id")) is not int or any(len(names_of[r["id"]]) > 1 for r in (kept, row) if r["id"] in names_of):
        return False
    return all(field not in row or field not in kept or row[field] == kept[field] for field in agreeing)
