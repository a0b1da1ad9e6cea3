"""Cutting, filling and pasting, on grounds so simple that the right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from logicls.records import Box
from logicls.synth.pixels import cut, filled, pasted, recoloured, ring_mean, whole

PLAIN = np.full((80, 100, 3), 120, np.uint8)
ACROSS = np.repeat(np.linspace(40, 200, 100).astype(np.uint8)[None, :, None], 80, 0).repeat(3, 2)
DOWN = np.repeat(np.linspace(40, 200, 80).astype(np.uint8)[:, None, None], 100, 1).repeat(3, 2)
BOX = Box(40, 30, 60, 50)


@pytest.mark.parametrize("ground", [PLAIN, ACROSS, DOWN], ids=["plain", "left to right", "top to bottom"])
def test_a_filled_box_looks_like_its_surroundings(ground: np.ndarray) -> None:
    """A thing on a plain or a graded ground leaves the ground behind, and the given photo is not written to."""
    photo = ground.copy()
    photo[30:50, 40:60] = (250, 0, 0)
    given = photo.copy()

    out = filled(photo, BOX, np.random.default_rng(0))

    assert np.abs(out.astype(int) - ground).max() <= 14
    assert np.array_equal(photo, given)


def test_filling_learns_from_the_ground_alone() -> None:
    """What lies beyond the thing underneath does not bleed in."""
    photo = np.zeros((80, 100, 3), np.uint8)
    photo[20:60, 30:70] = 200
    photo[30:50, 33:67] = (250, 0, 0)

    out = filled(photo, Box(33, 30, 67, 50), np.random.default_rng(0), Box(30, 20, 70, 60))

    assert np.abs(out[30:50, 36:64].astype(int) - 200).max() <= 14


def test_pasting_puts_the_patch_in_the_box() -> None:
    """The inside of the box is the patch, the outside is untouched, and so is the given photo."""
    given = PLAIN.copy()

    out = pasted(given, np.full((7, 9, 3), 240, np.uint8), BOX)

    assert (out[33:47, 43:57] == 240).all()
    outside = np.ones((80, 100), bool)
    outside[30:50, 40:60] = False
    assert np.array_equal(out[outside], PLAIN[outside])
    assert np.array_equal(given, PLAIN)


def test_pasting_over_the_edge_drops_what_is_outside() -> None:
    """A box that leaves the photo is cut off, one beyond it changes nothing."""
    patch = np.full((20, 20, 3), 240, np.uint8)

    assert (pasted(PLAIN, patch, Box(90, 70, 110, 90))[75:, 95:] == 240).all()
    assert np.array_equal(pasted(PLAIN, patch, Box(200, 70, 220, 90)), PLAIN)


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
    assert whole(box, PLAIN, pad) == edges


def test_a_cut_is_a_copy() -> None:
    """Writing to it does not write to the photo."""
    photo = PLAIN.copy()

    cut(photo, BOX)[:] = 0

    assert np.array_equal(photo, PLAIN)


def test_the_ring_is_what_surrounds_the_box() -> None:
    """The box's own pixels do not count."""
    photo = PLAIN.copy()
    photo[30:50, 40:60] = 255

    assert ring_mean(photo, BOX) == pytest.approx(120)


def test_recolouring_stays_in_the_region() -> None:
    """A red square becomes about as blue as the model; beyond a soft rim nothing changes."""
    photo = PLAIN.copy()
    photo[30:50, 40:60] = (200, 40, 40)
    region = np.zeros((80, 100), np.float32)
    region[30:50, 40:60] = 1

    out = recoloured(photo, region, np.tile(np.array([[40.0, 60.0, 200.0]]), (50, 1)))

    assert np.abs(out[35:45, 45:55].astype(int) - (40, 60, 200)).max() <= 6
    far = np.ones((80, 100), bool)
    far[25:55, 35:65] = False
    assert np.array_equal(out[far], PLAIN[far])
