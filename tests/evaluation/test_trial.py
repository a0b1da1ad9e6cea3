"""What was tried, as figures."""

from logicls.evaluation.necessity import FaithfulnessTrial, FaithfulnessTest

TRIED = FaithfulnessTest(
    (
        FaithfulnessTrial("locate", "a: x", True),
        FaithfulnessTrial("locate", "b: x", False),
        FaithfulnessTrial("attribute", "c: y", True),
    ),
    2,
)


def test_each_kind_has_its_share():
    """All together, and each kind by itself."""
    assert (TRIED.rate.count, TRIED.rate.total) == (2, 3)
    assert [(kind, rate.count, rate.total) for kind, rate in TRIED.rates_by_kind] == [
        ("attribute", 1, 1),
        ("locate", 1, 2),
    ]


def test_the_json_names_what_failed():
    """Share, interval, n, what was left out, the kinds, and where to look."""
    told = TRIED.to_json()

    assert (told["value"], told["n"], told["left_out"], told["failed"]) == (2 / 3, 3, 2, ["b: x"])
    assert [round(limit, 4) for limit in told["ci95"]] == [0.0943, 0.9916]
    assert told["kinds"]["locate"]["n"] == 2
