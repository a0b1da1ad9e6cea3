"""Difficulty-aware resampling: weights, samplers, and the callback of a run."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from logicls.train.fit import fit
from logicls.train.metrics_log import SILENT, read_rows
from logicls.train.recipe import Recipe
from logicls.train.sampler import (
    MAX_REPEAT_FACTOR,
    MAX_WEIGHT,
    DifficultySampler,
    DifficultyTracker,
    Strata,
    UniformSampler,
    build_strata,
    compute_repeat_factors,
)


def make_row(colour: str, tablets: int, *violations: str) -> dict[str, object]:
    """Make the row of a photo with so many tablets and a liquid of that colour."""
    return {
        "queries": ["locate:tablet", "attribute:liquid.colour", "verdict"],
        "values": [[], [colour], list(violations)],
        "boxes": [[[0, 0, 1, 1]] * tablets, [], []],
    }


@pytest.fixture
def strata() -> Strata:
    """Twenty good photos, nine with a missing tablet, one with a wrong colour too."""
    good = [make_row("red", 4)] * 20
    return build_strata(
        [*good, *[make_row("red", 3, "missing_tablet")] * 9, make_row("blue", 3, "missing_tablet", "wrong_colour")]
    )


def answer_all(difficulty: DifficultyTracker, times: int, wrong: dict[int, int]) -> None:
    """Answer all examples that often; `wrong`: example → question that is answered wrongly each time."""
    count = len(difficulty.strata.has_class)
    right = np.ones((count, 3), bool)
    for example, question in wrong.items():
        right[example, question] = False
    for _ in range(times):
        difficulty.add(range(count), np.where(right, 0.1, 2.0), right)


def test_a_stratum_is_a_query_with_its_answer(strata):
    """Boxes by their number; an answer with two values belongs to two strata, one without values to `none`."""
    entries, rows = strata.entries([29, 0])

    assert strata.names == (
        "locate:tablet = 4", "attribute:liquid.colour = red", "verdict = none", "locate:tablet = 3",
        "verdict = missing_tablet", "attribute:liquid.colour = blue", "verdict = wrong_colour",
    )  # fmt: skip
    assert [strata.names[stratum] for stratum in strata.stratum[entries]] == [
        "locate:tablet = 3", "attribute:liquid.colour = blue", "verdict = missing_tablet", "verdict = wrong_colour",
        "locate:tablet = 4", "attribute:liquid.colour = red", "verdict = none",
    ]  # fmt: skip
    assert (rows.tolist(), strata.question[entries].tolist()) == ([0, 0, 0, 0, 1, 1, 1], [0, 1, 2, 2, 0, 1, 2])
    assert strata.classes == ("missing_tablet", "wrong_colour", "none")
    assert strata.has_class[[0, 20, 29]].tolist() == [[False, False, True], [True, False, False], [True, True, False]]


def test_errors_raise_the_weight_of_a_stratum(strata):
    """Examples of a stratum share the weight; the others stay, all within the bounds."""
    difficulty = DifficultyTracker(strata, range(30))
    answer_all(difficulty, 200, wrong=dict.fromkeys(range(20, 30), 0))

    weights = difficulty.compute_weights()

    assert len(set(weights[:20])) == 1
    assert len(set(weights[20:29])) == 1
    assert weights[20] > 1.5 * weights[0]
    assert 1 <= weights.min() < weights.max() <= MAX_WEIGHT


def test_one_wrong_label_hardly_changes_a_weight(strata):
    """One wrong label among nineteen correct ones of a stratum."""
    clean, spoilt = DifficultyTracker(strata, range(30)), DifficultyTracker(strata, range(30))
    answer_all(clean, 200, wrong={})
    answer_all(spoilt, 200, wrong={7: 0})

    assert spoilt.compute_weights()[7] == spoilt.compute_weights()[8]
    assert spoilt.compute_weights()[7] < 1.5 * clean.compute_weights()[7]


def test_weights_are_bounded():
    """A rare example that is never answered correctly weighs at most eight times as much as an easy one."""
    many = [make_row("red", 4)] * 40 + [make_row("red", 3, "missing_tablet")] * 39
    difficulty = DifficultyTracker(build_strata([*many, make_row("blue", 5, "wrong_colour")]), range(80))
    right = np.ones((80, 3), bool)
    right[79] = False
    for _ in range(100):
        difficulty.add(range(80), np.where(right, 0.0, 50.0), right)

    weights = difficulty.compute_weights()

    assert weights[79] == MAX_WEIGHT
    assert weights.min() >= 1


def test_repeat_factors_follow_rarity():
    """Square root of rarity relative to the median violation, bounded; good photos and common classes have 1."""
    shares = {"a": 0.1, "b": 0.1, "c": 0.1, "d": 0.025, "e": 0.001}
    is_of = np.array([[number < share * 1000 for share in shares.values()] + [True] for number in range(1000)])

    factors = compute_repeat_factors(is_of)

    assert factors.tolist() == pytest.approx([1, 1, 1, 2, MAX_REPEAT_FACTOR, 1])


def test_rarity_is_measured_on_training_examples(strata):
    """Validation examples do not count."""
    all_of_them, sampler = DifficultyTracker(strata, range(30)), DifficultyTracker(strata, [*range(20), 28, 29])

    assert all_of_them.repeat_factor[29] == pytest.approx((5.5 / 1) ** 0.5)
    assert sampler.repeat_factor[29] == pytest.approx((1.5 / 1) ** 0.5)
    assert all_of_them.repeat_factor[0] == 1


def test_answers_have_equal_weight(strata):
    """Ten at a time or one after the other: the same; a question that was not asked changes nothing."""
    one, other = DifficultyTracker(strata, range(30)), DifficultyTracker(strata, range(30))
    loss = np.array([[0.5, np.nan, 1.0]] * 10)
    right = np.array([[True, False, False]] * 10)

    one.add(range(10), loss, right)
    for number in range(10):
        other.add([number], loss[:1], right[:1])

    red = strata.names.index("attribute:liquid.colour = red")
    assert one.by_stratum.error.tolist() == pytest.approx(other.by_stratum.error.tolist())
    assert one.by_stratum.mean_loss[:3].tolist() == pytest.approx([0.5, np.nan, 1.0], nan_ok=True)
    assert (one.by_stratum.error[red], one.by_stratum.observed[red]) == (1, 0)
    assert one.by_stratum.error[0] == pytest.approx(0.98**10)


def test_the_tracker_is_restored_exactly(strata):
    """Restored weights are equal to the last bit."""
    before, after = DifficultyTracker(strata, range(30)), DifficultyTracker(strata, range(30))
    answer_all(before, 3, wrong={3: 1})

    after.load_state_dict(before.state_dict())

    assert after.compute_weights().tobytes() == before.compute_weights().tobytes()
    assert after.by_class.error.tobytes() == before.by_class.error.tobytes()


ROWS = [
    {"queries": ["attribute:a.b", "verdict"], "values": [["x" if number % 4 else "y"], []], "boxes": [[], []]}
    for number in range(40)
]


def make_sampler(learned=range(40), batch=4, seed=0) -> DifficultySampler:
    """Make a sampler of forty examples, a quarter of which answer `y`."""
    return DifficultySampler(DifficultyTracker(build_strata(ROWS), learned), learned, batch=batch, seed=seed)


def take_step(make_sampler: DifficultySampler, step: int, hard: bool) -> list[int]:
    """Take a step whose answers `y` are wrong, where it is `hard`."""
    numbers = make_sampler(step)
    wrong = np.array([[hard and number % 4 == 0, False] for number in numbers])
    make_sampler.add(step, np.where(wrong, 2.0, 0.1), ~wrong)
    return numbers


def test_uniform_sampler_draws_training_examples_once_per_epoch():
    """None of the validation examples."""
    uniform = UniformSampler([3, 5, 8, 9], batch=2, seed=0)

    sampled = [uniform(step) for step in range(4)]

    assert sorted(sampled[0] + sampled[1]) == sorted(sampled[2] + sampled[3]) == [3, 5, 8, 9]


def test_frequencies_follow_the_weights():
    """Without differences all examples are drawn equally often, and none is left out for long."""
    hard, easy = make_sampler(), make_sampler()

    counts = [
        Counter(n for step in range(400) for n in take_step(d, step, how)) for d, how in ((hard, True), (easy, False))
    ]

    weights = hard.difficulty.compute_weights()
    assert weights[0] > 1.5 * weights[1]
    assert counts[0][0] / counts[0][1] == pytest.approx(weights[0] / weights[1], rel=0.15)
    assert max(counts[1].values()) - min(counts[1].values()) <= 3
    assert counts[1].total() == counts[0].total() == 1600


@pytest.mark.parametrize("batch", [1, 7, 40, 90])
def test_batches_are_full(batch):
    """Also where a batch is larger than the set; then every example is in it about equally often."""
    sampler = make_sampler(batch=batch)

    for step in range(12):
        counts = Counter(take_step(sampler, step, hard=False))
        assert counts.total() == batch
        assert max(counts.values()) - min(counts[number] for number in range(40)) <= 1 + (batch == 90)


def test_batches_are_mixed():
    """Batches differ between epochs and between seeds."""
    sampler, other = make_sampler(), make_sampler(seed=1)

    batches = [tuple(sorted(take_step(sampler, step, hard=False))) for step in range(60)]

    assert len(set(batches)) > 50
    assert [tuple(sorted(take_step(other, step, hard=False))) for step in range(60)] != batches


@pytest.mark.parametrize("break_at", [1, 7, 8, 9, 25])
def test_a_restored_sampler_continues_exactly(break_at):
    """Same examples and same state, wherever in a block the checkpoint was made."""
    uninterrupted, before, after = make_sampler(), make_sampler(), make_sampler(seed=0)
    sampled = [take_step(uninterrupted, step, hard=True) for step in range(40)]
    for step in range(break_at):
        take_step(before, step, hard=True)

    after.load_state_dict(before.state_dict())

    assert [take_step(after, step, hard=True) for step in range(break_at, 40)] == sampled[break_at:]
    assert after.credit.tobytes() == uninterrupted.credit.tobytes()


def test_the_next_batch_is_planned_before_a_step_ends():
    """A loader may take the next batch during a step, but not the one after it at the end of a block."""
    sampler = make_sampler()
    for step in range(9):
        take_step(sampler, step, hard=True)

    assert len(sampler(9)) == 4
    with pytest.raises(KeyError):
        make_sampler()(10)
    assert len(sampler(10)) == 4


def test_only_training_examples_are_drawn():
    """Numbers are those of the examples, not positions among the training examples."""
    learned = [1, 2, 4, 39]
    sampler = make_sampler(learned)

    sampled = {number for step in range(12) for number in take_step(sampler, step, hard=True)}

    assert sampled == set(learned)


TINY = Recipe(
    steps=20, batch=4, visual_tokens=16, base=False, width=32, encoder_layers=1, decoder_layers=1, checkpoint_every=50
)


@pytest.fixture(scope="module")
def runs(synth, tmp_path_factory):
    """Folders of a run with resampling and of one without."""
    folders = []
    for name, difficulty in (("on", True), ("off", False)):
        folders.append(tmp_path_factory.mktemp(name))
        fit(synth, folders[-1], TINY.model_copy(update={"hard_example_mining": difficulty}), observer=SILENT)
    return folders


@pytest.mark.slow
def test_difficulty_is_logged_per_class(runs):
    """Every ten steps a row per class with its weight and share of samples, and a plot."""
    on, off = runs

    rows = read_rows(on / "work" / "difficulty.csv")

    kinds = {row["class"] for row in rows}
    assert "none" in kinds
    assert len(kinds) > 3
    assert [int(row["step"]) for row in rows] == [10] * len(kinds) + [20] * len(kinds)
    assert all(1 <= float(row["mean_weight"]) <= 8 and 0 <= float(row["error_rate"]) <= 1 for row in rows)
    assert sum(float(row["sampled_share"]) for row in rows if row["step"] == "10") >= 0.999
    with Image.open(on / "difficulty.png") as picture:
        assert picture.size[0] > 600
    assert not (off / "difficulty.png").exists()


@pytest.mark.slow
def test_resampling_changes_the_weights(runs):
    """Other examples give other weights."""
    weights = [(folder / "model.safetensors").read_bytes() for folder in runs]

    assert weights[0] != weights[1]


def test_angles_are_grouped_into_strata():
    """Whole degrees would make a stratum of every example."""
    row = {"queries": ["orientation:pin", "verdict"], "values": [["353", "1", "178"], []], "boxes": [[], []]}

    assert build_strata([row]).names == ("orientation:pin = 0", "orientation:pin = 180", "verdict = none")
