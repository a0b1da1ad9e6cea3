"""Calibration after training, on validation examples: detection threshold, probabilities, decision thresholds.

`recenter_detection_scores` runs before the bundle is written and changes the model's weights. `calibrate` runs on the
bundle and adds calibration.json (temperatures, measurement noise, evidence weights), thresholds.json (risk control) and
usual.safetensors (out-of-distribution model).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.special import ndtr

from logicls.constraints.checker.evaluation import compute_margins, index_answers
from logicls.constraints.families.angles import ANGLE_STEP, fold_angle, period_of_options
from logicls.constraints.families.context import EvaluationContext
from logicls.constraints.spec.models import Spec
from logicls.errors import count_text
from logicls.models.bundle import Bundle
from logicls.models.nano import NanoForImageTextToText
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.detection_head import CELL_PIXELS, TargetBoxes
from logicls.models.nano.losses import count_boxes, gather_queries
from logicls.predict.decision import decide
from logicls.predict.readers import make_reader
from logicls.predict.readers.detections import detect
from logicls.predict.readers.protocol import Prediction, predict_arrays
from logicls.predict.uncertainty.calibration import (
    Calibration,
    MeasurementNoise,
    log_odds,
    temperature_scale,
    write_calibration,
)
from logicls.predict.uncertainty.hypotheses import ANGLE_HYPOTHESES, scale_top_probability
from logicls.predict.uncertainty.ood import ComponentSize, fit_ood_model, fit_photo_limits, fit_resolution
from logicls.predict.uncertainty.risk_control import RISK_TARGETS, choose_thresholds, collect_labelled_rules
from logicls.predict.uncertainty.rule_probability import compute_rule_probabilities
from logicls.predict.uncertainty.thresholds import THRESHOLDS_FILE, write_thresholds
from logicls.records import Answer, Box, Subquery
from logicls.synth.dataset import read_rows
from logicls.train.batching import Batch
from logicls.train.encoding import LOCATE_PREFIX
from logicls.train.photo_split import Split
from logicls.train.validation import sample_numbers

MIN_THRESHOLD, MAX_THRESHOLD = 0.1, 0.7
"""Range of the search for the detection threshold, as probabilities."""
GRID_POINTS = 121
"""Thresholds that are tried, evenly spaced in logits."""
LOGIT_NOISE = 0.4
"""Standard deviation of a detection's logit between photos."""
MAX_DETECTION_EXAMPLES = 320
"""Validation examples for the detection threshold; they take about ten seconds."""
LogitInterval = tuple[float, float]
"""Thresholds (low, high] in logits at which the number of detections equals the number of instances."""
MIN_SAMPLES = 20
"""Measurements below which a rule's noise is that of all rules together."""
MAX_MARGIN = 4.0
"""Margins, in dead zones, beyond which a measurement does not count: there its noise decides nothing."""
OUTLIER_SDS = 4.0
"""Standard deviations beyond which a measurement is an outlier."""
PRIOR_STRENGTH = 1.0
"""Strength of the L2 penalty that pulls evidence weights to their initial values; it matters with few examples."""
LOG_TEMPERATURE_SD = 0.35
"""Standard deviation of the prior of a temperature's logarithm: mostly within a factor of 1.4 of 1."""
MAX_EXAMPLES = 1000
"""Validation examples for nano; they take about 25 seconds."""
MAX_EXAMPLES_HUB = 120
"""Validation examples for a model of the hub, which takes a hundred times as long for each."""
FOLDS = 5
"""Parts of the validation photos in cross-fitting, at most."""
DESCRIPTOR_INPUT = (256, 256)
"""(height, width) of photos for the out-of-distribution descriptor, for models without a fixed input size."""
MAX_DESCRIPTOR_EXAMPLES = 400
"""Training examples on which the out-of-distribution model is fitted."""
BATCH_NANO = 16
BATCH_HUB = 4
CONFIDENCE = 0.95
"""Confidence level of the risk bounds behind the thresholds."""
CALIBRATION_COLUMNS = ("image", "photo", "pair", "width", "height", "queries", "values", "boxes", "violations")
ScoredLabel = tuple[float, bool]
"""A predicted probability, and whether the prediction is correct."""


