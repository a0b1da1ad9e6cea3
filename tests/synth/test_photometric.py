"""Light, lens and sensor on plain photos, whose pixels tell what was done to them."""

from __future__ import annotations

import numpy as np
import pytest

from logicls.synth.photometric import build_photometric_transform, apply_photometric_transform, subsample

GREY = np.full((60, 80, 3), 120, np.uint8)
STILL = {
    "brightness": 0.0, "contrast": 0.0, "cast": 0.0, "hue": 0, "uneven": 0.0, "gradient": 0.0, "vignette": 0.0,
    "blur": 0.0, "noise": 0.0,
}  # fmt: skip


def shown(photo: np.ndarray, count: int = 40, **strengths: float) -> np.ndarray:
    """The photo in so many draws of that light, float [count height width 3]."""
    light = build_photometric_transform(**{**STILL, **strengths})
    return np.stack([apply_photometric_transform(photo, light, seed) for seed in range(count)]).astype(float)


def test_no_light_changes_nothing() -> None:
    """With all strengths at zero the photo is what it was."""
    assert (shown(GREY) == 120).all()


@pytest.mark.parametrize(
    ("strengths", "least", "most"),
    [({"brightness": 0.1}, 120 - 26, 120 + 26), ({"contrast": 0.2}, 96, 144), ({"cast": 8}, 112, 128)],
    ids=["brightness", "contrast", "cast"],
)
def test_exposure_stays_within_its_strength(strengths: dict[str, float], least: int, most: int) -> None:
    """Every pixel alike, either way, as far as is said and no farther."""
    levels = shown(GREY, **strengths)

    middles = levels[:, 0, 0]
    assert np.ptp(levels, axis=(1, 2)).max() == 0
    assert (middles.min(), middles.max()) == pytest.approx((least, most), abs=0.2 * (most - least))
    assert middles.min() >= least - 1
    assert middles.max() <= most + 1
    assert (np.ptp(middles, axis=1) > 0).any() == ("cast" in strengths)


def test_light_falls_off_to_one_side() -> None:
    """The middle keeps its level, opposite corners lose and win as much."""
    levels = shown(GREY, gradient=0.2, uneven=2.0)[..., 0]

    assert np.abs(levels[:, 30, 40] - 120).max() <= 2
    assert np.abs(levels[:, 0, 0] + levels[:, -1, -1] - 240).max() <= 3
    assert np.ptp(levels[:, 0, 0]) > 20


def test_a_vignette_darkens_all_corners() -> None:
    """Alike, and not the middle."""
    levels = shown(GREY, vignette=0.2, uneven=2.0)[..., 0]

    corners = np.stack([levels[:, y, x] for y in (0, -1) for x in (0, -1)])
    assert np.abs(levels[:, 30, 40] - 120).max() <= 1
    assert np.ptp(corners, axis=0).max() <= 1
    assert 95 <= corners.min() < 105
    assert corners.max() <= 120


def test_noise_leaves_the_mean() -> None:
    """Between one and three hundredths of white, another in every draw."""
    levels = shown(GREY, noise=1.0)

    stds = levels.std((1, 2, 3))
    assert np.abs(levels.mean((1, 2, 3)) - 120).max() < 0.3
    assert 255 * 0.0095 < stds.min() < stds.max() < 255 * 0.0305
    assert not np.array_equal(levels[0], levels[1])


def test_a_small_copy_is_lit_like_the_photo() -> None:
    """What is drawn depends on the seed alone, not on the size: trying a light on few pixels tells about all."""
    strengths = {"brightness": 0.3, "contrast": 0.3, "cast": 8, "gradient": 0.2, "vignette": 0.2, "uneven": 0.6}

    whole = shown(GREY, **strengths)
    small = shown(subsample(GREY, 4), **strengths)

    assert np.abs(whole.mean((1, 2)) - small.mean((1, 2))).max() < 2


@pytest.mark.parametrize(
    ("size", "step", "thin"), [((60, 80), 4, (15, 20)), ((61, 83), 2, (30, 41)), ((1, 3), 4, (1, 1))]
)
def test_thinning_takes_every_so_many_th_pixel(size: tuple[int, int], step: int, thin: tuple[int, int]) -> None:
    """Nothing is mixed; what is left over at the edges goes; a photo that is too small keeps one."""
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)

    small = subsample(photo, step)

    assert np.array_equal(small, photo[::step, ::step][: thin[0], : thin[1]])
