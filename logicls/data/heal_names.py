"""Heals names that differ from the spec's only in case, spaces, hyphens and underscores."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from logicls.data.healed import Healed, Notes, Row, Tables, counts, name_of

Vocabulary = Mapping[str, Mapping[str, Sequence[str]]]
"""The spec's components → their attributes → the values that each may have."""


def heal_categories(tables: Tables, components: Vocabulary, notes: Notes) -> None:
    """Categories are called as the spec's components."""
    for row in tables.get("categories", []):
        name = row.get("name")
        meant = _meant(name, components)
        if meant is not None:
            row["name"] = meant
            notes.append(Healed(name_of("category", row), "renamed as in the spec", f"{name} → {meant}"))


def heal_attributes(tables: Tables, components: Vocabulary, notes: Notes) -> None:
    """Attributes are an object, with the spec's names and values."""
    names: dict[int, set[object]] = defaultdict(set)
    for row in tables.get("categories", []):
        if type(row.get("id")) is int:
            names[row["id"]].add(row.get("name"))
    for row in filter(counts, tables["annotations"]):
        if "attributes" not in row:
            continue
        given = row["attributes"]
        attributes = _as_object(given)
        if attributes is None:
            continue
        if attributes is not given:
            notes.append(Healed(name_of("annotation", row), "attributes made an object", json.dumps(given)[:80]))
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


def _renamed(attributes: Row, known: Mapping[str, Sequence[str]], row: Row, notes: Notes) -> Row:
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
    notes += [Healed(name_of("annotation", row), "renamed as in the spec", change) for change in changes]
    return renamed if changes else attributes


def _meant(name: object, known: Iterable[str]) -> str | None:
    """The one known word that a text stands for; None where it is known itself, or where there is none or several."""
    if not isinstance(name, str) or name in known:
        return None
    alike = [word for word in known if _bare(word) == _bare(name)]
    return alike[0] if len(alike) == 1 else None


def _bare(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()
