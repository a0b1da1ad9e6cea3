"""Alternative answers of a photo: candidate instances, their attributes, and the most probable combinations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from logicls.constraints.spec.models import Spec
from logicls.models.nano.losses import DETECTION_THRESHOLD
from logicls.predict.readers.protocol import Detection, Prediction, condition_on_rivals
from logicls.predict.uncertainty.calibration import Calibration, temperature_scale
from logicls.records import Answer, Box, reading_order

MAX_HYPOTHESES = 32
"""Maximum number of hypotheses of a photo; the first few mostly hold nearly all probability."""
ENOUGH_PROBABILITY = 0.999
"""Total probability at which the enumeration ends."""
IMPOSSIBLE = 1e-3
"""Probability below which an alternative is left out."""

PRESENT = "present"
VariableKey = tuple[str, int, str]
"""Component, number of the candidate, and attribute, empty for its presence; or no component and the number of a place
that candidates share."""
ValueDistribution = tuple[tuple[str, float], ...]
"""Value → probability."""


@dataclass(frozen=True, slots=True)
class CandidateInstance:
    """A location that may hold an instance of a component."""

    probability: float
    box: Box
    values: tuple[tuple[str, ValueDistribution], ...] = ()
    """Attribute → distribution of its value."""
    place: int | None = None
    """Number of the place that it shares with candidates of other components, of which one at most is there."""

    def match_probability(self, requirements: Sequence[tuple[str, frozenset[str]]]) -> float:
        """Return the probability that an instance here has an accepted value of each required attribute."""
        product = 1.0
        for name, options in requirements:
            product *= sum(p for value, p in dict(self.values).get(name, ()) if value in options)
        return product


def list_candidates(
    spec: Spec, prediction: Prediction, size: tuple[int, int], calibration: Calibration
) -> dict[str, tuple[CandidateInstance, ...]]:
    """List the candidate instances of each component: detections in reading order, then those below the threshold.

    `size`: (width, height) of the photo in pixels. Components without a readable answer have none.
    """
    answers = {answer.query: answer for answer in prediction.answers if answer.readable}
    detections = dict(prediction.detections)
    candidates = {}
    for component in spec.queried_components:
        query = f"locate:{component}"
        scored = detections.get(query) or _detections_of_answer(answers.get(query))
        values = {
            q.attribute: answers[q.id]
            for q in spec.queries
            if q.component == component and q.attribute and q.id in answers
        }
        options = {q.attribute: q.options for q in spec.queries if q.component == component}
        detected = [one for one in scored if one.is_detected]
        detected.sort(key=lambda one: reading_order(one.box, *size))
        if not scored and values:  # the spec has no locate query of this component
            detected = [Detection(1.0, (), Box(0, 0, 0, 0))] * max(len(answer.values) for answer in values.values())
        others = [one for one in scored if not one.is_detected]
        candidates[component] = tuple(
            CandidateInstance(
                _scale_probability(detection, calibration.locate_temperature),
                detection.box,
                tuple(
                    (name, _value_distribution(answer, n, options[name], calibration))
                    for name, answer in values.items()
                ),
                detection.place,
            )
            for n, detection in enumerate([*detected, *others])
        )
    return candidates


def _scale_probability(detection: Detection, temperature: float) -> float:
    """Return the calibrated probability that the instance is there, and none of its rivals."""
    own, *rivals = (temperature_scale(p, temperature) for p in (detection.probability, *detection.rivals))
    return condition_on_rivals(own, rivals)


def _detections_of_answer(answer: Answer | None) -> tuple[Detection, ...]:
    """Return the boxes of an answer as detections: the product of their probabilities is the answer's confidence."""
    if answer is None or not answer.boxes:
        return ()
    probability = max(answer.confidence ** (1 / len(answer.boxes)), DETECTION_THRESHOLD)
    return tuple(Detection(probability, (), box) for box in answer.boxes)


def _value_distribution(
    answer: Answer, number: int, options: Sequence[str], calibration: Calibration
) -> ValueDistribution:
    """Return the distribution of an instance's value: the other options share what the answer's value lacks of 1.

    Uniform for an instance without a value in the answer.
    """
    if number >= len(answer.values):
        return tuple((option, 1 / len(options)) for option in options)
    value, others = answer.values[number], max(len(options) - 1, 1)
    top = answer.probabilities[number] if answer.probabilities else answer.confidence ** (1 / len(answer.values))
    if len(options) > 1:
        top = scale_top_probability(top, len(options), calibration.attribute_temperature)
    return tuple((option, top if option == value else (1 - top) / others) for option in options)


