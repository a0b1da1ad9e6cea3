"""Calibration after training: temperatures, measurement noise, evidence weights, thresholds, detection scores."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from logicls.constraints.spec.loader import load_spec
from logicls.errors import BundleError, DataError
from logicls.io.resources import resource_path
from logicls.models.bundle import Bundle, write_bundle
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.detection_head import INITIAL_LOGIT
from logicls.models.nano.losses import DETECTION_THRESHOLD
from logicls.predict.decision import load_decision_model
from logicls.predict.readers.protocol import Detection, Prediction
from logicls.predict.uncertainty import calibration as scales
from logicls.predict.uncertainty import ood as novelty
from logicls.predict.uncertainty import thresholds
from logicls.predict.uncertainty.calibration import log_odds, sigmoid
from logicls.records import Answer, Box
from logicls.synth.dataset import read_rows
from logicls.synth.pipeline import SynthesisRequest, build_dataset
from logicls.train.calibration import (
    CalibrationExample,
    calibrate,
    estimate_noise,
    find_threshold,
    fit_calibration,
    recenter_detection_scores,
)
from logicls.train.fit import fit, make_model
from logicls.train.observer import TrainingObserver
from logicls.train.preflight import preflight
from logicls.train.recipe import Recipe
from logicls.train.validation import iterate_batches, split_photos

KIT = resource_path("constraints/dosing_kit.yaml")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Enough examples to tell what is usual."""
    out = tmp_path_factory.mktemp("many")
    build_dataset(SynthesisRequest(KIT, resource_path("data/dosing_kit"), out, 80, 0), workers=1)
    return out


@pytest.fixture(scope="module")
def plain(tiny_nano, tmp_path_factory) -> Bundle:
    """A bundle of random weights that was not calibrated."""
    model, processor = tiny_nano(load_spec(KIT))
    path = tmp_path_factory.mktemp("plain") / "bundle"
    return write_bundle(path, model=model, processor=processor, spec_file=KIT, max_boxes=5)


def calibrated(plain: Bundle, synth, said: list[str], share_aside: float = 0.5) -> Bundle:
    """The same bundle after the last step of training."""
    split = split_photos([row["photo"] for row in read_rows(synth, ("photo",))], share_aside, 0)
    calibrate(plain, synth, split, 0, said.append)
    return plain


@pytest.fixture(scope="module")
def once(plain, many, tmp_path_factory):
    """A calibrated copy, with what was said; read only."""
    path, said = tmp_path_factory.mktemp("once") / "bundle", list[str]()
    shutil.copytree(plain.path, path)
    return calibrated(replace(plain, path=path), many, said), said


@pytest.fixture
def made(once, tmp_path):
    """A copy to damage."""
    bundle, _ = once
    shutil.copytree(bundle.path, tmp_path / "bundle")
    return replace(bundle, path=tmp_path / "bundle")


def test_what_it_leaves_is_read_back(once):
    """All three files are there, prediction takes them up, and nothing is left to warn of."""
    bundle, said = once

    grounds = load_decision_model(bundle)

    assert {scales.CALIBRATION_FILE, thresholds.THRESHOLDS_FILE, novelty.OOD_FILE} <= {
        path.name for path in bundle.path.iterdir()
    }
    assert grounds.calibration.example_count > 0
    assert {name for name, _ in grounds.thresholds.limits} <= {c.id for c in bundle.spec.constraints}
    assert "synthetic examples of" in grounds.thresholds.origin
    assert grounds.warnings == ()
    assert said[-1].startswith(f"calibrated on {grounds.calibration.example_count} validation examples")


def test_the_same_again(made, many):
    """Nothing in it is by chance: the same bundle and examples give the same files."""
    before = {
        name: (made.path / name).read_bytes()
        for name in (scales.CALIBRATION_FILE, thresholds.THRESHOLDS_FILE, novelty.OOD_FILE)
    }

    calibrated(made, many, [])

    assert before == {name: (made.path / name).read_bytes() for name in before}


