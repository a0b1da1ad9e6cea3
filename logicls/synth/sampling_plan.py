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


class CategoryShares(BaseModel):
    """What becomes of photos."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    untouched: Share
    control: Share
    broken: Share
    broken_twice: Share

    @model_validator(mode="after")
    def _check_total(self) -> Self:
        total = self.good_total + self.broken_total
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares add up to {total:.3g}, not to 1")
        return self

    @property
    def good_total(self) -> float:
        """Of examples that no edit breaks."""
        return self.untouched + self.control

    @property
    def broken_total(self) -> float:
        """Of examples that are broken on purpose."""
        return self.broken + self.broken_twice


class BalanceSettings(BaseModel):
    """The targets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shares: CategoryShares
    pairs: Share
    control_with_broken: Share
    real_defects: Share
    family_balance: Share
    floor: Share
    count_decay: Share
    max_photo_weight: Annotated[float, Field(ge=1)]
    near_limit_weight: Annotated[float, Field(ge=1)]
    attempts: Annotated[int, Field(ge=1, le=1000)]

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        most = 2 * min(self.shares.good_total, self.shares.broken_total)
        if self.pairs > most + 1e-6:
            raise ValueError(
                f"pairs: half of them are good and half broken, so {most:.3g} is the most with these shares"
            )
        return self


def load_balance_settings(path: Path) -> BalanceSettings:
    """The settings file. Raises `SpecError`."""
    return validate_tree(BalanceSettings, read_yaml(path), str(path))


@dataclass(frozen=True, slots=True)
class ViolationVariant:
    """One way to make a violation."""

    target: Target
    weight: float
    """How often it is taken, beside the others of the same violation."""


def violation_shares(spec: Spec, balance: BalanceSettings) -> dict[str, float]:
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
        name: (1 - balance.family_balance) * even + balance.family_balance / (len(sizes) * sizes[family])
        for name, family in kind.items()
    }
    return _apply_floor(mixed, balance.floor * even)


def _apply_floor(shares: Mapping[str, float], floor: float) -> dict[str, float]:
    """The shares, none below the floor; those above it make room in proportion to what they have beyond it."""
    lifted = {name: max(share, floor) for name, share in shares.items()}
    surplus = sum(lifted.values()) - 1
    spare = sum(share - floor for share in lifted.values())
    if spare <= 0:
        return lifted
    return {name: share - surplus * (share - floor) / spare for name, share in lifted.items()}


def violation_variants(spec: Spec, balance: BalanceSettings) -> dict[str, list[ViolationVariant]]:
    """Violation → the ways to make it: counts that are off by more are rarer, down to those that need many edits."""
    found: dict[str, list[ViolationVariant]] = {}
    for aim in list_targets(spec):
        for step, amount in enumerate(_amounts(aim.constraint, aim.mode)):
            way = ViolationVariant(
                Target(aim.constraint, FailureMode(aim.mode.kind, amount)), balance.count_decay**step
            )
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


ExampleCategory = Literal["untouched", "twin", "broken", "broken_twice"]
Rng = np.random.Generator
T = TypeVar("T")
SLOTS_PER_BLOCK = 100
"""Slots a deck; a slot is two examples."""


@dataclass(frozen=True, slots=True)
class ExampleSpec:
    """What one example is to be."""

    category: ExampleCategory
    violations: tuple[str, ...] = ()
    """Violations to be made; for a twin the one through whose motions it goes."""
    photo_position: float = 0.0
    """Where its photo stands among all, 0 to 1; dealt evenly, so that every variant gets its share."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Two examples, numbers 2k and 2k + 1: a good one and a broken one of the same photo, or two that are unrelated."""

    is_pair: bool
    examples: tuple[ExampleSpec, ExampleSpec]


