"""Commands predict, report and replay: files and exit codes."""

from __future__ import annotations

import builtins
import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image

from logicls.predict.folder.runner import predict_folder


@pytest.fixture(scope="module")
def predicted(bundle, photos, tmp_path_factory):
    """Write three photos, and predict them."""
    folder = tmp_path_factory.mktemp("predicted")
    (folder / "photos").mkdir()
    for number, photo in enumerate(photos[:3]):
        Image.fromarray(photo).save(folder / "photos" / f"{number}.png")
    predict_folder(bundle, folder / "photos", folder / "verdicts", workers=0)
    return folder


@pytest.fixture
def verdicts(predicted, tmp_path):
    """Copy the verdicts."""
    return Path(shutil.copytree(predicted / "verdicts", tmp_path / "verdicts"))


def rewrite(verdicts, **changes):
    """Rewrite the verdicts: all pass, and the first has these changes."""
    file = verdicts / "verdicts.jsonl"
    rows = [json.loads(line) | {"outcome": "pass", "violations": []} for line in file.read_text().splitlines()]
    rows[0] |= changes
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return rows


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({}, 0, "3 pass"),
        ({"outcome": "fail", "violations": ["missing_pin"]}, 1, "1 fail, 2 pass"),
        ({"outcome": "review", "reasons": ["strange"]}, 1, "2 pass, 1 review"),
    ],
)
def test_exit_code_is_0_if_all_pass(run, bundle, predicted, verdicts, changes, code, message):
    """1 if a photo fails or goes to review; predict and report have equal exit codes."""
    rewrite(verdicts, **changes)

    for words in (("predict", bundle.path, predicted / "photos", "--out", verdicts), ("report", verdicts)):
        exit_code, out, err = run(*words)
        assert (exit_code, err) == (code, "")
        assert message in out
        assert str(verdicts / "report" / "index.html") in out.replace("\n", "")


def test_exit_code_of_errors_is_2(run, bundle, predicted, verdicts, tmp_path):
    """No bundle, no photos, missing verdicts, a changed photo."""
    (tmp_path / "empty").mkdir()
    result = rewrite(verdicts)[0]["result"]
    shutil.copytree(predicted / "photos", tmp_path / "changed")
    Image.new("RGB", (9, 9)).save(tmp_path / "changed" / "0.png")

    calls = {
        "LC501": ("predict", tmp_path, predicted / "photos", "--out", tmp_path / "out"),
        "LC312": ("predict", bundle.path, tmp_path / "empty", "--out", tmp_path / "out"),
        "LC643": ("report", tmp_path / "empty"),
        "LC640": ("replay", "0" * 12, "--verdicts", verdicts),
        "LC641": ("replay", result, "--verdicts", verdicts, "--photos", tmp_path / "changed"),
    }
    for expected, words in calls.items():
        code, _, err = run(*words)
        assert code == 2, expected
        assert expected in err


def test_predict_writes_workbook_and_junit(run, bundle, predicted, tmp_path):
    """Each file has the ids of result, bundle and spec, the photo's hash, and the time."""
    openpyxl = pytest.importorskip("openpyxl", reason="the extra xlsx is not installed")
    out, junit = tmp_path / "out", tmp_path / "ci" / "junit.xml"

    code, _, err = run(
        "predict", bundle.path, predicted / "photos", "--out", out, "--workers", "0", "--xlsx", "--junit", junit
    )

    assert (code, err) == (1, "")
    lines = [json.loads(line) for line in (out / "verdicts.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    for line in lines:
        assert (line["bundle"], line["spec"], line["version"]) == (bundle.id, bundle.spec.hash, "1")
        assert line["seconds"] > 0
        assert len(line["sha256"]) == 64
    sheet = openpyxl.load_workbook(out / "verdicts.xlsx")["verdicts"]
    names = [cell.value for cell in sheet[1]]
    table = [dict(zip(names, [c.value for c in row], strict=True)) for row in sheet.iter_rows(2)]
    columns = {
        "result_id": "result",
        "sha256": "sha256",
        "bundle_id": "bundle",
        "spec_hash": "spec",
        "spec_version": "version",
    }
    for column, key in columns.items():
        assert [row[column] for row in table] == [line[key] for line in lines]
    cases = ET.parse(junit).getroot().findall("testsuite/testcase")
    assert [case.get("name") for case in cases] == [line["photo"] for line in lines]
    assert "<html" in (out / "report" / "index.html").read_text()[:300]


def test_missing_extra_is_reported_first(run, bundle, predicted, tmp_path, monkeypatch):
    """Before the first photo is predicted."""
    real_import = builtins.__import__

    def import_without_openpyxl(name: str, *more: object) -> object:
        if name.startswith("openpyxl"):
            raise ImportError(name)
        return real_import(name, *more)

    monkeypatch.setattr(builtins, "__import__", import_without_openpyxl)

    code, _, err = run("predict", bundle.path, predicted / "photos", "--out", tmp_path / "out", "--xlsx")

    assert code == 2
    assert "LC644 openpyxl is not installed" in err
    assert not (tmp_path / "out").exists()


def test_replay(run, predicted, verdicts):
    """Exit code 0 for the same result, 1 with the differences; bundle and photos are those of the folder."""
    file = verdicts / "verdicts.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]

    code, out, err = run("replay", rows[1]["result"], "--verdicts", verdicts)

    assert (code, err) == (0, "")
    assert out.startswith("1.png: reproduced, ")
    file.write_text("".join(f"{json.dumps(row | {'outcome': 'pass', 'score': 2.0})}\n" for row in rows))
    code, out, _ = run("replay", rows[1]["result"][:9], "--verdicts", verdicts)
    assert code == 1
    assert "1.png: outcome: was pass, is " in out
    assert "1.png: score: was 2.0000, is " in out


def test_report_with_truth(run, verdicts, tmp_path):
    """Without prediction: the report compares with the truth, and has at most the given number of cards."""
    rewrite(verdicts, violations=["missing_pin"], outcome="fail")
    truth = tmp_path / "truth.csv"
    truth.write_text("image,violations\n0.png,missing_pin\n1.png,\n2.png,extra_pin\n")

    code, _, err = run("report", verdicts, "--truth", truth, "--cards", "2")

    page = (verdicts / "report" / "index.html").read_text()
    assert (code, err) == (1, "")
    assert 'id="confusion"' in page
    assert "2 of 3 photos have a card here" in page
