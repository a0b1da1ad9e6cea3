"""From the command line: a second look while predicting, and the measurement of all of them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from logicls.cli.app import app
from logicls.predict.folder.runner import read_verdicts
from logicls.predict.uncertainty.thresholds import THRESHOLDS_FILE, RuleThresholds, Thresholds, write_thresholds


@pytest.fixture
def desk(tmp_path, photos) -> Path:
    """A folder with `photos`, three of them, and `truth.csv` of the first two."""
    (tmp_path / "photos").mkdir()
    for number, photo in enumerate(photos):
        Image.fromarray(photo).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "truth.csv").write_text("image,violations\n0.png,missing_pin\n1.png,\n")
    return tmp_path


def called(*words: object) -> str:
    """What the command line printed; it did not fail."""
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


@pytest.mark.slow
def test_predict_with_a_reasoner(bundle, desk):
    """Photos in review are looked at again, others are not, and without the option none is."""
    careful = desk / "bundle"
    shutil.copytree(bundle.path, careful)
    undecided = tuple((rule, RuleThresholds(0.2, 0.99)) for rule in ("two-pins", "lid-goes-with-pin"))
    write_thresholds(careful / THRESHOLDS_FILE, Thresholds(undecided))
    called("predict", careful, desk / "photos", "--out", desk / "first", "--workers", 0)
    called("predict", careful, desk / "photos", "--out", desk / "second", "--workers", 0, "--reasoner", "latent")

    first = {v.photo: v for v in read_verdicts(desk / "first" / "verdicts.jsonl")}
    second = {v.photo: v for v in read_verdicts(desk / "second" / "verdicts.jsonl")}
    assert set(first) == set(second) == {"0.png", "1.png", "2.png"}
    assert "review" in {v.outcome for v in first.values()}
    assert all(v.second_look is None for v in first.values())
    for photo, verdict in second.items():
        assert (verdict.second_look is not None) == (first[photo].outcome == "review")


@pytest.mark.slow
def test_second_looks_are_measured(bundle, desk):
    """First looks, first looks decided by logic, and each reasoner by seed, over the photos with a truth."""
    chosen = [word for name in ("latent", "random", "closer") for word in ("--reasoner", name)]
    words = "second-look", bundle.path, desk / "photos", "--truth", desk / "truth.csv", "--out", desk / "looks"

    printed = called(*words, "--seeds", 2, "--open", 0, *chosen)

    rows = list(csv.DictReader((desk / "looks" / "second_look.csv").read_text().splitlines()))
    names = [(row["reasoner"], row["seed"]) for row in rows]
    seeded = [(name, seed) for name in ("latent", "random") for seed in ("0", "1")]
    assert names == [("none", "0"), ("decided", "0"), *seeded, ("closer", "0")]
    assert {row["photos"] for row in rows} == {"2"}
    assert [row["looked"] for row in rows[:2]] == ["0.0", "0.0"]
    assert {row["looked"] for row in rows[2:]} == {"1.0"}
    rewards = json.loads((desk / "looks" / "rewards.json").read_text())
    assert set(rewards) == {"latent", "random"}
    assert all(len(line) >= 2 for line in rewards.values())
    assert "2 photos, 2 looked at again" in printed
