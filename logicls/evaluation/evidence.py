"""Evidence of a verdict: the boxes that its findings cite, and an anomaly map of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from logicls.constraints.checker.decomposition import locate_query_id
from logicls.records import Box, Finding, Verdict


def cited_boxes(verdict: Verdict, query: str) -> tuple[Box, ...]:
    """Return the boxes of an answer: its own, or those of the instances whose attribute it states."""
    answers = {answer.query: answer for answer in verdict.answers}
    own = answers[query].boxes if query in answers else ()
    located = answers.get(locate_query_id(query))
    return own or (located.boxes if located else ())


def evidence_boxes(verdict: Verdict, finding: Finding) -> tuple[Box, ...]:
    """Return the distinct boxes that a finding cites; none if it is about a missing component."""
    return tuple(dict.fromkeys(box for query in finding.queries for box in cited_boxes(verdict, query)))


def draw_anomaly_map(verdict: Verdict, width: int, height: int) -> Float[np.ndarray, "height width"]:
    """Draw the evidence of the broken rules as a map of `width` x `height` pixels, whatever the photo's size.

    Each box has the probability of its rule, overlapping boxes the maximum; 0 elsewhere.
    """
    anomaly_map = np.zeros((height, width), np.float32)
    frame, target = Box(0, 0, verdict.width, verdict.height), Box(0, 0, width, height)
    for box, probability in _scored_boxes(verdict):
        scaled = box.map_between(frame, target).clip(width, height)
        part = anomaly_map[round(scaled.y1) : round(scaled.y2), round(scaled.x1) : round(scaled.x2)]
        np.maximum(part, probability, out=part)
    return anomaly_map


def _scored_boxes(verdict: Verdict) -> Iterator[tuple[Box, float]]:
    for finding in verdict.findings:
        if finding.status == "broken":
            for box in evidence_boxes(verdict, finding):
                yield box, finding.confidence if finding.probability is None else finding.probability
