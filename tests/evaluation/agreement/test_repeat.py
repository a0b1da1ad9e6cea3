"""A bundle as an inspector: several trials a photo, each taken anew."""

from dataclasses import dataclass
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from logicls.constraints.spec.loader import load_spec
from logicls.errors import DataError
from logicls.evaluation.agreement.decisions import group_decisions
from logicls.evaluation.agreement.repeatability import RepeatOptions, check_photos, repeat_decisions
from logicls.evaluation.agreement.storage import open_decision_log
from logicls.models.bundle import Bundle
from logicls.predict.readers.protocol import Prediction
from logicls.records import Answer, Box

SPEC = """logicls: 1
product: {name: box}
components: {pin: {}}
constraints:
  - {id: one-pin, quantity: {of: pin, exactly: 1}}
"""


@dataclass
class Bright:
    """Sees a pin on bright photos and none on dark ones."""

    bundle: object

    def look(self, photos):
        """What is on each photo."""
        return [self.seen(photo) for photo in photos]

    def seen(self, photo):
        """A pin or none, and the same stated."""
        boxes = (Box(1, 1, 5, 5),) if photo.mean() > 128 else ()
        stated = () if boxes else (self.bundle.spec.violations[0],)
        return Prediction((Answer("locate:pin", boxes=boxes),), Answer("verdict", stated), ())


class Dimmer:
    """Takes photos again, each a random bit darker."""

    def again(self, photo, rng):
        """Darker by up to two fifths."""
        return (photo * rng.uniform(0.6, 1.0)).astype(np.uint8)


@pytest.fixture
def reader(tmp_path):
    """Of a product with one pin."""
    (tmp_path / "box.yaml").write_text(SPEC)
    return Bright(Bundle(tmp_path, "none", load_spec(tmp_path / "box.yaml"), None, None, 1))


@pytest.fixture
def images(tmp_path):
    """A bright photo, one in between, a dark one, and one that cannot be read."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name, level in (("a", 250), ("b", 160), ("c", 90)):
        Image.new("RGB", (20, 20), (level,) * 3).save(folder / f"{name}.png")
    (folder / "d.png").write_bytes(b"")
    return folder


NAMES = ("a.png", "b.png", "c.png", "d.png")


def decided(reader, images, batch, seed=0, names=NAMES):
    """Photo → decisions of ten trials."""
    return group_decisions(repeat_decisions(reader, names, images, Dimmer(), RepeatOptions(10, seed, batch)))["logicls"]


def test_each_trial_looks_at_the_photo_taken_anew(reader, images):
    """The clear ones are decided alike, the one in between now so, now so; what cannot be read goes to review."""
    said = decided(reader, images, 16)

    assert said["a.png"] == ("pass",) * 10
    assert set(said["b.png"]) == {"pass", "fail"}
    assert said["c.png"] == ("fail",) * 10
    assert said["d.png"] == ("review",) * 10


def test_chance_depends_on_seed_trial_and_name_alone(reader, images):
    """Neither the batch nor the other photos change a decision; another seed does."""
    said = decided(reader, images, 16)

    assert decided(reader, images, 3) == said
    assert decided(reader, images, 3, names=("b.png",))["b.png"] == said["b.png"]
    assert decided(reader, images, 3, seed=1)["b.png"] != said["b.png"]


def test_a_study_that_was_ended_goes_on(reader, images, tmp_path):
    """It decides the same; what is kept is not looked at again, and more trials come after those there are."""
    whole = decided(reader, images, 2)
    seen = []

    def counted(photos):
        seen.extend(photos)
        return Bright(reader.bundle).look(photos)

    def some(trials, stop):
        with open_decision_log(tmp_path / "decisions.jsonl", {}) as known:
            again = repeat_decisions(reader, NAMES, images, Dimmer(), RepeatOptions(trials, 0, 2), log=known)
            return group_decisions(list(islice(again, stop)))["logicls"]

    some(6, 9)
    reader.look = counted

    assert some(10, None) == whole
    assert len(seen) == 20  # five trials of a and b, ten of c; d cannot be read
    assert some(10, None) == whole
    assert len(seen) == 20


def test_photos_that_are_not_there_are_named_before_anything_is_decided(images):
    """All of them."""
    with pytest.raises(DataError) as caught:
        check_photos(["a.png", "x.png", "y.png"], images)

    assert "LC668 2 of 3 photos of the truth are not there: x.png, y.png." in str(caught.value)
