"""Variations of photos, and repeated decisions of a bundle."""

from dataclasses import dataclass
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from logicls.constraints.spec.loader import load_spec
from logicls.errors import DataError
from logicls.evaluation.agreement.decisions import group_decisions
from logicls.evaluation.agreement.repeatability import (
    RepeatOptions,
    check_photos,
    make_variation,
    open_decision_log,
    repeat_decisions,
)
from logicls.io.resources import resource_path
from logicls.models.bundle import Bundle
from logicls.predict.readers.protocol import Prediction, unpack_pixels
from logicls.records import Answer, Box
from logicls.synth.settings import load_augmentation_settings


@pytest.fixture(scope="module")
def make():
    """Return the variation of the sample product by its strength."""
    spec, settings = (
        load_spec(resource_path("constraints/dosing_kit.yaml")),
        load_augmentation_settings(resource_path("synth/augment.yaml")),
    )
    return lambda strength: make_variation(spec, settings, strength)


@pytest.fixture
def photo():
    """Render a red square on grey."""
    out = np.full((80, 120, 3), 120, np.uint8)
    out[20:60, 40:80] = (200, 40, 40)
    return out


def mean_difference(one, other):
    """Return the mean difference in grey levels."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def test_variation_changes_pixels_only(make, photo):
    """The size stays, another seed gives another photo; the given photo is not modified."""
    before = photo.copy()

    first, second = (make(0.5).apply(photo, np.random.default_rng(seed)) for seed in (0, 1))

    assert first.shape == photo.shape
    assert first.dtype == np.uint8
    assert 0 < mean_difference(first, photo) < 40
    assert (first != second).any()
    assert (photo == before).all()


def test_variation_is_deterministic(make, photo):
    """A study can be repeated."""
    first, second = (make(1.0).apply(photo, np.random.default_rng(7)) for _ in range(2))

    assert (first == second).all()


def test_strength_scales_the_change(make, photo):
    """At 0 only JPEG compression is left."""

    def mean(strength):
        variation = make(strength)
        return np.mean(
            [mean_difference(variation.apply(photo, np.random.default_rng(seed)), photo) for seed in range(12)]
        )

    means = [mean(strength) for strength in (0, 0.5, 1)]

    assert means[0] < 3 < means[1] < means[2]


def test_variation_shifts(make, photo):
    """The left edge of the square moves, by at most a hundredth of the width."""
    shifted = [make(1.0).apply(photo, np.random.default_rng(n)).astype(int) for n in range(12)]
    red = [image[40, :, 0] - image[40, :, 1] for image in shifted]
    # Where half of the red begins, between pixels.
    edges = [float(np.interp(80, line[34:46], np.arange(34, 46))) for line in red]

    assert np.std(edges) > 0.2
    assert max(edges) - min(edges) < 2 * 0.01 * 120 + 1


def test_hue_is_constant_if_a_rule_depends_on_colour(make):
    """As in training."""
    assert make(1.0).settings.hue == 0


SPEC = """logicls: 1
product: {name: box}
components: {pin: {}}
constraints:
  - {id: one-pin, quantity: {of: pin, exactly: 1}}
"""


@dataclass
class BrightnessReader:
    """Reader that detects a pin on bright photos and none on dark ones."""

    bundle: object
    input_size = None

    def predict_raw(self, photos):
        """Return the pins of each photo."""
        return [self.read(photo) for photo in unpack_pixels(photos)]

    def read(self, photo):
        """Return a pin or none, and the same as stated verdict."""
        boxes = (Box(1, 1, 5, 5),) if photo.mean() > 128 else ()
        stated = () if boxes else (self.bundle.spec.violations[0],)
        return Prediction((Answer("locate:pin", boxes=boxes),), Answer("verdict", stated), ())


class DarkeningVariation:
    """Variation that darkens a photo by a random factor."""

    def apply(self, photo, rng):
        """Darken by up to two fifths."""
        return (photo * rng.uniform(0.6, 1.0)).astype(np.uint8)


@pytest.fixture
def reader(tmp_path):
    """Return the reader of a product with one pin."""
    (tmp_path / "box.yaml").write_text(SPEC)
    return BrightnessReader(Bundle(tmp_path, "none", load_spec(tmp_path / "box.yaml"), None, None, 1))


@pytest.fixture
def images(tmp_path):
    """Write a bright photo, an intermediate one, a dark one, and an unreadable one."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name, level in (("a", 250), ("b", 160), ("c", 90)):
        Image.new("RGB", (20, 20), (level,) * 3).save(folder / f"{name}.png")
    (folder / "d.png").write_bytes(b"")
    return folder


NAMES = ("a.png", "b.png", "c.png", "d.png")


def decide(reader, images, batch, seed=0, names=NAMES):
    """Return photo → decisions of ten trials."""
    return group_decisions(
        repeat_decisions(reader, names, images, DarkeningVariation(), RepeatOptions(10, seed, batch))
    )["logicls"]


def test_each_trial_varies_the_photo(reader, images):
    """Clear photos have equal decisions, the intermediate one does not; an unreadable photo goes to review."""
    decisions = decide(reader, images, 16)

    assert decisions["a.png"] == ("pass",) * 10
    assert set(decisions["b.png"]) == {"pass", "fail"}
    assert decisions["c.png"] == ("fail",) * 10
    assert decisions["d.png"] == ("review",) * 10


def test_variation_depends_on_seed_trial_and_name_only(reader, images):
    """Neither the batch nor the other photos change a decision; another seed does."""
    decisions = decide(reader, images, 16)

    assert decide(reader, images, 3) == decisions
    assert decide(reader, images, 3, names=("b.png",))["b.png"] == decisions["b.png"]
    assert decide(reader, images, 3, seed=1)["b.png"] != decisions["b.png"]


def test_interrupted_study_continues(reader, images, tmp_path):
    """The decisions are the same; logged ones are not predicted again, and further trials follow."""
    expected = decide(reader, images, 2)
    predicted = []

    def count_photos(photos):
        predicted.extend(photos)
        return BrightnessReader(reader.bundle).predict_raw(photos)

    def run(trials, stop):
        with open_decision_log(tmp_path / "decisions.jsonl", {}) as log:
            decisions = repeat_decisions(
                reader, NAMES, images, DarkeningVariation(), RepeatOptions(trials, 0, 2), log=log
            )
            return group_decisions(list(islice(decisions, stop)))["logicls"]

    run(6, 9)
    reader.predict_raw = count_photos

    assert run(10, None) == expected
    assert len(predicted) == 20  # five trials of a and b, ten of c; d cannot be read
    assert run(10, None) == expected
    assert len(predicted) == 20


def test_missing_photos_are_reported_together(images):
    """Before any decision."""
    with pytest.raises(DataError) as caught:
        check_photos(["a.png", "x.png", "y.png"], images)

    assert "LC668 2 of 3 photos of the truth are missing: x.png, y.png." in str(caught.value)