def recenter_detection_scores(model: NanoForImageTextToText, codec: NanoAnswerCodec, batches: Iterable[Batch]) -> float:
    """Shift all detection logits of a model so that a score of 0.5 is the best threshold; returns the old threshold.

    Scores of focal loss are too low: a centre is one cell of many, a centre near the border of two cells is shared by
    both, and the loss forgives an uncertain answer (Mukhoti et al. 2020, "Calibrating Deep Neural Networks using Focal
    Loss", arXiv 2002.09437, section 4). With a threshold of 0.5, instances would be missed.

    Detections are counted after the suppression of duplicates, as in prediction. Without locate queries in the batches
    nothing changes, and 0.5 is returned.
    """
    intervals = [interval for batch in batches for interval in _compute_threshold_intervals(model, codec, batch)]
    threshold = find_threshold(intervals)
    with torch.no_grad():
        model.detection_head.centre_filter.bias[-1] -= threshold
    return 1 / (1 + math.exp(-threshold))


def find_threshold(intervals: Iterable[LogitInterval]) -> float:
    """Find the threshold (logit) that lies in most intervals, with normal noise of `LOGIT_NOISE` on their limits.

    The noise keeps the threshold away from the end of a range: other photos would fall beyond it. Of several equally
    good thresholds the one nearest to 0 is returned; 0 if no interval overlaps the search range.

    >>> round(find_threshold([(-2.0, 1.0), (-1.5, -0.5), (1.1, 4.0)]), 1)
    -1.0
    """
    edges = np.array(list(intervals)).reshape(-1, 2)
    grid = np.linspace(_logit(MIN_THRESHOLD), _logit(MAX_THRESHOLD), GRID_POINTS)
    expected_hits = (ndtr((grid - edges[:, :1]) / LOGIT_NOISE) - ndtr((grid - edges[:, 1:]) / LOGIT_NOISE)).sum(0)
    if not ((edges[:, 0] < grid[-1]) & (grid[0] <= edges[:, 1])).any():
        return 0.0
    return min((float(threshold) for threshold in grid[expected_hits >= expected_hits.max() - 1e-6]), key=abs)


def _compute_threshold_intervals(
    model: NanoForImageTextToText, codec: NanoAnswerCodec, batch: Batch
) -> Iterator[LogitInterval]:
    """Compute the interval of each locate query of a batch; none where too few detections exist at any threshold."""
    was_training, device = model.training, next(model.parameters()).device
    model.train(mode=False)
    inputs = {name: value.to(device) for name, value in batch.items()}
    height, width = codec.processor.image_processor.size
    with torch.no_grad():
        outputs = model(inputs["input_ids"], pixel_values=inputs["pixel_values"], branch_ids=inputs["branch_ids"])
        is_answer_token = inputs["input_ids"] == model.config.answer_token_id
        questions = inputs["located"].shape[1]
        query_vectors = gather_queries(outputs.hidden, is_answer_token, inputs["branch_ids"], questions)
        detections = detect(
            model.detection_head, codec, outputs.feature_map, query_vectors, [(width, height)] * len(query_vectors)
        )
    model.train(mode=was_training)
    targets = TargetBoxes(inputs["boxes"] / CELL_PIXELS, inputs["box_question"], inputs["box_value"])
    counts = count_boxes(targets, targets.location_mask, query_vectors.shape[1])
    for photo, question in inputs["located"].nonzero().tolist():
        logits = [_logit(detection.probability) for detection in detections[photo][question]]
        limits, count = [math.inf, *logits, -math.inf], int(counts[photo, question])
        if count <= len(logits):
            yield limits[count + 1], limits[count]


def _logit(probability: float) -> float:
    return math.log(probability / max(1 - probability, 1e-9))


@dataclass(frozen=True, slots=True)
class CalibrationExample:
    """A validation example: its labels, and the model's raw prediction."""

    answers: tuple[Answer, ...]
    """True answers; boxes in pixels of the photo."""
    violations: frozenset[str]
    size: tuple[int, int]
    """(width, height) of the photo in pixels."""
    prediction: Prediction


def make_calibration_example(row: Mapping[str, Any], prediction: Prediction) -> CalibrationExample:
    """Combine a row of the dataset with the prediction for its photo."""
    answers = tuple(
        Answer(query, tuple(values) if not query.startswith(LOCATE_PREFIX) else (), tuple(Box(*box) for box in boxes))
        for query, values, boxes in zip(row["queries"], row["values"], row["boxes"], strict=True)
    )
    return CalibrationExample(answers, frozenset(row["violations"]), (row["width"], row["height"]), prediction)


