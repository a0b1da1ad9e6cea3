"""Metrics against values calculated by hand."""

import pytest

from logicls.errors import DataError
from logicls.evaluation import clopper_pearson, compute_metrics, describe_escape_bound, read_truth
from logicls.records import Verdict


def verdict(photo, outcome, violations=(), stated=None, score=0.0, scores=()):
    """Return a verdict with the fields that the metrics read."""
    stated_violations = tuple(violations if stated is None else stated)
    return Verdict(photo, outcome, tuple(violations), stated_violations, score, tuple(scores))


TRUTH = {"a.jpg": (), "b.jpg": (), "c.jpg": ("bent",), "d.jpg": ("bent", "gone")}
VERDICTS = [
    verdict("a.jpg", "pass", score=0.1, scores=[("bent", 0.1), ("gone", 0.0)]),
    verdict("b.jpg", "fail", ["gone"], score=0.6, scores=[("bent", 0.2), ("gone", 0.6)]),
    verdict("c.jpg", "pass", score=0.2, scores=[("bent", 0.3), ("gone", 0.0)]),
    verdict("d.jpg", "review", ["bent", "gone"], ["bent"], score=0.9, scores=[("bent", 0.9), ("gone", 0.5)]),
]


def test_denominators_of_rates():
    """Escapes are of defective, overkill of good, review and exact match of all photos."""
    metrics = compute_metrics(VERDICTS, TRUTH)

    assert (metrics.n, metrics.exact_match.count, metrics.review_rate.count) == (4, 2, 1)
    assert (metrics.escape_rate.count, metrics.escape_rate.total) == (1, 2)
    assert (metrics.overkill_rate.count, metrics.overkill_rate.total) == (1, 2)
    assert (metrics.exact_match_without_review.count, metrics.exact_match_without_review.total) == (1, 3)
    assert metrics.agreement.value == 0.75


def test_metrics_of_each_violation():
    """bent: one of two found, no false positive; gone: found once, once falsely."""
    bent, gone = compute_metrics(VERDICTS, TRUTH).violations

    assert (bent.name, bent.n, bent.precision, bent.recall) == ("bent", 2, 1.0, 0.5)
    assert (gone.name, gone.n, gone.precision, gone.recall) == ("gone", 1, 0.5, 1.0)
    assert bent.f1 == pytest.approx(2 / 3)
    assert (bent.auroc, gone.auroc) == (1.0, pytest.approx(2 / 3))


def test_image_auroc_is_the_share_of_ordered_pairs():
    """Three of the four pairs of a good and a defective photo have the higher score on the defective one."""
    assert compute_metrics(VERDICTS, TRUTH).auroc == pytest.approx(0.75)


def test_clopper_pearson_of_none_in_ten():
    """The upper limit solves (1 - p)^10 = 0.025."""
    low, high = clopper_pearson(0, 10)

    assert (low, round(high, 4)) == (0.0, 0.3085)


def test_escape_bound_states_the_sample_size():
    """With no escape of one photo the text states the 299 photos that 1 % needs."""
    metrics = compute_metrics([verdict("d.jpg", "fail", ["bent"])], {"d.jpg": ("bent",)})

    assert "299" in describe_escape_bound(metrics.escape_rate)


def test_metrics_json_has_the_documented_keys():
    """Every key that scripts read, each rate with its interval."""
    metrics = compute_metrics(VERDICTS, TRUTH).to_json()

    rates = ["exact_match", "escape_rate", "overkill_rate", "review_rate"]
    keys = {*rates, *(f"{rate}_ci95" for rate in rates), "macro_f1", "micro_f1", "auroc", "n", "violations"}
    assert keys <= set(metrics)
    assert set(metrics["violations"]["bent"]) == {"precision", "recall", "f1", "auroc", "n"}


def test_missing_verdicts_are_an_error():
    """The photo is named."""
    with pytest.raises(DataError) as caught:
        compute_metrics(VERDICTS[:3], TRUTH)

    assert "d.jpg" in str(caught.value)


def test_truth_with_several_violations(tmp_path):
    """`;` separates violations; an empty field means good."""
    file = tmp_path / "truth.csv"
    file.write_text("image,violations\na.jpg,\nb.jpg,bent;gone\n")

    assert read_truth(file) == {"a.jpg": (), "b.jpg": ("bent", "gone")}


@pytest.mark.parametrize(
    ("text", "location", "message"),
    [
        ("photo,violations\na.jpg,\n", "", "image"),
        ("image,violations\na.jpg,\na.jpg,bent\n", ":3", "a.jpg"),
    ],
)
def test_invalid_truth_is_an_error(tmp_path, text, location, message):
    """A missing column and a duplicate photo have their line."""
    file = tmp_path / "truth.csv"
    file.write_text(text)

    with pytest.raises(DataError) as caught:
        read_truth(file)

    assert f"truth.csv{location}" in str(caught.value)
    assert message in str(caught.value)
