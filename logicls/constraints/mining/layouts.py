"""Where: things centred in, placed in, or just lying in what holds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from logicls.constraints.mining.intervals import DIGITS, Span, compute_span, describe_coverage, round_up
from logicls.constraints.mining.observations import MIN_PHOTOS, InstanceColumn, Observations, are_exceptions_rare
from logicls.constraints.mining.proposals import (
    MiningResult,
    NameRegistry,
    OpenQuestion,
    Proposal,
    RegionProposal,
    list_photos,
    truncate_name,
)
from logicls.constraints.mining.spatial_relations import Nesting

CENTRED = 0.15
"""A thing whose centre is never further off than this share of its container's size may be centred in it."""
MIDDLE = 0.05
"""It is if the middle between its extremes is no further off than this."""
PLACED = 0.25
"""A thing whose centre moves by no more than this share of its container's size has a place."""
WIDEST = 100.0
"""The largest tolerance that a rule may have."""
SMALLEST = 0.01
"""A place is at least so large, share of what it is a part of."""


@dataclass(frozen=True, slots=True)
class Offset:
    """Where a component's centre is in its container."""

    subject: InstanceColumn
    frame: InstanceColumn
    at: Float[np.ndarray, "rows 2"]
    """Fractions of the frame, from its top left corner."""
    size: Float[np.ndarray, "rows 2"]
    """The subject's size, fractions of the frame."""
    pixels: Float[np.ndarray, "rows 2"]
    """The frame's size, pixels."""
    photo: Int[np.ndarray, " rows"]
    spans: tuple[Span, Span]

    @property
    def photos(self) -> int:
        """On how many photos both are."""
        return len(np.unique(self.photo))

    @property
    def centred(self) -> bool:
        """Whether it is in the middle of its container; the photo is none."""
        near = np.abs(self.at - 0.5).max() <= CENTRED
        return bool(self.frame.name and near and all(abs(s.low + s.high - 1) / 2 <= MIDDLE for s in self.spans))

    @property
    def held(self) -> tuple[int, ...]:
        """The axes along which it has a place."""
        return tuple(axis for axis in (0, 1) if self.spans[axis].range <= PLACED)


def mine_positions(table: Observations, nesting: Nesting, orders: MiningResult, names: NameRegistry) -> MiningResult:
    """The place of each component in what holds it; where it has none, that it lies inside."""
    found = MiningResult()
    for name in table.columns:
        seen = _offset(table, nesting, name)
        if seen and seen.held:
            about = tuple(p.id for p in orders.proposals if name in (p.body["subject"], p.body["object"]))
            found += _centred(seen, names) if seen.centred else _placed(table, seen, about, names)
        if nesting.parent[name] and name not in nesting.fills and not (seen and len(seen.held) == 2):
            found += _inside(table, nesting, name, names)
    return found


def _offset(table: Observations, nesting: Nesting, name: str) -> Offset | None:
    """Where the component is; None where it has no place of its own, or too few photos show one."""
    subject, parent = table.columns[name], nesting.parent[name]
    frame = table.columns[parent] if parent else table.frame
    row = nesting.inside[name].row if parent else subject.photo
    near = row >= 0
    photo, row = subject.photo[near], row[near]
    once = are_exceptions_rare(len(row) - len(np.unique(row)), len(row))
    if name == nesting.product or name in nesting.fills or not once or len(np.unique(photo)) < MIN_PHOTOS:
        return None
    size = np.maximum(frame.size[row], 1e-6)
    at = (subject.centre[near] - frame.box[row, :2]) / size
    across, down = (compute_span(at[:, axis], photo, len(table.photos)) for axis in (0, 1))
    return Offset(subject, frame, at, subject.size[near] / size, size, photo, (across, down))


def _centred(seen: Offset, names: NameRegistry) -> MiningResult:
    name, frame = seen.subject.name, seen.frame.name
    across, down = _tolerances(seen, (0.0, 0.0, 1.0, 1.0))
    tolerance = across if across == down else [across, down]
    body = {"subject": name, "relation": "centred_in", "object": frame, "tolerance": tolerance}
    support = f"{seen.photos}/{seen.photos}"
    id_ = names.add(f"{name}-centred-in-{frame}")
    return MiningResult(
        (
            Proposal(
                id_, "layout", body, truncate_name(f"misplaced_{name}"), support, note=describe_coverage(seen.photos)
            ),
        )
    )


