"""Command line end to end: output, files, exit codes."""

import json
import re
import runpy
import shutil
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer

from logicls.cli.app import app
from logicls.cli.options import FORMER_OPTIONS, AliasedCommand
from logicls.io import resources
from logicls.io.resources import resource_path


@pytest.fixture
def run(run, monkeypatch):
    """Return the function with a terminal of a fixed width."""
    monkeypatch.setenv("COLUMNS", "200")
    return run


@pytest.fixture
def spec(tmp_path):
    """Editable copy of the sample product's spec."""
    return Path(shutil.copy(resource_path("constraints/dosing_kit.yaml"), tmp_path / "kit.yaml"))


def test_check_of_the_sample_product_finds_nothing(run):
    """The shipped good photos satisfy the shipped spec."""
    code, out, err = run(
        "check", resource_path("constraints/dosing_kit.yaml"), "--data", resource_path("data/dosing_kit")
    )

    assert (code, err) == (0, "")
    assert "11 rules, 13 examples, 0 problems" in out


def test_the_help_groups_the_commands(run):
    """The overview has a panel per task, and no command without a description."""
    code, out, _ = run("--help")

    assert code == 0
    panels = re.findall(r"╭─ ([\w -]+?) ─", out)
    assert panels == ["Options", "Get started", "Rules", "Training", "Inspection", "Evaluation", "Plug-ins"]
    commands = re.findall(r"^│ ([a-z][a-z-]*) +(\S.*?) *│$", out, flags=re.MULTILINE)
    assert len(commands) == 24
    assert {"check", "eval", "expert", "knowledge", "second-look"} < {name for name, _ in commands}


def test_every_option_has_a_help_text():
    """No argument or option of any command is without a description."""
    root = typer.main.get_command(app)
    commands = [(name, command) for name, command in root.commands.items() if not hasattr(command, "commands")]
    commands += [
        (name, one)
        for group in ("bundle", "expert", "knowledge")
        for name, one in root.commands[group].commands.items()
    ]

    assert len(commands) == 24
    assert [(name, p.name) for name, command in commands for p in command.params if not p.help] == []
    assert [name for name, command in commands if not command.help] == []


def test_former_option_names_are_accepted_but_not_listed(run, spec, tmp_path):
    """`--boxes` is `--box-format` now; the help lists only current names; values and unknown options stay."""
    small_app = typer.Typer()

    @small_app.command(cls=AliasedCommand)
    def small(online: str = "") -> None:
        """Do nothing."""

    command = typer.main.get_command(small_app)

    assert command.make_context("x", ["--fresh=0.5"]).params == {"online": "0.5"}
    assert command.make_context("x", ["--fresh", "--fresh"]).params == {"online": "--online"}
    code, _, err = run("synth", spec, "--data", tmp_path, "--out", tmp_path / "o", "--boxes", "no such family")
    assert (code, "box-format" in err) == (2, True)
    assert "--boxes" not in run("synth", "--help")[1]
    assert run("check", spec, "--fresh", "1")[0] == 2
    assert set(FORMER_OPTIONS) & set(FORMER_OPTIONS.values()) == set()


def test_the_package_runs_as_a_module(monkeypatch, capsys):
    """`python -m logicls` works if the command is not on the path."""
    monkeypatch.setattr(sys, "argv", ["logicls", "doctor"])

    with pytest.raises(SystemExit) as stop:
        runpy.run_module("logicls", run_name="__main__")

    assert stop.value.code == 0
    assert "logicls" in capsys.readouterr().out


def test_all_errors_of_a_spec_are_printed_with_their_position(run, spec):
    """Two mistakes in one file are reported with line, caret and advice; the exit code is 2."""
    text = spec.read_text()
    spec.write_text(text.replace("exactly: 4", "exacly: 4").replace("severity: minor", "severity: tiny", 1))

    code, _, err = run("check", spec)

    assert code == 2
    assert 'LC021 unknown key "exacly" in quantity of \'four-tablets\'. Did you mean "exactly"?' in err
    assert '"tiny"' in err
    assert "^" in err


def test_good_photos_that_violate_a_rule_are_reported(run, spec):
    """A wrong rule shows as good photos that break it, each with what was found and what was expected."""
    spec.write_text(spec.read_text().replace("tablet, exactly: 4", "tablet, exactly: 5"))

    code, out, _ = run("check", spec, "--data", resource_path("data/dosing_kit"))

    assert code == 1
    message = "good_000.jpg (annotations 5, 6, 7, 8) breaks 'four-tablets': found 4 tablets; expected 5 tablets."
    assert message in out