def scale_top_probability(probability: float, option_count: int, temperature: float) -> float:
    """Scale the probability of one of `option_count` options by a temperature; the others are equally probable.

    >>> round(scale_top_probability(0.9, 3, 1.0), 3)
    0.9
    """
    rest = max(1 - probability, 1e-9) / (option_count - 1)
    top, other = probability ** (1 / temperature), rest ** (1 / temperature)
    return float(top / (top + (option_count - 1) * other))


def enumerate_hypotheses(
    candidates: Mapping[str, Sequence[CandidateInstance]], queries: Sequence[str]
) -> Iterator[tuple[float, dict[str, Answer]]]:
    """Yield (probability, answers to the queries), the most probable hypothesis first.

    Presence and values of the candidates are independent of one another, but for candidates at one place, of which one
    at most is there. Ends when `ENOUGH_PROBABILITY` is reached, or after `MAX_HYPOTHESES`.
    """
    names = {query.partition(":")[2] for query in queries}
    variables: list[tuple[VariableKey, list[tuple[str, float]]]] = []
    places: dict[int, list[tuple[str, float]]] = {}
    for component, found in candidates.items():
        for number, one in enumerate(found):
            if one.place is None:
                variables.append(((component, number, ""), [(PRESENT, one.probability), ("", 1 - one.probability)]))
            elif one.place in places:
                places[one.place].append((f"{component}/{number}", one.probability))
            else:
                places[one.place] = [(f"{component}/{number}", one.probability)]
                variables.append((("", one.place, ""), places[one.place]))
            values = dict(one.values)
            variables += [
                ((component, number, name), list(values[name])) for name in values if f"{component}.{name}" in names
            ]
    for options in places.values():
        options.append(("", max(1 - sum(probability for _, probability in options), 0.0)))
    keys = [key for key, _ in variables]
    total = 0.0
    for number, (probability, choice) in enumerate(_rank_combinations([options for _, options in variables])):
        yield probability, _build_answers(candidates, queries, dict(zip(keys, choice, strict=True)))
        total += probability
        if total >= ENOUGH_PROBABILITY or number + 1 == MAX_HYPOTHESES:
            return


def _rank_combinations(
    variables: Sequence[Sequence[tuple[str, float]]],
) -> Iterator[tuple[float, tuple[str, ...]]]:
    """Yield (probability, one option of each variable), the most probable combination first (best-first search)."""
    ranked = [
        sorted((option for option in options if option[1] >= IMPOSSIBLE), key=lambda option: -option[1])
        for options in variables
    ]
    start = (0,) * len(ranked)
    first = 1.0
    for options in ranked:
        first *= options[0][1]
    heap = [(-first, start, 0)]
    while heap:
        negative, choice, least = heappop(heap)
        yield -negative, tuple(options[k][0] for options, k in zip(ranked, choice, strict=True))
        for at in range(least, len(ranked)):
            k, options = choice[at] + 1, ranked[at]
            if k < len(options):
                successor = (*choice[:at], k, *choice[at + 1 :])
                heappush(heap, (negative * options[k][1] / options[k - 1][1], successor, at))


def _build_answers(
    candidates: Mapping[str, Sequence[CandidateInstance]],
    queries: Sequence[str],
    choice: Mapping[VariableKey, str],
) -> dict[str, Answer]:
    def is_present(component: str, number: int) -> bool:
        place = candidates[component][number].place
        if place is None:
            return choice[component, number, ""] == PRESENT
        return choice["", place, ""] == f"{component}/{number}"

    answers = {}
    for query in queries:
        kind, _, name = query.partition(":")
        component, _, attribute = name.partition(".")
        present = [n for n in range(len(candidates[component])) if is_present(component, n)]
        if kind == "locate":
            answers[query] = Answer(query, boxes=tuple(candidates[component][n].box for n in present))
        else:
            answers[query] = Answer(query, tuple(choice[component, n, attribute] for n in present))
    return answers
