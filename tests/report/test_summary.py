"""Figures of the report, the selection of photos with a card, and the comparison with the ground truth."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from logicls.constraints.spec.loader import load_spec
from logicls.errors import DataError
from logicls.evaluation import compute_metrics
from logicls.predict.uncertainty.calibration import ReliabilityBin
from logicls.report.card_view import build_labels
from logicls.report.summary import TruthCounter, build_confusion_matrix, read_reliability, summarize

from .cases import FAILED, LABELS, PASSED, REVIEW


def summarize_photos(tmp_path, limit, *, fails=0, reviews=0, passes=0):
    """Summarize verdicts with the given number of each outcome."""
    kinds = ((FAILED, fails), (REVIEW, reviews), (PASSED, passes))
    verdicts = (replace(v, photo=f"{v.outcome}{n:04}", width=0) for v, number in kinds for n in range(number))
    return summarize(verdicts, LABELS, photos=tmp_path, limit=limit)


def count_cards(selected):
    """Return the number of cards per outcome."""
    return {outcome: len(verdicts) for outcome, verdicts in selected.items()}


def test_all_photos_get_a_card_below_the_limit(tmp_path):
    """Cards are in the order of the verdicts."""
    selected = summarize_photos(tmp_path, 100, fails=3, reviews=4, passes=5).select_photos(100)

    assert count_cards(selected) == {"fail": 3, "review": 4, "pass": 5}
    assert [v.photo for v in selected["pass"]] == [f"pass{n:04}" for n in range(5)]


def test_failures_have_priority_but_every_outcome_is_included(tmp_path):
    """A quarter is reserved for reviews and a twentieth for passes; unused places go to the others."""
    assert count_cards(summarize_photos(tmp_path, 100, fails=500, reviews=500, passes=500).select_photos(100)) == {
        "fail": 70, "review": 25, "pass": 5,
    }  # fmt: skip
    assert count_cards(summarize_photos(tmp_path, 100, fails=10, reviews=500, passes=500).select_photos(100)) == {
        "fail": 10, "review": 85, "pass": 5,
    }  # fmt: skip
    assert count_cards(summarize_photos(tmp_path, 100, fails=10, passes=500).select_photos(100)) == {
        "fail": 10,
        "review": 0,
        "pass": 90,
    }


def test_passes_are_sampled_uniformly(tmp_path):
    """The sample is reproducible and in order; failures are the first ones."""
    selected = summarize_photos(tmp_path, 100, fails=200, passes=5000).select_photos(100)
    repeated = summarize_photos(tmp_path, 100, fails=200, passes=5000).select_photos(100)

    passes = [v.photo for v in selected["pass"]]
    assert passes == [v.photo for v in repeated["pass"]] == sorted(passes)
    assert passes[-1] > "pass2500"
    assert [v.photo for v in selected["fail"]] == [f"fail{n:04}" for n in range(95)]


def test_memory_is_bounded_by_the_limit(tmp_path):
    """At most `limit` verdicts per outcome stay in memory."""
    summary = summarize_photos(tmp_path, 10, fails=300, reviews=300, passes=300)

    assert [len(sample.items) for sample in summary.samples.values()] == [10, 10, 10]
    assert summary.n == 900


def test_a_violation_has_the_highest_severity_of_its_rules(tmp_path):
    """Rules may share a violation; labels come from the spec."""
    (tmp_path / "box.yaml").write_text(
        "logicls: 1\nproduct: {name: lid_box}\ncomponents: {lid: {}}\nconstraints:\n"
        "  - {id: some, quantity: {of: lid, at_least: 1}, violation: gone, severity: minor, why: law}\n"
        "  - {id: few, quantity: {of: lid, at_most: 2}, violation: gone, severity: critical}\n"
    )

    labels = build_labels(load_spec(tmp_path / "box.yaml"))

    assert labels.severities == {"gone": "critical"}
    assert (labels.title, labels.reasons) == ("lid box", {"some": "law"})
    assert labels.worst_severity(["gone", "unknown"]) == "critical"
    assert labels.worst_severity([]) is None


def test_classes_are_sorted_by_frequency():
    """`good` is first, then by descending frequency; rows are true, columns predicted."""
    sets = Counter({((), ()): 5, (("a",), ("a",)): 3, (("a", "b"), ("a",)): 2})

    matrix = build_confusion_matrix(sets)

    assert matrix.labels == ("good", "a", "a + b")
    assert matrix.counts == ((5, 0, 0), (0, 3, 0), (0, 2, 0))
    assert matrix.correct == 8
    assert not matrix.has_merged_class


def test_rare_sets_are_merged():
    """The merged class does not count as correct."""
    sets = Counter({((f"v{n:02}",), (f"v{n:02}",)): 50 - n for n in range(20)})

    matrix = build_confusion_matrix(sets)

    assert matrix.labels[-1] == "other sets"
    assert matrix.has_merged_class
    assert len(matrix.labels) == 13
    assert sum(map(sum, matrix.counts)) == sum(sets.values())
    assert matrix.correct == sum(50 - n for n in range(12))


def test_scores_are_binned_with_the_ground_truth():
    """There are ten bins; photos without ground truth are ignored."""
    counter = TruthCounter({"bad.jpg": ("gone",), "good.jpg": ()})
    for verdict in (FAILED, PASSED, replace(FAILED, photo="other.jpg"), replace(PASSED, score=1.0)):
        counter.add(verdict)

    assert counter.reliability_bins() == (ReliabilityBin(0.1, 0.2, 1, 0.1, 0.0), ReliabilityBin(0.9, 1.0, 2, 0.95, 0.5))
    assert counter.set_pairs[("gone",), ("gone",)] == 1


def test_reliability_is_read_from_the_metrics(tmp_path):
    """Empty bins are skipped; a missing file or key gives no bins; invalid entries are errors."""
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
    """The report reads the bins that `logicls eval` writes."""
    board = compute_metrics([FAILED, PASSED], {"bad.jpg": ("gone",), "good.jpg": ()})

    (tmp_path / "metrics.json").write_text(json.dumps(board.to_json()))

    assert board.reliability
    assert read_reliability(tmp_path / "metrics.json") == board.reliability
