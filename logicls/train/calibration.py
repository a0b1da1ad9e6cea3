"""After training: what makes probabilities of the model's chances is fitted on examples that it never learned from.

How bright a light must be to count as a thing: settled at the end of training, on examples kept aside.

A centre's one cell is lit among many dark ones, a centre near the border of two cells is shared by both, and focal loss
forgives an answer that is not sure (Mukhoti et al. 2020, "Calibrating Deep Neural Networks using Focal Loss",
section 4). So lights are too dark, and at a chance of a half things are missed. All of them are raised alike, in the
weights, so that a half is again where the number of things is right most often.

The last step of training: on examples that were not learned from, how sure the model may be, and what is usual.
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

from logicls.constraints.checker.evaluation import index_answers
from logicls.constraints.checker.margins import compute_margins
from logicls.constraints.families.context import EvaluationContext
from logicls.constraints.spec.models import Spec
from logicls.models.bundle import Bundle
from logicls.models.nano.answer_codec import NanoAnswerCodec
from logicls.models.nano.detection_head import CELL_PIXELS, TargetBoxes
from logicls.models.nano.losses import count_boxes, gather_queries
from logicls.predict.decision import decide
from logicls.predict.readers.detections import detect
from logicls.predict.readers.nano import Prediction
from logicls.predict.readers.protocol import make_reader
from logicls.predict.uncertainty.calibration import (
    Calibration,
    MeasurementNoise,
    log_odds,
    temperature_scale,
    write_calibration,
)
from logicls.predict.uncertainty.hypotheses import scale_top_probability
from logicls.predict.uncertainty.ood import ComponentSize, fit_ood_model, fit_resolution
from logicls.predict.uncertainty.risk_control import RISK_TARGETS, choose_thresholds, collect_labelled_rules
from logicls.predict.uncertainty.rule_probability import compute_rule_probabilities
from logicls.predict.uncertainty.thresholds import THRESHOLDS_FILE, write_thresholds
from logicls.records import Answer, Box
from logicls.synth.dataset import read_rows
from logicls.train.batching import Batch
from logicls.train.validation import Split, sample_numbers

MIN_THRESHOLD, MAX_THRESHOLD = 0.1, 0.7
"""Chances between which the limit is looked for."""
GRID_POINTS = 121
LOGIT_NOISE = 0.4
"""Standard deviation, in logits, of how bright a light is on another photo."""
MAX_DETECTION_EXAMPLES = 320
"""Examples that are looked at: ten seconds."""
LogitInterval = tuple[float, float]
"""Limits, as logits, above the first and up to the second of which the number of lights is the number of things."""


def recenter_detection_scores(model: Any, codec: NanoAnswerCodec, batches: Iterable[Batch]) -> float:
    """Raise or lower all lights of a model so that a half is the best limit; returns the chance that it was at before.

    Lights are counted as prediction does: of two on one thing the surer one. 0.5, and nothing changes, where the
    batches ask for no place.
    """
    intervals = [interval for batch in batches for interval in _threshold_intervals(model, codec, batch)]
    threshold = find_threshold(intervals)
    with torch.no_grad():
        model.detection_head.centre_filter.bias[-1] -= threshold
    return 1 / (1 + math.exp(-threshold))


def find_threshold(intervals: Iterable[LogitInterval]) -> float:
    """The logit that lies in most spans, where the lights of all of them may be brighter or darker by chance.

    By so much as `VARIES`: a wide range that does as well ends in a cliff, over which other photos would fall. Of
    several the one nearest to 0; 0 if none lies in any.

    >>> round(best_limit([(-2.0, 1.0), (-1.5, -0.5), (1.1, 4.0)]), 1)
    -1.0
    """
    edges = np.array(list(intervals)).reshape(-1, 2)
    grid = np.linspace(_logit(MIN_THRESHOLD), _logit(MAX_THRESHOLD), GRID_POINTS)
    expected_hits = (ndtr((grid - edges[:, :1]) / LOGIT_NOISE) - ndtr((grid - edges[:, 1:]) / LOGIT_NOISE)).sum(0)
    if not ((edges[:, 0] < grid[-1]) & (grid[0] <= edges[:, 1])).any():
        return 0.0
    return min((float(threshold) for threshold in grid[expected_hits >= expected_hits.max() - 1e-6]), key=abs)


def _threshold_intervals(model: Any, codec: NanoAnswerCodec, batch: Batch) -> Iterator[LogitInterval]:
    """Of each question of a batch where things are."""
    was_training, device = model.training, next(model.parameters()).device
    model.train(mode=False)
    inputs = {name: value.to(device) for name, value in batch.items()}
    height, width = codec.processor.image_processor.size
    with torch.no_grad():
        outputs = model(inputs["input_ids"], pixel_values=inputs["pixel_values"], branch_ids=inputs["branch_ids"])
        is_answer_token = inputs["input_ids"] == model.config.answer_token_id
        query_vectors = gather_queries(outputs.words, is_answer_token, inputs["branch_ids"], inputs["located"].shape[1])
        detections = detect(model, codec, outputs.chart, query_vectors, [(width, height)] * len(query_vectors))
    model.train(mode=was_training)
    instances = TargetBoxes(inputs["boxes"] / CELL_PIXELS, inputs["box_question"], inputs["box_value"])
    counts = count_boxes(instances, instances.location_mask, query_vectors.shape[1])
    for photo, question in inputs["located"].nonzero().tolist():
        scores = [_logit(detection.chance) for detection in detections[photo][question]]
        ladder, count = [math.inf, *scores, -math.inf], int(counts[photo, question])
        if count <= len(scores):
            yield ladder[count + 1], ladder[count]


def _logit(probability: float) -> float:
    return math.log(probability / max(1 - probability, 1e-9))


MIN_SAMPLES = 20
"""Readings of a distance below which a rule's spread is that of all rules."""
MAX_MARGIN = 4.0
"""Dead zones from the limit within which the readings of a distance count: far from it they decide nothing."""
OUTLIER_SDS = 4.0
"""Standard deviations from which on a reading is a stray."""
PRIOR_STRENGTH = 1.0
"""How strongly weights are pulled to where they begin, in examples: it matters where there are few."""
LOG_TEMPERATURE_SD = 0.35
"""Standard deviation of a temperature's logarithm before anything is known: within a factor of 1.4 of 1, mostly."""
ScoredLabel = tuple[float, bool]
"""A chance, and whether what it is of was so."""


