"""Probabilities of broken rules, against sums by hand, for each way to compute them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.predict.readers.protocol import Detection, Prediction
from logicls.predict.uncertainty.calibration import Calibration, MeasurementNoise
from logicls.predict.uncertainty.rule_probability import compute_rule_probabilities, sum_distribution
from logicls.records import Answer, Box

HEAD = """logicls: 1
product: {name: box}
components:
  pin: {attributes: {colour: [red, blue]}}
  lid: {attributes: {shape: [round, square]}}
regions: {left: {box: [0, 0, 0.5, 1]}}
constraints:
"""
TWO = """  - id: two-pins
    quantity: {of: pin, exactly: 2}
    violation: {below: missing_pin, above: {1: one_more, 2: many}}
"""
LID = Box(40, 40, 60, 60)


@pytest.fixture
def compute(tmp_path):
    """Return a function that computes constraint → violation → probability for pins and a lid."""

    def probabilities(
        rules: str, pins: list[tuple[float, Box, str, float]], lid: float = 1.0, calibration: Calibration | None = None
    ):
        (tmp_path / "box.yaml").write_text(HEAD + rules)
        spec = load_spec(tmp_path / "box.yaml")
        detections = {
            "locate:pin": tuple(Detection(p, (0.0,) * 4, box) for p, box, _, _ in pins),
            "locate:lid": (Detection(lid, (0.0,) * 4, LID),),
        }
        detected = [pin for pin in pins if pin[0] >= 0.5]
        answers = (
            Answer("locate:pin", boxes=tuple(box for _, box, _, _ in detected)),
            Answer(
                "attribute:pin.colour", tuple(c for *_, c, _ in detected), probabilities=tuple(s for *_, s in detected)
            ),
            Answer("locate:lid", boxes=(LID,) if lid >= 0.5 else ()),
            Answer("attribute:lid.shape", ("round",) if lid >= 0.5 else (), probabilities=(0.9,) if lid >= 0.5 else ()),
        )
        prediction = Prediction(answers, Answer("verdict"), (), None, tuple(detections.items()))
        return {
            name: rule.violations
            for name, rule in compute_rule_probabilities(
                spec, prediction, (100, 100), calibration or Calibration()
            ).items()
        }

    return probabilities


def pin(
    probability: float, x: float = 10.0, colour: str = "red", confidence: float = 1.0
) -> tuple[float, Box, str, float]:
    """Return a pin 4 pixels wide with its centre at x, and the confidence of its colour."""
    return probability, Box(x - 2, 8.0, x + 2, 12.0), colour, confidence


def test_quantity_rule(compute):
    """Probabilities 0.9, 0.8, 0.3 and 0.1: by hand from the distribution of the total."""
    found = compute(TWO, [pin(0.9), pin(0.8, 20), pin(0.3, 30), pin(0.1, 40)])["two-pins"]

    none, one, two, three = 0.014, 0.188, 0.582, 0.216  # of the first three
    assert found == pytest.approx(
        {
            "missing_pin": 0.9 * (none + one) + 0.1 * none,
            "one_more": 0.9 * three + 0.1 * two,
            "many": 0.1 * three,
        }
    )


def test_quantity_in_a_region_near_its_edge(compute):
    """A pin on the edge of the left half is inside with probability 0.5."""
    rule = "  - {id: left-pin, quantity: {of: pin, at_least: 1, in: left}, violation: missing}\n"

    assert compute(rule, [pin(0.8, 50)])["left-pin"]["missing"] == pytest.approx(1 - 0.8 * 0.5)
    assert compute(rule, [pin(0.8, 20)])["left-pin"]["missing"] == pytest.approx(0.2)
    assert compute(rule, [pin(0.8, 80)])["left-pin"]["missing"] == pytest.approx(1.0)


def test_quantity_of_an_attribute(compute):
    """One red pin is required: it is present with 0.9 and red with 0.7."""
    rule = "  - {id: red, quantity: {of: pin, with: {colour: red}, at_least: 1}, violation: missing}\n"

    assert compute(rule, [pin(0.9, confidence=0.7)])["red"]["missing"] == pytest.approx(1 - 0.63)


def test_attribute_rule(compute):
    """Two pins, red with 0.9 and 0.8; the second is present with 0.9. An absent one breaks nothing."""
    rule = "  - {id: red, attribute: {of: pin.colour, is: red}, violation: not_red}\n"

    found = compute(rule, [pin(1.0, confidence=0.9), pin(0.9, 20, confidence=0.8)])["red"]["not_red"]

    assert found == pytest.approx(1 - 0.9 * (0.1 + 0.9 * 0.8), abs=2e-3)


def test_match_rule(compute):
    """Round with 0.9, red with 0.8; both wrong match again: 0.9 x 0.2 + 0.1 x 0.8."""
    rule = "  - {id: goes, match: {left: lid.shape, right: pin.colour, pairs: {round: red, square: blue}}}\n"

    assert compute(rule, [pin(1.0, confidence=0.8)])["goes"]["goes"] == pytest.approx(0.26, abs=2e-3)


def test_measure_near_its_limit(compute):
    """The lid is 20 % wide. 0.008 from the limit is one dead zone: two standard deviations of 0.5."""
    rule = "  - {id: wide, measure: {width: lid, between: [0.1, LIMIT]}, violation: {below: narrow, above: wide}}\n"

    near = compute(rule.replace("LIMIT", "0.208"), [])["wide"]
    far = compute(rule.replace("LIMIT", "0.3"), [])["wide"]
    beyond = compute(rule.replace("LIMIT", "0.192"), [])["wide"]

    assert near == pytest.approx({"narrow": 0.0, "wide": 0.02275}, abs=1e-4)
    assert far["wide"] < 1e-6
    assert beyond["wide"] == pytest.approx(0.97725, abs=1e-4)


def test_fitted_measurement_noise(compute):
    """With twice the standard deviation the limit is one standard deviation away."""
    rule = "  - {id: wide, measure: {width: lid, at_most: 0.208}}\n"

    found = compute(rule, [], calibration=Calibration(noise=(("wide", MeasurementNoise(1.0)),)))

    assert found["wide"]["wide"] == pytest.approx(0.15866, abs=1e-4)


def test_exception_of_a_rule(compute):
    """Both pins are certainly blue: the probability is that of two pins."""
    rule = TWO + "  - {id: red, attribute: {of: pin.colour, is: red}, violation: blue, unless_broken: [two-pins]}\n"

    found = compute(rule, [pin(1.0, colour="blue"), pin(0.7, 20, colour="blue")])

    assert found["red"]["blue"] == pytest.approx(0.7, abs=2e-3)


def test_suppressed_exception_suppresses_nothing(compute):
    """Two pins hold with 0.7. The round lid is wrong unless they do not, and its exception does not count then."""
    rules = (
        TWO
        + "  - {id: square, attribute: {of: lid.shape, is: square}, violation: round, unless_broken: [two-pins]}\n"
        + "  - {id: red, attribute: {of: pin.colour, is: red}, violation: blue, unless_broken: [square]}\n"
    )

    found = compute(rules, [pin(1.0, colour="blue"), pin(0.7, 20, colour="blue")])

    assert found["square"]["round"] == pytest.approx(0.9 * 0.7, abs=2e-3)
    assert found["red"]["blue"] == pytest.approx(1 - 0.9 * 0.7, abs=3e-3)


def test_unreadable_answer_is_unknown(tmp_path):
    """The pool then has one half."""
    (tmp_path / "box.yaml").write_text(HEAD + TWO)
    spec = load_spec(tmp_path / "box.yaml")
    prediction = Prediction((Answer("locate:pin", readable=False),), Answer("verdict"), ())

    rule = compute_rule_probabilities(spec, prediction, (100, 100), Calibration())["two-pins"]

    assert (rule.unknown, rule.probability) == (1.0, 0.0)


def enumerate_totals(instances: list[dict[int, float]]) -> dict[int, float]:
    """Return total → probability by enumeration."""
    totals: dict[int, float] = {}
    options = [[*one.items(), (0, 1 - sum(one.values()))] for one in instances]
    for choice in product(*options):
        total = sum(amount for amount, _ in choice)
        totals[total] = totals.get(total, 0.0) + float(np.prod([p for _, p in choice]))
    return totals


@pytest.mark.parametrize(
    "instances",
    [
        [],
        [{1: 0.9}, {1: 0.8}, {1: 0.3}],
        [{1: 0.2, 3: 0.5}, {2: 1.0}, {6: 0.4}],
    ],
)
def test_sum_distribution(instances):
    """Instances that count for one, for several, and for either."""
    distribution = sum_distribution(instances)

    expected = enumerate_totals(instances)
    assert distribution.tolist() == pytest.approx([expected.get(total, 0.0) for total in range(len(distribution))])
    assert distribution.sum() == pytest.approx(1.0)


def test_sum_distribution_by_hand():
    """0.9, 0.8 and 0.3: none with 0.014, all with 0.216."""
    assert sum_distribution([{1: 0.9}, {1: 0.8}, {1: 0.3}]).round(3).tolist() == [0.014, 0.188, 0.582, 0.216]


def test_a_count_of_things_that_exclude_one_another(tmp_path):
    """One place that is a pin with 9/14 or a lid with 4/14: their total is 1 with 13/14, and never 2."""
    rule = "  - {id: one, quantity: {of: [pin, lid], exactly: 1}, violation: {below: none, above: two}}\n"
    (tmp_path / "box.yaml").write_text(HEAD + rule)
    pin = Detection(0.9, (0.0,) * 4, LID, place=0, rivals=(0.8,))
    lid = Detection(0.8, (0.0,) * 4, LID, place=0, rivals=(0.9,), is_suppressed=True)
    answers = Answer("locate:pin", boxes=(LID,)), Answer("locate:lid")
    detections = ("locate:pin", (pin,)), ("locate:lid", (lid,))
    prediction = Prediction(answers, Answer("verdict"), (), None, detections)

    found = compute_rule_probabilities(load_spec(tmp_path / "box.yaml"), prediction, (100, 100), Calibration())

    assert found["one"].violations == pytest.approx({"none": 1 / 14, "two": 0.0})
