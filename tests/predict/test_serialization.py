"""A verdict on disk: one line of JSON, one row of the table."""

import csv
import json
from dataclasses import replace

import pytest

from logicls.errors import DataError
from logicls.predict.serialization import result_id, verdict_from_json, verdict_to_json, write_verdicts_csv
from logicls.records import Answer, Box, Finding, PluginInfo, SecondLook, Verdict

FULL = Verdict(
    "line 2/Ä,1.jpg", "fail", ("gone", "wrong cap"), ("gone",), 0.1 + 0.2, (("gone", 0.9), ("wrong cap", 0.625)),
    (Finding("one-lid", "broken", ("gone",), "1 lid", "0 lid", ("locate:lid",), 1 / 3),),
    (Answer("locate:lid", ("red",), (Box(1.5, 2.0, 3.25, 4.0),), 0.7, False),),
    (), 80, 60, "ab" * 32, "kit", "c0ffee", "7", "t1", 0.025,
)  # fmt: skip
TORN = Verdict("torn.jpg", "review", reasons=("truncated", "no answer"))
SILENT = Verdict("good.jpg", "pass", stated=(), score=0.0)


@pytest.mark.parametrize("verdict", [FULL, TORN, SILENT])
def test_a_verdict_comes_back_as_it_was(verdict):
    """Every field survives the text, floats to the last bit; nothing stated and nothing readable stay apart."""
    text = json.dumps(verdict_to_json(verdict), allow_nan=False)

    assert verdict_from_json(json.loads(text)) == verdict


def test_every_bad_field_is_named():
    """All that is wrong with a record is said at once, with the photo and the field."""
    with pytest.raises(DataError) as caught:
        verdict_from_json({"photo": "a.jpg", "outcome": "maybe", "width": "wide"})

    assert str(caught.value) == (
        "LC252 verdict of \"a.jpg\", outcome: input should be 'pass', 'fail' or 'review'.\n"
        'LC252 verdict of "a.jpg", width: input should be a valid integer, unable to parse string as an integer.'
    )


def test_the_table_has_a_row_a_photo_and_a_column_a_violation(tmp_path):
    """Several values stand in one field with ';' between; what was not read is told from what is good."""
    write_verdicts_csv([FULL, TORN, SILENT], tmp_path / "v.csv", violations=("gone", "wrong cap"))

    names = [result_id(verdict) for verdict in (FULL, TORN, SILENT)]
    assert (tmp_path / "v.csv").read_text(encoding="utf-8").splitlines() == [
        "photo,outcome,violations,stated,score,reasons,score:gone,score:wrong cap,"
        "seconds,result,sha256,bundle,thresholds,version,spec",
        '"line 2/Ä,1.jpg",fail,gone;wrong cap,gone,0.3000,,0.9000,0.6250,'
        f"0.0250,{names[0]},{'ab' * 32},kit,t1,7,c0ffee",
        f"torn.jpg,review,,unreadable,1.0000,truncated;no answer,,,,{names[1]},,,,,",
        f"good.jpg,pass,,,0.0000,,,,,{names[2]},,,,,",
    ]


@pytest.mark.parametrize("name", ["=1+1.jpg", "+1.jpg", "-1.jpg", "@SUM(A1).jpg", "\t=1.jpg"])
def test_no_cell_is_a_formula(tmp_path, name):
    """What a spreadsheet would run gets a mark in front; JSON Lines have the name as it is."""
    verdict = replace(TORN, photo=name, violations=(name,), reasons=(name,))

    write_verdicts_csv([verdict], tmp_path / "v.csv", violations=())

    with (tmp_path / "v.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert [row[key] for key in ("photo", "violations", "reasons")] == [f"'{name}"] * 3
    assert verdict_to_json(verdict)["photo"] == name


def test_a_result_is_named_after_photo_bundle_and_thresholds():
    """The same ones have the same name wherever the folder lies; any other has another. It is in the line, too.

    A photo with the same bytes in another folder is another one.
    """
    name = result_id(FULL)

    assert result_id(replace(FULL, score=0.0, seconds=9.0)) == name
    others = (
        replace(FULL, photo="line 3/Ä,1.jpg"), replace(FULL, sha256="cd" * 32), replace(FULL, bundle="new"),
        replace(FULL, thresholds="t2"),
    )  # fmt: skip
    assert len({name, *map(result_id, others)}) == 5
    assert result_id(TORN) != result_id(replace(TORN, photo="torn too.jpg"))
    assert verdict_to_json(FULL)["result"] == name
    assert len(name) == 12


def test_other_plug_ins_make_another_result():
    """By kind, name, what they know, and settings: whether they changed anything on the photo or not."""
    first = Verdict("a.png", "review", sha256="ab", bundle="b")
    plugs = (
        PluginInfo("expert", "patches", "0a1b"),
        PluginInfo("reasoner", "latent", settings=(("tokens", 4.0), ("steps", 20.0))),
    )
    look = SecondLook("latent", "review", 0.5, (0.5, 0.75), 1, True, "pass", (0.5, 0.25))

    again = replace(first, outcome="pass", second_look=look, plugins=plugs)
    others = replace(plugs[0], knowledge_id="0a1c"), replace(plugs[0], name="texts"), replace(plugs[1], settings=())
    names = [result_id(replace(first, plugins=some)) for some in ((), plugs, plugs[:1], *((one,) for one in others))]
    assert len({*names}) == 6
    assert result_id(again) == names[1]
    assert verdict_from_json(verdict_to_json(again)) == again


def test_a_table_of_an_expert_has_its_score(tmp_path):
    """The first verdict tells, even of a photo that could not be read; a column says what was plugged in."""
    plugs = PluginInfo("expert", "patches", "0a1b"), PluginInfo("reasoner", "closer", settings=(("larger", 1.15),))
    flawed = replace(FULL, scores=(*FULL.scores, ("structural_defect", 0.75)))

    write_verdicts_csv([replace(v, plugins=plugs) for v in (TORN, flawed)], tmp_path / "v.csv", violations=("gone",))

    rows = list(csv.DictReader((tmp_path / "v.csv").read_text().splitlines()))
    assert [row["score:structural_defect"] for row in rows] == ["", "0.7500"]
    assert [row["plugins"] for row in rows] == ["expert patches 0a1b;reasoner closer larger=1.15"] * 2


def test_a_table_of_nothing_has_its_head(tmp_path):
    """And no column of plug-ins."""
    write_verdicts_csv([], tmp_path / "v.csv", violations=("gone",))

    assert (tmp_path / "v.csv").read_text() == (
        "photo,outcome,violations,stated,score,reasons,score:gone,seconds,result,sha256,bundle,thresholds,version,spec\n"
    )