def _placed(table: Observations, seen: Offset, about: tuple[str, ...], names: NameRegistry) -> MiningResult:
    """A region that is the middle of where it was seen, and how far from there it may be."""
    name = seen.subject.name
    box = _place(seen)
    place = RegionProposal(names.add(f"{name}_place"), box, seen.frame.name)
    tolerances = _tolerances(seen, box)
    body: dict[str, object] = {"subject": name, "relation": "centred_in", "object": place.name}
    if len(seen.held) == 2:
        body["tolerance"] = tolerances
    else:
        [axis] = seen.held
        pixel = round_up(1 / float(seen.pixels[:, 1 - axis].min()))
        body |= {"tolerance": min(max(tolerances[axis], pixel), WIDEST), "axis": "xy"[axis]}
    note = f"{describe_coverage(seen.photos, 2 * len(seen.held))}; {_extremes(table, seen)}"
    rule = Proposal(
        id=names.add(f"{name}-in-place"),
        family="layout",
        body=body,
        violation=truncate_name(f"misplaced_{name}"),
        support=f"{seen.photos}/{seen.photos}",
        note=note,
        unless_broken=about,
    )
    return MiningResult((rule,), regions=(place,))


def _place(seen: Offset) -> tuple[float, float, float, float]:
    """The box of a typical instance about the middle between the extremes; what is free fills its container."""
    edges = [0.0, 0.0, 1.0, 1.0]
    for axis in seen.held:
        middle = (seen.spans[axis].low + seen.spans[axis].high) / 2
        half = max(float(np.median(seen.size[:, axis])), SMALLEST) / 2
        low = min(max(middle - half, 0.0), 1.0 - SMALLEST)
        edges[axis], edges[axis + 2] = low, max(min(middle + half, 1.0), low + SMALLEST)
    x1, y1, x2, y2 = (round(edge, DIGITS) for edge in edges)
    return x1, y1, x2, y2


def _tolerances(seen: Offset, box: tuple[float, float, float, float]) -> list[float]:
    """How far centres were from that of the box, at most; across and down, shares of its size, and a pixel at least."""
    middle, size = np.array([box[0] + box[2], box[1] + box[3]]) / 2, np.array([box[2] - box[0], box[3] - box[1]])
    far, pixel = np.abs(seen.at - middle).max(axis=0), 1 / seen.pixels.min(axis=0)
    return [min(round_up(float(tolerance)), WIDEST) for tolerance in np.maximum(far, pixel) / size]


def _extremes(table: Observations, seen: Offset) -> str:
    sides = (("leftmost", "rightmost"), ("topmost", "lowest"))
    ends = ((sides[axis], seen.spans[axis]) for axis in seen.held)
    return ", ".join(
        f"{side} {table.photos[photo]}"
        for names, s in ends
        for side, photo in zip(names, (s.lowest, s.highest), strict=True)
    )


def _inside(table: Observations, nesting: Nesting, name: str, names: NameRegistry) -> MiningResult:
    """That it lies in its container, with the tolerance that the photos need; a question where a few do not obey."""
    lies, parent = nesting.inside[name], nesting.parent[name]
    out = lies.out[np.isfinite(lies.out) & lies.fits[table.columns[name].photo]]
    both = (table.columns[name].counts > 0) & (table.columns[parent].counts > 0)
    wrong, photos = np.flatnonzero(both & ~lies.fits), int(both.sum())
    tolerance = {"tolerance": round_up(float(out.max()))} if out.max() > 0 else {}
    body = {"subject": name, "relation": "inside", "object": parent, **tolerance}
    support = f"{photos - len(wrong)}/{photos}"
    id_ = names.add(f"{name}-inside-{parent}")
    rule = Proposal(id_, "layout", body, truncate_name(f"{name}_outside_{parent}"), support)
    if not len(wrong):
        return MiningResult((rule,))
    exceptions = list_photos([table.photos[index] for index in wrong])
    return MiningResult(
        questions=(OpenQuestion(f"{name} lies inside {parent} on {support} photos, not on {exceptions}.", rule),)
    )