def test_declared_defects_are_notes(run, spec, tmp_path):
    """Photos that break a rule are problems, as declared defects notes; synthesis says how many it uses."""
    data = resource_path("data/dosing_kit")
    defects = Path(shutil.copytree(data, tmp_path / "bad"))
    annotations = json.loads((defects / "annotations.json").read_text())
    tablet = next(row["id"] for row in annotations["categories"] if row["name"] == "tablet")
    first_tablets = {row["image_id"]: row["id"] for row in annotations["annotations"] if row["category_id"] == tablet}
    kept = [row for row in annotations["annotations"] if row["id"] not in first_tablets.values()]
    (defects / "annotations.json").write_text(json.dumps({**annotations, "annotations": kept}))
    photos, request = len(annotations["images"]), ("--data", data, "--defects", defects)

    undeclared = run("check", spec, "--data", defects, "--json")
    code, out, _ = run("check", spec, *request)
    _, synthesis, _ = run("synth", spec, *request, "--out", tmp_path / "synth", "--count", "4", "--workers", "1")

    found = Counter(row["code"] for row in json.loads(undeclared[1]))
    assert (undeclared[0], found["LC050"]) == (1, photos + 1)
    assert (code, out.count("breaks 'four-tablets' (missing_tablet), as declared.")) == (0, photos)
    assert f"photos of real defects: missing_tablet {photos}" in synthesis


def test_examples_are_checked_against_the_rules(run, spec):
    """An example with a wrong violation is a problem."""
    spec.write_text(spec.read_text().replace("breaks: [missing_tablet]", "breaks: [extra_tablet]"))

    code, err, _ = run("check", spec)

    assert code == 1
    assert "LC041 example 2 should break extra_tablet, but breaks missing_tablet." in err


def test_synth_rejects_a_spec_of_another_product(run, tmp_path):
    """A spec whose components are not annotated stops the command before synthesis."""
    bottle, kit = resource_path("constraints/juice_bottle.yaml"), resource_path("data/dosing_kit")

    code, _, err = run("synth", bottle, "--data", kit, "--out", tmp_path / "out", "--count", "5")

    assert code == 2
    assert 'Did you mean "' in err or "Known:" in err
    assert not (tmp_path / "out").exists()


def test_init_creates_a_valid_project(run, tmp_path):
    """The spec has no problems, and an existing folder is not overwritten."""
    assert run("init", tmp_path / "gear_box")[0] == 0
    assert run("check", tmp_path / "gear_box" / "gear_box.yaml")[0] == 0
    code, _, err = run("init", tmp_path / "gear_box")

    assert code == 2
    assert "LC902 already exists. Choose another name." in err


def test_init_writes_the_schema_for_editors(run, tmp_path):
    """The first line of the spec refers to the schema file, which equals the output of `logicls schema`."""
    run("init", tmp_path / "gear_box")
    folder = tmp_path / "gear_box"

    first = (folder / "gear_box.yaml").read_text().splitlines()[0]

    assert first == "# yaml-language-server: $schema=spec.schema.json"
    assert run("schema") == (0, (folder / "spec.schema.json").read_text(), "")


def test_infer_replaces_the_spec_of_init(run, tmp_path):
    """The draft keeps the product's name, from the output file, and the line with which an editor completes it."""
    run("init", tmp_path / "gear_box")
    spec = tmp_path / "gear_box" / "gear_box.yaml"
    before = spec.read_text(encoding="utf-8").splitlines()

    assert run("infer", resource_path("data/dosing_kit"), "--out", spec) == (0, f"{spec}\n", "")
    after = spec.read_text(encoding="utf-8").splitlines()
    assert after[0] == before[0]
    assert "product: {name: gear_box}" in after
    assert run("check", spec)[0] == 0


def test_schema_writes_a_file(run, tmp_path):
    """`--out` writes the schema to a file and prints its path."""
    code, out, _ = run("schema", "--out", tmp_path / "a.json")

    assert (code, out) == (0, f"{tmp_path / 'a.json'}\n")
    assert run("schema")[1] == (tmp_path / "a.json").read_text()
    assert json.loads(run("schema")[1])["title"] == "LogiCls spec"