@dataclass(frozen=True, slots=True)
class CalibrationExample:
    """An example that was not learned from: what is true of it, and what was read."""

    answers: tuple[Answer, ...]
    violations: frozenset[str]
    size: tuple[int, int]
    look: Prediction


def make_calibration_example(row: Mapping[str, Any], look: Prediction) -> CalibrationExample:
    """Out of a row of the dataset."""
    answers = tuple(
        Answer(query, tuple(values) if not query.startswith("locate:") else (), tuple(Box(*box) for box in boxes))
        for query, values, boxes in zip(row["queries"], row["values"], row["boxes"], strict=True)
    )
    return CalibrationExample(answers, frozenset(row["violations"]), (row["width"], row["height"]), look)


def fit_calibration(spec: Spec, examples: Sequence[CalibrationExample]) -> Calibration:
    """Temperatures first, then spreads, then the weights of the two readings, each given those before it."""
    detections = [pair for one in examples for pair in _detection_labels(one)]
    values = [value for example in examples for value in _attribute_labels(spec, example)]
    scales = Calibration(
        locate_temperature=_fit_temperature(lambda t: [(temperature_scale(p, t), right) for p, right in detections]),
        attribute_temperature=_fit_temperature(
            lambda t: [(scale_top_probability(p, options, t), is_correct) for p, options, is_correct in values]
        ),
        noise=fit_spreads(spec, examples),
        example_count=len(examples),
    )
    return _fit_evidence_weights(spec, examples, scales)


def _fit_temperature(probabilities_at: Callable[[float], Sequence[ScoredLabel]]) -> float:
    """That at which the chances `at` it are likeliest; its logarithm is looked for between -3 and 3.

    So many chances can show no more than that one in so many is wrong: targets stop short of 0 and 1 by as much (Platt
    1999, section 2.2), and chances count as if they did, so that those that are surer do not blunt the others. Where
    what is true and what is not lie wholly apart, the likeliest temperature would be 0, nothing in doubt, ever: it is
    pulled to 1 (`EXPECTED`).
    """
    from scipy.optimize import minimize_scalar

    is_correct = np.array([right for _, right in probabilities_at(1.0)])
    if not len(is_correct):
        return 1.0
    lowest, highest = 1 / (len(is_correct) - is_correct.sum() + 2), (is_correct.sum() + 1) / (is_correct.sum() + 2)
    targets = np.where(is_correct, highest, lowest)

    def loss(log_temperature: float) -> float:
        p = np.clip(
            [probability for probability, _ in probabilities_at(float(np.exp(log_temperature)))], lowest, highest
        )
        return float(
            -np.sum(targets * np.log(p) + (1 - targets) * np.log(1 - p))
            + 0.5 * (log_temperature / LOG_TEMPERATURE_SD) ** 2
        )

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def _detection_labels(example: CalibrationExample) -> Iterator[ScoredLabel]:
    """The chance of each place, and whether a thing is there that no surer place was taken for."""
    truth = index_answers(example.answers)
    for query, detections in example.look.detections:
        unmatched = list(truth[query].boxes)
        for detection in detections:
            match = max(unmatched, key=detection.box.iou, default=None)
            if match is None or detection.box.iou(match) < 0.5:
                yield detection.probability, False
                continue
            unmatched.remove(match)
            yield detection.probability, True


