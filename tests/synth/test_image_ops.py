"""Numbers that are drawn once look as if they were drawn each time."""

from __future__ import annotations

import numpy as np
import pytest

from logicls.synth.image_ops import INTEGER_LIMIT, POOL_SIZE, NOISE_UNIT, sample_noise, sample_integers


@pytest.mark.parametrize("place", [0.0, 0.3, 0.9999999])
def test_noise_is_normal(place: float) -> None:
    """Middle 0, the stated deviation, pixels that know nothing of one another; from any place on, over the end, too."""
    drawn = sample_noise((200, 300, 3), place).astype(float)

    beside = np.corrcoef(drawn[:, :-1].ravel(), drawn[:, 1:].ravel())[0, 1]
    assert drawn.mean() == pytest.approx(0, abs=0.3)
    assert drawn.std() == pytest.approx(NOISE_UNIT, rel=0.02)
    assert np.mean(np.abs(drawn) > 2 * NOISE_UNIT) == pytest.approx(0.045, abs=0.005)
    assert abs(beside) < 0.01


def test_more_than_there_is_begins_again() -> None:
    """A photo larger than all that was drawn gets it twice."""
    drawn = sample_noise((POOL_SIZE + 5,), 0.5)

    assert np.array_equal(drawn[:5], drawn[POOL_SIZE:])


def test_scattered_numbers_are_even() -> None:
    """Each from 0 up to the limit, about as often."""
    drawn = sample_integers((1000, 1000), 0.2)

    counts = np.bincount(drawn.ravel(), minlength=INTEGER_LIMIT)
    assert len(counts) == INTEGER_LIMIT
    assert 150 < counts.min() < counts.max() < 350
