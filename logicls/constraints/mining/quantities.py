"""How many there are: constant counts, ranges, and counts that are constant inside a container.

What several of a kind are like: so many of each value, or all alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int

from logicls.constraints.mining.intervals import describe_coverage
from logicls.constraints.mining.matches import CHANCE, SEEN
from logicls.constraints.mining.observations import (
    MIN_PHOTOS,
    AttributeValues,
    InstanceColumn,
    InstancePairs,
    Observations,
    are_exceptions_rare,
    pair_instances,
)
from logicls.constraints.mining.proposals import (
    MiningResult,
    NameRegistry,
    OpenQuestion,
    Proposal,
    list_photos,
    truncate_name,
)
from logicls.constraints.mining.spatial_relations import Nesting


def mine_counts(table: Observations, nesting: Nesting, names: NameRegistry) -> MiningResult:
    """One rule a component, at least: no component goes unmentioned."""
    return sum((_counted(table, nesting, column, names) for column in table.columns.values()), MiningResult())


def _counted(table: Observations, nesting: Nesting, column: InstanceColumn, names: NameRegistry) -> MiningResult:
    each = _each(table, nesting, column, names)
    if each:
        return MiningResult((each,))
    low, high = int(column.counts.min()), int(column.counts.max())
    total = len(table.photos)
    id_ = names.add(f"{column.name}-count")
    if low == high:
        return MiningResult((_exactly(id_, column.name, low, f"{total}/{total}"),))
    body, limits = _range(column.name, low, high)
    note = f"{low} to {high} a photo; {describe_coverage(total, limits)}"
    whole = Proposal(id_, "quantity", body, _violations(column.name, body), f"{total}/{total}", note=note)
    questions = _almost(table, column, names)
    within = () if questions else _within(table, column, names)
    return MiningResult((whole, *within), questions)


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
        return truncate_name(f"unexpected_{name}")
    above = truncate_name(f"additional_{name}")
    return above if "at_most" in body else {"below": truncate_name(f"missing_{name}"), "above": above}


def _almost(table: Observations, column: InstanceColumn, names: NameRegistry) -> tuple[OpenQuestion, ...]:
    """Whether a count is a rule that a few photos break."""
    usual = int(np.bincount(column.counts).argmax())
    wrong = column.counts != usual
    total = len(table.photos)
    if not are_exceptions_rare(int(wrong.sum()), total):
        return ()
    support = f"{total - int(wrong.sum())}/{total}"
    said = f"{support} photos have exactly {usual} {column.name}: {_with_counts(table.photos, column.counts, wrong)}."
    rule = _exactly(names.add(f"{column.name}-exactly-{usual}"), column.name, usual, support)
    return (OpenQuestion(said, rule),)


def _with_counts(photos: Sequence[str], counts: Int[np.ndarray, " photos"], wrong: Bool[np.ndarray, " photos"]) -> str:
    return list_photos([f"{photos[index]} has {counts[index]}" for index in np.flatnonzero(wrong).tolist()])


def _within(table: Observations, column: InstanceColumn, names: NameRegistry) -> Iterator[Proposal]:
    """Counts that are constant inside a container though others of the kind lie elsewhere."""
    for outer in table.columns.values():
        if outer is column or not outer.is_single or int((outer.counts > 0).sum()) < MIN_PHOTOS:
            continue
        counts = _centres_in(column, outer)[outer.counts > 0]
        if counts.min() == counts.max() and counts[0]:
            id_ = names.add(f"{column.name}-count-in-{outer.name}")
            support = f"{len(counts)}/{len(counts)}"
            yield _exactly(id_, column.name, int(counts[0]), support, outer.name)


def _each(table: Observations, nesting: Nesting, column: InstanceColumn, names: NameRegistry) -> Proposal | None:
    """A count that is constant in each of several containers, where all lie in one."""
    outer = table.columns.get(nesting.parent[column.name])
    if outer is None or outer.is_single or not nesting.inside[column.name].fits.all():
        return None
    pairs = pair_instances(column, outer)
    counts = np.bincount(pairs.outer[_held(column, outer, pairs)], minlength=len(outer.photo))
    if np.ptp(counts) or not (column.counts == np.bincount(outer.photo, counts, len(table.photos))).all():
        return None
    id_, photos = names.add(f"{column.name}-count-in-each-{outer.name}"), len(np.unique(outer.photo))
    rule = _exactly(id_, column.name, int(counts[0]), f"{photos}/{photos}")
    return replace(rule, each=outer.name)


def _centres_in(inner: InstanceColumn, outer: InstanceColumn) -> Int[np.ndarray, " photos"]:
    """How many of the one have their centre in one of the other, by photo."""
    pairs = pair_instances(inner, outer)
    held = pairs.inner[_held(inner, outer, pairs)]
    return np.bincount(inner.photo[np.unique(held)], minlength=len(inner.counts))


def _held(inner: InstanceColumn, outer: InstanceColumn, pairs: InstancePairs) -> Bool[np.ndarray, " pairs"]:
    """Whether the one's centre lies in the other."""
    centre, place = inner.centre[pairs.inner], outer.box[pairs.outer]
    held: np.ndarray = ((centre >= place[:, :2]) & (centre <= place[:, 2:])).all(axis=1)
    return held


