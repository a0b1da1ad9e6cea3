"""Emptied glass: what is behind it shows through, differently each time; an opaque vessel stays what it is."""

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


def emptied(grey: int, seed: int) -> Photo:
    """Its lower part, seen through."""
    return render_glass(photo(grey), VESSEL, ROWS, WALLS, np.random.default_rng(seed))


def test_the_background_shows_through() -> None:
    """Now more of it, now less; and where light falls it is brighter than both."""
    seen = [emptied(60, seed)[60:170, 46:94].astype(int) for seed in range(40)]

    darkest = np.array([one.min() for one in seen])
    assert (darkest <= BACKGROUND + 2).any()
    assert (darkest > BACKGROUND + 10).any()
    assert sum(one.max() > 120 for one in seen) > 20
    assert len({one.tobytes() for one in seen}) == len(seen)


def test_nothing_changes_beside_it() -> None:
    """Neither above the rows nor beside the vessel; the given photo is left alone."""
    before = photo(60)
    out = render_glass(before, VESSEL, ROWS, WALLS, np.random.default_rng(3))

    assert np.array_equal(out[:50], before[:50])
    assert np.array_equal(out[:, :40], before[:, :40])
    assert np.array_equal(out[:, 100:], before[:, 100:])
    assert np.array_equal(before, photo(60))


def test_an_opaque_vessel_is_not_seen_through() -> None:
    """It differs too much from what is behind it."""
    assert all(np.array_equal(emptied(200, seed), photo(200)) for seed in range(10))


def test_a_dent_in_a_wall_is_bridged() -> None:
    """What a label leaves of an outline is no place where the old look may stay."""
    lefts = np.full(130, 42.0)
    lefts[60:64] = 60.0
    whole, dented = (
        render_glass(photo(60), VESSEL, ROWS, (left, WALLS[1]), np.random.default_rng(5)) for left in (WALLS[0], lefts)
    )

    assert np.array_equal(whole, dented)


def test_the_same_chance_gives_the_same_pixels() -> None:
    """As everything that is made."""
    assert np.array_equal(emptied(60, 7), emptied(60, 7))
