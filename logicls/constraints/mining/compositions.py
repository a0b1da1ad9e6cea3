"""Mine rules on counts that depend on one another: constant sums, alternative sets, exclusion and implication."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from jaxtyping import Int

from logicls.constraints.mining.observations import MIN_PHOTOS, InstanceColumn, Observations
from logicls.constraints.mining.proposals import MiningResult, NameRegistry, Proposal, truncate_name

MIN_SET_PHOTOS = 5
"""Minimum number of photos that show a set of counts."""
MIN_EXPECTED_PHOTOS = 8.0
"""Expected number of photos under independence from which an absent combination counts as excluded.

The probability that a combination with this expectation is absent by coincidence is e^-8, one in 3000.
"""
MAX_SETS = 6
"""Maximum number of alternative sets in one rule."""


@dataclass(frozen=True, slots=True)
class CountGroup:
    """Components with dependent counts."""

    names: tuple[str, ...]
    counts: Int[np.ndarray, "photos components"]

    @property
    def sets(self) -> tuple[Int[np.ndarray, "sets components"], Int[np.ndarray, " sets"]]:
        """Distinct combinations of counts, most frequent first, and the number of photos of each."""
        sets, photos = np.unique(self.counts, axis=0, return_counts=True)
        order = np.argsort(-photos, kind="stable")
        return sets[order], photos[order]


def mine_compositions(table: Observations, counts: MiningResult, names: NameRegistry) -> MiningResult:
    """Add rules on sums and sets to the rules on counts, and remove the rules that they imply."""
    varying = [c for c in table.columns.values() if np.ptp(c.counts)] if len(table.photos) >= MIN_PHOTOS else []
    sums = list(_find_constant_sums(varying))
    summed = {name for group in sums for name in group.names}
    groups = _find_dependent_groups([column for column in varying if column.name not in summed])
    rules = [_create_sum_rule(group, names) for group in sums]
    fixed: set[str] = set()
    for group in groups:
        proposals = _create_set_rules(group, names)
        rules += proposals
        fixed |= {name for rule in proposals if "one_of" in rule.body for name in group.names}
    remaining = [rule for rule in counts.proposals if not _is_implied(rule, sums, fixed)]
    return MiningResult((*remaining, *rules), counts.questions, counts.regions)


def _is_implied(rule: Proposal, sums: Sequence[CountGroup], fixed: set[str]) -> bool:
    """Return True if a rule on one component's count follows from a sum or from alternative sets."""
    name, maximum = rule.body.get("of"), rule.body.get("at_most")
    totals = [int(group.counts[0].sum()) for group in sums if name in group.names]
    return "in" not in rule.body and not rule.each and (name in fixed or maximum in totals)


def _find_constant_sums(varying: Sequence[InstanceColumn]) -> Iterator[CountGroup]:
    """Yield pairs of components, or else all components, with varying counts and a constant sum."""
    pairs = [group for group in map(_create_group, combinations(varying, 2)) if not np.ptp(group.counts.sum(axis=1))]
    yield from pairs
    group = _create_group(varying) if len(varying) > 2 else None
    if group and not pairs and not np.ptp(group.counts.sum(axis=1)):
        yield group


def _create_group(columns: Sequence[InstanceColumn]) -> CountGroup:
    return CountGroup(tuple(c.name for c in columns), np.stack([c.counts for c in columns], axis=1))


def _find_dependent_groups(varying: Sequence[InstanceColumn]) -> Iterator[CountGroup]:
    """Yield the connected components of the graph of pairwise dependent counts."""
    groups = {column.name: {column.name} for column in varying}
    for first, second in combinations(varying, 2):
        if _is_dependent(_create_group((first, second))):
            joined = groups[first.name] | groups[second.name]
            groups |= dict.fromkeys(joined, joined)
    for members in {id(members): members for members in groups.values()}.values():
        if len(members) > 1:
            yield _create_group([column for column in varying if column.name in members])


