"""Pass, fail or review: two thresholds a rule on the probability that it is broken, and what they promise.

Below the lower one it counts as kept, above the upper one as broken; between them a person looks. They lie in a file of
their own beside the bundle, so that they can be changed without training, and verdicts settled anew without predicting.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from logicls.errors import DataError, Problem, relative_path
from logicls.io.atomic import write_text
from logicls.records import SEVERITIES, Finding, Outcome, Severity, Verdict

THRESHOLDS_FILE = "thresholds.json"


@dataclass(frozen=True, slots=True)
class RuleThresholds:
    """Of one rule."""

    low: float = 0.5
    """Probability of being broken below which it counts as kept."""
    high: float = 0.5
    """Probability from which on it counts as broken."""
    guarantee: str = ""
    """What may be said of escapes and overkill, or what is missing to say it."""
    severity: Severity = "major"
    """The rule's own."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Of all rules."""

    limits: tuple[tuple[str, RuleThresholds], ...] = ()
    """Constraint → its two thresholds; those of `Limit` for one that is not named."""
    origin: str = ""
    """What they were chosen on."""

    def for_rule(self, constraint: str) -> RuleThresholds:
        """Those of a constraint."""
        return dict(self.limits).get(constraint, RuleThresholds())

    def override(self, constraint: str, low: float, high: float) -> Thresholds:
        """With two others for one constraint, which promise nothing."""
        limit = RuleThresholds(low, high, "set by hand", self.for_rule(constraint).severity)
        return replace(self, limits=(*((n, one) for n, one in self.limits if n != constraint), (constraint, limit)))

    @property
    def id(self) -> str:
        """Twelve hex digits of the SHA-256 of the thresholds; what they promise and why does not count."""
        numbers = sorted((name, limit.low, limit.high) for name, limit in self.limits)
        return hashlib.sha256(json.dumps(numbers).encode()).hexdigest()[:12]


def derive_outcome(reasons: Sequence[str], violations: Sequence[str]) -> Outcome:
    """What a photo comes to: a person looks where there is a reason to; otherwise it fails by its violations."""
    return "review" if reasons else "fail" if violations else "pass"


def apply_thresholds(verdict: Verdict, thresholds: Thresholds) -> Verdict:
    """The verdict with the outcome that those thresholds make of it; nothing is read again.

    A photo goes to review where it has a doubt, where a rule's probability lies between its thresholds, and where it
    lies on the other side of them than what the rule comes to by logic: no verdict contradicts its evidence. Where a
    rule is surely broken, though, the part is rejected anyway, and one that is no graver, and rather kept than broken
    or not asked of at all, needs nobody's look.
    """
    ruled = [(finding, thresholds.for_rule(finding.constraint)) for finding in verdict.findings]
    sure = [SEVERITIES.index(limit.severity) for finding, limit in ruled if _is_certainly_broken(finding, limit)]
    gravest = min(sure, default=len(SEVERITIES))
    asked = [(finding, limit) for finding, limit in ruled if not _is_review_unnecessary(finding, limit, gravest)]
    unsettled = [said for finding, limit in asked if (said := _review_reason(finding, limit))]
    reasons = (*verdict.unconditional_reasons, *unsettled)
    outcome = derive_outcome(reasons, verdict.violations)
    return replace(verdict, outcome=outcome, reasons=reasons, thresholds=thresholds.id)


def _is_certainly_broken(finding: Finding, limit: RuleThresholds) -> bool:
    return finding.status == "broken" and finding.probability is not None and finding.probability >= limit.high


def _is_review_unnecessary(finding: Finding, limit: RuleThresholds, gravest: int) -> bool:
    """Whether it is idle to ask of this rule, beside a surely broken one of that place among the severities."""
    kept = finding.status in ("holds", "not_applicable")
    rather_kept = kept and finding.probability is not None and finding.probability < min(0.5, limit.high)
    return rather_kept and gravest <= SEVERITIES.index(limit.severity)


def _review_reason(finding: Finding, limit: RuleThresholds) -> str:
    """Why a rule needs a person; empty where it does not."""
    if finding.probability is None:
        return ""
    is_broken = finding.status == "broken"
    if limit.low <= finding.probability < limit.high:
        between = f"between {_percentage(limit.low)} and {_percentage(limit.high)}"
        return f"{finding.constraint}: broken with a chance of {_percentage(finding.probability)}, {between}"
    if is_broken == (finding.probability >= limit.high):
        return ""
    came = "broken" if is_broken else "not broken"
    return (
        f"{finding.constraint}: {came} by its answers, but broken with a chance of {_percentage(finding.probability)}"
    )


def _percentage(probability: float) -> str:
    return f"{100 * probability:.3g} %"


def write_thresholds(path: Path, thresholds: Thresholds) -> None:
    """As JSON that people may change."""
    limits = {name: asdict(limit) for name, limit in thresholds.limits}
    write_text(path, json.dumps({"origin": thresholds.origin, "limits": limits}, indent=1))


def read_thresholds(path: Path, *, constraints: Sequence[str]) -> Thresholds:
    """Those of a file; `known` are the spec's constraints. Raises `DataError` (LC621)."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        limits = TypeAdapter(dict[str, RuleThresholds]).validate_python(plain["limits"])
        found = Thresholds(tuple(limits.items()), str(plain.get("origin", "")))
    except (OSError, ValueError, TypeError, KeyError, ValidationError) as error:
        told = f'no "{error.args[0]}"' if isinstance(error, KeyError) else str(error).splitlines()[0]
        advice = "Choose them with `logicls threshold`."
        raise DataError(
            Problem("LC621", f"holds no thresholds: {told}.", relative_path(path), advice=advice)
        ) from error
    problems = [
        problem for name, limit in found.limits if (problem := _refusal(name, limit, constraints, relative_path(path)))
    ]
    if problems:
        raise DataError(problems)
    return found


def _refusal(name: str, limit: RuleThresholds, known: Sequence[str], file: str) -> Problem | None:
    if name not in known:
        return Problem("LC621", f'there is no constraint "{name}".', file, advice="Use the spec's own ids.")
    if not 0 <= limit.low <= limit.high <= 1:
        message = f"{name}: {limit.low:g} and {limit.high:g} are not two shares in order."
        return Problem("LC621", message, file, advice="Write 0 <= low <= high <= 1.")
    return None
