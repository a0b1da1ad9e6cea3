"""Mine rules on slots: a constant number of instances, each at a position of its own, as screws in their holes.

Slots in columns and rows become one region with a grid instead of a list of regions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from logicls.constraints.mining.intervals import DIGITS, MARGIN, STEPS, describe_coverage
from logicls.constraints.mining.observations import MIN_PHOTOS, AttributeValues, InstanceColumn, Observations
from logicls.constraints.mining.proposals import MiningResult, NameRegistry, Proposal, RegionProposal, truncate_name
from logicls.constraints.mining.spatial_relations import MAX_PAIRS, Nesting

Edges: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom, fractions of the frame."""
GridShape: TypeAlias = tuple[int, int]
"""Columns and rows."""
MAX_CELL_OFFSET = 0.25
"""Maximum distance of a slot's mean position from the centre of its cell, share of the cell."""
MAX_SLOTS = 100
"""Maximum number of slots of a component."""
MAX_LISTED_SLOTS = 12
"""Maximum number of slots that become one region each."""
MAX_UNGRIDDED_SLOTS = 3
"""Number of slots up to which no grid is used."""
MAX_ITERATIONS = 3
"""Iterations of the assignment of instances to slots; separate slots need two."""


@dataclass(frozen=True, slots=True)
class SlotAssignment:
    """Assignment of a component's instances to slots."""

    column: InstanceColumn
    frame: InstanceColumn
    """Container, or the photo."""
    slot: Int[np.ndarray, " rows"]
    """Slot of each instance, numbered in reading order."""
    centre: Float[np.ndarray, "rows 2"]
    """Centres, fractions of the frame."""
    boxes: Float[np.ndarray, "slots 4"]
    """Union of the boxes of each slot's instances, fractions of the frame."""


def mine_slots(
    table: Observations, nesting: Nesting, values: AttributeValues, counts: MiningResult, names: NameRegistry
) -> MiningResult:
    """Add a rule on each slot to the rules on counts.

    If the values of an attribute name the slots, an empty slot is a missing component, and the rule on the count
    becomes an upper limit. Otherwise the rule on the count takes precedence, and an empty slot is a misplaced one.
    """
    rules, regions = list(counts.proposals), []
    for index, rule in enumerate(counts.proposals):
        slots = _assign_slots(table, nesting, rule.constant_component) if rule.constant_component else None
        if slots:
            labels = _find_slot_labels(slots, values[slots.column.name])
            use_grid = not labels and len(slots.boxes) > MAX_UNGRIDDED_SLOTS
            grid = _create_grid_region(slots, names) if use_grid else None
            if grid:
                rules.append(_create_grid_rule(slots, grid, rule.id, names))
                regions.append(grid)
            if grid or len(slots.boxes) > MAX_LISTED_SLOTS:
                continue
            slot_regions = _create_slot_regions(slots, labels, names)
            count_id = "" if labels else rule.id
            slot_rules = [_create_slot_rule(slots, region, count_id, names) for region in slot_regions]
            if labels:
                body = {"of": rule.constant_component, "at_most": len(slot_regions)}
                violation = truncate_name(f"additional_{rule.constant_component}")
                rules[index] = replace(rule, body=body, violation=violation)
            rules += slot_rules
            regions += slot_regions
    return MiningResult(tuple(rules), counts.questions, tuple(regions))


