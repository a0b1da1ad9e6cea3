"""The sampling plan meets its targets."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logicls.constraints.spec.models import Spec
from logicls.io.resources import resource_path
from logicls.records import Box, Instance, Scene
from logicls.synth.sampling_plan import (
    SLOTS_PER_BLOCK,
    allocate,
    compute_photo_weights,
    compute_violation_shares,
    list_violation_variants,
    plan_block,
)
from logicls.synth.settings import BalanceSettings, load_balance_settings

SHARES = st.lists(st.floats(0.01, 1), min_size=1, max_size=30)


def make_spec(*rules: dict[str, object], **components: object) -> Spec:
    """A spec with these rules about pins and cups."""
    body = {"logicls": 1, "product": {"name": "box"}, "components": {"pin": {}, "cup": {}} | components}
    return Spec.model_validate({**body, "constraints": list(rules)})


def quantity_rule(name: str, **keys: object) -> dict[str, object]:
    """A rule that counts pins."""
    return {"id": name, "quantity": {"of": "pin", **keys}}


@given(st.floats(0, 1), st.floats(0, 1))
def test_violation_shares_add_up_and_keep_the_floor(family_balance: float, floor: float) -> None:
    """Of nine quantity rules and one layout rule, the rare family gets at least an equal share."""
    rule_above = {"id": "above", "layout": {"subject": "pin", "relation": "above", "object": "cup"}}
    spec = make_spec(*(quantity_rule(f"c{n}", at_least=n) for n in range(1, 10)), rule_above)
    balance = load_balance_settings(resource_path("synth/balance.yaml")).model_copy(
        update={"family_balance": family_balance, "floor": floor}
    )

    shares = compute_violation_shares(spec, balance)

    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= floor / 10 - 1e-9
    assert shares["above"] >= max(shares[f"c{n}"] for n in range(1, 10)) - 1e-9
    if floor == 0:
        assert shares["above"] == pytest.approx(0.1 + family_balance * 0.4)


def test_counts_near_the_limit_are_more_frequent(balance: BalanceSettings) -> None:
    """Counts further from the limit are rarer, and keep the name of their violation."""
    named = {**quantity_rule("named", exactly=3), "violation": {"below": {1: "one_missing", 2: "more_missing"}}}
    spec = make_spec(
        {**quantity_rule("four", exactly=4), "violation": {"below": "few", "above": "many"}},
        named,
        quantity_rule("one", at_least=1),
    )

    amounts = {
        name: {variant.target.mode.amount: round(variant.weight, 4) for variant in variants}
        for name, variants in list_violation_variants(spec, balance).items()
    }

    assert amounts == {
        "few": {1: 1.0, 2: 0.35, 3: 0.1225, 4: 0.0429},
        "many": {1: 1.0, 2: 0.35, 3: 0.1225, 4: 0.0429},
        "one_missing": {1: 1.0},
        "more_missing": {2: 1.0, 3: 0.35},
        "named-above": {1: 1.0, 2: 0.35, 3: 0.1225, 4: 0.0429},
        "one": {1: 1.0},
    }


@given(SHARES, st.integers(0, 300), st.integers(0, 2**32 - 1))
def test_allocation_is_exact_to_within_one(shares: list[float], number: int, seed: int) -> None:
    """Each choice occurs as often as its share demands, rounded up or down, for any shares and counts."""
    counts = Counter(allocate(dict(enumerate(shares)), number, np.random.default_rng(seed)))

    assert sum(counts.values()) == number
    assert [k for k, s in enumerate(shares) if abs(counts[k] - number * s / sum(shares)) >= 1 + 1e-9] == []


def test_a_block_meets_the_targets(balance: BalanceSettings) -> None:
    """Of 200 examples: the stated categories, pairs of a good and a broken one, and violations by their shares."""
    targets = dict.fromkeys("abcdefghijkl", 1 / 12)

    block = plan_block(balance, targets, seed=1, number=0)

    examples = [example for slot in block for example in slot.examples]
    pairs = [tuple(example.category for example in slot.examples) for slot in block if slot.is_pair]
    assert Counter(example.category for example in examples) == {
        "untouched": 40,
        "control": 50,
        "broken": 90,
        "broken_twice": 20,
    }
    assert len(pairs) == 40
    assert {(a in ("untouched", "control"), b.startswith("broken")) for a, b in pairs} == {(True, True)}
    violations = Counter(
        name for example in examples if example.category.startswith("broken") for name in example.violations
    )
    assert (min(violations.values()), max(violations.values())) >= (8, 9)
    assert max(violations.values()) <= 14
    assert {len(set(example.violations)) for example in examples if example.category == "broken_twice"} == {2}
    assert plan_block(balance, targets, seed=1, number=0) == block
    assert plan_block(balance, targets, seed=1, number=1) != block


def test_a_spec_without_violations_has_untouched_photos_only(balance: BalanceSettings) -> None:
    """There is nothing to plan but untouched photos."""
    block = plan_block(balance, {}, seed=0, number=0)

    assert {example.category for slot in block for example in slot.examples} == {"untouched"}
    assert (len(block), any(slot.is_pair for slot in block)) == (SLOTS_PER_BLOCK, False)


def coloured_pins(*colours: str) -> Scene:
    """A photo with a pin of each colour."""
    boxes = (Box(10 * n, 0, 10 * n + 5, 5) for n in range(len(colours)))
    pins = (Instance(n, "pin", box, (("colour", c),)) for n, (box, c) in enumerate(zip(boxes, colours, strict=True), 1))
    return Scene("a.png", 100, 100, tuple(pins))


def test_rare_variants_are_drawn_more_often() -> None:
    """With 9 red pins to 1 green one both are drawn equally often; a bound limits the weight of a single photo."""
    rule = {"id": "rule", "attribute": {"of": "pin.colour", "is": ["red", "green"]}}
    spec = make_spec(rule, pin={"attributes": {"colour": ["red", "green", "blue"]}})
    scenes = [coloured_pins("red")] * 9 + [coloured_pins("green")]

    balanced = compute_photo_weights(spec, scenes, max_ratio=100, near_limit_weight=1)
    bounded = compute_photo_weights(spec, scenes, max_ratio=2, near_limit_weight=1)

    assert balanced[-1] == pytest.approx(0.5, abs=0.01)
    assert bounded[-1] == pytest.approx(4 / 13, abs=0.12)
    assert balanced.sum() == pytest.approx(1)


def test_photos_near_a_limit_are_drawn_more_often() -> None:
    """Those just outside the dead zone, not those inside it or far away."""
    spec = make_spec({"id": "rule", "measure": {"height": "pin", "between": [0.2, 0.6]}})
    scenes = [Scene("a.png", 100, 100, (Instance(1, "pin", Box(0, 0, 9, height)),)) for height in (20.4, 21.5, 40)]

    weights = compute_photo_weights(spec, scenes, max_ratio=6, near_limit_weight=2)

    assert weights.tolist() == pytest.approx([0.25, 0.5, 0.25])
