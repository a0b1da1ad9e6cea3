"""What is to be made, and how often; see `synth/balance.yaml`.

What each example of a set is to be: dealt in decks, so that shares come out right in small sets as well.

How often each source photo is drawn, so that what varies on good photos comes out even.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, model_validator

from logicls.constraints.checker.counterexamples import Target, list_targets
from logicls.constraints.checker.evaluation import build_context
from logicls.constraints.checker.margins import compute_margins
from logicls.constraints.families.context import FailureMode
from logicls.constraints.families.placement import MAX_EDITS
from logicls.constraints.families.quantity import Quantity
from logicls.constraints.spec.loader import validate_tree
from logicls.constraints.spec.models import Constraint, Spec
from logicls.constraints.spec.yaml_reader import read_yaml
from logicls.records import Scene

Share = Annotated[float, Field(ge=0, le=1)]


class Shares(BaseModel):
    """What becomes of photos."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    untouched: Share
    twin: Share
    broken: Share
    broken_twice: Share

    @model_validator(mode="after")
    def _complete(self) -> Self:
        total = self.good + self.bad
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares add up to {total:.3g}, not to 1")
        return self

    @property
    def good(self) -> float:
        """Of examples that no edit breaks."""
        return self.untouched + self.twin

    @property
    def bad(self) -> float:
        """Of examples that are broken on purpose."""
        return self.broken + self.broken_twice


class Balance(BaseModel):
    """The targets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shares: Shares
    pairs: Share
    twin_besides: Share
    real: Share
    kinds: Share
    floor: Share
    farther: Share
    rare: Annotated[float, Field(ge=1)]
    near: Annotated[float, Field(ge=1)]
    tries: Annotated[int, Field(ge=1, le=1000)]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        most = 2 * min(self.shares.good, self.shares.bad)
        if self.pairs > most + 1e-6:
            raise ValueError(
                f"pairs: half of them are good and half broken, so {most:.3g} is the most with these shares"
            )
        return self


def read_balance(path: Path) -> Balance:
    """The settings file. Raises `SpecError`."""
    return validate_tree(Balance, read_yaml(path), str(path))


@dataclass(frozen=True, slots=True)
class Way:
    """One way to make a violation."""

    aim: Target
    weight: float
    """How often it is taken, beside the others of the same violation."""


def wanted(spec: Spec, balance: Balance) -> dict[str, float]:
    """Violation → its share of all that are made on purpose; they add up to 1.

    Between an even split over violations and one over kinds of rules, but nowhere below the floor.
    """
    kind: dict[str, str] = {}
    for aim in list_targets(spec):
        kind.setdefault(aim.violation, aim.constraint.family)
    if not kind:
        return {}
    sizes, even = Counter(kind.values()), 1 / len(kind)
    mixed = {
        name: (1 - balance.kinds) * even + balance.kinds / (len(sizes) * sizes[family]) for name, family in kind.items()
    }
    return _floored(mixed, balance.floor * even)


def _floored(shares: Mapping[str, float], floor: float) -> dict[str, float]:
    """The shares, none below the floor; those above it make room in proportion to what they have beyond it."""
    lifted = {name: max(share, floor) for name, share in shares.items()}
    surplus = sum(lifted.values()) - 1
    spare = sum(share - floor for share in lifted.values())
    if spare <= 0:
        return lifted
    return {name: share - surplus * (share - floor) / spare for name, share in lifted.items()}


def ways(spec: Spec, balance: Balance) -> dict[str, list[Way]]:
    """Violation → the ways to make it: counts that are off by more are rarer, down to those that need many edits."""
    found: dict[str, list[Way]] = {}
    for aim in list_targets(spec):
        for step, amount in enumerate(_amounts(aim.constraint, aim.mode)):
            way = Way(Target(aim.constraint, FailureMode(aim.mode.kind, amount)), balance.farther**step)
            found.setdefault(aim.violation, []).append(way)
    return {name: [way for way in some if way.weight > 0] for name, some in found.items()}


def _amounts(constraint: Constraint, side: FailureMode) -> list[int]:
    """By how many a count can be off and still be the same violation, from the least."""
    rule = constraint.rule
    if not isinstance(rule, Quantity):
        return [side.amount]
    most = min(rule.limits[0], MAX_EDITS) if side.kind == "below" else MAX_EDITS
    name = constraint.violation_name(side)
    more = (n for n in range(side.amount + 1, most + 1) if constraint.violation_name(FailureMode(side.kind, n)) == name)
    return [side.amount, *more]


Fate = Literal["untouched", "twin", "broken", "broken_twice"]
Rng = np.random.Generator
T = TypeVar("T")
SLOTS = 100
"""Slots a deck; a slot is two examples."""


@dataclass(frozen=True, slots=True)
class Card:
    """What one example is to be."""

    fate: Fate
    wanted: tuple[str, ...] = ()
    """Violations to be made; for a twin the one through whose motions it goes."""
    place: float = 0.0
    """Where its photo stands among all, 0 to 1; dealt evenly, so that every variant gets its share."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Two examples, numbers 2k and 2k + 1: a good one and a broken one of the same photo, or two that are unrelated."""

    is_pair: bool
    cards: tuple[Card, Card]