def plan_block(balance: BalanceSettings, shares: Mapping[str, float], seed: int, number: int) -> tuple[Slot, ...]:
    """Deck number `number` of the set `seed`: slots 100 * number and on. `wanted`: violation → share."""
    rng = np.random.default_rng([seed, 0, number])
    if not shares:
        places = sample_stratified(2 * SLOTS_PER_BLOCK, rng)
        cards = [ExampleSpec("untouched", photo_position=place) for place in places]
        return tuple(Slot(False, pair) for pair in zip(cards[::2], cards[1::2], strict=True))
    categories, half = balance.shares, balance.pairs / 2
    good: dict[ExampleCategory, float] = {"untouched": categories.untouched, "twin": categories.control}
    bad: dict[ExampleCategory, float] = {"broken": categories.broken, "broken_twice": categories.broken_twice}
    pairs = sum(allocate({True: balance.pairs, False: 1 - balance.pairs}, SLOTS_PER_BLOCK, rng))
    alone = 2 * (SLOTS_PER_BLOCK - pairs)
    of_good = (
        sum(allocate({True: categories.good_total - half, False: categories.broken_total - half}, alone, rng))
        if alone
        else 0
    )
    fates = allocate(good, pairs + of_good, rng), allocate(bad, pairs + alone - of_good, rng)
    first, second = ([*_plan_examples(some, shares, rng)] for some in fates)
    single = [*first[pairs:], *second[pairs:]]
    single = [single[int(i)] for i in rng.permutation(len(single))]
    slots = [Slot(True, pair) for pair in zip(first[:pairs], second[:pairs], strict=True)]
    slots += [Slot(False, pair) for pair in zip(single[::2], single[1::2], strict=True)]
    return tuple(slots[int(i)] for i in rng.permutation(SLOTS_PER_BLOCK))


def _plan_examples(fates: list[ExampleCategory], wanted: Mapping[str, float], rng: Rng) -> Iterator[ExampleSpec]:
    """Each fate with the violations that it takes, one after the other; a photo is never broken twice in one way."""
    needs = {"untouched": 0, "twin": 1, "broken": 1, "broken_twice": 2}
    names = iter(allocate(wanted, sum(needs[fate] for fate in fates), rng))
    for fate, place in zip(fates, sample_stratified(len(fates), rng), strict=True):
        yield ExampleSpec(fate, _make_distinct(tuple(next(names) for _ in range(needs[fate])), wanted, rng), place)


def _make_distinct(names: tuple[str, ...], wanted: Mapping[str, float], rng: Rng) -> tuple[str, ...]:
    others = [name for name in wanted if name not in names]
    if len(set(names)) == len(names) or not others:
        return tuple(dict.fromkeys(names))
    return names[0], others[int(rng.integers(len(others)))]


def allocate(shares: Mapping[T, float], count: int, rng: Rng) -> list[T]:
    """So many draws in random order, each choice as often as its share says, to within one."""
    choices, weights = list(shares), np.array(list(shares.values()), float).clip(0)
    if count <= 0 or not weights.sum():
        return []
    edges = np.cumsum(weights / weights.sum())
    found = np.minimum(np.searchsorted(edges, sample_stratified(count, rng), side="right"), len(choices) - 1)
    return [choices[int(i)] for i in found]


def sample_stratified(count: int, rng: Rng) -> list[float]:
    """So many numbers from 0 to 1 at equal distances, from a random start, in random order."""
    return [float(point) for point in (rng.permutation(count) + rng.random()) / max(count, 1)]


RAKING_ROUNDS = 40
NEAR_LIMIT = 3.0
"""Dead zones from a limit up to which a photo counts as close to it."""


def compute_photo_weights(
    spec: Spec, scenes: Sequence[Scene], *, max_ratio: float, near_limit_weight: float
) -> Float[np.ndarray, " scenes"]:
    """Probability of each photo.

    Raking (Deming and Stephan, 1940): the photos of each value of each attribute that is asked are scaled until all
    values are equally frequent, over and over, with no photo more than `rare` times as likely as at the start, or less
    likely than one such part. Photos close to a limit start with `near` times the weight of the others.
    """
    start = np.array(
        [near_limit_weight if near_limit_weight > 1 and _is_near_limit(spec, scene) else 1.0 for scene in scenes]
    )
    tables = _count_values(spec, scenes)
    weights = start.copy()
    for _ in range(RAKING_ROUNDS):
        for table in tables:
            totals = weights @ table
            factors = np.log(totals.mean() / totals)
            has = table.sum(1)
            weights *= np.exp(0.5 * (table @ factors) / np.maximum(has, 1))
            weights /= weights.mean() / start.mean()
            weights = np.clip(weights, start / max_ratio, start * max_ratio)
    return np.asarray(weights / weights.sum())


def _count_values(spec: Spec, scenes: Sequence[Scene]) -> list[Float[np.ndarray, "scenes values"]]:
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


def _is_near_limit(spec: Spec, scene: Scene) -> bool:
    """Whether a rule's limit is near, but not so near that nobody could say."""
    reading = build_context(spec, scene, quiet=True)
    return any(
        1 <= abs(margin) < NEAR_LIMIT
        for constraint in spec.constraints
        for margin in compute_margins(constraint, reading)
    )
