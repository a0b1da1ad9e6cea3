"""The orientation family: angles, tolerances, symmetry, carriers, edits and their room."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from logicls.constraints.checker.counterexamples import find_counterexample, list_targets
from logicls.constraints.checker.evaluation import build_context, compute_margins, find_violations
from logicls.constraints.families import angles
from logicls.constraints.families.angles import (
    angle_to_text,
    expect_angle,
    fold_angle,
    list_angle_options,
    normalize_angle,
    split_angle,
)
from logicls.constraints.families.context import EvaluationContext, FailureMode, NotApplicable, UnreadableAnswer
from logicls.constraints.families.edits import Rotate, simulate_edits
from logicls.constraints.families.orientation import Orientation, describe_deviation, has_room
from logicls.constraints.families.protocol import Comparison
from logicls.constraints.lint.spec_lint import lint_spec
from logicls.constraints.spec.models import Spec
from logicls.records import Answer, Box, Instance, Scene

from ..readings import TRAY, VOCABULARY, locate_answer, make_context

PIN = Box(120, 130, 160, 150)
PERIODS = st.sampled_from([90, 180, 360])


def rule(**body: Any) -> Orientation:
    """Build a rule about pins with a tolerance of 10 degrees."""
    return Orientation.model_validate({"of": "pin", "tolerance": 10, **body})


def read(*values: int, tray: int | None = None) -> EvaluationContext:
    """Return a context with pins at these angles, on a tray at an angle."""
    answers = [locate_answer("pin", *[PIN] * len(values)), Answer("orientation:pin", tuple(map(str, values)))]
    if tray is not None:
        answers += [locate_answer("tray", TRAY), Answer("orientation:tray", (str(tray),))]
    return make_context(*answers)


def spec(*rules: dict[str, Any], **more: Any) -> Spec:
    """Build a spec with some orientation rules."""
    constraints = [{"id": f"c{number}", "orientation": body, **more} for number, body in enumerate(rules)]
    head = {"logicls": 1, "product": {"name": "kit"}, "components": {"tray": {}, "pin": {}, "icon": {}}}
    return Spec.model_validate({**head, "constraints": constraints})


def scene(angle: float = 0.0, gap: float = 80) -> Scene:
    """Return a photo with a pin, an icon on it, and a neighbour some pixels below."""
    pin = Instance(1, "pin", Box(100, 100, 180, 140), angle=angle)
    icon = Instance(2, "icon", Box(105, 105, 125, 125), angle=angle)
    return Scene("a.png", 400, 400, (pin, icon, Instance(3, "tray", Box(100, 140 + gap, 300, 380))))


def test_doctests_of_angles() -> None:
    """The examples in the docstrings hold."""
    results = doctest.testmod(angles)

    assert (results.failed, results.attempted) == (0, 12)


@given(st.floats(-1000, 1000), PERIODS)
def test_angles_and_options(angle: float, period: int) -> None:
    """An angle between two options is the expected value of its soft target; text is within half a degree."""
    options = list_angle_options(period)
    lower, upper, share = split_angle(angle, period)
    soft = [0.0] * len(options)
    soft[lower] += 1 - share
    soft[upper] += share

    found, mass = expect_angle(soft)

    assert abs(fold_angle(found - angle, period)) < 1e-6
    assert mass == pytest.approx(1)
    assert abs(fold_angle(float(angle_to_text(angle, period)) - angle, period)) <= 0.5 + 1e-6
    assert 0 <= normalize_angle(angle, period) < period


@pytest.mark.parametrize(
    ("body", "text", "kinds"),
    [
        ({}, "pin oriented as on good photos, within 10°", ("turned", "tilted")),
        ({"is": [0, 180]}, "pin at 0° or 180°, within 10°", ("turned", "tilted")),
        ({"is": 15, "relative_to": "tray"}, "pin at 15° to the tray, within 10°", ("turned", "tilted")),
        ({"symmetry": 90}, "pin oriented as on good photos, or turned by 90°, within 10°", ("tilted",)),
        ({"tolerance": 50, "symmetry": 180}, "pin oriented as on good photos, or turned by 180°, within 50°",
         ("turned",)),
        ({"symmetry": "any"}, "pin at any angle", ()),
        ({"tolerance": 45, "symmetry": 90}, "pin oriented as on good photos, or turned by 90°, within 45°", ()),
    ],
)  # fmt: skip
def test_text_and_failure_kinds(body: dict[str, Any], text: str, kinds: tuple[str, ...]) -> None:
    """The rule in plain English, and the ways in which it can be broken."""
    assert (rule(**body).to_text(), rule(**body).failure_kinds()) == (text, kinds)


@pytest.mark.parametrize(
    ("body", "period"),
    [({}, 360), ({"symmetry": 180}, 180), ({"symmetry": 90}, 90), ({"is": [0, 180]}, 180),
     ({"is": [0, 90, 180, 270]}, 90), ({"is": [0, 90]}, 360), ({"symmetry": "any"}, 90)],
)  # fmt: skip
def test_periods(body: dict[str, Any], period: int) -> None:
    """A rule that allows a turn, by its symmetry or by `is`, does not ask for it."""
    assert rule(**body).period == period


@pytest.mark.parametrize(
    ("body", "values", "status", "found", "kinds"),
    [
        ({}, (8, 352), "holds", "off by 8°", ()),
        ({}, (0, 15), "broken", "pin 2 tilted 15° counterclockwise, allowed 10°", ("tilted",)),
        ({}, (345,), "broken", "tilted 15° clockwise, allowed 10°", ("tilted",)),
        ({}, (178,), "broken", "turned by 178°", ("turned",)),
        ({}, (270, 20), "broken", "pin 1 turned by 90° clockwise", ("turned", "tilted")),
        ({"symmetry": 180}, (178,), "holds", "off by 2°", ()),
        ({"symmetry": 180}, (92,), "broken", "turned by 88° clockwise", ("turned",)),
        ({"is": [90, 270]}, (272,), "holds", "off by 2°", ()),
        ({"symmetry": "any"}, (123,), "holds", "off by 0°", ()),
    ],
)
def test_statuses(
    body: dict[str, Any], values: tuple[int, ...], status: str, found: str, kinds: tuple[str, ...]
) -> None:
    """Every instance counts; the largest deviation is told, and every way in which an instance is wrong."""
    result = rule(**body).evaluate(read(*values))

    assert (result.status, result.found, result.failure_modes) == (status, found, tuple(map(FailureMode, kinds)))


def test_angle_to_a_carrier() -> None:
    """The angle to the nearest carrier counts, not that on the photo."""
    relative = rule(relative_to="tray")

    assert relative.measure_deviations(read(40, 130, tray=40)) == [0, 90]
    with pytest.raises(NotApplicable, match="no tray"):
        relative.evaluate(make_context(*read(40).answers.values(), locate_answer("tray"), Answer("orientation:tray")))
    with pytest.raises(UnreadableAnswer, match="orientation:tray"):
        relative.evaluate(make_context(*read(40).answers.values(), locate_answer("tray", TRAY)))


@pytest.mark.parametrize(
    ("values", "error"), [((), NotApplicable), (("abc",), UnreadableAnswer), (("nan.5",), UnreadableAnswer)]
)
def test_answers_that_cannot_be_used(values: tuple[str, ...], error: type[Exception]) -> None:
    """Without an instance the rule does not apply; without a number it is unknown."""
    with pytest.raises(error):
        rule().evaluate(make_context(Answer("orientation:pin", values)))


def test_variants_have_their_own_angles() -> None:
    """Only the instances of the variant count."""
    found = make_context(
        locate_answer("pin", PIN, PIN.translate(50, 0)), Answer("orientation:pin", ("90", "0")),
        Answer("attribute:pin.colour", ("red", "blue")),
    )  # fmt: skip

    assert rule(of="red_pin").measure_deviations(found) == [90]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"tolerance": 0}, "greater than 0"),
        ({"tolerance": 180}, "less than 180"),
        ({"symmetry": 45}, "Input should be 90, 180 or 'any'"),
        ({"is": 400}, "less than or equal to 360"),
        ({"is": []}, "at least 1 item"),
        ({"angle": 3}, "Extra inputs"),
    ],
)
def test_invalid_body_is_rejected(body: dict[str, Any], message: str) -> None:
    """Tolerances and angles have limits; unknown keys are errors."""
    with pytest.raises(ValidationError, match=message):
        rule(**body)


def test_a_component_is_not_measured_from_itself() -> None:
    """Also not from a variant of itself."""
    faults = list(rule(relative_to="red_pin").check_references(VOCABULARY))

    assert [(fault.code, fault.path) for fault in faults] == [("LC035", ("relative_to",))]


@pytest.mark.parametrize(
    ("body", "other", "relation"),
    [
        ({"is": 0}, {"is": 0, "tolerance": 20}, "implies"),
        ({"is": 0, "tolerance": 20}, {"is": [5, 180]}, None),
        ({"is": [0, 90], "tolerance": 20}, {"is": 0}, "implied_by"),
        ({"is": 0}, {"is": 90}, "contradicts"),
        ({"is": 0, "symmetry": 180}, {"is": 180, "symmetry": 180}, "implies"),
        ({}, {"is": 90}, None),
        ({"symmetry": "any"}, {}, None),
    ],
)
def test_comparison_of_rules(body: dict[str, Any], other: dict[str, Any], relation: str | None) -> None:
    """Allowed angles are compared up to the symmetries; a pose on photos is not compared with a number."""
    found = rule(**body).compare(rule(**other), VOCABULARY)

    assert (found and found.relation) == relation
    assert rule(**body).compare(rule(**other, relative_to="tray"), VOCABULARY) is None


def test_margin_and_nearest_mode() -> None:
    """The margin is in dead zones of two degrees, narrower within a small tolerance."""
    assert rule().margin(read(4, 350)) == 0
    assert rule().margin(read(6, 356)) == 2
    assert rule().margin(read(14)) == -2
    assert rule(tolerance=2).margin(read(1)) == 1
    assert rule().nearest_failure_mode(read(4)) == FailureMode("tilted")
    assert rule(tolerance=50).nearest_failure_mode(read(4)) == FailureMode("turned")


@pytest.mark.parametrize(
    "body",
    [{"of": "pin", "tolerance": 10}, {"of": "pin", "tolerance": 3, "symmetry": 180},
     {"of": "pin", "tolerance": 30, "symmetry": 90}, {"of": "pin", "is": [0, 180], "tolerance": 20}],
)  # fmt: skip
@pytest.mark.parametrize("is_control", [False, True])
def test_edits_stay_out_of_the_dead_zone(body: dict[str, Any], is_control: bool) -> None:
    """Counterexamples break the rule in the requested way, control edits do not; what lies on the pin turns along."""
    one = spec(body, violation={"turned": "reversed", "tilted": "crooked"})
    for target in list_targets(one):
        for seed in range(25):
            edits = find_counterexample(one, target, scene(), np.random.default_rng(seed), is_control=is_control)
            assert edits is not None
            edited = simulate_edits(edits, scene(), frozenset(), {})
            context = build_context(one, edited)

            assert find_violations(one, context) == (() if is_control else (target.violation,))
            assert min(abs(margin) for margin in compute_margins(one.constraints[0], context)) >= 0.9
            assert edited.instances[1].angle == edited.instances[0].angle


def test_a_turned_part_needs_room() -> None:
    """A quarter turn would cover the neighbour, half a turn covers nothing new; what lies on it does not count."""
    photo = scene(gap=5)
    pin = photo.instances[0]

    assert not has_room(photo, pin, Rotate(1, 90).rotate_box(pin.box), frozenset())
    assert has_room(photo, pin, Rotate(1, 180).rotate_box(pin.box), frozenset())
    assert not has_room(photo, pin, pin.box.translate(-200, 0), frozenset())


def test_rotation_of_a_part_with_its_contents() -> None:
    """Contents turn about the part's centre, counterclockwise on the photo; without them only the part turns."""
    turned = simulate_edits((Rotate(1, 90, turns_contents=True),), scene(), frozenset(), {})
    alone = simulate_edits((Rotate(1, 90),), scene(), frozenset(), {})

    # The icon at the left end of the pin comes to its lower end.
    x, y = turned.instances[1].box.centre
    assert (round(x), round(y), turned.instances[1].angle) == (135, 145, 90)
    assert [round(edge) for edge in (turned.instances[0].box.x1, turned.instances[0].box.y1)] == [120, 80]
    assert (alone.instances[0].angle, alone.instances[1]) == (90, scene().instances[1])


