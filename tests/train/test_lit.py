"""Where a light begins to count: where the number of things is right most often."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load_file

from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.detection_head import INITIAL_LOGIT
from logicls.models.nano.losses import DETECTION_THRESHOLD
from logicls.train.calibration import find_threshold, recenter_detection_scores
from logicls.train.fit import fit, make_model
from logicls.train.observer import TrainingObserver
from logicls.train.preflight import preflight
from logicls.train.recipe import Recipe
from logicls.train.validation import iterate_batches

TINY = Recipe(
    steps=6, batch=4, visual_tokens=16, base=False, width=32, encoder_layers=1, decoder_layers=1, validation=0.3,
    evaluate_every=3,
)  # fmt: skip


@pytest.mark.parametrize(
    ("spans", "limit"),
    [
        ([(-2.0, 1.0), (-1.5, -0.5), (1.1, 4.0)], -1.0),  # the middle of where two of three are right
        ([(-math.inf, math.inf)], 0.0),  # anything goes: a half
        ([(-1.5, -1.0), (0.1, 0.6)], 0.35),  # twice as good: the one nearest to a half
        ([(-2.0, 0.1)] * 60 + [(-0.1, 0.1)] + [(-5.0, -3.0)] * 39, -0.95),  # not at the cliff, where one more is right
        ([], 0.0),  # no question asks for places
        ([(3.0, 4.0)], 0.0),  # nothing looked at is right
    ],
)
def test_the_limit_that_is_right_most_often(spans, limit):
    """In logits; the middle, so that photos a little otherwise are right as well."""
    assert find_threshold(spans) == pytest.approx(limit, abs=0.05)


@pytest.fixture
def shining(synth, tmp_path, monkeypatch):
    """Six examples; a model whose lights are what a test says of each question's things; and codec and batch."""
    flight = preflight(synth, tmp_path, visual_tokens=16)
    model, codec = make_model(TINY, flight), NanoAnswerCodec(flight.processor)
    batch = next(iterate_batches(flight, codec, range(6), 6))

    def shine(light, cells):
        """`light(n, count)`: logits by (row, column) for the n-th of `count` things; boxes are so many `cells` wide."""

        def lights(chart, asked):
            made = torch.full((*asked.shape[:2], 8, 8), -9.0)
            for photo, question in batch["located"].nonzero().tolist():
                here = (batch["box_question"][photo] == question) & (batch["box_value"][photo] < 0)
                for n in range(int(here.sum()) + 1):
                    for (row, column), logit in light(n, int(here.sum())).items():
                        made[photo, question, row, column] = logit
            return made + model.detection_head.centre_filter.bias[-1] - INITIAL_LOGIT

        def boxes(chart, asked, rows, columns):
            middle = torch.stack([columns, rows, columns, rows], -1).div(cells, rounding_mode="floor") * cells + 0.5
            return middle, middle + torch.tensor([-0.5, -0.5, 0.5, 0.5])

        monkeypatch.setattr(model.detection_head, "lights", lights)
        monkeypatch.setattr(model.detection_head, "boxes", boxes)
        return model

    return shine, codec, batch


def test_lights_are_raised_until_a_half_counts_right(shining):
    """A faint light for each thing is above a half afterwards, and a fainter one beside them is not."""
    shine, codec, batch = shining
    model = shine(lambda n, count: {(n // 4 * 2, n % 4 * 2): -0.5 if n < count else -1.5}, 1)

    limit = recenter_detection_scores(model, codec, [batch])

    assert 1 / (1 + math.exp(1.5)) < limit < 1 / (1 + math.exp(0.5))
    raised = model.detection_head.score_centres(
        None, torch.zeros(len(batch["located"]), batch["located"].shape[1], 1)
    ).sigmoid()
    things = ((batch["box_question"] >= 0) & (batch["box_value"] < 0)).sum()
    assert (raised >= DETECTION_THRESHOLD).sum() == things > 0


def test_two_lights_on_one_thing_count_once(shining):
    """As in prediction: the fainter of two boxes that lie on one another is none, however bright."""
    shine, codec, batch = shining

    def doubled(n, count):
        row, column = n // 4 * 2, n % 4 * 2
        return {(row, column): -0.5, (row + 1, column + 1): -0.6} if n < count else {}

    assert recenter_detection_scores(shine(doubled, 2), codec, [batch]) < 1 / (1 + math.exp(0.6))
    assert recenter_detection_scores(shine(doubled, 1), codec, [batch]) > 1 / (1 + math.exp(0.6))


def test_training_settles_it(synth, tmp_path):
    """What is said is what was added to the one number that raises all lights; the rest are the best weights."""
    said = []

    bundle = fit(synth, tmp_path / "bundle", TINY, observer=TrainingObserver(on_message=said.append))

    limit = next(float(line.split()[7]) for line in said if line.startswith("a thing counts from a chance of"))
    best = load_file(next((tmp_path / "bundle" / "work").glob("best-*.safetensors")))
    now = bundle.model.state_dict()
    assert all(torch.equal(weight, now[name]) for name, weight in best.items() if name != "pointer.centre_filter.bias")
    *others, raised = (now["pointer.centre_filter.bias"] - best["pointer.centre_filter.bias"]).tolist()
    assert not any(others)
    assert 1 / (1 + math.exp(raised)) == pytest.approx(limit, abs=0.006)
