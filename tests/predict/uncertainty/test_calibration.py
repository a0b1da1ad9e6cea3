"""Bins of probabilities, and the expected calibration error."""

from __future__ import annotations

import pytest

from logicls.predict.uncertainty.calibration import (
    ReliabilityBin,
    bin_probabilities,
    compute_reliability,
    expected_calibration_error,
)
from logicls.records import Verdict


def test_bins_tell_what_was_called_and_what_came():
    """Three cases near 0.9, of which two came true; one of 1.0 belongs to the last bin."""
    found = bin_probabilities([(0.95, True), (0.91, False), (1.0, True), (0.05, False)])

    first, last = found
    assert first == ReliabilityBin(0.0, 0.1, 1, 0.05, 0.0)
    assert last.to_json() == pytest.approx(
        {"low": 0.9, "high": 1.0, "count": 3, "mean_probability": 2.86 / 3, "observed_rate": 2 / 3}
    )


def test_the_error_is_the_mean_gap():
    """By hand: (1 x 0.05 + 3 x 0.28667) / 4."""
    found = bin_probabilities([(0.95, True), (0.91, False), (1.0, True), (0.05, False)])

    assert expected_calibration_error(found) == pytest.approx((0.05 + 3 * (2.86 / 3 - 2 / 3)) / 4, abs=1e-5)
    assert expected_calibration_error(()) is None


def test_every_violation_of_known_photos_is_a_case():
    """Photos that the truth does not name count nowhere."""
    verdicts = [
        Verdict("a.jpg", "fail", scores=(("gone", 0.85), ("bent", 0.15))),
        Verdict("b.jpg", "fail", scores=(("gone", 0.85),)),
    ]

    assert compute_reliability(verdicts, {"a.jpg": ("gone",)}) == (
        ReliabilityBin(0.1, 0.2, 1, 0.15, 0.0),
        ReliabilityBin(0.8, 0.9, 1, 0.85, 1.0),
    )
