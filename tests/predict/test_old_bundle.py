"""A bundle and verdicts of version 0.1, written before fields were renamed, are read as they were."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from logicls.io.resources import resource_path
from logicls.predict.folder.runner import predict_folder
from logicls.predict.self_test import open_bundle
from logicls.predict.serialization import result_id, verdict_from_json

RECORDED = Path(__file__).parents[1] / "fixtures" / "verdicts_0_1.jsonl"
"""Verdicts of the first held-out photos of the sample product, as version 0.1 wrote them."""


@pytest.fixture(scope="module")
def before():
    """The recorded lines, as JSON."""
    return [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def now(old_bundle, tmp_path_factory):
    """Verdicts of today's code on the same photos, by name."""
    out = tmp_path_factory.mktemp("verdicts")
    predict_folder(
        open_bundle(old_bundle), resource_path("data/dosing_kit") / "heldout" / "images", out, batch=16, workers=0
    )
    lines = (out / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    return {verdict.photo: verdict for verdict in (verdict_from_json(json.loads(line)) for line in lines)}


def test_there_are_recorded_verdicts(before):
    """The recorded verdicts have detections and every outcome that the bundle gives."""
    assert len(before) == 16
    assert sum(len(answer["boxes"]) for record in before for answer in record["answers"]) > 100


def test_recorded_verdicts_are_read(before):
    """Lines with the old names of fields give verdicts with the same content and the same result id."""
    for record in before:
        verdict = verdict_from_json(record)

        assert result_id(verdict) == record["result"]
        assert [finding.probability for finding in verdict.findings] == [f["chance"] for f in record["findings"]]
        assert [list(answer.probabilities) for answer in verdict.answers] == [a["chances"] for a in record["answers"]]
        assert list(verdict.unconditional_reasons) == record["doubts"]


def test_the_bundle_predicts_as_before(before, now):
    """Outcomes, answers, boxes, scores and result ids are those of before, within rounding of another machine."""
    for record in before:
        verdict = now[record["photo"]]

        assert result_id(verdict) == record["result"]
        assert (verdict.outcome, list(verdict.violations)) == (record["outcome"], record["violations"])
        assert [a.query for a in verdict.answers] == [a["query"] for a in record["answers"]]
        assert [list(a.values) for a in verdict.answers] == [a["values"] for a in record["answers"]]
        for answer, old in zip(verdict.answers, record["answers"], strict=True):
            boxes = [(box.x1, box.y1, box.x2, box.y2) for box in answer.boxes]
            assert boxes == [
                pytest.approx(tuple(box[k] for k in ("x1", "y1", "x2", "y2")), abs=0.05) for box in old["boxes"]
            ]
            assert answer.confidence == pytest.approx(old["confidence"], abs=1e-3)
        assert dict(verdict.scores) == pytest.approx(dict(map(tuple, record["scores"])), abs=2e-3)
        assert verdict.score == pytest.approx(record["score"], abs=2e-3)


@pytest.mark.slow
def test_scores_do_not_depend_on_the_process(old_bundle, tmp_path):
    """Two processes with different hash seeds write the same verdicts, to the last bit."""
    photos = tmp_path / "photos"
    photos.mkdir()
    names = [f"kit_{number:03d}.jpg" for number in (4, 8, 10, 12, 15, 33)]  # on these the order of sums showed before
    for name in names:
        shutil.copy(resource_path("data/dosing_kit") / "heldout" / "images" / name, photos)
    scores = []
    for seed in ("1", "5"):
        out = tmp_path / seed
        command = [sys.executable, "-m", "logicls", "predict", str(old_bundle), str(photos), "--out", str(out)]
        done = subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=False)
        assert done.returncode == 1, done.stderr
        lines = (out / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
        scores.append([json.loads(line)["scores"] for line in lines])

    assert len(scores[0]) == len(names)
    assert scores[0] == scores[1]
