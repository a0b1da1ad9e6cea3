"""What training leaves beside the weights: scales, thresholds, and what usual photos look like."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.errors import BundleError, DataError
from logicls.io.resources import resource_path
from logicls.models.bundle import Bundle, write_bundle
from logicls.predict.decision import load_decision_model
from logicls.predict.uncertainty import calibration as scales
from logicls.predict.uncertainty import ood as novelty
from logicls.predict.uncertainty import thresholds
from logicls.synth.dataset import read_rows
from logicls.synth.pipeline import SynthesisRequest, build_dataset
from logicls.train.calibration import calibrate
from logicls.train.validation import split_photos

KIT = resource_path("constraints/dosing_kit.yaml")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Enough examples to tell what is usual."""
    out = tmp_path_factory.mktemp("many")
    build_dataset(SynthesisRequest(KIT, resource_path("data/dosing_kit"), out, 80, 0), workers=1)
    return out


@pytest.fixture(scope="module")
def plain(tiny_nano, tmp_path_factory) -> Bundle:
    """A bundle of random weights that was not calibrated."""
    model, processor = tiny_nano(load_spec(KIT))
    path = tmp_path_factory.mktemp("plain") / "bundle"
    return write_bundle(path, model=model, processor=processor, spec_file=KIT, max_boxes=5)


def calibrated(plain: Bundle, synth, said: list[str], share_aside: float = 0.5) -> Bundle:
    """The same bundle after the last step of training."""
    split = split_photos([row["photo"] for row in read_rows(synth, ("photo",))], share_aside, 0)
    calibrate(plain, synth, split, 0, said.append)
    return plain


@pytest.fixture(scope="module")
def once(plain, many, tmp_path_factory):
    """A calibrated copy, with what was said; read only."""
    path, said = tmp_path_factory.mktemp("once") / "bundle", list[str]()
    shutil.copytree(plain.path, path)
    return calibrated(replace(plain, path=path), many, said), said


@pytest.fixture
def made(once, tmp_path):
    """A copy to damage."""
    bundle, _ = once
    shutil.copytree(bundle.path, tmp_path / "bundle")
    return replace(bundle, path=tmp_path / "bundle")


def test_what_it_leaves_is_read_back(once):
    """All three files are there, prediction takes them up, and nothing is left to warn of."""
    bundle, said = once

    grounds = load_decision_model(bundle)

    assert {scales.CALIBRATION_FILE, thresholds.THRESHOLDS_FILE, novelty.OOD_FILE} <= {
        path.name for path in bundle.path.iterdir()
    }
    assert grounds.calibration.example_count > 0
    assert {name for name, _ in grounds.thresholds.limits} <= {c.id for c in bundle.spec.constraints}
    assert "synthetic examples of" in grounds.thresholds.origin
    assert grounds.warnings == ()
    assert said[-1].startswith(f"calibrated on {grounds.calibration.example_count} examples kept aside")


def test_the_same_again(made, many):
    """Nothing in it is by chance: the same bundle and examples give the same files."""
    before = {
        name: (made.path / name).read_bytes()
        for name in (scales.CALIBRATION_FILE, thresholds.THRESHOLDS_FILE, novelty.OOD_FILE)
    }

    calibrated(made, many, [])

    assert before == {name: (made.path / name).read_bytes() for name in before}


def test_without_examples_aside_nothing_is_written(plain, synth):
    """It says so, the bundle stays as it was, and prediction warns of both."""
    said: list[str] = []

    calibrated(plain, synth, said, 0.0)

    assert said == ["not calibrated: no examples were kept aside"]
    assert len(load_decision_model(plain).warnings) == 2


@pytest.mark.parametrize(
    ("file", "text", "code"),
    [
        (scales.CALIBRATION_FILE, "{", "LC620"),
        (scales.CALIBRATION_FILE, '{"located": "hot"}', "LC620"),
        (thresholds.THRESHOLDS_FILE, "{}", "LC621"),
        (thresholds.THRESHOLDS_FILE, '{"limits": {"two-pins": {"low": 0.1, "high": 0.9}}}', "LC621"),
        (novelty.OOD_FILE, "not a tensor", "LC622"),
    ],
)
def test_damage_is_told(made, file, text, code):
    """A bundle of which a part cannot be read is refused, and the file is named."""
    (made.path / file).write_text(text)

    with pytest.raises((BundleError, DataError)) as caught:
        load_decision_model(made)

    assert [problem.code for problem in caught.value.problems] == [code]
    assert file in str(caught.value)