def _attribute_labels(spec: Spec, example: CalibrationExample) -> Iterator[tuple[float, int, bool]]:
    """The chance of each value that was read, of how many there are to choose from, and whether it is right."""
    truth, predicted = index_answers(example.answers), index_answers(example.look.answers)
    for query in spec.queries:
        prediction, label = predicted.get(query.id), truth.get(query.id)
        if not query.attribute or prediction is None or label is None or len(query.options) < 2:
            continue
        if prediction.readable and len(prediction.values) == len(label.values) == len(prediction.probabilities):
            for probability, value, true_value in zip(
                prediction.probabilities, prediction.values, label.values, strict=True
            ):
                yield probability, len(query.options), value == true_value


def fit_spreads(spec: Spec, examples: Sequence[CalibrationExample]) -> tuple[tuple[str, MeasurementNoise], ...]:
    """Of each constraint about distances: the spread of its readings near the limit; of all such rules where few."""
    errors: dict[str, list[float]] = {c.id: [] for c in spec.constraints}
    for example in examples:
        truth = EvaluationContext(index_answers(example.answers), *example.size, spec.vocabulary)
        predicted = EvaluationContext(index_answers(example.look.answers), *example.size, spec.vocabulary)
        for constraint in spec.constraints:
            pairs = list(zip(compute_margins(constraint, truth), compute_margins(constraint, predicted), strict=False))
            errors[constraint.id] += [m - t for t, m in pairs if abs(t) <= MAX_MARGIN]
    pooled = [error for found in errors.values() for error in found]
    default = estimate_spread(pooled) if len(pooled) >= MIN_SAMPLES else MeasurementNoise()
    return tuple(
        (name, estimate_spread(sample) if len(sample) >= MIN_SAMPLES else default) for name, sample in errors.items()
    )


def estimate_spread(errors: Sequence[float]) -> MeasurementNoise:
    """Standard deviation by the median of the absolute errors (Huber 1981), and the share of strays beyond it.

    Half a stray more than there were is counted (Krichevsky and Trofimov 1981): none seen is not none.
    """
    absolute = np.abs(np.asarray(errors))
    sd = max(float(np.median(absolute)) * 1.4826, 1e-3)
    outliers = int((absolute > OUTLIER_SDS * sd).sum())
    return MeasurementNoise(sd, (outliers + 0.5) / (len(absolute) + 1))


def _fit_evidence_weights(spec: Spec, examples: Sequence[CalibrationExample], scales: Calibration) -> Calibration:
    """Logistic regression of what is broken on the log-odds of both readings; no weight is less than 0."""
    from scipy.optimize import minimize

    rows, is_broken = [], []
    for example in examples:
        stated = dict(example.look.violation_probabilities)
        for rule in compute_rule_probabilities(spec, example.look, example.size, scales).values():
            for name, p in rule.violations.items():
                rows.append((log_odds(p), log_odds(stated.get(name, 0.0))))
                is_broken.append(name in example.violations)
    if not any(is_broken) or all(is_broken):
        return replace(scales, example_count=0)
    x, sign = np.asarray(rows), np.where(is_broken, 1.0, -1.0)
    initial = np.asarray([1.0, 0.0, 0.0])

    def loss(weights: Any) -> float:
        log_odds_broken = x @ weights[:2] + weights[2]
        return float(
            np.logaddexp(0, -sign * log_odds_broken).sum() + PRIOR_STRENGTH * np.square(weights - initial).sum()
        )

    weights = minimize(loss, initial, method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)]).x
    return replace(scales, derived_weight=float(weights[0]), stated_weight=float(weights[1]), offset=float(weights[2]))


