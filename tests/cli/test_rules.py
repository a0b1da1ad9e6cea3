"""Commands about rules that change without training: judge, bundle update, limits, predict --spec, and what follows."""

from __future__ import annotations

import csv
import json
import shutil

import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.io.resources import resource_path
from logicls.predict.serialization import read_verdicts, result_id


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Copy some photos of the sample product, good ones and others."""
    folder = tmp_path_factory.mktemp("photos")
    for part in ("images", "heldout/images"):
        for path in sorted((resource_path("data/dosing_kit") / part).glob("*.jpg"))[:8]:
            shutil.copy(path, folder)
    return folder


@pytest.fixture
def new_spec(old_bundle, tmp_path):
    """Write a spec with another limit, another name, and another severity."""
    text = (old_bundle / "spec.yaml").read_text().partition("\nexamples:")[0] + "\n"
    for old, new in (
        ("between: [0.6, 0.72]", "between: [0.64, 0.67]"),
        ("violation: wrong_mark", "violation: mixup"),
        ("violation: misplaced_mark\n    severity: minor", "violation: misplaced_mark\n    severity: major"),
    ):
        text = text.replace(old, new)
    (tmp_path / "new.yaml").write_text(text)
    return tmp_path / "new.yaml"


def verdicts_of(folder):
    """Read verdicts without their times, as JSON."""
    lines = (folder / "verdicts.jsonl").read_text().splitlines()
    return [{**json.loads(line), "seconds": 0} for line in lines]


@pytest.mark.slow
def test_rules_change_without_training(run, old_bundle, photos, new_spec, tmp_path):
    """Judging, predicting with --spec and an updated bundle agree; replay, report and threshold work on all of them."""
    assert run("predict", old_bundle, photos, "--out", tmp_path / "old", "--workers", 0)[0] == 1

    code, out, _ = run("judge", tmp_path / "old", "--spec", new_spec, "--out", tmp_path / "judged")
    assert code == 1
    assert "level: other limits or conditions than in training; pass below 0.1, fail above 0.9, as before; " in out
    assert "mark-centred: another severity; pass below " in out
    assert f"for the page: logicls report {tmp_path / 'judged'}" in out
    run("predict", old_bundle, photos, "--out", tmp_path / "anew", "--spec", new_spec, "--workers", 0)
    code, out, _ = run("bundle", "update", old_bundle, "--spec", new_spec, "--out", tmp_path / "updated")
    hashes = load_spec(old_bundle / "spec.yaml").hash, load_spec(new_spec).hash
    assert (code, out.splitlines()[-1]) == (
        0, f"{tmp_path / 'updated'}: trained with spec {hashes[0]}, judges by spec {hashes[1]}"
    )  # fmt: skip
    run("predict", tmp_path / "updated", photos, "--out", tmp_path / "updated_verdicts", "--workers", 0)

    judged = verdicts_of(tmp_path / "judged")
    assert judged == verdicts_of(tmp_path / "anew") == verdicts_of(tmp_path / "updated_verdicts")
    with (tmp_path / "judged" / "verdicts.csv").open() as file:
        assert {(row["trained_spec_hash"], row["spec_hash"]) for row in csv.DictReader(file)} == {hashes}
    verdict = next(read_verdicts(tmp_path / "judged" / "verdicts.jsonl"))
    for name in ("judged", "anew", "updated_verdicts"):
        code, out, _ = run("replay", result_id(verdict), "--verdicts", tmp_path / name)
        assert (code, "reproduced" in out) == (0, True)
        run("report", tmp_path / name)
        assert "mixup" in (tmp_path / name / "report" / "index.html").read_text()
    code, out, _ = run("threshold", tmp_path / "updated", tmp_path / "judged", "--set", "level=0.2:0.8")
    assert (code, "level: pass below 0.2, fail above 0.8; set by hand" in out) == (0, True)
    again = run("judge", tmp_path / "judged", "--spec", new_spec, "--out", tmp_path / "again")
    assert verdicts_of(tmp_path / "again") == verdicts_of(tmp_path / "judged") != judged
    assert again[0] == 1


@pytest.mark.slow
def test_a_run_is_not_continued_with_other_rules(run, old_bundle, photos, new_spec, tmp_path):
    """The message says which command settles its verdicts."""
    run("predict", old_bundle, photos, "--out", tmp_path / "old", "--workers", 0)

    code, _, err = run("predict", old_bundle, photos, "--out", tmp_path / "old", "--spec", new_spec, "--workers", 0)

    assert code == 2
    assert "LC601 has verdicts judged with spec " in err
    assert "`logicls judge`" in err


@pytest.mark.parametrize("option", [("--endpoint", "http://localhost:9"), ("--ray", "local")])
def test_other_rules_are_for_the_bundles_own_model_here(run, old_bundle, photos, new_spec, tmp_path, option):
    """A cluster and a server have the bundle, or take a spec."""
    code, _, err = run("predict", old_bundle, photos, "--out", tmp_path / "o", "--spec", new_spec, *option)

    assert code == 2
    assert f"LC680 {option[0]} and --spec exclude each other." in err


@pytest.mark.slow
def test_limits_are_proposed_and_used(run, old_bundle, photos, tmp_path, monkeypatch):
    """From photos and from their verdicts the same; the written spec is one that the bundle takes."""
    monkeypatch.setenv("COLUMNS", "200")
    good = tmp_path / "good"
    good.mkdir()
    for path in sorted(photos.glob("good_*.jpg")):
        shutil.copy(path, good)
    run("predict", old_bundle, good, "--out", tmp_path / "verdicts", "--workers", 0)

    code, out, _ = run("limits", old_bundle, good, "--out", tmp_path / "new.yaml")
    from_verdicts = run("limits", old_bundle, tmp_path / "verdicts", "--rule", "level")

    assert code == 0
    assert "level, 0: too few photos (8 of 473); supposes normal readings" in out
    assert "too few photos (8 of 473)" in from_verdicts[1]
    assert "spoon" not in from_verdicts[1]
    before, after = ((folder).read_text().splitlines() for folder in (old_bundle / "spec.yaml", tmp_path / "new.yaml"))
    assert [a.partition("[")[0] for a, b in zip(before, after, strict=True) if a != b][-1].strip().startswith("measure")
    assert run("bundle", "update", old_bundle, "--spec", tmp_path / "new.yaml", "--out", tmp_path / "updated")[0] == 0
