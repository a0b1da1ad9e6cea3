"""Calibration and thresholds for rules that differ from those that a model was trained with."""

from __future__ import annotations

from dataclasses import replace

from logicls.constraints.checker.spec_changes import RuleChange, SpecChanges
from logicls.constraints.spec.models import Constraint, Spec
from logicls.predict.uncertainty.calibration import Calibration, MeasurementNoise
from logicls.predict.uncertainty.risk_control import RISK_TARGETS, compared_thresholds
from logicls.predict.uncertainty.thresholds import RuleThresholds, Thresholds

NOT_GUARANTEED = "no guarantee: chosen with the limits that the rule had in training"
"""Guarantee of thresholds whose rule has other limits now."""


def adapt_calibration(calibration: Calibration, changes: SpecChanges) -> Calibration:
    """Return the calibration for the judged rules; temperatures and weights are the model's, and stay.

    The noise of a rule is that of the rule it corresponds to, converted to the dead zones of its limits. A new rule has
    the default noise.
    """
    noise = dict(calibration.noise)
    adapted = {
        rule.constraint: _scale_noise(noise[rule.trained], rule.noise_scale)
        for rule in changes.rules
        if rule.trained in noise
    }
    return replace(calibration, noise=tuple(adapted.items()))


def _scale_noise(noise: MeasurementNoise, scale: float) -> MeasurementNoise:
    return noise if scale == 1.0 else replace(noise, sd=noise.sd * scale)


def adapt_thresholds(thresholds: Thresholds, changes: SpecChanges, spec: Spec) -> Thresholds:
    """Return the thresholds for the rules of the judged `spec`; unchanged if they were chosen for it.

    A rule has those of the rule that it corresponds to, or the defaults of its severity if it is new, or if its
    severity is another one.
    """
    if not thresholds.limits or thresholds.spec == spec.hash:
        return thresholds
    before, by_id = dict(thresholds.limits), {c.id: c for c in spec.constraints}
    limits = []
    for rule in changes.rules:
        limit = before.get(rule.trained) or (before.get(rule.constraint) if thresholds.spec else None)
        limits.append((rule.constraint, _adapt_limit(rule, by_id[rule.constraint], limit)))
    return replace(thresholds, limits=tuple(limits), spec=spec.hash)


def _adapt_limit(rule: RuleChange, constraint: Constraint, limit: RuleThresholds | None) -> RuleThresholds:
    if constraint.is_compared:
        return compared_thresholds(constraint)
    if limit is None or limit.severity != constraint.severity:
        target = RISK_TARGETS[constraint.severity]
        reason = f"no guarantee: default of the severity {constraint.severity}"
        return RuleThresholds(target.max_low, target.min_high, reason, constraint.severity)
    return limit if rule.is_same_rule else replace(limit, guarantee=NOT_GUARANTEED)
