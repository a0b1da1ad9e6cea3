"""`logicls check --fix` on damaged copies of the sample product's annotations."""

import json
import shutil
import sys

import pytest

from logicls.cli import app, options
from logicls.io.resources import resource_path


@pytest.fixture
def fix(monkeypatch, capsys, tmp_path):
    """Damage a copy of the sample product's annotations and run `check --fix` on it.

    Returns the exit code, standard output and standard error, with the dataset's folder as `data`.
    """
    shutil.copytree(resource_path("data/dosing_kit/images"), tmp_path / "images")
    content = json.loads((resource_path("data/dosing_kit") / "annotations.json").read_text())

    def run(damage, *arguments):
        damage(content)
        (tmp_path / "annotations.json").write_text(json.dumps(content))
        spec = resource_path("constraints/dosing_kit.yaml")
        monkeypatch.setattr(sys, "argv", ["logicls", "check", str(spec), "--data", str(tmp_path), "--fix", *arguments])
        monkeypatch.setattr(options.console, "width", 200)
        with pytest.raises(SystemExit) as stop:
            app.main()
        output = capsys.readouterr()
        return stop.value.code, *(text.replace(str(tmp_path), "data") for text in (output.out, output.err))

    return run


def test_unambiguous_damage_is_repaired(fix, tmp_path):
    """Each repair is one line; the copy is checked instead of the original, which is unchanged."""

    def damage(file):
        file["annotations"][0]["id"] = "1"
        file["categories"][0]["name"] = "Vial"

    code, out, err = fix(damage)

    assert (code, err) == (0, "")
    assert out.splitlines()[:3] == [
        'annotation "1": converted id to an integer: "1" → 1',
        "category 1: renamed to match the spec: Vial → vial",
        "data/annotations.fixed.json: 2 repairs; fix the problems listed below by hand",
    ]
    assert json.loads((tmp_path / "annotations.json").read_text())["categories"][0]["name"] == "Vial"
    assert json.loads((tmp_path / "annotations.fixed.json").read_text())["categories"][0]["name"] == "vial"


def test_other_damage_is_reported(fix, tmp_path):
    """Problems that remain in the copy are reported."""

    def damage(file):
        file["images"][0]["file_name"] = "absent.jpg"
        file["annotations"][0]["id"] = "1"

    code, out, err = fix(damage, "--out", str(tmp_path / "x.json"))

    assert code == 2
    assert "fix the problems listed below by hand" in out
    assert 'LC107 image "absent.jpg" is missing.' in err


def test_many_repairs_of_a_kind_are_counted(fix):
    """Twenty are listed, the others counted."""

    def damage(file):
        for row in file["annotations"][:50]:
            row["id"] = str(row["id"])

    code, out, _ = fix(damage)

    assert code == 0
    assert out.splitlines()[19:22] == [
        'annotation "20": converted id to an integer: "20" → 20',
        "and 30 more: converted id to an integer",
        "data/annotations.fixed.json: 50 repairs; fix the problems listed below by hand",
    ]


def test_valid_file_needs_no_copy(fix, tmp_path):
    """Without repairs no file is written."""
    code, out, _ = fix(lambda file: None)

    assert code == 0
    assert out.splitlines()[0] == "nothing to repair"
    assert not (tmp_path / "annotations.fixed.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"), [(["--fix"], "--fix requires --data"), (["--out", "x.json"], "--out requires --fix")]
)
def test_options_that_require_others(monkeypatch, capsys, arguments, message):
    """The error names the missing option."""
    spec = str(resource_path("constraints/dosing_kit.yaml"))
    monkeypatch.setattr(sys, "argv", ["logicls", "check", spec, *arguments])

    with pytest.raises(SystemExit) as stop:
        app.main()

    assert stop.value.code == 2
    assert message in capsys.readouterr().err
