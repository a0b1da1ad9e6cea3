"""Find siblings: components of one size in the same places whose names share a word, as long_screw and short_screw do.

They are drafted as variants of one component. Then one question locates them all, and another reads the kind of each,
which is learned from far fewer photos than to tell them apart while they are located (`docs/decisions/0017`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float

from logicls.constraints.mining.observations import InstanceColumn, Observations, is_legal_name, pair_instances
from logicls.constraints.mining.spatial_relations import Nesting
from logicls.records import Scene

KIND = "kind"
"""Name of the attribute that tells siblings apart."""
MAX_SIZE_RATIO = 2.0
"""Largest ratio of the median diagonals of siblings."""
PLACE_QUANTILES = (0.1, 0.9)
"""Quantiles of the centres of a component between which its places lie, on each axis."""
MAX_IOU = 0.3
"""Largest intersection over union of two siblings on a photo: more is one thing upon another, such as a label."""
MIN_INSTANCES = 5
"""Smallest number of instances of a sibling."""


@dataclass(frozen=True, slots=True)
class SiblingGroup:
    """Components that are kinds of one thing."""

    name: str
    """Word that their names share: the name of the component whose variants they are."""
    kinds: Mapping[str, str]
    """Component → the rest of its name, its value of the attribute `kind`."""


def find_siblings(
    table: Observations, nesting: Nesting, attributes: Mapping[str, Mapping[str, object]]
) -> list[SiblingGroup]:
    """Find the groups of siblings. `attributes`: component → attributes, of which siblings have none."""
    containers = {parent for parent in nesting.parent.values() if parent} | {*nesting.fills, *nesting.fills.values()}
    candidates = [
        column
        for name, column in table.columns.items()
        if len(column.photo) >= MIN_INSTANCES and not attributes[name] and name not in containers
    ]
    groups: list[SiblingGroup] = []
    for word, columns in _group_by_word(candidates):
        taken = {name for group in groups for name in group.kinds}
        free = [column for column in columns if column.name not in taken]
        for alike in _connect(free, lambda one, other: _are_alike(table, nesting, one, other)):
            group = SiblingGroup(word, {column.name: _strip_word(column.name, word) for column in alike})
            if _is_nameable(group, {*table.columns, *(other.name for other in groups)}):
                groups.append(group)
    return groups


def to_variants(scenes: Sequence[Scene], groups: Iterable[SiblingGroup]) -> list[Scene]:
    """Replace siblings by instances of their group's component with the attribute `kind`."""
    mapping = {name: (group.name, kind) for group in groups for name, kind in group.kinds.items()}
    return [
        replace(
            scene,
            instances=tuple(
                replace(one, component=mapping[one.component][0], attributes=((KIND, mapping[one.component][1]),))
                if one.component in mapping
                else one
                for one in scene.instances
            ),
        )
        for scene in scenes
    ]


def _split(name: str) -> list[str]:
    return [word for word in re.split(r"[_-]+", name) if word]


def _group_by_word(columns: Sequence[InstanceColumn]) -> Iterator[tuple[str, list[InstanceColumn]]]:
    """Yield the components that share the last word of their name, then those that share the first one."""
    for position in (-1, 0):
        groups: dict[str, list[InstanceColumn]] = {}
        for column in columns:
            words = _split(column.name)
            if len(words) > 1:
                groups.setdefault(words[position], []).append(column)
        yield from ((word, members) for word, members in groups.items() if len(members) > 1)


def _strip_word(name: str, word: str) -> str:
    """Return a name without the shared word, which is its first or last one."""
    words = _split(name)
    return "_".join(words[:-1] if words[-1] == word else words[1:])


def _is_nameable(group: SiblingGroup, used: set[str]) -> bool:
    """Return True if the group has two kinds at least and its names are legal and new."""
    kinds = list(group.kinds.values())
    is_new = group.name not in used and len(set(kinds)) == len(kinds) > 1
    return is_new and all(is_legal_name(name) and name.lower() != "none" for name in (group.name, *kinds))


def _connect(
    columns: Sequence[InstanceColumn], is_alike: Callable[[InstanceColumn, InstanceColumn], bool]
) -> list[list[InstanceColumn]]:
    """Return the connected components of the graph of pairs that are alike."""
    groups = {column.name: [column] for column in columns}
    for one, other in combinations(columns, 2):
        if groups[one.name] is not groups[other.name] and is_alike(one, other):
            members = {column.name for column in (*groups[one.name], *groups[other.name])}
            joined = [column for column in columns if column.name in members]
            groups |= {column.name: joined for column in joined}
    return list({id(group): group for group in groups.values()}.values())


def _are_alike(table: Observations, nesting: Nesting, one: InstanceColumn, other: InstanceColumn) -> bool:
    """Return True if two components have one size and the same places, and are never at one place together."""
    diagonals = sorted(float(np.median(np.linalg.norm(column.size, axis=1))) for column in (one, other))
    if diagonals[1] > MAX_SIZE_RATIO * diagonals[0] or nesting.parent[one.name] != nesting.parent[other.name]:
        return False
    places = [_find_places(table, column) for column in (one, other)]
    shared = np.minimum(places[0][1], places[1][1]) - np.maximum(places[0][0], places[1][0])
    return bool((shared >= 0).all()) and _compute_largest_iou(one, other) <= MAX_IOU


def _find_places(table: Observations, column: InstanceColumn) -> Float[np.ndarray, "2 2"]:
    """Return the quantiles (rows) of a component's centres (x, y) as shares of the photo."""
    places: np.ndarray = np.quantile(column.centre / table.frame.size[column.photo], PLACE_QUANTILES, axis=0)
    return places


def _compute_largest_iou(one: InstanceColumn, other: InstanceColumn) -> float:
    """Compute the largest intersection over union of two instances on one photo; 0 if they share none."""
    pairs = pair_instances(one, other)
    first, second = one.box[pairs.inner], other.box[pairs.outer]
    span = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    intersection = np.clip(span, 0, None).prod(axis=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    return float((intersection / np.maximum(areas[0] + areas[1] - intersection, 1e-9)).max(initial=0.0))
