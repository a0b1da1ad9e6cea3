"""Out-of-distribution detection on the sample product: every kind of wrong photo is sent to review."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from logicls.data.image_io import letterbox, read_photo
from logicls.errors import BundleError
from logicls.evaluation import read_truth
from logicls.io.resources import resource_path
from logicls.predict.uncertainty.ood import (
    OodModel,
    compute_colour_spread,
    compute_detail,
    fit_ood_model,
    fit_photo_limits,
    fit_resolution,
    read_ood_model,
)
from logicls.records import Box


def scale_brightness(photo: np.ndarray, gain: float) -> np.ndarray:
    """Multiply all intensities by `gain`."""
    return np.clip(photo.astype(np.float32) * gain, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def kit() -> list[np.ndarray]:
    """Load the good photos of the sample product."""
    photos = [read_photo(path) for path in sorted(resource_path("data/dosing_kit/images").glob("*.jpg"))]
    assert len(photos) >= 60
    return photos


@pytest.fixture(scope="module")
def model(kit) -> OodModel:
    """Fit a model on two thirds of the photos at three brightnesses, limits on the rest."""
    fitted = fit_ood_model(
        [scale_brightness(photo, gain) for n, photo in enumerate(kit) if n % 3 for gain in (0.85, 1.0, 1.15)],
        [scale_brightness(photo, gain) for photo in kit[::3] for gain in (0.85, 1.0, 1.15)],
        (224, 192),
    )
    assert fitted is not None
    return fitted


def box(photo: np.ndarray) -> np.ndarray:
    """Render another product: a red box on grey, of the same size."""
    other = np.full_like(photo, 150)
    region = Box(photo.shape[1] * 0.2, photo.shape[0] * 0.3, photo.shape[1] * 0.8, photo.shape[0] * 0.7)
    cv2.rectangle(other, (int(region.x1), int(region.y1)), (int(region.x2), int(region.y2)), (190, 40, 30), -1)
    noise = np.random.default_rng(0).integers(-12, 12, photo.shape)
    return np.clip(other.astype(int) + noise, 0, 255).astype(np.uint8)


WRONG = {
    "another product": (box, "unlike"),
    "black": (lambda photo: photo * 0, "dark or empty"),
    "white": (lambda photo: photo * 0 + 255, "unlike"),
    "blurred": (lambda photo: cv2.GaussianBlur(photo, (0, 0), 0.02 * max(photo.shape)), "blurred"),
    "turned by 90°": (lambda photo: np.ascontiguousarray(np.rot90(photo)), "unlike"),
    "turned by 180°": (lambda photo: np.ascontiguousarray(np.rot90(photo, 2)), "unlike"),
    "turned by 270°": (lambda photo: np.ascontiguousarray(np.rot90(photo, 3)), "unlike"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_photos_are_detected(model, kit, wrong):
    """Each of ten wrong photos has the right reason."""
    spoil, reason = WRONG[wrong]

    reasons = [model.ood_reasons(spoil(photo)) for photo in kit[:50:5]]

    assert len(reasons) == 10
    assert all(any(reason in why for why in one) for one in reasons), reasons


def test_good_photos_are_in_distribution(model):
    """Good photos outside the training set are accepted, at their own brightness and at one without training photos."""
    heldout = resource_path("data/dosing_kit/heldout")
    good = [name for name, broken in read_truth(heldout / "truth.csv").items() if not broken]
    photos = [read_photo(heldout / "images" / name) for name in good]

    reasons = [model.ood_reasons(scale_brightness(photo, gain)) for photo in photos for gain in (1.0, 0.9)]

    assert len(reasons) == 32
    assert not any(reasons), reasons


def test_photo_with_missing_components_is_not_empty():
    """If 2 of 1000 training photos show one component only, a darker such photo is accepted; an empty one is not."""
    rng = np.random.default_rng(0)

    def render(count: int) -> np.ndarray:
        photo = np.full((128, 128, 3), 120, np.uint8)
        for x, y in [(20, 20), (70, 20), (20, 70), (70, 70)][:count]:
            photo[y : y + 40, x : x + 40] = 200
        return np.clip(photo + rng.normal(0, 4, photo.shape), 0, 255).astype(np.uint8)

    photos = [render(4) for _ in range(998)] + [render(1), render(1)]

    fitted = fit_ood_model(photos[::2], photos[1::2], (128, 128))

    assert fitted is not None
    assert not any("dark or empty" in why for why in fitted.ood_reasons(scale_brightness(render(1), 0.8)))
    assert any("dark or empty" in why for why in fitted.ood_reasons(render(0)))


def test_model_round_trip(model, kit, tmp_path):
    """A model is read as it was written, in float32; a folder without the file has none."""
    model.write(tmp_path)
    again = read_ood_model(tmp_path)

    assert again is not None
    assert read_ood_model(tmp_path / "nowhere") is None
    assert again.limit == pytest.approx(model.limit)
    assert again.ood_reasons(box(kit[0])) == model.ood_reasons(box(kit[0]))


def test_damaged_file_is_an_error(tmp_path):
    """A damaged file is not ignored: wrong photos would pass."""
    (tmp_path / "usual.safetensors").write_bytes(b"no tensors")

    with pytest.raises(BundleError, match="LC622"):
        read_ood_model(tmp_path)


def test_too_few_photos_give_no_model(kit):
    """Three photos are no distribution."""
    assert fit_ood_model(kit[:3], kit, (64, 64)) is None
    assert fit_ood_model(kit, kit[:3], (64, 64)) is None


def test_blur_lowers_fine_detail():
    """Blur lowers fine relative to coarse detail; a black photo has little of either."""
    pattern = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)

    sharp, blurred, black = (
        compute_detail(one) for one in (pattern, cv2.GaussianBlur(pattern, (0, 0), 2.0), pattern * 0)
    )

    assert (blurred[:2] < sharp[:2] - 1).all()
    assert black[2] < min(blurred[2], sharp[2]) - 1


def test_input_sized_photo_has_the_same_reasons(model, kit):
    """A photo letterboxed to the input's size has the reasons of the original."""
    for photo in (kit[0], box(kit[0]), kit[0] * 0):
        assert model.ood_reasons(letterbox((224, 192), photo)) == model.ood_reasons(photo)


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


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((400, 800), ()),
        ((1000, 2000), ()),
        ((400, 770), ()),  # within 5 %
        ((399, 801), ()),
        ((400, 400), ("stretched or cropped: width / height of 400 x 400 is 1, of training photos 0.5",)),
        ((400, 750), ("stretched or cropped: width / height of 400 x 750 is 0.533, of training photos 0.5",)),
        ((800, 400), ("stretched or cropped: width / height of 800 x 400 is 2, of training photos 0.5",)),
    ],
)
def test_stretched_photos_are_detected(kit, size, reason):
    """The size in pixels does not matter, nor does rounding."""
    assert fit_photo_limits([(400, 800)], kit[:1], (64, 32)).size_reasons(*size) == reason


