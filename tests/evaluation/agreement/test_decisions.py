"""Inspectors' decisions are read whole, or all that is wrong is said at once with its line."""

import pytest

from logicls.errors import DataError
from logicls.evaluation.agreement.decisions import Decision, group_decisions, read_decisions, write_decisions

HEAD = "photo,inspector,trial,decision\n"
PHOTOS = ("a.jpg", "b.jpg")


def read(tmp_path, text):
    """What is in a table of that text."""
    file = tmp_path / "people.csv"
    file.write_text(text)
    return read_decisions(file, PHOTOS)


def test_decisions_are_read(tmp_path):
    """Columns in any order, spaces around cells, blank lines."""
    text = "trial,decision, inspector,photo\n1,pass,anna,a.jpg\n\n1, fail ,anna,b.jpg\n"

    assert read(tmp_path, text) == (Decision("a.jpg", "anna", 1, "pass"), Decision("b.jpg", "anna", 1, "fail"))


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    """Each with its line, in the order of the lines."""
    rows = "a.jpg,anna,1,ok\na.jpg,anna,0,pass\nc.jpg,anna,1,pass\na.jpg,anna,1\n,,1,pass\na.jpg,logicls,1,pass\n"

    with pytest.raises(DataError) as caught:
        read(tmp_path, HEAD + rows + "b.jpg,anna,1,pass\nb.jpg,anna,1,fail\n")

    assert [(p.line, p.code) for p in caught.value.problems] == [
        (2, "LC664"), (3, "LC663"), (4, "LC666"), (5, "LC662"), (6, "LC662"), (6, "LC662"), (7, "LC662"), (9, "LC665"),
    ]  # fmt: skip
    assert 'the decision is "ok". Write one of pass, fail, review.' in str(caught.value)
    assert 'anna decided on "b.jpg" in trial 1 on line 8 already.' in str(caught.value)


def test_a_decision_that_is_missing_is_named(tmp_path):
    """Agreement needs every inspector on every photo in each trial."""
    with pytest.raises(DataError) as caught:
        read(tmp_path, HEAD + "a.jpg,anna,1,pass\nb.jpg,anna,1,pass\na.jpg,anna,2,pass\n")

    assert [str(p).partition(" ")[2] for p in caught.value.problems] == [
        "LC667 anna has not decided in trial 2 on b.jpg. Everybody decides on each photo in each trial."
    ]


def test_a_slip_in_a_trial_number_is_said_once(tmp_path):
    """Not once for every trial up to it; one with a thousand digits is no number."""
    with pytest.raises(DataError) as caught:
        read(tmp_path, HEAD + "a.jpg,anna,1,pass\nb.jpg,anna,1,pass\na.jpg,anna,99999,pass\nb.jpg,anna,99999,pass\n")

    assert [problem.message for problem in caught.value.problems] == ["anna has a trial 99999 and no trial 2."]
    with pytest.raises(DataError, match="LC663"):
        read(tmp_path, HEAD + f"a.jpg,anna,{9000 * '9'},pass\n")


def test_decisions_are_gathered_by_inspector_and_photo():
    """In the order of the trials, whatever that of the rows."""
    said = [Decision("a.jpg", "anna", 2, "fail"), Decision("a.jpg", "anna", 1, "pass")]

    assert group_decisions(said) == {"anna": {"a.jpg": ("pass", "fail")}}


def test_what_is_written_can_be_read_again(tmp_path):
    """study.csv has one more column: what is right."""
    said = tuple(Decision(photo, "anna", trial, "pass") for photo in PHOTOS for trial in (1, 2))
    write_decisions(said, {"a.jpg": "pass", "b.jpg": "fail"}, tmp_path / "study.csv")

    assert read_decisions(tmp_path / "study.csv", PHOTOS) == said
    assert (tmp_path / "study.csv").read_text().splitlines()[-1] == "b.jpg,anna,2,pass,fail"