def fit_calibration(spec: Spec, examples: Sequence[CalibrationExample]) -> Calibration:
    """Fit temperatures, then measurement noise, then evidence weights, each given the results before it."""
    detections = [label for example in examples for label in _match_detections(example)]
    values = [label for example in examples for label in _match_attributes(spec, example)]
    calibration = Calibration(
        locate_temperature=_fit_temperature(
            lambda t: [(temperature_scale(p, t), is_correct) for p, is_correct in detections]
        ),
        attribute_temperature=_fit_temperature(
            lambda t: [(scale_top_probability(p, options, t), is_correct) for p, options, is_correct in values]
        ),
        noise=fit_measurement_noise(spec, examples),
        example_count=len(examples),
    )
    return _fit_evidence_weights(spec, examples, calibration)


def _fit_temperature(probabilities_at: Callable[[float], Sequence[ScoredLabel]]) -> float:
    """Fit the temperature T with the highest posterior probability; log T is searched between -3 and 3.

    Temperature scaling: Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv 1706.04599, section 4.2,
    equation 9), by negative log-likelihood. Two changes for few examples: targets are (N₊ + 1) / (N₊ + 2) and
    1 / (N₋ + 2) instead of 1 and 0, and probabilities are clipped to them (Platt 1999, "Probabilistic Outputs for
    Support Vector Machines", section 2.2), as N examples cannot show an error rate below about 1 / N; and log T has a
    normal prior around 0 (`LOG_TEMPERATURE_SD`), as T would be 0 where correct and wrong predictions are separable.

    Args:
        probabilities_at: Returns the probabilities at a temperature, each with whether its prediction is correct.
    """
    from scipy.optimize import minimize_scalar

    is_correct = np.array([label for _, label in probabilities_at(1.0)])
    if not len(is_correct):
        return 1.0
    lowest, highest = 1 / (len(is_correct) - is_correct.sum() + 2), (is_correct.sum() + 1) / (is_correct.sum() + 2)
    targets = np.where(is_correct, highest, lowest)

    def loss(log_temperature: float) -> float:
        scaled = [probability for probability, _ in probabilities_at(float(np.exp(log_temperature)))]
        p = np.clip(scaled, lowest, highest)
        nll = -np.sum(targets * np.log(p) + (1 - targets) * np.log(1 - p))
        return float(nll + 0.5 * (log_temperature / LOG_TEMPERATURE_SD) ** 2)

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def _match_detections(example: CalibrationExample) -> Iterator[ScoredLabel]:
    """Match detections to true boxes greedily, in the order of their scores, at an IoU of 0.5 or more."""
    truth = index_answers(example.answers)
    for query, detections in example.prediction.detections:
        unmatched = list(truth[query].boxes)
        for detection in detections:
            match = max(unmatched, key=detection.box.iou, default=None)
            if match is None or detection.box.iou(match) < 0.5:
                yield detection.probability, False
                continue
            unmatched.remove(match)
            yield detection.probability, True


def _match_attributes(spec: Spec, example: CalibrationExample) -> Iterator[tuple[float, int, bool]]:
    """Yield the probability of each predicted value or angle, the number of options, and whether it is correct."""
    truth, predicted = index_answers(example.answers), index_answers(example.prediction.answers)
    for query in spec.queries:
        prediction, label = predicted.get(query.id), truth.get(query.id)
        is_angle = query.kind == "orientation"
        if not (query.attribute or is_angle) or prediction is None or label is None or len(query.options) < 2:
            continue
        options = ANGLE_HYPOTHESES if is_angle else len(query.options)
        if prediction.readable and len(prediction.values) == len(label.values) == len(prediction.probabilities):
            values = zip(prediction.probabilities, prediction.values, label.values, strict=True)
            for probability, value, true_value in values:
                is_correct = _is_same_angle(query, value, true_value) if is_angle else value == true_value
                yield probability, options, is_correct


def _is_same_angle(query: Subquery, angle: str, true_angle: str) -> bool:
    """Check that a true angle lies among the tokens whose probabilities are those of the angle that was read."""
    period = period_of_options(query.options)
    return abs(fold_angle(float(angle) - float(true_angle), period)) <= 1.5 * ANGLE_STEP