def test_training_photos_of_several_formats_accept_those_between(kit):
    """Whoever crops by hand has many; the reason names the range."""
    limits = fit_photo_limits([(400, 300), (300, 300)], kit[:1], (64, 64))

    assert limits.size_reasons(350, 300) == limits.size_reasons(400, 300) == ()
    assert limits.size_reasons(300, 400) == (
        "stretched or cropped: width / height of 300 x 400 is 0.75, of training photos 1 to 1.33",
    )


def make_grey(photo: np.ndarray) -> np.ndarray:
    """Convert to grey, with three channels."""
    return cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def test_grey_copies_are_detected(kit):
    """Five training photos suffice; good and defective photos in colour are accepted, whatever their white balance."""
    limits = fit_photo_limits([(256, 320)], kit[:5], (224, 192))
    heldout = [read_photo(path) for path in sorted((resource_path("data/dosing_kit/heldout") / "images").glob("*.jpg"))]
    assert len(heldout) == 76

    assert all(limits.colour_reasons(make_grey(photo))[0].startswith("grey: ") for photo in heldout)
    for cast in (0, 12):
        reddened = [np.clip(photo + np.asarray([cast, 0, 0]), 0, 255).astype(np.uint8) for photo in heldout]
        assert not any(limits.colour_reasons(photo) for photo in reddened)


def test_grey_training_photos_accept_grey_photos(kit):
    """A monochrome camera, or one grey photo among those in colour."""
    assert fit_photo_limits([(256, 320)], [*kit[:5], make_grey(kit[0])], (64, 64)).colour_reasons(kit[0] * 0) == ()


def test_colour_spread_of_two_halves():
    """Half red and half grey: R - G is 0 or 200, its standard deviation 100; (R + G) / 2 - B is 0 or 100."""
    photo = np.full((128, 128, 3), 50, np.uint8)
    photo[:64, :, 0] = 250

    assert compute_colour_spread(photo) == pytest.approx(np.hypot(100, 50))
    assert compute_colour_spread(photo + np.asarray([0, 0, 30], np.uint8)) == pytest.approx(np.hypot(100, 50))
    assert compute_colour_spread(make_grey(photo)) == 0


def test_input_sized_photo_has_the_same_colours(kit):
    """A photo letterboxed to the input's size is judged like the original."""
    limits = fit_photo_limits([(256, 320)], kit[:5], (224, 192))

    for photo in (kit[0], make_grey(kit[0])):
        assert limits.colour_reasons(letterbox((224, 192), photo)) == limits.colour_reasons(photo)