def test_nothing_turns_with_a_liquid() -> None:
    """A jar with gel in it is not turned: the gel would stay level."""
    body = {"logicls": 1, "product": {"name": "jar"}, "components": {"jar": {}, "gel": {"fills": "jar"}},
            "constraints": [{"id": "c", "orientation": {"of": "jar", "tolerance": 10}}]}  # fmt: skip
    one = Spec.model_validate(body)
    instances = (Instance(1, "jar", Box(100, 100, 200, 200)), Instance(2, "gel", Box(101, 150, 199, 199)))

    found = [find_counterexample(one, target, Scene("a", 400, 400, instances), np.random.default_rng(0))
             for target in list_targets(one)]  # fmt: skip

    assert found == [None, None]


def test_lint() -> None:
    """A round part cannot be turned; violations have to be named by the kinds of the family."""
    faults = [*lint_spec(spec({"of": "pin", "symmetry": "any", "tolerance": 5}))]
    named = [*lint_spec(spec({"of": "pin", "tolerance": 5}, violation={"turned": "reversed", "below": "few"}))]

    assert ("LC044", "'c0' cannot be broken: it allows everything") in [(f.code, f.message) for f in faults]
    assert [f.message for f in named if f.code == "LC045"] == [
        "'c0' cannot be broken below its limits", "'c0' has no violation name for tilted parts",
    ]  # fmt: skip


