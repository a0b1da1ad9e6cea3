"""The commands that measure, as people use them: what they print, what they write, how they end."""

import csv
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from logicls.cli import app as cli
from logicls.cli import evaluate as cli_measure
from logicls.constraints.spec.loader import load_spec
from logicls.io.jsonl import Appender
from logicls.io.resources import share
from logicls.models.bundle import write_bundle
from logicls.predict.folder.runner import predict_folder, read_verdicts
from logicls.predict.self_test import write_probe
from logicls.predict.serialization import verdict_to_json
from logicls.records import Verdict
from logicls.synth.pipeline import SynthesisRequest, build_dataset

KIT = share("constraints/dosing_kit.yaml")
WIDTH = 100


@pytest.fixture
def run(monkeypatch, capsys):
    """Calls `logicls` in this process; gives (exit code, what it printed, what it complained about)."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["logicls", *map(str, words)])
        monkeypatch.setattr(cli_measure, "console", type(cli.console)(width=WIDTH))
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return stop.value.code, printed.out, printed.err

    return call


@pytest.fixture(scope="module")
def bench(tmp_path_factory, tiny_nano) -> Path:
    """A folder with `bundle`, a model of random weights, `photos`, three of them, `truth.csv` and `verdicts`."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("bench")
    spec = load_spec(KIT)
    model, processor = tiny_nano(spec)
    with torch.no_grad():  # so that it points at something
        model.detection_head.centre_filter.weight.normal_(std=0.5)
        model.detection_head.centre_filter.bias.zero_()
    bundle = write_bundle(folder / "bundle", model=model, processor=processor, spec_file=KIT, max_boxes=5)
    build_dataset(SynthesisRequest(KIT, share("data/dosing_kit"), folder / "synth", 2, 0), workers=1)
    write_probe(bundle, folder / "synth")
    (folder / "photos").mkdir()
    rows = list(csv.DictReader(share("data/dosing_kit/heldout/truth.csv").read_text().splitlines()))
    for row in rows[:3]:
        shutil.copy(share(f"data/dosing_kit/heldout/images/{row['image']}"), folder / "photos")
    (folder / "truth.csv").write_text(
        "image,violations\n" + "".join(f"{row['image']},{row['violations']}\n" for row in rows[:3])
    )
    predict_folder(bundle, folder / "photos", folder / "verdicts")
    return folder


def narrow(text):
    """Whether every line fits on a screen of that width; paths are not broken, so that they can be copied."""
    return all(len(line) <= WIDTH or line.endswith(".json") for line in text.splitlines())


def test_eval_tries_faithfulness_beside_the_scoreboard(run, bench, tmp_path):
    """Three tests with their figures in metrics.json, and a table that fits the screen."""
    tested = "--faithful", "--bundle", bench / "bundle", "--images", bench / "photos", "--sample", "2"
    words = "eval", bench / "verdicts", "--truth", bench / "truth.csv", "--out", tmp_path, *tested

    code, out, err = run(*words, "--data", share("data/dosing_kit"))

    assert (code, err) == (0, "")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    tests = metrics["faithful"]
    assert metrics["n"] == 3
    assert set(tests) == {"necessity", "sufficiency", "counterfactual"}
    assert [tests[name]["n"] + tests[name]["left_out"] for name in tests] == [2, 2, 2]
    assert "kept alone: the answer stays" in out
    assert narrow(out)


def test_eval_prints_json_alone(run, bench, tmp_path):
    """What a script reads is on standard output, progress elsewhere; without --data the third test is null."""
    tested = "--faithful", "--bundle", bench / "bundle", "--images", bench / "photos", "--sample", "1"
    words = "eval", bench / "verdicts", "--truth", bench / "truth.csv", "--out", tmp_path, *tested

    code, out, _ = run(*words, "--json")

    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "metrics.json").read_text())
    assert json.loads(out)["faithful"]["counterfactual"] is None


def test_faithfulness_needs_the_photos_that_were_predicted(run, bench, tmp_path):
    """One that was changed since is named."""
    photos = Path(shutil.copytree(bench / "photos", tmp_path / "photos"))
    first = next(read_verdicts(bench / "verdicts/verdicts.jsonl")).photo
    Image.new("RGB", (9, 9)).save(photos / first)
    tested = "--faithful", "--bundle", bench / "bundle", "--images", photos

    code, _, err = run("eval", bench / "verdicts", "--truth", bench / "truth.csv", "--out", tmp_path, *tested)

    assert code == 2
    assert f'LC657 "{first}" is another photo than the one that was predicted.' in err