def test_explain_prints_rules_questions_and_defects(run):
    """Each rule is printed in plain English, with its questions and defects."""
    code, out, _ = run("explain", resource_path("constraints/dosing_kit.yaml"))

    assert code == 0
    assert "4 tablets" in out
    assert "where is every tablet?" in out
    assert "missing_tablet: 1 tablet removed" in out


def test_explain_prints_an_error_code(run):
    """It prints title, meaning, example and corrected example, ignoring case."""
    code, out, _ = run("explain", "lc021")

    assert code == 0
    assert out.startswith("LC021 unknown key (error)\n")
    assert "\n        quantity: {of: pin, exacly: 4}\n" in out
    assert out.index("exacly: 4") < out.index("Corrected:") < out.index("exactly: 4")


def test_explain_suggests_a_similar_code(run):
    """An unknown code is an error that suggests a similar one."""
    assert run("explain", "LC21") == (2, "", 'LC904 there is no code "LC21". Did you mean "LC021"?\n')


def test_predict_rejects_a_folder_without_a_bundle(run, tmp_path):
    """The error names the folder and the command that creates a bundle."""
    code, _, err = run("predict", tmp_path, resource_path("data/dosing_kit"), "--out", tmp_path / "out")

    assert code == 2
    assert "LC501 is not a bundle: it has no readable bundle.json. Make one with `logicls train`." in err


def test_preview_writes_a_contact_sheet(run, tmp_path):
    """`--preview` writes one image and no dataset."""
    kit = resource_path("constraints/dosing_kit.yaml"), "--data", resource_path("data/dosing_kit")

    code, _, _ = run("synth", *kit, "--out", tmp_path, "--preview", "4")

    assert code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["preview.png"]


@pytest.mark.slow
def test_the_complete_workflow(run, tmp_path):
    """All commands run in sequence; damaged photos get verdicts; a second prediction adds none."""
    kit = resource_path("constraints/dosing_kit.yaml"), "--data", resource_path("data/dosing_kit")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text("steps: 8\nbatch: 4\nvisual_tokens: 20\n")
    photos = tmp_path / "photos"
    shutil.copytree(resource_path("data/dosing_kit/heldout/images"), photos)
    (photos / "zero.jpg").write_bytes(b"")
    intact = (photos / "heldout_000.jpg") if (photos / "heldout_000.jpg").exists() else sorted(photos.glob("*.jpg"))[0]
    (photos / "truncated.jpg").write_bytes(intact.read_bytes()[:700])
    cv2.imwrite(str(photos / "deep.png"), np.full((320, 256, 3), 30000, np.uint16))

    synthesized = run("synth", *kit, "--out", tmp_path / "synth", "--count", "24", "--workers", "1")
    trained = run("train", tmp_path / "synth", "--out", tmp_path / "bundle", "--recipe", recipe)
    first = run("predict", tmp_path / "bundle", photos, "--out", tmp_path / "verdicts")
    second = run("predict", tmp_path / "bundle", photos, "--out", tmp_path / "verdicts")
    truth = resource_path("data/dosing_kit/heldout/truth.csv")
    evaluated = run("eval", tmp_path / "verdicts", "--truth", truth, "--out", tmp_path / "scores")

    assert [code for code, _, _ in (synthesized, trained, first, second, evaluated)] == [0, 0, 1, 1, 0]
    lines = [json.loads(line) for line in (tmp_path / "verdicts" / "verdicts.jsonl").read_text().splitlines()]
    assert sorted(line["photo"] for line in lines) == sorted(path.name for path in photos.iterdir())
    rows = {line["photo"]: line for line in lines}
    assert {rows[name]["outcome"] for name in ("zero.jpg", "truncated.jpg")} == {"review"}
    assert rows["zero.jpg"]["reasons"] != []
    assert rows["deep.png"]["width"] == 256
    assert "<html" in (tmp_path / "verdicts" / "report" / "index.html").read_text()[:300]
    metrics = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert metrics["n"] == len(truth.read_text().splitlines()) - 1
    assert 0 <= metrics["exact_match"] <= 1