def fit_measurement_noise(
    spec: Spec, examples: Sequence[CalibrationExample]
) -> tuple[tuple[str, MeasurementNoise], ...]:
    """Fit the error of each rule's margin, in dead zones, near its limit; pooled over all rules where there are few."""
    errors: dict[str, list[float]] = {constraint.id: [] for constraint in spec.constraints}
    for example in examples:
        truth = EvaluationContext(index_answers(example.answers), *example.size, spec.vocabulary)
        predicted = EvaluationContext(index_answers(example.prediction.answers), *example.size, spec.vocabulary)
        for constraint in spec.constraints:
            margins = zip(compute_margins(constraint, truth), compute_margins(constraint, predicted), strict=False)
            errors[constraint.id] += [measured - true for true, measured in margins if abs(true) <= MAX_MARGIN]
    pooled = [error for sample in errors.values() for error in sample]
    default = estimate_noise(pooled) if len(pooled) >= MIN_SAMPLES else MeasurementNoise()
    return tuple(
        (name, estimate_noise(sample) if len(sample) >= MIN_SAMPLES else default) for name, sample in errors.items()
    )


def estimate_noise(errors: Sequence[float]) -> MeasurementNoise:
    """Estimate the standard deviation from the median absolute error (Huber 1981), and the share of outliers.

    Half an outlier more than observed is counted (Krichevsky and Trofimov 1981): none observed does not mean none.
    """
    absolute = np.abs(np.asarray(errors))
    sd = max(float(np.median(absolute)) * 1.4826, 1e-3)
    outliers = int((absolute > OUTLIER_SDS * sd).sum())
    return MeasurementNoise(sd, (outliers + 0.5) / (len(absolute) + 1))


def _fit_evidence_weights(spec: Spec, examples: Sequence[CalibrationExample], calibration: Calibration) -> Calibration:
    """Fit a logistic regression of violations on the log-odds derived from answers and those of the stated verdict.

    Both weights are at least 0. Without both outcomes in the examples the calibration counts as not fitted. Constraints
    about appearance do not count: their answers are no model's, and the stated verdict does not count for them.
    """
    from scipy.optimize import minimize

    compared = {constraint.id for constraint in spec.constraints if constraint.is_compared}
    rows, is_violated = [], []
    for example in examples:
        stated = dict(example.prediction.violation_probabilities)
        rules = compute_rule_probabilities(spec, example.prediction, example.size, calibration, skip=compared)
        for name, p in (pair for key, one in rules.items() if key not in compared for pair in one.violations.items()):
            rows.append((log_odds(p), log_odds(stated.get(name, 0.0))))
            is_violated.append(name in example.violations)
    if not any(is_violated) or all(is_violated):
        return replace(calibration, example_count=0)
    x, sign = np.asarray(rows), np.where(is_violated, 1.0, -1.0)
    initial = np.asarray([1.0, 0.0, 0.0])

    def loss(weights: Any) -> float:
        combined = x @ weights[:2] + weights[2]
        return float(np.logaddexp(0, -sign * combined).sum() + PRIOR_STRENGTH * np.square(weights - initial).sum())

    weights = minimize(loss, initial, method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)]).x
    derived, stated_weight, offset = map(float, weights)
    return replace(calibration, derived_weight=derived, stated_weight=stated_weight, offset=offset)


def calibrate(bundle: Bundle, synth: Path, split: Split, seed: int, report: Callable[[str], None]) -> None:
    """Fit calibration, thresholds and out-of-distribution model on validation examples, and write them to the bundle.

    Thresholds are chosen on probabilities that were calibrated on other photos (`_cross_fit`), so that their risk
    bounds hold for examples that nothing was fitted to; the calibration of the bundle is fitted on all of them. Fewer
    than two validation examples: nothing is written.
    """
    max_examples = MAX_EXAMPLES if bundle.hub is None else MAX_EXAMPLES_HUB
    validation = sample_numbers(split.validation, max_examples, seed)
    train = sample_numbers(split.train, MAX_DESCRIPTOR_EXAMPLES, seed)
    if len(validation) < 2:
        report("not calibrated: there are no validation examples")
        return
    rows = {row["number"]: row for row in _read_rows(synth, {*validation, *train})}
    validation_rows = [rows[number] for number in validation]
    examples = list(zip(validation_rows, _predict_rows(bundle, validation_rows), strict=True))
    calibration = fit_calibration(bundle.spec, [example for _, example in examples])
    if bundle.hub is None:  # models of the hub tile photos, or take them at any size
        resolution = fit_resolution(_descriptor_size(bundle), _collect_component_sizes(validation_rows))
        calibration = replace(calibration, resolution=resolution)
    photos = {number: row["pixels"] for number, row in rows.items()}
    sizes = {(row["width"], row["height"]) for row in read_rows(synth, ("width", "height"))}
    limits = fit_photo_limits(sizes, photos.values(), _descriptor_size(bundle))
    write_calibration(bundle.path, replace(calibration, photo_limits=limits))
    _write_thresholds(bundle, examples)
    ood_model = fit_ood_model([photos[n] for n in train], [photos[n] for n in validation], _descriptor_size(bundle))
    if ood_model:
        ood_model.write(bundle.path)
    counted = count_text(len(split.validation_photos), "photo")
    report(f"calibrated on {len(examples)} validation examples of {counted}, thresholds chosen by cross-fitting")


