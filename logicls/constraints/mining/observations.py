"""Annotated photos as columns of numbers: what the search for rules works on.

Which components and attributes a spec can speak about, and what their values are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from logicls.constraints.mining.proposals import MAX_NAME_LENGTH, NAME
from logicls.records import Scene

MOST_VALUES = 30
"""An attribute with more values than this is a number or a text, not a choice."""
RESERVED = ("count", "box", "boxes")
"""Words that mean something else in an example's scene."""
AttributeValues: TypeAlias = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Component → attribute → its values."""
ADVICE = "rename it in the annotations to use it"


@dataclass(frozen=True, slots=True)
class ComponentDeclaration:
    """A component as the draft declares it."""

    name: str
    attributes: Mapping[str, tuple[str, ...]]
    """Attribute → its values, as often seen first."""
    optional: bool
    fills: str
    """What it fills; empty where it fills nothing."""
    note: str
    """How many there are and what they lie in, in a few words."""


def is_legal_name(name: str) -> bool:
    """Whether it may be the name of a component, an attribute or a value."""
    return len(name) <= MAX_NAME_LENGTH and NAME.fullmatch(name) is not None


def to_legal_name(said: str) -> str:
    """The nearest legal name."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", said).lstrip("-")[:MAX_NAME_LENGTH] or "product"


def find_components(scenes: Sequence[Scene], declared: Sequence[str]) -> tuple[list[str], list[str]]:
    """The components that can be named, in the order of their declaration, and what is said of the others."""
    seen = dict.fromkeys(i.component for scene in scenes for i in scene.instances)
    every = list(dict.fromkeys([*declared, *seen]))
    refused = [f'category "{name}" is not a legal name: {ADVICE}' for name in every if not is_legal_name(name)]
    return [name for name in every if is_legal_name(name)], refused


def find_attribute_values(column: InstanceColumn) -> tuple[dict[str, tuple[str, ...]], list[str]]:
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
    if not is_legal_name(name) or name in RESERVED:
        return f"not a legal name, {ADVICE}"
    bad = next((value for value in seen if not is_legal_name(value) or value == "none"), None)
    if bad is not None:
        return f'its value "{bad}" is not a legal name, {ADVICE}'
    if sum(seen.values()) < rows:
        return f"annotated on {sum(seen.values())} of {rows} only"
    return f"{len(seen)} different values" if len(seen) > MOST_VALUES else ""


MAX_EXCEPTIONS = 5
"""At most so many photos are exceptions to a rule that is worth a question."""
MAX_EXCEPTION_SHARE = 0.03
"""At most this share of the photos are."""
MIN_PHOTOS = 10
"""Photos from which on a place, an order, a size or a pair is not called a coincidence."""


@dataclass(frozen=True, slots=True)
class InstanceColumn:
    """All instances of a component, or one frame a photo."""

    name: str
    """Empty for the photo itself."""
    photo: Int[np.ndarray, " rows"]
    """On which photo each is; ascending."""
    box: Float[np.ndarray, "rows 4"]
    """xyxy, pixels."""
    counts: Int[np.ndarray, " photos"]
    attributes: Mapping[str, tuple[str | None, ...]]
    """Attribute → its value on every row; None where it was not annotated."""

    @property
    def centre(self) -> Float[np.ndarray, "rows 2"]:
        """(x, y), pixels."""
        centre: np.ndarray = (self.box[:, :2] + self.box[:, 2:]) / 2
        return centre

    @property
    def size(self) -> Float[np.ndarray, "rows 2"]:
        """(width, height), pixels."""
        size: np.ndarray = self.box[:, 2:] - self.box[:, :2]
        return size

    @property
    def is_single(self) -> bool:
        """Whether there is at most one of it on a photo, a few photos aside."""
        return bool(len(self.photo)) and are_exceptions_rare(int((self.counts > 1).sum()), int((self.counts > 0).sum()))


@dataclass(frozen=True, slots=True)
class Observations:
    """The photos and what is on them."""

    photos: tuple[str, ...]
    columns: Mapping[str, InstanceColumn]
    """Component → its instances, in the order in which they are declared."""
    frame: InstanceColumn
    """One box a photo: the whole of it."""


@dataclass(frozen=True, slots=True)
class InstancePairs:
    """Every instance of one component beside every one of another on the same photo."""

    inner: Int[np.ndarray, " pairs"]
    """Row of the one; ascending."""
    outer: Int[np.ndarray, " pairs"]
    """Row of the other."""
    photo: Int[np.ndarray, " pairs"]


def tabulate(scenes: Sequence[Scene], components: Sequence[str]) -> Observations:
    """The instances of `components` on the scenes."""
    rows: dict[str, list[tuple[int, tuple[float, ...], Mapping[str, str]]]] = {name: [] for name in components}
    for number, scene in enumerate(scenes):
        for i in scene.instances:
            if i.component in rows:
                box = (i.box.x1, i.box.y1, i.box.x2, i.box.y2)
                rows[i.component].append((number, box, dict(i.attributes)))
    whole = np.array([(0.0, 0.0, scene.width, scene.height) for scene in scenes]).reshape(-1, 4)
    each = np.arange(len(scenes))
    frame = InstanceColumn("", each, whole, np.ones(len(scenes), dtype=int), {})
    columns = {name: _column(name, found, len(scenes)) for name, found in rows.items()}
    return Observations(tuple(scene.photo for scene in scenes), columns, frame)


def pair_instances(inner: InstanceColumn, outer: InstanceColumn) -> InstancePairs:
    """All pairs on the same photo."""
    many = outer.counts[inner.photo]
    starts = np.searchsorted(outer.photo, inner.photo)
    rows = np.repeat(np.arange(len(inner.photo)), many)
    step = np.arange(len(rows)) - np.repeat(np.cumsum(many) - many, many)
    return InstancePairs(rows, starts[rows] + step, inner.photo[rows])


def are_exceptions_rare(exceptions: int, photos: int) -> bool:
    """Whether so few of the photos are exceptions that they may be mistakes."""
    return exceptions <= min(MAX_EXCEPTIONS, MAX_EXCEPTION_SHARE * photos)


def _column(name: str, rows: Sequence[tuple[int, tuple[float, ...], Mapping[str, str]]], photos: int) -> InstanceColumn:
    photo = np.array([row[0] for row in rows], dtype=int)
    box = np.array([row[1] for row in rows], dtype=float).reshape(-1, 4)
    keys = dict.fromkeys(key for _, _, facts in rows for key in facts)
    attributes = {key: tuple(facts.get(key) for _, _, facts in rows) for key in keys}
    return InstanceColumn(name, photo, box, np.bincount(photo, minlength=photos), attributes)