def test_without_examples_aside_nothing_is_written(plain, synth):
    """It says so, the bundle stays as it was, and prediction warns of both."""
    said: list[str] = []

    calibrated(plain, synth, said, 0.0)

    assert said == ["not calibrated: there are no validation examples"]
    assert len(load_decision_model(plain).warnings) == 2


@pytest.mark.parametrize(
    ("file", "text", "code"),
    [
        (scales.CALIBRATION_FILE, "{", "LC620"),
        (scales.CALIBRATION_FILE, '{"located": "hot"}', "LC620"),
        (thresholds.THRESHOLDS_FILE, "{}", "LC621"),
        (thresholds.THRESHOLDS_FILE, '{"limits": {"two-pins": {"low": 0.1, "high": 0.9}}}', "LC621"),
        (novelty.OOD_FILE, "not a tensor", "LC622"),
    ],
)
def test_damage_is_told(made, file, text, code):
    """A bundle of which a part cannot be read is refused, and the file is named."""
    (made.path / file).write_text(text)

    with pytest.raises((BundleError, DataError)) as caught:
        load_decision_model(made)

    assert [problem.code for problem in caught.value.problems] == [code]
    assert file in str(caught.value)


SPEC = """logicls: 1
product: {name: box}
components:
  pin: {}
constraints:
  - {id: one-pin, quantity: {of: pin, exactly: 1}, violation: {below: missing, above: extra}}
  - {id: narrow, measure: {width: pin, between: [0.1, 0.2]}, violation: {below: thin, above: thick}}
"""


@pytest.fixture
def spec(tmp_path):
    """One pin, so wide."""
    (tmp_path / "box.yaml").write_text(SPEC)
    return load_spec(tmp_path / "box.yaml")


def drawn(rng: np.random.Generator, heard: float) -> CalibrationExample:
    """A photo with or without a pin, read by one whose log-odds are half of what they ought to be.

    The width is read with an error of 0.004, half a dead zone. The stated verdict knows with log-odds of `heard`.
    """
    odds = rng.normal(0.0, 3.0)
    there = rng.random() < sigmoid(odds)
    width = 15.0 + rng.uniform(-4.0, 4.0)
    box, read = Box(40.0, 40.0, 40.0 + width, 60.0), Box(40.0, 40.0, 40.0 + width + rng.normal(0, 0.4), 60.0)
    told = sigmoid(odds / 2)
    light = Detection(told, (0.0,) * 4, read)
    answers = (Answer("locate:pin", boxes=(read,) if told >= 0.5 else (), confidence=0.9),)
    stated = sigmoid((heard if not there else -heard) + rng.normal())
    look = Prediction(
        answers, Answer("verdict"), (("missing", stated), ("extra", 0.01), ("thin", 0.01), ("thick", 0.01)), None,
        (("locate:pin", (light,)),),
    )  # fmt: skip
    violations = frozenset(("missing",) if not there else ("thin",) if width < 10 else ("thick",) if width > 20 else ())
    return CalibrationExample((Answer("locate:pin", boxes=(box,) if there else ()),), violations, (100, 100), look)


def test_what_is_known_is_found(spec):
    """A temperature of one half, and a spread of half a dead zone."""
    rng = np.random.default_rng(0)

    found = fit_calibration(spec, [drawn(rng, 2.0) for _ in range(600)])

    assert found.locate_temperature == pytest.approx(0.5, rel=0.2)
    assert found.noise_of("narrow").sd == pytest.approx(0.5, rel=0.2)
    assert found.noise_of("narrow").outlier_rate < 0.02
    assert found.example_count == 600


def lit(chance: float, *, there: bool) -> CalibrationExample:
    """A photo with one light, and a pin under it or none."""
    box = Box(40.0, 40.0, 55.0, 60.0)
    answers = (Answer("locate:pin", boxes=(box,) if there else ()),)
    light = ("locate:pin", (Detection(chance, (0.0,) * 4, box),))
    return CalibrationExample(
        answers, frozenset(), (100, 100), Prediction(answers, Answer("verdict"), (), None, (light,))
    )


