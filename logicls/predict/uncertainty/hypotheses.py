"""What else a photo may show: the places that may hold a thing, what each may be like, and the likeliest of these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from logicls.constraints.spec.models import Spec
from logicls.models.nano.losses import DETECTION_THRESHOLD
from logicls.predict.readers.nano import Prediction
from logicls.predict.uncertainty.calibration import Calibration, temperature_scale
from logicls.records import Answer, Box, reading_order

MAX_HYPOTHESES = 32
"""So many ways in which a photo may be otherwise are looked at; the first few mostly hold nearly everything."""
ENOUGH_PROBABILITY = 0.999
"""Probability of those looked at from which on the rest is left out."""
IMPOSSIBLE = 1e-3
"""What is less likely than this is taken for impossible."""

ValueDistribution = tuple[tuple[str, float], ...]
"""Value → probability."""


@dataclass(frozen=True, slots=True)
class CandidateInstance:
    """A place that may hold a thing."""

    probability: float
    box: Box
    values: tuple[tuple[str, ValueDistribution], ...] = ()
    """Attribute → what it may be."""

    def match_probability(self, requirements: Sequence[tuple[str, frozenset[str]]]) -> float:
        """Probability that its attributes are as wanted, if it is there."""
        found = 1.0
        for name, options in requirements:
            found *= sum(p for value, p in dict(self.values).get(name, ()) if value in options)
        return found


def list_candidates(
    spec: Spec, prediction: Prediction, size: tuple[int, int], calibration: Calibration
) -> dict[str, tuple[CandidateInstance, ...]]:
    """Of each component, in reading order; those whose answers cannot be read are left out."""
    answers = {answer.query: answer for answer in prediction.answers if answer.readable}
    lights = {query: [(light.probability, light.box) for light in some] for query, some in prediction.detections}
    found = {}
    for component in spec.queried_components:
        query = f"locate:{component}"
        told = lights.get(query) or _detections_of_answer(answers.get(query))
        values = {
            q.attribute: answers[q.id]
            for q in spec.queries
            if q.component == component and q.attribute and q.id in answers
        }
        options = {q.attribute: q.options for q in spec.queries if q.component == component}
        counted = [place for place in told if place[0] >= DETECTION_THRESHOLD]
        counted.sort(key=lambda place: reading_order(place[1], *size))
        if not told and values:  # nobody asked where they are
            counted = [(1.0, Box(0, 0, 0, 0))] * max(len(answer.values) for answer in values.values())
        faint = [place for place in told if place[0] < DETECTION_THRESHOLD]
        found[component] = tuple(
            CandidateInstance(
                temperature_scale(chance, calibration.locate_temperature), box,
                tuple((name, _value_distribution(answer, n, options[name], calibration)) for name, answer in values.items()),
            )
            for n, (chance, box) in enumerate([*counted, *faint])
        )  # fmt: skip
    return found


def _detections_of_answer(answer: Answer | None) -> list[tuple[float, Box]]:
    """Places of an answer that tells boxes only: each as sure as makes the whole as sure as it is said to be."""
    if answer is None or not answer.boxes:
        return []
    return [(max(answer.confidence ** (1 / len(answer.boxes)), DETECTION_THRESHOLD), box) for box in answer.boxes]


def _value_distribution(answer: Answer, number: int, options: Sequence[str], scales: Calibration) -> ValueDistribution:
    """What a thing may be like: the other values share what the best one lacks of 1; anything where nobody looked."""
    if number >= len(answer.values):
        return tuple((option, 1 / len(options)) for option in options)
    value, others = answer.values[number], max(len(options) - 1, 1)
    sure = answer.probabilities[number] if answer.probabilities else answer.confidence ** (1 / len(answer.values))
    if len(options) > 1:
        sure = scale_top_probability(sure, len(options), scales.attribute_temperature)
    return tuple((option, sure if option == value else (1 - sure) / others) for option in options)


def scale_top_probability(probability: float, option_count: int, temperature: float) -> float:
    """The best of so many options at that temperature, the others being alike.

    >>> round(best_of(0.9, 3, 1.0), 3)
    0.9
    """
    rest = max(1 - probability, 1e-9) / (option_count - 1)
    best, other = probability ** (1 / temperature), rest ** (1 / temperature)
    return float(best / (best + (option_count - 1) * other))


def enumerate_hypotheses(
    candidates: Mapping[str, Sequence[CandidateInstance]], queries: Sequence[str]
) -> Iterator[tuple[float, dict[str, Answer]]]:
    """The likeliest ways in which those questions may be answered, each with its probability, the likeliest first.

    The places' and the values' chances are independent of one another. Ends when `ENOUGH` is told, or after `MOST`.
    """
    places = [(component, n, one) for component, some in candidates.items() for n, one in enumerate(some)]
    asked = {query.partition(":")[2] for query in queries}
    parts: list[tuple[tuple[str, int, str], list[tuple[str, float]]]] = []
    for component, number, one in places:
        parts.append(((component, number, ""), [("1", one.probability), ("", 1 - one.probability)]))
        told = dict(one.values)
        parts += [((component, number, name), list(told[name])) for name in told if f"{component}.{name}" in asked]
    keys = [key for key, _ in parts]
    total = 0.0
    for number, (chance, chosen) in enumerate(_rank_combinations([options for _, options in parts])):
        yield chance, _build_answers(candidates, queries, dict(zip(keys, chosen, strict=True)))
        total += chance
        if total >= ENOUGH_PROBABILITY or number + 1 == MAX_HYPOTHESES:
            return


def _rank_combinations(parts: Sequence[Sequence[tuple[str, float]]]) -> Iterator[tuple[float, tuple[str, ...]]]:
    """One choice of each part, the likeliest combination first."""
    ranked = [sorted((o for o in part if o[1] >= IMPOSSIBLE), key=lambda o: -o[1]) for part in parts]
    start = (0,) * len(ranked)
    first = 1.0
    for part in ranked:
        first *= part[0][1]
    heap = [(-first, start, 0)]
    while heap:
        minus, chosen, least = heappop(heap)
        yield -minus, tuple(part[k][0] for part, k in zip(ranked, chosen, strict=True))
        for at in range(least, len(ranked)):
            k, part = chosen[at] + 1, ranked[at]
            if k < len(part):
                after = (*chosen[:at], k, *chosen[at + 1 :])
                heappush(heap, (minus * part[k][1] / part[k - 1][1], after, at))


def _build_answers(
    found: Mapping[str, Sequence[CandidateInstance]], queries: Sequence[str], chosen: Mapping[tuple[str, int, str], str]
) -> dict[str, Answer]:
    answers = {}
    for query in queries:
        kind, _, name = query.partition(":")
        component, _, attribute = name.partition(".")
        there = [n for n in range(len(found[component])) if chosen[component, n, ""]]
        if kind == "locate":
            answers[query] = Answer(query, boxes=tuple(found[component][n].box for n in there))
        else:
            answers[query] = Answer(query, tuple(chosen[component, n, attribute] for n in there))
    return answers
