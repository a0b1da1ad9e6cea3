"""`logicls check --fix`, as people use it."""

import json
import shutil
import sys

import pytest

from logicls.cli import app as cli
from logicls.io.resources import resource_path


@pytest.fixture
def fix(monkeypatch, capsys, tmp_path):
    """Damages a copy of the sample product's annotations, then calls `check --fix` on it.

    Gives (exit code, what it printed, what it complained about), with the dataset's folder as `data`.
    """
    shutil.copytree(resource_path("data/dosing_kit/images"), tmp_path / "images")
    good = json.loads((resource_path("data/dosing_kit") / "annotations.json").read_text())

    def call(damage, *words):
        damage(good)
        (tmp_path / "annotations.json").write_text(json.dumps(good))
        spec = resource_path("constraints/dosing_kit.yaml")
        monkeypatch.setattr(sys, "argv", ["logicls", "check", str(spec), "--data", str(tmp_path), "--fix", *words])
        monkeypatch.setattr(cli, "console", type(cli.console)(width=200))
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return stop.value.code, *(text.replace(str(tmp_path), "data") for text in (printed.out, printed.err))

    return call


def test_what_is_certain_is_healed_and_checked(fix, tmp_path):
    """Each healing is one line; the copy is checked in place of the original, which stays as it was."""

    def damage(file):
        file["annotations"][0]["id"] = "1"
        file["categories"][0]["name"] = "Vial"

    code, out, err = fix(damage)

    assert (code, err) == (0, "")
    assert out.splitlines()[:3] == [
        'annotation "1": id made a whole number: "1" → 1',
        "category 1: renamed as in the spec: Vial → vial",
        "data/annotations.fixed.json: 2 repairs; fix the problems listed below by hand",
    ]
    assert json.loads((tmp_path / "annotations.json").read_text())["categories"][0]["name"] == "Vial"
    assert json.loads((tmp_path / "annotations.fixed.json").read_text())["categories"][0]["name"] == "vial"


def test_what_remains_is_named(fix, tmp_path):
    """After healing, what only a person can mend is a complaint about the copy."""

    def damage(file):
        file["images"][0]["file_name"] = "gone.jpg"
        file["annotations"][0]["id"] = "1"

    code, out, err = fix(damage, "--out", str(tmp_path / "x.json"))

    assert code == 2
    assert "fix the problems listed below by hand" in out
    assert 'LC107 image "gone.jpg" is missing.' in err


def test_many_of_a_kind_are_counted(fix):
    """A systematic fault takes twenty lines and a count."""

    def damage(file):
        for row in file["annotations"][:50]:
            row["id"] = str(row["id"])

    code, out, _ = fix(damage)

    assert code == 0
    assert out.splitlines()[19:22] == [
        'annotation "20": id made a whole number: "20" → 20',
        "and 30 more: id made a whole number",
        "data/annotations.fixed.json: 50 repairs; fix the problems listed below by hand",
    ]


def test_a_sound_file_needs_no_copy(fix, tmp_path):
    """Nothing is written where nothing is healed."""
    code, out, _ = fix(lambda file: None)

    assert code == 0
    assert out.splitlines()[0] == "nothing to repair"
    assert not (tmp_path / "annotations.fixed.json").exists()


@pytest.mark.parametrize(
    ("words", "said"), [(["--fix"], "--fix needs --data"), (["--out", "x.json"], "--out needs --fix")]
)
def test_options_that_need_others(monkeypatch, capsys, words, said):
    """A half order is refused, and says what is missing."""
    spec = str(resource_path("constraints/dosing_kit.yaml"))
    monkeypatch.setattr(sys, "argv", ["logicls", "check", spec, *words])

    with pytest.raises(SystemExit) as stop:
        cli.main()

    assert stop.value.code == 2
    assert said in capsys.readouterr().err
