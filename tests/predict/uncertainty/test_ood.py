"""Photos unlike those learned from, on the sample product: each way of being wrong goes to a person."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from logicls.data.image_io import letterbox, read_photo
from logicls.errors import BundleError
from logicls.evaluation import read_truth
from logicls.io.resources import resource_path
from logicls.predict.uncertainty.ood import OodModel, compute_detail, read_ood_model, fit_ood_model
from logicls.records import Box


def lit(photo: np.ndarray, gain: float) -> np.ndarray:
    """Brighter or darker."""
    return np.clip(photo.astype(np.float32) * gain, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def kit() -> list[np.ndarray]:
    """The sample product's good photos."""
    photos = [read_photo(path) for path in sorted(resource_path("data/dosing_kit/images").glob("*.jpg"))]
    assert len(photos) >= 60
    return photos


@pytest.fixture(scope="module")
def looks_like(kit) -> OodModel:
    """Learned from three lights of two thirds of the photos, limits set on the rest."""
    made = fit_ood_model(
        [lit(photo, gain) for n, photo in enumerate(kit) if n % 3 for gain in (0.85, 1.0, 1.15)],
        [lit(photo, gain) for photo in kit[::3] for gain in (0.85, 1.0, 1.15)],
        (224, 192),
    )
    assert made is not None
    return made


def box(photo: np.ndarray) -> np.ndarray:
    """Another product: a red box on grey, of the same size."""
    other = np.full_like(photo, 150)
    place = Box(photo.shape[1] * 0.2, photo.shape[0] * 0.3, photo.shape[1] * 0.8, photo.shape[0] * 0.7)
    cv2.rectangle(other, (int(place.x1), int(place.y1)), (int(place.x2), int(place.y2)), (190, 40, 30), -1)
    noise = np.random.default_rng(0).integers(-12, 12, photo.shape)
    return np.clip(other.astype(int) + noise, 0, 255).astype(np.uint8)


WRONG = {
    "another product": (box, "unlike"),
    "black": (lambda photo: photo * 0, "next to nothing"),
    "white": (lambda photo: photo * 0 + 255, "unlike"),
    "blurred": (lambda photo: cv2.GaussianBlur(photo, (0, 0), 0.02 * max(photo.shape)), "blurred"),
    "turned by 90°": (lambda photo: np.ascontiguousarray(np.rot90(photo)), "unlike"),
    "turned by 180°": (lambda photo: np.ascontiguousarray(np.rot90(photo, 2)), "unlike"),
    "turned by 270°": (lambda photo: np.ascontiguousarray(np.rot90(photo, 3)), "unlike"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_photo_is_told(looks_like, kit, wrong):
    """Every one of ten photos, for the right reason."""
    spoil, reason = WRONG[wrong]

    told = [looks_like.unlike(spoil(photo)) for photo in kit[:50:5]]

    assert len(told) == 10
    assert all(any(reason in why for why in one) for one in told), told


def test_photos_of_the_product_are_not(looks_like):
    """Good ones that were not learned from, in the light that they were taken in and in one that was not learned."""
    heldout = resource_path("data/dosing_kit/heldout")
    good = [name for name, broken in read_truth(heldout / "truth.csv").items() if not broken]
    photos = [read_photo(heldout / "images" / name) for name in good]

    told = [looks_like.unlike(lit(photo, gain)) for photo in photos for gain in (1.0, 0.9)]

    assert len(told) == 32
    assert not any(told), told


def test_a_photo_on_which_much_is_missing_is_no_empty_one():
    """Where two in a thousand that were learned from show only one thing, one that shows it darker is as usual."""
    rng = np.random.default_rng(0)

    def made(things: int) -> np.ndarray:
        photo = np.full((128, 128, 3), 120, np.uint8)
        for x, y in [(20, 20), (70, 20), (20, 70), (70, 70)][:things]:
            photo[y : y + 40, x : x + 40] = 200
        return np.clip(photo + rng.normal(0, 4, photo.shape), 0, 255).astype(np.uint8)

    photos = [made(4) for _ in range(998)] + [made(1), made(1)]

    learned = fit_ood_model(photos[::2], photos[1::2], (128, 128))

    assert learned is not None
    assert not any("next to nothing" in why for why in learned.ood_reasons(lit(made(1), 0.8)))
    assert any("next to nothing" in why for why in learned.ood_reasons(made(0)))


def test_it_comes_back_as_it_was_written(looks_like, kit, tmp_path):
    """To what 32 bits hold; a folder without the file has none."""
    looks_like.write(tmp_path)
    again = read_ood_model(tmp_path)

    assert again is not None
    assert read_ood_model(tmp_path / "nowhere") is None
    assert again.limit == pytest.approx(looks_like.limit)
    assert again.ood_reasons(box(kit[0])) == looks_like.unlike(box(kit[0]))


def test_a_damaged_file_is_said_to_be(tmp_path):
    """Not passed over: wrong photos would pass."""
    (tmp_path / "usual.safetensors").write_bytes(b"no tensors")

    with pytest.raises(BundleError, match="LC622"):
        read_ood_model(tmp_path)


def test_too_few_photos_are_nothing_to_compare_with(kit):
    """Nobody is told that a photo is unlike three others."""
    assert fit_ood_model(kit[:3], kit, (64, 64)) is None
    assert fit_ood_model(kit, kit[:3], (64, 64)) is None


def test_blur_takes_away_the_finest_detail():
    """Against coarse detail, and in a black photo there is neither."""
    pattern = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)

    sharp, blurred, black = (
        compute_detail(one) for one in (pattern, cv2.GaussianBlur(pattern, (0, 0), 2.0), pattern * 0)
    )

    assert (blurred[:2] < sharp[:2] - 1).all()
    assert black[2] < min(blurred[2], sharp[2]) - 1


def test_a_photo_in_the_inputs_size_is_the_same_photo(looks_like, kit):
    """Whoever has it in that size already need not fetch the whole one."""
    for photo in (kit[0], box(kit[0]), kit[0] * 0):
        assert looks_like.unlike(letterbox((224, 192), photo)) == looks_like.unlike(photo)