def _is_dependent(group: CountGroup) -> bool:
    """Return True if a combination is absent that independent counts would show on several photos."""
    values = [np.unique(column, return_counts=True) for column in group.counts.T]
    observed = {tuple(row) for row in group.counts.tolist()}
    shares = [dict(zip(v.tolist(), (c / c.sum()).tolist(), strict=True)) for v, c in values]
    absent = (combination for combination in product(*shares) if combination not in observed)
    expected = (np.prod([share[count] for share, count in zip(shares, c, strict=True)]) for c in absent)
    return any(share * len(group.counts) >= MIN_EXPECTED_PHOTOS for share in expected)


def _create_sum_rule(group: CountGroup, names: NameRegistry) -> Proposal:
    total, photos = int(group.counts[0].sum()), len(group.counts)
    id_ = names.add("-and-".join(group.names) + "-count")
    body = {"of": list(group.names), "exactly": total}
    components = "_or_".join(group.names)
    violation = {
        "below": truncate_name(f"missing_{components}"),
        "above": truncate_name(f"additional_{components}"),
    }
    return Proposal(id_, "quantity", body, violation, f"{photos}/{photos}")


def _create_set_rules(group: CountGroup, names: NameRegistry) -> list[Proposal]:
    """Propose alternative sets if there are few; for two components otherwise a rule on their presence."""
    sets, photos = group.sets
    is_pair = len(group.names) == 2
    presence = CountGroup(group.names, (group.counts > 0).astype(int))
    is_presence_rule = is_pair and len(presence.sets[0]) == 3 and _is_dependent(presence)
    is_few_sets = len(sets) <= MAX_SETS and photos.min() >= MIN_SET_PHOTOS
    if not (is_presence_rule and group.counts.max() == 1) and is_few_sets:
        return [_create_alternatives_rule(group, names)]
    if is_presence_rule and presence.sets[1].min() >= MIN_SET_PHOTOS:
        return [_create_presence_rule(presence, names)]
    return []


def _create_alternatives_rule(group: CountGroup, names: NameRegistry) -> Proposal:
    sets, photos = group.sets
    body = {"one_of": [dict(zip(group.names, row, strict=True)) for row in sets.tolist()]}
    note = f"on {', '.join(map(str, photos.tolist()))} photos"
    id_ = names.add(f"{'-'.join(group.names)}-set")
    violation = truncate_name(f"wrong_set_of_{'_'.join(group.names)}")
    support = f"{len(group.counts)}/{len(group.counts)}"
    return Proposal(id_, "composition", body, violation, support, note=note)


def _create_presence_rule(group: CountGroup, names: NameRegistry) -> Proposal:
    """Propose exclusion (never both), "at least one", or implication (one only with the other)."""
    observed = {tuple(row) for row in group.counts.tolist()}
    support = f"{len(group.counts)}/{len(group.counts)}"
    [absent] = {(0, 0), (0, 1), (1, 0), (1, 1)} - observed
    first, second = group.names if absent != (0, 1) else group.names[::-1]
    if absent == (1, 1):
        id_, exclusive = names.add(f"{first}-or-{second}"), {"exclusive": [first, second]}
        return Proposal(id_, "composition", exclusive, truncate_name(f"{first}_with_{second}"), support)
    if absent == (0, 0):
        id_, minimum = names.add(f"{first}-or-{second}"), {"of": [first, second], "at_least": 1}
        return Proposal(id_, "quantity", minimum, truncate_name(f"neither_{first}_nor_{second}"), support)
    id_, implication = names.add(f"{first}-needs-{second}"), {"if": [first], "then": [second]}
    photos = int((group.counts[:, group.names.index(first)] > 0).sum())
    violation = truncate_name(f"{first}_without_{second}")
    return Proposal(id_, "composition", implication, violation, f"{photos}/{photos}")
