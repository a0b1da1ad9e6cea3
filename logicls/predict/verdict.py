"""Look → verdict: the checker derives what is broken, and holds it against what the model states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from logicls.constraints.judge import judge, violations
from logicls.constraints.look import by_query
from logicls.constraints.spec import Spec
from logicls.predict.one_pass import Look
from logicls.records import Finding, Outcome, Verdict


def decide(spec: Spec, look: Look, photo: str, size: tuple[int, int]) -> Verdict:
    """The verdict on one photo. `size`: (width, height) in pixels.

    Review where the derived and the stated violations differ or where a rule could not be checked.
    """
    findings = judge(spec, by_query(look.answers), *size)
    derived = violations(findings)
    stated = tuple(sorted(look.stated.values)) if look.stated.readable else None
    reasons = _reasons(findings, derived, stated)
    outcome: Outcome = "review" if reasons else "fail" if derived else "pass"
    scores = _scores(spec, findings, dict(look.chances))
    return Verdict(
        photo, outcome, derived, stated, max(scores.values(), default=0.0), tuple(scores.items()), findings,
        (*look.answers, look.stated), reasons, *size, spec=spec.hash,
    )  # fmt: skip


def _reasons(findings: Sequence[Finding], derived: tuple[str, ...], stated: tuple[str, ...] | None) -> tuple[str, ...]:
    reasons = [f"{f.constraint}: {f.found}" for f in findings if f.status == "unknown"]
    if stated is None:
        reasons.append("the stated verdict could not be read")
    elif set(stated) != set(derived):
        told = [", ".join(names) or "nothing" for names in (derived, stated)]
        reasons.append(f"the answers say {told[0]} is broken, the stated verdict says {told[1]}")
    return tuple(reasons)


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
