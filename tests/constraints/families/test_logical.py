"""Kleene's tables, with a fourth value for what does not apply: written down, and held against what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations, product

import pytest

from logicls.constraints.families.logical import conjunction, disjunction, implication, negation
from logicls.records import Status

H: Status = "holds"
B: Status = "broken"
U: Status = "unknown"
N: Status = "not_applicable"
VALUES: tuple[Status, ...] = (H, B, U, N)
GROUPS = [group for size in (0, 1, 2, 3) for group in product(VALUES, repeat=size)]
EVERY = {
    H: {H: H, B: B, U: U, N: H},
    B: {H: B, B: B, U: B, N: B},
    U: {H: U, B: B, U: U, N: U},
    N: {H: H, B: B, U: U, N: N},
}
SOME = {
    H: {H: H, B: H, U: H, N: H},
    B: {H: H, B: B, U: U, N: B},
    U: {H: H, B: U, U: U, N: U},
    N: {H: H, B: B, U: U, N: N},
}
OPPOSITE = {H: B, B: H, U: U, N: N}
GIVEN = {  # condition, then the rule
    H: {H: H, B: B, U: U, N: N},
    B: {H: N, B: N, U: N, N: N},
    U: {H: H, B: U, U: U, N: N},
    N: {H: N, B: N, U: N, N: N},
}


def outcomes(group: Sequence[Status]) -> Iterator[tuple[Status, ...]]:
    """All that a group with unknowns may turn out to be."""
    return product(*((H, B, N) if status == U else (status,) for status in group))


def test_pairs_and_single_values() -> None:
    """Every pair comes to what its table says."""
    assert {one: {other: conjunction((one, other)) for other in VALUES} for one in VALUES} == EVERY
    assert {one: {other: disjunction((one, other)) for other in VALUES} for one in VALUES} == SOME
    assert {one: {other: implication(one, other) for other in VALUES} for one in VALUES} == GIVEN
    assert {one: negation(one) for one in VALUES} == OPPOSITE


@pytest.mark.parametrize("group", [group for group in GROUPS if U not in group])
def test_known_statuses_follow_two_valued_logic(group: tuple[Status, ...]) -> None:
    """Without unknowns it is `all` and `any` over what applies; over nothing, nothing applies."""
    truths = [status == H for status in group if status != N]

    found = conjunction(group), disjunction(group)

    assert found == (((H if all(truths) else B), (H if any(truths) else B)) if truths else (N, N))


@pytest.mark.parametrize("how", [conjunction, disjunction])
def test_status_is_known_if_no_unknown_can_change_it(how) -> None:
    """Over up to three values: known exactly where it is the same whatever the unknowns turn out to be."""
    for group in GROUPS:
        possible = {how(outcome) for outcome in outcomes(group)}

        assert how(group) == (possible.pop() if len(possible) == 1 else U), group


def test_unknown_condition_only_matters_for_a_broken_rule() -> None:
    """Under what is unknown, a rule is unknown exactly where it may turn out to be broken and may not."""
    for condition, status in product(VALUES, repeat=2):
        possible = {implication(*outcome) == B for outcome in outcomes((condition, status))}

        assert (implication(condition, status) == U) == (len(possible) == 2), (condition, status)


def test_laws() -> None:
    """De Morgan's; order, nesting and repeats do not matter; what does not apply is left out."""
    for group in GROUPS:
        turned = [negation(status) for status in group]

        assert negation(conjunction(group)) == disjunction(turned), group
        assert negation(disjunction(group)) == conjunction(turned), group
        assert [negation(status) for status in turned] == list(group)
        for how in (conjunction, disjunction):
            assert {how(order) for order in permutations(group)} == {how(group)}, group
            assert how((*group, *group)) == how((*group, N)) == how((how(group),)) == how(group), group
            assert how((how(group[:2]), *group[2:])) == how(group), group
