"""What several of a kind are like: so many of each value, or all alike."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from logicls.constraints.drafting.matches import CHANCE, SEEN
from logicls.constraints.drafting.proposal import Found, Names, Proposal, Question, fitted, named
from logicls.constraints.drafting.table import ENOUGH, Column, Table, mostly
from logicls.constraints.drafting.vocabulary import Vocabulary

MOST = 6
"""Of more values than this the numbers of each are not listed."""


def value_rules(table: Table, vocabulary: Vocabulary, counts: Found, names: Names) -> Found:
    """Rules on the values of things of which there are several on a photo."""
    found = Found()
    for name, column in table.columns.items():
        if len(table.photos) < ENOUGH or column.counts.max() < 2 or name in _labelled(counts):
            continue
        whole = next((rule.id for rule in counts.proposals if rule.constant == name), "")
        for attribute, values in vocabulary[name].items():
            tally = _tally(column, attribute, values)
            if 2 <= len(values) <= MOST and whole and not np.ptp(tally, axis=0).any():
                numbers = dict(zip(values, tally[0].tolist(), strict=True))
                found += Found(tuple(_numbers(column, attribute, numbers, whole, names)))
            elif len(values) >= 2:
                found += _alike(table, column, attribute, tally, names)
    return found


def _labelled(counts: Found) -> set[object]:
    """Components whose values name their places: the rules on those say it all."""
    rules = (rule for rule in counts.proposals if "in" in rule.body and "at_least" in rule.body)
    return {rule.body["of"] for rule in rules if not rule.unless_broken}


def _tally(column: Column, attribute: str, values: tuple[str, ...]) -> Int[np.ndarray, "photos values"]:
    """How many of each value are on each photo."""
    number = {value: index for index, value in enumerate(values)}
    tally = np.zeros((len(column.counts), len(values)), dtype=int)
    code = np.array([number[value or ""] for value in column.attributes[attribute]])
    np.add.at(tally, (column.photo, code), 1)
    return tally


def _numbers(column: Column, attribute: str, numbers: Mapping[str, int], whole: str, names: Names) -> list[Proposal]:
    """So many of each value; asked where their number is right at all."""
    violation = fitted(f"wrong_{column.name}_{attribute}")
    support = f"{len(column.counts)}/{len(column.counts)}"
    return [
        Proposal(
            id=names.new(f"{value}-{column.name}-count"),
            family="quantity",
            body={"of": column.name, "with": {attribute: value}, "exactly": number},
            violation=violation,
            support=support,
            unless_broken=(whole,),
        )
        for value, number in numbers.items()
    ]


def _alike(
    table: Table, column: Column, attribute: str, tally: Int[np.ndarray, "photos values"], names: Names
) -> Found:
    """All of a photo have the same value, which is another one on other photos."""
    several = np.flatnonzero(column.counts > 1)
    alike = (tally > 0).sum(axis=1) == 1
    wrong = several[~alike[several]]
    kinds = (tally[several] > 0).sum(axis=0)
    if len(several) < ENOUGH or not mostly(len(wrong), len(several)) or (kinds < SEEN).any():
        return Found()
    shares = tally.sum(axis=0) / tally.sum()
    chance = sum(math.log(float((shares**count).sum())) for count in column.counts[several])
    if chance > math.log(CHANCE):
        return Found()
    support = f"{len(several) - len(wrong)}/{len(several)}"
    id_, body = names.new(f"{column.name}-{attribute}-alike"), {"of": f"{column.name}.{attribute}", "same": True}
    rule = Proposal(id_, "attribute", body, fitted(f"mixed_{column.name}_{attribute}"), support)
    if not len(wrong):
        return Found((rule,))
    exceptions = named([table.photos[index] for index in wrong])
    said = f"all {column.name} of a photo have the same {attribute} on {support} photos, not on {exceptions}."
    return Found(questions=(Question(said, rule),))
