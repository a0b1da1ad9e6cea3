"""Photos with too few pixels for the smallest component."""

from __future__ import annotations

import pytest

from logicls.predict.uncertainty.ood import fit_resolution


def test_the_smallest_component_is_that_of_the_smallest_median():
    """On photos twice the input's size: 20 pixels are 10 of the input, and more are never seen."""
    found = fit_resolution((100, 50), [("lid", 90.0, (100, 200)), ("pin", 20.0, (100, 200)), ("pin", 24.0, (100, 200))])

    assert found is not None
    assert (found.component, found.component_size, found.max_scale) == ("pin", 11.0, 1.0)
    assert fit_resolution((100, 50), []) is None


@pytest.mark.parametrize(("size", "left"), [((100, 200), None), ((50, 100), None), ((25, 50), None), ((24, 48), "4.8")])
def test_a_photo_may_have_half_the_pixels_of_those_learned_from(size, left):
    """Larger than the input is not needed; below a half of it a person looks, and is told why."""
    found = fit_resolution((100, 50), [("pin", 20.0, (100, 200))])

    assert found is not None
    told = f"on which pin is about {left} pixels across, 10.0 when it was learned"
    expected = () if left is None else (f"too few pixels: {size[0]} x {size[1]}, {told}",)
    assert found.ood_reasons(*size) == expected


def test_where_small_photos_were_learned_from_small_ones_do():
    """Learned from a quarter of the input's size: an eighth does, less does not."""
    found = fit_resolution((100, 50), [("pin", 5.0, (25, 50))])

    assert found is not None
    assert found.max_scale == 2.0
    assert found.ood_reasons(13, 26) == ()
    assert found.ood_reasons(12, 24) != ()
