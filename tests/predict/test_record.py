"""A verdict on disk: one line of JSON, one row of the table."""

import json

import pytest

from logicls.errors import DataError
from logicls.predict.record import verdict_from_json, verdict_to_json
from logicls.predict.table import write_table
from logicls.records import Answer, Box, Finding, Verdict

FULL = Verdict(
    "line 2/Ä,1.jpg", "fail", ("gone", "wrong cap"), ("gone",), 0.1 + 0.2, (("gone", 0.9), ("wrong cap", 0.625)),
    (Finding("one-lid", "broken", ("gone",), "1 lid", "0 lid", ("locate:lid",), 1 / 3),),
    (Answer("locate:lid", ("red",), (Box(1.5, 2.0, 3.25, 4.0),), 0.7, False),),
    (), 80, 60, "ab" * 32, "kit", "c0ffee",
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
    write_table([FULL, TORN, SILENT], tmp_path / "v.csv", violations=("gone", "wrong cap"))

    assert (tmp_path / "v.csv").read_text(encoding="utf-8").splitlines() == [
        "photo,outcome,violations,stated,score,reasons,score:gone,score:wrong cap,sha256,bundle,spec",
        f'"line 2/Ä,1.jpg",fail,gone;wrong cap,gone,0.3000,,0.9000,0.6250,{"ab" * 32},kit,c0ffee',
        "torn.jpg,review,,unreadable,1.0000,truncated;no answer,,,,,",
        "good.jpg,pass,,,0.0000,,,,,,",
    ]
