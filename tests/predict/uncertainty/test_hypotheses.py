"""What else a photo may show: candidates out of lights and answers, and the likeliest readings first."""

from __future__ import annotations

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
    """Pins have colours."""
    (tmp_path / "box.yaml").write_text(SPEC)
    return load_spec(tmp_path / "box.yaml")


def test_lights_are_candidates(spec):
    """In reading order as the values are; a faint one may be anything."""
    lights = (
        Detection(0.9, (0.0,) * 4, TWO),
        Detection(0.8, (0.0,) * 4, ONE),
        Detection(0.2, (0.0,) * 4, Box(50, 50, 60, 60)),
    )
    answers = (
        Answer("locate:pin", boxes=(ONE, TWO)),
        Answer("attribute:pin.colour", ("red", "blue"), probabilities=(0.7, 0.6)),
    )
    look = Prediction(answers, Answer("verdict"), (), None, (("locate:pin", lights),))

    found = list_candidates(spec, look, (100, 100), Calibration())["pin"]

    assert [(round(one.probability, 6), one.box) for one in found] == [
        (0.8, ONE),
        (0.9, TWO),
        (0.2, Box(50, 50, 60, 60)),
    ]
    colours = [dict(one.values)["colour"] for one in found]
    assert dict(colours[0]) == pytest.approx({"red": 0.7, "blue": 0.15, "green": 0.15})
    assert dict(colours[1]) == pytest.approx({"red": 0.2, "blue": 0.6, "green": 0.2})
    assert dict(colours[2]) == pytest.approx({"red": 1 / 3, "blue": 1 / 3, "green": 1 / 3})
    assert found[0].match_probability((("colour", frozenset({"red", "blue"})),)) == pytest.approx(0.85)


def test_temperatures_change_them(spec):
    """Those of places and of values."""
    answers = (Answer("locate:pin", boxes=(ONE,)), Answer("attribute:pin.colour", ("red",), probabilities=(0.5,)))
    look = Prediction(answers, Answer("verdict"), (), None, (("locate:pin", (Detection(0.8, (0.0,) * 4, ONE),)),))

    found = list_candidates(spec, look, (100, 100), Calibration(locate_temperature=0.5, attribute_temperature=0.5))[
        "pin"
    ][0]

    assert found.probability == pytest.approx(16 / 17)
    assert dict(dict(found.values)["colour"])["red"] == pytest.approx(4 / 6)


def test_without_lights_the_boxes_share_the_answers_confidence(spec):
    """As of models that say their boxes: two boxes of 0.81 in all are 0.9 each."""
    look = Prediction((Answer("locate:pin", boxes=(ONE, TWO), confidence=0.81),), Answer("verdict"), ())

    assert [one.probability for one in list_candidates(spec, look, (100, 100), Calibration())["pin"]] == pytest.approx(
        [0.9, 0.9]
    )


def test_the_likeliest_reading_comes_first():
    """Two pins of 0.9 and 0.6, one colour unsure: 0.9 x 0.6 x 0.7, and so on downwards; all of them are 1."""
    colours = (("red", 0.7), ("blue", 0.3))
    found = {
        "pin": (
            CandidateInstance(0.9, ONE, (("colour", colours),)),
            CandidateInstance(0.6, TWO, (("colour", (("red", 1.0),)),)),
        )
    }

    told = list(enumerate_hypotheses(found, ["locate:pin", "attribute:pin.colour"]))

    chances = [chance for chance, _ in told]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) == pytest.approx(1.0)
    assert chances[:2] == pytest.approx([0.9 * 0.6 * 0.7, 0.9 * 0.4 * 0.7])
    assert told[0][1]["attribute:pin.colour"].values == ("red", "red")
    assert told[1][1]["locate:pin"].boxes == (ONE,)
    assert len(told) == 8
