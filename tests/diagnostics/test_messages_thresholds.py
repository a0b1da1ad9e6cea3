"""Messages about calibration and thresholds."""

from __future__ import annotations

from pathlib import Path

import pytest

from logicls.cli.threshold import threshold
from logicls.constraints.spec.loader import load_spec
from logicls.io.atomic import write_text
from logicls.io.jsonl import Appender
from logicls.io.resources import resource_path
from logicls.predict.serialization import verdict_to_json
from logicls.predict.uncertainty.calibration import read_calibration
from logicls.predict.uncertainty.ood import read_ood_model
from logicls.predict.uncertainty.thresholds import read_thresholds
from logicls.records import Finding, Verdict
from logicls.train.photo_split import read_split


@pytest.fixture
def prepared(workdir) -> Path:
    """Working directory with a bundle's spec, verdicts and ground truth."""
    spec = resource_path("constraints/dosing_kit.yaml")
    write_text(Path("bundle/spec.yaml"), spec.read_text(encoding="utf-8"))
    _write_verdict(load_spec(spec).hash)
    write_text(Path("truth.csv"), "image,violations\na.jpg,\n")
    write_text(Path("another_day.csv"), "image,violations\nb.jpg,\n")
    return workdir


def _write_verdict(spec: str, file: str = "verdicts") -> None:
    with Appender(Path(file, "verdicts.jsonl")) as lines:
        lines.append(
            verdict_to_json(Verdict("a.jpg", "pass", findings=(Finding("level", "holds", probability=0.1),), spec=spec))
        )


def test_damaged_calibration(check_message, workdir):
    """LC620: a temperature is a word."""
    write_text(Path("calibration.json"), '{"located": "warm"}')

    check_message("LC620", lambda: read_calibration(Path()))


def test_thresholds_in_the_wrong_order(check_message, workdir):
    """LC621: reversed limits and an unknown rule are reported together."""
    write_text(Path("t.json"), '{"limits": {"level": {"low": 0.9, "high": 0.1}, "lid": {}}}')

    check_message("LC621", lambda: read_thresholds(Path("t.json"), constraints=["level"]))


def test_damaged_ood_model(check_message, workdir):
    """LC622: the file is truncated."""
    Path("usual.safetensors").write_bytes(b"half")

    check_message("LC622", lambda: read_ood_model(Path()))


def test_damaged_split(check_message, workdir):
    """LC628: the list of one side is missing."""
    Path("split.json").write_text('{"train": ["a.jpg"]}')

    check_message("LC628", lambda: read_split(Path()))


def test_truth_of_other_photos(check_message, prepared):
    """LC623: no verdict has ground truth."""
    check_message("LC623", lambda: threshold(Path("bundle"), Path("verdicts"), truth=Path("another_day.csv")))


def test_targets_without_truth(check_message, prepared):
    """LC624: escape rates need the ground truth."""
    check_message("LC624", lambda: threshold(Path("bundle"), Path("verdicts"), escape=0.01))


def test_verdicts_of_another_spec(check_message, prepared):
    """LC625: the verdicts stay unchanged."""
    _write_verdict("another", "others")
    before = Path("others/verdicts.jsonl").read_bytes()

    check_message("LC625", lambda: threshold(Path("bundle"), Path("others"), set_=["level=0.1:0.9"]))
    assert Path("others/verdicts.jsonl").read_bytes() == before
    assert not Path("bundle/thresholds.json").exists()


def test_an_unknown_rule(check_message, prepared):
    """LC626: a similar rule is suggested."""
    check_message("LC626", lambda: threshold(Path("bundle"), Path("verdicts"), set_=["levle=0.1:0.9"]))