LabelledExample = tuple[Mapping[str, Any], CalibrationExample]
"""A row of the dataset, and the prediction for it."""


def _cross_fit(spec: Spec, examples: Sequence[LabelledExample]) -> Iterator[tuple[LabelledExample, Calibration]]:
    """Yield each example with a calibration that was fitted to others: those of other photos.

    The photos are divided into `FOLDS`. The examples of a single photo are divided themselves, both of a pair alike.
    Source: Chernozhukov et al. 2018, "Double/Debiased Machine Learning", Econometrics Journal 21, definition 3.2.
    """
    photos = sorted({row["photo"] for row, _ in examples})
    fold_of = {photo: index % FOLDS for index, photo in enumerate(photos)}

    def find_fold(row: Mapping[str, Any]) -> int:
        return fold_of[row["photo"]] if len(photos) > 1 else int(row["pair"] if row["pair"] >= 0 else row["number"]) % 2

    for fold in range(max(min(len(photos), FOLDS), 2)):
        others = [example for row, example in examples if find_fold(row) != fold]
        calibration = fit_calibration(spec, others) if others else Calibration()
        yield from (((row, example), calibration) for row, example in examples if find_fold(row) == fold)


def _write_thresholds(bundle: Bundle, examples: Sequence[LabelledExample]) -> None:
    """Choose the decision thresholds on rows with their predictions, and write thresholds.json.

    They are not certified (decision 0024): one made example with a wrong label, or misread, among the few hundred of
    a few photos would send most photos to review, and its guarantee would be about made examples alone.
    """
    truth = {str(row["number"]): tuple(row["violations"]) for row, _ in examples}
    verdicts = [
        decide(bundle.spec, example.prediction, str(row["number"]), example.size, calibration=calibration)
        for (row, example), calibration in _cross_fit(bundle.spec, examples)
    ]
    photos = count_text(len({row["photo"] for row, _ in examples}), "validation photo")
    origin = f"{count_text(len(examples), 'synthetic example')} of {photos}"
    cases = collect_labelled_rules(bundle.spec, verdicts, truth)
    thresholds = choose_thresholds(
        bundle.spec, cases, RISK_TARGETS, confidence=CONFIDENCE, origin=origin, certified=False
    )
    write_thresholds(bundle.path / THRESHOLDS_FILE, thresholds)


def _read_rows(synth: Path, numbers: set[int]) -> Iterator[dict[str, Any]]:
    """Read the rows with those numbers; adds `number` and the decoded photo as `pixels`."""
    for number, row in enumerate(read_rows(synth, CALIBRATION_COLUMNS)):
        if number in numbers:
            photo = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB"))
            yield {**row, "number": number, "image": None, "pixels": photo}


def _predict_rows(bundle: Bundle, rows: Sequence[Mapping[str, Any]]) -> Iterator[CalibrationExample]:
    """Predict the photos of the rows in batches."""
    reader = make_reader(bundle)
    batch = BATCH_NANO if bundle.hub is None else BATCH_HUB
    for start in range(0, len(rows), batch):
        batch_rows = rows[start : start + batch]
        for row, prediction in zip(
            batch_rows, predict_arrays(reader, [row["pixels"] for row in batch_rows]), strict=True
        ):
            yield make_calibration_example(row, prediction)


def _descriptor_size(bundle: Bundle) -> tuple[int, int]:
    """Return (height, width) of the model's input; `DESCRIPTOR_INPUT` for models of the hub."""
    if bundle.hub is not None:
        return DESCRIPTOR_INPUT
    height, width = bundle.nano_processor.image_processor.size
    return int(height), int(width)


def _collect_component_sizes(rows: Sequence[Mapping[str, Any]]) -> Iterator[ComponentSize]:
    """Yield each labelled box's component, its shorter side in pixels, and (width, height) of its photo."""
    for row in rows:
        for query, boxes in zip(row["queries"], row["boxes"], strict=True):
            for box in (Box(*box) for box in boxes):
                yield query.removeprefix(LOCATE_PREFIX), min(box.width, box.height), (row["width"], row["height"])