@pytest.mark.slow
def test_a_hugging_face_model_is_trained_and_used(run, checkpoint, tmp_path):
    """`--model` takes a folder; unknown models and unsupported settings are rejected."""
    kit = resource_path("constraints/dosing_kit.yaml"), "--data", resource_path("data/dosing_kit")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text("steps: 1\nbatch: 2\nhub: {rank: 2}\n")
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(sorted(resource_path("data/dosing_kit/heldout/images").glob("*.jpg"))[0], photos)
    synth, model = tmp_path / "synth", checkpoint("qwen3_vl")
    run("synth", *kit, "--out", synth, "--count", "2", "--workers", "1")

    trained = run("train", synth, "--out", tmp_path / "bundle", "--model", model, "--recipe", recipe)
    predicted = run("predict", tmp_path / "bundle", photos, "--out", tmp_path / "verdicts")
    absent = run("train", synth, "--out", tmp_path / "b", "--model", "nobody/nothing")
    online = run("train", synth, "--out", tmp_path / "c", "--model", model, "--online", "0.5")

    assert [code for code, _, _ in (trained, predicted, absent, online)] == [0, 1, 2, 2]
    assert "of them visual; the context length is 4096" in " ".join(trained[1].split())
    assert "LC510 this model is not on this machine." in absent[2]
    assert "LC430 online does not apply to the model" in online[2]


def test_check_includes_the_prompt_templates(run, spec, monkeypatch, tmp_path):
    """With `--templates`, the shipped templates pass, and an error in one gives exit code 1."""
    assert run("check", spec, "--templates", "--data", resource_path("data/dosing_kit"))[0] == 0
    folder = Path(shutil.copytree(resource_path("synth"), tmp_path / "synth"))
    (folder / "verdicts.j2").write_text("{% if violations %}no\n")
    monkeypatch.setattr(resources, "resource_path", lambda name: folder if name == "synth" else resource_path(name))

    code, err, _ = run("check", spec, "--templates")

    assert code == 1
    assert "verdicts.j2:1:1 LC421 invalid Jinja template:" in err.replace(str(tmp_path), "")


@pytest.mark.slow
def test_a_bundle_is_continued_by_rewards(run, tmp_path):
    """`--stage grpo` starts from a bundle, prints and logs the reward, and rejects unsupported options."""
    kit = resource_path("constraints/dosing_kit.yaml"), "--data", resource_path("data/dosing_kit")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(
        "steps: 2\nbatch: 2\nvisual_tokens: 16\nbase: false\nwidth: 32\nencoder_layers: 1\ndecoder_layers: 1\n"
        "grpo: {steps: 2, questions: 2, answers: 2, looked_at: 2}\n"
    )
    synth, bundle = tmp_path / "synth", tmp_path / "bundle"
    run("synth", *kit, "--out", synth, "--count", "12", "--workers", "1")
    run("train", synth, "--out", bundle, "--recipe", recipe)
    stage = "train", synth, "--recipe", recipe, "--stage", "grpo", "--out"

    rewarded = run(*stage, tmp_path / "better", "--from", bundle)
    resumed = run(*stage, tmp_path / "better", "--from", bundle, "--resume")
    alone = run(*stage, tmp_path / "other")

    assert [code for code, _, _ in (rewarded, resumed, alone)] == [0, 2, 2]
    assert "step 0, validation: reward" in " ".join(rewarded[1].split())
    assert (tmp_path / "better" / "reward.csv").read_text().count("\n") == 3
    assert (tmp_path / "better" / "reward.png").stat().st_size > 1000
    assert "LC437 --resume does not apply to the stage grpo." in resumed[2]
    assert "LC436 the stage grpo" in alone[2]


def test_synth_exports_for_other_trainers(run, spec, tmp_path):
    """`--format` converts the dataset, and only converts an existing one; `--box-format` sets the box notation."""
    command = ("synth", spec, "--data", resource_path("data/dosing_kit"), "--out", tmp_path / "set", "--count", "3")
    code, out, _ = run(*command, "--format", "llamafactory")
    assert code == 0
    assert f"{tmp_path / 'set' / 'llamafactory'}: 3 examples" in out
    made = (tmp_path / "set" / "data" / "train-00000-of-00001.parquet").stat().st_mtime_ns

    code, _, _ = run(*command, "--format", "swift", "--box-format", "paligemma")

    assert code == 0
    assert "<loc0" in (tmp_path / "set" / "swift" / "train.jsonl").read_text()
    assert (tmp_path / "set" / "data" / "train-00000-of-00001.parquet").stat().st_mtime_ns == made


def test_synth_prints_a_summary(run, spec, tmp_path):
    """The table has the counts of the dataset card."""
    out = tmp_path / "set"

    code, output, _ = run("synth", spec, "--data", resource_path("data/dosing_kit"), "--out", out, "--count", "3")

    assert code == 0
    assert "missing_tablet" in output
    assert (out / "distribution.png").exists()
    assert "| missing_tablet |" in (out / "README.md").read_text()
