"""What a report says of a spec: its rules and questions in words, and how bad each violation is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from logicls.plugins import Cause
from logicls.records import SEVERITIES, Severity

if TYPE_CHECKING:
    from logicls.constraints.spec import Spec


@dataclass(frozen=True, slots=True)
class Words:
    """How things are called. An id stands for itself where its words are missing."""

    title: str
    rules: Mapping[str, str] = field(default_factory=dict)
    """Constraint id → the rule in words."""
    whys: Mapping[str, str] = field(default_factory=dict)
    """Constraint id → the reason for the rule, where its author gave one."""
    questions: Mapping[str, str] = field(default_factory=dict)
    """Query id → the question as it was asked."""
    severities: Mapping[str, Severity] = field(default_factory=dict)
    """Violation → the worst severity of the rules that it names; in the spec's order."""
    causes: Mapping[str, tuple[Cause, ...]] = field(default_factory=dict)
    """Violation → what pages of knowledge say of it; empty where there are none."""

    def worst(self, violations: Iterable[str]) -> Severity | None:
        """The worst severity among violations; None where there is none. One that is not known counts as major."""
        found = {self.severities.get(name, "major") for name in violations}
        return next((severity for severity in SEVERITIES if severity in found), None)


def words_of(spec: Spec) -> Words:
    """What a spec calls things."""
    from logicls.constraints.decompose import decompose
    from logicls.synth.write import question

    severities: dict[str, Severity] = {}
    for constraint in spec.constraints:
        for name in dict.fromkeys(constraint.violation_on(side) for side in constraint.sides):
            severities[name] = min(severities.get(name, "minor"), constraint.severity, key=SEVERITIES.index)
    return Words(
        title=spec.product.name.replace("_", " "),
        rules={c.id: c.said for c in spec.constraints},
        whys={c.id: c.why for c in spec.constraints if c.why},
        questions={query.id: question(query, spec) for query in decompose(spec)},
        severities=severities,
    )
