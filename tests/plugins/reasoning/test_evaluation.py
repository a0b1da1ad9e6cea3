"""What second looks are worth, counted by hand."""

from __future__ import annotations

import pytest

from logicls.plugins.reasoning.evaluation import compute_metrics, decide_by_rules, limit_errors, mean_rewards
from logicls.records import SecondLook, Verdict

TRUTH = {"a": (), "b": ("x",), "c": (), "d": ("x",)}
LOOK = SecondLook("latent", "review", 0.5, (0.5, 0.5, 0.8))
FIRST = [
    Verdict("a", "pass", score=0.01),
    Verdict("b", "fail", ("x",), score=0.99),
    Verdict("c", "review", score=0.4),
    Verdict("d", "review", ("x",), score=0.6),
]


def test_fewer_reviews_without_a_mistake():
    """Both reviews are decided, rightly: what is left is what is left at equal mistakes."""
    after = [*FIRST[:2], Verdict("c", "pass", score=0.2, second_look=LOOK), Verdict("d", "fail", ("x",), score=0.8)]

    found = compute_metrics(after, TRUTH, FIRST)

    assert (found.photos, found.reinspected, found.amended, found.seconds) == (4, 0.25, 0.25, 0.5)
    assert (found.review, found.review_at_equal_errors, found.escapes, found.overkill, found.exact) == (
        0.0,
        0.0,
        0,
        0,
        1.0,
    )


def test_reviews_that_became_mistakes_are_put_back():
    """An escape is paid for: the least sure verdicts go to review until it is caught, those in between as well."""
    after = [*FIRST[:2], Verdict("c", "pass", score=0.45), Verdict("d", "pass", score=0.3)]

    found = compute_metrics(after, TRUTH, FIRST)

    assert (found.review, found.escapes, found.exact) == (0.0, 1, 0.75)
    assert found.review_at_equal_errors == 0.5
    assert [v.outcome for v in limit_errors(after, TRUTH, (1, 0))] == ["pass", "fail", "pass", "pass"]


def test_photos_without_a_truth_are_left_out():
    """They count nowhere."""
    assert compute_metrics([Verdict("z", "review")], TRUTH, [Verdict("z", "review")]).photos == 0


def test_decided_by_logic():
    """A review becomes what its answers say, where it may; other verdicts stay."""
    came = [decide_by_rules(verdict, verdict.photo != "c") for verdict in FIRST]

    assert [verdict.outcome for verdict in came] == ["pass", "fail", "review", "fail"]


def test_mean_reward_by_step():
    """Looks that ended early stay where they ended."""
    short = SecondLook("latent", "review", 0.5, (0.6, 0.7))
    looks = [Verdict("a", "pass", second_look=LOOK), Verdict("b", "pass", second_look=short), Verdict("c", "pass")]

    assert mean_rewards(looks) == pytest.approx((0.55, 0.6, 0.75))
