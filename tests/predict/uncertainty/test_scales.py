"""Temperatures, spreads and the pool of two readings, against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from logicls.errors import BundleError
from logicls.predict.uncertainty.calibration import SURE, Scales, Spread, read_scales, tempered, write_scales
from logicls.predict.uncertainty.hypotheses import best_of
from logicls.predict.uncertainty.ood import Pixels


def test_a_temperature_divides_log_odds():
    """0.8 has odds of 4: at 2 they are 2, at a half 16; the half stays the half."""
    assert tempered(0.8, 2.0) == pytest.approx(2 / 3)
    assert tempered(0.8, 0.5) == pytest.approx(16 / 17)
    assert tempered(0.5, 0.1) == pytest.approx(0.5)
    assert tempered(0.123, 1.0) == 0.123


def test_a_temperature_divides_the_logits_of_several_values():
    """0.5, 0.25 and 0.25 at one half: squares, 4 to 1 to 1."""
    assert best_of(0.5, 3, 0.5) == pytest.approx(4 / 6)
    assert best_of(0.5, 3, 1.0) == pytest.approx(0.5)


@pytest.mark.parametrize(("margin", "expected"), [(0.0, 0.5), (0.5, 0.158655), (-1.0, 0.022750)])
def test_a_distance_is_read_on_the_wrong_side(margin, expected):
    """One standard deviation of 0.5 from the limit, on either side: the tail of the normal distribution."""
    assert Spread(0.5).flipped(margin) == pytest.approx(expected, abs=1e-5)


def test_strays_lie_on_either_side():
    """Far from the limit half of them remain."""
    assert Spread(0.1, 0.04).flipped(9.0) == pytest.approx(0.02)


def test_two_readings_are_pooled_by_their_weights():
    """Odds of 4 to the power 1.5, times odds of 1/9 to the power 0.5, times e to the offset."""
    scales = Scales(derived=1.5, stated=0.5, offset=1.0)

    odds = 8 * (1 / 3) * math.e
    assert scales.pooled(0.8, 0.1) == pytest.approx(odds / (1 + odds))


def test_without_a_stated_verdict_the_answers_count_alone():
    """And nothing is surer than was ever fitted."""
    assert Scales(derived=3.0).pooled(0.8, None) == 0.8
    assert (Scales().pooled(0.0, None), Scales().pooled(1.0, None)) == (SURE, 1 - SURE)


def test_what_is_not_fitted_weighs_both_alike():
    """Opposite readings come to a half."""
    assert Scales().pooled(0.9, 0.1) == pytest.approx(0.5)


def test_they_come_back_as_they_were_written(tmp_path):
    """All fields; a folder without the file has those that change nothing."""
    scales = Scales(0.5, 2.0, 1.2, 0.3, -1.0, (("a", Spread(0.2, 0.01)),), 300, Pixels("pin", 7.0, (64, 32), 1.5))
    write_scales(tmp_path, scales)

    assert read_scales(tmp_path) == scales
    assert read_scales(tmp_path / "nowhere") == Scales()


@pytest.mark.parametrize("text", ["", "[1]", '{"located": "warm"}', '{"spreads": 3}'])
def test_a_damaged_file_is_said_to_be(tmp_path, text):
    """Not passed over: probabilities would be others."""
    (tmp_path / "calibration.json").write_text(text)

    with pytest.raises(BundleError, match="LC620"):
        read_scales(tmp_path)