def deal(balance: Balance, wanted: Mapping[str, float], seed: int, number: int) -> tuple[Slot, ...]:
    """Deck number `number` of the set `seed`: slots 100 * number and on. `wanted`: violation → share."""
    rng = np.random.default_rng([seed, 0, number])
    if not wanted:
        places = spread_evenly(2 * SLOTS, rng)
        cards = [Card("untouched", place=place) for place in places]
        return tuple(Slot(False, pair) for pair in zip(cards[::2], cards[1::2], strict=True))
    shares, half = balance.shares, balance.pairs / 2
    good: dict[Fate, float] = {"untouched": shares.untouched, "twin": shares.twin}
    bad: dict[Fate, float] = {"broken": shares.broken, "broken_twice": shares.broken_twice}
    pairs = sum(spread({True: balance.pairs, False: 1 - balance.pairs}, SLOTS, rng))
    alone = 2 * (SLOTS - pairs)
    of_good = sum(spread({True: shares.good - half, False: shares.bad - half}, alone, rng)) if alone else 0
    fates = spread(good, pairs + of_good, rng), spread(bad, pairs + alone - of_good, rng)
    first, second = ([*_cards(some, wanted, rng)] for some in fates)
    single = [*first[pairs:], *second[pairs:]]
    single = [single[int(i)] for i in rng.permutation(len(single))]
    slots = [Slot(True, pair) for pair in zip(first[:pairs], second[:pairs], strict=True)]
    slots += [Slot(False, pair) for pair in zip(single[::2], single[1::2], strict=True)]
    return tuple(slots[int(i)] for i in rng.permutation(SLOTS))


def _cards(fates: list[Fate], wanted: Mapping[str, float], rng: Rng) -> Iterator[Card]:
    """Each fate with the violations that it takes, one after the other; a photo is never broken twice in one way."""
    needs = {"untouched": 0, "twin": 1, "broken": 1, "broken_twice": 2}
    names = iter(spread(wanted, sum(needs[fate] for fate in fates), rng))
    for fate, place in zip(fates, spread_evenly(len(fates), rng), strict=True):
        yield Card(fate, _different(tuple(next(names) for _ in range(needs[fate])), wanted, rng), place)


def _different(names: tuple[str, ...], wanted: Mapping[str, float], rng: Rng) -> tuple[str, ...]:
    others = [name for name in wanted if name not in names]
    if len(set(names)) == len(names) or not others:
        return tuple(dict.fromkeys(names))
    return names[0], others[int(rng.integers(len(others)))]


def spread(shares: Mapping[T, float], count: int, rng: Rng) -> list[T]:
    """So many draws in random order, each choice as often as its share says, to within one."""
    choices, weights = list(shares), np.array(list(shares.values()), float).clip(0)
    if count <= 0 or not weights.sum():
        return []
    edges = np.cumsum(weights / weights.sum())
    found = np.minimum(np.searchsorted(edges, spread_evenly(count, rng), side="right"), len(choices) - 1)
    return [choices[int(i)] for i in found]


def spread_evenly(count: int, rng: Rng) -> list[float]:
    """So many numbers from 0 to 1 at equal distances, from a random start, in random order."""
    return [float(point) for point in (rng.permutation(count) + rng.random()) / max(count, 1)]


ROUNDS = 40
CLOSE = 3.0
"""Dead zones from a limit up to which a photo counts as close to it."""


def scene_weights(spec: Spec, scenes: Sequence[Scene], *, rare: float, near: float) -> Float[np.ndarray, " scenes"]:
    """Probability of each photo.

    Raking (Deming and Stephan, 1940): the photos of each value of each attribute that is asked are scaled until all
    values are equally frequent, over and over, with no photo more than `rare` times as likely as at the start, or less
    likely than one such part. Photos close to a limit start with `near` times the weight of the others.
    """
    start = np.array([near if near > 1 and _is_close(spec, scene) else 1.0 for scene in scenes])
    tables = _tables(spec, scenes)
    weights = start.copy()
    for _ in range(ROUNDS):
        for table in tables:
            totals = weights @ table
            factors = np.log(totals.mean() / totals)
            has = table.sum(1)
            weights *= np.exp(0.5 * (table @ factors) / np.maximum(has, 1))
            weights /= weights.mean() / start.mean()
            weights = np.clip(weights, start / rare, start * rare)
    return np.asarray(weights / weights.sum())


def _tables(spec: Spec, scenes: Sequence[Scene]) -> list[Float[np.ndarray, "scenes values"]]:
    """For each attribute that is asked, instances of each value on each photo; without values that no photo has."""
    tables = []
    for query in spec.queries:
        if query.kind != "attribute":
            continue
        table = np.zeros((len(scenes), len(query.options)))
        index = {value: number for number, value in enumerate(query.options)}
        for row, scene in enumerate(scenes):
            for instance in scene.instances:
                if instance.component == query.component and (value := instance.attribute(query.attribute)) in index:
                    table[row, index[value]] += 1
        tables.append(table[:, table.any(0)])
    return [table for table in tables if table.shape[1] > 1]


def _is_close(spec: Spec, scene: Scene) -> bool:
    """Whether a rule's limit is near, but not so near that nobody could say."""
    reading = build_context(spec, scene, quiet=True)
    return any(
        1 <= abs(margin) < CLOSE for constraint in spec.constraints for margin in compute_margins(constraint, reading)
    )
