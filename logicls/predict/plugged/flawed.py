"""A flaw that no rule names, in a verdict: a finding, an answer with a box, a violation and a score of its own."""

from __future__ import annotations

from dataclasses import replace

from logicls.constraints.decompose import component_of
from logicls.plugins import VIOLATION, Flaw, Place
from logicls.predict.sure.thresholds import outcome_of
from logicls.records import Answer, Box, Finding, Status, Verdict

RULE = "looks like good photos"
QUERY = "unlike good photos"
"""Names of rules and questions have no spaces, so that no spec's are these; they are words that reports can show."""


MARGIN = 0.03
"""Around the boxes that a broken rule rests on, as a share of the photo's longer side: shadows and edges lie there."""
COVERED = 0.5
"""Share of a place's box that must lie in one of them."""

SURE = 0.9
"""Chance that a place must have to be named beside a broken rule: that rule fails the photo already, and two defects on
one photo are rarer than a rule whose breach looks odd."""
AS_STRANGE = 0.7
"""Share of the worst place's score that it must have beside a broken rule as well: a photo is looked at as a whole, and
what is missing from it makes all other places look a little odd."""
EXPLAINED = 0.49
"""Share of its chance that is left to a place which a broken rule explains: too little to name it, and more than what a
good photo has, for a flaw may lie there as well."""


def with_flaw(verdict: Verdict, flaw: Flaw) -> Verdict:
    """The verdict with what an expert found. Its score is that of either being there, as if they were independent.

    What a broken rule explains is no flaw of its own: a spoon that is missing looks like no good photo, either.
    """
    place = _unexplained(verdict, flaw)
    is_flawed = place.chance >= 0.5
    sure = max(place.chance, 1 - place.chance)
    names, boxes = ((VIOLATION,), (place.box,)) if is_flawed else ((), ())
    status: Status = "broken" if is_flawed else "holds"
    expected = "like good photos everywhere"
    finding = Finding(RULE, status, names, expected, place.found, (QUERY,), sure, place.chance)
    doubts = (*verdict.doubts, f"{RULE}: {place.found}") if flaw.doubtful else verdict.doubts
    reasons = (*verdict.reasons, *doubts[len(verdict.doubts) :])
    violations = tuple(sorted({*verdict.violations, *names}))
    return replace(
        verdict,
        outcome=outcome_of(reasons, violations),
        violations=violations,
        score=1 - (1 - verdict.score) * (1 - place.chance),
        scores=(*verdict.scores, (VIOLATION, place.chance)),
        findings=(*verdict.findings, finding),
        answers=(*verdict.answers, Answer(QUERY, names, boxes, sure)),
        reasons=reasons,
        doubts=doubts,
    )


def _unexplained(verdict: Verdict, flaw: Flaw) -> Place:
    """The worst place that no broken rule explains; with less of a chance, the worst one where all are."""
    whole = Box(0, 0, verdict.width, verdict.height)
    places = flaw.places or (Place(flaw.chance, flaw.score, flaw.box or whole, flaw.found),)
    asked = {query for finding in verdict.findings if finding.status == "broken" for query in finding.queries}
    about = {component_of(query) for query in asked}
    margin = MARGIN * max(verdict.width, verdict.height)
    boxes = [_wider(box, margin) for a in verdict.answers if component_of(a.query) in about for box in a.boxes]
    for place in places:
        if place.chance < (SURE if asked else 0.5) or place.score < AS_STRANGE * places[0].score:
            break
        if about.isdisjoint(place.components) and all(place.box.covered_by(box) < COVERED for box in boxes):
            return place
    worst = places[0]
    if worst.chance < 0.5:
        return worst
    return replace(worst, chance=EXPLAINED * worst.chance, found=f"{worst.found}, where a rule is broken")


def _wider(box: Box, by: float) -> Box:
    return Box(box.x1 - by, box.y1 - by, box.x2 + by, box.y2 + by)
