"""Amendment of verdicts by plug-ins: a second inspection, an anomaly that no rule names, the matched product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from logicls.constraints.checker.decomposition import query_component
from logicls.predict.plugin_protocols import ANOMALY_VIOLATION, AnomalyDetection, Photo, Plugins, ProductMatch
from logicls.predict.uncertainty.thresholds import derive_outcome
from logicls.records import Answer, Box, Finding, PluginResult, Status, Verdict

ANOMALY_RULE = "looks like good photos"
ANOMALY_QUERY = "unlike good photos"
"""Constraint and query of an expert's finding. Ids in a spec have no spaces, so these are in no spec."""

BOX_MARGIN = 0.03
"""Margin around the boxes of a broken rule, as a share of the photo's longer side: shadows and edges lie there."""
MIN_COVERAGE = 0.5
"""Share of an anomaly's box that must lie in such a box for the rule to explain it."""
MIN_PROBABILITY_BESIDE_RULE = 0.9
"""Probability from which on an anomaly is reported beside a broken rule: that rule fails the photo already, and two
defects on one photo are rarer than a broken rule that looks anomalous."""
EXPLAINED_FACTOR = 0.49
"""Factor on the probability of an anomaly that a broken rule explains: too little to report it, and more than that of a
good photo, because there may be an anomaly as well."""


def apply_plugins(plugins: Plugins, photos: Sequence[Photo], verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Amend the verdicts of these photos by the reasoner, the expert and the retriever, in that order."""
    amended = list(verdicts)
    if plugins.reasoner is not None:
        reinspected = [plugins.reasoner.reinspect(photo, one) for photo, one in zip(photos, amended, strict=True)]
        amended = [new or old for new, old in zip(reinspected, amended, strict=True)]
    if plugins.expert is not None:
        anomalies = plugins.expert.detect_anomalies(list(photos))
        name = plugins.manifest.plugin_name("expert")
        amended = [
            record_anomaly(apply_anomaly(verdict, anomaly), anomaly, name)
            for verdict, anomaly in zip(amended, anomalies, strict=True)
        ]
    if plugins.retriever is not None:
        matches = plugins.retriever.match_products(list(photos))
        name = plugins.manifest.plugin_name("retriever")
        amended = [apply_product_match(verdict, one, name) for verdict, one in zip(amended, matches, strict=True)]
    return amended


def apply_anomaly(verdict: Verdict, anomaly: AnomalyDetection) -> Verdict:
    """Add an expert's result as a finding, an answer with a box, a violation and a score.

    The verdict's score becomes the probability of either, as if rules and anomaly were independent. An anomaly that a
    broken rule explains is not reported: a photo with a missing component looks anomalous, too.
    """
    anomaly = _discount_explained(verdict, anomaly)
    is_anomalous = anomaly.probability >= 0.5
    confidence = max(anomaly.probability, 1 - anomaly.probability)
    names = (ANOMALY_VIOLATION,) if is_anomalous else ()
    boxes = (anomaly.box,) if is_anomalous and anomaly.box else ()
    status: Status = "broken" if is_anomalous else "holds"
    finding = Finding(
        ANOMALY_RULE, status, names, "like good photos everywhere", anomaly.description, (ANOMALY_QUERY,), confidence,
        anomaly.probability,
    )  # fmt: skip
    new_reasons = (f"{ANOMALY_RULE}: {anomaly.description}",) if anomaly.needs_review else ()
    reasons = (*verdict.reasons, *new_reasons)
    violations = tuple(sorted({*verdict.violations, *names}))
    return replace(
        verdict,
        outcome=derive_outcome(reasons, violations),
        violations=violations,
        score=1 - (1 - verdict.score) * (1 - anomaly.probability),
        scores=(*verdict.scores, (ANOMALY_VIOLATION, anomaly.probability)),
        findings=(*verdict.findings, finding),
        answers=(*verdict.answers, Answer(ANOMALY_QUERY, names, boxes, confidence)),
        reasons=reasons,
        unconditional_reasons=(*verdict.unconditional_reasons, *new_reasons),
    )


def record_anomaly(verdict: Verdict, anomaly: AnomalyDetection, expert: str) -> Verdict:
    """Record what an expert of that name detected, so that the verdict can be judged again with other rules."""
    box = anomaly.box
    payload = (
        ("probability", anomaly.probability),
        ("score", anomaly.score),
        ("box", (box.x1, box.y1, box.x2, box.y2) if box is not None else None),
        ("description", anomaly.description),
        ("needs_review", anomaly.needs_review),
        ("components", anomaly.components),
    )
    result = PluginResult("expert", expert, payload)
    return replace(verdict, plugin_results=(*verdict.plugin_results, result))


def read_anomaly(verdict: Verdict) -> AnomalyDetection | None:
    """Return what an expert detected; None if the verdict does not hold it."""
    result = verdict.plugin_result("expert")
    if result is None:
        return None
    payload: dict[str, Any] = dict(result.payload)
    payload["box"] = Box(*payload["box"]) if payload["box"] is not None else None
    payload["components"] = tuple(payload["components"])
    return AnomalyDetection(**payload)


def _discount_explained(verdict: Verdict, anomaly: AnomalyDetection) -> AnomalyDetection:
    """Lower the probability of an anomaly that a broken rule explains, or that is uncertain beside a broken rule.

    Only the most anomalous region counts: features cover the photo as a whole, and a missing component makes all other
    regions look anomalous as well, three quarters as much as its own.
    """
    queries = {query for finding in verdict.findings if finding.status == "broken" for query in finding.queries}
    if not queries or anomaly.box is None or anomaly.probability < 0.5:
        return anomaly
    components = {query_component(query) for query in queries}
    margin = BOX_MARGIN * max(verdict.width, verdict.height)
    boxes = [_expand(box, margin) for a in verdict.answers if query_component(a.query) in components for box in a.boxes]
    is_covered = any(anomaly.box.ioa(box) >= MIN_COVERAGE for box in boxes)
    is_probable = anomaly.probability >= MIN_PROBABILITY_BESIDE_RULE
    if is_probable and components.isdisjoint(anomaly.components) and not is_covered:
        return anomaly
    description = f"{anomaly.description}, where a rule is broken"
    return replace(anomaly, probability=EXPLAINED_FACTOR * anomaly.probability, box=None, description=description)


def _expand(box: Box, margin: float) -> Box:
    return Box(box.x1 - margin, box.y1 - margin, box.x2 + margin, box.y2 + margin)


def apply_product_match(verdict: Verdict, match: ProductMatch, retriever: str) -> Verdict:
    """Add the documents that the `retriever` of that name found; a mismatch sends the photo to review."""
    reason = (("review_reason", match.review_reason),) if match.review_reason else ()
    payload = ((("documents", match.documents),) if match.documents else ()) + reason
    results = (PluginResult("retriever", retriever, payload),) if payload else ()
    return add_review_reason(replace(verdict, plugin_results=(*verdict.plugin_results, *results)), match.review_reason)


def read_mismatch(verdict: Verdict) -> str:
    """Return the reason for review that a retriever gave; empty without one."""
    result = verdict.plugin_result("retriever")
    return str(dict(result.payload).get("review_reason", "")) if result is not None else ""


def add_review_reason(verdict: Verdict, reason: str) -> Verdict:
    """Return the verdict with one more reason for review whatever the thresholds; unchanged if it is empty."""
    if not reason:
        return verdict
    reasons = (*verdict.reasons, reason)
    return replace(
        verdict,
        outcome=derive_outcome(reasons, verdict.violations),
        reasons=reasons,
        unconditional_reasons=(*verdict.unconditional_reasons, reason),
    )
