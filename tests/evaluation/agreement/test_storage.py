"""The log of a study's decisions."""

from __future__ import annotations

import pytest

from logicls.errors import DataError
from logicls.evaluation.agreement.repeatability import open_decision_log

SETTINGS = {"bundle": "kit", "seed": 0}


def test_what_was_decided_is_known_again(tmp_path):
    """By photo and trial; as long as one of the photos is missing, nothing is known of them together."""
    with open_decision_log(tmp_path / "d.jsonl", SETTINGS) as first:
        assert first.find(["a", "b"], 1) is None
        first.add({"a": "pass", "b": "review"}, 1)

    with open_decision_log(tmp_path / "d.jsonl", SETTINGS) as again:
        assert again.find(["b", "a"], 1) == {"a": "pass", "b": "review"}
        assert again.find(["a", "b", "c"], 1) is None
        assert again.find(["a"], 2) is None


def test_what_a_kill_left_is_cut_off(tmp_path):
    """Half a line is no decision; the others stay, and none is written twice."""
    file = tmp_path / "d.jsonl"
    with open_decision_log(file, SETTINGS) as first:
        first.add({"a": "pass", "b": "fail"}, 1)
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])

    with open_decision_log(file, SETTINGS) as again:
        assert (again.find(["a"], 1), again.find(["b"], 1)) == ({"a": "pass"}, None)
        again.add({"a": "pass", "b": "fail"}, 1)

    assert file.read_bytes() == whole


def test_a_study_of_other_things_begins_anew(tmp_path):
    """With another seed, for example; what is there stays there."""
    with open_decision_log(tmp_path / "d.jsonl", SETTINGS) as first:
        first.add({"a": "pass"}, 1)

    with open_decision_log(tmp_path / "d.jsonl", {**SETTINGS, "seed": 1}) as other:
        assert other.find(["a"], 1) is None
        other.add({"a": "fail"}, 1)

    with open_decision_log(tmp_path / "d.jsonl", SETTINGS) as again:
        assert again.find(["a"], 1) == {"a": "pass"}


def test_two_studies_at_a_time_are_refused(tmp_path):
    """The second would decide what the first is deciding."""
    with open_decision_log(tmp_path / "d.jsonl", SETTINGS), pytest.raises(DataError, match="LC606"):
        open_decision_log(tmp_path / "d.jsonl", SETTINGS).__enter__()
