"""Calibration and reliability, against values calculated by hand."""

from __future__ import annotations

import json
import math

import pytest

from logicls.errors import BundleError
from logicls.predict.uncertainty.calibration import (
    MIN_PROBABILITY,
    Calibration,
    MeasurementNoise,
    ReliabilityBin,
    bin_probabilities,
    compute_reliability,
    expected_calibration_error,
    read_calibration,
    temperature_scale,
    write_calibration,
)
from logicls.predict.uncertainty.hypotheses import scale_top_probability
from logicls.predict.uncertainty.ood import PhotoLimits, TrainingResolution
from logicls.records import Verdict


def test_temperature_divides_log_odds():
    """0.8 has odds of 4: 2 at temperature 2, 16 at one half; 0.5 is unchanged."""
    assert temperature_scale(0.8, 2.0) == pytest.approx(2 / 3)
    assert temperature_scale(0.8, 0.5) == pytest.approx(16 / 17)
    assert temperature_scale(0.5, 0.1) == pytest.approx(0.5)
    assert temperature_scale(0.123, 1.0) == 0.123


def test_temperature_of_several_options():
    """0.5, 0.25 and 0.25 at one half: squared, 4 to 1 to 1."""
    assert scale_top_probability(0.5, 3, 0.5) == pytest.approx(4 / 6)
    assert scale_top_probability(0.5, 3, 1.0) == pytest.approx(0.5)


@pytest.mark.parametrize(("margin", "expected"), [(0.0, 0.5), (0.5, 0.158655), (-1.0, 0.022750)])
def test_flip_probability_is_the_tail(margin, expected):
    """One standard deviation of 0.5 from the limit, on either side."""
    assert MeasurementNoise(0.5).flip_probability(margin) == pytest.approx(expected, abs=1e-5)


def test_half_of_the_outliers_flip():
    """Far from the limit."""
    assert MeasurementNoise(0.1, 0.04).flip_probability(9.0) == pytest.approx(0.02)


def test_pool_by_weights():
    """Odds of 4 to the power 1.5, times odds of 1/9 to the power 0.5, times e to the offset."""
    calibration = Calibration(derived_weight=1.5, stated_weight=0.5, offset=1.0)

    odds = 8 * (1 / 3) * math.e
    assert calibration.pool(0.8, 0.1) == pytest.approx(odds / (1 + odds))


def test_pool_without_stated_verdict():
    """The derived probability, clipped."""
    assert Calibration(derived_weight=3.0).pool(0.8, None) == 0.8
    assert (Calibration().pool(0.0, None), Calibration().pool(1.0, None)) == (MIN_PROBABILITY, 1 - MIN_PROBABILITY)


def test_default_weights_are_equal():
    """Opposite probabilities give one half."""
    assert Calibration().pool(0.9, 0.1) == pytest.approx(0.5)


def test_file_round_trip(tmp_path):
    """All fields; a folder without the file has the defaults."""
    calibration = Calibration(
        0.5,
        2.0,
        1.2,
        0.3,
        -1.0,
        (("a", MeasurementNoise(0.2, 0.01)),),
        300,
        TrainingResolution("pin", 7.0, (64, 32), 1.5),
        PhotoLimits(0.5, 0.75, 20.0, (64, 32)),
    )
    write_calibration(tmp_path, calibration)

    assert read_calibration(tmp_path) == calibration
    assert read_calibration(tmp_path / "nowhere") == Calibration()


@pytest.mark.parametrize("text", ["", "[1]", '{"located": "warm"}', '{"spreads": 3}'])
def test_damaged_file_is_an_error(tmp_path, text):
    """It is not ignored: probabilities would differ."""
    (tmp_path / "calibration.json").write_text(text)

    with pytest.raises(BundleError, match="LC620"):
        read_calibration(tmp_path)


def test_old_keys_are_read(tmp_path):
    """Files of older bundles have other keys."""
    old = {
        "located": 0.5, "likened": 2.0, "derived": 1.2, "stated": 0.3, "offset": -1.0,
        "spreads": {"a": {"sd": 0.2, "stray": 0.01}}, "examples": 300,
        "pixels": {"component": "pin", "across": 7.0, "size": [64, 32], "scale": 1.5},
    }  # fmt: skip
    (tmp_path / "calibration.json").write_text(json.dumps(old))

    noise = (("a", MeasurementNoise(0.2, 0.01)),)
    resolution = TrainingResolution("pin", 7.0, (64, 32), 1.5)
    assert read_calibration(tmp_path) == Calibration(0.5, 2.0, 1.2, 0.3, -1.0, noise, 300, resolution)


def test_old_reliability_bins_are_read():
    """Rows of metrics.json of older versions have other keys."""
    row = {"low": 0.0, "high": 0.1, "count": 4, "said": 0.05, "true": 0.25}

    assert ReliabilityBin.from_json(row) == ReliabilityBin(0.0, 0.1, 4, 0.05, 0.25)


def test_bins_of_probabilities():
    """Three predictions near 0.9, two of them true; 1.0 belongs to the last bin."""
    bins = bin_probabilities([(0.95, True), (0.91, False), (1.0, True), (0.05, False)])

    first, last = bins
    assert first == ReliabilityBin(0.0, 0.1, 1, 0.05, 0.0)
    assert last.to_json() == pytest.approx(
        {"low": 0.9, "high": 1.0, "count": 3, "mean_probability": 2.86 / 3, "observed_rate": 2 / 3}
    )


def test_expected_calibration_error():
    """(1 x 0.05 + 3 x 0.28667) / 4."""
    bins = bin_probabilities([(0.95, True), (0.91, False), (1.0, True), (0.05, False)])

    assert expected_calibration_error(bins) == pytest.approx((0.05 + 3 * (2.86 / 3 - 2 / 3)) / 4, abs=1e-5)
    assert expected_calibration_error(()) is None


def test_reliability_of_labelled_photos():
    """Every violation of the photos in the truth is a prediction; other photos are ignored."""
    verdicts = [
        Verdict("a.jpg", "fail", scores=(("gone", 0.85), ("bent", 0.15))),
        Verdict("b.jpg", "fail", scores=(("gone", 0.85),)),
    ]

    assert compute_reliability(verdicts, {"a.jpg": ("gone",)}) == (
        ReliabilityBin(0.1, 0.2, 1, 0.15, 0.0),
        ReliabilityBin(0.8, 0.9, 1, 0.85, 1.0),
    )
