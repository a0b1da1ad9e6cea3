"""What goes with what: attributes of which one tells the other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from logicls.constraints.mining.observations import (
    MIN_PHOTOS,
    AttributeValues,
    InstanceColumn,
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

SEEN = 3
"""Each value must have been seen on so many photos."""
CHANCE = 1e-4
"""Pairs that chance would put together more often than this are not proposed."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of things of which there is one a photo."""

    column: InstanceColumn
    name: str
    values: tuple[str, ...]
    code: Int[np.ndarray, " rows"]
    """Which of the values each instance has."""

    @property
    def said(self) -> str:
        """`component.attribute`, as rules name it."""
        return f"{self.column.name}.{self.name}"


@dataclass(frozen=True, slots=True)
class Joint:
    """How often two attributes' values were seen together."""

    left: Attribute
    right: Attribute
    photo: Int[np.ndarray, " pairs"]
    partner: Int[np.ndarray, " left_values"]
    """The right value that usually goes with each left one."""
    wrong: Int[np.ndarray, " photos_off"]
    """Photos on which another one does."""
    coincidence: float
    """Probability that right values dealt out by chance would fall in as neat groups, at most."""

    @property
    def photos(self) -> int:
        """On how many photos both are."""
        return len(np.unique(self.photo))

    @property
    def functional(self) -> bool:
        """Whether the left value tells the right one, a few photos aside."""
        several = len(set(self.partner.tolist())) > 1
        return several and self.coincidence <= CHANCE and are_exceptions_rare(len(self.wrong), self.photos)

    @property
    def one_to_one(self) -> bool:
        """Whether no two left values go with the same right one."""
        return len(set(self.partner.tolist())) == len(self.partner)


def mine_matches(table: Observations, vocabulary: AttributeValues, names: NameRegistry) -> MiningResult:
    """A rule for each group of attributes that tell one another, and for those that tell another one way only."""
    attributes = sorted(_attributes(table, vocabulary), key=lambda a: float(np.median(a.column.size.prod(axis=1))))
    leader = {a.said: a.said for a in attributes}
    joints = [joint for joint in _joints(attributes) if joint.functional]
    found = MiningResult()
    for joint in (j for j in joints if j.one_to_one):
        if leader[joint.left.said] != leader[joint.right.said]:
            old, new = leader[joint.right.said], leader[joint.left.said]
            leader = {said: new if led == old else led for said, led in leader.items()}
            found += _told(table, joint, names)
    known = {(said, said) for said in leader.values()}
    for joint in (j for j in joints if not j.one_to_one):
        edge = leader[joint.left.said], leader[joint.right.said]
        if edge not in known:
            known.add(edge)
            found += _told(table, joint, names)
    return found


def _attributes(table: Observations, vocabulary: AttributeValues) -> Iterator[Attribute]:
    for component, attributes in vocabulary.items():
        column = table.columns[component]
        for name, values in attributes.items():
            if column.is_single and len(values) > 1:
                number = {value: index for index, value in enumerate(values)}
                code = np.array([number[value or ""] for value in column.attributes[name]], dtype=int)
                yield Attribute(column, name, values, code)


def _joints(attributes: list[Attribute]) -> Iterator[Joint]:
    for index, one in enumerate(attributes):
        for other in attributes[index + 1 :]:
            yield from (joint for joint in (_joint(one, other), _joint(other, one)) if joint)


def _joint(left: Attribute, right: Attribute) -> Joint | None:
    """None where too few photos have both."""
    pairs = pair_instances(left.column, right.column)
    a, b = left.code[pairs.inner], right.code[pairs.outer]
    seen = np.zeros((len(left.values), len(right.values)), dtype=int)
    np.add.at(seen, (a, b), 1)
    if len(np.unique(pairs.photo)) < MIN_PHOTOS or min(seen.sum(axis=1).min(), seen.sum(axis=0).min()) < SEEN:
        return None
    partner = seen.argmax(axis=1)
    wrong = np.unique(pairs.photo[partner[a] != b])
    return Joint(left, right, pairs.photo, partner, wrong, _coincidence(seen))


def _coincidence(seen: Int[np.ndarray, "left right"]) -> float:
    """An upper bound: so many ways to label the groups, of all ways to deal out the right values."""
    groups, values = seen.shape
    totals = seen.sum(axis=0)
    deals = math.lgamma(totals.sum() + 1) - sum(math.lgamma(total + 1) for total in totals)
    return math.exp(min(groups * math.log(values) - deals, 0.0))


def _told(table: Observations, joint: Joint, names: NameRegistry) -> MiningResult:
    """A rule, or a question where some photos are exceptions."""
    left, right = joint.left, joint.right
    goes = {value: right.values[partner] for value, partner in zip(left.values, joint.partner, strict=True)}
    support = f"{joint.photos - len(joint.wrong)}/{joint.photos}"
    note = "each tells the other" if joint.one_to_one else "the left value tells the right one, not the other way"
    id_ = names.add(f"{left.column.name}-{left.name}-matches-{right.column.name}-{right.name}")
    body = {"left": left.said, "right": right.said, "pairs": goes}
    rule = Proposal(id_, "match", body, truncate_name(f"wrong_{left.column.name}_{left.name}"), support, note=note)
    if not len(joint.wrong):
        return MiningResult((rule,))
    exceptions = list_photos([table.photos[index] for index in joint.wrong])
    said = f"{left.said} tells {right.said} on {support} photos, not on {exceptions}."
    return MiningResult(questions=(OpenQuestion(said, rule),))
