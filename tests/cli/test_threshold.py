"""Command `threshold`: new thresholds are applied to verdicts and stored in the bundle."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from logicls.cli.threshold import threshold
from logicls.constraints.spec.loader import load_spec
from logicls.io.jsonl import Appender
from logicls.io.resources import resource_path
from logicls.predict.serialization import read_verdicts, verdict_to_json
from logicls.records import Finding, Verdict

RULE = "spoon-in-place"  # severity minor: 59 defective photos are enough to guarantee 5 %


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path, Path]:
    """Bundle with a spec, verdicts on 60 photos with a misplaced spoon and 400 good ones, and the ground truth.

    Defective photos have probabilities from 0.4 up, good photos 0.01, and one good photo 0.3.
    """
    (tmp_path / "bundle").mkdir()
    text = resource_path("constraints/dosing_kit.yaml").read_text(encoding="utf-8")
    (tmp_path / "bundle" / "spec.yaml").write_text(text)
    spec = load_spec(tmp_path / "bundle" / "spec.yaml").hash
    rows = ["image,violations"]
    with Appender(tmp_path / "verdicts" / "verdicts.jsonl") as lines:
        for n in range(460):
            is_broken = n < 60
            probability = 0.4 + 0.6 * n / 60 if is_broken else 0.3 if n == 60 else 0.01
            names = ("misplaced_spoon",) if is_broken else ()
            finding = Finding(RULE, "broken" if is_broken else "holds", names, probability=probability)
            lines.append(verdict_to_json(Verdict(f"{n}.jpg", "review", names, findings=(finding,), spec=spec)))
            rows.append(f"{n}.jpg,{';'.join(names)}")
    (tmp_path / "truth.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "bundle", tmp_path / "verdicts", tmp_path / "truth.csv"


def outcomes(folder: Path) -> list[str]:
    """Return the outcomes in the order of the file."""
    return [verdict.outcome for verdict in read_verdicts(folder / "verdicts.jsonl")]


def test_thresholds_meet_the_targets_on_ground_truth(folders, capsys):
    """The bundle, the verdicts and the table get the thresholds, and the guarantee is printed."""
    bundle, verdicts, truth = folders

    threshold(bundle, verdicts, truth=truth)

    limit = json.loads((bundle / "thresholds.json").read_text())["limits"][RULE]
    assert (limit["low"], limit["high"]) == (0.2, 0.9)
    assert limit["guarantee"].startswith("escape rate at most 4.87% with 95% confidence (0 of 60)")
    actual = outcomes(verdicts)
    assert (actual[:50], actual[50:60], actual[60], set(actual[61:])) == (
        ["review"] * 50,
        ["fail"] * 10,
        "review",
        {"pass"},
    )
    with (verdicts / "verdicts.csv").open() as table:
        assert [row["outcome"] for row in csv.DictReader(table)] == actual
    ids = {verdict.thresholds for verdict in read_verdicts(verdicts / "verdicts.jsonl")}
    assert len(ids) == 1
    assert f"thresholds {ids.pop()}: 10 fail, 399 pass, 51 review" in capsys.readouterr().out


def test_a_target_without_enough_photos_has_no_guarantee(folders, capsys):
    """1 % needs 299 defective photos; the message has the number."""
    bundle, verdicts, truth = folders

    threshold(bundle, verdicts, truth=truth, escape=0.01)

    assert "escape rate of 1.00% not guaranteed: 299 broken photos are needed, there are 60" in capsys.readouterr().out


def test_thresholds_of_one_rule_are_set(folders):
    """`--set` with `--file` leaves the bundle unchanged; a later run reads the file."""
    bundle, verdicts, _ = folders
    file = verdicts.parent / "mine.json"

    threshold(bundle, verdicts, set_=[f"{RULE}=0.35:0.5"], file=file)
    first = outcomes(verdicts)
    threshold(bundle, verdicts, set_=[f"{RULE}=0.2:0.9"], file=verdicts.parent / "other.json")
    between = outcomes(verdicts)
    threshold(bundle, verdicts, file=file)

    assert first.count("review") == 10
    assert between.count("review") == 51
    assert outcomes(verdicts) == first
    assert not (bundle / "thresholds.json").exists()


def test_an_existing_report_page_is_updated(folders, capsys):
    """The page shows the new outcomes; without a page, none is created."""
    bundle, verdicts, _ = folders
    threshold(bundle, verdicts, set_=[f"{RULE}=0.35:0.5"])
    page = verdicts / "report" / "index.html"
    assert not page.exists()
    page.parent.mkdir()
    page.write_text("former page")
    (verdicts / "run.json").write_text(json.dumps({"photos": str(verdicts.parent), "folder": str(bundle)}))

    threshold(bundle, verdicts, set_=[f"{RULE}=0.2:0.9"])

    assert str(page) in capsys.readouterr().out
    assert "former page" not in page.read_text()
    assert "399" in page.read_text()
