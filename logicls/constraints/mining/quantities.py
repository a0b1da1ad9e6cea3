"""Mine rules on counts per photo and per container, and on the attribute values of several instances."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int

from logicls.constraints.families.context import count_to_text
from logicls.constraints.mining.intervals import describe_coverage
from logicls.constraints.mining.matches import MAX_COINCIDENCE, MIN_OCCURRENCES
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

MAX_COUNTED_VALUES = 6
"""Maximum number of an attribute's values for which the count of each is a rule."""


def mine_counts(table: Observations, nesting: Nesting, names: NameRegistry) -> MiningResult:
    """Propose at least one rule on the count of each component."""
    return sum((_mine_count(table, nesting, column, names) for column in table.columns.values()), MiningResult())


def _mine_count(table: Observations, nesting: Nesting, column: InstanceColumn, names: NameRegistry) -> MiningResult:
    each = _create_each_rule(table, nesting, column, names)
    if each:
        return MiningResult((each,))
    low, high = int(column.counts.min()), int(column.counts.max())
    photos = len(table.photos)
    id_ = names.add(f"{column.name}-count")
    if low == high:
        return MiningResult((_create_exact_rule(id_, column.name, low, f"{photos}/{photos}"),))
    body, limits = _count_range(column.name, low, high)
    note = f"{low} to {high} per photo; {describe_coverage(photos, limits)}"
    rule = Proposal(id_, "quantity", body, _violation_names(column.name, body), f"{photos}/{photos}", note=note)
    questions = _ask_exact_count(table, column, names)
    contained = () if questions else _create_container_rules(table, column, names)
    return MiningResult((rule, *contained), questions)


def _count_range(name: str, low: int, high: int) -> tuple[dict[str, object], int]:
    """Return the body of a rule on a varying count, and its number of limits."""
    if low == 0:
        return {"of": name, "at_most": high}, 1
    return {"of": name, "between": [low, high]}, 2


def _create_exact_rule(id_: str, name: str, count: int, support: str, container: str = "") -> Proposal:
    body: dict[str, object] = {"of": name, "exactly": count, **({"in": container} if container else {})}
    return Proposal(id_, "quantity", body, _violation_names(name, body), support)


def _violation_names(name: str, body: dict[str, object]) -> str | dict[str, str]:
    """Name the violations of the rule's failure modes."""
    if body.get("exactly") == 0:
        return truncate_name(f"unexpected_{name}")
    above = truncate_name(f"additional_{name}")
    return above if "at_most" in body else {"below": truncate_name(f"missing_{name}"), "above": above}


def _ask_exact_count(table: Observations, column: InstanceColumn, names: NameRegistry) -> tuple[OpenQuestion, ...]:
    """Ask whether a count that holds on all but a few photos is a rule."""
    mode = int(np.bincount(column.counts).argmax())
    is_exception = column.counts != mode
    photos, exceptions = len(table.photos), int(is_exception.sum())
    if not are_exceptions_rare(exceptions, photos):
        return ()
    support = f"{photos - exceptions}/{photos}"
    actual = _list_counts(table.photos, column.counts, is_exception)
    text = f"{support} photos have exactly {count_to_text(mode, column.name)}: {actual}."
    rule = _create_exact_rule(names.add(f"{column.name}-exactly-{mode}"), column.name, mode, support)
    return (OpenQuestion(text, rule),)


def _list_counts(
    photos: Sequence[str], counts: Int[np.ndarray, " photos"], selected: Bool[np.ndarray, " photos"]
) -> str:
    return list_photos([f"{photos[index]} has {counts[index]}" for index in np.flatnonzero(selected).tolist()])


def _create_container_rules(table: Observations, column: InstanceColumn, names: NameRegistry) -> Iterator[Proposal]:
    """Yield rules on counts that are constant inside a container, while other instances are outside."""
    for outer in table.columns.values():
        if outer is column or not outer.is_single or int((outer.counts > 0).sum()) < MIN_PHOTOS:
            continue
        counts = _count_inside(column, outer)[outer.counts > 0]
        if counts.min() == counts.max() and counts[0]:
            id_ = names.add(f"{column.name}-count-in-{outer.name}")
            support = f"{len(counts)}/{len(counts)}"
            yield _create_exact_rule(id_, column.name, int(counts[0]), support, outer.name)


def _create_each_rule(
    table: Observations, nesting: Nesting, column: InstanceColumn, names: NameRegistry
) -> Proposal | None:
    """Create a rule on a count that is constant in each of several containers that hold all instances."""
    outer = table.columns.get(nesting.parent[column.name])
    if outer is None or outer.is_single or not nesting.containment[column.name].is_inside.all():
        return None
    pairs = pair_instances(column, outer)
    counts = np.bincount(pairs.outer[_is_centre_inside(column, outer, pairs)], minlength=len(outer.photo))
    if np.ptp(counts) or not (column.counts == np.bincount(outer.photo, counts, len(table.photos))).all():
        return None
    id_, photos = names.add(f"{column.name}-count-in-each-{outer.name}"), len(np.unique(outer.photo))
    rule = _create_exact_rule(id_, column.name, int(counts[0]), f"{photos}/{photos}")
    return replace(rule, each=outer.name)


