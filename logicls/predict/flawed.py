"""A flaw that no rule names, in a verdict: a finding, an answer with a box, a violation and a score of its own."""

from __future__ import annotations

from dataclasses import replace

from logicls.plugins import Flaw
from logicls.records import Answer, Finding, Verdict

VIOLATION = "structural_defect"
"""What truth.csv calls it."""
RULE = "looks like good photos"
QUERY = "unlike good photos"
"""Names of rules and questions have no spaces, so that no spec's are these; they are words that reports can show."""


def with_flaw(verdict: Verdict, flaw: Flaw) -> Verdict:
    """The verdict with what an expert found. Its score is that of either being there, as if they were independent."""
    is_flawed = flaw.chance >= 0.5
    sure = max(flaw.chance, 1 - flaw.chance)
    names = (VIOLATION,) if is_flawed else ()
    boxes = (flaw.box,) if flaw.box is not None and is_flawed else ()
    finding = Finding(
        RULE, "broken" if is_flawed else "holds", names, "like good photos everywhere", flaw.found, (QUERY,), sure,
        flaw.chance,
    )  # fmt: skip
    doubts = (*verdict.doubts, f"{RULE}: {flaw.found}") if flaw.doubtful else verdict.doubts
    reasons = (*verdict.reasons, *doubts[len(verdict.doubts) :])
    violations = tuple(sorted({*verdict.violations, *names}))
    return replace(
        verdict,
        outcome="review" if reasons else "fail" if violations else "pass",
        violations=violations,
        score=1 - (1 - verdict.score) * (1 - flaw.chance),
        scores=(*verdict.scores, (VIOLATION, flaw.chance)),
        findings=(*verdict.findings, finding),
        answers=(*verdict.answers, Answer(QUERY, names, boxes, sure)),
        reasons=reasons,
        doubts=doubts,
    )
