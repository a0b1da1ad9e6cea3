"""The property that ties a constraint's four faces together: what breaks it on purpose is found broken."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logicls.constraints.checker.counterexamples import Target, find_counterexample, list_targets
from logicls.constraints.spec.loader import load_spec
from logicls.constraints.spec.models import Spec
from logicls.io.resources import resource_path
from logicls.records import Box, Scene

from ..breaking import SEEDS, apply_edits, evaluate_scene, find_broken_constraints

Good = Callable[[str], st.SearchStrategy[Scene]]
SPECS = {path.stem: load_spec(path) for path in sorted(resource_path("constraints").glob("*.yaml"))}
AIMS = [
    pytest.param(name, aim, id=f"{name}-{aim.constraint.id}-{aim.violation}")
    for name, spec in SPECS.items()
    for aim in list_targets(spec)
]


def outside(box: Box, scene: Scene) -> float:
    """By how many pixels the box leaves the photo."""
    return max(0.0, -box.x1, -box.y1, box.x2 - scene.width, box.y2 - scene.height)


def test_specs_have_targets() -> None:
    """Every shipped spec can be broken in at least one way, and each of its defects has an aim that makes it."""
    makes = {name: {aim.violation for aim in list_targets(spec)} for name, spec in SPECS.items()}

    assert len(AIMS) > 20
    assert makes == {name: set(spec.violations) for name, spec in SPECS.items()}


@pytest.mark.parametrize(("name", "aim"), AIMS)
def test_counterexample_breaks_one_constraint(good: Good, name: str, aim: Target) -> None:
    """The edited scene breaks the aim's constraint, on the aim's side, and no other one."""
    spec, made = SPECS[name], []

    @settings(max_examples=10)
    @given(good(name), SEEDS)
    def breaks(scene: Scene, seed: int) -> None:
        plan = find_counterexample(spec, aim, scene, np.random.default_rng(seed))
        if plan is not None:
            made.append(plan)
            assert find_broken_constraints(spec, apply_edits(spec, plan, scene)) == {
                aim.constraint.id: (aim.violation,)
            }

    breaks()

    assert len(made) > 2


@pytest.mark.parametrize(("name", "aim"), AIMS)
def test_unrelated_components_are_unchanged(good: Good, name: str, aim: Target) -> None:
    """Rules about components that the edit neither changed nor carried along come to the very same finding."""
    spec = SPECS[name]

    @settings(max_examples=10)
    @given(good(name), SEEDS)
    def spares(scene: Scene, seed: int) -> None:
        plan = find_counterexample(spec, aim, scene, np.random.default_rng(seed))
        edited = apply_edits(spec, plan, scene) if plan else scene
        changed = {i.component for i in set(scene.instances) ^ set(edited.instances)}
        for then, now in zip(evaluate_scene(spec, scene), evaluate_scene(spec, edited), strict=True):
            about = {query.partition(":")[2].partition(".")[0] for query in then.queries}
            if not about & changed and now.constraint not in stopped(spec, edited):
                assert now == then

    spares()


def stopped(spec: Spec, scene: Scene) -> set[str]:
    """Constraints that say nothing because another one that says it all is broken."""
    down = find_broken_constraints(spec, scene)
    return {c.id for c in spec.constraints if any(other in down for other in c.unless_broken)}


@pytest.mark.parametrize(("name", "aim"), AIMS)
def test_control_edits_break_nothing(good: Good, name: str, aim: Target) -> None:
    """The edit that goes through the same motions leaves every rule of a good scene as it was."""
    spec, made = SPECS[name], []

    @settings(max_examples=10)
    @given(good(name), SEEDS)
    def keeps(scene: Scene, seed: int) -> None:
        plan = find_counterexample(spec, aim, scene, np.random.default_rng(seed), is_control=True)
        if plan is not None:
            made.append(plan)
            assert find_broken_constraints(spec, apply_edits(spec, plan, scene)) == {}

    keeps()

    assert len(made) > 2


@pytest.mark.parametrize("twin", [False, True], ids=["broken", "twin"])
@pytest.mark.parametrize(("name", "aim"), AIMS)
def test_boxes_stay_in_the_photo(good: Good, name: str, aim: Target, twin: bool) -> None:
    """No edit pushes a box over the photo's edge by a pixel."""
    spec = SPECS[name]

    @settings(max_examples=10)
    @given(good(name), SEEDS)
    def stays(scene: Scene, seed: int) -> None:
        plan = find_counterexample(spec, aim, scene, np.random.default_rng(seed), is_control=twin)
        edited = apply_edits(spec, plan, scene) if plan else scene
        assert [i for i in edited.instances if outside(i.box, scene) >= 1] == []

    stays()


def test_no_edits_without_instances() -> None:
    """On an empty photo only rules can be broken that say what must not be there: a wrong screw, an unlike pair."""
    rng = np.random.default_rng(0)
    scene = Scene("empty.png", 300, 300, ())

    planned = [
        (aim.violation, twin)
        for spec in SPECS.values()
        for aim in list_targets(spec)
        for twin in (False, True)
        if find_counterexample(spec, aim, scene, rng, is_control=twin)
    ]

    screws, pairs = ["1_very_short_screw", "2_very_short_screws"], ["3_2", "5_2", "5_3"]
    assert planned == [(name, False) for name in [*screws, *(f"wrong_connector_type_{pair}" for pair in pairs)]]


def test_violation_at_one_or_several_locations(good: Good) -> None:
    """Two pushpins more are in one compartment or in two, one more is in one; one is missing, or several are."""
    spec = SPECS["pushpins"]
    found: dict[str, set[tuple[int, ...]]] = {}

    @settings(max_examples=40)
    @given(good("pushpins"), SEEDS)
    def spreads(scene: Scene, seed: int) -> None:
        for aim in list_targets(spec):
            plan = find_counterexample(spec, aim, scene, np.random.default_rng(seed))
            if plan is not None and aim.constraint.each:
                told = {f.constraint: f.found for f in evaluate_scene(spec, apply_edits(spec, plan, scene))}[
                    aim.constraint.id
                ]
                counts = re.findall(r"compartment \d+: (\d+) pushpin", told)
                found.setdefault(aim.violation, set()).add(tuple(sorted(map(int, counts))))

    spreads()

    assert {(3,), (2, 2)} <= found["2_additional_pushpins"]
    assert found["1_additional_pushpin"] == {(2,)}
    assert {(0,), (0, 0)} <= found["missing_pushpin"]
