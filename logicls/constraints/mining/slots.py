"""Where: several of a kind, each in a place of its own, as screws in their holes.

Places in columns and rows, as the compartments of a box: one region says what a list of places would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from logicls.constraints.mining.intervals import DIGITS, MARGIN, STEPS, describe_coverage
from logicls.constraints.mining.observations import MIN_PHOTOS, AttributeValues, InstanceColumn, Observations
from logicls.constraints.mining.proposals import MiningResult, NameRegistry, Proposal, RegionProposal, truncate_name
from logicls.constraints.mining.spatial_relations import MOST_PAIRS, Nesting

Box = tuple[float, float, float, float]
OFF = 0.25
"""A place is off the middle of its cell by no more than this share of the cell."""
Divided = tuple[Box, tuple[int, int]]
"""A box, and its columns and rows."""


def gridded(centre: Float[np.ndarray, "rows 2"], slot: Int[np.ndarray, " rows"], cover: Box) -> Divided | None:
    """The box whose cells hold one place each; None where there is none.

    Args:
        centre: Where the instances lie, fractions of the frame.
        slot: In which of the places each lies.
        cover: What all of them cover together.
    """
    count = int(slot.max()) + 1
    middle = np.array([centre[slot == place].mean(axis=0) for place in range(count)])
    for columns in (c for c in range(1, count + 1) if count % c == 0):
        numbers = columns, count // columns
        # Of so many in a column, the first so many from the left are in the first.
        cells = np.stack([_ranks(middle[:, axis]) * numbers[axis] // count for axis in (0, 1)], axis=1)
        box = _spanned(middle, numbers, cover)
        if box and _regular(middle, cells, box, numbers) and _fits(centre, cells[slot], box, numbers):
            return box, numbers
    return None


def _ranks(values: Float[np.ndarray, " places"]) -> Int[np.ndarray, " places"]:
    ranks = np.empty(len(values), dtype=int)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks


def _spanned(middle: Float[np.ndarray, "places 2"], numbers: tuple[int, int], cover: Box) -> Box | None:
    """From half a pitch before the first places to half a pitch behind the last; the cover where there is one only."""
    low, high = list(cover[:2]), list(cover[2:])
    for axis in (0, 1):
        if numbers[axis] > 1:
            ordered = np.sort(middle[:, axis]).reshape(numbers[axis], -1).mean(axis=1)
            half = float(ordered[-1] - ordered[0]) / (numbers[axis] - 1) / 2
            low[axis], high[axis] = float(ordered[0]) - half, float(ordered[-1]) + half
    x1, y1, x2, y2 = (round(min(max(edge, 0.0), 1.0), DIGITS) for edge in (*low, *high))
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _regular(
    middle: Float[np.ndarray, "places 2"], cells: Int[np.ndarray, "places 2"], box: Box, numbers: tuple[int, int]
) -> bool:
    """Whether the places lie about the middles of their cells, and no two share one."""
    corner, size = np.array(box[:2]), (np.array(box[2:]) - np.array(box[:2])) / np.array(numbers)
    off = np.abs((middle - corner) / size - cells - 0.5).max()
    return bool(off <= OFF and len(np.unique(cells, axis=0)) == len(middle))


def _fits(
    centre: Float[np.ndarray, "rows 2"], cells: Int[np.ndarray, "rows 2"], box: Box, numbers: tuple[int, int]
) -> bool:
    """Whether every centre lies in its own cell."""
    corner, size = np.array(box[:2]), (np.array(box[2:]) - np.array(box[:2])) / np.array(numbers)
    inside = (centre - corner) / size - cells
    margin = MARGIN / size
    return bool((inside > margin).all() and (inside < 1 - margin).all())


MOST = 100
"""More places of a kind than this are not looked for."""
LISTED = 12
"""More than this are not listed one by one."""
FEW = 3
"""So few are listed though they may form a grid."""
ROUNDS = 3
"""Times that the places' middles are taken anew; they do not move after the second where they are apart."""


@dataclass(frozen=True, slots=True)
class Slots:
    """The places of a component of which there is always the same number."""

    column: InstanceColumn
    frame: InstanceColumn
    slot: Int[np.ndarray, " rows"]
    """In which place each instance lies, numbered in reading order."""
    centre: Float[np.ndarray, "rows 2"]
    """Where it is, fractions of the frame."""
    boxes: Float[np.ndarray, "slots 4"]
    """What all instances of a place cover together, fractions of the frame."""


def mine_slots(
    table: Observations, nesting: Nesting, vocabulary: AttributeValues, counts: MiningResult, names: NameRegistry
) -> MiningResult:
    """The rules on counts, and a rule for each place.

    Where an attribute names the places, an empty place is a thing missing there, and what is left to say of the count
    is that there are no more. Where none does, the count comes first, and an empty place is a thing misplaced.
    """
    rules, places = list(counts.proposals), []
    for index, rule in enumerate(counts.proposals):
        slots = _slots(table, nesting, rule.constant_component) if rule.constant_component else None
        if slots:
            labels = _labels(slots, vocabulary[slots.column.name])
            grid = None if labels or len(slots.boxes) <= FEW else _grid(slots, names)
            if grid:
                rules.append(_in_each(slots, grid, rule.id, names))
                places.append(grid)
            if grid or len(slots.boxes) > LISTED:
                continue
            named = _places(slots, labels, names)
            filled = [_filled(slots, place, "" if labels else rule.id, names) for place in named]
            if labels:
                most, above = (
                    {"of": rule.constant_component, "at_most": len(named)},
                    f"additional_{rule.constant_component}",
                )
                rules[index] = replace(rule, body=most, violation=truncate_name(above))
            rules += filled
            places += named
    return MiningResult(tuple(rules), counts.questions, tuple(places))


