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
from logicls.predict.uncertainty.calibration import Scales, Spread, log_odds, tempered, write_scales
from logicls.predict.uncertainty.hypotheses import best_of
from logicls.predict.uncertainty.ood import Sighting, pixels, usual
from logicls.predict.uncertainty.risk_control import TARGETS, cases_of, choose
from logicls.predict.uncertainty.rule_probability import broken
from logicls.predict.uncertainty.thresholds import FILE, write_thresholds
from logicls.records import Answer, Box
from logicls.synth.dataset import read_rows
from logicls.train.batching import Batch
from logicls.train.validation import Split, chosen

DARKEST, BRIGHTEST = 0.1, 0.7
"""Chances between which the limit is looked for."""
STEPS = 121
VARIES = 0.4
"""Standard deviation, in logits, of how bright a light is on another photo."""
MAX_DETECTION_EXAMPLES = 320
"""Examples that are looked at: ten seconds."""
Span = tuple[float, float]
"""Limits, as logits, above the first and up to the second of which the number of lights is the number of things."""


def raise_lights(model: Any, codec: NanoAnswerCodec, batches: Iterable[Batch]) -> float:
    """Raise or lower all lights of a model so that a half is the best limit; returns the chance that it was at before.

    Lights are counted as prediction does: of two on one thing the surer one. 0.5, and nothing changes, where the
    batches ask for no place.
    """
    spans = [span for batch in batches for span in _spans(model, codec, batch)]
    limit = best_limit(spans)
    with torch.no_grad():
        model.detection_head.centre_filter.bias[-1] -= limit
    return 1 / (1 + math.exp(-limit))


def best_limit(spans: Iterable[Span]) -> float:
    """The logit that lies in most spans, where the lights of all of them may be brighter or darker by chance.

    By so much as `VARIES`: a wide range that does as well ends in a cliff, over which other photos would fall. Of
    several the one nearest to 0; 0 if none lies in any.

    >>> round(best_limit([(-2.0, 1.0), (-1.5, -0.5), (1.1, 4.0)]), 1)
    -1.0
    """
    edges = np.array(list(spans)).reshape(-1, 2)
    grid = np.linspace(_logit(DARKEST), _logit(BRIGHTEST), STEPS)
    inside = (ndtr((grid - edges[:, :1]) / VARIES) - ndtr((grid - edges[:, 1:]) / VARIES)).sum(0)
    if not ((edges[:, 0] < grid[-1]) & (grid[0] <= edges[:, 1])).any():
        return 0.0
    return min((float(limit) for limit in grid[inside >= inside.max() - 1e-6]), key=abs)


def _spans(model: Any, codec: NanoAnswerCodec, batch: Batch) -> Iterator[Span]:
    """Of each question of a batch where things are."""
    was_training, device = model.training, next(model.parameters()).device
    model.train(mode=False)
    given = {name: value.to(device) for name, value in batch.items()}
    height, width = codec.processor.image_processor.size
    with torch.no_grad():
        read = model(given["input_ids"], pixel_values=given["pixel_values"], branch_ids=given["branch_ids"])
        answering = given["input_ids"] == model.config.answer_token_id
        asked = gather_queries(read.words, answering, given["branch_ids"], given["located"].shape[1])
        shining = detect(model, codec, read.chart, asked, [(width, height)] * len(asked))
    model.train(mode=was_training)
    things = TargetBoxes(given["boxes"] / CELL_PIXELS, given["box_question"], given["box_value"])
    numbers = count_boxes(things, things.location_mask, asked.shape[1])
    for photo, question in given["located"].nonzero().tolist():
        found = [_logit(light.chance) for light in shining[photo][question]]
        ladder, number = [math.inf, *found, -math.inf], int(numbers[photo, question])
        if number <= len(found):
            yield ladder[number + 1], ladder[number]


def _logit(chance: float) -> float:
    return math.log(chance / max(1 - chance, 1e-9))


FEW = 20
"""Readings of a distance below which a rule's spread is that of all rules."""
NEAR = 4.0
"""Dead zones from the limit within which the readings of a distance count: far from it they decide nothing."""
BEYOND = 4.0
"""Standard deviations from which on a reading is a stray."""
PULL = 1.0
"""How strongly weights are pulled to where they begin, in examples: it matters where there are few."""
EXPECTED = 0.35
"""Standard deviation of a temperature's logarithm before anything is known: within a factor of 1.4 of 1, mostly."""
Pair = tuple[float, bool]
"""A chance, and whether what it is of was so."""


@dataclass(frozen=True, slots=True)
class Known:
    """An example that was not learned from: what is true of it, and what was read."""

    answers: tuple[Answer, ...]
    violations: frozenset[str]
    size: tuple[int, int]
    look: Prediction


