"""Mine rules on matching attributes: the value of one attribute determines that of another."""

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

MIN_OCCURRENCES = 3
"""Minimum number of occurrences of each value."""
MAX_COINCIDENCE = 1e-4
"""Maximum probability of a coincidence for which a rule is proposed."""


@dataclass(frozen=True, slots=True)
class CodedAttribute:
    """Attribute of a component with one instance per photo."""

    column: InstanceColumn
    name: str
    values: tuple[str, ...]
    code: Int[np.ndarray, " rows"]
    """Index of each instance's value."""

    @property
    def reference(self) -> str:
        """`component.attribute`, as rules name it."""
        return f"{self.column.name}.{self.name}"


@dataclass(frozen=True, slots=True)
class Contingency:
    """Joint distribution of two attributes' values."""

    left: CodedAttribute
    right: CodedAttribute
    photo: Int[np.ndarray, " pairs"]
    """Index of each pair's photo."""
    partner: Int[np.ndarray, " left_values"]
    """Index of the most frequent right value for each left value."""
    exceptions: Int[np.ndarray, " exceptions"]
    """Indices of the photos with another right value."""
    coincidence: float
    """Upper bound of the probability that randomly permuted right values depend on the left ones this clearly."""

    @property
    def photos(self) -> int:
        """Number of photos with both attributes."""
        return len(np.unique(self.photo))

    @property
    def is_functional(self) -> bool:
        """True if the left value determines the right one, with rare exceptions."""
        is_varying = len(set(self.partner.tolist())) > 1
        is_significant = self.coincidence <= MAX_COINCIDENCE
        return is_varying and is_significant and are_exceptions_rare(len(self.exceptions), self.photos)

    @property
    def is_one_to_one(self) -> bool:
        """True if different left values have different right values."""
        return len(set(self.partner.tolist())) == len(self.partner)


def mine_matches(table: Observations, values: AttributeValues, names: NameRegistry) -> MiningResult:
    """Propose rules for attributes that determine one another, without those that follow from others."""
    attributes = sorted(_code_attributes(table, values), key=lambda a: float(np.median(a.column.size.prod(axis=1))))
    group = {a.reference: a.reference for a in attributes}
    functional = [contingency for contingency in _contingencies(attributes) if contingency.is_functional]
    result = MiningResult()
    for contingency in (c for c in functional if c.is_one_to_one):
        if group[contingency.left.reference] != group[contingency.right.reference]:
            old, new = group[contingency.right.reference], group[contingency.left.reference]
            group = {reference: new if label == old else label for reference, label in group.items()}
            result += _create_rule(table, contingency, names)
    covered = {(label, label) for label in group.values()}
    for contingency in (c for c in functional if not c.is_one_to_one):
        edge = group[contingency.left.reference], group[contingency.right.reference]
        if edge not in covered:
            covered.add(edge)
            result += _create_rule(table, contingency, names)
    return result


def _code_attributes(table: Observations, values: AttributeValues) -> Iterator[CodedAttribute]:
    for component, attributes in values.items():
        column = table.columns[component]
        for name, options in attributes.items():
            if column.is_single and len(options) > 1:
                index = {value: number for number, value in enumerate(options)}
                code = np.array([index[value or ""] for value in column.attributes[name]], dtype=int)
                yield CodedAttribute(column, name, options, code)


def _contingencies(attributes: list[CodedAttribute]) -> Iterator[Contingency]:
    """Yield the contingencies of all pairs of attributes in both directions."""
    for index, first in enumerate(attributes):
        for second in attributes[index + 1 :]:
            for contingency in (_compute_contingency(first, second), _compute_contingency(second, first)):
                if contingency:
                    yield contingency


def _compute_contingency(left: CodedAttribute, right: CodedAttribute) -> Contingency | None:
    """Compute the joint distribution; None if too few photos have both attributes."""
    pairs = pair_instances(left.column, right.column)
    a, b = left.code[pairs.inner], right.code[pairs.outer]
    frequencies = np.zeros((len(left.values), len(right.values)), dtype=int)
    np.add.at(frequencies, (a, b), 1)
    rarest = min(frequencies.sum(axis=1).min(), frequencies.sum(axis=0).min())
    if len(np.unique(pairs.photo)) < MIN_PHOTOS or rarest < MIN_OCCURRENCES:
        return None
    partner = frequencies.argmax(axis=1)
    exceptions = np.unique(pairs.photo[partner[a] != b])
    return Contingency(left, right, pairs.photo, partner, exceptions, _bound_coincidence(frequencies))


def _bound_coincidence(frequencies: Int[np.ndarray, "left right"]) -> float:
    """Bound the probability by the number of functions from left to right over the number of permutations."""
    groups, values = frequencies.shape
    totals = frequencies.sum(axis=0)
    permutations = math.lgamma(totals.sum() + 1) - sum(math.lgamma(total + 1) for total in totals)
    return math.exp(min(groups * math.log(values) - permutations, 0.0))


def _create_rule(table: Observations, contingency: Contingency, names: NameRegistry) -> MiningResult:
    """Create a rule, or a question if some photos are exceptions."""
    left, right = contingency.left, contingency.right
    pairs = {value: right.values[index] for value, index in zip(left.values, contingency.partner, strict=True)}
    support = f"{contingency.photos - len(contingency.exceptions)}/{contingency.photos}"
    one_way = "the left value determines the right one, not vice versa"
    note = "each value determines the other" if contingency.is_one_to_one else one_way
    id_ = names.add(f"{left.column.name}-{left.name}-matches-{right.column.name}-{right.name}")
    body = {"left": left.reference, "right": right.reference, "pairs": pairs}
    violation = truncate_name(f"wrong_{left.column.name}_{left.name}")
    rule = Proposal(id_, "match", body, violation, support, note=note)
    if not len(contingency.exceptions):
        return MiningResult((rule,))
    photo_list = list_photos([table.photos[index] for index in contingency.exceptions])
    text = f"{left.reference} determines {right.reference} on {support} photos, not on {photo_list}."
    return MiningResult(questions=(OpenQuestion(text, rule),))
