"""Alternative answers of a photo: candidate instances, their attributes, and the most probable combinations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from logicls.constraints.checker.decomposition import query_component
from logicls.constraints.families.angles import angle_to_text, period_of_options
from logicls.constraints.families.appearance import anomaly_probability
from logicls.constraints.families.queries import ANOMALOUS, NORMAL
from logicls.constraints.spec.models import Spec
from logicls.predict.readers.protocol import Detection, Prediction, condition_on_rivals
from logicls.predict.uncertainty.calibration import Calibration, temperature_scale
from logicls.records import DETECTION_THRESHOLD, Answer, Box, Subquery, reading_order

MAX_HYPOTHESES = 32
"""Maximum number of hypotheses of a photo; the first few mostly hold nearly all probability."""
ENOUGH_PROBABILITY = 0.999
"""Total probability at which the enumeration ends."""
IMPOSSIBLE = 1e-3
"""Probability below which an alternative is left out."""
ANGLE_HYPOTHESES = 4
"""Angles of a hypothesis: the one that was read, and others that share what its probability lacks of 1."""
VALUED_KINDS = ("attribute", "orientation", "appearance")
"""Kinds of queries with a value for each instance."""

PRESENT = "present"
VariableKey = tuple[str, int, str]
"""Component, number of the candidate, and what is asked about it (`_value_name`), empty for its presence; or no
component and the number of a place that candidates share."""
ValueDistribution = tuple[tuple[str, float], ...]
"""Value → probability."""


@dataclass(frozen=True, slots=True)
class CandidateInstance:
    """A location that may hold an instance of a component."""

    probability: float
    box: Box
    values: tuple[tuple[str, ValueDistribution], ...] = ()
    """Attribute, or id of another query → distribution of its value."""
    place: int | None = None
    """Number of the place that it shares with candidates of other components, of which one at most is there."""

    def match_probability(self, requirements: Sequence[tuple[str, frozenset[str]]]) -> float:
        """Return the probability that an instance here has an accepted value of each required attribute."""
        product = 1.0
        for name, options in requirements:
            product *= sum(p for value, p in dict(self.values).get(name, ()) if value in options)
        return product


def list_candidates(
    spec: Spec,
    prediction: Prediction,
    size: tuple[int, int],
    calibration: Calibration,
    judged_spec: Spec | None = None,
) -> dict[str, tuple[CandidateInstance, ...]]:
    """List the candidate instances of each component: detections in reading order, then those below the threshold.

    Components without a readable answer have none.

    Args:
        spec: Spec whose questions were answered.
        prediction: Raw prediction of the photo.
        size: (width, height) of the photo in pixels.
        calibration: Calibration of the model's probabilities.
        judged_spec: Rules, if they are others than those of `spec`.
    """
    overkills = {**spec.overkill_by_component, **(judged_spec or spec).overkill_by_component}
    answers = {answer.query: answer for answer in prediction.answers if answer.readable}
    detections = dict(prediction.detections)
    candidates = {}
    for component in spec.queried_components:
        query = f"locate:{component}"
        scored = detections.get(query) or _detections_of_answer(answers.get(query))
        valued = [q for q in spec.queries if q.component == component and q.kind in VALUED_KINDS]
        values = {q: answers[q.id] for q in valued if q.id in answers}
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
                    (
                        _value_name(query.id),
                        _look_distribution(answer, n, overkills[component])
                        if query.kind == "appearance"
                        else _value_distribution(query, answer, n, calibration),
                    )
                    for query, answer in values.items()
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


def _value_name(query: str) -> str:
    """Return the name of what a query asks about an instance: an attribute, or the id of another query."""
    return query.partition(".")[2] if query.startswith("attribute:") else query


def _value_distribution(query: Subquery, answer: Answer, number: int, calibration: Calibration) -> ValueDistribution:
    """Return the distribution of an instance's value: the other options share what the answer's value lacks of 1.

    Uniform for an instance without a value in the answer.
    """
    is_read = number < len(answer.values)
    options = query.options
    if query.kind == "orientation":
        options = list_angle_hypotheses(answer.values[number] if is_read else "0", period_of_options(options))
    if not is_read:
        return tuple((option, 1 / len(options)) for option in options)
    value, others = answer.values[number], max(len(options) - 1, 1)
    top = answer.probabilities[number] if answer.probabilities else answer.confidence ** (1 / len(answer.values))
    if len(options) > 1:
        top = scale_top_probability(top, len(options), calibration.attribute_temperature)
    return tuple((option, top if option == value else (1 - top) / others) for option in options)


def _look_distribution(answer: Answer, number: int, overkill: float) -> ValueDistribution:
    """Return the distribution of an instance's look, from its rarity among good photos.

    An instance that was not compared looks as a median one.
    """
    rarity = answer.rarities[number] if number < len(answer.rarities) else 0.5
    probability = anomaly_probability(rarity, overkill)
    return (ANOMALOUS, probability), (NORMAL, 1 - probability)


def list_angle_hypotheses(angle: str, period: int) -> tuple[str, ...]:
    """Return the angle that was read, and `ANGLE_HYPOTHESES` - 1 others that divide the rest of the period evenly.

    >>> list_angle_hypotheses("178", 360)
    ('178', '268', '358', '88')
    """
    turns = range(ANGLE_HYPOTHESES)
    return tuple(angle_to_text(float(angle) + turn * period / ANGLE_HYPOTHESES, period) for turn in turns)


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
    named = {(query_component(query), _value_name(query)) for query in queries}
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
                ((component, number, name), list(values[name])) for name in values if (component, name) in named
            ]
    for options in places.values():
        options.append(("", max(1 - sum(probability for _, probability in options), 0.0)))
    builder, total = _AnswerBuilder(candidates, queries, [key for key, _ in variables]), 0.0
    for number, (probability, choice) in enumerate(_rank_combinations([options for _, options in variables])):
        yield probability, builder.build(choice)
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
        yield -negative, tuple([options[k][0] for options, k in zip(ranked, choice, strict=True)])
        for at in range(least, len(ranked)):
            k, options = choice[at] + 1, ranked[at]
            if k < len(options):
                successor = (*choice[:at], k, *choice[at + 1 :])
                heappush(heap, (negative * options[k][1] / options[k - 1][1], successor, at))


class _AnswerBuilder:
    """Builder of the answers of one photo's hypotheses: equal answers are the same object."""

    def __init__(
        self,
        candidates: Mapping[str, Sequence[CandidateInstance]],
        queries: Sequence[str],
        variables: Sequence[VariableKey],
    ) -> None:
        self._candidates = candidates
        position = {key: n for n, key in enumerate(variables)}
        self._presence: dict[str, list[tuple[int, int, str]]] = {}
        """Component → number of each candidate, position of the variable that decides on it, and its option."""
        for component, found in candidates.items():
            options = [_presence_option(component, number, one.place) for number, one in enumerate(found)]
            self._presence[component] = [(n, position[key], option) for n, (key, option) in enumerate(options)]
        self._queries: list[tuple[str, str, list[int] | None]] = []
        """Query, its component, and the position of each candidate's value; None for locations."""
        for query in queries:
            component, name = query_component(query), _value_name(query)
            numbers = range(len(candidates[component]))
            values = None if query.startswith("locate:") else [position[component, n, name] for n in numbers]
            self._queries.append((query, component, values))
        self._answers: dict[tuple[str, tuple[int, ...], tuple[str, ...]], Answer] = {}

    def build(self, choice: Sequence[str]) -> dict[str, Answer]:
        """Return the answers to the queries for one option of each variable."""
        present = {
            component: tuple([n for n, at, option in options if choice[at] == option])
            for component, options in self._presence.items()
        }
        answers = {}
        for query, component, positions in self._queries:
            numbers = present[component]
            values = () if positions is None else tuple([choice[positions[n]] for n in numbers])
            key = query, numbers, values
            answer = self._answers.get(key)
            if answer is None:
                found = self._candidates[component]
                boxes = tuple([found[n].box for n in numbers]) if positions is None else ()
                answer = self._answers[key] = Answer(query, values, boxes)
            answers[query] = answer
        return answers


def _presence_option(component: str, number: int, place: int | None) -> tuple[VariableKey, str]:
    """Return the variable that decides on a candidate's presence, and its option for it."""
    if place is None:
        return (component, number, ""), PRESENT
    return ("", place, ""), f"{component}/{number}"
