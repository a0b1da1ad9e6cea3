"""What else a photo may show: the places that may hold a thing, what each may be like, and the likeliest of these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from logicls.constraints.spec.models import Spec
from logicls.models.nano.losses import DETECTION_THRESHOLD
from logicls.predict.readers.nano import Prediction
from logicls.predict.uncertainty.calibration import Scales, tempered
from logicls.records import Answer, Box, reading_order

MOST = 32
"""So many ways in which a photo may be otherwise are looked at; the first few mostly hold nearly everything."""
ENOUGH = 0.999
"""Probability of those looked at from which on the rest is left out."""
NEVER = 1e-3
"""What is less likely than this is taken for impossible."""

Odds = tuple[tuple[str, float], ...]
"""Value → probability."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that may hold a thing."""

    chance: float
    box: Box
    values: tuple[tuple[str, Odds], ...] = ()
    """Attribute → what it may be."""

    def fits(self, wanted: Sequence[tuple[str, frozenset[str]]]) -> float:
        """Probability that its attributes are as wanted, if it is there."""
        found = 1.0
        for name, options in wanted:
            found *= sum(p for value, p in dict(self.values).get(name, ()) if value in options)
        return found


def candidates(spec: Spec, look: Prediction, size: tuple[int, int], scales: Scales) -> dict[str, tuple[Candidate, ...]]:
    """Of each component, in reading order; those whose answers cannot be read are left out."""
    answers = {answer.query: answer for answer in look.answers if answer.readable}
    lights = {query: [(light.probability, light.box) for light in some] for query, some in look.detections}
    found = {}
    for component in spec.queried_components:
        query = f"locate:{component}"
        told = lights.get(query) or _told(answers.get(query))
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
            Candidate(
                tempered(chance, scales.located), box,
                tuple((name, _odds(answer, n, options[name], scales)) for name, answer in values.items()),
            )
            for n, (chance, box) in enumerate([*counted, *faint])
        )  # fmt: skip
    return found


def _told(answer: Answer | None) -> list[tuple[float, Box]]:
    """Places of an answer that tells boxes only: each as sure as makes the whole as sure as it is said to be."""
    if answer is None or not answer.boxes:
        return []
    return [(max(answer.confidence ** (1 / len(answer.boxes)), DETECTION_THRESHOLD), box) for box in answer.boxes]


def _odds(answer: Answer, number: int, options: Sequence[str], scales: Scales) -> Odds:
    """What a thing may be like: the other values share what the best one lacks of 1; anything where nobody looked."""
    if number >= len(answer.values):
        return tuple((option, 1 / len(options)) for option in options)
    value, others = answer.values[number], max(len(options) - 1, 1)
    sure = answer.probabilities[number] if answer.probabilities else answer.confidence ** (1 / len(answer.values))
    if len(options) > 1:
        sure = best_of(sure, len(options), scales.likened)
    return tuple((option, sure if option == value else (1 - sure) / others) for option in options)


def best_of(sure: float, options: int, temperature: float) -> float:
    """The best of so many options at that temperature, the others being alike.

    >>> round(best_of(0.9, 3, 1.0), 3)
    0.9
    """
    rest = max(1 - sure, 1e-9) / (options - 1)
    best, other = sure ** (1 / temperature), rest ** (1 / temperature)
    return float(best / (best + (options - 1) * other))


def readings(
    found: Mapping[str, Sequence[Candidate]], queries: Sequence[str]
) -> Iterator[tuple[float, dict[str, Answer]]]:
    """The likeliest ways in which those questions may be answered, each with its probability, the likeliest first.

    The places' and the values' chances are independent of one another. Ends when `ENOUGH` is told, or after `MOST`.
    """
    places = [(component, n, one) for component, some in found.items() for n, one in enumerate(some)]
    asked = {query.partition(":")[2] for query in queries}
    parts: list[tuple[tuple[str, int, str], list[tuple[str, float]]]] = []
    for component, number, one in places:
        parts.append(((component, number, ""), [("1", one.chance), ("", 1 - one.chance)]))
        told = dict(one.values)
        parts += [((component, number, name), list(told[name])) for name in told if f"{component}.{name}" in asked]
    keys = [key for key, _ in parts]
    total = 0.0
    for number, (chance, chosen) in enumerate(_likeliest([options for _, options in parts])):
        yield chance, _answers(found, queries, dict(zip(keys, chosen, strict=True)))
        total += chance
        if total >= ENOUGH or number + 1 == MOST:
            return


def _likeliest(parts: Sequence[Sequence[tuple[str, float]]]) -> Iterator[tuple[float, tuple[str, ...]]]:
    """One choice of each part, the likeliest combination first."""
    ranked = [sorted((o for o in part if o[1] >= NEVER), key=lambda o: -o[1]) for part in parts]
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


def _answers(
    found: Mapping[str, Sequence[Candidate]], queries: Sequence[str], chosen: Mapping[tuple[str, int, str], str]
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
