"""Metrics of reasoners, and their measurement from the command line."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from logicls.cli.app import app
from logicls.plugins.reasoning.evaluation import compute_metrics, decide_by_rules, limit_errors, mean_rewards
from logicls.plugins.reasoning.reinspection_result import ReinspectionResult
from logicls.predict.serialization import read_verdicts
from logicls.predict.uncertainty.thresholds import THRESHOLDS_FILE, RuleThresholds, Thresholds, write_thresholds
from logicls.records import Verdict

TRUTH = {"a": (), "b": ("x",), "c": (), "d": ("x",)}
RESULT = ReinspectionResult("latent", "review", 0.5, (0.5, 0.5, 0.8))
FIRST = [
    Verdict("a", "pass", score=0.01),
    Verdict("b", "fail", ("x",), score=0.99),
    Verdict("c", "review", score=0.4),
    Verdict("d", "review", ("x",), score=0.6),
]


def test_correct_reinspections():
    """Two reviews decided correctly leave no review, also at equal errors."""
    after = [
        *FIRST[:2],
        Verdict("c", "pass", score=0.2, plugin_results=(RESULT.to_plugin_result(),)),
        Verdict("d", "fail", ("x",), score=0.8),
    ]

    result = compute_metrics(after, TRUTH, FIRST)

    assert (result.photos, result.reinspected, result.amended, result.seconds) == (4, 0.25, 0.25, 0.5)
    assert (result.review, result.review_at_equal_errors, result.escapes, result.overkill, result.exact) == (
        0.0,
        0.0,
        0,
        0,
        1.0,
    )


def test_escape_costs_reviews():
    """An escape sends the least certain verdicts to review until it is caught."""
    after = [*FIRST[:2], Verdict("c", "pass", score=0.45), Verdict("d", "pass", score=0.3)]

    result = compute_metrics(after, TRUTH, FIRST)

    assert (result.review, result.escapes, result.exact) == (0.0, 1, 0.75)
    assert result.review_at_equal_errors == 0.5
    assert [v.outcome for v in limit_errors(after, TRUTH, (1, 0))] == ["pass", "fail", "pass", "pass"]


def test_photos_without_truth():
    """Photos without truth are ignored."""
    assert compute_metrics([Verdict("z", "review")], TRUTH, [Verdict("z", "review")]).photos == 0


def test_decide_by_rules():
    """A review is decided by its violations where allowed; other verdicts stay."""
    decided = [decide_by_rules(verdict, verdict.photo != "c") for verdict in FIRST]

    assert [verdict.outcome for verdict in decided] == ["pass", "fail", "review", "fail"]


def test_mean_rewards():
    """Runs that stopped early keep their last reward."""
    short = ReinspectionResult("latent", "review", 0.5, (0.6, 0.7))
    verdicts = [
        Verdict("a", "pass", plugin_results=(RESULT.to_plugin_result(),)),
        Verdict("b", "pass", plugin_results=(short.to_plugin_result(),)),
        Verdict("c", "pass"),
    ]

    assert mean_rewards(verdicts) == pytest.approx((0.55, 0.6, 0.75))


@pytest.fixture
def workspace(tmp_path, photos) -> Path:
    """Return a folder with three photos, and truth.csv of the first two."""
    (tmp_path / "photos").mkdir()
    for number, photo in enumerate(photos):
        Image.fromarray(photo).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "truth.csv").write_text("image,violations\n0.png,missing_pin\n1.png,\n")
    return tmp_path


def run_command(*words: object) -> str:
    """Return the output of the command line, which succeeds."""
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


@pytest.mark.slow
def test_predict_with_reasoner(bundle, workspace):
    """Photos in review are inspected again, others are not, and none without the option."""
    careful = workspace / "bundle"
    shutil.copytree(bundle.path, careful)
    run_command("predict", careful, workspace / "photos", "--out", workspace / "plain", "--workers", 0)
    plain = read_verdicts(workspace / "plain" / "verdicts.jsonl")
    high = sorted(max(finding.probability or 0.0 for finding in verdict.findings) for verdict in plain)[1]
    undecided = tuple((rule, RuleThresholds(0.0, high)) for rule in ("two-pins", "lid-goes-with-pin"))
    write_thresholds(careful / THRESHOLDS_FILE, Thresholds(undecided))
    run_command("predict", careful, workspace / "photos", "--out", workspace / "first", "--workers", 0)
    run_command(
        "predict", careful, workspace / "photos", "--out", workspace / "second", "--workers", 0, "--reasoner", "latent"
    )

    first = {v.photo: v for v in read_verdicts(workspace / "first" / "verdicts.jsonl")}
    second = {v.photo: v for v in read_verdicts(workspace / "second" / "verdicts.jsonl")}
    assert set(first) == set(second) == {"0.png", "1.png", "2.png"}
    assert {v.outcome for v in first.values()} >= {"review", "fail"}
    assert not any(v.plugin_results for v in first.values())
    for photo, verdict in second.items():
        assert bool(verdict.plugin_results) == (first[photo].outcome == "review")


@pytest.mark.slow
def test_second_look_command(bundle, workspace):
    """The table has the first pass, the first pass decided by rules, and each reasoner by seed."""
    selected = [word for name in ("latent", "random", "closer") for word in ("--reasoner", name)]
    words = (
        "second-look",
        bundle.path,
        workspace / "photos",
        "--truth",
        workspace / "truth.csv",
        "--out",
        workspace / "looks",
    )

    printed = run_command(*words, "--seeds", 2, "--min-entropy", 0, *selected)

    rows = list(csv.DictReader((workspace / "looks" / "second_look.csv").read_text().splitlines()))
    names = [(row["reasoner"], row["seed"]) for row in rows]
    seeded = [(name, seed) for name in ("latent", "random") for seed in ("0", "1")]
    assert names == [("none", "0"), ("decided", "0"), *seeded, ("closer", "0")]
    assert {row["photos"] for row in rows} == {"2"}
    assert [row["reinspected"] for row in rows[:2]] == ["0.0", "0.0"]
    assert {row["reinspected"] for row in rows[2:]} == {"1.0"}
    rewards = json.loads((workspace / "looks" / "rewards.json").read_text())
    assert set(rewards) == {"latent", "random"}
    assert all(len(line) >= 2 for line in rewards.values())
    assert "2 photos, 2 inspected again" in printed
