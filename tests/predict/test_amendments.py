"""A flaw that no rule names, in a verdict."""

from __future__ import annotations

import numpy as np
import pytest

from logicls.predict.amendments import ANOMALY_QUERY, ANOMALY_RULE, ANOMALY_VIOLATION, apply_plugins, apply_anomaly
from logicls.predict.plugin_protocols import AnomalyDetection, Plugins
from logicls.predict.serialization import verdict_from_json, verdict_to_json
from logicls.predict.uncertainty.thresholds import Thresholds, apply_thresholds
from logicls.records import Answer, Box, Finding, Verdict

PHOTO = np.zeros((100, 200, 3), np.uint8)
GOOD = Verdict("a.png", "pass", score=0.2, scores=(("missing_spoon", 0.2),), width=200, height=100)
SPOON = Finding("one-spoon", "broken", ("missing_spoon",), queries=("locate:spoon",), probability=0.9)
NO_SPOON = Verdict(
    "b.png", "fail", ("missing_spoon",), score=0.9, scores=(("missing_spoon", 0.9),), findings=(SPOON,),
    answers=(Answer("locate:spoon"),), width=200, height=100,
)  # fmt: skip
BOX, OTHER = Box(10, 10, 30, 30), Box(100, 50, 120, 70)
CRACK = AnomalyDetection(0.95, 9.0, BOX, "9.0 where good photos have up to 4.0", components=("spoon",))
DUST = AnomalyDetection(0.92, 7.0, OTHER, "7.0 where good photos have up to 4.0", components=("vial",))
REST = AnomalyDetection(0.1, 2.0, description="2.0 where good photos have up to 4.0")


def test_a_flaw_on_a_good_photo():
    """It fails, by a finding with an expectation, an answer with the box, a score of its own and one of both."""
    verdict = apply_anomaly(GOOD, CRACK)

    assert (verdict.outcome, verdict.violations) == ("fail", (ANOMALY_VIOLATION,))
    assert verdict.score == pytest.approx(1 - 0.8 * 0.05)
    assert verdict.scores == (("missing_spoon", 0.2), (ANOMALY_VIOLATION, 0.95))
    assert verdict.findings == (
        Finding(
            ANOMALY_RULE,
            "broken",
            (ANOMALY_VIOLATION,),
            "like good photos everywhere",
            CRACK.description,
            (ANOMALY_QUERY,),
            0.95,
            0.95,
        ),
    )
    assert verdict.answers == (Answer(ANOMALY_QUERY, (ANOMALY_VIOLATION,), (BOX,), 0.95),)
    assert verdict_from_json(verdict_to_json(verdict)) == verdict


def test_no_flaw():
    """The photo passes as before, and the finding holds, without a box."""
    verdict = apply_anomaly(GOOD, REST)

    assert (verdict.outcome, verdict.violations, verdict.reasons) == ("pass", (), ())
    assert (verdict.findings[0].status, verdict.findings[0].probability) == ("holds", 0.1)
    assert verdict.answers == (Answer(ANOMALY_QUERY, (), (), 0.9),)


def test_where_a_missing_thing_lies_on_good_photos_is_no_flaw():
    """A spoon that is missing explains what is strange where spoons lie: not named, half of its chance is left."""
    verdict = apply_anomaly(NO_SPOON, CRACK)

    assert verdict.violations == ("missing_spoon",)
    assert verdict.answers[-1].boxes == ()
    assert dict(verdict.scores)[ANOMALY_VIOLATION] == pytest.approx(0.49 * 0.95)
    assert verdict.findings[-1].found.endswith("where a rule is broken")


def test_what_is_strange_elsewhere_stays_a_flaw():
    """Both are named, with the box of the place that the rule does not explain."""
    verdict = apply_anomaly(NO_SPOON, DUST)

    assert verdict.violations == ("missing_spoon", ANOMALY_VIOLATION)
    assert verdict.answers[-1].boxes == (OTHER,)


def test_beside_a_broken_rule_only_what_is_sure_is_named():
    """The same place that is named by itself is not beside a broken rule: the photo fails already."""
    unsure = AnomalyDetection(0.8, 6.0, OTHER, "6.0")

    assert apply_anomaly(GOOD, unsure).violations == (ANOMALY_VIOLATION,)
    assert apply_anomaly(NO_SPOON, unsure).violations == ("missing_spoon",)


def test_the_box_of_a_broken_rule_explains_what_lies_in_it():
    """A tablet too many is boxed: that place is no flaw, with a margin for its shadow; another place is."""
    extra = Finding("four", "broken", ("extra_tablet",), queries=("locate:tablet",))
    tablets = Answer("locate:tablet", (), (Box(14, 14, 34, 34),))
    verdict = Verdict("c.png", "fail", ("extra_tablet",), findings=(extra,), answers=(tablets,), width=200, height=100)
    there, elsewhere = AnomalyDetection(0.95, 8.0, BOX), AnomalyDetection(0.93, 7.0, OTHER)

    assert apply_anomaly(verdict, there).violations == ("extra_tablet",)
    assert apply_anomaly(verdict, elsewhere).violations == ("extra_tablet", ANOMALY_VIOLATION)


def test_doubt_goes_to_review():
    """What the expert is not sure of a person has to say; new thresholds do not change that."""
    verdict = apply_anomaly(GOOD, AnomalyDetection(0.45, 3.0, None, "odd", needs_review=True))

    assert verdict.outcome == "review"
    assert verdict.reasons == (f"{ANOMALY_RULE}: odd",)
    assert apply_thresholds(verdict, Thresholds()).outcome == "review"


def test_new_thresholds_leave_it():
    """Settling anew keeps a flaw a failure: its chance is on the same side of one half."""
    assert apply_thresholds(apply_anomaly(GOOD, CRACK), Thresholds()).outcome == "fail"
    assert apply_thresholds(apply_anomaly(GOOD, REST), Thresholds()).outcome == "pass"


def test_the_predictor_asks_the_expert():
    """Every photo's flaw comes to its own verdict."""

    class Two:
        def examine(self, photos):
            return [CRACK, REST]

    came = apply_plugins(Plugins(expert=Two()), [PHOTO, PHOTO], [GOOD, GOOD])

    assert [verdict.outcome for verdict in came] == ["fail", "pass"]
