"""From the raw prediction of a photo to its verdict.

The checker derives which rules are broken and how probably; the bundle's calibration and thresholds decide between
pass, fail and review.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from logicls.constraints.checker.decomposition import VERDICT
from logicls.constraints.checker.evaluation import collect_violations, evaluate, index_answers
from logicls.constraints.checker.spec_changes import SpecChanges, compare_specs
from logicls.constraints.spec.models import Spec
from logicls.predict.readers.protocol import Detection, Prediction
from logicls.predict.uncertainty.calibration import Calibration, hash_calibration, read_calibration
from logicls.predict.uncertainty.ood import OodModel, read_ood_model
from logicls.predict.uncertainty.rule_probability import RuleProbability, compute_rule_probabilities
from logicls.predict.uncertainty.spec_adaptation import adapt_calibration, adapt_thresholds
from logicls.predict.uncertainty.thresholds import THRESHOLDS_FILE, Thresholds, apply_thresholds, read_thresholds
from logicls.records import Answer, Box, Finding, Verdict

if TYPE_CHECKING:
    from logicls.models.bundle import Bundle

ViolationProbabilities = Mapping[str, float]
"""Violation → probability."""


@dataclass(frozen=True, slots=True)
class DecisionModel:
    """What a bundle's verdicts depend on besides its model's predictions. Loaded once per bundle."""

    spec: Spec
    calibration: Calibration
    thresholds: Thresholds
    ood_model: OodModel | None = None
    changes: SpecChanges | None = None
    """Changes from the spec that the model was trained with; None if that is `spec`."""
    fitted_calibration: Calibration | None = None
    """Calibration before it was adapted to `spec`; None if that is `calibration`."""

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
    model = read_decision_model(bundle.path, bundle.question_spec, bundle.spec)
    return replace(model, ood_model=read_ood_model(bundle.path))


def read_decision_model(folder: Path, trained_spec: Spec, spec: Spec) -> DecisionModel:
    """Read calibration and thresholds from a folder, and adapt them to the spec that answers are judged with.

    Raises:
        BundleError: A file is damaged.
        DataError: The thresholds are invalid.
    """
    thresholds = read_adapted_thresholds(folder / THRESHOLDS_FILE, trained_spec, spec)
    calibration = read_calibration(folder)
    if spec.hash == trained_spec.hash:
        return DecisionModel(spec, calibration, thresholds)
    changes = compare_specs(trained_spec, spec)
    adapted = adapt_calibration(calibration, changes)
    return DecisionModel(spec, adapted, thresholds, changes=changes, fitted_calibration=calibration)


def read_adapted_thresholds(file: Path, trained_spec: Spec, spec: Spec) -> Thresholds:
    """Read a file of thresholds, and adapt them to the spec that answers are judged with; defaults without the file.

    Raises:
        DataError: The thresholds are invalid.
    """
    if not file.exists():
        return Thresholds()
    if spec.hash == trained_spec.hash:
        return read_thresholds(file, constraints=[constraint.id for constraint in spec.constraints])
    return adapt_thresholds(read_thresholds(file, constraints=None), compare_specs(trained_spec, spec), spec)


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
    resolution, limits = model.calibration.resolution, model.calibration.photo_limits
    size_reasons = resolution.ood_reasons(*size) if resolution else ()
    limit_reasons = (*limits.size_reasons(*size), *limits.colour_reasons(pixels)) if limits else ()
    return decide(
        model.spec,
        prediction,
        photo,
        size,
        calibration=model.calibration,
        thresholds=model.thresholds,
        changes=model.changes,
        unconditional_reasons=(*unconditional_reasons, *ood_reasons, *size_reasons, *limit_reasons),
    )


UNREADABLE_VERDICT = "the stated verdict is unreadable"
"""Reason for review."""


def unreadable_reasons(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return the reasons for review of rules that could not be evaluated."""
    return tuple(f"{f.constraint}: {f.found}" for f in findings if f.status == "unknown" and f.probability is None)


def decide(
    spec: Spec,
    prediction: Prediction,
    photo: str,
    size: tuple[int, int],
    *,
    calibration: Calibration = Calibration(),  # noqa: B008  frozen
    thresholds: Thresholds = Thresholds(),  # noqa: B008  frozen
    changes: SpecChanges | None = None,
    unconditional_reasons: Sequence[str] = (),
    recorded: Mapping[str, ViolationProbabilities] = MappingProxyType({}),
) -> Verdict:
    """Return the verdict of a prediction.

    The probability of each rule is pooled from that of its answers and that of the stated verdict.

    Args:
        spec: Rules.
        prediction: Raw prediction of the photo, or what a verdict recorded of it (`restore_prediction`).
        photo: Name of the photo.
        size: (width, height) of the photo in pixels.
        calibration: Calibration of the model's probabilities.
        thresholds: Thresholds for review.
        changes: Changes from the spec that the model was trained with, if it is another one.
        unconditional_reasons: Further reasons for review.
        recorded: Constraint → probabilities of its violations, for constraints whose probability is not computed.
    """
    trained_spec = changes.trained_spec if changes is not None else spec
    stated = prediction.stated.values if prediction.stated.readable else None
    probabilities = dict(prediction.violation_probabilities) if stated is not None else {}
    derived = compute_rule_probabilities(spec, prediction, size, calibration, trained_spec, skip=recorded)
    compared = _find_compared(spec, prediction)
    pooled = {
        rule: one.halve_unknown()
        if rule in compared
        else _pool_probabilities(
            one, changes.stated_probabilities(rule, probabilities) if changes else probabilities, calibration
        )
        for rule, one in derived.items()
    } | dict(recorded)
    evaluated = evaluate(spec, index_answers(prediction.answers), *size)
    findings = tuple(_add_probability(f, pooled[f.constraint], compared) for f in evaluated)
    unreadable = [UNREADABLE_VERDICT] if stated is None else []
    scores = {name: max((one.get(name, 0.0) for one in pooled.values()), default=0.0) for name in spec.violations}
    verdict = Verdict(
        photo,
        "review",
        collect_violations(findings),
        None if stated is None else changes.translate_stated(stated) if changes else tuple(sorted(stated)),
        _anomaly_score(findings),
        tuple(scores.items()),
        findings,
        (*_record_candidates(prediction), prediction.stated),
        (),
        *size,
        spec=spec.hash,
        unconditional_reasons=(*unconditional_reasons, *unreadable_reasons(findings), *unreadable),
        trained_spec=trained_spec.hash,
        calibration=hash_calibration(calibration),
        stated_probabilities=prediction.violation_probabilities,
    )
    return apply_thresholds(verdict, thresholds)


