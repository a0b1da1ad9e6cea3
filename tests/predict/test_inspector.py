"""Inspection of batches: any reader will do, rejected photos go to review, and faults of the machine stop the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from logicls.constraints.checker.decomposition import VERDICT
from logicls.constraints.spec.loader import load_spec
from logicls.errors import InferenceError, PhotoError, Problem
from logicls.models.bundle import Bundle
from logicls.predict.folder.runner import inspect_with_reader, predict_folder
from logicls.predict.input.loader import LoadedPhoto
from logicls.predict.inspector import BatchInspector
from logicls.predict.readers.protocol import Prediction, Reader
from logicls.records import Answer, Box

STRIP, DARK = "strip.png", "dark.png"


@dataclass
class FakeReader:
    """Implements `Reader` and nothing else: two red pins and a round lid on every photo."""

    bundle: Bundle
    error: BaseException | None = None
    """Raised for a batch with the photo `DARK`."""
    max_batch: int = 99
    """Number of photos that fit into memory."""

    @property
    def input_size(self):
        """(height, width) of the input."""
        return 20, 30

    def predict_raw(self, photos):
        """Predict, or fail."""
        names = [photo.name for photo in photos]
        if STRIP in names:
            raise PhotoError(Problem("LC610", "the model does not accept this photo: aspect ratio."))
        if self.error is not None and DARK in names:
            raise self.error
        if len(photos) > self.max_batch:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        boxes = (Box(0.0, 0.0, 5.0, 5.0), Box(10.0, 0.0, 15.0, 5.0))
        answers = (
            Answer("locate:pin", boxes=boxes, probabilities=(1.0, 1.0)),
            Answer("attribute:pin.colour", ("red", "red"), probabilities=(1.0, 1.0)),
            Answer("attribute:lid.shape", ("round",), probabilities=(1.0,)),
        )
        violations = tuple((name, 0.0) for name in self.bundle.spec.violations)
        return [Prediction(answers, Answer(VERDICT), violations) for _ in photos]


@pytest.fixture
def spec_bundle(box_spec) -> Bundle:
    """A bundle without a model."""
    return Bundle(box_spec, "0123456789ab", load_spec(box_spec), None, None, 3)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three photos: good, dark, a strip."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", DARK, STRIP):
        Image.new("RGB", (60, 40)).save(photos / name)
    return photos


def load(*names: str) -> list[LoadedPhoto]:
    """Make photos in memory."""
    return [LoadedPhoto(name, np.zeros((20, 30, 3), np.uint8), (60, 40)) for name in names]


def inspect(reader: Reader, *names: str):
    """Inspect photos with these names in one batch."""
    with BatchInspector(reader, Path(), 0) as inspector:
        return inspector.inspect(load(*names))


FAULTS = [
    RuntimeError("CUDA error: device-side assert triggered"),
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB."),
    MemoryError(),
    ValueError("Image features and image tokens do not match"),
]


def test_a_reader_needs_the_protocol_alone(spec_bundle, folder, tmp_path):
    """A class with the three members of `Reader` inspects a folder."""
    reader = FakeReader(spec_bundle)

    assert isinstance(reader, Reader)
    predict_folder(
        spec_bundle, folder, tmp_path / "out", inspect=inspect_with_reader(reader, folder, 2, 0), only=["a.png", DARK]
    )

    assert sorted(read_outcomes(tmp_path / "out")) == [("a.png", "pass"), (DARK, "pass")]


def read_outcomes(out: Path) -> list[tuple[str, str]]:
    """Read photos and outcomes of the verdicts in a folder."""
    from logicls.predict.serialization import read_verdicts

    return [(verdict.photo, verdict.outcome) for verdict in read_verdicts(out / "verdicts.jsonl")]


@pytest.mark.parametrize("names", [(STRIP,), (STRIP, STRIP), ("a.png", STRIP), (STRIP, DARK, "a.png")])
def test_a_rejected_photo_goes_to_review_whatever_the_batch(spec_bundle, names):
    """The other photos of its batch get their verdicts."""
    verdicts = inspect(FakeReader(spec_bundle), *names)

    for name, verdict in zip(names, verdicts, strict=True):
        assert (verdict.photo, verdict.outcome) == (name, "review" if name == STRIP else "pass")
        assert bool(verdict.answers) == (name != STRIP)
    rejected = verdicts[names.index(STRIP)]
    assert rejected.reasons == ("the model does not accept this photo: aspect ratio.",)


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("names", [(DARK,), ("a.png", DARK), (DARK, STRIP)])
def test_a_fault_of_the_machine_is_no_verdict(spec_bundle, error, names):
    """It raises with a code for one photo as for two, and in the repetition of a batch with a rejected photo."""
    with pytest.raises(InferenceError, match="LC609") as caught:
        inspect(FakeReader(spec_bundle, error), *names)

    assert caught.value.__cause__ is error
    assert str(error).rstrip(".") in str(caught.value)


def test_a_batch_beyond_the_memory_is_repeated_one_photo_at_a_time(spec_bundle):
    """Photos that fit one at a time get the same verdicts as in a batch."""
    small = inspect(FakeReader(spec_bundle, max_batch=1), "a.png", DARK)

    assert [(one.photo, one.outcome) for one in small] == [("a.png", "pass"), (DARK, "pass")]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_run_continues_after_a_fault(spec_bundle, folder, tmp_path, batch):
    """Nothing is written for the photo during the fault; the same command inspects it afterwards, each photo once."""
    out = tmp_path / "out"
    failing = FakeReader(spec_bundle, RuntimeError("CUDA error: device-side assert triggered"))

    with pytest.raises(InferenceError, match="the same command continues"):
        predict_folder(spec_bundle, folder, out, inspect=inspect_with_reader(failing, folder, batch, 0))
    during = read_outcomes(out)
    predict_folder(spec_bundle, folder, out, inspect=inspect_with_reader(FakeReader(spec_bundle), folder, batch, 0))

    assert during == ([("a.png", "pass")] if batch == 1 else [])
    assert read_outcomes(out) == [("a.png", "pass"), (DARK, "pass"), (STRIP, "review")]
