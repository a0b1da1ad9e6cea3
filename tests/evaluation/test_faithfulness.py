"""Faithfulness tests: counterfactual edits, and the sample of verdicts."""

from types import SimpleNamespace

import pytest
from PIL import Image

from logicls.constraints.checker.evaluation import compute_answers
from logicls.constraints.spec.loader import load_spec
from logicls.data.coco import read_dataset
from logicls.data.image_io import file_sha256
from logicls.data.segmentation import read_segmentations
from logicls.errors import DataError
from logicls.evaluation.evidence import TrialSample
from logicls.evaluation.faithfulness import draw_counterfactuals, measure_faithfulness, run_counterfactual_trials
from logicls.io.resources import resource_path
from logicls.predict.readers.protocol import Prediction, unpack_pixels
from logicls.records import Answer, Box, Verdict
from logicls.synth.instance_bank import InstanceBank
from logicls.synth.settings import load_balance_settings
from logicls.synth.violation_sampler import ViolationSampler

COUNT = 5


@pytest.fixture(scope="module")
def sampler():
    """Return the violation sampler of the sample product."""
    dataset = read_dataset(resource_path("data/dosing_kit"))
    spec = load_spec(resource_path("constraints/dosing_kit.yaml"))
    return ViolationSampler(
        spec,
        InstanceBank(dataset, read_segmentations(dataset)),
        load_balance_settings(resource_path("synth/balance.yaml")),
    )


class OracleReader:
    """Reader that returns the true answers of each edited photo, or (`is_blind`) of the photo before the edit."""

    input_size = None

    def __init__(self, sampler, *, is_blind):
        self.bundle = SimpleNamespace(spec=sampler.spec)
        self.answers = {}
        for pair in draw_counterfactuals(sampler, COUNT, seed=3):
            for draft in (pair.before, pair.after):
                scene = (pair.before if is_blind else draft).canvas.scene
                self.answers[draft.canvas.photo.tobytes()] = compute_answers(sampler.spec, scene)

    def predict_raw(self, photos):
        """Return the answers about each photo."""
        return [Prediction(self.answers[photo.tobytes()], Answer("verdict"), ()) for photo in unpack_pixels(photos)]


def test_oracle_passes(sampler):
    """Every edit changes exactly its rule; each trial has photo, violation and the family of the rule."""
    tested = run_counterfactual_trials(OracleReader(sampler, is_blind=False), sampler, COUNT, seed=3, batch=2)

    assert (tested.rate.count, tested.rate.total + tested.ignored_photos) == (COUNT - tested.ignored_photos, COUNT)
    assert tested.rate.total > 0
    assert {trial.kind for trial in tested.trials} <= {c.family for c in sampler.spec.constraints}
    assert all(trial.description.rpartition(": ")[2] in sampler.spec.violations for trial in tested.trials)


def test_blind_reader_fails(sampler):
    """It returns the same answers before and after the edit."""
    assert run_counterfactual_trials(OracleReader(sampler, is_blind=True), sampler, COUNT, seed=3).rate.count == 0


def test_violations_are_drawn_equally_often(sampler):
    """Every violation is drawn once before any is drawn again."""
    names = sampler.spec.violations
    drawn = [pair.violation for pair in draw_counterfactuals(sampler, len(names), seed=0) if pair]

    assert len(drawn) == len(set(drawn)) > len(names) - 3


SPEC = """logicls: 1
product: {name: box}
components: {pin: {}}
constraints:
  - {id: one-pin, quantity: {of: pin, exactly: 1}}
"""
ANSWERS = (Answer("locate:pin", boxes=(Box(10, 10, 20, 20),)),)


class ConstantReader:
    """Reader that detects the same pin on every photo."""

    input_size = None

    def __init__(self, spec):
        self.bundle = SimpleNamespace(spec=spec, id="b")

    def predict_raw(self, photos):
        """Return one pin per photo."""
        return [Prediction(ANSWERS, Answer("verdict"), ()) for _ in photos]


@pytest.fixture
def reader(tmp_path):
    """Return the reader of a product with one pin."""
    (tmp_path / "box.yaml").write_text(SPEC)
    return ConstantReader(load_spec(tmp_path / "box.yaml"))


@pytest.fixture
def images(tmp_path):
    """Write six grey photos."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(6):
        Image.new("RGB", (40, 30), (90 + number,) * 3).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def verdicts(images):
    """Return a verdict per photo, without boxes on the last, and one of an unreadable photo."""
    found = [
        Verdict(path.name, "pass", answers=ANSWERS, width=40, height=30, sha256=file_sha256(path), bundle="b")
        for path in sorted(images.iterdir())
    ]
    empty = Verdict("5.png", "fail", answers=(Answer("locate:pin"),), width=40, height=30, bundle="b",
                    sha256=found[-1].sha256)  # fmt: skip
    return [*found[:-1], empty, Verdict("torn.png", "review", bundle="b")]


def trial_photos(result):
    """Return the photos of the necessity trials."""
    return [trial.description.partition(":")[0] for trial in result.necessity.trials]


def test_each_photo_with_citations_has_one_trial(reader, images, verdicts):
    """A photo without boxes is ignored; an unreadable photo is not in the sample."""
    calls = []

    found = measure_faithfulness(reader, verdicts, images, TrialSample(9, 0), on_progress=calls.append)

    assert trial_photos(found) == [f"{number}.png" for number in range(5)]
    assert (found.necessity.rate.count, found.sufficiency.rate.count, found.sufficiency.rate.total) == (0, 5, 5)
    assert (found.necessity.ignored_photos, found.counterfactual, sum(calls)) == (1, None, 9)


def test_sample_depends_on_the_seed(reader, images, verdicts):
    """Equal seeds draw the same photos."""
    drawn = [
        trial_photos(measure_faithfulness(reader, verdicts[:5], images, TrialSample(2, seed)))
        for seed in (0, 0, 1, 2, 3)
    ]

    assert drawn[0] == drawn[1]
    assert {len(photos) for photos in drawn} == {2}
    assert len({tuple(photos) for photos in drawn}) > 1


def test_missing_and_changed_photos_are_reported_together(reader, images, verdicts):
    """One photo is missing, one was replaced."""
    (images / "1.png").unlink()
    Image.new("RGB", (40, 30)).save(images / "3.png")

    with pytest.raises(DataError) as caught:
        measure_faithfulness(reader, verdicts, images, TrialSample(9, 0))

    assert [problem.code for problem in caught.value.problems] == ["LC657", "LC657"]
    assert "1.png" in caught.value.problems[0].message
    assert caught.value.problems[1].message == '"3.png" is not the photo that was predicted: its SHA-256 differs.'
