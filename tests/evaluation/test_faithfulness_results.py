"""Rates of faithfulness trials."""

from logicls.evaluation.evidence import FaithfulnessTest, FaithfulnessTrial

RESULT = FaithfulnessTest(
    (
        FaithfulnessTrial("locate", "a: x", True),
        FaithfulnessTrial("locate", "b: x", False),
        FaithfulnessTrial("attribute", "c: y", True),
    ),
    2,
)


def test_rates_by_kind():
    """All trials, and those of each kind."""
    assert (RESULT.rate.count, RESULT.rate.total) == (2, 3)
    assert [(kind, rate.count, rate.total) for kind, rate in RESULT.rates_by_kind] == [
        ("attribute", 1, 1),
        ("locate", 1, 2),
    ]


def test_json_lists_failed_trials():
    """Rate, interval, number of trials, ignored photos, kinds, and the failed trials."""
    record = RESULT.to_json()

    assert (record["value"], record["n"], record["left_out"], record["failed"]) == (2 / 3, 3, 2, ["b: x"])
    assert [round(limit, 4) for limit in record["ci95"]] == [0.0943, 0.9916]
    assert record["kinds"]["locate"]["n"] == 2
