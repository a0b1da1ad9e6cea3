"""The command line, as people use it: what it prints, what it writes, how it ends."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from logicls.cli import app as cli
from logicls.cli import spec as cli_rules
from logicls.io import resources as assets
from logicls.io.resources import share


@pytest.fixture
def run(monkeypatch, capsys):
    """Calls `logicls` in this process; gives (exit code, what it printed, what it complained about)."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["logicls", *map(str, words)])
        for module in (cli, cli_rules):
            monkeypatch.setattr(module, "console", type(cli.console)(width=200))
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return stop.value.code, printed.out, printed.err

    return call


@pytest.fixture
def spec(tmp_path):
    """A copy of the sample product's spec, to be damaged."""
    return Path(shutil.copy(share("constraints/dosing_kit.yaml"), tmp_path / "kit.yaml"))


def test_check_of_the_sample_product_finds_nothing(run):
    """The shipped spec and the shipped good photos agree."""
    code, out, err = run("check", share("constraints/dosing_kit.yaml"), "--data", share("data/dosing_kit"))

    assert (code, err) == (0, "")
    assert "9 rules, 11 examples, 0 problems" in out


def test_python_runs_the_package_as_the_command_does(monkeypatch, capsys):
    """`python -m logicls` where the command is not on the path."""
    monkeypatch.setattr(sys, "argv", ["logicls", "doctor"])

    with pytest.raises(SystemExit) as stop:
        runpy.run_module("logicls", run_name="__main__")

    assert stop.value.code == 0
    assert "logicls" in capsys.readouterr().out


def test_every_error_of_a_spec_is_shown_with_its_place(run, spec):
    """Two mistakes in one file are both named, with line, caret and advice; the exit code is 2."""
    text = spec.read_text()
    spec.write_text(text.replace("exactly: 4", "exacly: 4").replace("severity: minor", "severity: tiny", 1))

    code, _, err = run("check", spec)

    assert code == 2
    assert 'LC021 unknown key "exacly" in quantity of \'four-tablets\'. Did you mean "exactly"?' in err
    assert '"tiny"' in err
    assert "^" in err


def test_good_photos_that_break_a_rule_are_named(run, spec):
    """A wrong rule shows as good photos that break it, each with what was found and what was expected."""
    spec.write_text(spec.read_text().replace("tablet, exactly: 4", "tablet, exactly: 5"))

    code, _, err = run("check", spec, "--data", share("data/dosing_kit"))

    assert code == 1
    told = "good_000.jpg (annotations 5, 6, 7, 8) breaks 'four-tablets': found 4 tablet; expected 5 tablet."
    assert told in err


def test_examples_are_held_against_the_rules(run, spec):
    """An example that names another violation than it breaks is a problem."""
    spec.write_text(spec.read_text().replace("breaks: [missing_tablet]", "breaks: [extra_tablet]"))

    code, _, err = run("check", spec)

    assert code == 1
    assert "LC041 example 2 should break extra_tablet, but breaks missing_tablet." in err


def test_synth_refuses_a_spec_that_speaks_of_something_else(run, tmp_path):
    """A spec whose components no annotation has stops synthesis before it begins."""
    bottle, kit = share("constraints/juice_bottle.yaml"), share("data/dosing_kit")

    code, _, err = run("synth", bottle, "--data", kit, "--out", tmp_path / "out", "--count", "5")

    assert code == 2
    assert 'Did you mean "' in err or "Known:" in err
    assert not (tmp_path / "out").exists()


def test_init_makes_a_folder_that_checks(run, tmp_path):
    """What `init` writes is a spec without problems, and it does not overwrite a folder."""
    assert run("init", tmp_path / "gear_box")[0] == 0
    assert run("check", tmp_path / "gear_box" / "gear_box.yaml")[0] == 0
    code, _, err = run("init", tmp_path / "gear_box")

    assert code == 2
    assert "LC902 exists already. Choose another name." in err


def test_init_lets_an_editor_complete_the_spec(run, tmp_path):
    """The spec's first line names the schema that lies beside it; it is the one that `logicls schema` prints."""
    run("init", tmp_path / "gear_box")
    folder = tmp_path / "gear_box"

    first = (folder / "gear_box.yaml").read_text().splitlines()[0]

    assert first == "# yaml-language-server: $schema=spec.schema.json"
    assert run("schema") == (0, (folder / "spec.schema.json").read_text(), "")


