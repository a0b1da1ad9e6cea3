"""Verdicts: rules decide on the answers, and a photo whose derived and stated verdict differ goes to review."""

from __future__ import annotations

from dataclasses import replace

import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.predict.decision import decide
from logicls.predict.readers.protocol import Prediction
from logicls.predict.uncertainty.calibration import MIN_PROBABILITY, Calibration
from logicls.predict.uncertainty.thresholds import RuleThresholds, Thresholds
from logicls.records import Answer, Box

SPEC = """logicls: 1
product: {name: box}
components:
  pin: {}
  lid: {}
constraints:
  - {id: two-pins, quantity: {of: pin, exactly: 2}, violation: {below: missing_pin, above: extra_pin}}
  - {id: one-lid, quantity: {of: lid, exactly: 1}, violation: missing_lid}
"""
NAMES = ("missing_pin", "extra_pin", "missing_lid")
REVIEW_BAND = Thresholds((("two-pins", RuleThresholds(0.1, 0.9)),))


@pytest.fixture
def spec(tmp_path):
    """Load a spec of two rules and three violations."""
    (tmp_path / "box.yaml").write_text(SPEC)
    return load_spec(tmp_path / "box.yaml")


def predict(
    pins: int, lids: int, stated: tuple[str, ...] = (), confidence: float = 0.9, **probabilities: float
) -> Prediction:
    """Return a prediction of pins and lids; by default stated violations have a probability of 0.9, others of 0.1."""
    boxes = [tuple(Box(10.0 * k, 0, 10.0 * k + 5, 5) for k in range(count)) for count in (pins, lids)]
    answers = (
        Answer("locate:pin", boxes=boxes[0], confidence=confidence),
        Answer("locate:lid", boxes=boxes[1], confidence=confidence),
    )
    stated_probabilities = {name: probabilities.get(name, 0.9 if name in stated else 0.1) for name in NAMES}
    return Prediction(answers, Answer("verdict", stated, confidence=confidence), tuple(stated_probabilities.items()))


def test_good_photo_passes(spec):
    """No violation is derived or stated."""
    verdict = decide(spec, predict(2, 1), "a.jpg", (100, 80))

    assert (verdict.outcome, verdict.violations, verdict.stated, verdict.reasons) == ("pass", (), (), ())
    assert (verdict.photo, verdict.width, verdict.height, verdict.spec) == ("a.jpg", 100, 80, spec.hash)
    assert [a.query for a in verdict.answers] == ["locate:pin", "locate:lid", "verdict"]


def test_defective_photo_fails(spec):
    """Derived and stated verdict agree, in any order; violations are sorted."""
    verdict = decide(spec, predict(1, 0, ("missing_pin", "missing_lid")), "a.jpg", (100, 80))

    broken = ("missing_lid", "missing_pin")
    assert (verdict.outcome, verdict.violations, verdict.stated, verdict.reasons) == ("fail", broken, broken, ())
    assert [(f.constraint, f.status) for f in verdict.findings] == [("two-pins", "broken"), ("one-lid", "broken")]


@pytest.mark.parametrize(
    "prediction",
    [
        predict(2, 1, confidence=0.8, missing_pin=0.99),
        predict(3, 1, extra_pin=0.0001),
        predict(1, 1, missing_pin=0.0001),
    ],
)
def test_contradicting_verdicts_go_to_review(spec, prediction):
    """A confident stated verdict weighs as much as the answers; the reason names the rule."""
    verdict = decide(spec, prediction, "a.jpg", (100, 80), thresholds=REVIEW_BAND)

    assert verdict.outcome == "review"
    assert [reason.partition(":")[0] for reason in verdict.reasons] == ["two-pins"]


@pytest.mark.parametrize(("weight", "outcome"), [(0.0, "pass"), (0.5, "review"), (2.0, "review")])
def test_weight_of_the_stated_verdict(spec, weight, outcome):
    """With a fitted weight of 0 it has no influence."""
    calibration = Calibration(derived_weight=1.0, stated_weight=weight)

    verdict = decide(
        spec,
        predict(2, 1, confidence=0.99, missing_pin=0.999),
        "a.jpg",
        (100, 80),
        calibration=calibration,
        thresholds=REVIEW_BAND,
    )

    assert verdict.outcome == outcome