def known(row: Mapping[str, Any], look: Prediction) -> Known:
    """Out of a row of the dataset."""
    answers = tuple(
        Answer(query, tuple(values) if not query.startswith("locate:") else (), tuple(Box(*box) for box in boxes))
        for query, values, boxes in zip(row["queries"], row["values"], row["boxes"], strict=True)
    )
    return Known(answers, frozenset(row["violations"]), (row["width"], row["height"]), look)


def fit_scales(spec: Spec, examples: Sequence[Known]) -> Scales:
    """Temperatures first, then spreads, then the weights of the two readings, each given those before it."""
    lit = [pair for one in examples for pair in _lights(one)]
    said = [each for one in examples for each in _values(spec, one)]
    scales = Scales(
        located=_temperature(lambda t: [(tempered(p, t), right) for p, right in lit]),
        likened=_temperature(lambda t: [(best_of(p, options, t), right) for p, options, right in said]),
        spreads=fit_spreads(spec, examples),
        examples=len(examples),
    )
    return _weighed(spec, examples, scales)


def _temperature(at: Callable[[float], Sequence[Pair]]) -> float:
    """That at which the chances `at` it are likeliest; its logarithm is looked for between -3 and 3.

    So many chances can show no more than that one in so many is wrong: targets stop short of 0 and 1 by as much (Platt
    1999, section 2.2), and chances count as if they did, so that those that are surer do not blunt the others. Where
    what is true and what is not lie wholly apart, the likeliest temperature would be 0, nothing in doubt, ever: it is
    pulled to 1 (`EXPECTED`).
    """
    from scipy.optimize import minimize_scalar

    right = np.array([right for _, right in at(1.0)])
    if not len(right):
        return 1.0
    least, most = 1 / (len(right) - right.sum() + 2), (right.sum() + 1) / (right.sum() + 2)
    wanted = np.where(right, most, least)

    def loss(log: float) -> float:
        p = np.clip([chance for chance, _ in at(float(np.exp(log)))], least, most)
        return float(-np.sum(wanted * np.log(p) + (1 - wanted) * np.log(1 - p)) + 0.5 * (log / EXPECTED) ** 2)

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def _lights(one: Known) -> Iterator[Pair]:
    """The chance of each place, and whether a thing is there that no surer place was taken for."""
    true = index_answers(one.answers)
    for query, lights in one.look.detections:
        left = list(true[query].boxes)
        for light in lights:
            mine = max(left, key=light.box.iou, default=None)
            if mine is None or light.box.iou(mine) < 0.5:
                yield light.probability, False
                continue
            left.remove(mine)
            yield light.probability, True


def _values(spec: Spec, one: Known) -> Iterator[tuple[float, int, bool]]:
    """The chance of each value that was read, of how many there are to choose from, and whether it is right."""
    true, found = index_answers(one.answers), index_answers(one.look.answers)
    for query in spec.queries:
        read, told = found.get(query.id), true.get(query.id)
        if not query.attribute or read is None or told is None or len(query.options) < 2:
            continue
        if read.readable and len(read.values) == len(told.values) == len(read.probabilities):
            for chance, value, right in zip(read.probabilities, read.values, told.values, strict=True):
                yield chance, len(query.options), value == right


def fit_spreads(spec: Spec, examples: Sequence[Known]) -> tuple[tuple[str, Spread], ...]:
    """Of each constraint about distances: the spread of its readings near the limit; of all such rules where few."""
    errors: dict[str, list[float]] = {c.id: [] for c in spec.constraints}
    for one in examples:
        true = EvaluationContext(index_answers(one.answers), *one.size, spec.vocabulary)
        read = EvaluationContext(index_answers(one.look.answers), *one.size, spec.vocabulary)
        for constraint in spec.constraints:
            pairs = list(zip(compute_margins(constraint, true), compute_margins(constraint, read), strict=False))
            errors[constraint.id] += [m - t for t, m in pairs if abs(t) <= NEAR]
    pooled = [error for found in errors.values() for error in found]
    usual = spread_of(pooled) if len(pooled) >= FEW else Spread()
    return tuple((name, spread_of(found) if len(found) >= FEW else usual) for name, found in errors.items())


def spread_of(errors: Sequence[float]) -> Spread:
    """Standard deviation by the median of the absolute errors (Huber 1981), and the share of strays beyond it.

    Half a stray more than there were is counted (Krichevsky and Trofimov 1981): none seen is not none.
    """
    size = np.abs(np.asarray(errors))
    sd = max(float(np.median(size)) * 1.4826, 1e-3)
    strays = int((size > BEYOND * sd).sum())
    return Spread(sd, (strays + 0.5) / (len(size) + 1))