def test_query_has_the_coarsest_period_that_all_rules_allow() -> None:
    """One rule that tells the ends apart is enough; carriers are asked for, too."""
    one = spec({"of": "pin", "tolerance": 5, "symmetry": 180}, {"of": "pin", "tolerance": 5, "symmetry": 90},
               {"of": "icon", "relative_to": "tray", "tolerance": 5, "symmetry": 180})  # fmt: skip

    options = {query.id: len(query.options) for query in one.queries if query.kind == "orientation"}

    assert options == {"orientation:pin": 12, "orientation:icon": 12, "orientation:tray": 12}
    assert one.absolute_angles == {"icon": 180, "tray": 180}


def test_description_of_deviations() -> None:
    """Half a turn has no direction."""
    assert [describe_deviation(d) for d in (12, -12, 90, -180)] == [
        "tilted 12° counterclockwise", "tilted 12° clockwise", "turned by 90° counterclockwise", "turned by 180°",
    ]  # fmt: skip


def test_comparison_names_both_rules() -> None:
    """A contradiction quotes both."""
    assert rule(**{"is": 0}).compare(rule(**{"is": 90}), VOCABULARY) == Comparison(
        "contradicts", "pin at 0°, within 10°; pin at 90°, within 10°"
    )


def test_flips_change_an_orientation_and_rotations_do_not() -> None:
    """A rotation of the photo is added to the angles, so that the rules are evaluated again."""
    assert rule().invariances()._asdict() == {
        "rotation": "", "flip_x": "fixes an orientation", "flip_y": "fixes an orientation",
    }  # fmt: skip
    assert rule().tolerance_terms().text == "10 degrees"
    assert rule().measure_tolerance(read(0)) == pytest.approx(np.hypot(40, 20) / 2 * np.radians(10))
