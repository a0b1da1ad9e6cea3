"""Sampling plan: which examples are generated, and how often each source photo is drawn.

Blocks of 100 slots are planned by systematic sampling, so that the shares of `synth/balance.yaml` are met in small sets
as well. Source photos are weighted by raking, so that rare variants are about as frequent as common ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Float

from logicls.constraints.checker.counterexamples import Target, list_targets
from logicls.constraints.checker.evaluation import build_context, compute_margins
from logicls.constraints.families.context import FailureMode
from logicls.constraints.spec.models import Constraint, Spec
from logicls.records import Scene
from logicls.synth.settings import BalanceSettings


@dataclass(frozen=True, slots=True)
class ViolationVariant:
    """One way to make a violation."""

    target: Target
    weight: float
    """Relative frequency among the variants of the same violation."""


def compute_violation_shares(spec: Spec, balance: BalanceSettings) -> dict[str, float]:
    """Compute violation → share of all violations made on purpose; the shares add up to 1.

    Interpolates between equal shares for all violations and equal shares for all rule families, with a floor.
    """
    family_of: dict[str, str] = {}
    for target in list_targets(spec):
        family_of.setdefault(target.violation, target.constraint.family)
    if not family_of:
        return {}
    sizes, even = Counter(family_of.values()), 1 / len(family_of)
    mixed = {
        name: (1 - balance.family_balance) * even + balance.family_balance / (len(sizes) * sizes[family])
        for name, family in family_of.items()
    }
    return _apply_floor(mixed, balance.floor * even)


def _apply_floor(shares: Mapping[str, float], floor: float) -> dict[str, float]:
    """Raise shares to the floor; the others give way in proportion to what they have above it."""
    raised = {name: max(share, floor) for name, share in shares.items()}
    surplus = sum(raised.values()) - 1
    spare = sum(share - floor for share in raised.values())
    if spare <= 0:
        return raised
    return {name: share - surplus * (share - floor) / spare for name, share in raised.items()}


def list_violation_variants(spec: Spec, balance: BalanceSettings) -> dict[str, list[ViolationVariant]]:
    """List violation → its variants; counts that are further off are rarer."""
    variants_by_violation: dict[str, list[ViolationVariant]] = {}
    for target in list_targets(spec):
        for step, amount in enumerate(_list_amounts(target.constraint, target.mode)):
            variant = ViolationVariant(
                Target(target.constraint, FailureMode(target.mode.kind, amount)), balance.count_decay**step
            )
            variants_by_violation.setdefault(target.violation, []).append(variant)
    return {
        name: [variant for variant in variants if variant.weight > 0]
        for name, variants in variants_by_violation.items()
    }


def _list_amounts(constraint: Constraint, mode: FailureMode) -> list[int]:
    """Amounts by which a count can be off and still be the same violation, ascending."""
    limit = constraint.rule.max_amount(mode.kind)
    name = constraint.violation_name(mode)
    larger = (
        n for n in range(mode.amount + 1, limit + 1) if constraint.violation_name(FailureMode(mode.kind, n)) == name
    )
    return [mode.amount, *larger]


ExampleCategory = Literal["untouched", "control", "broken", "broken_twice"]
Rng = np.random.Generator
T = TypeVar("T")
SLOTS_PER_BLOCK = 100
"""Slots of a block; a slot is two examples."""


@dataclass(frozen=True, slots=True)
class ExampleSpec:
    """Plan of one example."""

    category: ExampleCategory
    violations: tuple[str, ...] = ()
    """Violations to make; for a control edit the one whose edit is imitated."""
    photo_position: float = 0.0
    """Position of its photo in the weighted list of all photos, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Plan of examples 2k and 2k + 1: a good and a broken one of the same photo, or two unrelated ones."""

    is_pair: bool
    examples: tuple[ExampleSpec, ExampleSpec]


def plan_block(balance: BalanceSettings, shares: Mapping[str, float], seed: int, number: int) -> tuple[Slot, ...]:
    """Plan block number `number` of the set `seed`: slots 100 * number to 100 * number + 99.

    Args:
        balance: Targets.
        shares: Violation → share; empty if nothing can be broken.
        seed: Seed of the set.
        number: Number of the block.
    """
    rng = np.random.default_rng([seed, 0, number])
    if not shares:
        positions = sample_stratified(2 * SLOTS_PER_BLOCK, rng)
        examples = [ExampleSpec("untouched", photo_position=position) for position in positions]
        return tuple(Slot(False, pair) for pair in zip(examples[::2], examples[1::2], strict=True))
    targets, half = balance.shares, balance.pairs / 2
    good: dict[ExampleCategory, float] = {"untouched": targets.untouched, "control": targets.control}
    broken: dict[ExampleCategory, float] = {"broken": targets.broken, "broken_twice": targets.broken_twice}
    pairs = sum(allocate({True: balance.pairs, False: 1 - balance.pairs}, SLOTS_PER_BLOCK, rng))
    unpaired = 2 * (SLOTS_PER_BLOCK - pairs)
    unpaired_good = (
        sum(allocate({True: targets.good_total - half, False: targets.broken_total - half}, unpaired, rng))
        if unpaired
        else 0
    )
    drawn = allocate(good, pairs + unpaired_good, rng), allocate(broken, pairs + unpaired - unpaired_good, rng)
    good_examples, broken_examples = ([*_plan_examples(categories, shares, rng)] for categories in drawn)
    singles = [*good_examples[pairs:], *broken_examples[pairs:]]
    singles = [singles[int(i)] for i in rng.permutation(len(singles))]
    slots = [Slot(True, pair) for pair in zip(good_examples[:pairs], broken_examples[:pairs], strict=True)]
    slots += [Slot(False, pair) for pair in zip(singles[::2], singles[1::2], strict=True)]
    return tuple(slots[int(i)] for i in rng.permutation(SLOTS_PER_BLOCK))


def _plan_examples(categories: list[ExampleCategory], shares: Mapping[str, float], rng: Rng) -> Iterator[ExampleSpec]:
    """Assign violations and photo positions to categories; an example never has the same violation twice."""
    needs = {"untouched": 0, "control": 1, "broken": 1, "broken_twice": 2}
    names = iter(allocate(shares, sum(needs[category] for category in categories), rng))
    for category, position in zip(categories, sample_stratified(len(categories), rng), strict=True):
        yield ExampleSpec(
            category, _make_distinct(tuple(next(names) for _ in range(needs[category])), shares, rng), position
        )


def _make_distinct(names: tuple[str, ...], shares: Mapping[str, float], rng: Rng) -> tuple[str, ...]:
    """Replace a repeated name by a random other one, if there is one."""
    others = [name for name in shares if name not in names]
    if len(set(names)) == len(names) or not others:
        return tuple(dict.fromkeys(names))
    return names[0], others[int(rng.integers(len(others)))]


def allocate(shares: Mapping[T, float], count: int, rng: Rng) -> list[T]:
    """Draw `count` choices in random order, each as often as its share demands, to within one."""
    choices, weights = list(shares), np.array(list(shares.values()), float).clip(0)
    if count <= 0 or not weights.sum():
        return []
    cumulative = np.cumsum(weights / weights.sum())
    indices = np.minimum(np.searchsorted(cumulative, sample_stratified(count, rng), side="right"), len(choices) - 1)
    return [choices[int(i)] for i in indices]


def sample_stratified(count: int, rng: Rng) -> list[float]:
    """Sample `count` equidistant numbers from 0 to 1 with a random offset, in random order (systematic sampling)."""
    return [float(point) for point in (rng.permutation(count) + rng.random()) / max(count, 1)]


RAKING_ROUNDS = 40
"""Iterations of raking."""
NEAR_LIMIT = 3.0
"""Distance from a limit, in dead zones, up to which a photo counts as near the limit."""


def compute_photo_weights(
    spec: Spec, scenes: Sequence[Scene], *, max_ratio: float, near_limit_weight: float
) -> Float[np.ndarray, " scenes"]:
    """Compute the probability of each photo by raking (Deming and Stephan, 1940).

    The photos of each value of each queried attribute are rescaled until all values are equally frequent. No photo
    becomes more than `max_ratio` times as likely as at the start, or less likely than the reciprocal. Photos near a
    limit start with `near_limit_weight` times the weight of the others.
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
            instances = table.sum(1)
            weights *= np.exp(0.5 * (table @ factors) / np.maximum(instances, 1))
            weights /= weights.mean() / start.mean()
            weights = np.clip(weights, start / max_ratio, start * max_ratio)
    return np.asarray(weights / weights.sum())


def _count_values(spec: Spec, scenes: Sequence[Scene]) -> list[Float[np.ndarray, "scenes values"]]:
    """Contingency tables, one per queried attribute: instances of each value on each photo, without unused values."""
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
    """Check whether a measurement is near a limit, but outside its dead zone."""
    context = build_context(spec, scene, status_only=True)
    return any(
        1 <= abs(margin) < NEAR_LIMIT
        for constraint in spec.constraints
        for margin in compute_margins(constraint, context)
    )