def _weighed(spec: Spec, examples: Sequence[Known], scales: Scales) -> Scales:
    """Logistic regression of what is broken on the log-odds of both readings; no weight is less than 0."""
    from scipy.optimize import minimize

    rows, right = [], []
    for one in examples:
        told = dict(one.look.violation_probabilities)
        for came in broken(spec, one.look, one.size, scales).values():
            for name, p in came.names.items():
                rows.append((log_odds(p), log_odds(told.get(name, 0.0))))
                right.append(name in one.violations)
    if not any(right) or all(right):
        return replace(scales, examples=0)
    x, sign = np.asarray(rows), np.where(right, 1.0, -1.0)
    begin = np.asarray([1.0, 0.0, 0.0])

    def loss(w: Any) -> float:
        odds = x @ w[:2] + w[2]
        return float(np.logaddexp(0, -sign * odds).sum() + PULL * np.square(w - begin).sum())

    found = minimize(loss, begin, method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)]).x
    return replace(scales, derived=float(found[0]), stated=float(found[1]), offset=float(found[2]))


MOST = 600
"""Examples kept aside that are looked at: about 15 seconds."""
MOST_OF_HUB = 120
"""The same for a model of the hub, which takes a hundred times as long for each."""
SKETCH = (256, 256)
"""(height, width) in which it is looked at what photos look like, where the model's input has no size of its own."""
SKETCHED = 400
"""Examples that were learned from, of which only what they look like counts."""
BATCH = 16
BATCH_OF_HUB = 4
CONFIDENCE = 0.95
COLUMNS = ("image", "photo", "width", "height", "queries", "values", "boxes", "violations")


def calibrate(bundle: Bundle, synth: Path, split: Split, seed: int, say: Callable[[str], None]) -> None:
    """Write what prediction needs to be sure of itself where it may be, into the bundle.

    Source photos are dealt out in turn: on the examples of one half scales are fitted, on those of the other half
    thresholds chosen, so that what these promise is of examples that nothing was fitted to.
    """
    most = MOST if bundle.hub is None else MOST_OF_HUB
    aside, learned = chosen(split.heldout, most, seed), chosen(split.learned, SKETCHED, seed)
    if len(aside) < 2:
        say("not calibrated: no examples were kept aside")
        return
    found = {row["number"]: row for row in _rows(synth, {*aside, *learned})}
    held = [found[number] for number in aside]
    first = split.first_half
    seen = list(zip(held, _looks(bundle, held), strict=True))
    scales = fit_scales(bundle.spec, [one for row, one in seen if row["photo"] in first])
    if bundle.hub is None:  # others cut photos up, or see them at any size
        scales = replace(scales, pixels=pixels(_input(bundle), _sightings(held)))
    write_scales(bundle.path, scales)
    rest = [(row, one) for row, one in seen if row["photo"] not in first] or seen
    truth = {str(row["number"]): tuple(row["violations"]) for row, _ in rest}
    verdicts = [decide(bundle.spec, k.look, str(row["number"]), k.size, scales=scales) for row, k in rest]
    origin = f"{len(rest)} made examples of {len({row['photo'] for row, _ in rest})} photos kept aside"
    cases = cases_of(bundle.spec, verdicts, truth)
    write_thresholds(
        bundle.path / FILE, choose(bundle.spec, cases, TARGETS, confidence=CONFIDENCE, origin=origin)
    )  # fmt: skip
    pictures = {number: row["pixels"] for number, row in found.items()}
    looks_like = usual([pictures[n] for n in learned], [pictures[n] for n in aside], _input(bundle))
    if looks_like:
        looks_like.write(bundle.path)
    say(f"calibrated on {scales.examples} examples kept aside, thresholds chosen on {len(rest)} others")


def _rows(synth: Path, wanted: set[int]) -> Iterator[dict[str, Any]]:
    """The rows with those numbers, decoded."""
    for number, row in enumerate(read_rows(synth, COLUMNS)):
        if number in wanted:
            picture = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB"))
            yield {**row, "number": number, "image": None, "pixels": picture}


def _looks(bundle: Bundle, held: Sequence[Mapping[str, Any]]) -> Iterator[Known]:
    reader = make_reader(bundle)
    batch = BATCH if bundle.hub is None else BATCH_OF_HUB
    for at in range(0, len(held), batch):
        some = held[at : at + batch]
        for row, look in zip(some, reader.predict_pixels([row["pixels"] for row in some]), strict=True):
            yield known(row, look)


def _input(bundle: Bundle) -> tuple[int, int]:
    if bundle.hub is not None:
        return SKETCH
    height, width = bundle.processor.image_processor.size
    return int(height), int(width)


def _sightings(held: Sequence[Mapping[str, Any]]) -> Iterator[Sighting]:
    for row in held:
        for query, boxes in zip(row["queries"], row["boxes"], strict=True):
            for box in (Box(*box) for box in boxes):
                yield query.removeprefix("locate:"), min(box.width, box.height), (row["width"], row["height"])
