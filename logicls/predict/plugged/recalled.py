"""What is known of a photo's product, in its verdict: another product, or none that is known, is a person's matter."""

from __future__ import annotations

from dataclasses import replace

from logicls.plugins import Recall
from logicls.predict.sure.thresholds import outcome_of
from logicls.records import Verdict


def recalled(verdict: Verdict, recall: Recall) -> Verdict:
    """The verdict with the documents that were drawn for its photo; it goes to review where there is a doubt."""
    known = replace(verdict, documents=recall.documents)
    if not recall.doubt:
        return known
    reasons, doubts = (*verdict.reasons, recall.doubt), (*verdict.doubts, recall.doubt)
    return replace(known, outcome=outcome_of(reasons, verdict.violations), reasons=reasons, doubts=doubts)