def _count_inside(inner: InstanceColumn, outer: InstanceColumn) -> Int[np.ndarray, " photos"]:
    """Count the instances per photo whose centre is inside an instance of `outer`."""
    pairs = pair_instances(inner, outer)
    rows = pairs.inner[_is_centre_inside(inner, outer, pairs)]
    return np.bincount(inner.photo[np.unique(rows)], minlength=len(inner.counts))


def _is_centre_inside(inner: InstanceColumn, outer: InstanceColumn, pairs: InstancePairs) -> Bool[np.ndarray, " pairs"]:
    centre, box = inner.centre[pairs.inner], outer.box[pairs.outer]
    is_inside: np.ndarray = ((centre >= box[:, :2]) & (centre <= box[:, 2:])).all(axis=1)
    return is_inside


def mine_attributes(
    table: Observations, values: AttributeValues, counts: MiningResult, names: NameRegistry
) -> MiningResult:
    """Propose rules on the attribute values of components with several instances per photo."""
    result = MiningResult()
    for name, column in table.columns.items():
        if len(table.photos) < MIN_PHOTOS or column.counts.max() < 2 or name in _components_with_slots(counts):
            continue
        count_id = next((rule.id for rule in counts.proposals if rule.constant_component == name), "")
        for attribute, options in values[name].items():
            frequencies = _count_values(column, attribute, options)
            is_constant = not np.ptp(frequencies, axis=0).any()
            if 2 <= len(options) <= MAX_COUNTED_VALUES and count_id and is_constant:
                numbers = dict(zip(options, frequencies[0].tolist(), strict=True))
                result += MiningResult(tuple(_create_value_rules(column, attribute, numbers, count_id, names)))
            elif len(options) >= 2:
                result += _mine_equal_values(table, column, attribute, frequencies, names)
    return result


def _components_with_slots(counts: MiningResult) -> set[object]:
    """Return the components whose attribute values name their slots: the rules on the slots cover the values."""
    rules = (rule for rule in counts.proposals if "in" in rule.body and "at_least" in rule.body)
    return {rule.body["of"] for rule in rules if not rule.unless_broken}


def _count_values(column: InstanceColumn, attribute: str, values: tuple[str, ...]) -> Int[np.ndarray, "photos values"]:
    """Count the instances with each value on each photo."""
    index = {value: number for number, value in enumerate(values)}
    frequencies = np.zeros((len(column.counts), len(values)), dtype=int)
    code = np.array([index[value or ""] for value in column.attributes[attribute]])
    np.add.at(frequencies, (column.photo, code), 1)
    return frequencies


def _create_value_rules(
    column: InstanceColumn, attribute: str, numbers: Mapping[str, int], count_id: str, names: NameRegistry
) -> list[Proposal]:
    """Create a rule on the count of each value, which applies if the total count is correct."""
    violation = truncate_name(f"wrong_{column.name}_{attribute}")
    support = f"{len(column.counts)}/{len(column.counts)}"
    return [
        Proposal(
            id=names.add(f"{value}-{column.name}-count"),
            family="quantity",
            body={"of": column.name, "with": {attribute: value}, "exactly": number},
            violation=violation,
            support=support,
            unless_broken=(count_id,),
        )
        for value, number in numbers.items()
    ]


def _mine_equal_values(
    table: Observations,
    column: InstanceColumn,
    attribute: str,
    frequencies: Int[np.ndarray, "photos values"],
    names: NameRegistry,
) -> MiningResult:
    """Propose that all instances of a photo have the same value, which varies between photos."""
    several = np.flatnonzero(column.counts > 1)
    is_equal = (frequencies > 0).sum(axis=1) == 1
    exceptions = several[~is_equal[several]]
    occurrences = (frequencies[several] > 0).sum(axis=0)
    is_rare = are_exceptions_rare(len(exceptions), len(several))
    if len(several) < MIN_PHOTOS or not is_rare or (occurrences < MIN_OCCURRENCES).any():
        return MiningResult()
    shares = frequencies.sum(axis=0) / frequencies.sum()
    log_coincidence = sum(math.log(float((shares**count).sum())) for count in column.counts[several])
    if log_coincidence > math.log(MAX_COINCIDENCE):
        return MiningResult()
    support = f"{len(several) - len(exceptions)}/{len(several)}"
    id_ = names.add(f"{column.name}-{attribute}-alike")
    body = {"of": f"{column.name}.{attribute}", "same": True}
    rule = Proposal(id_, "attribute", body, truncate_name(f"mixed_{column.name}_{attribute}"), support)
    if not len(exceptions):
        return MiningResult((rule,))
    photo_list = list_photos([table.photos[index] for index in exceptions])
    subject = f"all instances of {column.name} on a photo have the same {attribute}"
    return MiningResult(questions=(OpenQuestion(f"{subject} on {support} photos, not on {photo_list}.", rule),))
