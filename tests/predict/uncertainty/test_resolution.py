"""Photos of too few pixels for the smallest component."""

from __future__ import annotations

import pytest

from logicls.predict.uncertainty.ood import fit_resolution


def test_smallest_component_has_the_smallest_median():
    """On photos of twice the input 20 pixels are 10 of the input."""
    resolution = fit_resolution(
        (100, 50), [("lid", 90.0, (100, 200)), ("pin", 20.0, (100, 200)), ("pin", 24.0, (100, 200))]
    )

    assert resolution is not None
    assert (resolution.component, resolution.component_size, resolution.max_scale) == ("pin", 11.0, 1.0)
    assert fit_resolution((100, 50), []) is None


@pytest.mark.parametrize(("size", "left"), [((100, 200), None), ((50, 100), None), ((25, 50), None), ((24, 48), "4.8")])
def test_photo_needs_half_the_training_resolution(size, left):
    """Pixels beyond the input do not count; below half of the training resolution the photo goes to review."""
    resolution = fit_resolution((100, 50), [("pin", 20.0, (100, 200))])

    assert resolution is not None
    detail = f"on which pin is about {left} pixels across, on training photos 10.0"
    expected = () if left is None else (f"too few pixels: {size[0]} x {size[1]}, {detail}",)
    assert resolution.ood_reasons(*size) == expected


def test_small_training_photos_allow_small_photos():
    """With training photos of a quarter of the input an eighth is enough."""
    resolution = fit_resolution((100, 50), [("pin", 5.0, (25, 50))])

    assert resolution is not None
    assert resolution.max_scale == 2.0
    assert resolution.ood_reasons(13, 26) == ()
    assert resolution.ood_reasons(12, 24) != ()
