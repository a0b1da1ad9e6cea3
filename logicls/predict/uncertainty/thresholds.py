"""Outcome of a verdict: pass, fail or review, by two thresholds on the probability that each rule is broken.

Below the lower threshold a rule counts as satisfied, from the upper one on as broken; between them the photo goes to
review. Thresholds are a file of their own beside the bundle: changing them needs no training, and applying them to
verdicts needs no prediction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from logicls.errors import DataError, Problem, relative_path
from logicls.io.atomic import write_text
from logicls.records import SEVERITIES, Finding, Outcome, Severity, Verdict

THRESHOLDS_FILE = "thresholds.json"


@dataclass(frozen=True, slots=True)
class RuleThresholds:
    """Thresholds of one rule."""

    low: float = 0.5
    """Probability of being broken below which the rule counts as satisfied."""
    high: float = 0.5
    """Probability from which on the rule counts as broken."""
    guarantee: str = ""
    """Guaranteed escape and overkill rate, or what is missing to guarantee one."""
    severity: Severity = "major"
    """Severity of the rule."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds of all rules."""

    limits: tuple[tuple[str, RuleThresholds], ...] = ()
    """Constraint → its thresholds; a constraint that is missing has the defaults of `RuleThresholds`."""
    origin: str = ""
    """Data that the thresholds were chosen on."""
    spec: str = ""
    """Hash of the spec whose rules they were chosen for; empty for the one that the model was trained with."""

    def for_rule(self, constraint: str) -> RuleThresholds:
        """Return the thresholds of a constraint."""
        return dict(self.limits).get(constraint, RuleThresholds())

    def override(self, constraint: str, low: float, high: float) -> Thresholds:
        """Return a copy with two other thresholds, without a guarantee, for one constraint."""
        limit = RuleThresholds(low, high, "set by hand", self.for_rule(constraint).severity)
        return replace(self, limits=(*((n, one) for n, one in self.limits if n != constraint), (constraint, limit)))

    @property
    def id(self) -> str:
        """First twelve hexadecimal digits of the SHA-256 of the numbers; guarantees and origin do not count."""
        return _hash_numbers(self.limits)


@lru_cache(maxsize=64)  # every verdict of a run has the same thresholds
def _hash_numbers(limits: tuple[tuple[str, RuleThresholds], ...]) -> str:
    numbers = sorted((name, limit.low, limit.high) for name, limit in limits)
    return hashlib.sha256(json.dumps(numbers).encode()).hexdigest()[:12]


def derive_outcome(reasons: Sequence[str], violations: Sequence[str]) -> Outcome:
    """Return review if there are reasons for it, else fail if there are violations, else pass."""
    return "review" if reasons else "fail" if violations else "pass"


def apply_thresholds(verdict: Verdict, thresholds: Thresholds) -> Verdict:
    """Return the verdict with outcome and reasons by these thresholds.

    A photo goes to review for an unconditional reason, for a rule whose probability lies between its thresholds, and
    for a rule whose probability lies on the other side of them than its status: no verdict contradicts its evidence.
    A look that few photos cannot judge is unknown, and a reason too.
    A certainly broken rule rejects the part anyway, so a rule of equal or lesser severity needs no review beside it if
    it is more likely to be satisfied, or broken, as its answers say than not.
    """
    limits, default = dict(thresholds.limits), RuleThresholds()
    rules = [(finding, limits.get(finding.constraint, default)) for finding in verdict.findings]
    broken = [SEVERITIES.index(limit.severity) for finding, limit in rules if _is_certainly_broken(finding, limit)]
    gravest = min(broken, default=len(SEVERITIES))
    reviewed = [(finding, limit) for finding, limit in rules if not _is_review_unnecessary(finding, limit, gravest)]
    uncertain = [reason for finding, limit in reviewed if (reason := _review_reason(finding, limit))]
    reasons = (*verdict.unconditional_reasons, *uncertain)
    outcome = derive_outcome(reasons, verdict.violations)
    return replace(verdict, outcome=outcome, reasons=reasons, thresholds=thresholds.id)


