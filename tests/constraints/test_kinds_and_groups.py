"""Edits that put another kind in a thing's place, and edits that move a whole group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from logicls.constraints.checker.counterexamples import find_broken, find_counterexample, list_targets, simulate
from logicls.constraints.families.edits import Add, Edit, Edits, Move, Remove, Replace
from logicls.constraints.spec.models import Spec
from logicls.records import Box, Instance, Scene

SIZES = ["long", "short", "tiny"]
LENGTHS = ("long", "short", "long")
SCREWS = [
    Instance(n, "screw", Box(40, 60 * n, 140, 60 * n + 20), (("length", length),))
    for n, length in enumerate(LENGTHS, 1)
]
BOARD = Instance(4, "board", Box(240, 10, 380, 250))
DICE = [Instance(n, "six", Box(180, 40 * n, 200, 40 * n + 20)) for n in (5, 6)]
FULL = Scene("bag.png", 400, 300, (*SCREWS, BOARD, *DICE))


def spec(**rule: Any) -> Spec:
    """A bag with screws of three lengths, a board and dice, and this rule."""
    return Spec.model_validate(
        {
            "logicls": 1,
            "product": {"name": "bag"},
            "components": {"screw": {"attributes": {"length": SIZES}}, "board": {}, "one": {}, "three": {}, "six": {}},
            "variants": {f"{size}_screw": {"of": "screw", "with": {"length": size}} for size in SIZES},
            "constraints": [{"id": "rule", **rule}],
        }
    )


def made(one: Spec, violation: str, *, twin: bool = False) -> list[Edits | None]:
    """What is planned for the violation, for each of some seeds."""
    aim = next(aim for aim in list_targets(one) if aim.violation == violation)
    return [find_counterexample(one, aim, FULL, np.random.default_rng(seed), is_control=twin) for seed in range(20)]


def kinds(plans: list[Edits | None]) -> set[tuple[type[Edit], ...]]:
    """The ways that were taken."""
    return {tuple(type(step) for step in steps or ()) for steps in plans}


def test_single_edit_if_one_suffices() -> None:
    """From two long screws and a short one to three long ones: the short one is replaced, no long one is touched."""
    one = spec(
        composition={
            "required": {"long_screw": 2, "short_screw": 1},
            "wrong": {"all_long": {"long_screw": 3, "short_screw": 0}},
        }
    )

    assert made(one, "all_long") == [(Replace(2, "screw", (("length", "long"),)),)] * 20


def test_any_other_set_is_found_past_the_named_ones() -> None:
    """Where every set that is one step away has a name, edits go a step further."""
    sets = {
        f"{a}_long_{b}_short": {"long_screw": a, "short_screw": b} for a, b in ((1, 1), (3, 1), (2, 0), (2, 2), (0, 1))
    }
    one = spec(composition={"required": {"long_screw": 2, "short_screw": 1}, "wrong": sets}, violation="other")

    broken = [
        find_broken(one, reading) for plans in made(one, "other") if plans and (reading := simulate(one, plans, FULL))
    ]

    assert len(broken) > 15
    assert all(found and found.violations == {"rule": ("other",)} for found in broken)


@pytest.mark.parametrize(("amount", "name"), [(1, "one_too_many"), (2, "two_too_many")])
def test_addition_and_replacement_by_another_kind(amount: int, name: str) -> None:
    """Too many short screws come about by additional ones, and by ones in the place of long ones."""
    one = spec(
        quantity={"of": "short_screw", "exactly": 1}, violation={"above": {1: "one_too_many", 2: "two_too_many"}}
    )

    assert kinds(made(one, name)) == {(Add,) * amount, (Replace,) * amount}


def test_sum_is_broken_by_removal_or_replacement() -> None:
    """Of two sixes one is taken away, or turned to show less."""
    one = spec(quantity={"of": {"one": 1, "three": 3, "six": 6}, "at_least": 10})

    assert kinds(made(one, "rule")) == {(Remove,), (Replace,)}


def test_groups_are_exchanged() -> None:
    """All the screws come to the board's place and the board to theirs; the board, which is larger, goes first."""
    one = spec(layout={"subject": "screw", "relation": "left_of", "object": "board"})

    assert made(one, "rule") == [(Move(4, -220, 0), *(Move(n, 220, 0) for n in (1, 2, 3)))] * 20


def test_forbidden_component_has_control_edits() -> None:
    """One of another kind is taken up and put down where it was."""
    one = spec(quantity={"of": "tiny_screw", "exactly": 0})

    twins = made(one, "rule", twin=True)

    assert set(twins) == {(Move(n, 0, 0),) for n in (1, 2, 3)}