MAX_EXAMPLES = 600
"""Examples kept aside that are looked at: about 15 seconds."""
MAX_EXAMPLES_HUB = 120
"""The same for a model of the hub, which takes a hundred times as long for each."""
DESCRIPTOR_INPUT = (256, 256)
"""(height, width) in which it is looked at what photos look like, where the model's input has no size of its own."""
MAX_DESCRIPTOR_EXAMPLES = 400
"""Examples that were learned from, of which only what they look like counts."""
BATCH_NANO = 16
BATCH_HUB = 4
CONFIDENCE = 0.95
CALIBRATION_COLUMNS = ("image", "photo", "width", "height", "queries", "values", "boxes", "violations")


def calibrate(bundle: Bundle, synth: Path, split: Split, seed: int, report: Callable[[str], None]) -> None:
    """Write what prediction needs to be sure of itself where it may be, into the bundle.

    Source photos are dealt out in turn: on the examples of one half scales are fitted, on those of the other half
    thresholds chosen, so that what these promise is of examples that nothing was fitted to.
    """
    max_examples = MAX_EXAMPLES if bundle.hub is None else MAX_EXAMPLES_HUB
    validation, train = (
        sample_numbers(split.validation, max_examples, seed),
        sample_numbers(split.train, MAX_DESCRIPTOR_EXAMPLES, seed),
    )
    if len(validation) < 2:
        report("not calibrated: no examples were kept aside")
        return
    rows_by_number = {row["number"]: row for row in _read_rows(synth, {*validation, *train})}
    validation_rows = [rows_by_number[number] for number in validation]
    fitting_photos = split.calibration_photos
    examples = list(zip(validation_rows, _predict_rows(bundle, validation_rows), strict=True))
    scales = fit_calibration(bundle.spec, [one for row, one in examples if row["photo"] in fitting_photos])
    if bundle.hub is None:  # others cut photos up, or see them at any size
        scales = replace(scales, resolution=fit_resolution(_input_size(bundle), _component_sizes(validation_rows)))
    write_calibration(bundle.path, scales)
    held_out = [(row, example) for row, example in examples if row["photo"] not in fitting_photos] or examples
    truth = {str(row["number"]): tuple(row["violations"]) for row, _ in held_out}
    verdicts = [
        decide(bundle.spec, example.look, str(row["number"]), example.size, calibration=scales)
        for row, example in held_out
    ]
    origin = f"{len(held_out)} made examples of {len({row['photo'] for row, _ in held_out})} photos kept aside"
    cases = collect_labelled_rules(bundle.spec, verdicts, truth)
    write_thresholds(
        bundle.path / THRESHOLDS_FILE, choose_thresholds(bundle.spec, cases, RISK_TARGETS, confidence=CONFIDENCE, origin=origin)
    )  # fmt: skip
    photos = {number: row["pixels"] for number, row in rows_by_number.items()}
    ood_model = fit_ood_model([photos[n] for n in train], [photos[n] for n in validation], _input_size(bundle))
    if ood_model:
        ood_model.write(bundle.path)
    report(f"calibrated on {scales.example_count} examples kept aside, thresholds chosen on {len(held_out)} others")


def _read_rows(synth: Path, numbers: set[int]) -> Iterator[dict[str, Any]]:
    """The rows with those numbers, decoded."""
    for number, row in enumerate(read_rows(synth, CALIBRATION_COLUMNS)):
        if number in numbers:
            photo = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB"))
            yield {**row, "number": number, "image": None, "pixels": photo}


def _predict_rows(bundle: Bundle, rows: Sequence[Mapping[str, Any]]) -> Iterator[CalibrationExample]:
    reader = make_reader(bundle)
    batch = BATCH_NANO if bundle.hub is None else BATCH_HUB
    for at in range(0, len(rows), batch):
        batch_rows = rows[at : at + batch]
        for row, look in zip(batch_rows, reader.predict_pixels([row["pixels"] for row in batch_rows]), strict=True):
            yield make_calibration_example(row, look)


def _input_size(bundle: Bundle) -> tuple[int, int]:
    if bundle.hub is not None:
        return DESCRIPTOR_INPUT
    height, width = bundle.processor.image_processor.size
    return int(height), int(width)


def _component_sizes(rows: Sequence[Mapping[str, Any]]) -> Iterator[ComponentSize]:
    for row in rows:
        for query, boxes in zip(row["queries"], row["boxes"], strict=True):
            for box in (Box(*box) for box in boxes):
                yield query.removeprefix("locate:"), min(box.width, box.height), (row["width"], row["height"])
