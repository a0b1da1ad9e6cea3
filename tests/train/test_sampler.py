"""Difficulty: what is answered wrongly and what is rare is drawn more often, within bounds."""

from __future__ import annotations

import numpy as np
import pytest

from logicls.train.sampler import (
    MAX_REPEAT_FACTOR,
    MAX_WEIGHT,
    DifficultyTracker,
    Strata,
    build_strata,
    compute_repeat_factors,
)


def row(colour: str, tablets: int, *violations: str) -> dict[str, object]:
    """A photo with so many tablets and a liquid of that colour."""
    return {
        "queries": ["locate:tablet", "attribute:liquid.colour", "verdict"],
        "values": [[], [colour], list(violations)],
        "boxes": [[[0, 0, 1, 1]] * tablets, [], []],
    }


@pytest.fixture
def cells() -> Strata:
    """Twenty good photos, nine that lack a tablet, one with a wrong colour besides."""
    good = [row("red", 4)] * 20
    return build_strata(
        [*good, *[row("red", 3, "missing_tablet")] * 9, row("blue", 3, "missing_tablet", "wrong_colour")]
    )


def told(difficulty: DifficultyTracker, times: int, wrong: dict[int, int]) -> None:
    """All examples are answered so often; `wrong`: example → the question that is answered wrongly each time."""
    count = len(difficulty.strata.has_class)
    right = np.ones((count, 3), bool)
    for example, question in wrong.items():
        right[example, question] = False
    for _ in range(times):
        difficulty.add(range(count), np.where(right, 0.1, 2.0), right)


def test_a_cell_is_a_question_and_its_answer(cells):
    """Boxes count by their number; an answer with two values belongs to two cells, one without any to `none`."""
    entries, rows = cells.entries([29, 0])

    assert cells.names == (
        "locate:tablet = 4", "attribute:liquid.colour = red", "verdict = none", "locate:tablet = 3",
        "verdict = missing_tablet", "attribute:liquid.colour = blue", "verdict = wrong_colour",
    )  # fmt: skip
    assert [cells.names[cell] for cell in cells.cell[entries]] == [
        "locate:tablet = 3", "attribute:liquid.colour = blue", "verdict = missing_tablet", "verdict = wrong_colour",
        "locate:tablet = 4", "attribute:liquid.colour = red", "verdict = none",
    ]  # fmt: skip
    assert (rows.tolist(), cells.question[entries].tolist()) == ([0, 0, 0, 0, 1, 1, 1], [0, 1, 2, 2, 0, 1, 2])
    assert cells.kinds == ("missing_tablet", "wrong_colour", "none")
    assert cells.is_of[[0, 20, 29]].tolist() == [[False, False, True], [True, False, False], [True, True, False]]


def test_what_is_answered_wrongly_is_drawn_more_often(cells):
    """Examples of the same answers share it; the others stay where they were, all within the bounds."""
    difficulty = DifficultyTracker(cells, range(30))
    told(difficulty, 200, wrong=dict.fromkeys(range(20, 30), 0))

    weights = difficulty.compute_weights()

    assert len(set(weights[:20])) == 1
    assert len(set(weights[20:29])) == 1
    assert weights[20] > 1.5 * weights[0]
    assert 1 <= weights.min() < weights.max() <= MAX_WEIGHT


def test_one_hopeless_example_does_not_stand_out(cells):
    """A wrong label among nineteen right ones of the same cell hardly raises its weight."""
    clean, spoilt = DifficultyTracker(cells, range(30)), DifficultyTracker(cells, range(30))
    told(clean, 200, wrong={})
    told(spoilt, 200, wrong={7: 0})

    assert spoilt.compute_weights()[7] == spoilt.compute_weights()[8]
    assert spoilt.compute_weights()[7] < 1.5 * clean.compute_weights()[7]


def test_what_is_never_learned_is_bounded():
    """However long all answers of a rare example are wrong, it is drawn at most eight times as often as an easy one."""
    many = [row("red", 4)] * 40 + [row("red", 3, "missing_tablet")] * 39
    difficulty = DifficultyTracker(build_strata([*many, row("blue", 5, "wrong_colour")]), range(80))
    right = np.ones((80, 3), bool)
    right[79] = False
    for _ in range(100):
        difficulty.add(range(80), np.where(right, 0.0, 50.0), right)

    weights = difficulty.compute_weights()

    assert weights[79] == MAX_WEIGHT
    assert weights.min() >= 1


def test_rare_kinds_come_more_often():
    """By the root of their rarity against the median violation, bounded; good photos and common kinds stay."""
    shares = {"a": 0.1, "b": 0.1, "c": 0.1, "d": 0.025, "e": 0.001}
    is_of = np.array([[number < share * 1000 for share in shares.values()] + [True] for number in range(1000)])

    factors = compute_repeat_factors(is_of)

    assert factors.tolist() == pytest.approx([1, 1, 1, 2, MAX_REPEAT_FACTOR, 1])


def test_rarity_is_that_of_what_is_learned(cells):
    """Examples that are held out do not count."""
    all_of_them, some = DifficultyTracker(cells, range(30)), DifficultyTracker(cells, [*range(20), 28, 29])

    assert all_of_them.repeat_factor[29] == pytest.approx((5.5 / 1) ** 0.5)
    assert some.repeat_factor[29] == pytest.approx((1.5 / 1) ** 0.5)
    assert all_of_them.repeat_factor[0] == 1


def test_answers_count_one_by_one(cells):
    """Ten at a time, or one after the other: the same; a question that was not asked changes nothing."""
    one, other = DifficultyTracker(cells, range(30)), DifficultyTracker(cells, range(30))
    loss = np.array([[0.5, np.nan, 1.0]] * 10)
    right = np.array([[True, False, False]] * 10)

    one.add(range(10), loss, right)
    for number in range(10):
        other.add([number], loss[:1], right[:1])

    red = cells.names.index("attribute:liquid.colour = red")
    assert one.by_stratum.error.tolist() == pytest.approx(other.by_stratum.error.tolist())
    assert one.by_stratum.mean_loss[:3].tolist() == pytest.approx([0.5, np.nan, 1.0], nan_ok=True)
    assert (one.by_stratum.error[red], one.by_stratum.observed[red]) == (1, 0)
    assert one.by_stratum.error[0] == pytest.approx(0.98**10)


def test_a_checkpoint_holds_all_of_it(cells):
    """What is restored weighs as before, to the last bit."""
    before, after = DifficultyTracker(cells, range(30)), DifficultyTracker(cells, range(30))
    told(before, 3, wrong={3: 1})

    after.load_state_dict(before.state_dict())

    assert after.compute_weights().tobytes() == before.compute_weights().tobytes()
    assert after.by_class.error.tobytes() == before.by_class.error.tobytes()
