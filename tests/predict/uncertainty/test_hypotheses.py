"""Candidate instances of detections and answers, and hypotheses by descending probability."""

from __future__ import annotations

from collections import Counter

import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.predict.readers.protocol import Detection, Prediction
from logicls.predict.uncertainty.calibration import Calibration
from logicls.predict.uncertainty.hypotheses import CandidateInstance, enumerate_hypotheses, list_candidates
from logicls.records import Answer, Box

SPEC = """logicls: 1
product: {name: box}
components:
  pin: {attributes: {colour: [red, blue, green]}}
constraints:
  - {id: red-pins, attribute: {of: pin.colour, is: red}}
  - {id: two-pins, quantity: {of: pin, exactly: 2}}
"""
ONE, TWO = Box(0, 0, 10, 10), Box(0, 50, 10, 60)


@pytest.fixture
def spec(tmp_path):
    """Load a spec of pins with colours."""
    (tmp_path / "box.yaml").write_text(SPEC)
    return load_spec(tmp_path / "box.yaml")


def test_detections_are_candidates(spec):
    """In reading order like the values; one below the threshold has a uniform distribution."""
    detections = (
        Detection(0.9, (0.0,) * 4, TWO),
        Detection(0.8, (0.0,) * 4, ONE),
        Detection(0.2, (0.0,) * 4, Box(50, 50, 60, 60)),
    )
    answers = (
        Answer("locate:pin", boxes=(ONE, TWO)),
        Answer("attribute:pin.colour", ("red", "blue"), probabilities=(0.7, 0.6)),
    )
    prediction = Prediction(answers, Answer("verdict"), (), None, (("locate:pin", detections),))

    candidates = list_candidates(spec, prediction, (100, 100), Calibration())["pin"]

    assert [(round(one.probability, 6), one.box) for one in candidates] == [
        (0.8, ONE),
        (0.9, TWO),
        (0.2, Box(50, 50, 60, 60)),
    ]
    colours = [dict(one.values)["colour"] for one in candidates]
    assert dict(colours[0]) == pytest.approx({"red": 0.7, "blue": 0.15, "green": 0.15})
    assert dict(colours[1]) == pytest.approx({"red": 0.2, "blue": 0.6, "green": 0.2})
    assert dict(colours[2]) == pytest.approx({"red": 1 / 3, "blue": 1 / 3, "green": 1 / 3})
    assert candidates[0].match_probability((("colour", frozenset({"red", "blue"})),)) == pytest.approx(0.85)


def test_temperatures_scale_candidates(spec):
    """Those of locations and of values."""
    answers = (Answer("locate:pin", boxes=(ONE,)), Answer("attribute:pin.colour", ("red",), probabilities=(0.5,)))
    prediction = Prediction(answers, Answer("verdict"), (), None, (("locate:pin", (Detection(0.8, (0.0,) * 4, ONE),)),))

    calibration = Calibration(locate_temperature=0.5, attribute_temperature=0.5)
    (candidate,) = list_candidates(spec, prediction, (100, 100), calibration)["pin"]

    assert candidate.probability == pytest.approx(16 / 17)
    assert dict(dict(candidate.values)["colour"])["red"] == pytest.approx(4 / 6)


def test_boxes_without_detections_share_the_confidence(spec):
    """Two boxes with a confidence of 0.81 in total have 0.9 each."""
    prediction = Prediction((Answer("locate:pin", boxes=(ONE, TWO), confidence=0.81),), Answer("verdict"), ())

    assert [
        one.probability for one in list_candidates(spec, prediction, (100, 100), Calibration())["pin"]
    ] == pytest.approx([0.9, 0.9])


def test_hypotheses_by_descending_probability():
    """Two pins of 0.9 and 0.6, one with two possible colours: 0.9 x 0.6 x 0.7, and so on; the sum is 1."""
    colours = (("red", 0.7), ("blue", 0.3))
    candidates = {
        "pin": (
            CandidateInstance(0.9, ONE, (("colour", colours),)),
            CandidateInstance(0.6, TWO, (("colour", (("red", 1.0),)),)),
        )
    }

    hypotheses = list(enumerate_hypotheses(candidates, ["locate:pin", "attribute:pin.colour"]))

    probabilities = [probability for probability, _ in hypotheses]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1.0)
    assert probabilities[:2] == pytest.approx([0.9 * 0.6 * 0.7, 0.9 * 0.4 * 0.7])
    assert hypotheses[0][1]["attribute:pin.colour"].values == ("red", "red")
    assert hypotheses[1][1]["locate:pin"].boxes == (ONE,)
    assert len(hypotheses) == 8


def test_candidates_at_one_place_exclude_one_another():
    """A long or a medium screw or none: three hypotheses, never both, whose probabilities add up to 1."""
    candidates = {
        "long": (CandidateInstance(0.6, ONE, place=0), CandidateInstance(0.9, TWO)),
        "medium": (CandidateInstance(0.3, ONE, place=0),),
    }

    hypotheses = list(enumerate_hypotheses(candidates, ["locate:long", "locate:medium"]))

    totals: Counter[tuple[int, ...]] = Counter()
    for probability, answers in hypotheses:
        totals[tuple(len(answers[f"locate:{name}"].boxes) for name in candidates)] += probability
    assert totals == pytest.approx({(2, 0): 0.54, (1, 1): 0.27, (1, 0): 0.15, (0, 1): 0.03, (0, 0): 0.01})


def test_a_rival_lowers_the_probability_of_a_candidate(tmp_path):
    """Scaled by the temperature first: odds of 81 and 16 at a temperature of 0.5."""
    components = SPEC.replace("  pin:", "  lid: {}\n  pin:")
    (tmp_path / "box.yaml").write_text(components + "  - {id: one-lid, quantity: {of: lid, exactly: 1}}\n")
    spec = load_spec(tmp_path / "box.yaml")
    pin = Detection(0.9, (0.0,) * 4, ONE, place=0, rivals=(0.8,))
    lid = Detection(0.8, (0.0,) * 4, ONE, place=0, rivals=(0.9,), is_suppressed=True)
    answers = Answer("locate:pin", boxes=(ONE,)), Answer("locate:lid")
    detections = ("locate:pin", (pin,)), ("locate:lid", (lid,))
    prediction = Prediction(answers, Answer("verdict"), (), None, detections)

    found = list_candidates(spec, prediction, (100, 100), Calibration(locate_temperature=0.5))

    assert found["pin"][0].probability == pytest.approx(81 / 98)
    assert found["lid"][0].probability == pytest.approx(16 / 98)
    assert found["pin"][0].place == found["lid"][0].place == 0
