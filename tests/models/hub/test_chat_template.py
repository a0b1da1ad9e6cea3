"""A processor is shown all of a photo, and boxes find their way there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logicls.models.hub.chat_template import PhotoPlacement, pad_photo, place_photo
from logicls.records import Answer, Box

SIDE = st.integers(1, 300)
SHARE = st.floats(0, 1)


@given(width=SIDE, height=SIDE, shares=st.tuples(SHARE, SHARE, SHARE, SHARE))
def test_a_box_goes_there_and_back(width, height, shares):
    """Whatever the border: to the picture and back to the photo."""
    side = max(width, height)
    shown = PhotoPlacement((side, side), (side - width) // 2, (side - height) // 2, (width, height))
    (x1, x2), (y1, y2) = (
        sorted((shares[0] * width, shares[1] * width)),
        sorted((shares[2] * height, shares[3] * height)),
    )

    (there,) = shown.boxes_to_canvas((Box(x1, y1, x2, y2),))
    (back,) = shown.answer_to_photo(Answer("locate:pin", boxes=(there,))).boxes

    assert (back.x1, back.y1, back.x2, back.y2) == pytest.approx((x1, y1, x2, y2), abs=1e-9)
    assert 0 <= there.x1 <= there.x2 <= side


@given(st.lists(st.floats(-1e5, 1e5), min_size=4, max_size=4))
def test_any_box_comes_back_inside(edges):
    """A model may say edges in any order and anywhere."""
    (box,) = PhotoPlacement((50, 50), 0, 10, (50, 30)).answer_to_photo(Answer("locate:pin", boxes=(Box(*edges),))).boxes

    assert 0 <= box.x1 <= box.x2 <= 50
    assert 0 <= box.y1 <= box.y2 <= 30


def test_only_a_processor_that_cuts_gets_a_border(opened):
    """LLaVA's cuts a square out of the middle, and Qwen's shows photos as they are."""
    photo = np.full((40, 100, 3), 7, np.uint8)

    cut, kept = (place_photo((100, 40), opened(family).processor) for family in ("llava", "qwen3_vl"))

    assert cut == PhotoPlacement((100, 100), 0, 30, (100, 40))
    assert kept == PhotoPlacement((100, 40), 0, 0, (100, 40))
    assert pad_photo(photo, kept) is photo
    assert np.array_equal(pad_photo(photo, cut)[30:70], photo)
    assert set(np.unique(pad_photo(photo, cut)[:30])) == {96}
