"""The targets: checked when read, and met by what is dealt."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logicls.constraints.spec.models import Spec
from logicls.errors import SpecError
from logicls.io.resources import share
from logicls.records import Box, Instance, Scene
from logicls.synth.sampling_plan import (
    SLOTS_PER_BLOCK,
    BalanceSettings,
    plan_block,
    load_balance_settings,
    compute_photo_weights,
    allocate,
    violation_shares,
    violation_variants,
)

SHARES = st.lists(st.floats(0.01, 1), min_size=1, max_size=30)


def spec_of(*rules: dict[str, object], **components: object) -> Spec:
    """Rules about pins and cups."""
    body = {"logicls": 1, "product": {"name": "box"}, "components": {"pin": {}, "cup": {}} | components}
    return Spec.model_validate({**body, "constraints": list(rules)})


def count(name: str, **keys: object) -> dict[str, object]:
    """A rule that counts pins."""
    return {"id": name, "quantity": {"of": "pin", **keys}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("broken: 0.45", "broken: 0.5"), "the shares add up to 1.05, not to 1"),
        (("pairs: 0.4", "pairs: 0.95"), "half of them are good and half broken, so 0.9 is the most with these shares"),
        (("floor: 0.5", "floor: -1"), "floor"),
        (("tries: 12", "trys: 12"), "trys"),
    ],
)
def test_targets_are_checked(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    """What cannot be is an error at its place in the file."""
    path = tmp_path / "balance.yaml"
    path.write_text(share("synth/balance.yaml").read_text(encoding="utf-8").replace(*change, 1), encoding="utf-8")

    with pytest.raises(SpecError) as caught:
        load_balance_settings(path)

    assert said in str(caught.value)


@given(st.floats(0, 1), st.floats(0, 1))
def test_shares_of_violations_add_up_and_keep_the_floor(kinds: float, floor: float) -> None:
    """Of nine counts and one layout rule, the rare kind gets at least an even share, the others what is told."""
    above = {"id": "above", "layout": {"subject": "pin", "relation": "above", "object": "cup"}}
    spec = spec_of(*(count(f"c{n}", at_least=n) for n in range(1, 10)), above)
    balance = load_balance_settings(share("synth/balance.yaml")).model_copy(update={"kinds": kinds, "floor": floor})

    shares = violation_shares(spec, balance)

    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= floor / 10 - 1e-9
    assert shares["above"] >= max(shares[f"c{n}"] for n in range(1, 10)) - 1e-9
    if floor == 0:
        assert shares["above"] == pytest.approx(0.1 + kinds * 0.4)


def test_counts_near_the_limit_are_more_frequent(balance: BalanceSettings) -> None:
    """By how many a count is off: each further one rarer, down to none, and never under another violation's name."""
    named = {**count("named", exactly=3), "violation": {"below": {1: "one_missing", 2: "more_missing"}}}
    spec = spec_of(
        {**count("four", exactly=4), "violation": {"below": "few", "above": "many"}}, named, count("one", at_least=1)
    )

    found = {
        name: {way.target.mode.amount: round(way.weight, 4) for way in some}
        for name, some in violation_variants(spec, balance).items()
    }

    assert found == {
        "few": {1: 1.0, 2: 0.35, 3: 0.1225, 4: 0.0429},
        "many": {1: 1.0, 2: 0.35, 3: 0.1225, 4: 0.0429},
        "one_missing": {1: 1.0},
        "more_missing": {2: 1.0, 3: 0.35},
        "named-above": {1: 1.0, 2: 0.35, 3: 0.1225, 4: 0.0429},
        "one": {1: 1.0},
    }


@given(SHARES, st.integers(0, 300), st.integers(0, 2**32 - 1))
def test_draws_are_spread_to_within_one(shares: list[float], number: int, seed: int) -> None:
    """Each choice comes as often as its share says, rounded up or down, for any shares and numbers."""
    drawn = Counter(allocate(dict(enumerate(shares)), number, np.random.default_rng(seed)))

    assert sum(drawn.values()) == number
    assert [k for k, s in enumerate(shares) if abs(drawn[k] - number * s / sum(shares)) >= 1 + 1e-9] == []


def test_a_deck_meets_the_targets(balance: BalanceSettings) -> None:
    """Of 200 examples: the stated fates, pairs of a good and a broken one, and violations as often as is wanted."""
    targets = dict.fromkeys("abcdefghijkl", 1 / 12)

    deck = plan_block(balance, targets, seed=1, number=0)

    cards = [card for slot in deck for card in slot.examples]
    pairs = [tuple(card.category for card in slot.examples) for slot in deck if slot.is_pair]
    assert Counter(card.category for card in cards) == {"untouched": 40, "twin": 50, "broken": 90, "broken_twice": 20}
    assert len(pairs) == 40
    assert {(a in ("untouched", "twin"), b.startswith("broken")) for a, b in pairs} == {(True, True)}
    made = Counter(name for card in cards if card.category.startswith("broken") for name in card.violations)
    assert (min(made.values()), max(made.values())) >= (8, 9)
    assert max(made.values()) <= 14
    assert {len(set(card.violations)) for card in cards if card.category == "broken_twice"} == {2}
    assert plan_block(balance, targets, seed=1, number=0) == deck
    assert plan_block(balance, targets, seed=1, number=1) != deck


def test_a_spec_that_nothing_breaks_has_untouched_photos_only(balance: BalanceSettings) -> None:
    """There is nothing to be dealt but photos as they were taken."""
    deck = plan_block(balance, {}, seed=0, number=0)

    assert {card.category for slot in deck for card in slot.examples} == {"untouched"}
    assert (len(deck), any(slot.is_pair for slot in deck)) == (SLOTS_PER_BLOCK, False)


def coloured(*colours: str) -> Scene:
    """A photo with a pin of each of the colours."""
    boxes = (Box(10 * n, 0, 10 * n + 5, 5) for n in range(len(colours)))
    pins = (Instance(n, "pin", box, (("colour", c),)) for n, (box, c) in enumerate(zip(boxes, colours, strict=True), 1))
    return Scene("a.png", 100, 100, tuple(pins))


def test_photos_of_rare_variants_are_drawn_more_often() -> None:
    """With 9 red pins to 1 green one both are drawn equally often; a bound keeps a single photo from taking over."""
    rule = {"id": "rule", "attribute": {"of": "pin.colour", "is": ["red", "green"]}}
    spec = spec_of(rule, pin={"attributes": {"colour": ["red", "green", "blue"]}})
    scenes = [coloured("red")] * 9 + [coloured("green")]

    even = compute_photo_weights(spec, scenes, max_ratio=100, near_limit_weight=1)
    bound = compute_photo_weights(spec, scenes, max_ratio=2, near_limit_weight=1)

    assert even[-1] == pytest.approx(0.5, abs=0.01)
    assert bound[-1] == pytest.approx(4 / 13, abs=0.12)
    assert even.sum() == pytest.approx(1)


def test_photos_near_a_limit_are_drawn_more_often() -> None:
    """Those just outside of the dead zone, not those in it, where nobody can say, and not those far away."""
    spec = spec_of({"id": "rule", "measure": {"height": "pin", "between": [0.2, 0.6]}})
    scenes = [Scene("a.png", 100, 100, (Instance(1, "pin", Box(0, 0, 9, high)),)) for high in (20.4, 21.5, 40)]

    weights = compute_photo_weights(spec, scenes, max_ratio=6, near_limit_weight=2)

    assert weights.tolist() == pytest.approx([0.25, 0.5, 0.25])
