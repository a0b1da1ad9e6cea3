"""The verdict: logic decides on what was read, and a person where two readings differ."""

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
BAND = Thresholds((("two-pins", RuleThresholds(0.1, 0.9)),))


@pytest.fixture
def spec(tmp_path):
    """Two rules, three defects."""
    (tmp_path / "box.yaml").write_text(SPEC)
    return load_spec(tmp_path / "box.yaml")


def seen(pins: int, lids: int, stated: tuple[str, ...] = (), sure: float = 0.9, **chances: float) -> Prediction:
    """A look at so many pins and lids. Chances that are not given are 0.1 less than certain on what is stated."""
    boxes = [tuple(Box(10.0 * k, 0, 10.0 * k + 5, 5) for k in range(count)) for count in (pins, lids)]
    answers = (
        Answer("locate:pin", boxes=boxes[0], confidence=sure),
        Answer("locate:lid", boxes=boxes[1], confidence=sure),
    )
    told = {name: chances.get(name, 0.9 if name in stated else 0.1) for name in NAMES}
    return Prediction(answers, Answer("verdict", stated, confidence=sure), tuple(told.items()))


def test_a_good_photo_passes(spec):
    """Nothing derived, nothing stated: pass."""
    verdict = decide(spec, seen(2, 1), "a.jpg", (100, 80))

    assert (verdict.outcome, verdict.violations, verdict.stated, verdict.reasons) == ("pass", (), (), ())
    assert (verdict.photo, verdict.width, verdict.height, verdict.spec) == ("a.jpg", 100, 80, spec.hash)
    assert [a.query for a in verdict.answers] == ["locate:pin", "locate:lid", "verdict"]


def test_a_bad_photo_fails(spec):
    """Derived and stated alike, in whatever order they are stated: fail, with the defects sorted."""
    verdict = decide(spec, seen(1, 0, ("missing_pin", "missing_lid")), "a.jpg", (100, 80))

    broken = ("missing_lid", "missing_pin")
    assert (verdict.outcome, verdict.violations, verdict.stated, verdict.reasons) == ("fail", broken, broken, ())
    assert [(f.constraint, f.status) for f in verdict.findings] == [("two-pins", "broken"), ("one-lid", "broken")]


@pytest.mark.parametrize(
    "look",
    [seen(2, 1, sure=0.8, missing_pin=0.99), seen(3, 1, extra_pin=0.0001), seen(1, 1, missing_pin=0.0001)],
)
def test_two_readings_that_differ_go_to_review(spec, look):
    """A stated verdict that is sure of the contrary weighs as much as the answers; the reason names the rule."""
    verdict = decide(spec, look, "a.jpg", (100, 80), thresholds=BAND)

    assert verdict.outcome == "review"
    assert [reason.partition(":")[0] for reason in verdict.reasons] == ["two-pins"]


@pytest.mark.parametrize(("weight", "outcome"), [(0.0, "pass"), (0.5, "review"), (2.0, "review")])
def test_a_stated_verdict_is_heard_by_its_weight(spec, weight, outcome):
    """A second reader that was found to know nothing sends nobody to look."""
    scales = Calibration(derived_weight=1.0, stated_weight=weight)

    verdict = decide(
        spec, seen(2, 1, sure=0.99, missing_pin=0.999), "a.jpg", (100, 80), calibration=scales, thresholds=BAND
    )

    assert verdict.outcome == outcome


@pytest.mark.parametrize(("low", "high", "outcome"), [(0.5, 0.5, "pass"), (0.01, 0.99, "review")])
def test_thresholds_decide_who_looks(spec, low, high, outcome):
    """The same look; the verdict says by which thresholds."""
    thresholds = Thresholds((("two-pins", RuleThresholds(low, high)),))

    verdict = decide(spec, seen(2, 1), "a.jpg", (100, 80), thresholds=thresholds)

    assert (verdict.outcome, verdict.thresholds) == (outcome, thresholds.id)


def test_a_doubt_about_the_photo_goes_to_review(spec):
    """However sure the rules are."""
    verdict = decide(spec, seen(2, 1), "a.jpg", (100, 80), unconditional_reasons=("blurred",))

    assert (verdict.outcome, verdict.reasons, verdict.unconditional_reasons) == ("review", ("blurred",), ("blurred",))


def test_an_answer_that_cannot_be_read_goes_to_review(spec):
    """A rule that could not be checked is a reason, and names the question."""
    look = seen(2, 1)
    unread = replace(look, answers=(replace(look.answers[0], readable=False), look.answers[1]))

    verdict = decide(spec, unread, "a.jpg", (100, 80))

    assert (verdict.outcome, verdict.violations, verdict.findings[0].probability) == ("review", (), None)
    assert verdict.reasons == ("two-pins: no readable answer to locate:pin",)


def test_a_stated_verdict_that_cannot_be_read_goes_to_review(spec):
    """There is then no second reading to agree with."""
    look = seen(2, 1)

    verdict = decide(spec, replace(look, stated=replace(look.stated, readable=False)), "a.jpg", (100, 80))

    assert (verdict.outcome, verdict.stated) == ("review", None)
    assert verdict.reasons == ("the stated verdict is unreadable",)


def test_scores_are_probabilities(spec):
    """One pin of 0.8 where two are wanted, stated with 0.9: odds of a surely missing pin, times 9, to the half.

    The photo is good if no rule is broken.
    """
    verdict = decide(spec, seen(1, 1, ("missing_pin",), sure=0.8), "a.jpg", (100, 80))

    scores, chances = dict(verdict.scores), [f.probability for f in verdict.findings]
    pooled = ((1 - MIN_PROBABILITY) / MIN_PROBABILITY * 9) ** 0.5
    assert tuple(scores) == NAMES
    assert scores["missing_pin"] == pytest.approx(pooled / (1 + pooled))
    assert scores["missing_lid"] == pytest.approx(1 / (1 + (4 * 9) ** 0.5))
    assert chances == pytest.approx([scores["missing_pin"] + scores["extra_pin"], scores["missing_lid"]], abs=1e-3)
    assert verdict.score == pytest.approx(1 - (1 - chances[0]) * (1 - chances[1]))


@pytest.mark.parametrize("sure", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("pins", [0, 1, 2, 3])
def test_scores_are_between_0_and_1(spec, pins, chance, sure):
    """Whatever was read and however surely."""
    verdict = decide(spec, seen(pins, 1, sure=sure, missing_pin=chance), "a.jpg", (100, 80))

    assert all(0 <= score <= 1 for score in (verdict.score, *dict(verdict.scores).values()))


def test_worse_photos_score_higher(spec):
    """Good, good but unsure, readings that differ, bad but unsure, bad: in this order."""
    looks = [
        seen(2, 1, sure=0.99, missing_pin=0.01, extra_pin=0.01, missing_lid=0.01),
        seen(2, 1, sure=0.8),
        seen(1, 1, sure=0.8, missing_pin=0.001),
        seen(1, 1, ("missing_pin",), sure=0.8),
        seen(1, 1, ("missing_pin",), sure=0.99, missing_pin=0.99),
    ]

    scores = [dict(decide(spec, look, "a.jpg", (100, 80)).scores)["missing_pin"] for look in looks]

    assert scores == sorted(set(scores))