def test_schema_writes_a_file(run, tmp_path):
    """`--out` writes what is printed otherwise, and prints where."""
    code, out, _ = run("schema", "--out", tmp_path / "a.json")

    assert (code, out) == (0, f"{tmp_path / 'a.json'}\n")
    assert run("schema")[1] == (tmp_path / "a.json").read_text()
    assert json.loads(run("schema")[1])["title"] == "LogiCls spec"


def test_explain_says_rules_questions_and_defects(run):
    """Each rule is said in words, with what it asks and the defects that can be made from it."""
    code, out, _ = run("explain", share("constraints/dosing_kit.yaml"))

    assert code == 0
    assert "4 tablet" in out
    assert "where is every tablet?" in out
    assert "missing_tablet: 1 tablet taken away" in out


def test_explain_says_what_a_code_means(run):
    """Title, meaning, an example and its mended form, whatever the capitals."""
    code, out, _ = run("explain", "lc021")

    assert code == 0
    assert out.startswith("LC021 unknown key (error)\n")
    assert "\n        quantity: {of: pin, exacly: 4}\n" in out
    assert out.index("exacly: 4") < out.index("Mended:") < out.index("exactly: 4")


def test_explain_of_an_unknown_code_offers_the_nearest(run):
    """A code with a digit too few is an error with the one that was meant."""
    assert run("explain", "LC21") == (2, "", 'LC904 there is no code "LC21". Did you mean "LC021"?\n')


def test_predict_refuses_what_is_no_bundle(run, tmp_path):
    """A folder without a bundle is named, with what to do."""
    code, _, err = run("predict", tmp_path, share("data/dosing_kit"), "--out", tmp_path / "out")

    assert code == 2
    assert "LC501 is not a bundle: it has no readable bundle.json. Make one with `logicls train`." in err


def test_preview_draws_a_contact_sheet(run, tmp_path):
    """`--preview` writes one picture and no dataset."""
    kit = share("constraints/dosing_kit.yaml"), "--data", share("data/dosing_kit")

    code, _, _ = run("synth", *kit, "--out", tmp_path, "--preview", "4")

    assert code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["preview.png"]


@pytest.mark.slow
def test_the_whole_loop(run, tmp_path):
    """The stages hand their files to one another; broken photos are rows; predicting again adds none."""
    kit = share("constraints/dosing_kit.yaml"), "--data", share("data/dosing_kit")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text("steps: 8\nbatch: 4\nvisual_tokens: 20\n")
    photos = tmp_path / "photos"
    shutil.copytree(share("data/dosing_kit/heldout/images"), photos)
    (photos / "zero.jpg").write_bytes(b"")
    whole = (photos / "heldout_000.jpg") if (photos / "heldout_000.jpg").exists() else sorted(photos.glob("*.jpg"))[0]
    (photos / "truncated.jpg").write_bytes(whole.read_bytes()[:700])
    cv2.imwrite(str(photos / "deep.png"), np.full((320, 256, 3), 30000, np.uint16))

    made = run("synth", *kit, "--out", tmp_path / "synth", "--count", "24", "--workers", "1")
    trained = run("train", tmp_path / "synth", "--out", tmp_path / "bundle", "--recipe", recipe)
    first = run("predict", tmp_path / "bundle", photos, "--out", tmp_path / "verdicts")
    again = run("predict", tmp_path / "bundle", photos, "--out", tmp_path / "verdicts")
    truth = share("data/dosing_kit/heldout/truth.csv")
    scored = run("eval", tmp_path / "verdicts", "--truth", truth, "--out", tmp_path / "scores")

    assert [code for code, _, _ in (made, trained, first, again, scored)] == [0, 0, 1, 1, 0]
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
def test_a_model_of_the_hub_is_trained_and_used_by_the_same_commands(run, checkpoint, tmp_path):
    """`--model` names its folder; one that is not here is refused, and so is what a hub model cannot follow."""
    kit = share("constraints/dosing_kit.yaml"), "--data", share("data/dosing_kit")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text("steps: 1\nbatch: 2\nhub: {rank: 2}\n")
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(sorted(share("data/dosing_kit/heldout/images").glob("*.jpg"))[0], photos)
    synth, model = tmp_path / "synth", checkpoint("qwen3_vl")
    run("synth", *kit, "--out", synth, "--count", "2", "--workers", "1")

    trained = run("train", synth, "--out", tmp_path / "bundle", "--model", model, "--recipe", recipe)
    predicted = run("predict", tmp_path / "bundle", photos, "--out", tmp_path / "verdicts")
    absent = run("train", synth, "--out", tmp_path / "b", "--model", "nobody/nothing")
    fresh = run("train", synth, "--out", tmp_path / "c", "--model", model, "--fresh", "0.5")

    assert [code for code, _, _ in (trained, predicted, absent, fresh)] == [0, 1, 2, 2]
    assert "of them visual; the model reads 4096" in " ".join(trained[1].split())
    assert "LC510 this model is not on this machine." in absent[2]
    assert "LC430 fresh says nothing about the model" in fresh[2]


