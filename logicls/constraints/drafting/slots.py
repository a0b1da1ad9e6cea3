"""Where: several of a kind, each in a place of its own, as screws in their holes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from logicls.constraints.drafting.grids import gridded
from logicls.constraints.drafting.nesting import MOST_PAIRS, Nesting
from logicls.constraints.drafting.proposal import Found, Names, Place, Proposal, fitted
from logicls.constraints.drafting.spans import MARGIN, STEPS
from logicls.constraints.drafting.table import ENOUGH, Column, Table
from logicls.constraints.drafting.tolerance import told
from logicls.constraints.drafting.vocabulary import Vocabulary

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

    column: Column
    frame: Column
    slot: Int[np.ndarray, " rows"]
    """In which place each instance lies, numbered in reading order."""
    centre: Float[np.ndarray, "rows 2"]
    """Where it is, fractions of the frame."""
    boxes: Float[np.ndarray, "slots 4"]
    """What all instances of a place cover together, fractions of the frame."""


def slot_rules(table: Table, nesting: Nesting, vocabulary: Vocabulary, counts: Found, names: Names) -> Found:
    """The rules on counts, and a rule for each place.

    Where an attribute names the places, an empty place is a thing missing there, and what is left to say of the count
    is that there are no more. Where none does, the count comes first, and an empty place is a thing misplaced.
    """
    rules, places = list(counts.proposals), []
    for index, rule in enumerate(counts.proposals):
        slots = _slots(table, nesting, rule.constant) if rule.constant else None
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
                most, above = {"of": rule.constant, "at_most": len(named)}, f"additional_{rule.constant}"
                rules[index] = replace(rule, body=most, violation=fitted(above))
            rules += filled
            places += named
    return Found(tuple(rules), counts.questions, tuple(places))


def _slots(table: Table, nesting: Nesting, name: str) -> Slots | None:
    """None where there are no such places."""
    column, parent = table.columns[name], nesting.parent[name]
    frame = table.columns[parent] if parent else table.frame
    count = int(column.counts[0])
    beyond = len(column.counts) < ENOUGH or len(column.photo) * count > MOST_PAIRS
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


def _grid(slots: Slots, names: Names) -> Place | None:
    """The region whose cells are the places; None where they do not lie in columns and rows."""
    low, high = slots.boxes[:, :2].min(axis=0), slots.boxes[:, 2:].max(axis=0)
    divided = gridded(slots.centre, slots.slot, (float(low[0]), float(low[1]), float(high[0]), float(high[1])))
    if divided is None:
        return None
    box, grid = divided
    return Place(names.new(f"{slots.column.name}_places"), box, slots.frame.name, grid)


def _in_each(slots: Slots, grid: Place, count: str, names: Names) -> Proposal:
    """That one lies in each cell, where the number is right at all."""
    name, photos = slots.column.name, len(slots.column.counts)
    return Proposal(
        id=names.new(f"{grid.name}-filled"),
        family="quantity",
        body={"of": name, "at_least": 1},
        violation=fitted(f"misplaced_{name}"),
        support=f"{photos}/{photos}",
        each=grid.name,
        unless_broken=(count,),
    )


def _places(slots: Slots, labels: Sequence[str], names: Names) -> list[Place]:
    """The places under the names that they have, or numbered."""
    found = []
    for number, box in enumerate(slots.boxes):
        x1, y1, x2, y2 = (float(edge) for edge in box)
        name = f"{slots.column.name}_{labels[number] if labels else f'place_{number + 1}'}"
        found.append(Place(names.new(name), (x1, y1, x2, y2), slots.frame.name))
    return found


def _filled(slots: Slots, place: Place, count: str, names: Names) -> Proposal:
    """That one lies in the place; `count` is the rule that comes before it."""
    name, photos = slots.column.name, len(slots.column.counts)
    body = {"of": name, "at_least": 1, "in": place.name}
    violation = f"misplaced_{name}" if count else f"missing_{place.name}"
    return Proposal(
        id=names.new(f"{place.name}-filled"),
        family="quantity",
        body=body,
        violation=fitted(violation),
        support=f"{photos}/{photos}",
        note=told(photos, 4),
        unless_broken=(count,) if count else (),
    )
