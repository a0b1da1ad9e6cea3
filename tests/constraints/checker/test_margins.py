"""The dead zone about every limit: no edit ends in it, and just beyond it on either side examples are dense."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logicls.constraints.checker.counterexamples import Target, find_counterexample, list_targets
from logicls.constraints.checker.evaluation import build_context, compute_margins, find_near_limits
from logicls.constraints.families.context import EvaluationContext, NotApplicable
from logicls.constraints.families.dead_zone import NEAR_LIMIT_SHARE, sample_distance
from logicls.constraints.families.edits import simulate_edits
from logicls.constraints.families.layout import Layout
from logicls.constraints.families.logical import evaluate_rule
from logicls.constraints.families.measure import Measure
from logicls.constraints.families.protocol import Family
from logicls.constraints.families.relations import DIRECTIONS
from logicls.constraints.spec.loader import load_spec
from logicls.constraints.spec.models import Spec
from logicls.io.resources import resource_path
from logicls.records import Box, Instance, Scene

Good = Callable[[str], st.SearchStrategy[Scene]]
SPECS = {path.stem: load_spec(path) for path in sorted(resource_path("constraints").glob("*.yaml"))}
CENTRED = [
    pytest.param(name, aim, id=f"{name}-{aim.constraint.id}-{aim.violation}")
    for name, spec in SPECS.items()
    for aim in list_targets(spec)
    if isinstance(aim.constraint.rule, Measure)
    or (isinstance(aim.constraint.rule, Layout) and aim.constraint.rule.relation == "centred_in")
]
SEEDS = st.integers(0, 2**32 - 1)
RULES: list[dict[str, object]] = [
    *({"layout": {"subject": "pin", "relation": relation, "object": "cup", "tolerance": 0.2}}
      for relation in (*DIRECTIONS, "inside", "centred_in", "at", "touching", "not_touching")),
    {"layout": {"subject": "pin", "relation": "overlaps", "object": "cup"}},
    {"layout": {"subject": "pin", "relation": "not_touching", "object": "pin", "tolerance": 0.1}},
    {"layout": {"subject": "pin", "relation": "centred_in", "object": "cup", "tolerance": 0.3, "axis": "x"}},
    {"layout": {"subject": "pin", "relation": "aligned", "axis": "x", "tolerance": 0.5}},
    {"layout": {"subject": "pin", "relation": "evenly_spaced", "axis": "y", "tolerance": 0.3}},
    {"layout": {"subject": ["pin", "cup"], "relation": "in_order", "axis": "x"}},
    {"measure": {"height": "pin", "relative_to": "cup", "between": [0.4, 0.9]}},
    {"measure": {"width": "pin", "at_most": 0.2}},
    {"measure": {"area": "pin", "relative_to": "cup", "at_least": 0.3}},
    {"measure": {"distance": ["pin", "cup"], "unit": "px", "between": [20, 60]}},
    {"measure": {"angle": ["pin", "cup"], "between": [-60, 45]}},
]  # fmt: skip
SIZES = st.tuples(st.floats(0, 150), st.floats(0, 150), st.floats(4, 50), st.floats(4, 50))
BOXES = SIZES.map(lambda b: Box(b[0], b[1], b[0] + b[2], b[1] + b[3]))


def spec_of(rule: dict[str, object]) -> Spec:
    """One rule about pins and cups."""
    body = {"logicls": 1, "product": {"name": "box"}, "components": {"pin": {}, "cup": {}}}
    return Spec.model_validate({**body, "constraints": [{"id": "rule", **rule}]})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(map(str, next(iter(rule.values())).values()))[:40])
def test_margin_is_positive_if_the_rule_holds(rule: dict[str, object]) -> None:
    """For boxes anywhere, its sign and the check say the same; where the rule does not apply there is no margin."""
    spec, seen = spec_of(rule), set()

    @settings(max_examples=500)
    @given(st.lists(BOXES, max_size=4), st.lists(BOXES, max_size=2))
    def agrees(pins: list[Box], cups: list[Box]) -> None:
        things = [("pin", box) for box in pins] + [("cup", box) for box in cups]
        instances = tuple(Instance(number, name, box) for number, (name, box) in enumerate(things, 1))
        reading = build_context(spec, Scene("a.png", 200, 200, instances))
        body: Family = spec.constraints[0].rule
        status, margin = evaluate_rule(body, reading).status, margin_or_none(body, reading)
        seen.add(status)
        assert (margin is None) == (status == "not_applicable")
        if margin is not None and abs(margin) > 1e-6:
            assert (margin > 0) == (status == "holds")
        assert find_near_limits(spec, reading) == ({"rule"} if margin is not None and abs(margin) < 1 else set())

    agrees()

    assert seen == {"holds", "broken", "not_applicable"}


def margin_or_none(rule: Family, reading: EvaluationContext) -> float | None:
    """None where the rule does not apply."""
    try:
        return rule.margin(reading)
    except NotApplicable:
        return None


def test_centre_on_the_edge_of_a_location_is_near_the_limit() -> None:
    """Whether it is counted there is in doubt; in the middle of the place and far outside it is not."""
    spec = spec_of({"quantity": {"of": "pin", "at_least": 1, "in": "cup"}})
    cup = Instance(1, "cup", Box(50, 50, 150, 150))

    found = {
        x: find_near_limits(
            spec, build_context(spec, Scene("a.png", 200, 200, (cup, Instance(2, "pin", Box(x - 5, 95, x + 5, 105)))))
        )
        for x in (20, 49.5, 50.5, 52, 100)
    }

    assert found == {20: set(), 49.5: {"rule"}, 50.5: {"rule"}, 52: set(), 100: set()}


def drawn_margins(good: Good, name: str, aim: Target, *, twin: bool) -> list[float]:
    """Of the aim's rule, after edits of good scenes, near a limit themselves or not."""
    spec, found = SPECS[name], []
    rng = np.random.default_rng(5)  # its own chance: Hypothesis draws the same few seeds again and again

    @settings(max_examples=60)
    @given(good(name))
    def draw(scene: Scene) -> None:
        plans = find_counterexample(spec, aim, scene, rng, is_control=twin)
        if plans:
            edited = simulate_edits(plans, scene, spec.liquids, spec.vocabulary.leaves)
            found.append(aim.constraint.rule.margin(build_context(spec, edited)) or 0.0)

    draw()
    return found


