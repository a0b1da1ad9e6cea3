"""Amendment of verdicts by plug-ins."""

from __future__ import annotations

import numpy as np
import pytest

from logicls.predict.amendments import (
    ANOMALY_QUERY,
    ANOMALY_RULE,
    ANOMALY_VIOLATION,
    apply_anomaly,
    apply_plugins,
    apply_product_match,
)
from logicls.predict.plugin_protocols import AnomalyDetection, PluginManifest, Plugins, ProductMatch
from logicls.predict.serialization import verdict_from_json, verdict_to_json
from logicls.predict.uncertainty.thresholds import Thresholds, apply_thresholds
from logicls.records import Answer, Box, Finding, PluginInfo, PluginResult, Verdict

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
PASSED = Verdict("a.jpg", "pass")
REST = AnomalyDetection(0.1, 2.0, description="2.0 where good photos have up to 4.0")


def test_anomaly_fails_a_good_photo():
    """The verdict has a finding, an answer with the box, a score of the anomaly and one of both."""
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


def test_good_photo_passes():
    """The finding holds, without a box."""
    verdict = apply_anomaly(GOOD, REST)

    assert (verdict.outcome, verdict.violations, verdict.reasons) == ("pass", (), ())
    assert (verdict.findings[0].status, verdict.findings[0].probability) == ("holds", 0.1)
    assert verdict.answers == (Answer(ANOMALY_QUERY, (), (), 0.9),)


def test_missing_component_explains_the_anomaly_at_its_place():
    """A missing spoon explains the anomaly where spoons lie: it is not reported and has half of its probability."""
    verdict = apply_anomaly(NO_SPOON, CRACK)

    assert verdict.violations == ("missing_spoon",)
    assert verdict.answers[-1].boxes == ()
    assert dict(verdict.scores)[ANOMALY_VIOLATION] == pytest.approx(0.49 * 0.95)
    assert verdict.findings[-1].found.endswith("where a rule is broken")


def test_anomaly_elsewhere_is_reported():
    """Both violations are reported, with the box of the unexplained region."""
    verdict = apply_anomaly(NO_SPOON, DUST)

    assert verdict.violations == ("missing_spoon", ANOMALY_VIOLATION)
    assert verdict.answers[-1].boxes == (OTHER,)


def test_uncertain_anomaly_is_not_reported_beside_a_broken_rule():
    """The same anomaly alone is reported."""
    uncertain = AnomalyDetection(0.8, 6.0, OTHER, "6.0")

    assert apply_anomaly(GOOD, uncertain).violations == (ANOMALY_VIOLATION,)
    assert apply_anomaly(NO_SPOON, uncertain).violations == ("missing_spoon",)


def test_boxes_of_a_broken_rule_explain_the_anomaly_in_them():
    """The box of an extra tablet explains an anomaly in it, with a margin for its shadow; not one elsewhere."""
    extra = Finding("four", "broken", ("extra_tablet",), queries=("locate:tablet",))
    tablets = Answer("locate:tablet", (), (Box(14, 14, 34, 34),))
    verdict = Verdict("c.png", "fail", ("extra_tablet",), findings=(extra,), answers=(tablets,), width=200, height=100)
    inside, elsewhere = AnomalyDetection(0.95, 8.0, BOX), AnomalyDetection(0.93, 7.0, OTHER)

    assert apply_anomaly(verdict, inside).violations == ("extra_tablet",)
    assert apply_anomaly(verdict, elsewhere).violations == ("extra_tablet", ANOMALY_VIOLATION)


def test_uncertain_expert_sends_to_review():
    """New thresholds do not change that."""
    verdict = apply_anomaly(GOOD, AnomalyDetection(0.45, 3.0, None, "odd", needs_review=True))

    assert verdict.outcome == "review"
    assert verdict.reasons == (f"{ANOMALY_RULE}: odd",)
    assert apply_thresholds(verdict, Thresholds()).outcome == "review"


def test_new_thresholds_keep_the_outcome():
    """The probability of an anomaly stays on the same side of one half."""
    assert apply_thresholds(apply_anomaly(GOOD, CRACK), Thresholds()).outcome == "fail"
    assert apply_thresholds(apply_anomaly(GOOD, REST), Thresholds()).outcome == "pass"


def test_expert_results_are_applied_in_order():
    """The anomaly of each photo is in its own verdict."""

    class ConstantExpert:
        def detect_anomalies(self, photos):
            return [CRACK, REST]

    amended = apply_plugins(Plugins(expert=ConstantExpert()), [PHOTO, PHOTO], [GOOD, GOOD])

    assert [verdict.outcome for verdict in amended] == ["fail", "pass"]


def test_documents_of_a_match_are_a_plugin_result():
    """A matched product keeps the outcome; a match without documents adds nothing."""
    result = PluginResult("retriever", "documents", (("documents", ("box/a",)),))

    assert apply_product_match(PASSED, ProductMatch("box", documents=("box/a",)), "documents") == Verdict(
        "a.jpg", "pass", plugin_results=(result,)
    )
    assert apply_product_match(PASSED, ProductMatch("box"), "documents") == PASSED


def test_another_product_goes_to_review():
    """The reason is unconditional."""
    reason = "shows another product: lid"

    verdict = apply_product_match(PASSED, ProductMatch("lid", review_reason=reason), "documents")

    assert (verdict.outcome, verdict.reasons, verdict.unconditional_reasons) == ("review", (reason,), (reason,))


def test_retriever_results_have_the_name_in_the_manifest():
    """Its name, or the kind if the manifest lacks it."""

    class ConstantRetriever:
        def match_products(self, photos):
            return [ProductMatch("box", documents=("box/a",)) for _ in photos]

    named = PluginManifest((PluginInfo("expert", "patches"), PluginInfo("retriever", "pages")))

    for manifest, name in ((named, "pages"), (PluginManifest(), "retriever")):
        (verdict,) = apply_plugins(Plugins(ConstantRetriever(), manifest=manifest), [PHOTO], [PASSED])
        assert verdict.plugin_results == (PluginResult("retriever", name, (("documents", ("box/a",)),)),)