@pytest.mark.parametrize(("low", "high", "outcome"), [(0.5, 0.5, "pass"), (0.01, 0.99, "review")])
def test_thresholds_decide_about_review(spec, low, high, outcome):
    """The verdict has the id of the thresholds."""
    thresholds = Thresholds((("two-pins", RuleThresholds(low, high)),))

    verdict = decide(spec, predict(2, 1), "a.jpg", (100, 80), thresholds=thresholds)

    assert (verdict.outcome, verdict.thresholds) == (outcome, thresholds.id)


def test_unconditional_reason_goes_to_review(spec):
    """However certain the rules are."""
    verdict = decide(spec, predict(2, 1), "a.jpg", (100, 80), unconditional_reasons=("blurred",))

    assert (verdict.outcome, verdict.reasons, verdict.unconditional_reasons) == ("review", ("blurred",), ("blurred",))


def test_unreadable_answer_goes_to_review(spec):
    """The reason names the rule and the query."""
    prediction = predict(2, 1)
    unreadable = replace(prediction, answers=(replace(prediction.answers[0], readable=False), prediction.answers[1]))

    verdict = decide(spec, unreadable, "a.jpg", (100, 80))

    assert (verdict.outcome, verdict.violations, verdict.findings[0].probability) == ("review", (), None)
    assert verdict.reasons == ("two-pins: no readable answer to locate:pin",)


def test_unreadable_stated_verdict_goes_to_review(spec):
    """There is no second verdict to agree with."""
    prediction = predict(2, 1)

    verdict = decide(spec, replace(prediction, stated=replace(prediction.stated, readable=False)), "a.jpg", (100, 80))

    assert (verdict.outcome, verdict.stated) == ("review", None)
    assert verdict.reasons == ("the stated verdict is unreadable",)


def test_scores_are_probabilities(spec):
    """One pin of 0.8 instead of two, stated with 0.9: log-odds of a certainly missing pin and of 9, both halved.

    The score is the probability that any rule is broken.
    """
    verdict = decide(spec, predict(1, 1, ("missing_pin",), confidence=0.8), "a.jpg", (100, 80))

    scores, probabilities = dict(verdict.scores), [f.probability for f in verdict.findings]
    pooled = ((1 - MIN_PROBABILITY) / MIN_PROBABILITY * 9) ** 0.5
    assert tuple(scores) == NAMES
    assert scores["missing_pin"] == pytest.approx(pooled / (1 + pooled))
    assert scores["missing_lid"] == pytest.approx(1 / (1 + (4 * 9) ** 0.5))
    assert probabilities == pytest.approx(
        [scores["missing_pin"] + scores["extra_pin"], scores["missing_lid"]], abs=1e-3
    )
    assert verdict.score == pytest.approx(1 - (1 - probabilities[0]) * (1 - probabilities[1]))


@pytest.mark.parametrize("confidence", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("pins", [0, 1, 2, 3])
def test_scores_are_between_0_and_1(spec, pins, probability, confidence):
    """For all answers and confidences."""
    verdict = decide(spec, predict(pins, 1, confidence=confidence, missing_pin=probability), "a.jpg", (100, 80))

    assert all(0 <= score <= 1 for score in (verdict.score, *dict(verdict.scores).values()))


def test_worse_photos_score_higher(spec):
    """Good, good but uncertain, contradicting, defective but uncertain, defective."""
    predictions = [
        predict(2, 1, confidence=0.99, missing_pin=0.01, extra_pin=0.01, missing_lid=0.01),
        predict(2, 1, confidence=0.8),
        predict(1, 1, confidence=0.8, missing_pin=0.001),
        predict(1, 1, ("missing_pin",), confidence=0.8),
        predict(1, 1, ("missing_pin",), confidence=0.99, missing_pin=0.99),
    ]

    scores = [dict(decide(spec, prediction, "a.jpg", (100, 80)).scores)["missing_pin"] for prediction in predictions]

    assert scores == sorted(set(scores))
