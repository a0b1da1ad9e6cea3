"""Commands `eval` and `study`: output, files, exit codes."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from logicls.constraints.spec.loader import load_spec
from logicls.io.jsonl import Appender
from logicls.io.resources import resource_path
from logicls.models.bundle import write_bundle
from logicls.predict.folder.runner import predict_folder
from logicls.predict.self_test import write_probe
from logicls.predict.serialization import read_verdicts, verdict_to_json
from logicls.records import Verdict
from logicls.synth.pipeline import SynthesisRequest, build_dataset

KIT = Path(__file__).parents[1] / "fixtures" / "bundle_0_1" / "spec.yaml"
"""Rules about the sample product that need no memory of good photos."""
WIDTH = 100


@pytest.fixture
def run(run, monkeypatch):
    """Return the function with a terminal of a fixed width."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    return run


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, tiny_nano) -> Path:
    """Folder with a `bundle` of random weights, three `photos`, `truth.csv` and `verdicts`."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("workspace")
    spec = load_spec(KIT)
    model, processor = tiny_nano(spec)
    with torch.no_grad():  # so that it detects something
        model.detection_head.centre_filter.weight.normal_(std=0.5)
        model.detection_head.centre_filter.bias.zero_()
    bundle = write_bundle(folder / "bundle", model=model, processor=processor, spec_file=KIT, max_boxes=5)
    build_dataset(SynthesisRequest(KIT, resource_path("data/dosing_kit"), folder / "synth", 2, 0), workers=1)
    write_probe(bundle, folder / "synth")
    (folder / "photos").mkdir()
    rows = list(csv.DictReader(resource_path("data/dosing_kit/heldout/truth.csv").read_text().splitlines()))
    for row in rows[:3]:
        shutil.copy(resource_path(f"data/dosing_kit/heldout/images/{row['image']}"), folder / "photos")
    (folder / "truth.csv").write_text(
        "image,violations\n" + "".join(f"{row['image']},{row['violations']}\n" for row in rows[:3])
    )
    predict_folder(bundle, folder / "photos", folder / "verdicts")
    return folder


def fits_width(text):
    """Return whether every line fits on a terminal of `WIDTH` columns; paths are not wrapped."""
    return all(len(line) <= WIDTH or line.endswith(".json") for line in text.splitlines())


def test_eval_measures_faithfulness(run, workspace, tmp_path):
    """Three tests are in metrics.json and in a table that fits the terminal."""
    options = "--faithfulness", "--bundle", workspace / "bundle", "--images", workspace / "photos", "--sample", "2"
    words = "eval", workspace / "verdicts", "--truth", workspace / "truth.csv", "--out", tmp_path, *options

    code, out, err = run(*words, "--data", resource_path("data/dosing_kit"))

    assert (code, err) == (0, "")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    tests = metrics["faithful"]
    assert metrics["n"] == 3
    assert set(tests) == {"necessity", "sufficiency", "counterfactual"}
    assert [tests[name]["n"] + tests[name]["left_out"] for name in tests] == [2, 2, 2]
    assert "only cited region visible: answer unchanged" in out
    assert fits_width(out)


def test_eval_prints_json_alone(run, workspace, tmp_path):
    """Standard output has only JSON; progress is on standard error; without --data the third test is null."""
    options = "--faithfulness", "--bundle", workspace / "bundle", "--images", workspace / "photos", "--sample", "1"
    words = "eval", workspace / "verdicts", "--truth", workspace / "truth.csv", "--out", tmp_path, *options

    code, out, _ = run(*words, "--json")

    assert code == 0
    assert json.loads(out) == json.loads((tmp_path / "metrics.json").read_text())
    assert json.loads(out)["faithful"]["counterfactual"] is None


def test_faithfulness_rejects_modified_photos(run, workspace, tmp_path):
    """A photo that changed after the prediction is reported."""
    photos = Path(shutil.copytree(workspace / "photos", tmp_path / "photos"))
    first = next(read_verdicts(workspace / "verdicts/verdicts.jsonl")).photo
    Image.new("RGB", (9, 9)).save(photos / first)
    options = "--faithfulness", "--bundle", workspace / "bundle", "--images", photos

    code, _, err = run("eval", workspace / "verdicts", "--truth", workspace / "truth.csv", "--out", tmp_path, *options)

    assert code == 2
    assert f'LC657 "{first}" is not the photo that was predicted: its SHA-256 differs.' in err


def test_eval_reads_a_folder_of_mvtec_loco(run, tmp_path):
    """The main metrics cover good and logical photos; structural ones are separate; others are ignored."""
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
    assert fits_width(out)


def test_study_compares_bundle_and_inspectors(run, workspace, tmp_path):
    """Statistics are in study.json, all decisions in study.csv, and the table fits the terminal."""
    photos = [line.partition(",")[0] for line in (workspace / "truth.csv").read_text().splitlines()[1:]]
    rows = [f"{photo},anna,{trial},pass" for photo in photos for trial in (1, 2)]
    (tmp_path / "people.csv").write_text("\n".join(["photo,inspector,trial,decision", *rows]))
    words = (
        "study",
        workspace / "bundle",
        workspace / "photos",
        "--truth",
        workspace / "truth.csv",
        "--out",
        tmp_path / "study",
    )

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
    assert fits_width(out)


def test_an_interrupted_study_continues(run, workspace, tmp_path):
    """The same command reuses finished decisions and gives the same result; an incomplete line is repeated."""
    words = "study", workspace / "bundle", workspace / "photos", "--truth", workspace / "truth.csv", "--out", tmp_path
    run(*words, "--trials", "2")
    log, table = tmp_path / "decisions.jsonl", (tmp_path / "study.csv").read_text()
    complete = log.read_bytes()
    log.write_bytes(complete[:-5])

    code, _, err = run(*words, "--trials", "2")

    assert (code, err) == (0, "")
    assert (log.read_bytes(), (tmp_path / "study.csv").read_text()) == (complete, table)
    assert complete.count(b"\n") == 6


def test_study_alone_prints_json(run, workspace, tmp_path):
    """Without inspectors, the agreement between them is null; with one trial, the agreement within is null."""
    words = "study", workspace / "bundle", workspace / "photos", "--truth", workspace / "truth.csv", "--out", tmp_path

    code, out, _ = run(*words, "--trials", "1", "--json")

    assert code == 0
    board = json.loads(out)
    assert board["between"]["agreement"] is None
    assert board["inspectors"]["logicls"]["within"] is None


def test_study_rejects_invalid_decisions_before_inspection(run, workspace, tmp_path):
    """All problems are reported with their lines; nothing is written."""
    (tmp_path / "people.csv").write_text("photo,inspector,trial,decision\nx.jpg,anna,1,ok\nx.jpg,anna,one,pass\n")
    words = (
        "study",
        workspace / "bundle",
        workspace / "photos",
        "--truth",
        workspace / "truth.csv",
        "--out",
        tmp_path / "study",
    )

    code, _, err = run(*words, "--inspectors", tmp_path / "people.csv")

    assert code == 2
    assert re.findall(r"people.csv:(\d):1 (LC\d+)", err) == [
        ("2", "LC666"), ("2", "LC664"), ("3", "LC666"), ("3", "LC663"),
    ]  # fmt: skip
    assert not (tmp_path / "study").exists()
