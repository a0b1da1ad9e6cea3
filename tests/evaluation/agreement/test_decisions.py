"""Tables of inspectors' decisions, and their errors."""

import pytest

from logicls.errors import DataError
from logicls.evaluation.agreement.decisions import Decision, group_decisions, read_decisions, write_decisions

HEAD = "photo,inspector,trial,decision\n"
PHOTOS = ("a.jpg", "b.jpg")


def read(tmp_path, text):
    """Read a table with this text."""
    file = tmp_path / "people.csv"
    file.write_text(text)
    return read_decisions(file, PHOTOS)


def test_read_decisions(tmp_path):
    """Columns in any order, spaces around cells, blank lines."""
    text = "trial,decision, inspector,photo\n1,pass,anna,a.jpg\n\n1, fail ,anna,b.jpg\n"

    assert read(tmp_path, text) == (Decision("a.jpg", "anna", 1, "pass"), Decision("b.jpg", "anna", 1, "fail"))


def test_all_errors_are_reported_together(tmp_path):
    """Each error has its line."""
    rows = "a.jpg,anna,1,ok\na.jpg,anna,0,pass\nc.jpg,anna,1,pass\na.jpg,anna,1\n,,1,pass\na.jpg,logicls,1,pass\n"

    with pytest.raises(DataError) as caught:
        read(tmp_path, HEAD + rows + "b.jpg,anna,1,pass\nb.jpg,anna,1,fail\n")

    assert [(p.line, p.code) for p in caught.value.problems] == [
        (2, "LC664"), (3, "LC663"), (4, "LC666"), (5, "LC662"), (6, "LC662"), (6, "LC662"), (7, "LC662"), (9, "LC665"),
    ]  # fmt: skip
    assert 'the decision is "ok". Write one of pass, fail, review.' in str(caught.value)
    assert 'anna decided on "b.jpg" in trial 1 on line 8 already.' in str(caught.value)


def test_missing_decisions_are_an_error(tmp_path):
    """An agreement study needs every inspector on every photo in each trial."""
    with pytest.raises(DataError) as caught:
        read(tmp_path, HEAD + "a.jpg,anna,1,pass\nb.jpg,anna,1,pass\na.jpg,anna,2,pass\n")

    assert [str(p).partition(" ")[2] for p in caught.value.problems] == [
        "LC667 anna has no decision in trial 2 on b.jpg. Every inspector decides each photo in each trial."
    ]


def test_wrong_trial_number_is_reported_once(tmp_path):
    """Not once for every trial up to it; a number of a thousand digits is invalid."""
    with pytest.raises(DataError) as caught:
        read(tmp_path, HEAD + "a.jpg,anna,1,pass\nb.jpg,anna,1,pass\na.jpg,anna,99999,pass\nb.jpg,anna,99999,pass\n")

    assert [problem.message for problem in caught.value.problems] == ["anna has trial 99999 but not trial 2."]
    with pytest.raises(DataError, match="LC663"):
        read(tmp_path, HEAD + f"a.jpg,anna,{9000 * '9'},pass\n")


def test_decisions_are_grouped_by_inspector_and_photo():
    """In the order of the trials, whatever the order of the rows."""
    decisions = [Decision("a.jpg", "anna", 2, "fail"), Decision("a.jpg", "anna", 1, "pass")]

    assert group_decisions(decisions) == {"anna": {"a.jpg": ("pass", "fail")}}


def test_written_decisions_can_be_read(tmp_path):
    """study.csv has one more column: the reference."""
    decisions = tuple(Decision(photo, "anna", trial, "pass") for photo in PHOTOS for trial in (1, 2))
    write_decisions(decisions, {"a.jpg": "pass", "b.jpg": "fail"}, tmp_path / "study.csv")

    assert read_decisions(tmp_path / "study.csv", PHOTOS) == decisions
    assert (tmp_path / "study.csv").read_text().splitlines()[-1] == "b.jpg,anna,2,pass,fail"
