"""Tables of annotated instances for rule mining, and the components, attributes and values that a spec can name."""

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

MAX_VALUES = 30
"""Maximum number of values of an attribute; one with more is a number or free text."""
RESERVED = ("count", "box", "boxes")
"""Names with another meaning in the scene of an example."""
MAX_EXCEPTIONS = 5
"""Maximum number of photos that may be exceptions to a rule worth a question."""
MAX_EXCEPTION_SHARE = 0.03
"""Maximum share of the photos that may be exceptions."""
MIN_PHOTOS = 10
"""Minimum number of photos from which positions, orders, sizes and matches are inferred."""
ADVICE = "rename it in the annotations to use it"

AttributeValues: TypeAlias = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Component → attribute → values."""


@dataclass(frozen=True, slots=True)
class ComponentDeclaration:
    """Component as the draft declares it."""

    name: str
    attributes: Mapping[str, tuple[str, ...]]
    """Attribute → values, most frequent first."""
    optional: bool
    fills: str
    """Component that it fills; empty if it is not a filling."""
    note: str
    """Number of photos that show it, and its container."""


@dataclass(frozen=True, slots=True)
class VariantDeclaration:
    """Variant as the draft declares it."""

    name: str
    component: str
    """Component that it is a variant of."""
    attributes: Mapping[str, str]
    """Attribute → value."""
    note: str
    """Number of photos that show it."""


@dataclass(frozen=True, slots=True)
class InstanceColumn:
    """Instances of one component on all photos, or one frame per photo."""

    name: str
    """Name of the component; empty for the frames."""
    photo: Int[np.ndarray, " rows"]
    """Index of each instance's photo; ascending."""
    box: Float[np.ndarray, "rows 4"]
    """Boxes x1, y1, x2, y2, pixels."""
    counts: Int[np.ndarray, " photos"]
    """Number of instances per photo."""
    attributes: Mapping[str, tuple[str | None, ...]]
    """Attribute → value of each instance; None if it is not annotated."""

    @property
    def centre(self) -> Float[np.ndarray, "rows 2"]:
        """Centres (x, y), pixels."""
        centre: np.ndarray = (self.box[:, :2] + self.box[:, 2:]) / 2
        return centre

    @property
    def size(self) -> Float[np.ndarray, "rows 2"]:
        """Sizes (width, height), pixels."""
        size: np.ndarray = self.box[:, 2:] - self.box[:, :2]
        return size

    @property
    def is_single(self) -> bool:
        """True if photos have at most one instance, with rare exceptions."""
        return bool(len(self.photo)) and are_exceptions_rare(int((self.counts > 1).sum()), int((self.counts > 0).sum()))


@dataclass(frozen=True, slots=True)
class Observations:
    """Photos and their instances."""

    photos: tuple[str, ...]
    """Names of the photos."""
    columns: Mapping[str, InstanceColumn]
    """Component → instances, in the order of declaration."""
    frame: InstanceColumn
    """One box per photo that covers it."""


@dataclass(frozen=True, slots=True)
class InstancePairs:
    """Pairs of instances of two components on the same photo."""

    inner: Int[np.ndarray, " pairs"]
    """Row of the first component's instance; ascending."""
    outer: Int[np.ndarray, " pairs"]
    """Row of the second component's instance."""
    photo: Int[np.ndarray, " pairs"]
    """Index of the photo."""


def tabulate(scenes: Sequence[Scene], components: Sequence[str]) -> Observations:
    """Convert the instances of `components` to tables."""
    rows: dict[str, list[tuple[int, tuple[float, ...], Mapping[str, str]]]] = {name: [] for name in components}
    for number, scene in enumerate(scenes):
        for i in scene.instances:
            if i.component in rows:
                box = (i.box.x1, i.box.y1, i.box.x2, i.box.y2)
                rows[i.component].append((number, box, dict(i.attributes)))
    boxes = np.array([(0.0, 0.0, scene.width, scene.height) for scene in scenes]).reshape(-1, 4)
    frame = InstanceColumn("", np.arange(len(scenes)), boxes, np.ones(len(scenes), dtype=int), {})
    columns = {name: _create_column(name, instances, len(scenes)) for name, instances in rows.items()}
    return Observations(tuple(scene.photo for scene in scenes), columns, frame)


def pair_instances(inner: InstanceColumn, outer: InstanceColumn) -> InstancePairs:
    """Pair every instance of one component with every instance of another on the same photo."""
    partners = outer.counts[inner.photo]
    starts = np.searchsorted(outer.photo, inner.photo)
    rows = np.repeat(np.arange(len(inner.photo)), partners)
    step = np.arange(len(rows)) - np.repeat(np.cumsum(partners) - partners, partners)
    return InstancePairs(rows, starts[rows] + step, inner.photo[rows])


def are_exceptions_rare(exceptions: int, photos: int) -> bool:
    """Return True if so few photos are exceptions that they may be mistakes."""
    return exceptions <= min(MAX_EXCEPTIONS, MAX_EXCEPTION_SHARE * photos)


def is_legal_name(name: str) -> bool:
    """Return True if a component, attribute or value may have this name."""
    return len(name) <= MAX_NAME_LENGTH and NAME.fullmatch(name) is not None


def to_legal_name(text: str) -> str:
    """Replace illegal characters with `_` and shorten the name."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text).lstrip("-")[:MAX_NAME_LENGTH] or "product"


def find_components(scenes: Sequence[Scene], declared: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the legal component names, in the order of declaration, and a message for each of the other names."""
    annotated = dict.fromkeys(i.component for scene in scenes for i in scene.instances)
    names = list(dict.fromkeys([*declared, *annotated]))
    invalid = [f'category "{name}" is not a legal name: {ADVICE}' for name in names if not is_legal_name(name)]
    return [name for name in names if is_legal_name(name)], invalid


def find_attribute_values(column: InstanceColumn) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the attributes that all instances have, with their values, and a message for each of the others."""
    valid: dict[str, tuple[str, ...]] = {}
    invalid: list[str] = []
    for name, values in column.attributes.items():
        frequencies = Counter(value for value in values if value is not None)
        fault = _find_attribute_fault(name, frequencies, len(values))
        if fault:
            invalid.append(f'attribute "{name}" of {column.name} is not used: {fault}')
        else:
            valid[name] = tuple(sorted(frequencies, key=lambda value: (-frequencies[value], value)))
    return valid, invalid


def _find_attribute_fault(name: str, frequencies: Mapping[str, int], instances: int) -> str:
    """Explain why the attribute cannot be declared; empty if it can."""
    if not is_legal_name(name) or name in RESERVED:
        return f"its name is not legal, {ADVICE}"
    illegal = next((value for value in frequencies if not is_legal_name(value) or value == "none"), None)
    if illegal is not None:
        return f'its value "{illegal}" is not a legal name, {ADVICE}'
    if sum(frequencies.values()) < instances:
        return f"only {sum(frequencies.values())} of {instances} instances have it"
    return f"it has {len(frequencies)} different values" if len(frequencies) > MAX_VALUES else ""


def _create_column(
    name: str, rows: Sequence[tuple[int, tuple[float, ...], Mapping[str, str]]], photos: int
) -> InstanceColumn:
    photo = np.array([row[0] for row in rows], dtype=int)
    box = np.array([row[1] for row in rows], dtype=float).reshape(-1, 4)
    keys = dict.fromkeys(key for _, _, values in rows for key in values)
    attributes = {key: tuple(values.get(key) for _, _, values in rows) for key in keys}
    return InstanceColumn(name, photo, box, np.bincount(photo, minlength=photos), attributes)