def _assign_slots(table: Observations, nesting: Nesting, name: str) -> SlotAssignment | None:
    """Assign instances to slots by k-means with one instance per slot and photo; None if that is impossible."""
    column, parent = table.columns[name], nesting.parent[name]
    frame = table.columns[parent] if parent else table.frame
    count = int(column.counts[0])
    is_unsuitable = len(column.counts) < MIN_PHOTOS or len(column.photo) * count > MAX_PAIRS
    if not 2 <= count <= MAX_SLOTS or is_unsuitable or (frame.counts != 1).any():
        return None
    outer = frame.box[column.photo]
    corner, size = np.tile(outer[:, :2], 2), np.tile(np.maximum(outer[:, 2:] - outer[:, :2], 1e-6), 2)
    box = (column.box - corner) / size
    centre = ((box[:, :2] + box[:, 2:]) / 2).reshape(-1, count, 2)
    means = centre[0]
    for _ in range(MAX_ITERATIONS):
        slot = np.square(centre[:, :, None] - means).sum(axis=-1).argmin(axis=-1)
        if (np.sort(slot, axis=1) != np.arange(count)).any():
            return None
        means = np.take_along_axis(centre, slot.argsort(axis=1)[..., None], axis=1).mean(axis=0)
    rank = np.empty(count, dtype=int)
    rank[np.argsort(means[:, 1] + 0.25 * means[:, 0])] = np.arange(count)
    ranked = rank[slot].ravel()
    assignment = SlotAssignment(column, frame, ranked, centre.reshape(-1, 2), _compute_slot_boxes(box, ranked))
    return assignment if _are_slots_separate(assignment) else None


def _compute_slot_boxes(
    box: Float[np.ndarray, "rows 4"], slot: Int[np.ndarray, " rows"]
) -> Float[np.ndarray, "slots 4"]:
    """Compute the union of the boxes of each slot, rounded outwards and clipped to the frame."""
    groups = [box[slot == index] for index in range(int(slot.max()) + 1)]
    low = np.array([np.floor(group[:, :2].min(axis=0) * STEPS) for group in groups])
    high = np.array([np.ceil(group[:, 2:].max(axis=0) * STEPS) for group in groups])
    return np.clip(np.concatenate([low, high], axis=1) / STEPS, 0.0, 1.0)


def _are_slots_separate(slots: SlotAssignment) -> bool:
    """Return True if every slot box contains the centre of exactly its own instance on every photo."""
    centre = slots.centre[:, None]
    is_inside = ((centre > slots.boxes[:, :2] + MARGIN) & (centre < slots.boxes[:, 2:] - MARGIN)).all(axis=-1)
    return bool((is_inside == (slots.slot[:, None] == np.arange(len(slots.boxes)))).all())


