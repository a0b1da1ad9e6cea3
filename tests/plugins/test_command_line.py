"""All plug-ins from the command line: records in files, resuming, and replaying a result."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from logicls.cli.app import app
from logicls.errors import DataError
from logicls.plugins.reasoning.reinspection_result import reinspection_of
from logicls.plugins.retrieval.knowledge import documents_of
from logicls.plugins.selection import set_default_plugins
from logicls.predict.serialization import read_verdicts, result_id

ALL = ("--expert", "patches", "--reasoner", "latent", "--think-tokens", 2, "--think-steps", 2)
KINDS = ("expert", "reasoner", "retriever")


def run_command(*words: object) -> str:
    """Return the output of the command line; a photo that does not pass is no failure."""
    result = CliRunner().invoke(app, [*map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 1)
    return result.output


def predict(plugin_setup, out: Path, *more: object) -> dict[str, object]:
    """Return photo → verdict."""
    run_command("predict", plugin_setup.bundle, plugin_setup.photos, "--out", out, "--workers", 0, *more)
    return {verdict.photo: verdict for verdict in read_verdicts(out / "verdicts.jsonl")}


@pytest.fixture(scope="module")
def all_plugins_run(plugin_setup, tmp_path_factory):
    """Return a folder of verdicts with all three plug-ins, and the verdicts."""
    out = tmp_path_factory.mktemp("everything")
    return out, predict(plugin_setup, out, *ALL, "--knowledge", plugin_setup.knowledge, "--xlsx")


@pytest.mark.slow
def test_records_name_plugins(plugin_setup, all_plugins_run):
    """run.json, every verdict (also of an unreadable photo) and the table name the plug-ins; result ids differ."""
    out, verdicts = all_plugins_run
    without = predict(plugin_setup, out / "without")

    texts = [info.to_text() for info in verdicts["a.png"].plugins]
    assert [info.kind for info in verdicts["torn.png"].plugins] == list(KINDS)
    run = json.loads((out / "run.json").read_text())
    assert (run["plugins"], run["knowledge"]) == (texts, str(plugin_setup.knowledge.resolve()))
    rows = list(csv.DictReader((out / "verdicts.csv").read_text().splitlines()))
    assert {row["plugins"] for row in rows} == {";".join(texts)}
    assert {row["photo"]: row["score:structural_defect"] for row in rows} == {
        name: f"{dict(v.scores)['structural_defect']:.4f}" if v.width else "" for name, v in verdicts.items()
    }
    assert all(result_id(verdicts[name]) != result_id(without[name]) for name in without)
    plain = json.loads((out / "without" / "run.json").read_text())
    assert (plain["plugins"], "knowledge" in plain) == (None, False)
    assert all(verdict.plugins == () for verdict in without.values())
    assert not {"plugins", "score:structural_defect"} & set(
        (out / "without" / "verdicts.csv").read_text().splitlines()[0].split(",")
    )


@pytest.mark.slow
def test_workbook_columns(all_plugins_run):
    """The workbook has the same columns, and names the plug-ins on its second sheet."""
    openpyxl = pytest.importorskip("openpyxl", reason="the extra xlsx is not installed")
    out, verdicts = all_plugins_run
    book = openpyxl.load_workbook(out / "verdicts.xlsx")

    head = [cell.value for cell in book["verdicts"][1]]
    facts = {row[0].value: row[1].value for row in book["run"].iter_rows()}

    assert {"score:structural_defect", "plugins"} <= set(head)
    assert facts["plug-ins"] == ", ".join(sorted(info.to_text() for info in verdicts["a.png"].plugins))


@pytest.mark.slow
def test_resume_with_other_plugins(plugin_setup, all_plugins_run):
    """A run is not resumed with other plug-ins, which are named; with the same ones it is."""
    out, verdicts = all_plugins_run
    with pytest.raises(DataError, match=r"LC710 has verdicts made with expert patches .*, and now there is no"):
        predict(plugin_setup, out)
    with pytest.raises(DataError, match=r"made with reasoner latent tokens=2 steps=2, and now there is .* steps=3\."):
        predict(plugin_setup, out, *ALL[:-1], 3, "--knowledge", plugin_setup.knowledge)

    assert predict(plugin_setup, out, *ALL, "--knowledge", plugin_setup.knowledge) == verdicts


@pytest.mark.slow
@pytest.mark.parametrize("photo", ["flawed.png", "torn.png"])
def test_replay_with_same_plugins(all_plugins_run, photo):
    """Replay finds the plug-ins of a result."""
    out, verdicts = all_plugins_run

    output = run_command("replay", result_id(verdicts[photo]), "--verdicts", out)

    assert f"{photo}: reproduced, " in output.replace("\n", " ")
    assert "reasoner latent tokens=2 steps=2" in output.replace("\n", " ")


@pytest.mark.slow
def test_replay_with_changed_plugins(plugin_setup_copy, tmp_path):
    """Changed knowledge and a refitted expert are errors that name them."""
    out = tmp_path / "out"
    name = result_id(
        predict(plugin_setup_copy, out, "--expert", "patches", "--knowledge", plugin_setup_copy.knowledge)["a.png"]
    )
    (plugin_setup_copy.knowledge / "box" / "two.md").unlink()

    with pytest.raises(DataError, match=r"LC712 the verdict was made with retriever documents .*, and now it is ret"):
        run_command("replay", name, "--verdicts", out)
    with pytest.raises(DataError, match="LC701"):
        run_command("replay", name, "--verdicts", out, "--knowledge", plugin_setup_copy.photos)


@pytest.mark.slow
def test_default_plugins(plugin_setup_copy, tmp_path):
    """The bundle's defaults are on; `none` switches each off."""
    plugin_setup_copy.knowledge.rename(plugin_setup_copy.bundle / "knowledge")
    set_default_plugins(
        plugin_setup_copy.bundle, expert="patches", reasoner={"name": "closer", "open": 0.0}, knowledge="knowledge"
    )

    full = predict(plugin_setup_copy, tmp_path / "full")
    less = predict(plugin_setup_copy, tmp_path / "less", "--reasoner", "none", "--knowledge", "none")
    without = predict(
        plugin_setup_copy, tmp_path / "without", "--reasoner", "none", "--knowledge", "none", "--expert", "none"
    )

    assert [info.to_text().split()[0] for info in full["a.png"].plugins] == list(KINDS)
    assert [reinspection_of(full[name]) is not None for name in ("a.png", "b.png", "flawed.png")] == [True] * 3
    assert any(documents_of(full[name]) for name in ("a.png", "b.png"))
    assert [info.kind for info in less["a.png"].plugins] == ["expert"]
    assert all(verdict.plugins == () for verdict in without.values())


@pytest.mark.slow
def test_reinspection_record(all_plugins_run):
    """A re-inspection records outcomes and entropies before and after."""
    results = [one for one in map(reinspection_of, all_plugins_run[1].values()) if one is not None]

    assert results
    for result in results:
        assert result.before == "review"
        assert result.after in ("pass", "fail", "review")
        assert all(0 <= entropy <= 1 for entropy in result.entropies)
        assert len(result.entropies) == 2
        assert result.is_accepted or (result.after, result.entropies[0]) == ("review", result.entropies[1])
