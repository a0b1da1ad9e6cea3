"""Calibration after training: temperatures, measurement noise, evidence weights, thresholds, detection scores."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from logicls.constraints.spec.loader import load_spec
from logicls.data.image_io import read_photo
from logicls.errors import BundleError, DataError
from logicls.io.resources import resource_path
from logicls.models.bundle import Bundle, write_bundle
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.detection_head import INITIAL_LOGIT
from logicls.predict.decision import decide_photo, load_decision_model
from logicls.predict.readers.protocol import Detection, Prediction
from logicls.predict.uncertainty import calibration as scales
from logicls.predict.uncertainty import ood as novelty
from logicls.predict.uncertainty import thresholds
from logicls.predict.uncertainty.calibration import log_odds, sigmoid
from logicls.records import DETECTION_THRESHOLD, Answer, Box
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
from logicls.train.metrics_log import TrainingObserver
from logicls.train.photo_split import SPLIT_COLUMNS, read_split, split_photos
from logicls.train.preflight import preflight
from logicls.train.recipe import Recipe
from logicls.train.validation import iterate_batches

KIT = Path(__file__).parents[1] / "fixtures" / "bundle_0_1" / "spec.yaml"
"""Rules about the sample product that need no memory of good photos."""


@pytest.fixture(scope="module")
def large_synth(tmp_path_factory):
    """Enough examples to fit the out-of-distribution model."""
    out = tmp_path_factory.mktemp("many")
    build_dataset(SynthesisRequest(KIT, resource_path("data/dosing_kit"), out, 80, 0), workers=1)
    return out


@pytest.fixture(scope="module")
def uncalibrated(tiny_nano, tmp_path_factory) -> Bundle:
    """Bundle of random weights without calibration."""
    model, processor = tiny_nano(load_spec(KIT))
    path = tmp_path_factory.mktemp("plain") / "bundle"
    return write_bundle(path, model=model, processor=processor, spec_file=KIT, max_boxes=5)


def calibrate_copy(uncalibrated: Bundle, synth, messages: list[str], share_aside: float = 0.5) -> Bundle:
    """Calibrate a bundle."""
    split = split_photos(read_rows(synth, SPLIT_COLUMNS), share_aside, 0)
    calibrate(uncalibrated, synth, split, 0, messages.append)
    return uncalibrated


@pytest.fixture(scope="module")
def calibrated(uncalibrated, large_synth, tmp_path_factory):
    """Calibrated bundle with its messages; read only."""
    path, messages = tmp_path_factory.mktemp("once") / "bundle", list[str]()
    shutil.copytree(uncalibrated.path, path)
    return calibrate_copy(replace(uncalibrated, path=path), large_synth, messages), messages


@pytest.fixture
def copy(calibrated, tmp_path):
    """Copy of the calibrated bundle to damage."""
    bundle, _ = calibrated
    shutil.copytree(bundle.path, tmp_path / "bundle")
    return replace(bundle, path=tmp_path / "bundle")


def test_calibration_files_are_used_in_prediction(calibrated):
    """All three files exist, prediction uses them, and no warning is left."""
    bundle, messages = calibrated

    grounds = load_decision_model(bundle)

    assert {scales.CALIBRATION_FILE, thresholds.THRESHOLDS_FILE, novelty.OOD_FILE} <= {
        path.name for path in bundle.path.iterdir()
    }
    assert grounds.calibration.example_count > 0
    assert {name for name, _ in grounds.thresholds.limits} <= {c.id for c in bundle.spec.constraints}
    assert "synthetic examples of" in grounds.thresholds.origin
    assert all("not promised for others" in limit.guarantee for _, limit in grounds.thresholds.limits)
    assert grounds.warnings == ()
    assert messages[-1].startswith(f"calibrated on {grounds.calibration.example_count} validation examples")


def test_calibration_is_deterministic(copy, large_synth):
    """The same bundle and examples give the same files."""
    before = {
        name: (copy.path / name).read_bytes()
        for name in (scales.CALIBRATION_FILE, thresholds.THRESHOLDS_FILE, novelty.OOD_FILE)
    }

    calibrate_copy(copy, large_synth, [])

    assert before == {name: (copy.path / name).read_bytes() for name in before}


def test_no_validation_set_writes_nothing(uncalibrated, synth):
    """It is reported, the bundle stays unchanged, and prediction warns of both."""
    messages: list[str] = []

    calibrate_copy(uncalibrated, synth, messages, 0.0)

    assert messages == ["not calibrated: there are no validation examples"]
    assert len(load_decision_model(uncalibrated).warnings) == 2


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
def test_damaged_files_are_refused(copy, file, text, code):
    """A bundle with an unreadable part is refused, and the file is named."""
    (copy.path / file).write_text(text)

    with pytest.raises((BundleError, DataError)) as caught:
        load_decision_model(copy)

    assert [problem.code for problem in caught.value.problems] == [code]
    assert file in str(caught.value)


def test_few_examples_suffice_for_aspect_ratio_and_colour(uncalibrated, large_synth, tmp_path):
    """Too few for an out-of-distribution model: a stretched photo and a grey copy go to review all the same."""
    shutil.copytree(uncalibrated.path, tmp_path / "bundle")
    bundle = replace(uncalibrated, path=tmp_path / "bundle")
    calibrate_copy(bundle, large_synth, [], 0.1)
    model, photos = load_decision_model(bundle), sorted(resource_path("data/dosing_kit/images").glob("*.jpg"))
    photo, prediction = read_photo(photos[0]), Prediction((), Answer("verdict"), ())
    grey = cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)

    reasons = [
        decide_photo(model, prediction, "a.jpg", one).unconditional_reasons
        for one in (photo, np.ascontiguousarray(photo[:, 20:]), grey)
    ]

    assert model.ood_model is None
    found = [[why.split(":")[0] for why in one if why.startswith(("grey", "stretched"))] for one in reasons]
    assert found == [[], ["stretched or cropped"], ["grey"]]


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
    """One pin of a given width."""
    (tmp_path / "box.yaml").write_text(SPEC)
    return load_spec(tmp_path / "box.yaml")


def sample_example(rng: np.random.Generator, stated_log_odds: float) -> CalibrationExample:
    """Sample a photo with or without a pin, predicted with half of the true log-odds.

    The width has an error of 0.004, half a dead zone. The stated verdict has log-odds of `stated`.
    """
    odds = rng.normal(0.0, 3.0)
    there = rng.random() < sigmoid(odds)
    width = 15.0 + rng.uniform(-4.0, 4.0)
    box, read = Box(40.0, 40.0, 40.0 + width, 60.0), Box(40.0, 40.0, 40.0 + width + rng.normal(0, 0.4), 60.0)
    probability = sigmoid(odds / 2)
    detection = Detection(probability, (0.0,) * 4, read)
    answers = (Answer("locate:pin", boxes=(read,) if probability >= 0.5 else (), confidence=0.9),)
    stated = sigmoid((stated_log_odds if not there else -stated_log_odds) + rng.normal())
    prediction = Prediction(
        answers, Answer("verdict"), (("missing", stated), ("extra", 0.01), ("thin", 0.01), ("thick", 0.01)), None,
        (("locate:pin", (detection,)),),
    )  # fmt: skip
    violations = frozenset(("missing",) if not there else ("thin",) if width < 10 else ("thick",) if width > 20 else ())
    return CalibrationExample(
        (Answer("locate:pin", boxes=(box,) if there else ()),), violations, (100, 100), prediction
    )


def test_known_parameters_are_recovered(spec):
    """A temperature of one half, and noise of half a dead zone."""
    rng = np.random.default_rng(0)

    found = fit_calibration(spec, [sample_example(rng, 2.0) for _ in range(600)])

    assert found.locate_temperature == pytest.approx(0.5, rel=0.2)
    assert found.noise_of("narrow").sd == pytest.approx(0.5, rel=0.2)
    assert found.noise_of("narrow").outlier_rate < 0.02
    assert found.example_count == 600


def one_detection(chance: float, *, there: bool) -> CalibrationExample:
    """Make a photo with one detection, and a pin there or none."""
    box = Box(40.0, 40.0, 55.0, 60.0)
    answers = (Answer("locate:pin", boxes=(box,) if there else ()),)
    detection = ("locate:pin", (Detection(chance, (0.0,) * 4, box),))
    return CalibrationExample(
        answers, frozenset(), (100, 100), Prediction(answers, Answer("verdict"), (), None, (detection,))
    )


def separable_detection(rng: np.random.Generator) -> CalibrationExample:
    """Make a photo whose detection scores above 0.7 with a pin, and below 0.3 without."""
    there = rng.random() < 0.5
    return one_detection(0.7 + 0.3 * rng.random() if there else 0.3 * rng.random(), there=there)


def test_few_examples_do_not_make_low_temperatures(spec):
    """Separable detections favour a temperature of 0; few examples do not justify it."""
    few, large_synth = (
        fit_calibration(spec, [separable_detection(np.random.default_rng(k)) for k in range(n)]).locate_temperature
        for n in (20, 2000)
    )

    assert 0.1 < large_synth < few < 1


def test_certain_detections_do_not_change_the_temperature(spec):
    """Of 300 correct detections half score 0.93; the rest may score 0.97 or 0.9999999."""
    first, second = (
        fit_calibration(
            spec, [one_detection(high if k % 2 else 0.93, there=True) for k in range(300)]
        ).locate_temperature
        for high in (0.97, 0.9999999)
    )

    assert second < 0.9
    assert second == pytest.approx(first, rel=0.1)


@pytest.mark.parametrize(("stated_log_odds", "least", "most"), [(0.0, 0.0, 0.25), (3.0, 0.4, 3.0)])
def test_stated_weight_follows_its_information(spec, stated_log_odds, least, most):
    """One that is hardly better than a guess, and an informative one."""
    rng = np.random.default_rng(0)

    found = fit_calibration(spec, [sample_example(rng, stated_log_odds) for _ in range(400)])

    assert least <= found.stated_weight <= most


def test_looks_do_not_change_the_weights(tmp_path, spec):
    """A rule about appearance, wrong about every second photo, leaves the weights of answers and verdict alone."""
    rule = "  - {id: whole, appearance: {of: pin}, violation: damaged}\n"
    (tmp_path / "looks.yaml").write_text(SPEC + rule)
    rng = np.random.default_rng(0)
    examples = [sample_example(rng, 3.0) for _ in range(200)]
    looks = [
        Answer("appearance:pin", ("anomalous",), probabilities=(0.99,), rarities=(1e-6,)) if number % 2 else
        Answer("appearance:pin", ("normal",), probabilities=(0.98,), rarities=(0.5,))
        for number in range(len(examples))
    ]  # fmt: skip
    compared = [
        replace(one, prediction=replace(one.prediction, answers=(*one.prediction.answers, look)))
        for one, look in zip(examples, looks, strict=True)
    ]

    without, found = fit_calibration(spec, examples), fit_calibration(load_spec(tmp_path / "looks.yaml"), compared)

    assert (found.derived_weight, found.stated_weight, found.offset) == (
        without.derived_weight, without.stated_weight, without.offset,
    )  # fmt: skip


def test_outliers_do_not_change_the_noise():
    """Two of 200 measurements are outliers: the standard deviation is that of the rest, 1.4826 x 0.5 by hand."""
    spread = estimate_noise([0.5, -0.5] * 99 + [30.0, -40.0])

    assert spread.sd == pytest.approx(0.7413)
    assert spread.outlier_rate == pytest.approx(2.5 / 201)


def test_no_violation_leaves_the_weights_unfitted(spec):
    """Weights keep their defaults, and the calibration counts as not fitted."""
    answer = Answer("locate:pin", boxes=(Box(40, 40, 55, 60),))
    prediction = Prediction((answer,), Answer("verdict"), ())

    found = fit_calibration(spec, [CalibrationExample((answer,), frozenset(), (100, 100), prediction)] * 5)

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
def test_threshold_lies_in_most_intervals(spans, limit):
    """In logits; in the middle, which is robust for other photos."""
    assert find_threshold(spans) == pytest.approx(limit, abs=0.05)


@pytest.fixture
def fake_detections(synth, tmp_path, monkeypatch):
    """Six examples; a function that makes a model with given detections; codec and batch."""
    flight = preflight(synth, tmp_path, visual_tokens=16)
    model, codec = make_model(TINY, flight), NanoAnswerCodec(flight.processor)
    batch = next(iterate_batches(flight, codec, range(6), 6))

    def make_model_with(detection, cells):
        """`light(n, count)`: logits by (row, column) for the n-th of `count` things; boxes are so many `cells` wide."""

        def score_centres(feature_map, queries):
            copy = torch.full((*queries.shape[:2], 8, 8), -9.0)
            for photo, question in batch["located"].nonzero().tolist():
                here = (batch["box_question"][photo] == question) & (batch["box_value"][photo] < 0)
                for n in range(int(here.sum()) + 1):
                    for (row, column), logit in detection(n, int(here.sum())).items():
                        copy[photo, question, row, column] = logit
            return copy + model.detection_head.centre_filter.bias[-1] - INITIAL_LOGIT

        def regress_boxes(feature_map, queries, rows, columns):
            middle = torch.stack([columns, rows, columns, rows], -1).div(cells, rounding_mode="floor") * cells + 0.5
            return middle, middle + torch.tensor([-0.5, -0.5, 0.5, 0.5])

        monkeypatch.setattr(model.detection_head, "score_centres", score_centres)
        monkeypatch.setattr(model.detection_head, "regress_boxes", regress_boxes)
        return model

    return make_model_with, codec, batch


def test_scores_are_shifted_until_one_half_counts_correctly(fake_detections):
    """A low score of each instance is above one half afterwards, and lower ones of others are not."""
    make_model_with, codec, batch = fake_detections
    model = make_model_with(lambda n, count: {(n // 4 * 2, n % 4 * 2): -0.5 if n < count else -1.5}, 1)

    limit = recenter_detection_scores(model, codec, [batch])

    assert 1 / (1 + math.exp(1.5)) < limit < 1 / (1 + math.exp(0.5))
    raised = model.detection_head.score_centres(
        None, torch.zeros(len(batch["located"]), batch["located"].shape[1], 1)
    ).sigmoid()
    things = ((batch["box_question"] >= 0) & (batch["box_value"] < 0)).sum()
    assert (raised >= DETECTION_THRESHOLD).sum() == things > 0


def test_duplicate_detections_count_once(fake_detections):
    """As in prediction, the lower of two overlapping detections is suppressed, whatever its score."""
    make_model_with, codec, batch = fake_detections

    def doubled(n, count):
        row, column = n // 4 * 2, n % 4 * 2
        return {(row, column): -0.5, (row + 1, column + 1): -0.6} if n < count else {}

    assert recenter_detection_scores(make_model_with(doubled, 2), codec, [batch]) < 1 / (1 + math.exp(0.6))
    assert recenter_detection_scores(make_model_with(doubled, 1), codec, [batch]) > 1 / (1 + math.exp(0.6))


def test_training_reports_the_shift(synth, tmp_path):
    """The reported threshold is the shift of one bias; all other weights are the best ones."""
    messages = []

    bundle = fit(synth, tmp_path / "bundle", TINY, observer=TrainingObserver(on_message=messages.append))
    split = read_split(bundle.path)

    assert split is not None
    assert any(f"of {len(split.validation)} photo" in line for line in messages if line.startswith("validation set: "))
    limit = next(float(line.split()[7]) for line in messages if line.startswith("detection threshold: "))
    best = load_file(next((tmp_path / "bundle" / "work").glob("best-*.safetensors")))
    now = bundle.model.state_dict()
    assert all(
        torch.equal(weight, now[name]) for name, weight in best.items() if name != "detection_head.centre_filter.bias"
    )
    *others, raised = (now["detection_head.centre_filter.bias"] - best["detection_head.centre_filter.bias"]).tolist()
    assert not any(others)
    assert 1 / (1 + math.exp(raised)) == pytest.approx(limit, abs=0.006)