def apart(rng: np.random.Generator) -> CalibrationExample:
    """A photo whose one light has a chance above 0.7 where there is a pin, and below 0.3 where there is none."""
    there = rng.random() < 0.5
    return lit(0.7 + 0.3 * rng.random() if there else 0.3 * rng.random(), there=there)


def test_no_error_in_a_few_is_no_certainty(spec):
    """Where true and false lights lie wholly apart a lower temperature is always likelier: few bear no low one."""
    few, many = (
        fit_calibration(spec, [apart(np.random.default_rng(k)) for k in range(n)]).locate_temperature
        for n in (20, 2000)
    )

    assert 0.1 < many < few < 1


def test_what_is_all_but_certain_does_not_blunt_the_rest(spec):
    """Of 300 lights, all true, half are told of with 0.93: they are as sure beside others of 0.9999999 as of 0.97."""
    alike, apart_ = (
        fit_calibration(spec, [lit(sure if k % 2 else 0.93, there=True) for k in range(300)]).locate_temperature
        for sure in (0.97, 0.9999999)
    )

    assert apart_ < 0.9
    assert apart_ == pytest.approx(alike, rel=0.1)


@pytest.mark.parametrize(("heard", "least", "most"), [(0.0, 0.0, 0.25), (3.0, 0.4, 3.0)])
def test_a_stated_verdict_weighs_what_it_is_worth(spec, heard, least, most):
    """One that guesses next to nothing, one that knows a good deal."""
    rng = np.random.default_rng(0)

    found = fit_calibration(spec, [drawn(rng, heard) for _ in range(400)])

    assert least <= found.stated_weight <= most


def test_strays_do_not_widen_a_spread():
    """Two of 200 readings are something else: the spread is that of the rest, by hand 1.4826 x 0.5."""
    spread = estimate_noise([0.5, -0.5] * 99 + [30.0, -40.0])

    assert spread.sd == pytest.approx(0.7413)
    assert spread.outlier_rate == pytest.approx(2.5 / 201)


def test_nothing_is_fitted_where_nothing_is_broken(spec):
    """Weights stay as they are, and it counts as not calibrated."""
    whole = Answer("locate:pin", boxes=(Box(40, 40, 55, 60),))
    look = Prediction((whole,), Answer("verdict"), ())

    found = fit_calibration(spec, [CalibrationExample((whole,), frozenset(), (100, 100), look)] * 5)

    assert (found.derived_weight, found.stated_weight, found.offset, found.example_count) == (0.5, 0.5, 0.0, 0)
    assert log_odds(0.5) == 0.0


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

        def score_centres(feature_map, queries):
            made = torch.full((*queries.shape[:2], 8, 8), -9.0)
            for photo, question in batch["located"].nonzero().tolist():
                here = (batch["box_question"][photo] == question) & (batch["box_value"][photo] < 0)
                for n in range(int(here.sum()) + 1):
                    for (row, column), logit in light(n, int(here.sum())).items():
                        made[photo, question, row, column] = logit
            return made + model.detection_head.centre_filter.bias[-1] - INITIAL_LOGIT

        def regress_boxes(feature_map, queries, rows, columns):
            middle = torch.stack([columns, rows, columns, rows], -1).div(cells, rounding_mode="floor") * cells + 0.5
            return middle, middle + torch.tensor([-0.5, -0.5, 0.5, 0.5])

        monkeypatch.setattr(model.detection_head, "score_centres", score_centres)
        monkeypatch.setattr(model.detection_head, "regress_boxes", regress_boxes)
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

    limit = next(float(line.split()[6]) for line in said if line.startswith("detection threshold: "))
    best = load_file(next((tmp_path / "bundle" / "work").glob("best-*.safetensors")))
    now = bundle.model.state_dict()
    assert all(
        torch.equal(weight, now[name]) for name, weight in best.items() if name != "detection_head.centre_filter.bias"
    )
    *others, raised = (now["detection_head.centre_filter.bias"] - best["detection_head.centre_filter.bias"]).tolist()
    assert not any(others)
    assert 1 / (1 + math.exp(raised)) == pytest.approx(limit, abs=0.006)
