"""All plug-ins from the command line: what files say of them, going on, and making a result again."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from logicls.cli.app import app
from logicls.errors import DataError
from logicls.plugins.selection import set_default_plugins
from logicls.predict.folder.runner import read_verdicts
from logicls.predict.serialization import result_id

ALL = ("--expert", "patches", "--reasoner", "latent", "--think-tokens", 2, "--think-steps", 2)
KINDS = ("expert", "reasoner", "retriever")


def called(*words: object) -> str:
    """What the command line printed; a photo that does not pass is no failure."""
    result = CliRunner().invoke(app, [*map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 1)
    return result.output


def predicted(outfit, out: Path, *more: object) -> dict[str, object]:
    """Photo → its verdict."""
    called("predict", outfit.bundle, outfit.photos, "--out", out, "--workers", 0, *more)
    return {verdict.photo: verdict for verdict in read_verdicts(out / "verdicts.jsonl")}


@pytest.fixture(scope="module")
def everything(outfit, tmp_path_factory):
    """A folder of verdicts with all three, and the verdicts."""
    out = tmp_path_factory.mktemp("everything")
    return out, predicted(outfit, out, *ALL, "--knowledge", outfit.knowledge, "--xlsx")


@pytest.mark.slow
def test_every_record_says_what_was_plugged_in(outfit, everything):
    """In run.json, in every line, also of a photo that could not be read, and in the table; results differ by it."""
    out, verdicts = everything
    bare = predicted(outfit, out / "bare")

    told = [plug.to_text() for plug in verdicts["a.png"].plugins]
    assert [plug.kind for plug in verdicts["torn.png"].plugins] == list(KINDS)
    run = json.loads((out / "run.json").read_text())
    assert (run["plugins"], run["knowledge"]) == (told, str(outfit.knowledge.resolve()))
    rows = list(csv.DictReader((out / "verdicts.csv").read_text().splitlines()))
    assert {row["plugins"] for row in rows} == {";".join(told)}
    assert {row["photo"]: row["score:structural_defect"] for row in rows} == {
        name: f"{dict(v.scores)['structural_defect']:.4f}" if v.width else "" for name, v in verdicts.items()
    }
    assert all(result_id(verdicts[name]) != result_id(bare[name]) for name in bare)
    plain = json.loads((out / "bare" / "run.json").read_text())
    assert (plain["plugins"], "knowledge" in plain) == (None, False)
    assert all(verdict.plugins == () for verdict in bare.values())
    assert not {"plugins", "score:structural_defect"} & set(
        (out / "bare" / "verdicts.csv").read_text().splitlines()[0].split(",")
    )


@pytest.mark.slow
def test_the_workbook_has_the_same_columns(everything):
    """And its second sheet says what was plugged in."""
    openpyxl = pytest.importorskip("openpyxl", reason="the extra xlsx is not installed")
    out, verdicts = everything
    book = openpyxl.load_workbook(out / "verdicts.xlsx")

    head = [cell.value for cell in book["verdicts"][1]]
    facts = {row[0].value: row[1].value for row in book["run"].iter_rows()}

    assert {"score:structural_defect", "plugins"} <= set(head)
    assert facts["plug-ins"] == ", ".join(sorted(plug.to_text() for plug in verdicts["a.png"].plugins))


@pytest.mark.slow
def test_going_on_with_other_plug_ins_is_refused(outfit, everything):
    """Both are named; with the same ones the run goes on."""
    out, verdicts = everything
    with pytest.raises(DataError, match=r"LC710 holds verdicts made with expert patches .*, where now there is no"):
        predicted(outfit, out)
    with pytest.raises(DataError, match=r"made with reasoner latent tokens=2 steps=2, where now .* steps=3\."):
        predicted(outfit, out, *ALL[:-1], 3, "--knowledge", outfit.knowledge)

    assert predicted(outfit, out, *ALL, "--knowledge", outfit.knowledge) == verdicts


@pytest.mark.slow
@pytest.mark.parametrize("photo", ["flawed.png", "torn.png"])
def test_a_result_is_made_again_with_the_same(everything, photo):
    """The plug-ins are found where they lay."""
    out, verdicts = everything

    said = called("replay", result_id(verdicts[photo]), "--verdicts", out)

    assert f"{photo}: the same again, " in said.replace("\n", " ")
    assert "reasoner latent tokens=2 steps=2" in said.replace("\n", " ")


@pytest.mark.slow
def test_a_result_is_not_made_again_with_others(own, tmp_path):
    """Knowledge that was changed, and an expert that was fitted anew, are each named."""
    out = tmp_path / "out"
    name = result_id(predicted(own, out, "--expert", "patches", "--knowledge", own.knowledge)["a.png"])
    (own.knowledge / "box" / "two.md").unlink()

    with pytest.raises(DataError, match=r"LC712 the verdict was made with retriever documents .*, and now it is ret"):
        called("replay", name, "--verdicts", out)
    with pytest.raises(DataError, match="LC701"):
        called("replay", name, "--verdicts", out, "--knowledge", own.photos)


@pytest.mark.slow
def test_what_the_bundle_carries_is_on_without_options(own, tmp_path):
    """As if options had said it; `none` leaves each out, and together they leave nothing."""
    own.knowledge.rename(own.bundle / "knowledge")
    set_default_plugins(own.bundle, expert="patches", reasoner={"name": "closer", "open": 0.0}, knowledge="knowledge")

    full = predicted(own, tmp_path / "full")
    less = predicted(own, tmp_path / "less", "--reasoner", "none", "--knowledge", "none")
    bare = predicted(own, tmp_path / "bare", "--reasoner", "none", "--knowledge", "none", "--expert", "none")

    assert [plug.to_text().split()[0] for plug in full["a.png"].plugins] == list(KINDS)
    assert [full[name].second_look is not None for name in ("a.png", "b.png", "flawed.png")] == [True] * 3
    assert any(full[name].documents for name in ("a.png", "b.png"))
    assert [plug.kind for plug in less["a.png"].plugins] == ["expert"]
    assert all(verdict.plugins == () for verdict in bare.values())


@pytest.mark.slow
def test_a_second_look_says_what_it_came_to(everything):
    """Before and after, and how open the answers were."""
    looks = [verdict.second_look for verdict in everything[1].values() if verdict.second_look is not None]

    assert looks
    for look in looks:
        assert look.before == "review"
        assert look.after in ("pass", "fail", "review")
        assert all(0 <= entropy <= 1 for entropy in look.entropies)
        assert len(look.entropies) == 2
        assert look.is_accepted or (look.after, look.entropies[0]) == ("review", look.entropies[1])
