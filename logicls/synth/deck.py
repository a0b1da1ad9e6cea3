"""What each example of a set is to be: dealt in decks, so that shares come out right in small sets as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from logicls.synth.balance import Balance

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