@pytest.mark.parametrize(("name", "aim"), CENTRED)
def test_edits_cover_both_sides_of_the_limit(good: Good, name: str, aim: Target) -> None:
    """Edits that break a rule and their twins end outside the dead zone, three in ten within another zone's width."""
    broken, kept = (drawn_margins(good, name, aim, twin=twin) for twin in (False, True))

    assert [m for m in broken if m > -1 + 1e-9] == []
    assert [m for m in kept if m < 1 - 1e-9] == []
    assert (len(broken) > 20, len(kept) > 20) == (True, True)
    assert sum(m >= -2 for m in broken) / len(broken) >= 0.3
    assert sum(m <= 2 for m in kept) / len(kept) >= 0.3


@given(st.floats(0.001, 10), st.floats(0, 100), SEEDS)
def test_sampled_distances_are_outside_of_the_zone(zone: float, far: float, seed: int) -> None:
    """Never nearer than the zone, never further than the farthest, and often enough near."""
    rng = np.random.default_rng(seed)

    drawn = [sample_distance(zone, far, rng) for _ in range(200)]

    assert min(drawn) >= zone
    assert max(drawn) <= max(far, zone) + 1e-9
    assert sum(d <= 2 * zone + 1e-9 for d in drawn) / len(drawn) >= NEAR_LIMIT_SHARE - 0.15


def test_location_of_zero_size(tmp_path):
    """A model that learned nothing may see a place as a line: what is in it is simply far off."""
    path = tmp_path / "box.yaml"
    path.write_text(
        "logicls: 1\nproduct: {name: box}\ncomponents: {pin: {}, lid: {}}\n"
        "constraints: [{id: pin-in-lid, layout: {subject: pin, object: lid, relation: inside}}]\n"
    )
    spec = load_spec(path)
    line = Instance(2, "lid", Box(40, 40, 40, 40))
    scene = Scene("a.png", 200, 200, (Instance(1, "pin", Box(10, 10, 20, 20)), line))

    found = list(compute_margins(spec.constraints[0], build_context(spec, scene)))

    assert found
    assert all(margin < 0 for margin in found)
