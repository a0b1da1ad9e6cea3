"""Photos kept aside: never learned from, and the weights that read them best are the bundle's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from logicls.synth.dataset import read_rows
from logicls.train.fit import fit
from logicls.train.metrics_log import read_metric
from logicls.train.observer import TrainingObserver
from logicls.train.online_examples import open_online_examples
from logicls.train.preflight import preflight
from logicls.train.recipe import Recipe
from logicls.train.validation import aggregate_scores, select_validation_examples, split_photos

TINY = Recipe(
    steps=12, batch=4, visual_tokens=16, base=False, width=32, encoder_layers=1, decoder_layers=1, checkpoint_every=4,
    validation=0.3, evaluate_every=2,
)  # fmt: skip


@pytest.mark.parametrize(("share", "aside"), [(0.0, 0), (0.01, 1), (0.3, 3), (0.5, 5)])
def test_photos_not_examples_are_kept_aside(share, aside):
    """All that was made of a photo is on one side; at least one photo, where any are to be."""
    photos = [f"{number % 10}.jpg" for number in range(37)]

    split = split_photos(photos, share, seed=0)

    assert len(split.validation_photos) == aside
    assert sorted((*split.train, *split.validation)) == list(range(37))
    assert {photos[number] for number in split.validation} == split.validation_photos
    assert {photos[number] for number in split.train}.isdisjoint(split.validation_photos)


def test_a_single_photo_is_learned_from():
    """There is nothing to keep aside, and something to learn."""
    assert split_photos(["a.jpg"] * 3, 0.5, seed=0).train == (0, 1, 2)


def test_an_evaluation_is_cheap():
    """It looks at 7 % of what is learned between two of them, at the same examples each time."""
    split = split_photos([f"{number}.jpg" for number in range(1000)], 0.5, seed=0)

    some = select_validation_examples(split, evaluate_every=100, batch=8, seed=0)

    assert len(set(some)) == 56
    assert set(some) <= set(split.validation)
    assert some == select_validation_examples(split, evaluate_every=100, batch=8, seed=0)
    assert set(select_validation_examples(split, evaluate_every=1000, batch=8, seed=0)) == set(split.validation)


def test_an_example_is_exact_when_all_of_it_is():
    """Questions that an example does not have count neither way."""
    loss = torch.tensor([[0.5, 1.0], [0.5, torch.nan], [1.0, 2.0]])
    right = torch.tensor([[True, True], [True, False], [False, True]])

    found = aggregate_scores([[(loss[:1], right[:1])], [(loss[1:], right[1:])]])

    assert (found.examples, found.loss) == (3, pytest.approx(1.0))
    assert (found.exact_match, found.answer_accuracy) == (pytest.approx(2 / 3), pytest.approx(4 / 5))
    assert found.score == pytest.approx(1 + 1 / 3)


def test_fresh_examples_leave_them_out(synth, tmp_path):
    """No photo that is kept aside comes into one made while training, not even a part of it."""
    flight = preflight(synth, tmp_path, visual_tokens=16)
    photos = {row["photo"] for row in read_rows(synth, ("photo",))}
    settings = {"share": 1.0, "batch": 4, "verdict_weight": 1.0, "workers": 0}

    all_of_them, some = (
        open_online_examples(synth, flight, **settings),
        open_online_examples(synth, flight, **settings, excluded_photos=photos),
    )

    assert {scene.photo for scene in all_of_them.source.dataset.scenes} >= photos
    assert {scene.photo for scene in some.source.dataset.scenes}.isdisjoint(photos)
    assert some.source.create_generator().generate(0, 30).scene.photo not in photos


@pytest.fixture(scope="module")
def trained(synth, tmp_path_factory):
    """A run with an evaluation every two steps: its folder and lines."""
    out, lines = tmp_path_factory.mktemp("trained"), []
    fit(synth, out, TINY, observer=TrainingObserver(on_message=lines.append))
    return out, lines


@pytest.mark.slow
def test_the_best_weights_are_the_bundle(trained):
    """They are those of the step with the lowest score, which is said, but for how bright lights are; others go."""
    out, lines = trained
    loss, exact = (read_metric(out / "work" / "validation.csv", name) for name in ("loss", "exact_match"))

    scores = {step: value + 1 - dict(exact)[step] for step, value in loss}

    best = min(scores, key=scores.__getitem__)
    assert list(scores) == [2, 4, 6, 8, 10, 12]
    assert f"the bundle has the weights of step {best}" in lines
    kept, bundle = load_file(out / "work" / f"best-{best}.safetensors"), load_file(out / "model.safetensors")
    assert kept.keys() == bundle.keys()
    assert all(torch.equal(kept[name], bundle[name]) for name in kept.keys() - {"pointer.centre_filter.bias"})
    assert torch.equal(kept["pointer.centre_filter.bias"][:-1], bundle["pointer.centre_filter.bias"][:-1])
    assert [path.name for path in (out / "work").glob("best-*")] == [f"best-{best}.safetensors"]


@pytest.mark.slow
def test_what_is_kept_aside_is_said(trained, synth):
    """How many examples of which photos, and how they are read each time."""
    photos = [row["photo"] for row in read_rows(synth, ("photo",))]
    split = split_photos(photos, 0.3, 0)
    told = [line for line in trained[1] if line.startswith("validation set")]

    assert told[0].startswith(
        f"validation set: {len(split.validation)} examples of {len(split.validation_photos)} photos ("
    )
    assert sum(line.startswith("step ") and "validation: loss" in line for line in trained[1]) == 6


@pytest.mark.slow
def test_a_run_that_gets_no_better_ends(synth, tmp_path):
    """After as many evaluations as its patience; resumed, it has nothing more to do and writes the same bundle."""
    recipe = TINY.model_copy(update={"lr": 1e-12, "patience": 2, "steps": 40, "evaluate_every": 4})
    steps: list[int] = []

    first = fit(synth, tmp_path, recipe, observer=TrainingObserver(on_step=lambda step, _: steps.append(step)))
    done = len(steps)
    again = fit(
        synth, tmp_path, recipe, resume=True, observer=TrainingObserver(on_step=lambda step, _: steps.append(step))
    )

    assert 12 <= done < 40
    assert len(steps) == done
    assert again.id == first.id


@pytest.mark.slow
def test_photos_kept_aside_change_nothing_else(synth, tmp_path):
    """Looking at them leaves the training as it is: as many looks as one likes, the same losses."""
    losses = []
    for every in (1, 5):
        told: list[float] = []
        recipe = TINY.model_copy(update={"evaluate_every": every, "patience": 0})
        fit(
            synth,
            tmp_path / str(every),
            recipe,
            observer=TrainingObserver(on_step=lambda _, loss, told=told: told.append(loss)),
        )
        losses.append(told)

    assert losses[0] == losses[1]
    assert np.isfinite(losses[0]).all()
