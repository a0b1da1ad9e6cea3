"""What is fitted is found again where it is known: drawn lights, errors and verdicts of a made-up reader."""

from __future__ import annotations

import numpy as np
import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.predict.readers.detections import Detection
from logicls.predict.readers.nano import Prediction
from logicls.predict.uncertainty.calibration import log_odds, sigmoid
from logicls.records import Answer, Box
from logicls.train.calibration import CalibrationExample, estimate_noise, fit_calibration

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
