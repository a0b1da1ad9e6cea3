"""After training: what makes probabilities of the model's chances is fitted on examples that it never learned from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from logicls.constraints.look import by_query
from logicls.constraints.margin import margins
from logicls.constraints.reading import Reading
from logicls.constraints.spec import Spec
from logicls.predict.read.one_pass import Look
from logicls.predict.sure.broken import broken
from logicls.predict.sure.otherwise import best_of
from logicls.predict.sure.scales import Scales, Spread, log_odds, tempered
from logicls.records import Answer, Box

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
    look: Look


def known(row: Mapping[str, Any], look: Look) -> Known:
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
    true = by_query(one.answers)
    for query, lights in one.look.lights:
        left = list(true[query].boxes)
        for light in lights:
            mine = max(left, key=light.box.iou, default=None)
            if mine is None or light.box.iou(mine) < 0.5:
                yield light.chance, False
                continue
            left.remove(mine)
            yield light.chance, True


def _values(spec: Spec, one: Known) -> Iterator[tuple[float, int, bool]]:
    """The chance of each value that was read, of how many there are to choose from, and whether it is right."""
    true, found = by_query(one.answers), by_query(one.look.answers)
    for query in spec.questions:
        read, told = found.get(query.id), true.get(query.id)
        if not query.attribute or read is None or told is None or len(query.options) < 2:
            continue
        if read.readable and len(read.values) == len(told.values) == len(read.chances):
            for chance, value, right in zip(read.chances, read.values, told.values, strict=True):
                yield chance, len(query.options), value == right


def fit_spreads(spec: Spec, examples: Sequence[Known]) -> tuple[tuple[str, Spread], ...]:
    """Of each constraint about distances: the spread of its readings near the limit; of all such rules where few."""
    errors: dict[str, list[float]] = {c.id: [] for c in spec.constraints}
    for one in examples:
        true = Reading(by_query(one.answers), *one.size, spec.world)
        read = Reading(by_query(one.look.answers), *one.size, spec.world)
        for constraint in spec.constraints:
            pairs = list(zip(margins(constraint, true), margins(constraint, read), strict=False))
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
        told = dict(one.look.chances)
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
