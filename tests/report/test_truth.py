"""Verdicts beside the truth."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from logicls.errors import DataError
from logicls.evaluation import score
from logicls.predict.uncertainty.calibration import ReliabilityBin
from logicls.report.summary import TruthCounter, build_confusion_matrix, read_reliability

from .cases import FAILED, PASSED


def test_sets_are_counted_where_they_belong():
    """Good comes first, then the most frequent; rows are true, columns found."""
    sets = Counter({((), ()): 5, (("a",), ("a",)): 3, (("a", "b"), ("a",)): 2})

    matrix = build_confusion_matrix(sets)

    assert matrix.labels == ("good", "a", "a + b")
    assert matrix.counts == ((5, 0, 0), (0, 3, 0), (0, 2, 0))
    assert matrix.correct == 8


def test_rare_sets_share_a_row():
    """What is lumped together is not taken for right."""
    sets = Counter({((f"v{n:02}",), (f"v{n:02}",)): 50 - n for n in range(20)})

    matrix = build_confusion_matrix(sets)

    assert matrix.labels[-1] == "other sets"
    assert len(matrix.labels) == 13
    assert sum(map(sum, matrix.counts)) == sum(sets.values())
    assert matrix.correct == sum(50 - n for n in range(12))


def test_scores_are_binned_beside_what_is_true():
    """By tenths; photos that the truth does not name do not count."""
    against = TruthCounter({"bad.jpg": ("gone",), "good.jpg": ()})
    for verdict in (FAILED, PASSED, replace(FAILED, photo="other.jpg"), replace(PASSED, score=1.0)):
        against.add(verdict)

    assert against.reliability_bins() == (ReliabilityBin(0.1, 0.2, 1, 0.1, 0.0), ReliabilityBin(0.9, 1.0, 2, 0.95, 0.5))
    assert against.set_pairs[("gone",), ("gone",)] == 1


def test_reliability_is_read_from_the_metrics(tmp_path):
    """Empty bins are passed over; no file and no bins are none; anything else is an error."""
    rows = [{"low": 0, "high": 0.5, "count": 4, "said": 0.25, "true": 0.5}, {"low": 0.5, "high": 1, "count": 0}]
    file = tmp_path / "metrics.json"

    assert read_reliability(file) == ()
    file.write_text(json.dumps({"n": 4}))
    assert read_reliability(file) == ()
    file.write_text(json.dumps({"reliability": rows}))
    assert read_reliability(file) == (ReliabilityBin(0.0, 0.5, 4, 0.25, 0.5),)
    file.write_text(json.dumps({"reliability": [{"count": 1}]}))
    with pytest.raises(DataError, match="LC645"):
        read_reliability(file)


def test_reliability_that_eval_writes_can_be_read(tmp_path):
    """What `logicls eval` puts into metrics.json is what a report draws."""
    board = score([FAILED, PASSED], {"bad.jpg": ("gone",), "good.jpg": ()})

    (tmp_path / "metrics.json").write_text(json.dumps(board.to_json()))

    assert board.reliability
    assert read_reliability(tmp_path / "metrics.json") == board.reliability
