"""Validation set: never trained on, and the weights with the best evaluation become the bundle's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from logicls.synth.dataset import read_rows
from logicls.train.fit import fit
from logicls.train.metrics_log import TrainingObserver, read_metric
from logicls.train.online_examples import open_online_examples
from logicls.train.photo_split import SPLIT_COLUMNS, split_photos
from logicls.train.preflight import preflight
from logicls.train.recipe import Recipe
from logicls.train.validation import aggregate_scores, select_validation_examples

TINY = Recipe(
    steps=12, batch=4, visual_tokens=16, base=False, width=32, encoder_layers=1, decoder_layers=1, checkpoint_every=4,
    validation=0.3, evaluate_every=2,
)  # fmt: skip


def test_an_evaluation_uses_few_examples():
    """7 % of those that are trained on between two evaluations, the same ones each time."""
    rows = [{"photo": f"{number}.jpg", "violations": (), "queries": (), "values": ()} for number in range(1000)]
    split = split_photos(rows, 0.5, seed=0)

    selected = select_validation_examples(split, evaluate_every=100, batch=8, seed=0)

    assert len(set(selected)) == 56
    assert set(selected) <= set(split.validation)
    assert selected == select_validation_examples(split, evaluate_every=100, batch=8, seed=0)
    assert set(select_validation_examples(split, evaluate_every=1000, batch=8, seed=0)) == set(split.validation)


def test_exact_match_needs_every_answer():
    """Questions that an example does not have are ignored."""
    loss = torch.tensor([[0.5, 1.0], [0.5, torch.nan], [1.0, 2.0]])
    right = torch.tensor([[True, True], [True, False], [False, True]])

    found = aggregate_scores([[(loss[:1], right[:1])], [(loss[1:], right[1:])]])

    assert (found.examples, found.loss) == (3, pytest.approx(1.0))
    assert (found.exact_match, found.answer_accuracy) == (pytest.approx(2 / 3), pytest.approx(4 / 5))
    assert found.score == pytest.approx(1 + 1 / 3)


def test_online_examples_exclude_validation_photos(synth, tmp_path):
    """Not even a part of a validation photo is used."""
    flight = preflight(synth, tmp_path, visual_tokens=16)
    photos = {row["photo"] for row in read_rows(synth, ("photo",))}
    settings = {"share": 1.0, "batch": 4, "verdict_weight": 1.0, "workers": 0}

    all_of_them, selected = (
        open_online_examples(synth, flight, **settings),
        open_online_examples(synth, flight, **settings, excluded_photos=photos),
    )

    assert {scene.photo for scene in all_of_them.source.dataset.scenes} >= photos
    assert {scene.photo for scene in selected.source.dataset.scenes}.isdisjoint(photos)
    assert selected.source.create_generator().generate(0, 30).scene.photo not in photos


@pytest.fixture(scope="module")
def run(synth, tmp_path_factory):
    """Run with an evaluation every two steps: its folder and messages."""
    out, lines = tmp_path_factory.mktemp("trained"), []
    fit(synth, out, TINY, observer=TrainingObserver(on_message=lines.append))
    return out, lines


@pytest.mark.slow
def test_the_bundle_has_the_best_weights(run):
    """Those of the step with the lowest score, which is reported, except for the detection bias; others are deleted."""
    out, lines = run
    loss, exact = (read_metric(out / "work" / "validation.csv", name) for name in ("loss", "exact_match"))

    scores = {step: value + 1 - dict(exact)[step] for step, value in loss}

    best = min(scores, key=scores.__getitem__)
    assert list(scores) == [2, 4, 6, 8, 10, 12]
    assert f"the bundle has the weights of step {best}" in lines
    best_weights, bundle = load_file(out / "work" / f"best-{best}.safetensors"), load_file(out / "model.safetensors")
    assert best_weights.keys() == bundle.keys()
    assert all(
        torch.equal(best_weights[name], bundle[name])
        for name in best_weights.keys() - {"detection_head.centre_filter.bias"}
    )
    assert torch.equal(
        best_weights["detection_head.centre_filter.bias"][:-1], bundle["detection_head.centre_filter.bias"][:-1]
    )
    assert [path.name for path in (out / "work").glob("best-*")] == [f"best-{best}.safetensors"]


@pytest.mark.slow
def test_the_validation_set_is_reported(run, synth):
    """Its examples and photos, and each evaluation."""
    split = split_photos(read_rows(synth, SPLIT_COLUMNS), 0.3, 0)
    reported = [line for line in run[1] if line.startswith("validation set")]

    assert reported[0].startswith(
        f"validation set: {len(split.validation)} examples of {len(split.validation_photos)} photos ("
    )
    assert sum(line.startswith("step ") and "validation: loss" in line for line in run[1]) == 6


@pytest.mark.slow
def test_early_stopping_ends_the_run(synth, tmp_path):
    """After `patience` evaluations; resumed, it writes the same bundle without another step."""
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
def test_evaluations_do_not_change_training(synth, tmp_path):
    """However many evaluations there are, the losses are the same."""
    losses = []
    for every in (1, 5):
        reported: list[float] = []
        recipe = TINY.model_copy(update={"evaluate_every": every, "patience": 0})
        fit(
            synth,
            tmp_path / str(every),
            recipe,
            observer=TrainingObserver(on_step=lambda _, loss, reported=reported: reported.append(loss)),
        )
        losses.append(reported)

    assert losses[0] == losses[1]
    assert np.isfinite(losses[0]).all()
