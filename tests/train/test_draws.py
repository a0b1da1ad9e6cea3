"""Draws: each example as often as its weight says, and the same ones again after a break."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from logicls.train.sampler import DifficultySampler, DifficultyTracker, UniformSampler, build_strata

ROWS = [
    {"queries": ["attribute:a.b", "verdict"], "values": [["x" if number % 4 else "y"], []], "boxes": [[], []]}
    for number in range(40)
]


def draws(learned=range(40), batch=4, seed=0) -> DifficultySampler:
    """Draws of forty examples, a quarter of which answer `y`."""
    return DifficultySampler(DifficultyTracker(build_strata(ROWS), learned), learned, batch=batch, seed=seed)


def answered(draws: DifficultySampler, step: int, hard: bool) -> list[int]:
    """Take a step whose answers `y` are wrong, where it is `hard`."""
    numbers = draws(step)
    wrong = np.array([[hard and number % 4 == 0, False] for number in numbers])
    draws.add(step, np.where(wrong, 2.0, 0.1), ~wrong)
    return numbers


def test_evenly_takes_what_is_learned():
    """Each once before any comes again, and none that is held out."""
    even = UniformSampler([3, 5, 8, 9], batch=2, seed=0)

    taken = [even(step) for step in range(4)]

    assert sorted(taken[0] + taken[1]) == sorted(taken[2] + taken[3]) == [3, 5, 8, 9]


def test_hard_ones_come_more_often():
    """About as much as their weight says; without a difference all come alike, none is left out for long."""
    hard, easy = draws(), draws()

    counts = [
        Counter(n for step in range(400) for n in answered(d, step, how)) for d, how in ((hard, True), (easy, False))
    ]

    weights = hard.difficulty.compute_weights()
    assert weights[0] > 1.5 * weights[1]
    assert counts[0][0] / counts[0][1] == pytest.approx(weights[0] / weights[1], rel=0.15)
    assert max(counts[1].values()) - min(counts[1].values()) <= 3
    assert counts[1].total() == counts[0].total() == 1600


@pytest.mark.parametrize("batch", [1, 7, 40, 90])
def test_a_batch_is_full(batch):
    """Also where it is larger than the set; then every example is in it about as often as any other."""
    some = draws(batch=batch)

    for step in range(12):
        counts = Counter(answered(some, step, hard=False))
        assert counts.total() == batch
        assert max(counts.values()) - min(counts[number] for number in range(40)) <= 1 + (batch == 90)


def test_batches_are_mixed_anew():
    """What comes together once does not come together the next time; another seed draws in another order."""
    some, other = draws(), draws(seed=1)

    batches = [tuple(sorted(answered(some, step, hard=False))) for step in range(60)]

    assert len(set(batches)) > 50
    assert [tuple(sorted(answered(other, step, hard=False))) for step in range(60)] != batches


@pytest.mark.parametrize("break_at", [1, 7, 8, 9, 25])
def test_a_break_changes_nothing(break_at):
    """What a checkpoint held goes on with the same examples and the same state, wherever in a block it was made."""
    whole, before, after = draws(), draws(), draws(seed=0)
    taken = [answered(whole, step, hard=True) for step in range(40)]
    for step in range(break_at):
        answered(before, step, hard=True)

    after.load_state_dict(before.state_dict())

    assert [answered(after, step, hard=True) for step in range(break_at, 40)] == taken[break_at:]
    assert after.credit.tobytes() == whole.credit.tobytes()


def test_the_next_batch_is_known_before_a_step_ends():
    """A loader may take the batch after the one that is being learned, but not the one after that at a block's end."""
    some = draws()
    for step in range(9):
        answered(some, step, hard=True)

    assert len(some(9)) == 4
    with pytest.raises(KeyError):
        draws()(10)
    assert len(some(10)) == 4


def test_only_what_is_learned_is_drawn():
    """Numbers are those of the examples, not of their places among the learned ones."""
    learned = [1, 2, 4, 39]
    some = draws(learned)

    taken = {number for step in range(12) for number in answered(some, step, hard=True)}

    assert taken == set(learned)
