"""Temperatures, spreads and the pool of two readings, against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from logicls.errors import BundleError
from logicls.predict.uncertainty.calibration import (
    MIN_PROBABILITY,
    Calibration,
    MeasurementNoise,
    read_calibration,
    temperature_scale,
    write_calibration,
)
from logicls.predict.uncertainty.hypotheses import scale_top_probability
from logicls.predict.uncertainty.ood import TrainingResolution


def test_a_temperature_divides_log_odds():
    """0.8 has odds of 4: at 2 they are 2, at a half 16; the half stays the half."""
    assert temperature_scale(0.8, 2.0) == pytest.approx(2 / 3)
    assert temperature_scale(0.8, 0.5) == pytest.approx(16 / 17)
    assert temperature_scale(0.5, 0.1) == pytest.approx(0.5)
    assert temperature_scale(0.123, 1.0) == 0.123


def test_a_temperature_divides_the_logits_of_several_values():
    """0.5, 0.25 and 0.25 at one half: squares, 4 to 1 to 1."""
    assert scale_top_probability(0.5, 3, 0.5) == pytest.approx(4 / 6)
    assert scale_top_probability(0.5, 3, 1.0) == pytest.approx(0.5)


@pytest.mark.parametrize(("margin", "expected"), [(0.0, 0.5), (0.5, 0.158655), (-1.0, 0.022750)])
def test_a_distance_is_read_on_the_wrong_side(margin, expected):
    """One standard deviation of 0.5 from the limit, on either side: the tail of the normal distribution."""
    assert MeasurementNoise(0.5).flip_probability(margin) == pytest.approx(expected, abs=1e-5)


def test_strays_lie_on_either_side():
    """Far from the limit half of them remain."""
    assert MeasurementNoise(0.1, 0.04).flip_probability(9.0) == pytest.approx(0.02)


def test_two_readings_are_pooled_by_their_weights():
    """Odds of 4 to the power 1.5, times odds of 1/9 to the power 0.5, times e to the offset."""
    scales = Calibration(derived_weight=1.5, stated_weight=0.5, offset=1.0)

    odds = 8 * (1 / 3) * math.e
    assert scales.pool(0.8, 0.1) == pytest.approx(odds / (1 + odds))


def test_without_a_stated_verdict_the_answers_count_alone():
    """And nothing is surer than was ever fitted."""
    assert Calibration(derived_weight=3.0).pool(0.8, None) == 0.8
    assert (Calibration().pool(0.0, None), Calibration().pool(1.0, None)) == (MIN_PROBABILITY, 1 - MIN_PROBABILITY)


def test_what_is_not_fitted_weighs_both_alike():
    """Opposite readings come to a half."""
    assert Calibration().pool(0.9, 0.1) == pytest.approx(0.5)


def test_they_come_back_as_they_were_written(tmp_path):
    """All fields; a folder without the file has those that change nothing."""
    scales = Calibration(
        0.5,
        2.0,
        1.2,
        0.3,
        -1.0,
        (("a", MeasurementNoise(0.2, 0.01)),),
        300,
        TrainingResolution("pin", 7.0, (64, 32), 1.5),
    )
    write_calibration(tmp_path, scales)

    assert read_calibration(tmp_path) == scales
    assert read_calibration(tmp_path / "nowhere") == Calibration()


@pytest.mark.parametrize("text", ["", "[1]", '{"located": "warm"}', '{"spreads": 3}'])
def test_a_damaged_file_is_said_to_be(tmp_path, text):
    """Not passed over: probabilities would be others."""
    (tmp_path / "calibration.json").write_text(text)

    with pytest.raises(BundleError, match="LC620"):
        read_calibration(tmp_path)
