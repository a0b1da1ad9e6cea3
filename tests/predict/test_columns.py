"""Columns of the table of verdicts, and verdicts.csv."""

import csv
from dataclasses import replace

import pytest

from logicls.predict.serialization import result_id, verdict_columns, verdict_to_json, write_verdicts_csv
from logicls.records import PluginInfo, Verdict

FULL = Verdict(
    "line 2/Ä,1.jpg", "fail", ("gone", "wrong cap"), ("gone",), 0.1 + 0.2, (("gone", 0.9), ("wrong cap", 0.625)),
    (), (), (), 80, 60, "ab" * 32, "kit", "c0ffee", "7", "t1", 0.025,
)  # fmt: skip
TORN = Verdict("torn.jpg", "review", reasons=("truncated", "no answer"))
GOOD = Verdict("good.jpg", "pass", stated=(), score=0.0)


def test_one_row_per_photo_and_one_column_per_violation(tmp_path):
    """Several values of a cell have ';' between; an unreadable stated verdict is told from an empty one."""
    write_verdicts_csv([FULL, TORN, GOOD], tmp_path / "v.csv", violations=("gone", "wrong cap"))

    ids = [result_id(verdict) for verdict in (FULL, TORN, GOOD)]
    assert (tmp_path / "v.csv").read_text(encoding="utf-8").splitlines() == [
        "photo,outcome,violations,stated_violations,anomaly_score,review_reasons,score:gone,score:wrong cap,"
        "seconds,result_id,sha256,bundle_id,thresholds_id,spec_version,spec_hash,trained_spec_hash",
        f'"line 2/Ä,1.jpg",fail,gone;wrong cap,gone,0.3000,,0.9000,0.6250,0.0250,{ids[0]},{"ab" * 32},kit,t1,7,'
        "c0ffee,c0ffee",
        f"torn.jpg,review,,unreadable,1.0000,truncated;no answer,,,,{ids[1]},,,,,,",
        f"good.jpg,pass,,,0.0000,,,,,{ids[2]},,,,,,",
    ]


@pytest.mark.parametrize("name", ["=1+1.jpg", "+1.jpg", "-1.jpg", "@SUM(A1).jpg", "\t=1.jpg"])
def test_no_cell_is_a_formula(tmp_path, name):
    """A text that a spreadsheet would run has an apostrophe in front; JSON Lines have the name as it is."""
    verdict = replace(TORN, photo=name, violations=(name,), reasons=(name,))

    write_verdicts_csv([verdict], tmp_path / "v.csv", violations=())

    with (tmp_path / "v.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert [row[key] for key in ("photo", "violations", "review_reasons")] == [f"'{name}"] * 3
    assert verdict_to_json(verdict)["photo"] == name


def test_expert_and_plugins_have_columns(tmp_path):
    """The first verdict determines the columns, even if its photo could not be read."""
    plugins = PluginInfo("expert", "patches", "0a1b"), PluginInfo("reasoner", "closer", settings=(("larger", 1.15),))
    flawed = replace(FULL, scores=(*FULL.scores, ("structural_defect", 0.75)))

    write_verdicts_csv([replace(v, plugins=plugins) for v in (TORN, flawed)], tmp_path / "v.csv", violations=("gone",))

    rows = list(csv.DictReader((tmp_path / "v.csv").read_text().splitlines()))
    assert [row["score:structural_defect"] for row in rows] == ["", "0.7500"]
    assert [row["plugins"] for row in rows] == ["expert patches 0a1b;reasoner closer larger=1.15"] * 2


def test_empty_table_has_a_header(tmp_path):
    """Without a column of plug-ins."""
    write_verdicts_csv([], tmp_path / "v.csv", violations=("gone",))

    columns = verdict_columns(["gone"], has_expert=False, has_plugins=False)
    assert (tmp_path / "v.csv").read_text() == ",".join(column.header for column in columns) + "\n"