def test_eval_reads_a_folder_of_loco(run, tmp_path):
    """The top figures are about good and logical photos; structural ones have their own; other sets count nowhere."""
    root = tmp_path / "pin_box"
    for name in ("good", "logical_anomalies", "structural_anomalies"):
        (root / "test" / name).mkdir(parents=True)
        Image.new("L", (8, 6)).save(root / "test" / name / "000.png")
    for name, value in (("logical_anomalies", 255), ("structural_anomalies", 254)):
        (root / "ground_truth" / name / "000").mkdir(parents=True)
        Image.new("L", (8, 6), value).save(root / "ground_truth" / name / "000" / "000.png")
    kinds = [
        {"defect_name": name, "pixel_value": value, "saturation_threshold": 1.0, "relative_saturation": True}
        for name, value in (("missing_pin", 255), ("dent", 254))
    ]
    (root / "defects_config.json").write_text(json.dumps(kinds))
    with Appender(tmp_path / "verdicts/verdicts.jsonl") as lines:
        for name in ("test/good/000.png", "test/structural_anomalies/000.png", "train/good/000.png"):
            lines.append(verdict_to_json(Verdict(name, "pass", score=0.1, scores=(("missing_pin", 0.1),))))
        missing = Verdict("test/logical_anomalies/000.png", "fail", ("missing_pin",), score=0.9,
                          scores=(("missing_pin", 0.9),), width=8, height=6)  # fmt: skip
        lines.append(verdict_to_json(missing))

    code, out, err = run("eval", tmp_path / "verdicts", "--truth", root, "--out", tmp_path / "scores")

    assert (code, err) == (0, "")
    metrics = json.loads((tmp_path / "scores/metrics.json").read_text())
    assert (metrics["n"], metrics["exact_match"], metrics["escape_rate"], metrics["unlabelled"]) == (2, 1, 0, [])
    assert metrics["violations"]["missing_pin"]["recall"] == 1
    assert metrics["loco"]["logical"]["defects"]["missing_pin"]["recall"] == 1
    assert metrics["loco"]["structural"]["escape_rate"] == 1
    assert metrics["loco"]["left_out"] == 1
    assert "no rule" in out
    assert narrow(out)


def test_study_beside_people(run, bench, tmp_path):
    """The bundle and Anna, two trials each: figures in study.json, every decision in study.csv, a table that fits."""
    photos = [line.partition(",")[0] for line in (bench / "truth.csv").read_text().splitlines()[1:]]
    rows = [f"{photo},anna,{trial},pass" for photo in photos for trial in (1, 2)]
    (tmp_path / "people.csv").write_text("\n".join(["photo,inspector,trial,decision", *rows]))
    words = "study", bench / "bundle", bench / "photos", "--truth", bench / "truth.csv", "--out", tmp_path / "study"

    code, out, err = run(*words, "--inspectors", tmp_path / "people.csv", "--trials", "2", "--seed", "1")

    assert (code, err) == (0, "")
    board = json.loads((tmp_path / "study/study.json").read_text())
    assert list(board["inspectors"]) == ["logicls", "anna"]
    assert (board["n"], board["inspectors"]["logicls"]["trials"], board["seed"], board["strength"]) == (3, 2, 1, 0.5)
    assert board["inspectors"]["anna"]["within"] == 1
    table = list(csv.DictReader((tmp_path / "study/study.csv").read_text().splitlines()))
    assert [(row["inspector"], row["trial"]) for row in table].count(("logicls", "2")) == 3
    assert len(table) == 12
    assert "effectiveness" in out
    assert narrow(out)


def test_a_study_goes_on_after_it_was_ended(run, bench, tmp_path):
    """The same command takes what is decided, and comes to the same; a line that a kill tore is decided again."""
    words = "study", bench / "bundle", bench / "photos", "--truth", bench / "truth.csv", "--out", tmp_path
    run(*words, "--trials", "2")
    kept, table = tmp_path / "decisions.jsonl", (tmp_path / "study.csv").read_text()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-5])

    code, _, err = run(*words, "--trials", "2")

    assert (code, err) == (0, "")
    assert (kept.read_bytes(), (tmp_path / "study.csv").read_text()) == (whole, table)
    assert whole.count(b"\n") == 6


def test_study_alone_prints_json(run, bench, tmp_path):
    """Without people there is nothing between; one trial has nothing within."""
    words = "study", bench / "bundle", bench / "photos", "--truth", bench / "truth.csv", "--out", tmp_path

    code, out, _ = run(*words, "--trials", "1", "--json")

    assert code == 0
    board = json.loads(out)
    assert board["between"]["agreement"] is None
    assert board["inspectors"]["logicls"]["within"] is None


def test_study_refuses_bad_decisions_before_it_looks(run, bench, tmp_path):
    """All problems at once, with their lines; nothing is written."""
    (tmp_path / "people.csv").write_text("photo,inspector,trial,decision\nx.jpg,anna,1,ok\nx.jpg,anna,one,pass\n")
    words = "study", bench / "bundle", bench / "photos", "--truth", bench / "truth.csv", "--out", tmp_path / "study"

    code, _, err = run(*words, "--inspectors", tmp_path / "people.csv")

    assert code == 2
    assert re.findall(r"people.csv:(\d):1 (LC\d+)", err) == [
        ("2", "LC666"), ("2", "LC664"), ("3", "LC666"), ("3", "LC663"),
    ]  # fmt: skip
    assert not (tmp_path / "study").exists()