def _record_candidates(prediction: Prediction) -> tuple[Answer, ...]:
    """Return the answers with the boxes of their candidate detections, so that rules can be judged again."""
    detections = dict(prediction.detections)
    return tuple(_add_candidates(answer, detections.get(answer.query, ())) for answer in prediction.answers)


def _add_candidates(answer: Answer, detections: Sequence[Detection]) -> Answer:
    if not detections or answer.ranks or answer.candidates:  # of a verdict that is judged again
        return answer
    remaining = dict(enumerate(one.box for one in detections))
    ranks = []
    for box in answer.boxes:
        rank = next((n for n, other in remaining.items() if other == box), None)
        if rank is not None:
            ranks.append(rank)
            del remaining[rank]
    if len(ranks) < len(answer.boxes):
        ranks, remaining = [], dict(enumerate(one.box for one in detections))
    places = tuple(-1 if one.place is None else one.place for one in detections)
    return replace(
        answer,
        probabilities=tuple(one.probability for one in detections),
        ranks=tuple(ranks),
        candidates=tuple(remaining.values()),
        places=places if max(places) >= 0 else (),
    )


def restore_prediction(verdict: Verdict) -> Prediction:
    """Restore the raw prediction that a verdict was made from, without its feature.

    Answers of plug-ins have spaces in their query, and are left out.
    """
    stated = next(answer for answer in verdict.answers if answer.query == VERDICT)
    answers = tuple(answer for answer in verdict.answers if answer.query != VERDICT and " " not in answer.query)
    detections = {answer.query: found for answer in answers if (found := _restore_detections(answer))}
    if any(answer.places for answer in answers):
        detections = _restore_rivals(detections)
    pairs = tuple((query, tuple(found)) for query, found in detections.items())
    return Prediction(answers, stated, verdict.stated_probabilities, None, pairs)


def _restore_detections(answer: Answer) -> list[Detection]:
    if not answer.ranks and not answer.candidates:
        return []
    boxes: dict[int, Box] = dict(zip(answer.ranks, answer.boxes, strict=False))
    others = iter(answer.candidates)
    ordered = [boxes.get(n) or next(others) for n in range(len(answer.probabilities))]
    places = [None if n < 0 else n for n in answer.places] or [None] * len(ordered)
    return [
        Detection(p, (), box, place) for p, box, place in zip(answer.probabilities, ordered, places, strict=True)
    ]  # fmt: skip


def _restore_rivals(detections: Mapping[str, list[Detection]]) -> dict[str, list[Detection]]:
    """Restore which detections share their place, as `readers.detections.suppress_rivals` found them."""
    shared = [(q, n, one) for q, found in detections.items() for n, one in enumerate(found) if one.place is not None]
    shared.sort(key=lambda entry: -entry[2].probability)
    restored = {query: list(found) for query, found in detections.items()}
    for number, (query, index, one) in enumerate(shared):
        others = [(k, other) for k, (*_, other) in enumerate(shared) if other.place == one.place and k != number]
        rivals = tuple(other.probability for _, other in others)
        is_suppressed = any(k < number for k, _ in others)
        restored[query][index] = replace(one, rivals=rivals, is_suppressed=is_suppressed)
    return restored


def _add_probability(finding: Finding, probabilities: ViolationProbabilities, compared: Collection[str]) -> Finding:
    """Return the finding with its probability, if its rule was evaluated or compared."""
    is_read = finding.status != "unknown" or finding.constraint in compared
    return replace(finding, probability=_union_probability(probabilities)) if is_read else finding


def _find_compared(spec: Spec, prediction: Prediction) -> frozenset[str]:
    """Return the constraints about appearance whose answers are readable.

    The verdict that the model states does not count for them, as it was not asked about looks; and where few photos
    cannot judge a look, their status is unknown and has a probability.
    """
    readable = {answer.query for answer in prediction.answers if answer.readable}
    queries = {
        c.id: {query.id for query in spec.queries_by_constraint[c.id]} for c in spec.constraints if c.is_compared
    }
    return frozenset(constraint for constraint, needed in queries.items() if needed <= readable)


def _pool_probabilities(
    rule: RuleProbability, stated: ViolationProbabilities, calibration: Calibration
) -> dict[str, float]:
    """Return violation → probability, pooled from answers and stated verdict."""
    return {name: calibration.pool(p, stated.get(name)) for name, p in rule.halve_unknown().items()}


def _union_probability(probabilities: Mapping[str, float]) -> float:
    """Return the probability of any of a rule's violations, which exclude one another."""
    return min(sum(probabilities.values()), 1.0)


def _anomaly_score(findings: Sequence[Finding]) -> float:
    """Return the probability that any rule is broken, as if rules were independent; an unknown rule counts half."""
    good = 1.0
    for finding in findings:
        good *= 1 - (0.5 if finding.probability is None else finding.probability)
    return 1 - good
