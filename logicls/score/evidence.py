"""The boxes that a verdict rests on, and those of its broken rules painted as an anomaly map."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from logicls.constraints.decompose import located_by
from logicls.records import Box, Finding, Verdict


def cited(verdict: Verdict, query: str) -> tuple[Box, ...]:
    """The boxes that an answer speaks of: its own, or those of the things whose attribute it tells."""
    answers = {answer.query: answer for answer in verdict.answers}
    own = answers[query].boxes if query in answers else ()
    where = answers.get(located_by(query))
    return own or (where.boxes if where else ())


def evidence(verdict: Verdict, finding: Finding) -> tuple[Box, ...]:
    """The boxes that a finding rests on, each once; none where it is about something that is not there."""
    return tuple(dict.fromkeys(box for query in finding.queries for box in cited(verdict, query)))


def anomaly_map(verdict: Verdict, width: int, height: int) -> Float[np.ndarray, "height width"]:
    """The evidence of the broken rules, each painted with the probability that its answers are right; 0 elsewhere.

    Where boxes lie on one another the surest counts. The map has `width` x `height` pixels, whatever the size of the
    photo that was predicted.
    """
    out = np.zeros((height, width), np.float32)
    for box, chance in _painted(verdict):
        here = box.mapped(Box(0, 0, verdict.width, verdict.height), Box(0, 0, width, height)).clipped(width, height)
        part = out[round(here.y1) : round(here.y2), round(here.x1) : round(here.x2)]
        np.maximum(part, chance, out=part)
    return out


def _painted(verdict: Verdict) -> Iterator[tuple[Box, float]]:
    for finding in verdict.findings:
        if finding.status == "broken":
            for box in evidence(verdict, finding):
                yield box, finding.confidence if finding.chance is None else finding.chance