def _slots(table: Observations, nesting: Nesting, name: str) -> Slots | None:
    """None where there are no such places."""
    column, parent = table.columns[name], nesting.parent[name]
    frame = table.columns[parent] if parent else table.frame
    count = int(column.counts[0])
    beyond = len(column.counts) < MIN_PHOTOS or len(column.photo) * count > MOST_PAIRS
    if not 2 <= count <= MOST or beyond or (frame.counts != 1).any():
        return None
    outer = frame.box[column.photo]
    corner, size = np.tile(outer[:, :2], 2), np.tile(np.maximum(outer[:, 2:] - outer[:, :2], 1e-6), 2)
    box = (column.box - corner) / size
    centre = ((box[:, :2] + box[:, 2:]) / 2).reshape(-1, count, 2)
    middle = centre[0]
    for _ in range(ROUNDS):
        slot = np.square(centre[:, :, None] - middle).sum(axis=-1).argmin(axis=-1)
        if (np.sort(slot, axis=1) != np.arange(count)).any():
            return None
        middle = np.take_along_axis(centre, slot.argsort(axis=1)[..., None], axis=1).mean(axis=0)
    rank = np.empty(count, dtype=int)
    rank[np.argsort(middle[:, 1] + 0.25 * middle[:, 0])] = np.arange(count)
    found = Slots(column, frame, rank[slot].ravel(), centre.reshape(-1, 2), _cover(box, rank[slot].ravel()))
    return found if _separate(found) else None


def _cover(box: Float[np.ndarray, "rows 4"], slot: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "slots 4"]:
    """What the boxes of each place cover together, rounded outwards, in the frame."""
    groups = [box[slot == index] for index in range(int(slot.max()) + 1)]
    low = np.array([np.floor(group[:, :2].min(axis=0) * STEPS) for group in groups])
    high = np.array([np.ceil(group[:, 2:].max(axis=0) * STEPS) for group in groups])
    return np.clip(np.concatenate([low, high], axis=1) / STEPS, 0.0, 1.0)


def _separate(slots: Slots) -> bool:
    """Whether every place holds the centre of one instance on every photo."""
    at = slots.centre[:, None]
    held = ((at > slots.boxes[:, :2] + MARGIN) & (at < slots.boxes[:, 2:] - MARGIN)).all(axis=-1)
    return bool((held == (slots.slot[:, None] == np.arange(len(slots.boxes)))).all())


def _labels(slots: Slots, attributes: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The values of an attribute of which each stands for one place; empty where there is none."""
    for attribute, values in attributes.items():
        given = slots.column.attributes[attribute]
        pairs = {(int(slot), str(value)) for slot, value in zip(slots.slot, given, strict=True)}
        if len(pairs) == len(slots.boxes) == len(values):
            return tuple(value for _, value in sorted(pairs))
    return ()


def _grid(slots: Slots, names: NameRegistry) -> RegionProposal | None:
    """The region whose cells are the places; None where they do not lie in columns and rows."""
    low, high = slots.boxes[:, :2].min(axis=0), slots.boxes[:, 2:].max(axis=0)
    divided = gridded(slots.centre, slots.slot, (float(low[0]), float(low[1]), float(high[0]), float(high[1])))
    if divided is None:
        return None
    box, grid = divided
    return RegionProposal(names.add(f"{slots.column.name}_places"), box, slots.frame.name, grid)


def _in_each(slots: Slots, grid: RegionProposal, count: str, names: NameRegistry) -> Proposal:
    """That one lies in each cell, where the number is right at all."""
    name, photos = slots.column.name, len(slots.column.counts)
    return Proposal(
        id=names.add(f"{grid.name}-filled"),
        family="quantity",
        body={"of": name, "at_least": 1},
        violation=truncate_name(f"misplaced_{name}"),
        support=f"{photos}/{photos}",
        each=grid.name,
        unless_broken=(count,),
    )


def _places(slots: Slots, labels: Sequence[str], names: NameRegistry) -> list[RegionProposal]:
    """The places under the names that they have, or numbered."""
    found = []
    for number, box in enumerate(slots.boxes):
        x1, y1, x2, y2 = (float(edge) for edge in box)
        name = f"{slots.column.name}_{labels[number] if labels else f'place_{number + 1}'}"
        found.append(RegionProposal(names.add(name), (x1, y1, x2, y2), slots.frame.name))
    return found


def _filled(slots: Slots, place: RegionProposal, count: str, names: NameRegistry) -> Proposal:
    """That one lies in the place; `count` is the rule that comes before it."""
    name, photos = slots.column.name, len(slots.column.counts)
    body = {"of": name, "at_least": 1, "in": place.name}
    violation = f"misplaced_{name}" if count else f"missing_{place.name}"
    return Proposal(
        id=names.add(f"{place.name}-filled"),
        family="quantity",
        body=body,
        violation=truncate_name(violation),
        support=f"{photos}/{photos}",
        note=describe_coverage(photos, 4),
        unless_broken=(count,) if count else (),
    )
