"""Which verdicts of a bundle are tried."""

from types import SimpleNamespace

import pytest
from PIL import Image

from logicls.constraints.spec.loader import load_spec
from logicls.data.image_io import file_sha256
from logicls.errors import DataError
from logicls.evaluation.faithfulness import TrialSample, measure_faithfulness
from logicls.predict.readers.protocol import Prediction
from logicls.records import Answer, Box, Verdict

SPEC = """logicls: 1
product: {name: box}
components: {pin: {}}
constraints:
  - {id: one-pin, quantity: {of: pin, exactly: 1}}
"""
SAID = (Answer("locate:pin", boxes=(Box(10, 10, 20, 20),)),)


class Stubborn:
    """Says the same of every photo."""

    def __init__(self, spec):
        self.bundle = SimpleNamespace(spec=spec, id="b")

    def look(self, photos):
        """One pin."""
        return [Prediction(SAID, Answer("verdict"), ()) for _ in photos]


@pytest.fixture
def reader(tmp_path):
    """Of a product with one pin."""
    (tmp_path / "box.yaml").write_text(SPEC)
    return Stubborn(load_spec(tmp_path / "box.yaml"))


@pytest.fixture
def images(tmp_path):
    """Six grey photos."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(6):
        Image.new("RGB", (40, 30), (90 + number,) * 3).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def verdicts(images):
    """One a photo; nothing was found on the last, and one more could not be read."""
    found = [
        Verdict(path.name, "pass", answers=SAID, width=40, height=30, sha256=file_sha256(path), bundle="b")
        for path in sorted(images.iterdir())
    ]
    empty = Verdict("5.png", "fail", answers=(Answer("locate:pin"),), width=40, height=30, bundle="b",
                    sha256=found[-1].sha256)  # fmt: skip
    return [*found[:-1], empty, Verdict("torn.png", "review", bundle="b")]


def names(found):
    """The photos that were tried."""
    return [trial.told.partition(":")[0] for trial in found.necessity.trials]


def test_every_photo_that_cites_something_is_tried_once(reader, images, verdicts):
    """A photo on which nothing was found is left out, one that could not be read is none of the sample."""
    calls = []

    found = measure_faithfulness(reader, verdicts, images, TrialSample(9, 0), on_progress=calls.append)

    assert names(found) == [f"{number}.png" for number in range(5)]
    assert (found.necessity.rate.count, found.sufficiency.rate.count, found.sufficiency.rate.total) == (0, 5, 5)
    assert (found.necessity.ignored_photos, found.counterfactual, sum(calls)) == (1, None, 9)


def test_a_sample_is_drawn_by_its_seed(reader, images, verdicts):
    """The same seed tries the same photos, others try others."""
    drawn = [
        names(measure_faithfulness(reader, verdicts[:5], images, TrialSample(2, seed))) for seed in (0, 0, 1, 2, 3)
    ]

    assert drawn[0] == drawn[1]
    assert {len(some) for some in drawn} == {2}
    assert len({tuple(some) for some in drawn}) > 1


def test_photos_that_are_others_now_are_named_all_at_once(reader, images, verdicts):
    """One is gone, one was replaced."""
    (images / "1.png").unlink()
    Image.new("RGB", (40, 30)).save(images / "3.png")

    with pytest.raises(DataError) as caught:
        measure_faithfulness(reader, verdicts, images, TrialSample(9, 0))

    assert [problem.code for problem in caught.value.problems] == ["LC657", "LC657"]
    assert "1.png" in caught.value.problems[0].message
    assert caught.value.problems[1].message == '"3.png" is another photo than the one that was predicted.'
