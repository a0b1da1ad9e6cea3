"""Emptied glass shows the background, differently each time; an opaque vessel stays opaque."""

from __future__ import annotations

import numpy as np

from logicls.records import Box
from logicls.synth.image_ops import Photo
from logicls.synth.liquids import render_glass

BACKGROUND, VESSEL, ROWS = 20, Box(40, 10, 100, 190), (50, 180)
WALLS = np.full(130, 42.0), np.full(130, 98.0)


def photo(grey: int) -> Photo:
    """A vessel of that grey level before a darker background."""
    out = np.full((200, 140, 3), BACKGROUND, np.uint8)
    out[10:190, 42:98] = grey
    return out


def render_empty(grey: int, seed: int) -> Photo:
    """The vessel with its lower part rendered as glass."""
    return render_glass(photo(grey), VESSEL, ROWS, WALLS, np.random.default_rng(seed))


def test_the_background_shows_through() -> None:
    """More or less of it is visible, and highlights are brighter than both."""
    rendered = [render_empty(60, seed)[60:170, 46:94].astype(int) for seed in range(40)]

    darkest = np.array([photo_.min() for photo_ in rendered])
    assert (darkest <= BACKGROUND + 2).any()
    assert (darkest > BACKGROUND + 10).any()
    assert sum(photo_.max() > 120 for photo_ in rendered) > 20
    assert len({photo_.tobytes() for photo_ in rendered}) == len(rendered)


def test_other_pixels_do_not_change() -> None:
    """Neither above the rows nor beside the vessel; the given photo is not modified."""
    before = photo(60)
    out = render_glass(before, VESSEL, ROWS, WALLS, np.random.default_rng(3))

    assert np.array_equal(out[:50], before[:50])
    assert np.array_equal(out[:, :40], before[:, :40])
    assert np.array_equal(out[:, 100:], before[:, 100:])
    assert np.array_equal(before, photo(60))


def test_an_opaque_vessel_stays_opaque() -> None:
    """It differs too much from the background."""
    assert all(np.array_equal(render_empty(200, seed), photo(200)) for seed in range(10))


def test_dents_in_a_wall_are_closed() -> None:
    """A dent that a label leaves in a silhouette does not keep the old pixels."""
    lefts = np.full(130, 42.0)
    lefts[60:64] = 60.0
    straight, dented = (
        render_glass(photo(60), VESSEL, ROWS, (left, WALLS[1]), np.random.default_rng(5)) for left in (WALLS[0], lefts)
    )

    assert np.array_equal(straight, dented)


def test_rendering_is_reproducible() -> None:
    """The same seed gives the same pixels."""
    assert np.array_equal(render_empty(60, 7), render_empty(60, 7))
