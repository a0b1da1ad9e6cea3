"""The probability that a rule is broken, against sums by hand; one rule of each kind of reckoning."""

from __future__ import annotations

import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.predict.readers.protocol import Detection, Prediction
from logicls.predict.uncertainty.calibration import Calibration, MeasurementNoise
from logicls.predict.uncertainty.rule_probability import compute_rule_probabilities
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
def chances(tmp_path):
    """Violation → probability for rules, of a look at pins of such chances and colours, and a lid."""

    def of(rules: str, pins: list[tuple[float, Box, str, float]], lid: float = 1.0, scales: Calibration | None = None):
        (tmp_path / "box.yaml").write_text(HEAD + rules)
        spec = load_spec(tmp_path / "box.yaml")
        lights = {
            "locate:pin": tuple(Detection(p, (0.0,) * 4, box) for p, box, _, _ in pins),
            "locate:lid": (Detection(lid, (0.0,) * 4, LID),),
        }
        counted = [pin for pin in pins if pin[0] >= 0.5]
        answers = (
            Answer("locate:pin", boxes=tuple(box for _, box, _, _ in counted)),
            Answer(
                "attribute:pin.colour", tuple(c for *_, c, _ in counted), probabilities=tuple(s for *_, s in counted)
            ),
            Answer("locate:lid", boxes=(LID,) if lid >= 0.5 else ()),
            Answer("attribute:lid.shape", ("round",) if lid >= 0.5 else (), probabilities=(0.9,) if lid >= 0.5 else ()),
        )
        look = Prediction(answers, Answer("verdict"), (), None, tuple(lights.items()))
        return {
            name: came.violations
            for name, came in compute_rule_probabilities(spec, look, (100, 100), scales or Calibration()).items()
        }

    return of


def pin(chance: float, x: float = 10.0, colour: str = "red", sure: float = 1.0) -> tuple[float, Box, str, float]:
    """A pin 4 pixels wide, its centre at x, 2 pixels further down than the last one would be."""
    return chance, Box(x - 2, 8.0, x + 2, 12.0), colour, sure


def test_a_count_is_broken_by_every_wrong_total(chances):
    """Chances of 0.9, 0.8, 0.3 and 0.1: by hand from the totals' distribution."""
    found = chances(TWO, [pin(0.9), pin(0.8, 20), pin(0.3, 30), pin(0.1, 40)])["two-pins"]

    none, one, two, three = 0.014, 0.188, 0.582, 0.216  # of the first three
    assert found == pytest.approx(
        {
            "missing_pin": 0.9 * (none + one) + 0.1 * none,
            "one_more": 0.9 * three + 0.1 * two,
            "many": 0.1 * three,
        }
    )


def test_a_count_in_a_place_knows_the_edge(chances):
    """A pin on the edge of the left half is there or not; spread 0 would make it sure."""
    rule = "  - {id: left-pin, quantity: {of: pin, at_least: 1, in: left}, violation: missing}\n"

    assert chances(rule, [pin(0.8, 50)])["left-pin"]["missing"] == pytest.approx(1 - 0.8 * 0.5)
    assert chances(rule, [pin(0.8, 20)])["left-pin"]["missing"] == pytest.approx(0.2)
    assert chances(rule, [pin(0.8, 80)])["left-pin"]["missing"] == pytest.approx(1.0)


def test_a_count_of_a_kind_weighs_what_each_is_like(chances):
    """One red pin is wanted: it is there with 0.9 and red with 0.7."""
    rule = "  - {id: red, quantity: {of: pin, with: {colour: red}, at_least: 1}, violation: missing}\n"

    assert chances(rule, [pin(0.9, sure=0.7)])["red"]["missing"] == pytest.approx(1 - 0.63)


def test_an_attribute_is_wrong_where_any_may_be(chances):
    """Two pins, red with 0.9 and 0.8; the second one is there with 0.9 only. What may be absent breaks nothing."""
    rule = "  - {id: red, attribute: {of: pin.colour, is: red}, violation: not_red}\n"

    found = chances(rule, [pin(1.0, sure=0.9), pin(0.9, 20, sure=0.8)])["red"]["not_red"]

    assert found == pytest.approx(1 - 0.9 * (0.1 + 0.9 * 0.8), abs=2e-3)


def test_a_match_is_broken_by_either_reading(chances):
    """Round with 0.9, red with 0.8; both wrong agree again: 0.9 x 0.2 + 0.1 x 0.8."""
    rule = "  - {id: goes, match: {left: lid.shape, right: pin.colour, pairs: {round: red, square: blue}}}\n"

    assert chances(rule, [pin(1.0, sure=0.8)])["goes"]["goes"] == pytest.approx(0.26, abs=2e-3)


def test_a_measure_near_its_limit_may_be_beyond_it(chances):
    """The lid is 20 % wide. 0.008 from the limit is one dead zone: two standard deviations of 0.5."""
    rule = "  - {id: wide, measure: {width: lid, between: [0.1, LIMIT]}, violation: {below: narrow, above: wide}}\n"

    near = chances(rule.replace("LIMIT", "0.208"), [])["wide"]
    far = chances(rule.replace("LIMIT", "0.3"), [])["wide"]
    past = chances(rule.replace("LIMIT", "0.192"), [])["wide"]

    assert near == pytest.approx({"narrow": 0.0, "wide": 0.02275}, abs=1e-4)
    assert far["wide"] < 1e-6
    assert past["wide"] == pytest.approx(0.97725, abs=1e-4)


def test_a_fitted_spread_counts(chances):
    """Twice as wide: one standard deviation."""
    rule = "  - {id: wide, measure: {width: lid, at_most: 0.208}}\n"

    found = chances(rule, [], scales=Calibration(noise=(("wide", MeasurementNoise(1.0)),)))

    assert found["wide"]["wide"] == pytest.approx(0.15866, abs=1e-4)


def test_a_rule_that_another_says_it_all_for_is_broken_only_without_it(chances):
    """Both pins are certain to be blue: then it hangs on there being two."""
    rule = TWO + "  - {id: red, attribute: {of: pin.colour, is: red}, violation: blue, unless_broken: [two-pins]}\n"

    found = chances(rule, [pin(1.0, colour="blue"), pin(0.7, 20, colour="blue")])

    assert found["red"]["blue"] == pytest.approx(0.7, abs=2e-3)


def test_an_answer_that_cannot_be_read_is_unknown(tmp_path):
    """Half is then what the pool is given."""
    (tmp_path / "box.yaml").write_text(HEAD + TWO)
    spec = load_spec(tmp_path / "box.yaml")
    look = Prediction((Answer("locate:pin", readable=False),), Answer("verdict"), ())

    came = compute_rule_probabilities(spec, look, (100, 100), Calibration())["two-pins"]

    assert (came.unknown, came.probability) == (1.0, 0.0)
