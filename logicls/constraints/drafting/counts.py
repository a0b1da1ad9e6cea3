"""How many there are: constant counts, ranges, and counts that are constant inside a container."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int

from logicls.constraints.drafting.nesting import Nesting
from logicls.constraints.drafting.proposal import Found, Names, Proposal, Question, fitted, named
from logicls.constraints.drafting.table import ENOUGH, Column, Pairs, Table, beside, mostly
from logicls.constraints.drafting.tolerance import told


def count_rules(table: Table, nesting: Nesting, names: Names) -> Found:
    """One rule a component, at least: no component goes unmentioned."""
    return sum((_counted(table, nesting, column, names) for column in table.columns.values()), Found())


def _counted(table: Table, nesting: Nesting, column: Column, names: Names) -> Found:
    each = _each(table, nesting, column, names)
    if each:
        return Found((each,))
    low, high = int(column.counts.min()), int(column.counts.max())
    total = len(table.photos)
    id_ = names.new(f"{column.name}-count")
    if low == high:
        return Found((_exactly(id_, column.name, low, f"{total}/{total}"),))
    body, limits = _range(column.name, low, high)
    note = f"{low} to {high} a photo; {told(total, limits)}"
    whole = Proposal(id_, "quantity", body, _violations(column.name, body), f"{total}/{total}", note=note)
    questions = _almost(table, column, names)
    within = () if questions else _within(table, column, names)
    return Found((whole, *within), questions)


def _range(name: str, low: int, high: int) -> tuple[dict[str, object], int]:
    """What to write for a count that varies, and how many limits that has."""
    if low == 0:
        return {"of": name, "at_most": high}, 1
    return {"of": name, "between": [low, high]}, 2


def _exactly(id_: str, name: str, count: int, support: str, container: str = "") -> Proposal:
    body: dict[str, object] = {"of": name, "exactly": count, **({"in": container} if container else {})}
    return Proposal(id_, "quantity", body, _violations(name, body), support)


def _violations(name: str, body: dict[str, object]) -> str | dict[str, str]:
    """The defects on the sides that the rule has."""
    if body.get("exactly") == 0:
        return fitted(f"unexpected_{name}")
    above = fitted(f"additional_{name}")
    return above if "at_most" in body else {"below": fitted(f"missing_{name}"), "above": above}


def _almost(table: Table, column: Column, names: Names) -> tuple[Question, ...]:
    """Whether a count is a rule that a few photos break."""
    usual = int(np.bincount(column.counts).argmax())
    wrong = column.counts != usual
    total = len(table.photos)
    if not mostly(int(wrong.sum()), total):
        return ()
    support = f"{total - int(wrong.sum())}/{total}"
    said = f"{support} photos have exactly {usual} {column.name}: {_with_counts(table.photos, column.counts, wrong)}."
    rule = _exactly(names.new(f"{column.name}-exactly-{usual}"), column.name, usual, support)
    return (Question(said, rule),)


def _with_counts(photos: Sequence[str], counts: Int[np.ndarray, " photos"], wrong: Bool[np.ndarray, " photos"]) -> str:
    return named([f"{photos[index]} has {counts[index]}" for index in np.flatnonzero(wrong).tolist()])


def _within(table: Table, column: Column, names: Names) -> Iterator[Proposal]:
    """Counts that are constant inside a container though others of the kind lie elsewhere."""
    for outer in table.columns.values():
        if outer is column or not outer.alone or int((outer.counts > 0).sum()) < ENOUGH:
            continue
        counts = _centres_in(column, outer)[outer.counts > 0]
        if counts.min() == counts.max() and counts[0]:
            id_ = names.new(f"{column.name}-count-in-{outer.name}")
            support = f"{len(counts)}/{len(counts)}"
            yield _exactly(id_, column.name, int(counts[0]), support, outer.name)


def _each(table: Table, nesting: Nesting, column: Column, names: Names) -> Proposal | None:
    """A count that is constant in each of several containers, where all lie in one."""
    outer = table.columns.get(nesting.parent[column.name])
    if outer is None or outer.alone or not nesting.inside[column.name].fits.all():
        return None
    pairs = beside(column, outer)
    counts = np.bincount(pairs.outer[_held(column, outer, pairs)], minlength=len(outer.photo))
    if np.ptp(counts) or not (column.counts == np.bincount(outer.photo, counts, len(table.photos))).all():
        return None
    id_, photos = names.new(f"{column.name}-count-in-each-{outer.name}"), len(np.unique(outer.photo))
    rule = _exactly(id_, column.name, int(counts[0]), f"{photos}/{photos}")
    return replace(rule, each=outer.name)


def _centres_in(inner: Column, outer: Column) -> Int[np.ndarray, " photos"]:
    """How many of the one have their centre in one of the other, by photo."""
    pairs = beside(inner, outer)
    held = pairs.inner[_held(inner, outer, pairs)]
    return np.bincount(inner.photo[np.unique(held)], minlength=len(inner.counts))


def _held(inner: Column, outer: Column, pairs: Pairs) -> Bool[np.ndarray, " pairs"]:
    """Whether the one's centre lies in the other."""
    centre, place = inner.centre[pairs.inner], outer.box[pairs.outer]
    held: np.ndarray = ((centre >= place[:, :2]) & (centre <= place[:, 2:])).all(axis=1)
    return held
