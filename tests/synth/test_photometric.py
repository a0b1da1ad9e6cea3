"""Photometric transforms on plain photos, whose pixels reveal the parameters."""

from __future__ import annotations

import numpy as np
import pytest

from logicls.synth.photometric import apply_photometric_transform, build_photometric_transform, subsample

GREY = np.full((60, 80, 3), 120, np.uint8)
NO_CHANGE = {
    "brightness": 0.0, "contrast": 0.0, "colour_cast": 0.0, "hue": 0, "illumination": 0.0, "gradient": 0.0,
    "vignette": 0.0, "blur": 0.0, "noise": 0.0,
}  # fmt: skip


def apply_draws(photo: np.ndarray, count: int = 40, **strengths: float) -> np.ndarray:
    """The photo in `count` draws of the transform, float [count height width 3]."""
    transform = build_photometric_transform(**{**NO_CHANGE, **strengths})
    return np.stack([apply_photometric_transform(photo, transform, seed) for seed in range(count)]).astype(float)


def test_zero_strength_changes_nothing() -> None:
    """With all strengths at zero the photo stays the same."""
    assert (apply_draws(GREY) == 120).all()


@pytest.mark.parametrize(
    ("strengths", "lowest", "highest"),
    [({"brightness": 0.1}, 120 - 26, 120 + 26), ({"contrast": 0.2}, 96, 144), ({"colour_cast": 8}, 112, 128)],
    ids=["brightness", "contrast", "colour_cast"],
)
def test_exposure_stays_within_its_strength(strengths: dict[str, float], lowest: int, highest: int) -> None:
    """Every pixel alike, in both directions, up to the strength and no further."""
    levels = apply_draws(GREY, **strengths)

    levels_at_corner = levels[:, 0, 0]
    assert np.ptp(levels, axis=(1, 2)).max() == 0
    assert (levels_at_corner.min(), levels_at_corner.max()) == pytest.approx(
        (lowest, highest), abs=0.2 * (highest - lowest)
    )
    assert levels_at_corner.min() >= lowest - 1
    assert levels_at_corner.max() <= highest + 1
    assert (np.ptp(levels_at_corner, axis=1) > 0).any() == ("colour_cast" in strengths)


def test_a_gradient_keeps_the_centre() -> None:
    """The centre keeps its level; opposite corners lose and gain the same."""
    levels = apply_draws(GREY, gradient=0.2, illumination=2.0)[..., 0]

    assert np.abs(levels[:, 30, 40] - 120).max() <= 2
    assert np.abs(levels[:, 0, 0] + levels[:, -1, -1] - 240).max() <= 3
    assert np.ptp(levels[:, 0, 0]) > 20


def test_a_vignette_darkens_all_corners() -> None:
    """All corners alike, and not the centre."""
    levels = apply_draws(GREY, vignette=0.2, illumination=2.0)[..., 0]

    corners = np.stack([levels[:, y, x] for y in (0, -1) for x in (0, -1)])
    assert np.abs(levels[:, 30, 40] - 120).max() <= 1
    assert np.ptp(corners, axis=0).max() <= 1
    assert 95 <= corners.min() < 105
    assert corners.max() <= 120


def test_noise_keeps_the_mean() -> None:
    """The standard deviation is 1 to 3 % of white, and each draw differs."""
    levels = apply_draws(GREY, noise=1.0)

    stds = levels.std((1, 2, 3))
    assert np.abs(levels.mean((1, 2, 3)) - 120).max() < 0.3
    assert 255 * 0.0095 < stds.min() < stds.max() < 255 * 0.0305
    assert not np.array_equal(levels[0], levels[1])


def test_subsampled_photos_get_the_same_transform() -> None:
    """Parameters depend on the seed, not on the size: a test on few pixels is valid for all."""
    strengths = {
        "brightness": 0.3,
        "contrast": 0.3,
        "colour_cast": 8,
        "gradient": 0.2,
        "vignette": 0.2,
        "illumination": 0.6,
    }

    full = apply_draws(GREY, **strengths)
    subsampled = apply_draws(subsample(GREY, 4), **strengths)

    assert np.abs(full.mean((1, 2)) - subsampled.mean((1, 2))).max() < 2


@pytest.mark.parametrize(
    ("size", "step", "expected"), [((60, 80), 4, (15, 20)), ((61, 83), 2, (30, 41)), ((1, 3), 4, (1, 1))]
)
def test_subsampling_takes_every_nth_pixel(size: tuple[int, int], step: int, expected: tuple[int, int]) -> None:
    """Nothing is averaged; the remainder is dropped; a photo that is too small keeps one pixel."""
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)

    subsampled = subsample(photo, step)

    assert np.array_equal(subsampled, photo[::step, ::step][: expected[0], : expected[1]])