MOST = 6
"""Of more values than this the numbers of each are not listed."""


def mine_attributes(
    table: Observations, vocabulary: AttributeValues, counts: MiningResult, names: NameRegistry
) -> MiningResult:
    """Rules on the values of things of which there are several on a photo."""
    found = MiningResult()
    for name, column in table.columns.items():
        if len(table.photos) < MIN_PHOTOS or column.counts.max() < 2 or name in _labelled(counts):
            continue
        whole = next((rule.id for rule in counts.proposals if rule.constant_component == name), "")
        for attribute, values in vocabulary[name].items():
            tally = _tally(column, attribute, values)
            if 2 <= len(values) <= MOST and whole and not np.ptp(tally, axis=0).any():
                numbers = dict(zip(values, tally[0].tolist(), strict=True))
                found += MiningResult(tuple(_numbers(column, attribute, numbers, whole, names)))
            elif len(values) >= 2:
                found += _alike(table, column, attribute, tally, names)
    return found


def _labelled(counts: MiningResult) -> set[object]:
    """Components whose values name their places: the rules on those say it all."""
    rules = (rule for rule in counts.proposals if "in" in rule.body and "at_least" in rule.body)
    return {rule.body["of"] for rule in rules if not rule.unless_broken}


def _tally(column: InstanceColumn, attribute: str, values: tuple[str, ...]) -> Int[np.ndarray, "photos values"]:
    """How many of each value are on each photo."""
    number = {value: index for index, value in enumerate(values)}
    tally = np.zeros((len(column.counts), len(values)), dtype=int)
    code = np.array([number[value or ""] for value in column.attributes[attribute]])
    np.add.at(tally, (column.photo, code), 1)
    return tally


def _numbers(
    column: InstanceColumn, attribute: str, numbers: Mapping[str, int], whole: str, names: NameRegistry
) -> list[Proposal]:
    """So many of each value; asked where their number is right at all."""
    violation = truncate_name(f"wrong_{column.name}_{attribute}")
    support = f"{len(column.counts)}/{len(column.counts)}"
    return [
        Proposal(
            id=names.add(f"{value}-{column.name}-count"),
            family="quantity",
            body={"of": column.name, "with": {attribute: value}, "exactly": number},
            violation=violation,
            support=support,
            unless_broken=(whole,),
        )
        for value, number in numbers.items()
    ]


def _alike(
    table: Observations,
    column: InstanceColumn,
    attribute: str,
    tally: Int[np.ndarray, "photos values"],
    names: NameRegistry,
) -> MiningResult:
    """All of a photo have the same value, which is another one on other photos."""
    several = np.flatnonzero(column.counts > 1)
    alike = (tally > 0).sum(axis=1) == 1
    wrong = several[~alike[several]]
    kinds = (tally[several] > 0).sum(axis=0)
    if len(several) < MIN_PHOTOS or not are_exceptions_rare(len(wrong), len(several)) or (kinds < SEEN).any():
        return MiningResult()
    shares = tally.sum(axis=0) / tally.sum()
    chance = sum(math.log(float((shares**count).sum())) for count in column.counts[several])
    if chance > math.log(CHANCE):
        return MiningResult()
    support = f"{len(several) - len(wrong)}/{len(several)}"
    id_, body = names.add(f"{column.name}-{attribute}-alike"), {"of": f"{column.name}.{attribute}", "same": True}
    rule = Proposal(id_, "attribute", body, truncate_name(f"mixed_{column.name}_{attribute}"), support)
    if not len(wrong):
        return MiningResult((rule,))
    exceptions = list_photos([table.photos[index] for index in wrong])
    said = f"all {column.name} of a photo have the same {attribute} on {support} photos, not on {exceptions}."
    return MiningResult(questions=(OpenQuestion(said, rule),))
