"""`logicls threshold`: verdicts are settled anew without predicting, and the bundle keeps what was chosen."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from logicls.cli.threshold import threshold
from logicls.constraints.spec.loader import load_spec
from logicls.io.jsonl import Appender
from logicls.io.resources import resource_path
from logicls.predict.folder.runner import read_verdicts
from logicls.predict.serialization import verdict_to_json
from logicls.records import Finding, Verdict

RULE = "spoon-in-place"  # a minor one: 59 broken photos promise 5 %


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path, Path]:
    """A bundle's spec; verdicts on 60 photos with a misplaced spoon and 400 good ones; the truth.

    Broken ones have chances from 0.4 up, good ones of 0.01; one good one of 0.3.
    """
    (tmp_path / "bundle").mkdir()
    text = resource_path("constraints/dosing_kit.yaml").read_text(encoding="utf-8")
    (tmp_path / "bundle" / "spec.yaml").write_text(text)
    spec = load_spec(tmp_path / "bundle" / "spec.yaml").hash
    rows = ["image,violations"]
    with Appender(tmp_path / "verdicts" / "verdicts.jsonl") as lines:
        for n in range(460):
            is_broken = n < 60
            chance = 0.4 + 0.6 * n / 60 if is_broken else 0.3 if n == 60 else 0.01
            names = ("misplaced_spoon",) if is_broken else ()
            found = Finding(RULE, "broken" if is_broken else "holds", names, probability=chance)
            lines.append(verdict_to_json(Verdict(f"{n}.jpg", "review", names, findings=(found,), spec=spec)))
            rows.append(f"{n}.jpg,{';'.join(names)}")
    (tmp_path / "truth.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "bundle", tmp_path / "verdicts", tmp_path / "truth.csv"


def outcomes(folder: Path) -> list[str]:
    """In the order of the file."""
    return [verdict.outcome for verdict in read_verdicts(folder / "verdicts.jsonl")]


def test_thresholds_are_chosen_on_the_truth(folders, capsys):
    """Targets of the severity; the bundle, the verdicts and the table have them, and what they promise is said."""
    bundle, verdicts, truth = folders

    threshold(bundle, verdicts, truth=truth)

    limit = json.loads((bundle / "thresholds.json").read_text())["limits"][RULE]
    assert (limit["low"], limit["high"]) == (0.2, 0.9)
    assert limit["guarantee"].startswith("escape rate at most 4.87% with 95% confidence (0 of 60)")
    found = outcomes(verdicts)
    assert (found[:50], found[50:60], found[60], set(found[61:])) == (
        ["review"] * 50,
        ["fail"] * 10,
        "review",
        {"pass"},
    )
    with (verdicts / "verdicts.csv").open() as table:
        assert [row["outcome"] for row in csv.DictReader(table)] == found
    ids = {verdict.thresholds for verdict in read_verdicts(verdicts / "verdicts.jsonl")}
    assert len(ids) == 1
    assert f"thresholds {ids.pop()}: 10 fail, 399 pass, 51 review" in capsys.readouterr().out


def test_a_stricter_target_says_what_is_missing(folders, capsys):
    """1 % needs 299 broken photos."""
    bundle, verdicts, truth = folders

    threshold(bundle, verdicts, truth=truth, escape=0.01)

    assert "escape rate of 1.00% not guaranteed: 299 broken photos are needed, there are 60" in capsys.readouterr().out


def test_one_rule_is_set_by_hand(folders):
    """In a file of its own: the bundle's are left alone; another run without a change reads that file again."""
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


def test_the_page_is_drawn_again_where_there_is_one(folders, capsys):
    """It counts what the verdicts are now; where there was no page none is made."""
    bundle, verdicts, _ = folders
    threshold(bundle, verdicts, set_=[f"{RULE}=0.35:0.5"])
    page = verdicts / "report" / "index.html"
    assert not page.exists()
    page.parent.mkdir()
    page.write_text("of before")
    (verdicts / "run.json").write_text(json.dumps({"photos": str(verdicts.parent), "folder": str(bundle)}))

    threshold(bundle, verdicts, set_=[f"{RULE}=0.2:0.9"])

    assert str(page) in capsys.readouterr().out
    assert "of before" not in page.read_text()
    assert "399" in page.read_text()