def _is_certainly_broken(finding: Finding, limit: RuleThresholds) -> bool:
    return finding.status == "broken" and finding.probability is not None and finding.probability >= limit.high


def _is_review_unnecessary(finding: Finding, limit: RuleThresholds, gravest: int) -> bool:
    """Return whether a certainly broken rule, `gravest` by index of its severity, makes this rule irrelevant.

    It does if this rule is more likely to be what its answers say than not.
    """
    if finding.probability is None or gravest > SEVERITIES.index(limit.severity):
        return False
    even = min(0.5, limit.high)
    if finding.status == "broken":
        return finding.probability >= even
    return finding.probability < even


def _review_reason(finding: Finding, limit: RuleThresholds) -> str:
    """Return the reason for review of a rule; empty without one."""
    if finding.probability is None:
        return ""
    if finding.status == "unknown":
        return f"{finding.constraint}: {finding.found}"
    is_broken = finding.status == "broken"
    probability = _percentage(finding.probability)
    if limit.low <= finding.probability < limit.high:
        between = f"between {_percentage(limit.low)} and {_percentage(limit.high)}"
        return f"{finding.constraint}: broken with a probability of {probability}, {between}"
    if is_broken == (finding.probability >= limit.high):
        return ""
    status = "broken" if is_broken else "not broken"
    return f"{finding.constraint}: {status} by its answers, but broken with a probability of {probability}"


def _percentage(probability: float) -> str:
    return f"{100 * probability:.3g} %"


def write_thresholds(path: Path, thresholds: Thresholds) -> None:
    """Write thresholds as JSON that can be edited by hand."""
    limits = {name: asdict(limit) for name, limit in thresholds.limits}
    spec = {"spec": thresholds.spec} if thresholds.spec else {}
    write_text(path, json.dumps({"origin": thresholds.origin, **spec, "limits": limits}, indent=1))


def read_thresholds(path: Path, *, constraints: Sequence[str] | None) -> Thresholds:
    """Read thresholds of the spec's `constraints` (ids); of any rules if None.

    Raises:
        DataError: The file cannot be read, or thresholds are invalid (LC621).
    """
    file = relative_path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = {name: _rename_guarantee(entry) for name, entry in dict(content["limits"]).items()}
        limits = TypeAdapter(dict[str, RuleThresholds]).validate_python(entries)
        thresholds = Thresholds(tuple(limits.items()), str(content.get("origin", "")), str(content.get("spec", "")))
    except (OSError, ValueError, TypeError, KeyError, ValidationError) as error:
        detail = f'no "{error.args[0]}"' if isinstance(error, KeyError) else str(error).splitlines()[0]
        advice = "Choose thresholds with `logicls threshold`."
        raise DataError(Problem("LC621", f"is not a file of thresholds: {detail}.", file, advice=advice)) from error
    problems = [
        problem for name, limit in thresholds.limits if (problem := _check_limit(name, limit, constraints, file))
    ]
    if problems:
        raise DataError(problems)
    return thresholds


def _rename_guarantee(entry: Any) -> Any:
    """Rename the key that held the guarantee in older files."""
    if isinstance(entry, Mapping) and "promise" in entry:
        return {"guarantee" if key == "promise" else key: value for key, value in entry.items()}
    return entry


def _check_limit(name: str, limit: RuleThresholds, constraints: Sequence[str] | None, file: str) -> Problem | None:
    if constraints is not None and name not in constraints:
        return Problem("LC621", f'there is no constraint "{name}".', file, advice="Use the ids of the spec.")
    if not 0 <= limit.low <= limit.high <= 1:
        message = f"{name}: low = {limit.low:g} and high = {limit.high:g} are not probabilities in ascending order."
        return Problem("LC621", message, file, advice="Write 0 <= low <= high <= 1.")
    return None
