"""Look → verdict: the checker derives what is broken, and holds it against what the model states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from logicls.constraints.judge import judge, violations
from logicls.constraints.look import by_query
from logicls.constraints.spec import Spec
from logicls.predict.one_pass import Look
from logicls.records import Finding, Outcome, Verdict

TRUSTED = 0.8
"""Share of right ones among examples kept aside from which on a stated verdict is worth a second opinion."""
UNSURE = 0.5
"""Confidence below which a rule's answers are likelier wrong than right."""


def decide(spec: Spec, look: Look, photo: str, size: tuple[int, int], *, stated_right: float | None = None) -> Verdict:
    """The verdict on one photo. `size`: (width, height) in pixels.

    Review where a rule could not be checked, where its answers are likelier wrong than right, and where the derived
    and the stated violations differ. The last counts only where stated verdicts are known to be right mostly, or
    nothing is known of them: by chance alone a bad second reader would send good readings to a person.
    """
    findings = judge(spec, by_query(look.answers), *size)
    derived = violations(findings)
    stated = tuple(sorted(look.stated.values)) if look.stated.readable else None
    heard = stated_right is None or stated_right >= TRUSTED
    reasons = (*_doubts(findings), *(_differences(derived, stated) if heard else ()))
    outcome: Outcome = "review" if reasons else "fail" if derived else "pass"
    scores = _scores(spec, findings, dict(look.chances))
    return Verdict(
        photo, outcome, derived, stated, max(scores.values(), default=0.0), tuple(scores.items()), findings,
        (*look.answers, look.stated), reasons, *size, spec=spec.hash,
    )  # fmt: skip


def _doubts(findings: Sequence[Finding]) -> list[str]:
    """Rules that could not be checked, or hardly."""
    unknown = [f"{f.constraint}: {f.found}" for f in findings if f.status == "unknown"]
    unsure = [f for f in findings if f.status in ("holds", "broken") and f.confidence < UNSURE]
    return [*unknown, *(f"{f.constraint}: {f.found}, but sure to {f.confidence:.0%} only" for f in unsure)]


def _differences(derived: tuple[str, ...], stated: tuple[str, ...] | None) -> list[str]:
    if stated is None:
        return ["the stated verdict could not be read"]
    if set(stated) == set(derived):
        return []
    told = [", ".join(names) or "nothing" for names in (derived, stated)]
    return [f"the answers say {told[0]} is broken, the stated verdict says {told[1]}"]


def _scores(spec: Spec, findings: Sequence[Finding], chances: Mapping[str, float]) -> dict[str, float]:
    """For each violation the mean of two readings: the stated probability, and how sure the broken rule's answers are.

    A rule that holds on unsure answers counts for what they lack of 1.
    """
    scores = {}
    for name in spec.violations:
        ours = {c.id for c in spec.constraints for side in c.sides if c.violation_on(side) == name}
        derived = [_derived(f, name) for f in findings if f.constraint in ours]
        scores[name] = (chances.get(name, 0.0) + max(derived, default=0.0)) / 2
    return scores


def _derived(finding: Finding, name: str) -> float:
    if finding.status == "not_applicable":
        return 0.0
    if finding.status == "unknown":
        return 0.5
    if name in finding.violations:
        return finding.confidence
    return 1.0 - finding.confidence
