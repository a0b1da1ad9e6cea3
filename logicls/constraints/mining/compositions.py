"""What belongs together: counts that add up, and things of which the one tells whether the other is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from jaxtyping import Int

from logicls.constraints.mining.observations import MIN_PHOTOS, InstanceColumn, Observations
from logicls.constraints.mining.proposals import MiningResult, NameRegistry, Proposal, truncate_name

OFTEN = 5
"""Photos that must show a set before it counts as one."""
UNLIKELY = 8.0
"""Photos that chance would have put together: so many, and none was seen. The odds are e^-8, one in 3000."""
MOST = 6
"""More sets than this are no choice."""


@dataclass(frozen=True, slots=True)
class Group:
    """Components whose counts go together."""

    names: tuple[str, ...]
    counts: Int[np.ndarray, "photos components"]

    @property
    def sets(self) -> tuple[Int[np.ndarray, "sets components"], Int[np.ndarray, " sets"]]:
        """The combinations of counts, most frequent first, and how many photos show each."""
        sets, photos = np.unique(self.counts, axis=0, return_counts=True)
        order = np.argsort(-photos, kind="stable")
        return sets[order], photos[order]


def mine_compositions(table: Observations, counts: MiningResult, names: NameRegistry) -> MiningResult:
    """The rules on counts, with rules on sets in the place of those that these make superfluous."""
    varying = [c for c in table.columns.values() if np.ptp(c.counts)] if len(table.photos) >= MIN_PHOTOS else []
    sums = list(_sums(varying))
    summed = {name for group in sums for name in group.names}
    groups = [*_groups([column for column in varying if column.name not in summed])]
    rules = [_together(group, names) for group in sums]
    exact: set[str] = set()
    for group in groups:
        told = _told(group, names)
        rules += told
        exact |= {name for rule in told if "one_of" in rule.body for name in group.names}
    kept = [rule for rule in counts.proposals if not _implied(rule, sums, exact)]
    return MiningResult((*kept, *rules), counts.questions, counts.regions)


def _implied(rule: Proposal, sums: Sequence[Group], exact: set[str]) -> bool:
    """Whether a rule on the count of one thing follows from a sum or from a choice of sets."""
    name, most = rule.body.get("of"), rule.body.get("at_most")
    totals = [int(group.counts[0].sum()) for group in sums if name in group.names]
    return "in" not in rule.body and not rule.each and (name in exact or most in totals)


def _sums(varying: Sequence[InstanceColumn]) -> Iterator[Group]:
    """Pairs of components, or all, whose counts vary while their sum does not."""
    pairs = [group for group in map(_group, combinations(varying, 2)) if not np.ptp(group.counts.sum(axis=1))]
    yield from pairs
    whole = _group(varying) if len(varying) > 2 else None
    if whole and not pairs and not np.ptp(whole.counts.sum(axis=1)):
        yield whole


def _group(columns: Sequence[InstanceColumn]) -> Group:
    return Group(tuple(c.name for c in columns), np.stack([c.counts for c in columns], axis=1))


def _groups(varying: Sequence[InstanceColumn]) -> Iterator[Group]:
    """Components that are tied to one another, directly or through others."""
    tied = {column.name: {column.name} for column in varying}
    for one, other in combinations(varying, 2):
        if _tied(_group((one, other))):
            joined = tied[one.name] | tied[other.name]
            tied |= dict.fromkeys(joined, joined)
    for members in {id(members): members for members in tied.values()}.values():
        if len(members) > 1:
            yield _group([column for column in varying if column.name in members])


def _tied(group: Group) -> bool:
    """Whether a combination is absent that chance would have shown on several photos."""
    values = [np.unique(column, return_counts=True) for column in group.counts.T]
    seen = {tuple(row) for row in group.counts.tolist()}
    shares = [dict(zip(v.tolist(), (c / c.sum()).tolist(), strict=True)) for v, c in values]
    absent = (combination for combination in product(*shares) if combination not in seen)
    expected = (np.prod([share[count] for share, count in zip(shares, c, strict=True)]) for c in absent)
    return any(share * len(group.counts) >= UNLIKELY for share in expected)


def _together(group: Group, names: NameRegistry) -> Proposal:
    total, photos = int(group.counts[0].sum()), len(group.counts)
    id_ = names.add("-and-".join(group.names) + "-count")
    body = {"of": list(group.names), "exactly": total}
    violation = {side: truncate_name(f"{side}_{'_or_'.join(group.names)}") for side in ("missing", "additional")}
    sides = {"below": violation["missing"], "above": violation["additional"]}
    return Proposal(id_, "quantity", body, sides, f"{photos}/{photos}")


def _told(group: Group, names: NameRegistry) -> list[Proposal]:
    """A choice of sets where there are few; for two things else what the one says of the other."""
    sets, photos = group.sets
    pair = len(group.names) == 2
    presence = Group(group.names, (group.counts > 0).astype(int))
    simple = pair and len(presence.sets[0]) == 3 and _tied(presence)
    if not (simple and group.counts.max() == 1) and len(sets) <= MOST and photos.min() >= OFTEN:
        return [_one_of(group, names)]
    return [_presence(presence, names)] if simple and presence.sets[1].min() >= OFTEN else []


def _one_of(group: Group, names: NameRegistry) -> Proposal:
    sets, photos = group.sets
    body = {"one_of": [dict(zip(group.names, row, strict=True)) for row in sets.tolist()]}
    note = f"seen on {', '.join(map(str, photos.tolist()))} photos"
    id_ = names.add(f"{'-'.join(group.names)}-set")
    total = f"{len(group.counts)}/{len(group.counts)}"
    return Proposal(id_, "composition", body, truncate_name(f"wrong_set_of_{'_'.join(group.names)}"), total, note=note)


def _presence(group: Group, names: NameRegistry) -> Proposal:
    """Never both, at least one, or the one only with the other."""
    seen = {tuple(row) for row in group.counts.tolist()}
    total = f"{len(group.counts)}/{len(group.counts)}"
    [absent] = {(0, 0), (0, 1), (1, 0), (1, 1)} - seen
    one, other = group.names if absent != (0, 1) else group.names[::-1]
    if absent == (1, 1):
        id_, body = names.add(f"{one}-or-{other}"), {"exclusive": [one, other]}
        return Proposal(id_, "composition", body, truncate_name(f"{one}_with_{other}"), total)
    if absent == (0, 0):
        id_, least = names.add(f"{one}-or-{other}"), {"of": [one, other], "at_least": 1}
        return Proposal(id_, "quantity", least, truncate_name(f"neither_{one}_nor_{other}"), total)
    id_, implied = names.add(f"{one}-needs-{other}"), {"if": [one], "then": [other]}
    photos = int((group.counts[:, group.names.index(one)] > 0).sum())
    return Proposal(id_, "composition", implied, truncate_name(f"{one}_without_{other}"), f"{photos}/{photos}")