def test_check_looks_at_the_wordings_too(run, spec, monkeypatch, tmp_path):
    """With `--templates` those that ship are fine; a slip in one ends the check with exit code 1."""
    assert run("check", spec, "--templates", "--data", share("data/dosing_kit"))[0] == 0
    folder = Path(shutil.copytree(share("synth"), tmp_path / "synth"))
    (folder / "verdicts.j2").write_text("{% if violations %}no\n")
    monkeypatch.setattr(assets, "share", lambda name: folder if name == "synth" else share(name))

    code, _, err = run("check", spec, "--templates")

    assert code == 1
    assert "verdicts.j2:1:1 LC421 is no Jinja template:" in err.replace(str(tmp_path), "")


@pytest.mark.slow
def test_a_bundle_goes_on_by_rewards(run, tmp_path):
    """`--stage grpo` begins with a bundle, shows the reward, writes its curve; what it cannot follow is refused."""
    kit = share("constraints/dosing_kit.yaml"), "--data", share("data/dosing_kit")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(
        "steps: 2\nbatch: 2\nvisual_tokens: 16\nbase: false\nwidth: 32\nencoder_layers: 1\ndecoder_layers: 1\n"
        "grpo: {steps: 2, questions: 2, answers: 2, looked_at: 2}\n"
    )
    synth, begun = tmp_path / "synth", tmp_path / "begun"
    run("synth", *kit, "--out", synth, "--count", "12", "--workers", "1")
    run("train", synth, "--out", begun, "--recipe", recipe)
    stage = "train", synth, "--recipe", recipe, "--stage", "grpo", "--out"

    rewarded = run(*stage, tmp_path / "better", "--from", begun)
    resumed = run(*stage, tmp_path / "better", "--from", begun, "--resume")
    alone = run(*stage, tmp_path / "other")

    assert [code for code, _, _ in (rewarded, resumed, alone)] == [0, 2, 2]
    assert "step 0, kept aside: reward" in " ".join(rewarded[1].split())
    assert (tmp_path / "better" / "reward.csv").read_text().count("\n") == 3
    assert (tmp_path / "better" / "reward.png").stat().st_size > 1000
    assert "LC437 --resume says nothing about the stage grpo." in resumed[2]
    assert "LC436 the stage grpo begins with a finished bundle." in alone[2]


def test_synth_writes_for_another_trainer(run, spec, tmp_path):
    """`--format` makes the set and converts it; a set that is there is only converted, boxes as `--boxes` says."""
    order = ("synth", spec, "--data", share("data/dosing_kit"), "--out", tmp_path / "set", "--count", "3")
    code, out, _ = run(*order, "--format", "llamafactory")
    assert code == 0
    assert f"{tmp_path / 'set' / 'llamafactory'}: 3 examples" in out
    made = (tmp_path / "set" / "data" / "train-00000-of-00001.parquet").stat().st_mtime_ns

    code, _, _ = run(*order, "--format", "swift", "--boxes", "paligemma")

    assert code == 0
    assert "<loc0" in (tmp_path / "set" / "swift" / "train.jsonl").read_text()
    assert (tmp_path / "set" / "data" / "train-00000-of-00001.parquet").stat().st_mtime_ns == made


def test_synth_tells_what_it_made(run, spec, tmp_path):
    """A table of the counts at the end, the same as on the card."""
    out = tmp_path / "set"

    code, told, _ = run("synth", spec, "--data", share("data/dosing_kit"), "--out", out, "--count", "3")

    assert code == 0
    assert "missing_tablet" in told
    assert (out / "distribution.png").exists()
    assert "| missing_tablet |" in (out / "README.md").read_text()
