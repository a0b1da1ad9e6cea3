"""What people see when calibration or thresholds cannot be used."""

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


@pytest.fixture
def bench(desk) -> Path:
    """A bundle's spec, verdicts of it and their truth."""
    spec = resource_path("constraints/dosing_kit.yaml")
    write_text(Path("bundle/spec.yaml"), spec.read_text(encoding="utf-8"))
    _verdict(load_spec(spec).hash)
    write_text(Path("truth.csv"), "image,violations\na.jpg,\n")
    write_text(Path("another_day.csv"), "image,violations\nb.jpg,\n")
    return desk


def _verdict(spec: str, file: str = "verdicts") -> None:
    with Appender(Path(file, "verdicts.jsonl")) as lines:
        lines.append(
            verdict_to_json(Verdict("a.jpg", "pass", findings=(Finding("level", "holds", probability=0.1),), spec=spec))
        )


def test_damaged_calibration(look_right, desk):
    """LC620: a temperature that is a word."""
    write_text(Path("calibration.json"), '{"located": "warm"}')

    look_right("LC620", lambda: read_calibration(Path()))


def test_thresholds_in_the_wrong_order(look_right, desk):
    """LC621: and a rule that is not there, at once."""
    write_text(Path("t.json"), '{"limits": {"level": {"low": 0.9, "high": 0.1}, "lid": {}}}')

    look_right("LC621", lambda: read_thresholds(Path("t.json"), constraints=["level"]))


def test_damaged_sketches(look_right, desk):
    """LC622: half a file."""
    Path("usual.safetensors").write_bytes(b"half")

    look_right("LC622", lambda: read_ood_model(Path()))


def test_truth_of_other_photos(look_right, bench):
    """LC623: there is nothing to choose on."""
    look_right("LC623", lambda: threshold(Path("bundle"), Path("verdicts"), truth=Path("another_day.csv")))


def test_targets_without_truth(look_right, bench):
    """LC624: nobody knows what escapes."""
    look_right("LC624", lambda: threshold(Path("bundle"), Path("verdicts"), escape=0.01))


def test_verdicts_of_another_spec(look_right, bench):
    """LC625: and they stay as they are."""
    _verdict("another", "others")
    before = Path("others/verdicts.jsonl").read_bytes()

    look_right("LC625", lambda: threshold(Path("bundle"), Path("others"), set_=["level=0.1:0.9"]))
    assert Path("others/verdicts.jsonl").read_bytes() == before
    assert not Path("bundle/thresholds.json").exists()


def test_a_rule_that_is_not_there(look_right, bench):
    """LC626: with the nearest one."""
    look_right("LC626", lambda: threshold(Path("bundle"), Path("verdicts"), set_=["levle=0.1:0.9"]))
