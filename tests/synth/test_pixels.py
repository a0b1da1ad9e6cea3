"""Cutting, filling and pasting, on grounds so simple that the right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from logicls.records import Box
from logicls.synth.image_ops import crop, paste, transfer_colour, surrounding_colour, pixel_bounds

PLAIN = np.full((80, 100, 3), 120, np.uint8)
BOX = Box(40, 30, 60, 50)


def test_pasting_puts_the_patch_in_the_box() -> None:
    """The inside of the box is the patch, the outside is untouched, and so is the given photo."""
    given = PLAIN.copy()

    out = paste(given, np.full((7, 9, 3), 240, np.uint8), BOX)

    assert (out[33:47, 43:57] == 240).all()
    outside = np.ones((80, 100), bool)
    outside[30:50, 40:60] = False
    assert np.array_equal(out[outside], PLAIN[outside])
    assert np.array_equal(given, PLAIN)


def test_only_what_the_mask_shows_is_pasted() -> None:
    """Pixels that are not the thing stay behind, and its outline is soft."""
    mask = np.zeros((20, 20), np.float32)
    mask[5:15, 5:15] = 1

    out = paste(PLAIN, np.full((20, 20, 3), 240, np.uint8), BOX, mask=mask)

    assert (out[38:42, 48:52] == 240).all()
    assert (out[30:33, 40:60] == 120).all()


def test_pasting_over_the_edge_drops_what_is_outside() -> None:
    """A box that leaves the photo is cut off, one beyond it changes nothing."""
    patch = np.full((20, 20, 3), 240, np.uint8)

    assert (paste(PLAIN, patch, Box(90, 70, 110, 90))[75:, 95:] == 240).all()
    assert np.array_equal(paste(PLAIN, patch, Box(200, 70, 220, 90)), PLAIN)


@pytest.mark.parametrize(
    ("box", "pad", "edges"),
    [
        (Box(1.4, 2.6, 9.5, 9.4), 0, (1, 3, 10, 9)),
        (Box(1, 1, 99, 79), 3, (0, 0, 100, 80)),
        (Box(5, 5, 5, 5), 0, (5, 5, 6, 6)),
        (Box(200, 200, 210, 210), 0, (99, 79, 100, 80)),
        (Box(-9, -9, -5, -5), 0, (0, 0, 1, 1)),
    ],
)
def test_whole_pixels_lie_in_the_photo(box: Box, pad: int, edges: tuple[int, int, int, int]) -> None:
    """At least one pixel, whatever the box."""
    assert pixel_bounds(box, PLAIN, pad) == edges


def test_a_cut_is_a_copy() -> None:
    """Writing to it does not write to the photo."""
    photo = PLAIN.copy()

    crop(photo, BOX)[:] = 0

    assert np.array_equal(photo, PLAIN)


def test_the_ring_is_what_surrounds_the_box() -> None:
    """The box's own pixels do not count."""
    photo = PLAIN.copy()
    photo[30:50, 40:60] = 255

    assert surrounding_colour(photo, BOX) == pytest.approx(120)


def test_recolouring_stays_in_the_region() -> None:
    """A red square becomes about as blue as the model; beyond a soft rim nothing changes."""
    photo = PLAIN.copy()
    photo[30:50, 40:60] = (200, 40, 40)
    region = np.zeros((80, 100), np.float32)
    region[30:50, 40:60] = 1

    out = transfer_colour(photo, region, np.tile(np.array([[40.0, 60.0, 200.0]]), (50, 1)))

    assert np.abs(out[35:45, 45:55].astype(int) - (40, 60, 200)).max() <= 6
    far = np.ones((80, 100), bool)
    far[25:55, 35:65] = False
    assert np.array_equal(out[far], PLAIN[far])
