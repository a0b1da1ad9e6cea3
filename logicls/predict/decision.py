"""Look → verdict: the checker derives what is broken, and how likely; thresholds say whether a person has to look.

What a bundle's verdicts rest on beside its model: scales, thresholds, and what usual photos look like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from logicls.constraints.checker.evaluation import collect_violations, evaluate, index_answers
from logicls.constraints.spec.models import Spec
from logicls.models.bundle import Bundle
from logicls.predict.readers.nano import Prediction
from logicls.predict.uncertainty.calibration import Calibration, read_calibration
from logicls.predict.uncertainty.ood import OodModel, read_ood_model
from logicls.predict.uncertainty.rule_probability import RuleProbability, compute_rule_probabilities
from logicls.predict.uncertainty.thresholds import THRESHOLDS_FILE, Thresholds, read_thresholds, apply_thresholds
from logicls.records import Finding, Verdict


@dataclass(frozen=True, slots=True)
class DecisionModel:
    """Read once with the bundle."""

    spec: Spec
    calibration: Calibration
    thresholds: Thresholds
    ood_model: OodModel | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is missing; plain lines for the terminal."""
        lines = []
        if not self.calibration.example_count:
            lines.append("warning: the bundle was not calibrated: its probabilities are the model's own")
        if self.ood_model is None:
            lines.append("warning: the bundle does not know what its photos look like: a wrong photo is not told")
        return tuple(lines)


def load_decision_model(bundle: Bundle) -> DecisionModel:
    """Those of a bundle; what it does not have changes nothing. Raises `BundleError`, `DataError`."""
    if bundle.is_external:
        return DecisionModel(bundle.spec, Calibration(), Thresholds())
    file, known = bundle.path / THRESHOLDS_FILE, [constraint.id for constraint in bundle.spec.constraints]
    thresholds = read_thresholds(file, constraints=known) if file.exists() else Thresholds()
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
    """The verdict on a photo called `photo`, whose pixels (RGB) were looked at.

    `size`: (width, height) of the photo itself, where the pixels are already those of the model's input.
    """
    size = size or (pixels.shape[1], pixels.shape[0])
    unlike = model.ood_model.ood_reasons(pixels) if model.ood_model else ()
    few = model.calibration.resolution.ood_reasons(*size) if model.calibration.resolution else ()
    return decide(
        model.spec, prediction, photo, size, calibration=model.calibration, thresholds=model.thresholds,
        unconditional_reasons=(*unconditional_reasons, *unlike, *few),
    )  # fmt: skip


UNREADABLE_VERDICT = "the stated verdict could not be read"
"""A doubt."""


def unreadable_reasons(findings: Sequence[Finding]) -> tuple[str, ...]:
    """The doubts that rules leave which could not be checked."""
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
    """The verdict on one photo. `size`: (width, height) in pixels; `doubts`: what else speaks for a person's look.

    Each rule's probability is pooled from two readings: what the answers make of it, and what the stated verdict says.
    """
    stated = prediction.stated.values if prediction.stated.readable else None
    told = dict(prediction.violation_probabilities) if stated is not None else {}
    likely = compute_rule_probabilities(spec, prediction, size, calibration)
    chances = {rule: _pool_probabilities(came, told, calibration) for rule, came in likely.items()}
    came = evaluate(spec, index_answers(prediction.answers), *size)
    findings = tuple(
        replace(f, probability=_union_probability(chances[f.constraint]) if f.status != "unknown" else None)
        for f in came
    )
    unstated = [UNREADABLE_VERDICT] if stated is None else []
    scores = {name: max((one.get(name, 0.0) for one in chances.values()), default=0.0) for name in spec.violations}
    verdict = Verdict(
        photo, "review", collect_violations(findings), None if stated is None else tuple(sorted(stated)), _anomaly_score(findings),
        tuple(scores.items()), findings, (*prediction.answers, prediction.stated), (), *size,
        spec=spec.hash, unconditional_reasons=(*unconditional_reasons, *unreadable_reasons(findings), *unstated),
    )  # fmt: skip
    return apply_thresholds(verdict, thresholds)


def _pool_probabilities(came: RuleProbability, told: Mapping[str, float], scales: Calibration) -> dict[str, float]:
    """Violation → probability; a rule that may not be readable counts half of that."""
    return {name: scales.pool(min(p + came.unknown / 2, 1.0), told.get(name)) for name, p in came.violations.items()}


def _union_probability(chances: Mapping[str, float]) -> float:
    """That a rule is broken in one way or another; it is broken in one way at a time."""
    return min(sum(chances.values()), 1.0)


def _anomaly_score(findings: Sequence[Finding]) -> float:
    """Probability that any rule is broken, as if rules broke independently; what is not known counts half."""
    good = 1.0
    for finding in findings:
        good *= 1 - (0.5 if finding.probability is None else finding.probability)
    return 1 - good
