"""Look → verdict: the checker derives what is broken, and how likely; thresholds say whether a person has to look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from logicls.constraints.judge import judge, violations
from logicls.constraints.look import by_query
from logicls.constraints.spec import Spec
from logicls.predict.read.one_pass import Look
from logicls.predict.sure.broken import Broken, broken
from logicls.predict.sure.scales import Scales
from logicls.predict.sure.thresholds import Thresholds, settle
from logicls.records import Finding, Verdict

UNSTATED = "the stated verdict could not be read"
"""A doubt."""


def unread(findings: Sequence[Finding]) -> tuple[str, ...]:
    """The doubts that rules leave which could not be checked."""
    return tuple(f"{f.constraint}: {f.found}" for f in findings if f.status == "unknown")


def decide(
    spec: Spec,
    look: Look,
    photo: str,
    size: tuple[int, int],
    *,
    scales: Scales = Scales(),  # noqa: B008  frozen
    thresholds: Thresholds = Thresholds(),  # noqa: B008  frozen
    doubts: Sequence[str] = (),
) -> Verdict:
    """The verdict on one photo. `size`: (width, height) in pixels; `doubts`: what else speaks for a person's look.

    Each rule's probability is pooled from two readings: what the answers make of it, and what the stated verdict says.
    """
    stated = look.stated.values if look.stated.readable else None
    told = dict(look.chances) if stated is not None else {}
    likely = broken(spec, look, size, scales)
    chances = {rule: _pooled(came, told, scales) for rule, came in likely.items()}
    came = judge(spec, by_query(look.answers), *size)
    findings = tuple(replace(f, chance=_any(chances[f.constraint]) if f.status != "unknown" else None) for f in came)
    unstated = [UNSTATED] if stated is None else []
    scores = {name: max((one.get(name, 0.0) for one in chances.values()), default=0.0) for name in spec.violations}
    verdict = Verdict(
        photo, "review", violations(findings), None if stated is None else tuple(sorted(stated)), _score(findings),
        tuple(scores.items()), findings, (*look.answers, look.stated), (), *size,
        spec=spec.hash, doubts=(*doubts, *unread(findings), *unstated),
    )  # fmt: skip
    return settle(verdict, thresholds)


def _pooled(came: Broken, told: Mapping[str, float], scales: Scales) -> dict[str, float]:
    """Violation → probability; a rule that may not be readable counts half of that."""
    return {name: scales.pooled(min(p + came.unknown / 2, 1.0), told.get(name)) for name, p in came.names.items()}


def _any(chances: Mapping[str, float]) -> float:
    """That a rule is broken in one way or another; it is broken in one way at a time."""
    return min(sum(chances.values()), 1.0)


def _score(findings: Sequence[Finding]) -> float:
    """Probability that any rule is broken, as if rules broke independently; what is not known counts half."""
    good = 1.0
    for finding in findings:
        good *= 1 - (0.5 if finding.chance is None else finding.chance)
    return 1 - good
