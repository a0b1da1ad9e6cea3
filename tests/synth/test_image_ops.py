"""Image operations on plain photos, and the pools of random numbers."""

from __future__ import annotations

import numpy as np
import pytest

from logicls.records import Box
from logicls.synth.image_ops import (
    INTEGER_LIMIT,
    NOISE_UNIT,
    POOL_SIZE,
    crop,
    measure_surrounding_colour,
    paste,
    pixel_bounds,
    sample_integers,
    sample_noise,
    transfer_colour,
)

PLAIN = np.full((80, 100, 3), 120, np.uint8)
BOX = Box(40, 30, 60, 50)


def test_paste_fills_the_box() -> None:
    """The inside of the box is the patch; the outside and the given photo are unchanged."""
    photo = PLAIN.copy()

    out = paste(photo, np.full((7, 9, 3), 240, np.uint8), BOX)

    assert (out[33:47, 43:57] == 240).all()
    is_outside = np.ones((80, 100), bool)
    is_outside[30:50, 40:60] = False
    assert np.array_equal(out[is_outside], PLAIN[is_outside])
    assert np.array_equal(photo, PLAIN)


def test_paste_respects_the_mask() -> None:
    """Background pixels of the patch are not pasted, and the edge of the mask is soft."""
    mask = np.zeros((20, 20), np.float32)
    mask[5:15, 5:15] = 1

    out = paste(PLAIN, np.full((20, 20, 3), 240, np.uint8), BOX, mask=mask)

    assert (out[38:42, 48:52] == 240).all()
    assert (out[30:33, 40:60] == 120).all()


def test_paste_clips_at_the_photo_edge() -> None:
    """A box across the edge is cut off; one outside changes nothing."""
    patch = np.full((20, 20, 3), 240, np.uint8)

    assert (paste(PLAIN, patch, Box(90, 70, 110, 90))[75:, 95:] == 240).all()
    assert np.array_equal(paste(PLAIN, patch, Box(200, 70, 220, 90)), PLAIN)


@pytest.mark.parametrize(
    ("box", "pad", "bounds"),
    [
        (Box(1.4, 2.6, 9.5, 9.4), 0, (1, 3, 10, 9)),
        (Box(1, 1, 99, 79), 3, (0, 0, 100, 80)),
        (Box(5, 5, 5, 5), 0, (5, 5, 6, 6)),
        (Box(200, 200, 210, 210), 0, (99, 79, 100, 80)),
        (Box(-9, -9, -5, -5), 0, (0, 0, 1, 1)),
    ],
)
def test_pixel_bounds_lie_in_the_photo(box: Box, pad: int, bounds: tuple[int, int, int, int]) -> None:
    """At least one pixel, whatever the box."""
    assert pixel_bounds(box, PLAIN, pad) == bounds


def test_crop_copies_pixels() -> None:
    """Writing to the crop does not write to the photo."""
    photo = PLAIN.copy()

    crop(photo, BOX)[:] = 0

    assert np.array_equal(photo, PLAIN)


def test_surrounding_colour_excludes_the_box() -> None:
    """Pixels of the box do not count."""
    photo = PLAIN.copy()
    photo[30:50, 40:60] = 255

    assert measure_surrounding_colour(photo, BOX) == pytest.approx(120)


def test_colour_transfer_stays_in_the_region() -> None:
    """A red square becomes about as blue as the reference; beyond a soft rim nothing changes."""
    photo = PLAIN.copy()
    photo[30:50, 40:60] = (200, 40, 40)
    region = np.zeros((80, 100), np.float32)
    region[30:50, 40:60] = 1

    out = transfer_colour(photo, region, np.tile(np.array([[40.0, 60.0, 200.0]]), (50, 1)))

    assert np.abs(out[35:45, 45:55].astype(int) - (40, 60, 200)).max() <= 6
    is_far = np.ones((80, 100), bool)
    is_far[25:55, 35:65] = False
    assert np.array_equal(out[is_far], PLAIN[is_far])


@pytest.mark.parametrize("offset", [0.0, 0.3, 0.9999999])
def test_noise_is_normal(offset: float) -> None:
    """Mean 0, the stated standard deviation, uncorrelated pixels; from any offset, also across the end of the pool."""
    sample = sample_noise((200, 300, 3), offset).astype(float)

    correlation = np.corrcoef(sample[:, :-1].ravel(), sample[:, 1:].ravel())[0, 1]
    assert sample.mean() == pytest.approx(0, abs=0.3)
    assert sample.std() == pytest.approx(NOISE_UNIT, rel=0.02)
    assert np.mean(np.abs(sample) > 2 * NOISE_UNIT) == pytest.approx(0.045, abs=0.005)
    assert abs(correlation) < 0.01


def test_large_samples_wrap_around_the_pool() -> None:
    """A photo larger than the pool uses it twice."""
    sample = sample_noise((POOL_SIZE + 5,), 0.5)

    assert np.array_equal(sample[:5], sample[POOL_SIZE:])


def test_integers_are_uniform() -> None:
    """Every integer up to the limit, about equally often."""
    sample = sample_integers((1000, 1000), 0.2)

    counts = np.bincount(sample.ravel(), minlength=INTEGER_LIMIT)
    assert len(counts) == INTEGER_LIMIT
    assert 150 < counts.min() < counts.max() < 350