def _find_slot_labels(slots: SlotAssignment, attributes: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the values of an attribute of which each belongs to one slot; empty if there is none."""
    for attribute, values in attributes.items():
        annotated = slots.column.attributes[attribute]
        pairs = {(int(slot), str(value)) for slot, value in zip(slots.slot, annotated, strict=True)}
        if len(pairs) == len(slots.boxes) == len(values):
            return tuple(value for _, value in sorted(pairs))
    return ()


def _create_grid_region(slots: SlotAssignment, names: NameRegistry) -> RegionProposal | None:
    """Create a region whose cells are the slots; None if the slots are not in columns and rows."""
    low, high = slots.boxes[:, :2].min(axis=0), slots.boxes[:, 2:].max(axis=0)
    union = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    grid = fit_grid(slots.centre, slots.slot, union)
    if grid is None:
        return None
    box, shape = grid
    return RegionProposal(names.add(f"{slots.column.name}_places"), box, slots.frame.name, shape)


def _create_grid_rule(slots: SlotAssignment, grid: RegionProposal, count_id: str, names: NameRegistry) -> Proposal:
    """Create a rule that each cell has an instance, which applies if the total count is correct."""
    name, photos = slots.column.name, len(slots.column.counts)
    return Proposal(
        id=names.add(f"{grid.name}-filled"),
        family="quantity",
        body={"of": name, "at_least": 1},
        violation=truncate_name(f"misplaced_{name}"),
        support=f"{photos}/{photos}",
        each=grid.name,
        unless_broken=(count_id,),
    )


def _create_slot_regions(slots: SlotAssignment, labels: Sequence[str], names: NameRegistry) -> list[RegionProposal]:
    """Create a region for each slot, named by its label or number."""
    regions = []
    for number, box in enumerate(slots.boxes):
        x1, y1, x2, y2 = (float(edge) for edge in box)
        name = f"{slots.column.name}_{labels[number] if labels else f'place_{number + 1}'}"
        regions.append(RegionProposal(names.add(name), (x1, y1, x2, y2), slots.frame.name))
    return regions


def _create_slot_rule(slots: SlotAssignment, region: RegionProposal, count_id: str, names: NameRegistry) -> Proposal:
    """Create a rule that the slot has an instance; it applies if the rule `count_id` is not broken."""
    name, photos = slots.column.name, len(slots.column.counts)
    body = {"of": name, "at_least": 1, "in": region.name}
    violation = f"misplaced_{name}" if count_id else f"missing_{region.name}"
    return Proposal(
        id=names.add(f"{region.name}-filled"),
        family="quantity",
        body=body,
        violation=truncate_name(violation),
        support=f"{photos}/{photos}",
        note=describe_coverage(photos, 4),
        unless_broken=(count_id,) if count_id else (),
    )


def fit_grid(
    centre: Float[np.ndarray, "rows 2"], slot: Int[np.ndarray, " rows"], union: Edges
) -> tuple[Edges, GridShape] | None:
    """Fit a regular grid with one slot per cell; None if there is none.

    Args:
        centre: Centres of the instances, fractions of the frame.
        slot: Slot of each instance.
        union: Union of all boxes.
    """
    count = int(slot.max()) + 1
    means = np.array([centre[slot == index].mean(axis=0) for index in range(count)])
    for columns in (c for c in range(1, count + 1) if count % c == 0):
        shape = columns, count // columns
        # Each column has equally many slots, so the rank along x determines a slot's column; rows likewise.
        cells = np.stack([_rank_values(means[:, axis]) * shape[axis] // count for axis in (0, 1)], axis=1)
        box = _compute_grid_box(means, shape, union)
        if box and _is_grid_regular(means, cells, box, shape) and _are_cells_correct(centre, cells[slot], box, shape):
            return box, shape
    return None


def _rank_values(values: Float[np.ndarray, " slots"]) -> Int[np.ndarray, " slots"]:
    ranks = np.empty(len(values), dtype=int)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks


def _compute_grid_box(means: Float[np.ndarray, "slots 2"], shape: GridShape, union: Edges) -> Edges | None:
    """Extend the range of the slots by half a cell on each side; use the union along an axis with one cell."""
    low, high = list(union[:2]), list(union[2:])
    for axis in (0, 1):
        if shape[axis] > 1:
            ordered = np.sort(means[:, axis]).reshape(shape[axis], -1).mean(axis=1)
            half = float(ordered[-1] - ordered[0]) / (shape[axis] - 1) / 2
            low[axis], high[axis] = float(ordered[0]) - half, float(ordered[-1]) + half
    x1, y1, x2, y2 = (round(min(max(edge, 0.0), 1.0), DIGITS) for edge in (*low, *high))
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _is_grid_regular(
    means: Float[np.ndarray, "slots 2"], cells: Int[np.ndarray, "slots 2"], box: Edges, shape: GridShape
) -> bool:
    """Return True if the slots are near the centres of distinct cells."""
    corner, size = np.array(box[:2]), (np.array(box[2:]) - np.array(box[:2])) / np.array(shape)
    offset = np.abs((means - corner) / size - cells - 0.5).max()
    return bool(offset <= MAX_CELL_OFFSET and len(np.unique(cells, axis=0)) == len(means))


def _are_cells_correct(
    centre: Float[np.ndarray, "rows 2"], cells: Int[np.ndarray, "rows 2"], box: Edges, shape: GridShape
) -> bool:
    """Return True if every centre is inside its own cell."""
    corner, size = np.array(box[:2]), (np.array(box[2:]) - np.array(box[:2])) / np.array(shape)
    position = (centre - corner) / size - cells
    margin = MARGIN / size
    return bool((position > margin).all() and (position < 1 - margin).all())
