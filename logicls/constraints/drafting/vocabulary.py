"""Which components and attributes a spec can speak about, and what their values are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from logicls.constraints.drafting.proposal import LONGEST, NAME
from logicls.constraints.drafting.table import Column
from logicls.records import Scene

MOST_VALUES = 30
"""An attribute with more values than this is a number or a text, not a choice."""
RESERVED = ("count", "box", "boxes")
"""Words that mean something else in an example's scene."""
Vocabulary: TypeAlias = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Component → attribute → its values."""
ADVICE = "rename it in the annotations to use it"


@dataclass(frozen=True, slots=True)
class Described:
    """A component as the draft declares it."""

    name: str
    attributes: Mapping[str, tuple[str, ...]]
    """Attribute → its values, as often seen first."""
    optional: bool
    fills: str
    """What it fills; empty where it fills nothing."""
    note: str
    """How many there are and what they lie in, in a few words."""


def legal(name: str) -> bool:
    """Whether it may be the name of a component, an attribute or a value."""
    return len(name) <= LONGEST and NAME.fullmatch(name) is not None


def name_of(said: str) -> str:
    """The nearest legal name."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", said).lstrip("-")[:LONGEST] or "product"


def components_of(scenes: Sequence[Scene], declared: Sequence[str]) -> tuple[list[str], list[str]]:
    """The components that can be named, in the order of their declaration, and what is said of the others."""
    seen = dict.fromkeys(i.component for scene in scenes for i in scene.instances)
    every = list(dict.fromkeys([*declared, *seen]))
    refused = [f'category "{name}" is not a legal name: {ADVICE}' for name in every if not legal(name)]
    return [name for name in every if legal(name)], refused


def values_of(column: Column) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The attributes that every instance has, with their values, and what is said of the others."""
    kept: dict[str, tuple[str, ...]] = {}
    refused: list[str] = []
    for name, values in column.attributes.items():
        seen = Counter(value for value in values if value is not None)
        fault = _fault(name, seen, len(values))
        if fault:
            refused.append(f'attribute "{name}" of {column.name} is left out: {fault}')
        else:
            kept[name] = tuple(sorted(seen, key=lambda value: (-seen[value], value)))
    return kept, refused


def _fault(name: str, seen: Mapping[str, int], rows: int) -> str:
    """Why the attribute cannot be declared; empty where it can."""
    if not legal(name) or name in RESERVED:
        return f"not a legal name, {ADVICE}"
    bad = next((value for value in seen if not legal(value) or value == "none"), None)
    if bad is not None:
        return f'its value "{bad}" is not a legal name, {ADVICE}'
    if sum(seen.values()) < rows:
        return f"annotated on {sum(seen.values())} of {rows} only"
    return f"{len(seen)} different values" if len(seen) > MOST_VALUES else ""
