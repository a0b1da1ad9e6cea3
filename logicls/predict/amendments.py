"""A flaw that no rule names, in a verdict: a finding, an answer with a box, a violation and a score of its own.

What is known of a photo's product, in its verdict: another product, or none that is known, is a person's matter.

What plug-ins make of verdicts: a second look, a flaw that no rule names, what is known of the product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from logicls.constraints.checker.decomposition import query_component
from logicls.predict.plugin_protocols import ANOMALY_VIOLATION, AnomalyDetection, Photo, Plugins, ProductMatch
from logicls.predict.uncertainty.thresholds import derive_outcome
from logicls.records import Answer, Box, Finding, Status, Verdict

ANOMALY_RULE = "looks like good photos"
ANOMALY_QUERY = "unlike good photos"
"""Names of rules and questions have no spaces, so that no spec's are these; they are words that reports can show."""


BOX_MARGIN = 0.03
"""Around the boxes that a broken rule rests on, as a share of the photo's longer side: shadows and edges lie there."""
MIN_COVERAGE = 0.5
"""Share of a place's box that must lie in one of them."""

MIN_PROBABILITY_BESIDE_RULE = 0.9
"""Chance that a place must have to be named beside a broken rule: that rule fails the photo already, and two defects on
one photo are rarer than a rule whose breach looks odd."""
EXPLAINED_FACTOR = 0.49
"""Share of its chance that is left to a place which a broken rule explains: too little to name it, and more than what a
good photo has, for a flaw may lie there as well."""


def apply_anomaly(verdict: Verdict, anomaly: AnomalyDetection) -> Verdict:
    """The verdict with what an expert found. Its score is that of either being there, as if they were independent.

    What a broken rule explains is no flaw of its own: a spoon that is missing looks like no good photo, either.
    """
    anomaly = _discount_explained(verdict, anomaly)
    is_flawed = anomaly.probability >= 0.5
    sure = max(anomaly.probability, 1 - anomaly.probability)
    names = (ANOMALY_VIOLATION,) if is_flawed else ()
    boxes = (anomaly.box,) if is_flawed and anomaly.box else ()
    status: Status = "broken" if is_flawed else "holds"
    expected = "like good photos everywhere"
    finding = Finding(
        ANOMALY_RULE, status, names, expected, anomaly.description, (ANOMALY_QUERY,), sure, anomaly.probability
    )
    doubts = (
        (*verdict.unconditional_reasons, f"{ANOMALY_RULE}: {anomaly.description}")
        if anomaly.needs_review
        else verdict.unconditional_reasons
    )
    reasons = (*verdict.reasons, *doubts[len(verdict.unconditional_reasons) :])
    violations = tuple(sorted({*verdict.violations, *names}))
    return replace(
        verdict,
        outcome=derive_outcome(reasons, violations),
        violations=violations,
        score=1 - (1 - verdict.score) * (1 - anomaly.probability),
        scores=(*verdict.scores, (ANOMALY_VIOLATION, anomaly.probability)),
        findings=(*verdict.findings, finding),
        answers=(*verdict.answers, Answer(ANOMALY_QUERY, names, boxes, sure)),
        reasons=reasons,
        unconditional_reasons=doubts,
    )


def _discount_explained(verdict: Verdict, flaw: AnomalyDetection) -> AnomalyDetection:
    """The flaw; with a share of its chance where a broken rule explains it, or where it is not sure beside one.

    The worst place alone counts: the photo is looked at as a whole, and what is missing from it makes all other places
    look odd as well, three quarters as odd as that place itself.
    """
    asked = {query for finding in verdict.findings if finding.status == "broken" for query in finding.queries}
    if not asked or flaw.box is None or flaw.probability < 0.5:
        return flaw
    about = {query_component(query) for query in asked}
    margin = BOX_MARGIN * max(verdict.width, verdict.height)
    boxes = [_expand(box, margin) for a in verdict.answers if query_component(a.query) in about for box in a.boxes]
    covered = any(flaw.box.ioa(box) >= MIN_COVERAGE for box in boxes)
    if flaw.probability >= MIN_PROBABILITY_BESIDE_RULE and about.isdisjoint(flaw.components) and not covered:
        return flaw
    return replace(
        flaw, probability=EXPLAINED_FACTOR * flaw.probability, box=None, description=f"{flaw.description}, where a rule is broken"
    )


def _expand(box: Box, by: float) -> Box:
    return Box(box.x1 - by, box.y1 - by, box.x2 + by, box.y2 + by)


def apply_product_match(verdict: Verdict, match: ProductMatch) -> Verdict:
    """The verdict with the documents that were drawn for its photo; it goes to review where there is a doubt."""
    known = replace(verdict, documents=match.documents)
    if not match.review_reason:
        return known
    reasons, doubts = (*verdict.reasons, match.review_reason), (*verdict.unconditional_reasons, match.review_reason)
    return replace(
        known, outcome=derive_outcome(reasons, verdict.violations), reasons=reasons, unconditional_reasons=doubts
    )


def apply_plugins(plugins: Plugins, photos: Sequence[Photo], verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts on these photos after every plug-in has been asked, in order."""
    came = list(verdicts)
    if plugins.reasoner is not None:
        second = [plugins.reasoner.reinspect(photo, verdict) for photo, verdict in zip(photos, came, strict=True)]
        came = [new or old for new, old in zip(second, came, strict=True)]
    if plugins.expert is not None:
        flaws = plugins.expert.detect_anomalies(list(photos))
        came = [apply_anomaly(verdict, flaw) for verdict, flaw in zip(came, flaws, strict=True)]
    if plugins.retriever is not None:
        came = [
            apply_product_match(*both)
            for both in zip(came, plugins.retriever.match_products(list(photos)), strict=True)
        ]
    return came
