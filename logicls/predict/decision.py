"""From the raw prediction of a photo to its verdict.

The checker derives which rules are broken and how probably; the bundle's calibration and thresholds decide between
pass, fail and review.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from logicls.constraints.checker.evaluation import collect_violations, evaluate, index_answers
from logicls.constraints.spec.models import Spec
from logicls.models.bundle import Bundle
from logicls.predict.readers.protocol import Prediction
from logicls.predict.uncertainty.calibration import Calibration, read_calibration
from logicls.predict.uncertainty.ood import OodModel, read_ood_model
from logicls.predict.uncertainty.rule_probability import RuleProbability, compute_rule_probabilities
from logicls.predict.uncertainty.thresholds import THRESHOLDS_FILE, Thresholds, apply_thresholds, read_thresholds
from logicls.records import Finding, Verdict


@dataclass(frozen=True, slots=True)
class DecisionModel:
    """What a bundle's verdicts depend on besides its model's predictions. Loaded once per bundle."""

    spec: Spec
    calibration: Calibration
    thresholds: Thresholds
    ood_model: OodModel | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about missing parts, one line each."""
        lines = []
        if not self.calibration.example_count:
            lines.append("warning: the bundle is not calibrated: its probabilities are the model's own")
        if self.ood_model is None:
            lines.append("warning: the bundle has no out-of-distribution model: photos of other products go unnoticed")
        return tuple(lines)


def load_decision_model(bundle: Bundle) -> DecisionModel:
    """Load calibration, thresholds and out-of-distribution model of a bundle; missing parts have neutral defaults.

    Raises:
        BundleError: A file is damaged.
        DataError: The thresholds are invalid.
    """
    if bundle.is_external:
        return DecisionModel(bundle.spec, Calibration(), Thresholds())
    file, constraints = bundle.path / THRESHOLDS_FILE, [constraint.id for constraint in bundle.spec.constraints]
    thresholds = read_thresholds(file, constraints=constraints) if file.exists() else Thresholds()
    return DecisionModel(bundle.spec, read_calibration(bundle.path), thresholds, read_ood_model(bundle.path))


def decide_photo(
    model: DecisionModel,
    prediction: Prediction,
    photo: str,
    pixels: UInt8[np.ndarray, "h w 3"],
    *,
    size: tuple[int, int] | None = None,
    unconditional_reasons: Sequence[str] = (),
) -> Verdict:
    """Return the verdict of a photo, with the reasons for review of an out-of-distribution photo.

    Args:
        model: Decision model of the bundle.
        prediction: Raw prediction of the photo.
        photo: Name of the photo.
        pixels: RGB, as the model received them.
        size: (width, height) of the photo in pixels, if `pixels` have the size of the model's input.
        unconditional_reasons: Further reasons for review.
    """
    size = size or (pixels.shape[1], pixels.shape[0])
    ood_reasons = model.ood_model.ood_reasons(pixels) if model.ood_model else ()
    resolution = model.calibration.resolution
    size_reasons = resolution.ood_reasons(*size) if resolution else ()
    return decide(
        model.spec,
        prediction,
        photo,
        size,
        calibration=model.calibration,
        thresholds=model.thresholds,
        unconditional_reasons=(*unconditional_reasons, *ood_reasons, *size_reasons),
    )


UNREADABLE_VERDICT = "the stated verdict is unreadable"
"""Reason for review."""


def unreadable_reasons(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return the reasons for review of rules that could not be evaluated."""
    return tuple(f"{f.constraint}: {f.found}" for f in findings if f.status == "unknown")


def decide(
    spec: Spec,
    prediction: Prediction,
    photo: str,
    size: tuple[int, int],
    *,
    calibration: Calibration = Calibration(),  # noqa: B008  frozen
    thresholds: Thresholds = Thresholds(),  # noqa: B008  frozen
    unconditional_reasons: Sequence[str] = (),
) -> Verdict:
    """Return the verdict of a prediction. `size`: (width, height) of the photo in pixels.

    The probability of each rule is pooled from that of its answers and that of the stated verdict.
    """
    stated = prediction.stated.values if prediction.stated.readable else None
    stated_probabilities = dict(prediction.violation_probabilities) if stated is not None else {}
    derived = compute_rule_probabilities(spec, prediction, size, calibration)
    pooled = {
        rule: _pool_probabilities(probability, stated_probabilities, calibration)
        for rule, probability in derived.items()
    }
    findings = tuple(
        replace(f, probability=_union_probability(pooled[f.constraint]) if f.status != "unknown" else None)
        for f in evaluate(spec, index_answers(prediction.answers), *size)
    )
    unreadable = [UNREADABLE_VERDICT] if stated is None else []
    scores = {name: max((one.get(name, 0.0) for one in pooled.values()), default=0.0) for name in spec.violations}
    verdict = Verdict(
        photo,
        "review",
        collect_violations(findings),
        None if stated is None else tuple(sorted(stated)),
        _anomaly_score(findings),
        tuple(scores.items()),
        findings,
        (*prediction.answers, prediction.stated),
        (),
        *size,
        spec=spec.hash,
        unconditional_reasons=(*unconditional_reasons, *unreadable_reasons(findings), *unreadable),
    )
    return apply_thresholds(verdict, thresholds)


def _pool_probabilities(
    rule: RuleProbability, stated: Mapping[str, float], calibration: Calibration
) -> dict[str, float]:
    """Return violation → probability; half of the probability that the rule cannot be evaluated counts as broken."""
    return {
        name: calibration.pool(min(p + rule.unknown / 2, 1.0), stated.get(name)) for name, p in rule.violations.items()
    }


def _union_probability(probabilities: Mapping[str, float]) -> float:
    """Return the probability of any of a rule's violations, which exclude one another."""
    return min(sum(probabilities.values()), 1.0)


def _anomaly_score(findings: Sequence[Finding]) -> float:
    """Return the probability that any rule is broken, as if rules were independent; an unknown rule counts half."""
    good = 1.0
    for finding in findings:
        good *= 1 - (0.5 if finding.probability is None else finding.probability)
    return 1 - good
