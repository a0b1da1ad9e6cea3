"""The scoreboard against figures that were worked out by hand."""

import pytest

from logicls.errors import DataError
from logicls.evaluation import clopper_pearson, describe_escape_bound, read_truth, compute_metrics
from logicls.records import Verdict


def verdict(photo, outcome, violations=(), stated=None, score=0.0, scores=()):
    """A verdict with what the scoreboard reads."""
    told = tuple(violations) if stated is None else tuple(stated)
    return Verdict(photo, outcome, tuple(violations), told, score, tuple(scores))


TRUTH = {"a.jpg": (), "b.jpg": (), "c.jpg": ("bent",), "d.jpg": ("bent", "gone")}
VERDICTS = [
    verdict("a.jpg", "pass", score=0.1, scores=[("bent", 0.1), ("gone", 0.0)]),
    verdict("b.jpg", "fail", ["gone"], score=0.6, scores=[("bent", 0.2), ("gone", 0.6)]),
    verdict("c.jpg", "pass", score=0.2, scores=[("bent", 0.3), ("gone", 0.0)]),
    verdict("d.jpg", "review", ["bent", "gone"], ["bent"], score=0.9, scores=[("bent", 0.9), ("gone", 0.5)]),
]


def test_rates_are_shares_of_the_right_photos():
    """Escapes are of the bad, overkill of the good, review and exact match of all."""
    board = compute_metrics(VERDICTS, TRUTH)

    assert (board.n, board.exact_match.count, board.review_rate.count) == (4, 2, 1)
    assert (board.escape_rate.count, board.escape_rate.total) == (1, 2)
    assert (board.overkill_rate.count, board.overkill_rate.total) == (1, 2)
    assert (board.exact_match_without_review.count, board.exact_match_without_review.total) == (1, 3)
    assert board.agreement.value == 0.75


def test_figures_of_each_violation():
    """bent: one of two found, nothing else called so; gone: found once, once wrongly."""
    bent, gone = compute_metrics(VERDICTS, TRUTH).violations

    assert (bent.name, bent.n, bent.precision, bent.recall) == ("bent", 2, 1.0, 0.5)
    assert (gone.name, gone.n, gone.precision, gone.recall) == ("gone", 1, 0.5, 1.0)
    assert bent.f1 == pytest.approx(2 / 3)
    assert (bent.auroc, gone.auroc) == (1.0, pytest.approx(2 / 3))


def test_image_auroc_counts_ordered_pairs():
    """Of the four pairs of a good and a bad photo three have the higher score on the bad one."""
    assert compute_metrics(VERDICTS, TRUTH).auroc == pytest.approx(0.75)


def test_clopper_pearson_of_none_in_ten():
    """The upper end solves (1 - p)^10 = 0.025."""
    low, high = clopper_pearson(0, 10)

    assert (low, round(high, 4)) == (0.0, 0.3085)


def test_too_few_defectives_are_said_to_be_too_few():
    """Nothing escaped of ten: the sentence names the 299 that a claim of 1 % takes."""
    board = compute_metrics([verdict("d.jpg", "fail", ["bent"])], {"d.jpg": ("bent",)})

    assert "299" in describe_escape_bound(board.escape_rate)


def test_metrics_json_has_the_agreed_keys():
    """Every key that scripts read, each rate with its interval."""
    metrics = compute_metrics(VERDICTS, TRUTH).to_json()

    rates = ["exact_match", "escape_rate", "overkill_rate", "review_rate"]
    keys = {*rates, *(f"{rate}_ci95" for rate in rates), "macro_f1", "micro_f1", "auroc", "n", "violations"}
    assert keys <= set(metrics)
    assert set(metrics["violations"]["bent"]) == {"precision", "recall", "f1", "auroc", "n"}


def test_a_photo_without_verdict_is_named():
    """A truth that was not predicted is an error, not a good score."""
    with pytest.raises(DataError) as caught:
        compute_metrics(VERDICTS[:3], TRUTH)

    assert "d.jpg" in str(caught.value)


def test_truth_is_read_with_several_violations(tmp_path):
    """`;` stands between several, nothing means good."""
    file = tmp_path / "truth.csv"
    file.write_text("image,violations\na.jpg,\nb.jpg,bent;gone\n")

    assert read_truth(file) == {"a.jpg": (), "b.jpg": ("bent", "gone")}


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("photo,violations\na.jpg,\n", "", "image"),
        ("image,violations\na.jpg,\na.jpg,bent\n", ":3", "a.jpg"),
    ],
)
def test_bad_truth_is_pointed_at(tmp_path, text, place, said):
    """A missing column and a photo named twice are shown with their line."""
    file = tmp_path / "truth.csv"
    file.write_text(text)

    with pytest.raises(DataError) as caught:
        read_truth(file)

    assert f"truth.csv{place}" in str(caught.value)
    assert said in str(caught.value)
